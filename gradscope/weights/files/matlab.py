"""A MATLAB file (``.mat``): its numeric matrices, by name, and nothing else.

Version 7.3 is HDF5 with the dimensions in reverse. Version 5 is a header of 128 bytes and then
elements, each a tag (type, bytes) and its data, padded to 8 bytes; a matrix is an element of
elements: flags, dimensions, name, real part.
Numbers stand column by column, often in a narrower type than the matrix's class. Structs, cells and
objects are left out: MATLAB saves the fields of a struct as variables with
``save('weights.mat', '-struct', 'net')``. Read here rather than by SciPy, which allocates as much
as a tag announces before it checks that so much is there. Source: MathWorks, "MAT-File Format"
(R2024a), chapter 1; for 7.3, files as MATLAB writes them (attribute ``MATLAB_class``).
"""

import math
import struct
from collections.abc import Iterator
from itertools import islice
from typing import Any, BinaryIO

import numpy as np

from gradscope.data.columns import quoted
from gradscope.data.intake import AnyArray, unfold
from gradscope.errors import WeightsError
from gradscope.weights.files.contents import Gathering
from gradscope.weights.files.hdf5 import attribute, may_be_read, open_hdf5
from gradscope.weights.files.tensors import MAX_DIMENSIONS

REMEDY = "save it again in MATLAB: save('weights.mat', 'W', 'U', 'b', '-v7')"
SIGNATURE_73 = b"MATLAB 7.3 MAT-file"

HEADER_5, TAG = 128, 8
MATRIX, COMPRESSED, LAST_TYPE = 14, 15, 18
START = 2**11
"""Bytes of a compressed variable that are unfolded to learn its name, class and shape."""

NUMBER_CODES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4"}
NUMBER_CODES |= {9: "f8", 12: "i8", 13: "u8"}
"""Data types of an element that are numbers (table 1-1)."""

NUMERIC = {6: "double", 7: "single", 8: "int8", 9: "uint8", 10: "int16", 11: "uint16"}
NUMERIC |= {12: "int32", 13: "uint32", 14: "int64", 15: "uint64"}
OTHER = {1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 16: "function", 17: "opaque"}
"""Classes of a matrix (table 1-3)."""

OPAQUE = 17
NUMERIC_73 = frozenset({*NUMERIC.values(), "logical"})
COMPLEX = 0x0800

Matrix = tuple[str, str, AnyArray | None]
"""One variable: its name, the class it is of, and its numbers, None where it holds none."""

Element = tuple[int, memoryview]
"""The type of a piece of a version 5 file, and its data."""


def gather(file: BinaryIO, gathering: Gathering) -> dict[str, Any]:
    """Read every matrix of real numbers; a vector is (n,1) or (1,n), as MATLAB has it.
    WeightsError if a matrix is not whole, or h5py is needed and not installed.
    """
    start = file.read(HEADER_5)
    file.seek(0)
    if start.startswith(SIGNATURE_73):
        matrices = _matrices_73(file, gathering)
    else:
        matrices = _matrices_5(file.read(), gathering)
    for name, matlab_class, numbers in matrices:
        if not name:
            continue  # MATLAB's own note on objects
        if numbers is None:
            gathering.skip(name, matlab_class)
        else:
            gathering.keep(name, numbers)
    objects = [name for name, holds in gathering.skipped.items() if holds in ("object", "opaque")]
    if objects and not gathering.arrays:
        raise WeightsError(
            f"it holds an object of MATLAB's, {quoted(objects[0])}, and no matrix; in MATLAB save "
            "what is in it: W = net.Layers(2).RecurrentWeights; save('w.mat', 'W')"
        )
    return {}


def _matrices_73(source: BinaryIO, gathering: Gathering) -> Iterator[Matrix]:
    """Yield the variables of a version 7.3 file, their dimensions put back in MATLAB's order."""
    with open_hdf5(source, "matlab", gathering) as (_, data_sets):
        for name, data_set in data_sets:
            if name.startswith("#"):
                continue  # MATLAB's own store of what cells and structs refer to
            matlab_class = attribute(data_set, "MATLAB_class") or "unknown"
            if "MATLAB_object_decode" in data_set.attrs:
                matlab_class = "object"
            if matlab_class not in NUMERIC_73 or data_set.dtype.kind not in "biuf":
                yield (name, matlab_class if matlab_class.isalpha() else "unknown", None)
            elif "MATLAB_empty" not in data_set.attrs and may_be_read(name, data_set, gathering):
                yield (name.replace("/", "."), matlab_class, data_set[()].T)


def _matrices_5(raw: bytes, gathering: Gathering) -> Iterator[Matrix]:
    """Yield the variables of a whole version 5 file; of what is compressed, only numbers that fit
    are unfolded.
    """
    byte_order = "<" if raw[126:128] == b"IM" else ">"
    for kind, data in _elements(memoryview(raw)[HEADER_5:], byte_order):
        packed, inside, start, size = kind == COMPRESSED, kind, data, 0
        if packed:
            start = memoryview(unfold(data, START, whole=False))
            inside, size = struct.unpack_from(f"{byte_order}2I", start)
            start = start[TAG:]
        if inside == MATRIX:
            name, holds, shape = _head_5(start, byte_order)
            if shape is None:
                yield (name, holds, None)
            elif not packed or gathering.admits(name, size):
                whole = memoryview(unfold(data, TAG + size))[TAG:] if packed else data
                # The numbers stand behind the name.
                flat = _numbers(next(islice(_elements(whole, byte_order), 3, None)), byte_order)
                if math.prod(shape) != flat.size:
                    fault = f"a matrix of shape {tuple(shape)} holds {flat.size} numbers"
                    raise WeightsError(f"{fault}; the file is damaged")
                numbers = flat.reshape(shape, order="F")
                gathering.spend(max(0, size - numbers.nbytes), name)  # What follows them
                yield (name, holds, numbers)


def _elements(data: memoryview, byte_order: str) -> Iterator[Element]:
    """Yield the elements in a run of bytes."""
    place = 0
    while place + TAG <= len(data):
        kind, size = struct.unpack_from(f"{byte_order}2I", data, place)
        start, place_after = place + TAG, place + TAG + size
        if kind >> 16:  # A small element: its size beside its type, its data in the tag
            kind, size, start, place_after = kind & 0xFFFF, kind >> 16, place + 4, place + TAG
        if not 0 < kind <= LAST_TYPE:
            raise WeightsError(f"an element is of type {kind}, which MATLAB does not have")
        if start + size > len(data):
            fault = f"an element of {size} bytes stands where {len(data) - start} are left"
            raise WeightsError(f"{fault}; the file is cut short")
        yield (kind, data[start : start + size])
        place = place_after + (0 if kind == COMPRESSED else -place_after % TAG)


def _head_5(data: memoryview, byte_order: str) -> tuple[str, str, list[int] | None]:
    """Return a variable's name, its class, and its shape, None where it is no real numbers."""
    (_, flags), sizes, (_, name) = islice(_elements(data, byte_order), 3)
    (word,), title = struct.unpack_from(f"{byte_order}I", flags), bytes(name).decode("latin-1")
    code = word & 0xFF
    if code == OPAQUE:  # It has no shape: its name stands first
        title = bytes(sizes[1]).decode("latin-1")
    if code not in NUMERIC:
        return (title, OTHER.get(code, "unknown"), None)
    if word & COMPLEX:
        return (title, "complex numbers", None)
    shape = [int(n) for n in _numbers(sizes, byte_order)]
    if len(shape) > MAX_DIMENSIONS or any(n < 0 for n in shape):
        raise ValueError(f"{len(shape)} dimensions, or a negative one")
    return (title, NUMERIC[code], shape)


def _numbers(element: Element, byte_order: str) -> AnyArray:
    kind, data = element
    return np.frombuffer(data, np.dtype(byte_order + NUMBER_CODES[kind]))
