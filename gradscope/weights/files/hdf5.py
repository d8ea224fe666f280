"""An HDF5 file walked with care: no link out of the file, no data kept elsewhere, no circle.

Keras and MATLAB 7.3 save into it. A data set may declare any size without holding it, so each is
counted before it is read. Source: the HDF5 file format 3.0, sections on links, on external storage
and on the global heap (III.E).
"""

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any, BinaryIO

from gradscope.data.columns import quoted
from gradscope.errors import WeightsError, install_line

DEEPEST = 24
"""Groups within groups; a Keras model of models has a dozen."""

MAX_ITEMS = 50_000
"""Groups and data sets; a layer of Keras's takes about six."""

HEAP = b"GCOL\x01\0\0\0"
"""What opens a collection of texts: signature, version 1, reserved bytes."""

HEAP_HEADER = 16
"""Bytes before the first text of a collection, and before the content of each."""


@contextmanager
def open_hdf5(source: BinaryIO, extra: str) -> Iterator[tuple[Any, Iterator[tuple[str, Any]]]]:
    """Open an HDF5 file, or one held in memory; yield the ``h5py.File`` and its data sets.
    WeightsError if its texts are damaged, or h5py, of this extra, is not installed.
    """
    try:
        import h5py  # type: ignore[import-untyped]
    except ImportError as error:
        text = f"it needs h5py, which is not installed; {install_line(extra)}"
        raise WeightsError(text) from error
    if isinstance(source, BytesIO):
        _check_heaps(source.getvalue())
    else:
        with mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as content:
            _check_heaps(content)
    with h5py.File(source, "r") as file:
        yield file, _data_sets(h5py, file)


def _check_heaps(content: bytes | mmap.mmap) -> None:
    """Refuse texts over which the HDF5 library would loop for ever: it stays where a size is 0."""
    start = content.find(HEAP)
    while start >= 0:
        end = start + int.from_bytes(content[start + 8 : start + HEAP_HEADER], "little")
        place = start + HEAP_HEADER
        while place + HEAP_HEADER <= end <= len(content):
            index = int.from_bytes(content[place : place + 2], "little")
            size = int.from_bytes(content[place + 8 : place + HEAP_HEADER], "little")
            if index == 0 and size < HEAP_HEADER:  # What is free counts its own header
                break
            place += size if index == 0 else HEAP_HEADER + size + -size % 8
        if not end - HEAP_HEADER < place <= end <= len(content):
            raise WeightsError("a collection of texts in it is damaged; save it again")
        start = content.find(HEAP, start + 1)


def _data_sets(h5py: Any, file: Any) -> Iterator[tuple[str, Any]]:
    """Yield every data set with its path, in the order of the names. WeightsError if a link leads
    out of the file or in a circle, or a data set keeps its numbers elsewhere.
    """
    waiting: list[tuple[str, int, Any]] = [("", 0, file)]
    for _ in range(MAX_ITEMS):
        if not waiting:
            return
        path, depth, item = waiting.pop()
        if isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual:
                raise WeightsError(
                    f"{quoted(path)} keeps its numbers in another file; copy them into the file "
                    "itself"
                )
            yield path, item
        elif isinstance(item, h5py.Group) and depth < DEEPEST:
            for name in reversed(list(item)):
                if not isinstance(item.get(name, getlink=True), h5py.HardLink):
                    raise WeightsError(
                        f"{quoted(name)} is a link to elsewhere; copy the numbers into the file "
                        "itself"
                    )
                waiting.append((f"{path}/{name}" if path else name, depth + 1, item[name]))
        elif isinstance(item, h5py.Group):
            break
    raise WeightsError(
        f"it nests groups more than {DEEPEST} deep, in a circle, or beyond {MAX_ITEMS} items; "
        "save the recurrent weights alone"
    )
