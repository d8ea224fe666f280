"""Raw bytes as numbers, and strided views of them that cannot leave their storage.

A tensor is ``(storage, offset, size, stride)``; its entry i stands at offset + Σ i_k·stride_k, in
numbers, not bytes. Source: PyTorch's ``torch/_utils.py`` (``_rebuild_tensor_v2``), and for bfloat16
the upper half of an IEEE 754 binary32.
"""

import math
import sys
from collections.abc import Sequence

import numpy as np

from gradscope.data.intake import AnyArray
from gradscope.errors import WeightsError

MAX_DIMENSIONS = 8
FORGED = "the file is damaged or forged"
WIDTHS = {"float64": "f8", "float32": "f4", "float16": "f2", "bfloat16": "u2"}
WIDTHS |= {"int64": "i8", "int32": "i4", "int16": "i2", "int8": "i1", "uint8": "u1", "bool": "u1"}
"""NumPy's code for what is stored of each number type; of bfloat16, the bits."""


def width(number_type: str) -> int:
    """Return the bytes that one number of a type takes."""
    return int(WIDTHS[number_type][1])


def flat_numbers(raw: bytes, number_type: str, byte_order: str = "little") -> AnyArray:
    """Return bytes as a flat array of a type of ``WIDTHS``; bfloat16 becomes float32, exactly."""
    numbers: AnyArray = np.frombuffer(raw, dtype=np.dtype(WIDTHS[number_type]))
    if byte_order != sys.byteorder:
        numbers = numbers.byteswap()
    if number_type == "bfloat16":
        return (numbers.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return numbers


def strided_view(
    flat: AnyArray, offset: int, size: Sequence[int], stride: Sequence[int]
) -> AnyArray:
    """Return the view of a storage (N,) that offset, size and stride, in numbers, describe.
    WeightsError if one is negative or no integer, or the view is larger than the storage.
    """
    described = [offset, *size, *stride]
    if any(type(number) is not int or not 0 <= number < 2**63 for number in described):
        fault = "offset, size and stride must be integers of 0 or more, of 63 bits"
        raise WeightsError(f"{fault}; {FORGED}")
    if len(size) != len(stride) or len(size) > MAX_DIMENSIONS:
        fault = f"equally many are needed, at most {MAX_DIMENSIONS}; {FORGED}"
        raise WeightsError(f"it has {len(size)} sizes and {len(stride)} strides; {fault}")
    count = math.prod(size)
    if count == 0:
        return np.empty(size, dtype=flat.dtype)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if last >= flat.size or count > flat.size:
        fault = f"it asks for {count} entries up to number {last} of a storage of {flat.size}"
        remedy = "or a tensor was expanded: save tensor.contiguous()"
        raise WeightsError(f"{fault}; {FORGED}, {remedy}")
    steps = [step * flat.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(flat[offset:], size, steps, writeable=False)
