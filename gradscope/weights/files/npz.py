"""A NumPy archive (``.npz``): named arrays, of which none is unpickled.

gradscope's saved runs, PsychRNN's, and any other. What needs pickle (PsychRNN's ``dale_ratio`` of
None) is left out. Source: NumPy's ``numpy.lib.format``, versions 1.0 to 3.0.
"""

import json
import math
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np

from gradscope.data.columns import quoted
from gradscope.errors import WeightsError
from gradscope.weights.files.contents import Gathering
from gradscope.weights.files.zip import ZipMembers

REMEDY = "save it again: numpy.savez('weights.npz', W=W, U=U, b=b)"
SETTINGS = "settings"
LONGEST_SETTINGS = 2**20


def gather(file: BinaryIO, gathering: Gathering) -> dict[str, Any]:
    """Read every array of real numbers; return the ``settings`` of a saved run. WeightsError if an
    array is declared larger than its bytes.
    """
    about: dict[str, Any] = {}
    members = ZipMembers(file, gathering)
    for member in members.names:
        name = member.removesuffix(".npy")
        array = _array(name, members.read(member))
        if array is None:
            gathering.skip(name, "objects, which NumPy pickles")
        elif array.dtype.kind in "biuf":
            gathering.keep(name, array)
        else:
            gathering.skip(name, "text" if array.dtype.kind in "US" else str(array.dtype))
            about |= _settings(array) if name == SETTINGS and array.dtype.kind == "U" else {}
    return about


def _array(name: str, raw: bytes) -> np.ndarray[Any, Any] | None:
    """Return the array in one member, None where it can only be unpickled."""
    file = BytesIO(raw)
    first = np.lib.format.read_magic(file) == (1, 0)
    # Version 3.0 differs from 2.0 in field names that are not Latin-1, of which numbers have none.
    read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
    shape, columns_first, dtype = read(file)
    if dtype.hasobject:
        return None
    wanted, left = math.prod(shape) * dtype.itemsize, len(raw) - file.tell()
    if any(n < 0 for n in shape) or wanted != left:
        raise WeightsError(
            f"{quoted(name)} of shape {quoted(str(shape))} takes {wanted:.6g} bytes, but "
            f"{left} are there; {REMEDY}"
        )
    flat = np.frombuffer(raw, dtype=dtype, offset=file.tell())
    return flat.reshape(shape, order="F" if columns_first else "C")


def _settings(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Return the settings of a saved run; nothing where the text is another program's."""
    text = str(array) if array.nbytes <= LONGEST_SETTINGS else ""
    try:
        values = json.loads(text)
    except ValueError:
        return {}
    return {SETTINGS: values} if isinstance(values, dict) else {}
