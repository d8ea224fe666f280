"""An HDF5 file walked with care: no link out of the file, no data kept elsewhere, no circle.

Keras and MATLAB 7.3 save into it. A data set may declare any size without holding it, and so may
a chunk of it, so each is counted before it is read. Source: the HDF5 file format 3.0, sections on
links, on external storage and on the global heap (III.E).
"""

import math
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any, BinaryIO

from gradscope.data.columns import quoted
from gradscope.data.intake import unfold
from gradscope.errors import WeightsError, install_line
from gradscope.weights.files.contents import COST, Gathering

COPY = "copy the numbers into the file itself, once"

DEFLATE, SHUFFLE, CHECKSUM = 1, 2, 3
"""Filters of chunks; of these, only the first makes data longer."""

HEAP = b"GCOL\x01\0\0\0"
"""What opens a collection of texts: signature, version 1, reserved bytes."""

HEAP_HEADER = 16
"""Bytes before the first text of a collection, and before the content of each."""


@contextmanager
def open_hdf5(
    source: BinaryIO, extra: str, gathering: Gathering
) -> Iterator[tuple[Any, Iterator[tuple[str, Any]]]]:
    """Open an HDF5 file, or one held in memory; yield the ``h5py.File`` and its data sets.
    WeightsError if its texts are damaged, or h5py, of this extra, is not installed.
    """
    try:
        import h5py  # type: ignore[import-untyped]
    except ImportError as error:
        text = f"it needs h5py, which is not installed; {install_line(extra)}"
        raise WeightsError(text) from error
    if isinstance(source, BytesIO):
        _check_heaps(source.getvalue(), gathering)
    else:
        with mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as content:
            _check_heaps(content, gathering)
    with h5py.File(source, "r") as file:
        yield file, _data_sets(h5py, file, gathering)


def _check_heaps(content: bytes | mmap.mmap, gathering: Gathering) -> None:
    """Refuse texts over which the HDF5 library would loop for ever: it stays where a size is 0."""
    start = content.find(HEAP)
    while start >= 0:
        end = start + int.from_bytes(content[start + 8 : start + HEAP_HEADER], "little")
        place = start + HEAP_HEADER
        while place + HEAP_HEADER <= end <= len(content):
            gathering.visit()
            index = int.from_bytes(content[place : place + 2], "little")
            size = int.from_bytes(content[place + 8 : place + HEAP_HEADER], "little")
            if index == 0 and size < HEAP_HEADER:  # What is free counts its own header
                break
            place += size if index == 0 else HEAP_HEADER + size + -size % 8
        if not end - HEAP_HEADER < place <= end <= len(content):
            raise WeightsError("a collection of texts in it is damaged; save it again")
        start = content.find(HEAP, start + 1)


def _data_sets(h5py: Any, file: Any, gathering: Gathering) -> Iterator[tuple[str, Any]]:
    """Yield every data set with its path, in the order of the names. WeightsError if a link leads
    out of the file or in a circle, or a data set keeps its numbers elsewhere.
    """
    waiting: list[tuple[str, Any, str]] = [("", file, "/")]
    seen: set[int] = set()
    while waiting:
        path, parent, name = waiting.pop()
        item = parent[name]
        if isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual:
                raise WeightsError(f"{quoted(path)} keeps its numbers in another file; {COPY}")
            yield path, item
        elif isinstance(item, h5py.Group):
            gathering.check_name(path)
            for name in reversed(list(item)):
                gathering.visit(COST)
                link = item.id.links.get_info(name.encode("utf-8", "surrogateescape"))
                if link.type != h5py.h5l.TYPE_HARD or link.u in seen:
                    raise WeightsError(f"{quoted(name)} is a link to elsewhere; {COPY}")
                seen.add(link.u)  # The address of what it leads to
                waiting.append((f"{path}/{name}" if path else name, item, name))


def attribute(item: Any, name: str) -> str | None:
    """Return one text that stands beside a group or a data set, None where there is none."""
    # Of many, each may stand for the same long text, so only one by itself is read.
    alone = name in item.attrs and item.attrs.get_id(name).shape == ()
    value = item.attrs[name] if alone else None
    text = value.decode() if isinstance(value, bytes) else value
    return text if isinstance(text, str) else None


def may_be_read(name: str, data_set: Any, gathering: Gathering) -> bool:
    """Whether a data set may be read; one that takes too many bytes is left out by name. HDF5
    unfolds whole chunks, and whatever a compressed one unfolds to, so these are looked at first.
    """
    if data_set.chunks is None:
        return gathering.admits(name, data_set.nbytes)
    chunk, plan = data_set.chunks, data_set.id.get_create_plist()
    size = math.prod(chunk) * data_set.dtype.itemsize
    filters = [plan.get_filter(place)[0] for place in range(plan.get_nfilters())]
    if len(filters) > len({DEFLATE, SHUFFLE, CHECKSUM}.intersection(filters)):
        gathering.skip(name, "numbers under a filter that is not read; save them with gzip")
        return False
    if not gathering.admits(name, max(size, data_set.nbytes)):
        return False
    count = math.prod(-(-n // c) for n, c in zip(data_set.shape, chunk, strict=True))
    gathering.visit(count)
    if DEFLATE in filters:
        gathering.spend(count * size - data_set.nbytes, name)  # What stands beyond its edges
        chunks: list[Any] = []
        data_set.id.chunk_iter(chunks.append)
        for each in chunks:
            unfold(data_set.id.read_direct_chunk(each.chunk_offset)[1], size)
    return True
