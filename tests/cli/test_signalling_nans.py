"""Signalling NaNs in every file that is read: refused by name, and no warning leaks from NumPy.

A cast of one to float64, and the first arithmetic on one in float64, sets the processor's "invalid"
flag, of which NumPy warns.
"""

import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest

from tests.weights.forging import checkpoint, safetensors_bytes, tensor

Numbers = np.ndarray[Any, np.dtype[Any]]
Call = Callable[..., "CompletedProcess[str]"]

TOP = Path(__file__).parents[2] / "gradscope"
BITS: Mapping[str, int] = {"f2": 0x7C01, "f4": 0x7F800001, "f8": 0x7FF0000000000001}
"""The smallest signalling NaN of each type: exponent all ones, quiet bit off, payload 1."""

BFLOAT16_ONE, BFLOAT16_NAN = 0x3F80, 0x7F81
SIZES = ("--hidden", "4", "--steps", "6", "--updates", "2", "--sequences", "2")
TORCH_STORAGES = {
    "bf16": "BFloat16Storage",
    "f2": "HalfStorage",
    "f4": "FloatStorage",
    "f8": "DoubleStorage",
}
SAFETENSORS_CODES = {"bf16": "BF16", "f2": "F16", "f4": "F32", "f8": "F64"}


def signalling(kind: str, *shape: int) -> Numbers:
    """Return ones, the last of them a signalling NaN; made of bits, which no arithmetic quiets."""
    if kind == "bf16":
        bits = np.full(shape, BFLOAT16_ONE, "u2")
        bits.reshape(-1)[-1] = BFLOAT16_NAN
        return bits
    array = np.ones(shape, kind)
    array.view(f"u{kind[1]}").reshape(-1)[-1] = BITS[kind]
    return array


def weights(kind: str) -> dict[str, Numbers]:
    names = {"weight_ih_l0": (3, 2), "weight_hh_l0": (3, 3), "bias_ih_l0": (3,)}
    return {name: signalling(kind, *shape) for name, shape in names.items()}


def write_npz(path: Path, kind: str) -> None:
    np.savez(path, **weights(kind))  # type: ignore[arg-type]


def write_pytorch(path: Path, kind: str) -> None:
    arrays, strides = weights(kind), ((2, 1), (3, 1), (1,))
    content, members = {}, {"archive/byteorder": b"little"}
    for key, ((name, array), stride) in enumerate(zip(arrays.items(), strides, strict=True)):
        stored: dict[str, Any] = {
            "count": array.size,
            "kind": f"torch.{TORCH_STORAGES[kind]}",
            "key": str(key),
        }
        content[name] = tensor(size=array.shape, stride=stride, **stored)
        members[f"archive/data/{key}"] = array.tobytes()
    checkpoint(path, content, members=members)


def write_safetensors(path: Path, kind: str) -> None:
    header, data = {}, b""
    for name, array in weights(kind).items():
        end = len(data) + array.nbytes
        places = {"shape": list(array.shape), "data_offsets": [len(data), end]}
        header[name] = {"dtype": SAFETENSORS_CODES[kind], **places}
        data += array.tobytes()
    path.write_bytes(safetensors_bytes(header, data))


def write_h5(target: Path | BytesIO, kind: str) -> None:
    h5py = pytest.importorskip("h5py", reason="writes HDF5")
    with h5py.File(target, "w") as file:
        for number, shape in enumerate(((2, 3), (3, 3), (3,))):
            file[f"layers/simple_rnn/cell/vars/{number}"] = signalling(kind, *shape)
        file["layers/simple_rnn/cell/vars"].attrs["name"] = "simple_rnn_cell"


def write_keras(path: Path, kind: str) -> None:
    inner = BytesIO()
    write_h5(inner, kind)
    node = {"class_name": "SimpleRNN", "config": {"name": "simple_rnn", "activation": "tanh"}}
    config = {"class_name": "Sequential", "config": {"name": "m", "layers": [node]}}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", inner.getvalue())


def write_matlab(path: Path, kind: str) -> None:
    scipy_io = pytest.importorskip("scipy.io", reason="writes MATLAB files")
    scipy_io.savemat(path, weights(kind), format=path.stem)


def write_matlab_73(path: Path, kind: str) -> None:
    h5py = pytest.importorskip("h5py", reason="writes HDF5")
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in weights(kind).items():
            file[name] = array.T
            file[name].attrs["MATLAB_class"] = np.bytes_("double" if kind == "f8" else "single")
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file")


WRITERS: Mapping[str, tuple[Callable[[Path, str], None], tuple[str, ...]]] = {
    "net.npz": (write_npz, ("f2", "f4", "f8")),
    "net.pt": (write_pytorch, ("bf16", "f2", "f4", "f8")),
    "net.safetensors": (write_safetensors, ("bf16", "f2", "f4", "f8")),
    "net.h5": (write_h5, ("f2", "f4", "f8")),
    "net.keras": (write_keras, ("f2", "f4", "f8")),
    "5.mat": (write_matlab, ("f4", "f8")),
    "73.mat": (write_matlab_73, ("f4", "f8")),
}
FILES = [(name, kind) for name, (_, kinds) in WRITERS.items() for kind in kinds]


def refused(done: "CompletedProcess[str]", *parts: str) -> None:
    """Assert that a command ended with one line that names what is wrong."""
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert all(part in done.stderr for part in parts), done.stderr
    assert "invalid value encountered" not in done.stderr


@pytest.mark.parametrize("command", ["analyze", "inspect"])
@pytest.mark.parametrize(("name", "kind"), FILES)
def test_in_weights(tmp_path: Path, call: Call, name: str, kind: str, command: str) -> None:
    WRITERS[name][0](tmp_path / name, kind)

    refused(call(command, name), name, "nan at [2, 1]")


@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
def test_in_a_series(tmp_path: Path, call: Call, kind: str) -> None:
    series = np.sin(np.arange(40.0)).astype(kind)
    series[20:21] = signalling(kind, 1)
    np.save(tmp_path / "series.npy", series)
    words = ("analyze", "--data", "series.npy", *SIZES)

    refused(call(*words), "series.npy row 21, column '1'")
    filled = call(*words, "--missing", "interpolate")
    assert (filled.returncode, filled.stderr) == (0, "")


@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
@pytest.mark.parametrize("name", ["inputs.npy", "inputs.npz"])
def test_in_inputs(tmp_path: Path, call: Call, name: str, kind: str) -> None:
    np.savez(tmp_path / "net.npz", weight_ih_l0=np.ones((3, 2)), weight_hh_l0=np.eye(3))
    inputs = signalling(kind, 5, 1, 2)
    np.save(tmp_path / name, inputs) if name.endswith("y") else np.savez(tmp_path / name, x=inputs)

    refused(
        call("analyze", "net.npz", "--activation", "tanh", "--data", name),
        f"{name} at [4, 0, 1]",
    )


ARCHIVED = ("recurrent_weights", "inputs", "targets", "initial_state", "target_steps")


@pytest.fixture
def saved(tmp_path: Path, call: Call) -> dict[str, Numbers]:
    assert call("analyze", *SIZES, "--save", "run.npz").returncode == 0
    with np.load(tmp_path / "run.npz") as archive:
        return dict(archive)


@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_in_a_saved_run(tmp_path: Path, call: Call, saved: dict[str, Numbers], kind: str) -> None:
    for name in ARCHIVED:
        bad = {**saved, name: signalling(kind, *saved[name].shape)}
        np.savez(tmp_path / "bad.npz", **bad)  # type: ignore[arg-type]

        refused(call("analyze", "--load", "bad.npz"), f"bad.npz: {name} holds a number")


def test_no_warning_reaches_the_terminal(
    tmp_path: Path, environment: Mapping[str, str], saved: dict[str, Numbers]
) -> None:
    write_safetensors(tmp_path / "net.safetensors", "f4")
    np.save(tmp_path / "series.npy", signalling("f4", 40))
    np.savez(tmp_path / "bad.npz", **saved | {"inputs": signalling("f4", *saved["inputs"].shape)})  # type: ignore[arg-type]
    lines = (
        ("analyze", "net.safetensors"),
        ("analyze", "--data", "series.npy"),
        ("analyze", "--load", "bad.npz"),
    )
    for line in lines:
        # Without -W error, which would turn a warning that leaks into an error.
        done = subprocess.run(
            [sys.executable, "-m", "gradscope", *line],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            check=False,
            encoding="utf-8",
        )
        refused(done, line[-1])


def test_every_reader_casts_by_the_one_function() -> None:
    readers = [*TOP.glob("data/*.py"), *TOP.glob("weights/**/*.py"), TOP / "analysis/archive.py"]
    casts = re.compile(r"astype\(\s*(np\.float|float)|dtype=(np\.)?float")

    assert len(readers) > 10
    assert [path for path in readers if casts.search(path.read_text("utf-8"))] == []
