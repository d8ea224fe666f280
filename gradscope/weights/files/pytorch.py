"""A PyTorch checkpoint (``.pt``, ``.pth``), read without PyTorch.

The zip holds ``data.pkl``, a pickle of tensors as (storage, offset, size, stride), one member
``data/KEY`` for each storage, and ``byteorder``. Before PyTorch 1.6 five pickles stood in a row,
magic number, version, machine, tensors and keys, and then the storages, each a count of 8 bytes and
its numbers, little-endian on any machine. Nested dicts become dotted names. Source:
PyTorch 2.13, ``torch/serialization.py`` and ``torch/_utils.py``.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np

from gradscope.data.columns import quoted
from gradscope.data.intake import AnyArray, ZipMembers
from gradscope.errors import WeightsError
from gradscope.weights.files import restricted_pickle
from gradscope.weights.files.contents import TIME_SCALES, Gathering, naming
from gradscope.weights.files.restricted_pickle import Maker, Named, make, read_pickle, refused_name
from gradscope.weights.files.tensors import WIDTHS, flat_numbers, strided_view, width

REMEDY = "save it again: torch.save(model.state_dict(), 'weights.pt')"
MAGIC_BYTES, COUNT_BYTES = 15, 8
MAX_PICKLE = 32 * 2**20

STORAGES: Mapping[str, str | None] = (
    {"torch.DoubleStorage": "float64", "torch.FloatStorage": "float32"}
    | {"torch.HalfStorage": "float16", "torch.BFloat16Storage": "bfloat16"}
    | {"torch.LongStorage": "int64", "torch.IntStorage": "int32", "torch.ShortStorage": "int16"}
    | {"torch.CharStorage": "int8", "torch.ByteStorage": "uint8", "torch.BoolStorage": "bool"}
    | {"torch.storage.UntypedStorage": None}
)
"""The number type that each storage class stands for; an untyped one leaves it to the tensor."""

HARMLESS = (
    *("argparse.Namespace", "builtins.set", "__builtin__.set", "_codecs.encode", "numpy.dtype"),
    *("torch.device", "torch.Generator", "torch.Size"),
    *("numpy.core.multiarray.scalar", "numpy.core.multiarray._reconstruct"),
    *("numpy._core.multiarray.scalar", "numpy._core.multiarray._reconstruct"),
    *("pathlib.PosixPath", "pathlib.WindowsPath", "pathlib.Path"),
)
"""What people keep in a checkpoint beside the weights; taken note of, never made."""


@dataclass(frozen=True, slots=True)
class _Storage:
    """A run of numbers in the file: its key, number type, and the bytes it says it has."""

    key: str
    number_type: str | None
    n_bytes: int


@dataclass(frozen=True, eq=False, slots=True)
class _Tensor:
    """A view of a storage; ``number_type`` says what is in an untyped one."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    number_type: str


_Contents = tuple[Any, Callable[[_Storage], bytes], str]
"""The values of a file, what reads a storage, and the byte order."""


def gather(file: BinaryIO, gathering: Gathering) -> dict[str, Any]:
    """Read every tensor that ``torch.save`` wrote under its name in the file, such as
    ``model_state_dict.rnn.weight_hh_l0``. Raises WeightsError if the file asks for anything but
    tensors and plain values, or for bytes it does not have.
    """
    tree, raw_of, order = (_zipped if file.read(2) == b"PK" else _streamed)(file, gathering)

    @cache
    def numbers(storage: _Storage, number_type: str) -> AnyArray:
        """Read a storage, once however many tensors share it."""
        raw = raw_of(storage)
        if len(raw) < storage.n_bytes:
            fault = f"its storage has {len(raw)} bytes, but {storage.n_bytes} are announced"
            raise WeightsError(f"{fault}; the file is cut short: {REMEDY}")
        gathering.spend(len(raw), storage.key)
        return flat_numbers(raw, number_type, order)

    for name, tensor in _named_tensors(tree, gathering):
        if not isinstance(tensor, _Tensor):
            gathering.keep(name, np.array(float(tensor)))
            continue
        with naming(quoted(name)):
            flat = numbers(tensor.storage, tensor.number_type)
            view = strided_view(flat, tensor.offset, tensor.size, tensor.stride)
        gathering.keep(name, view, tensor.number_type)
    return {}


def _zipped(file: BinaryIO, gathering: Gathering) -> _Contents:
    members = ZipMembers(file, gathering)
    places = [name for name in members.names if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(places) != 1:
        raise WeightsError(f"it is a zip with {len(places)} pickles of tensors, not one; {REMEDY}")
    root = places[0].removesuffix("data.pkl")
    tree = read_pickle(members.read(f"{root}data.pkl"), MAKERS, _persistent, gathering)
    place = f"{root}byteorder"  # Not there before PyTorch 2.1
    order = members.read(place).decode("ascii") if place in members.names else "little"
    if order not in ("little", "big"):
        raise WeightsError(f"the byte order is {quoted(order)}; {REMEDY}")
    return tree, lambda storage: members.read(f"{root}data/{storage.key}"), order


def _streamed(file: BinaryIO, gathering: Gathering) -> _Contents:
    file.seek(MAGIC_BYTES)
    stream, sizes, places = BytesIO(file.read(MAX_PICKLE)), {}, {}

    def remembered(identity: Any) -> Any:
        each = _persistent(identity)
        if isinstance(each, _Storage):
            sizes[each.key] = each.n_bytes
        return each

    _version, _machine, tree, keys = (
        read_pickle(stream, MAKERS, remembered, gathering) for _ in range(4)
    )
    place = MAGIC_BYTES + stream.tell() + COUNT_BYTES
    for key in keys:
        places[key] = place
        place += sizes[key] + COUNT_BYTES

    def raw_of(storage: _Storage) -> bytes:
        gathering.require(storage.n_bytes, storage.key)
        file.seek(places[storage.key])
        return file.read(storage.n_bytes)

    return tree, raw_of, "little"


def _named_tensors(tree: Any, gathering: Gathering) -> Iterator[tuple[str, Any]]:
    """Yield every tensor and time scale in nested dicts and lists with its dotted name; what stands
    in several places, under the first.
    """
    waiting: list[tuple[list[str], Any]] = [([], tree)]
    seen: set[int] = set()
    while waiting:
        parts, value = waiting.pop()
        name = ".".join(filter(None, parts))
        # What an optimizer calls alpha stands deeper than a model's dt or a configuration's.
        scale = name.rpartition(".")[2] in TIME_SCALES and name.count(".") < 2
        if isinstance(value, _Tensor) or (scale and type(value) in (int, float)):
            yield name or "tensor", value
        if not isinstance(value, dict | list | tuple) or id(value) in seen:
            continue
        seen.add(id(value))
        gathering.check_name(name)
        inside = value.items() if isinstance(value, dict) else enumerate(value)
        for key, each in reversed([*inside]):
            # A key may be long, and stand in many places: no name is made of it unasked.
            last = str(key)[-99:].rpartition(".")[2]
            if isinstance(each, _Tensor | dict | list | tuple) or last in TIME_SCALES:
                gathering.check_name(str(key))
                waiting.append(([name, str(key)], each))


def _persistent(identity: Any) -> Any:
    """Stand in for a persistent id: ('storage', class, key, device, count) and, before PyTorch 1.6,
    None; there ('module', class, file, source) is the class of a whole model.
    """
    if identity[0] == "module":
        raise refused_name(identity[1].name)
    kind, named, key, _, count, view = (*identity, None)[:6]
    if kind != "storage" or not isinstance(key, str) or not key.isalnum():
        raise WeightsError(f"it refers to a storage by {quoted(kind)}, {quoted(key)}; {REMEDY}")
    if view is not None:
        raise WeightsError(f"it refers to a part of a storage; {REMEDY}")
    if not isinstance(named, Named) or named.name not in STORAGES:
        raise refused_name(named.name)
    if type(count) is not int or not 0 <= count < 2**63:
        raise WeightsError(f"a storage has {quoted(count)} numbers; {REMEDY}")
    number_type = STORAGES[named.name]
    return _Storage(key, number_type, count * (width(number_type) if number_type else 1))


def _tensor(
    storage: Any, offset: Any, size: Any, stride: Any, *rest: Any, typed: bool = False
) -> _Tensor:
    """Stand in for ``torch._utils._rebuild_tensor_v2``, where ``typed`` for ``…_v3``, which says
    what is in a storage without a type of its own.
    """
    if typed:
        named, metadata = rest[2], rest[3:]
        number_type = named.name.removeprefix("torch.") if isinstance(named, Named) else ""
        if number_type not in WIDTHS:
            fault = f"it holds numbers of type {quoted(number_type)}"
            raise WeightsError(f"{fault}; save it as float32")
    elif isinstance(storage, _Storage) and storage.number_type is not None:
        number_type, metadata = storage.number_type, rest[2:]
    else:
        raise TypeError("a tensor without a storage of numbers")
    if any(metadata):
        raise WeightsError("a tensor is a negated or conjugated view; save tensor.clone() instead")
    if not isinstance(size, tuple) or not isinstance(stride, tuple):
        raise TypeError("a size or stride that is no tuple")
    return _Tensor(storage, offset, size, stride, number_type)


MAKERS: Mapping[str, Maker] = {
    # What is in a dict follows item by item.
    **{f"collections.{name}": lambda *_: {} for name in ("OrderedDict", "defaultdict", "Counter")},
    **dict.fromkeys(("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"), _tensor),
    "torch._utils._rebuild_tensor_v3": partial(_tensor, typed=True),
    # Of a parameter the tensor itself, of a tensor with attributes the tensor that it wraps.
    **dict.fromkeys(
        ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"),
        lambda data, *_: data,
    ),
    "torch._tensor._rebuild_from_type_v2": lambda maker, _class, arguments, _state: make(
        MAKERS, maker, arguments
    ),
    # Whatever a harmless object is called with, its inside does not matter.
    **dict.fromkeys(HARMLESS, lambda *_: restricted_pickle.OPAQUE),
}
