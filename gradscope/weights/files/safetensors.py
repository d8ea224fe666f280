"""A ``.safetensors`` file: eight bytes of header length, a JSON header, then raw numbers.

The header gives each tensor its type, shape and place; places cover the rest of the file without
hole or overlap. Read with NumPy alone, since the check of the layout is most of a reader. Source:
the format's own page, https://github.com/huggingface/safetensors, section "Format".
"""

from typing import Any, BinaryIO, NamedTuple

from gradscope.data.columns import quoted
from gradscope.errors import WeightsError
from gradscope.weights.files.contents import Gathering
from gradscope.weights.files.tensors import MAX_DIMENSIONS, flat_numbers

LENGTH_BYTES = 8
REMEDY = "save it again: safetensors.torch.save_file(model.state_dict(), 'weights.safetensors')"

NUMBER_TYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
NUMBER_TYPES |= {"I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8"}
NUMBER_TYPES |= {"U8": "uint8", "BOOL": "bool"}


class _Entry(NamedTuple):
    """One tensor of the header; ``begin`` and ``end`` are bytes from the end of the header."""

    name: str
    code: str
    shape: tuple[int, ...]
    begin: int
    end: int


def gather(file: BinaryIO, gathering: Gathering) -> dict[str, Any]:
    """Read every tensor; return the ``metadata``. WeightsError if the header does not fit."""
    header = _header(file, gathering)
    metadata = header.pop("__metadata__", {})
    entries = []
    for name, values in header.items():
        code, shape, (begin, end) = values["dtype"], values["shape"], values["data_offsets"]
        whole = all(type(n) is int and 0 <= n < 2**63 for n in (*shape, begin, end))
        if not whole or len(shape) > MAX_DIMENSIONS:
            raise WeightsError(f"{quoted(name)} has shape {quoted(str(shape))}; {REMEDY}")
        entries.append(_Entry(name, code, tuple(shape), begin, end))
    start = file.tell()
    reached, n_bytes = 0, gathering.size - start
    # No places may overlap, leave a hole, or reach beyond the file.
    for entry in sorted(entries, key=lambda each: (each.begin, each.end)):
        if entry.begin != reached:
            fault = f"begins at byte {entry.begin}, but the one before ends at {reached}"
            raise WeightsError(f"{quoted(entry.name)} {fault}; {REMEDY}")
        reached = entry.end
    if reached != n_bytes:
        fault = f"the header speaks of {reached} bytes, but {n_bytes} follow"
        raise WeightsError(f"{fault}; the file is cut short or damaged: {REMEDY}")
    for entry in entries:
        if entry.code not in NUMBER_TYPES:
            gathering.skip(entry.name, f"numbers of type {quoted(entry.code)}")
            continue
        number_type = NUMBER_TYPES[entry.code]
        file.seek(start + entry.begin)
        flat = flat_numbers(file.read(entry.end - entry.begin), number_type)
        gathering.keep(entry.name, flat.reshape(entry.shape), number_type)
    return {"metadata": metadata}


def _header(file: BinaryIO, gathering: Gathering) -> dict[str, Any]:
    length, size = int.from_bytes(file.read(LENGTH_BYTES), "little"), gathering.size
    if length > size - LENGTH_BYTES:
        sizes = f"the header is said to have {length} bytes, but the file has {size}"
        raise WeightsError(f"{sizes}; it is cut short: {REMEDY}")

    def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = dict(pairs)
        if len(names) < len(pairs):
            raise ValueError("the header names a tensor twice")
        return names

    header = gathering.parsed_json(file.read(length), object_pairs_hook=without_duplicates)
    if not isinstance(header, dict):
        raise TypeError("the header is no JSON object")
    return header
