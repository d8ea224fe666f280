"""Honest small files of every kind that gradscope reads, and the commands that read them.

A seed is written by the program whose format it is, where that is installed; a kind whose writer is
missing is skipped with a reason.
"""

import contextlib
import csv
import importlib
import io
import pickle
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from gradscope.cli.app import run
from tests.weights.mutating import WRITERS

SIZES = ("--hidden", "3", "--steps", "6", "--sequences", "2", "--updates", "1", "--burn-in", "0")
"""A study of some milliseconds, whatever a file says."""

NETWORK = ("--activation", "tanh", "--leak", "1", "--steps", "6", "--sequences", "2")

INSPECT = (("inspect", "FILE"), ("inspect", "FILE", "--json"), ("inspect", "FILE", "-o", "out.csv"))
ANALYZE = (("analyze", "FILE", *NETWORK, "--burn-in", "0", "--json"),)
DATA = (("analyze", "--data", "FILE", *SIZES, "--json"),)
SEQUENCES = (("analyze", "net.npz", *NETWORK, "--data", "FILE", "--json"),)
MADE = (("show-config", "FILE"), ("show-config", "FILE", "--json"), ("rerun", "FILE", "--json"))


@dataclass(frozen=True, eq=False, slots=True)
class Kind:
    """One kind of file: its name, how to write it, the commands that read it, the package that its
    writer needs, how to change it, and what writes a ``net.npz`` beside it.
    """

    file: str
    write: Callable[[Path], None]
    commands: tuple[tuple[str, ...], ...]
    needs: tuple[str, ...] = ()
    mutators: tuple[str, ...] = ("bytes",)
    beside: Callable[[Path], None] | None = None

    @property
    def missing(self) -> str | None:
        """Return a package that the writer needs and that is not installed."""
        absent = (name for name in self.needs if not _present(name))
        return next(absent, None)


def _present(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def gradscope(*words: str | Path) -> None:
    """Run a command line of gradscope that must succeed, in this process."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        code = run([str(word) for word in words])
    assert code == 0, shown.getvalue()


def _weights(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "weight_ih_l0": rng.normal(size=(3, 2)),
        "weight_hh_l0": rng.normal(size=(3, 3)),
        "bias_ih_l0": rng.normal(size=3),
    }


def _torch(path: Path) -> None:
    torch = importlib.import_module("torch")
    torch.save({k: torch.tensor(v) for k, v in _weights(np.random.default_rng(0)).items()}, path)


def _torch_legacy(path: Path) -> None:
    torch = importlib.import_module("torch")
    state = {k: torch.tensor(v) for k, v in _weights(np.random.default_rng(0)).items()}
    torch.save(state, path, _use_new_zipfile_serialization=False)


def _bare_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(_weights(np.random.default_rng(0)), protocol=2))


def _safetensors(path: Path) -> None:
    save = importlib.import_module("safetensors.numpy").save_file
    save(_weights(np.random.default_rng(0)), path)


def _mat73(path: Path) -> None:
    h5py = importlib.import_module("h5py")
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in _weights(np.random.default_rng(0)).items():
            file[name] = array.T
            file[name].attrs["MATLAB_class"] = np.bytes_("double")
    mark = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM"
    with path.open("r+b") as raw:
        raw.write(mark)


def _onnx(path: Path) -> None:
    onnx = importlib.import_module("onnx")
    rng = np.random.default_rng(0)
    arrays = {"W": rng.normal(size=(1, 3, 2)), "R": rng.normal(size=(1, 3, 3))}
    tensors = [
        onnx.numpy_helper.from_array(value.astype(np.float32), name)
        for name, value in arrays.items()
    ]
    node = onnx.helper.make_node("RNN", ["X", "W", "R"], ["Y", "Y_h"], name="rnn", hidden_size=3)
    inputs = onnx.helper.make_tensor_value_info("X", 1, [5, 1, 2])
    output = onnx.helper.make_tensor_value_info("Y", 1, None)
    graph = onnx.helper.make_graph([node], "net", [inputs], [output], initializer=tensors)
    onnx.save(onnx.helper.make_model(graph), path)


def _table(path: Path) -> None:
    rng = np.random.default_rng(0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["date", "value", "other"])
        rows = zip(range(60), rng.normal(size=(60, 2)).round(4).tolist(), strict=True)
        writer.writerows([f"2020-01-{1 + day % 28:02}", *values] for day, values in rows)


def _xlsx(path: Path) -> None:
    book = importlib.import_module("openpyxl").Workbook()
    rng = np.random.default_rng(0)
    for row in [["t", "value"], *([n, x] for n, x in enumerate(rng.normal(size=60).tolist()))]:
        book.active.append(row)
    book.save(path)


def _toml(path: Path) -> None:
    text = 'activation = "tanh"\ngain = 0.9\nhidden = 3\nsteps = 6\ncenter-bias = false\nseed = 1\n'
    path.write_text(text + 'leak = [0.5, 0.25, 1.0]\ninit = "orthogonal"\nclip-norm = 1.0\n')


def _picture(path: Path) -> None:
    gradscope("analyze", *SIZES, "--panel", "profile", "--png", path)


def _document(path: Path) -> None:
    gradscope("analyze", *SIZES, "-o", path)


def _comparison(path: Path) -> None:
    gradscope("compare", "--steps", "4,6", "--seeds", "1", "--hidden", "3", "--updates", "1",
              "--sequences", "2", "--burn-in", "0", "-o", path)  # fmt: skip


def _run(path: Path) -> None:
    gradscope("analyze", *SIZES, "--save", path)


def _html(path: Path) -> None:
    gradscope("analyze", *SIZES, "--html", path)


def _store(path: Path) -> None:
    axes = ("-P", "gain=0.5,1", "-P", "activation=tanh,sigmoid")
    gradscope("sweep", *axes, *SIZES, "-o", path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        # The same bytes each time.
        connection.execute("UPDATE cells SET duration_seconds = 1, finished_at = '2020-01-01'")
        connection.commit()


def _arrays(path: Path) -> None:
    np.save(path, np.random.default_rng(0).normal(size=60))


def _sequences(path: Path) -> None:
    np.save(path, np.random.default_rng(0).normal(size=(20, 2, 2)))


def _archive_of_data(path: Path) -> None:
    np.savez(path, x=np.random.default_rng(0).normal(size=60))


def _npz(path: Path) -> None:
    np.savez(path, **_weights(np.random.default_rng(0)))


SAVED = (
    ("analyze", "--load", "FILE", "--burn-in", "0", "--json"),
    ("explain", "verdict", "FILE"),
    *MADE,
)
STORE = (
    ("report", "FILE"),
    ("report", "FILE", "--json"),
    ("export", "FILE"),
    ("export", "FILE", "--format", "jsonl"),
    ("export", "FILE", "-o", "out.npz"),
    ("merge", "FILE", "-o", "out.db"),
    ("sweep", "-P", "gain=0.5,1", "-P", "activation=tanh,sigmoid", *SIZES, "-o", "FILE"),
)

ZIP = ("bytes", "zip", "zip")
WEIGHTS = INSPECT + ANALYZE

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "npz": Kind("net.npz", _npz, WEIGHTS, mutators=(*ZIP, "npy-in-zip")),
        "pt": Kind("net.pt", _torch, WEIGHTS, ("torch",), (*ZIP, "pickle-in-zip")),
        "pt-legacy": Kind("net.pt", _torch_legacy, WEIGHTS, ("torch",), ("bytes", "pickle")),
        "pickle": Kind("net.pkl", _bare_pickle, WEIGHTS, (), ("bytes", "pickle")),
        "safetensors": Kind(
            "net.safetensors", _safetensors, WEIGHTS, ("safetensors",), ("bytes", "safetensors")
        ),
        "keras": Kind(
            "net.keras", WRITERS["net.keras"], WEIGHTS, ("h5py",), (*ZIP, "json-in-zip")
        ),
        "h5": Kind("net.h5", WRITERS["net.h5"], WEIGHTS, ("h5py",), ("bytes", "hdf5")),
        "mat5": Kind("net.mat", WRITERS["five.mat"], WEIGHTS, ("scipy",), ("bytes", "numbers")),
        "mat73": Kind("net.mat", _mat73, WEIGHTS, ("h5py",), ("bytes", "hdf5")),
        "onnx": Kind("net.onnx", _onnx, WEIGHTS, ("onnx",)),
        "data-npy": Kind("data.npy", _arrays, DATA, (), ("bytes", "npy")),
        "sequences": Kind("x.npy", _sequences, SEQUENCES, (), ("bytes", "npy"), _npz),
        "data-npz": Kind("data.npz", _archive_of_data, DATA, (), (*ZIP, "npy-in-zip")),
        "csv": Kind(
            "data.csv", _table, (DATA[0], (*DATA[0], "--column", "value")), (), ("bytes", "table")
        ),
        "xlsx": Kind("data.xlsx", _xlsx, DATA, ("openpyxl",), ZIP),
        "toml": Kind(
            "set.toml", _toml, (("analyze", "--config", "FILE", *SIZES, "--json"),), (),
            ("bytes", "toml", "toml"),
        ),
        "json": Kind("run.json", _document, MADE, (), ("bytes", "json", "json")),
        "comparison": Kind("runs.json", _comparison, MADE, (), ("bytes", "json", "json")),
        "saved-run": Kind("run.npz", _run, SAVED, (), (*ZIP, "npy-in-zip", "json-in-zip")),
        "png": Kind("p.png", _picture, MADE, (), ("bytes", "png", "png")),
        "svg": Kind("p.svg", _picture, MADE, (), ("bytes", "json-inside")),
        "pdf": Kind("p.pdf", _picture, MADE, (), ("bytes", "json-inside")),
        "html": Kind("p.html", _html, MADE, (), ("bytes", "json-inside")),
        "store": Kind("s.db", _store, STORE, (), ("bytes", "store", "store")),
    }
)  # fmt: skip
"""Every kind by name. ``mutators`` are names of ``mutators.MUTATORS``; one that stands twice is
taken twice as often.
"""
