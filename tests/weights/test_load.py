"""The reader is told by what a file holds; what nothing reads is refused in one line."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradscope.errors import GradscopeError, WeightsError
from gradscope.weights.load import load_weights
from gradscope.weights.readers import READERS, read_file
from tests.weights.forging import checkpoint, safetensors_bytes, tensor


@pytest.mark.parametrize("name", ["net.pt", "net.npz", "net.safetensors", "net", "net.mat"])
def test_the_name_does_not_matter_where_the_content_speaks(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    checkpoint(path, {"W": tensor()})
    assert read_file(path).format == "pytorch"
    path.write_bytes(safetensors_bytes({}))
    assert read_file(path).format == "safetensors"
    with path.open("wb") as file:
        np.savez(file, W=np.eye(2))
    assert read_file(path).format == "npz"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"text\0" * 20, "not a weight file that gradscope can read"),
        (b"PK\x03\x04", "cannot be read as a zip of weights"),
        (b"\x80\x04K\x01.", "a bare pickle, which could run anything"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "cannot be read as a PyTorch checkpoint"),
        (b"\x93NUMPY\x01\x00", "a single array without a name"),
        (b"\x89HDF\r\n\x1a\n", "cannot be read as a Keras model"),
    ],
)
def test_what_is_no_weight_file_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    if words.endswith("Keras model"):
        pytest.importorskip("h5py", reason="reads HDF5")

    with pytest.raises(WeightsError) as caught:
        load_weights(path)

    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_zip_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("a")
    archive = shutil.make_archive(str(tmp_path / "net"), "zip", tmp_path / "in")

    with pytest.raises(WeightsError, match=r"is a folder or zip of 'a.txt'; give a"):
        load_weights(archive)


def test_places_that_are_no_files_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    for path, words in (
        (tmp_path / "absent.pt", "does not exist; check the name"),
        (tmp_path, "is a folder or zip of 'pipe'"),
        (tmp_path / "pipe", "is a folder or a device"),
    ):
        with pytest.raises(WeightsError, match=words):
            load_weights(path)


@pytest.mark.parametrize(
    ("content", "module", "extra"),
    [
        (b"\x89HDF\r\n\x1a\n", "h5py", "weights"),
        (b"MATLAB 7.3 MAT-file", "h5py", "matlab"),
    ],
)
def test_a_missing_library_is_named_with_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, module: str, extra: str
) -> None:
    path = tmp_path / "net"
    path.write_bytes(content)
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(GradscopeError) as caught:
        load_weights(path)

    line = f"needs {module}, which is not installed; pip install '.[{extra}]' in a clone"
    assert line in str(caught.value)
    assert caught.value.exit_code == 2


def test_names_with_newlines_stay_on_one_line_of_an_error(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {"a\nb": np.eye(2)}
    np.savez(tmp_path / "net.npz", **arrays)

    with pytest.raises(WeightsError) as caught:
        load_weights(tmp_path / "net.npz")

    assert "\n" not in str(caught.value)


def test_every_kind_of_file_has_a_row_with_endings_of_its_own() -> None:
    endings = [ending for each in READERS for ending in each.endings]

    assert [each.format for each in READERS] == [
        "npz",
        "pytorch",
        "safetensors",
        "keras",
        "matlab",
        "onnx",
    ]
    assert len(set(endings)) == len(endings)
