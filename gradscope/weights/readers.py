"""The kinds of weight files that are read, one row each: what a file's first bytes decide, its name
only where these say nothing.

To add a kind, write its module in ``files``, and add its row and the module to ``read_file``, which
imports when a file is read, so that help pages list the endings without NumPy.
"""

import os
import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, BinaryIO

from gradscope.errors import WeightsError

if TYPE_CHECKING:
    from gradscope.weights.files.contents import Gathering, WeightFile

MAX_NAMES = 10_000
HEAD, TAIL = 512, 8
"""Bytes at a file's start and end that decide which reader it needs."""

ZIP, HDF5 = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"
OLD_TORCH = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The magic number, pickled, that opens what torch.save wrote before PyTorch 1.6."""

MATLAB = (b"MATLAB 5.0 MAT-file", b"MATLAB 7.3 MAT-file")

Fits = Callable[[bytes, Sequence[str], str], bool]


@dataclass(frozen=True, eq=False, slots=True)
class Reader:
    """One kind of weight file.

    ``format`` is its name in documents, ``words`` on pages; ``fits(head, members, suffix)`` tells
    from its ends, the members of a zip and the name's end whether a file is one. The module
    ``files.<format>`` reads it: ``gather(file, gathering)`` the arrays of an open file, returning
    its metadata, while ``REMEDY`` says how to save a damaged one again.
    """

    format: str
    words: str
    endings: tuple[str, ...]
    fits: Fits


READERS = (
    Reader(
        "npz",
        "a NumPy archive",
        (".npz",),
        lambda _, members, __: bool(members) and all(name.endswith(".npy") for name in members),
    ),
    Reader(
        "pytorch",
        "a PyTorch checkpoint",
        (".pt", ".pth"),
        lambda head, members, _: (
            any(name.rpartition("/")[2] == "data.pkl" for name in members)
            or head[2:].startswith(OLD_TORCH)
        ),
    ),
    Reader(
        "safetensors",
        "a safetensors file",
        (".safetensors",),
        lambda head, *_: head[8:9] == b"{" and 0 in head[:8],
    ),
    Reader(
        "keras",
        "a Keras model",
        (".keras", ".weights.h5", ".h5"),
        lambda head, members, _: (
            head.startswith(HDF5) or not {"model.weights.h5", "config.json"}.isdisjoint(members)
        ),
    ),
    Reader(
        "matlab",
        "a MATLAB file",
        (".mat",),
        lambda head, _members, suffix: (
            head.startswith(MATLAB)
            # Version 4 has no signature.
            or (suffix == ".mat" and recognised("bytes", head.decode("latin-1")) is None)
        ),
    ),
    Reader(
        "onnx",
        "an ONNX graph",
        (".onnx",),
        lambda head, *_: (
            re.match(rb"\x08[\2-\x1f][\x12\x1a\x22\x28\x32\x3a\x42]", head) is not None
        ),
    ),
)

ENDINGS = [ending for reader in READERS for ending in reader.endings]
READABLE = f"{', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}"


def read_file(path: Path) -> "WeightFile":
    """Read a file's arrays with the reader that fits its content; WeightsError if none does."""
    from gradscope.data.intake import opened
    from gradscope.weights.files import keras, matlab, npz, onnx, pytorch, safetensors
    from gradscope.weights.files.contents import Gathering, WeightFile

    modules = (keras, matlab, npz, onnx, pytorch, safetensors)
    if path.is_dir() and os.access(path, os.R_OK):
        raise _unread(path, [each.name for each in islice(path.iterdir(), MAX_NAMES)])
    with opened(path, WeightsError) as file:
        found = Gathering(path)
        reader = _reader(path, file, found)
        module: ModuleType = next(m for m in modules if m.__name__.endswith(f".{reader.format}"))
        file.seek(0)
        with found.reading(reader.words, module.REMEDY):
            about = module.gather(file, found)
        return WeightFile(path, reader.format, found.arrays, found.stored_as, found.skipped, about)


def recognised(table: str, text: str) -> str | None:
    """Return what the first row of a table of ``recognised.toml`` that fits a text says."""
    rows = tomllib.loads((files("gradscope.weights") / "recognised.toml").read_text("utf-8"))
    flags = re.DOTALL | re.MULTILINE
    return next((what for row, what in rows[table].items() if re.search(row, text, flags)), None)


def _reader(path: Path, file: BinaryIO, found: "Gathering") -> Reader:
    """Return the reader that fits a file's first bytes and, of a zip, its members."""
    from gradscope.data.intake import ZipMembers

    head, members = file.read(HEAD), ()
    if head.startswith(ZIP):
        with found.reading("a zip of weights", "copy or save it again"):
            members = ZipMembers(file, found).names
    file.seek(-min(TAIL, found.size), os.SEEK_END)
    ends = head + file.read()
    if recognised("names", "\n".join((path.name, *members))) is None:
        for reader in READERS:
            if reader.fits(ends, members, path.suffix.lower()):
                return reader
    raise _unread(path, members, ends)


def _unread(path: Path, names: Sequence[str], ends: bytes = ZIP) -> WeightsError:
    """Return the error for a file that no reader fits, or a folder: what it is, and what to do."""
    from gradscope.data.columns import listed

    inside = tuple(name for name in names if name.lower().endswith(tuple(ENDINGS)))
    holds = f"holds {listed(inside)}; unpack it if it is a zip, and give that file"
    if not inside:
        holds = f"is a folder or zip of {listed(tuple(names)) or 'nothing'}; give a {READABLE}"
    unknown = f"is not a weight file that gradscope can read; give a {READABLE}"
    known = recognised("names", "\n".join((path.name, *names)))
    known = known or recognised("bytes", ends.decode("latin-1"))
    return WeightsError(f"{path} {known or (holds if ends.startswith(ZIP) else unknown)}")
