"""Small files of every format, and seeded ways to damage them."""

import json
import zipfile
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from tests.weights.forging import checkpoint, safetensors_bytes, tensor


def _arrays() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "weight_ih_l0": rng.normal(size=(9, 2)),
        "weight_hh_l0": rng.normal(size=(9, 3)),
        "bias_ih_l0": rng.normal(size=9),
    }


def _npz(path: Path) -> None:
    np.savez_compressed(path, **_arrays())


def _pytorch(path: Path) -> None:
    inputs, recurrent = tensor(size=(1, 2)), tensor(size=(1, 1))
    content = {"weight_ih_l0": inputs, "weight_hh_l0": recurrent, "epoch": 3}
    checkpoint(path, content, members={"archive/byteorder": b"little"})


def _safetensors(path: Path) -> None:
    header, data = {}, b""
    for name, array in _arrays().items():
        raw = array.astype("<f8").tobytes()
        places = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": "F64", "shape": list(array.shape), "data_offsets": places}
        data += raw
    path.write_bytes(safetensors_bytes(header, data))


def _fill_h5(file: Any) -> None:
    for number, array in enumerate(_arrays().values()):
        file[f"layers/gru/cell/vars/{number}"] = array.T
    file["layers/gru/cell/vars"].attrs["name"] = "gru_cell"


def _h5(path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="writes HDF5")
    with h5py.File(path, "w") as file:
        _fill_h5(file)


def _keras(path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="writes HDF5")
    buffer = BytesIO()
    with h5py.File(buffer, "w") as file:
        _fill_h5(file)
    node = {"class_name": "GRU", "config": {"name": "gru", "activation": "tanh"}}
    config = {"class_name": "Sequential", "config": {"name": "m", "layers": [node]}}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", buffer.getvalue())


def _mat5(path: Path) -> None:
    scipy_io = pytest.importorskip("scipy.io", reason="writes MATLAB files")
    scipy_io.savemat(path, _arrays() | {"s": {"a": 1.0}, "t": "text"}, do_compression=True)


WRITERS: Mapping[str, Callable[[Path], None]] = MappingProxyType(
    {
        "net.npz": _npz,
        "net.pt": _pytorch,
        "net.safetensors": _safetensors,
        "net.keras": _keras,
        "net.h5": _h5,
        "five.mat": _mat5,
    }
)


def damaged(whole: bytes, rng: np.random.Generator) -> bytes:
    """Return a file with some bytes changed, cut off, taken out or put in twice."""
    raw = bytearray(whole)
    kind = rng.integers(5)
    place, length = int(rng.integers(len(raw))), int(rng.integers(1, 40))
    if kind == 0:
        return bytes(raw[:place])
    if kind == 1:
        del raw[place : place + length]
    elif kind == 2:
        raw[place:place] = raw[place : place + length]
    elif kind == 3:
        raw[place : place + 4] = rng.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f"])
    else:
        for at in rng.integers(len(raw), size=int(rng.integers(1, 6))):
            raw[at] = int(rng.integers(256))
    return bytes(raw)


def repacked(path: Path, rng: np.random.Generator) -> None:
    """Damage one member of a zip and put the checksums right again."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = list(members)[int(rng.integers(len(members)))]
    members[name] = damaged(members[name], rng)
    with zipfile.ZipFile(path, "w") as archive:
        for each, content in members.items():
            archive.writestr(each, content)
