"""What people take for weights is named for what it is, with what to do, in one line."""

import bz2
import gzip
import lzma
import pickle
import re
import tarfile
import tomllib
import zipfile
import zlib
from collections.abc import Mapping
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from gradscope.cli.app import run
from gradscope.errors import WeightsError
from gradscope.weights.load import load_weights
from gradscope.weights.readers import read_file


def zip_of(*names: str) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"0")
    return buffer.getvalue()


def members(content: bytes) -> list[str]:
    return zipfile.ZipFile(BytesIO(content)).namelist() if content.startswith(b"PK") else []


def tar_of(*names: str) -> bytes:
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:", format=tarfile.PAX_FORMAT) as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name), BytesIO())
    return buffer.getvalue()


def array_file() -> bytes:
    buffer = BytesIO()
    np.save(buffer, np.eye(3))
    return buffer.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 11848\n"
SSTABLE_END = bytes.fromhex("57fb808b247547db")
FILES: Mapping[str, tuple[bytes, str]] = {
    "empty.pt": (b"", "empty"),
    "pointer.h5": (LFS, "git lfs pull"),
    "pointer.mat": (LFS, "git lfs pull"),
    "page.pt": (b"\n<!DOCTYPE html>\n<html><body>404</body></html>", "web page"),
    "denied.h5": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "web page"),
    "net.npz.gz": (gzip.compress(b"net"), "gzip -dc"),
    "net.bz2": (bz2.compress(b"net"), "bzip2 -dc"),
    "net.xz": (lzma.compress(b"net"), "xz -dc"),
    "net.zst": (b"\x28\xb5\x2f\xfd\x24\x00", "zstd -dc"),
    "net.z": (zlib.compress(b"net"), "joblib"),
    "net.joblib": (b"\x80\x04\x95\0\0\0\0\0\0\0\0\x8c\x13joblib.numpy_pickle", "joblib"),
    "net.cloud": (b"\x80\x05\x95\0\0\0\0\0\0\0\0\x8c\x17cloudpickle.cloudpickle", "bare pickle"),
    "net.pkl": (pickle.dumps({"W": np.eye(2)}), "bare pickle"),
    "old.pkl": (pickle.dumps({"W": 1}, protocol=0), "bare pickle"),
    "net.npy": (array_file(), "single array"),
    "tar.pth": (tar_of("sys_info", "pickle", "tensors", "storages"), "PyTorch 0.1"),
    "tar.tar": (tar_of("net.pt"), "tar -xf"),
    "net.t7": (b"\x04\0\0\0\x01\0\0\0\x03\0\0\0V 1\x0d\0\0\0nn.Sequential", "Lua Torch"),
    "ascii.t7": (b"4\n1\n3\nV 1\n13\nnn.Sequential\n", "Lua Torch"),
    "v4.mat": (
        b"\n\0\0\0\x04\0\0\0\x03\0\0\0\0\0\0\0\x06\0\0\0W_rec\0" + bytes(48),
        "MATLAB file of version 4",
    ),
    "net.index": (bytes(600) + SSTABLE_END, "TensorFlow checkpoint"),
    "net.ckpt-9": (bytes(60) + SSTABLE_END, "TensorFlow checkpoint"),
    "net.data-00000-of-00001": (bytes(600), "TensorFlow checkpoint"),
    "checkpoint": (b'model_checkpoint_path: "net-9"\n', "TensorFlow checkpoint"),
    "saved_model.pb": (b"\x08\x01\x12\x00", "SavedModel"),
    "net.msgpack": (b"\x81\xa6params\x81\xa5cell0\x80", "msgpack_restore"),
    "config.json": (b'{"class_name": "Sequential", "keras_version": "1.2.2"}', "JSON"),
    "index.json": (b'{"weight_map": {}}', "JSON"),
    "W.csv": (b"0.1,0.2\n0.3,0.4\n", "numpy.loadtxt"),
    "agent.zip": (
        zip_of("data", "pytorch_variables.pth", "policy.pth", "_stable_baselines3_version"),
        "policy.pth",
    ),
    "script.pt": (zip_of("net/data.pkl", "net/code/__torch__.py", "net/constants.pkl"), "jit.load"),
    "net.pt2": (zip_of("net/archive_format", "net/models/model.json"), "torch.export.load"),
    "nets.zip": (zip_of("run/net.pt", "readme.txt"), "'run/net.pt'"),
}
FOLDERS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "saved": (("saved_model.pb", "variables"), "FOLDER/variables/variables"),
    "ckpt": (("checkpoint", "net.index", "net.data-00000-of-00001"), "TensorFlow checkpoint"),
    "hub": (("config.json", "model.safetensors"), "'model.safetensors'"),
    "other": (("a.txt",), "is a folder"),
}


def refused(path: Path, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Check the one line with which a file is refused, and that ``inspect`` says the same."""
    with pytest.raises(WeightsError) as caught:
        load_weights(path)
    line = str(caught.value)
    assert words in line
    assert "\n" not in line
    assert len(line) - len(str(path)) <= 300
    assert run(["inspect", str(path)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == f"error: {line}\n"


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_named_for_what_it_is(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content, words = FILES[name]
    (tmp_path / name).write_bytes(content)

    refused(tmp_path / name, words, capsys)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_is_named_for_what_it_is(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    inside, words = FOLDERS[name]
    (tmp_path / name).mkdir()
    for each in inside:
        (tmp_path / name / each).write_bytes(b"")

    refused(tmp_path / name, words, capsys)


def test_every_row_has_a_test() -> None:
    rows = tomllib.loads((files("gradscope.weights") / "recognised.toml").read_text("utf-8"))
    names = {"names": [*FILES, *(each for inside, _ in FOLDERS.values() for each in inside)]}
    names["names"] += [each for content, _ in FILES.values() for each in members(content)]
    ends = [(content[:512] + content[-8:]).decode("latin-1") for content, _ in FILES.values()]

    for table, texts in ({"bytes": ends} | names).items():
        for row in rows[table]:
            assert any(re.search(row, text, re.DOTALL | re.MULTILINE) for text in texts), row


@pytest.mark.parametrize("shown", ["torch.jit.load", "torch.export.load"])
@pytest.mark.filterwarnings("ignore")  # PyTorch has deprecated scripts; people still have them
@pytest.mark.torch
def test_the_remedy_for_a_program_of_pytorchs_works(tmp_path: Path, shown: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch writes the files")
    net, path = torch.nn.Linear(3, 3), tmp_path / "net.pt2"
    if "jit" in shown:
        torch.jit.script(net).save(str(path))
    else:
        torch.export.save(torch.export.export(net, (torch.zeros(1, 3),)), path)

    with pytest.raises(WeightsError) as caught:
        read_file(path)

    line = str(caught.value)
    command = line.partition("weights: ")[2].replace("FILE", str(path))
    assert shown in command
    exec(command.replace("'weights.pt'", repr(str(tmp_path / "weights.pt"))), {"torch": torch})  # noqa: S102
    np.testing.assert_array_equal(
        read_file(tmp_path / "weights.pt").arrays["weight"], net.weight.detach().numpy()
    )
