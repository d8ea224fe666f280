"""The kinds of weight files that are read, one row each: what a file's first bytes decide, its name
only where these say nothing.

To add a kind, write its module in ``files``, and add its row and the module to ``read_file``, which
imports when a file is read, so that help pages list the endings without NumPy.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, BinaryIO

from gradscope.errors import WeightsError

if TYPE_CHECKING:
    from gradscope.weights.files.contents import Gathering, WeightFile

HEAD = 64
"""Bytes at a file's start that decide which reader it needs."""

ZIP, HDF5, NPY, PICKLE = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"\x93NUMPY", b"\x80"
MATLAB = (b"MATLAB 5.0 MAT-file", b"MATLAB 7.3 MAT-file")
OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The magic number that opens what torch.save wrote before PyTorch 1.6, pickled."""

SAVE_ARRAYS = "numpy.savez('weights.npz', W=W, U=U, b=b)"
NOT_READ = {
    OLD_TORCH: "is in PyTorch's format from before 1.6, a bare pickle, which is not read; "
    "convert it where it is trusted: torch.save(torch.load('old.pt'), 'new.pt')",
    NPY: f"is a single array without a name; save all of them: {SAVE_ARRAYS}",
    PICKLE: f"is a bare pickle, which could run anything when read; save the arrays: {SAVE_ARRAYS}",
}
"""What a file is that no reader fits, by how it starts, and what to save instead."""

Fits = Callable[[bytes, Sequence[str], str], bool]


@dataclass(frozen=True, eq=False, slots=True)
class Reader:
    """One kind of weight file.

    ``format`` is its name in documents, ``words`` on pages; ``fits(head, members, suffix)`` tells
    from the first bytes, the members of a zip and the name's end whether a file is one. The module
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
        lambda _, members, __: any(name.rpartition("/")[2] == "data.pkl" for name in members),
    ),
    Reader(
        "safetensors", "a safetensors file", (".safetensors",), lambda head, *_: head[8:9] == b"{"
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
            or (suffix == ".mat" and not head.startswith((NPY, OLD_TORCH)))
        ),
    ),
)

ENDINGS = [ending for reader in READERS for ending in reader.endings]
READABLE = f"{', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}"


def read_file(path: Path) -> "WeightFile":
    """Read a file's arrays with the reader that fits its content; WeightsError if none does."""
    from gradscope.data.intake import opened
    from gradscope.weights.files import keras, matlab, npz, pytorch, safetensors
    from gradscope.weights.files.contents import Gathering, WeightFile

    modules = (keras, matlab, npz, pytorch, safetensors)
    with opened(path, WeightsError) as file:
        found = Gathering(path)
        reader = _reader(path, file, found)
        module: ModuleType = next(m for m in modules if m.__name__.endswith(f".{reader.format}"))
        file.seek(0)
        with found.reading(reader.words, module.REMEDY):
            about = module.gather(file, found)
        return WeightFile(path, reader.format, found.arrays, found.stored_as, found.skipped, about)


def _reader(path: Path, file: BinaryIO, found: "Gathering") -> Reader:
    """Return the reader that fits a file's first bytes and, of a zip, its members."""
    from gradscope.data.columns import listed
    from gradscope.data.intake import ZipMembers

    head, members = file.read(HEAD), ()
    if head.startswith(ZIP):
        with found.reading("a zip of weights", "copy or save it again"):
            members = ZipMembers(file, found).names
    for reader in READERS:
        if reader.fits(head, members, path.suffix.lower()):
            return reader
    if head.startswith(ZIP):
        raise WeightsError(
            f"{path} is a zip of {listed(members) or 'nothing'}, not of weights; give a {READABLE}"
        )
    unknown = f"is not a weight file that gradscope can read; give a {READABLE}"
    known = (what for start, what in NOT_READ.items() if head.startswith(start))
    raise WeightsError(f"{path} {next(known, unknown)}")
