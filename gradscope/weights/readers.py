"""The kinds of weight files that are read, one row each: what a file's first bytes decide, its name
only where these say nothing.

To add a kind, write its module in ``files``, and add its row and the module to ``read_file``, which
imports when a file is read, so that help pages list the endings without NumPy.
"""

import os
import re
import tomllib
from collections.abc import Sequence
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

ZIP = b"PK\x03\x04"


@dataclass(frozen=True, eq=False, slots=True)
class Reader:
    """One kind of weight file.

    ``format`` is its name in documents, ``words`` on pages. A file is one whose first bytes the
    pattern ``starts`` fits, or a zip of whose ``members``, one a line, that pattern is found. The
    module ``files.<format>`` reads it: ``gather(file, gathering)`` the arrays of an open file,
    returning its metadata, while ``REMEDY`` says how to save a damaged one again.
    """

    format: str
    words: str
    endings: tuple[str, ...]
    starts: bytes = rb"(?!)"
    members: str = "(?!)"


READERS = (
    Reader("npz", "a NumPy archive", (".npz",), members=r"\A(.*\.npy(\n|\Z))+\Z"),
    Reader(
        "pytorch",
        "a PyTorch checkpoint",
        (".pt", ".pth"),
        rb"..\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19\.",  # The magic number, pickled, before PyTorch 1.6
        r"^(.*/)?data\.pkl$",
    ),
    Reader("safetensors", "a safetensors file", (".safetensors",), rb"(?=.{0,7}\0).{8}\{"),
    Reader(
        "keras",
        "a Keras model",
        (".keras", ".weights.h5", ".h5"),
        rb"\x89HDF\r\n\x1a\n",
        r"^(model\.weights\.h5|config\.json)$",
    ),
    Reader("matlab", "a MATLAB file", (".mat",), rb"MATLAB (5\.0|7\.3) MAT-file"),
    Reader("onnx", "an ONNX graph", (".onnx",), rb"\x08[\2-\x1f][\x12\x1a\x22\x28\x32\x3a\x42]"),
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
    flags = re.MULTILINE if table == "names" else re.DOTALL
    return next((what for row, what in rows[table].items() if re.search(row, text, flags)), None)


def _reader(path: Path, file: BinaryIO, found: "Gathering") -> Reader:
    """Return the reader that fits a file's first bytes and, of a zip, its members."""
    from gradscope.data.intake import ZipMembers

    head, members = file.read(HEAD), tuple[str, ...]()
    if head.startswith(ZIP):
        with found.reading("a zip of weights", "copy or save it again"):
            members = ZipMembers(file, found).names
    file.seek(-min(TAIL, found.size), os.SEEK_END)
    ends = head + file.read()
    if recognised("names", "\n".join((path.name, *members))) is None:
        inside = "\n".join(members)
        for reader in READERS:
            starts = re.match(reader.starts, ends, re.DOTALL)
            if starts or re.search(reader.members, inside, re.MULTILINE):
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
