"""A PyTorch checkpoint (``.pt``, ``.pth``), read without PyTorch.

The zip holds ``data.pkl``, a pickle of tensors as (storage, offset, size, stride), one member
``data/KEY`` for each storage, and ``byteorder``. Nested dicts become dotted names. Source: PyTorch
2.13, ``torch/serialization.py`` and ``torch/_utils.py``. ``restricted_pickle`` reads the pickle.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, BinaryIO

from gradscope.data.columns import quoted
from gradscope.data.intake import DEEPEST, ZipMembers
from gradscope.errors import WeightsError
from gradscope.weights.files import restricted_pickle
from gradscope.weights.files.contents import LONGEST_NAME, Gathering, naming
from gradscope.weights.files.restricted_pickle import Maker, Named, read_pickle, refused_name
from gradscope.weights.files.tensors import WIDTHS, NumberArray, flat_numbers, strided_view, width

REMEDY = "save it again: torch.save(model.state_dict(), 'weights.pt')"

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
    *("numpy.core.multiarray.scalar", "numpy.core.multiarray._reconstruct"),
    *("numpy._core.multiarray.scalar", "numpy._core.multiarray._reconstruct"),
    *("pathlib.PosixPath", "pathlib.WindowsPath", "pathlib.Path"),
    *("torch.device", "torch.Generator"),
)
"""What people keep in a checkpoint beside the weights; taken note of, never made."""

PLAIN = frozenset(
    {*STORAGES, *(f"torch.{number_type}" for number_type in WIDTHS), "torch.Tensor"}
    | {"torch.nn.parameter.Parameter", "numpy.ndarray", "builtins.list", "builtins.int"}
)


@dataclass(frozen=True, slots=True)
class _Storage:
    """A run of numbers in the archive: member key, number type, and the bytes it says it has."""

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


def gather(file: BinaryIO, gathering: Gathering) -> dict[str, Any]:
    """Read every tensor of a zip written by ``torch.save`` under its name in the file, such as
    ``model_state_dict.rnn.weight_hh_l0``. Raises WeightsError if the zip asks for anything but
    tensors and plain values, or for bytes it does not have.
    """
    members = ZipMembers(file, gathering)
    root = _root(members)
    tree = read_pickle(members.read(f"{root}data.pkl"), MAKERS, PLAIN, _storage, gathering)
    place = f"{root}byteorder"  # Not there before PyTorch 2.1
    order = members.read(place).decode("ascii") if place in members.names else ""
    if order not in ("", "little", "big"):
        raise WeightsError(f"the byte order is {quoted(order)}; {REMEDY}")

    @cache
    def numbers(storage: _Storage, number_type: str) -> NumberArray:
        """Read a storage, once however many tensors share it."""
        raw = members.read(f"{root}data/{storage.key}")
        if len(raw) < storage.n_bytes:
            raise WeightsError(
                f"its storage has {len(raw)} bytes, but {storage.n_bytes} are announced; the "
                f"file is cut short: {REMEDY}"
            )
        return flat_numbers(raw, number_type, order or "little")

    for name, tensor in _named_tensors(tree, gathering):
        with naming(quoted(name)):
            flat = numbers(tensor.storage, tensor.number_type)
            view = strided_view(flat, tensor.offset, tensor.size, tensor.stride)
        gathering.keep(name, view, tensor.number_type)
    return {}


def _root(members: ZipMembers) -> str:
    """Return the folder within the archive, with its slash."""
    places = [name for name in members.names if name.count("/") == 1 and name.endswith("/data.pkl")]
    if any("/code/" in name or name.endswith("/constants.pkl") for name in members.names):
        raise WeightsError(
            "it is a TorchScript archive, a program and not its weights; load it with "
            f"torch.jit.load and {REMEDY}"
        )
    if len(places) != 1:
        raise WeightsError(f"it is a zip with {len(places)} pickles of tensors, not one; {REMEDY}")
    return places[0].removesuffix("data.pkl")


def _named_tensors(tree: Any, gathering: Gathering) -> Iterator[tuple[str, _Tensor]]:
    """Yield every tensor in nested dicts and lists with its dotted name."""
    waiting: list[tuple[str, Any, int, Any]] = [("", "", 0, tree)]
    while waiting:
        above, key, depth, value = waiting.pop()
        name = f"{above}.{key}" if above else str(key)
        if isinstance(value, _Tensor):
            yield name or "tensor", value
        elif isinstance(value, dict | list | tuple) and value:
            gathering.visit(len(value))
            if depth >= DEEPEST or len(name) > LONGEST_NAME:
                raise WeightsError(
                    f"it nests dicts more than {DEEPEST} deep; {restricted_pickle.STATE_ALONE}"
                )
            inside = value.items() if isinstance(value, dict) else enumerate(value)
            waiting += [(name, key, depth + 1, each) for key, each in reversed([*inside])]


def _storage(identity: Any) -> _Storage:
    """Stand in for a persistent id: ('storage', class, key, device, count)."""
    kind, named, key, _, count = identity
    if kind != "storage" or not isinstance(key, str) or not key.isalnum():
        raise WeightsError(f"it refers to a storage by {quoted(kind)}, {quoted(key)}; {REMEDY}")
    if not isinstance(named, Named) or named.name not in STORAGES:
        raise refused_name(named.name)
    if type(count) is not int or count < 0:
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
            raise WeightsError(
                f"it holds numbers of type {quoted(number_type)}; save it as float32"
            )
    elif isinstance(storage, _Storage) and storage.number_type is not None:
        number_type, metadata = storage.number_type, rest[2:]
    else:
        raise TypeError("a tensor without a storage of numbers")
    if any(metadata):
        raise WeightsError("a tensor is a negated or conjugated view; save tensor.clone() instead")
    if not isinstance(size, tuple) or not isinstance(stride, tuple):
        raise TypeError("a size or stride that is no tuple")
    return _Tensor(storage, offset, size, stride, number_type)


def _size(numbers: Any) -> tuple[Any, ...]:
    """Stand in for ``torch.Size``, which is made of a tuple."""
    if not isinstance(numbers, tuple):
        raise TypeError("a size that is no tuple")
    return numbers


MAKERS: Mapping[str, Maker] = {
    # What is in a dict follows item by item.
    **{f"collections.{name}": lambda *_: {} for name in ("OrderedDict", "defaultdict", "Counter")},
    "torch.Size": _size,
    **dict.fromkeys(("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"), _tensor),
    "torch._utils._rebuild_tensor_v3": partial(_tensor, typed=True),
    # Of a parameter the tensor itself, of a tensor with attributes the tensor that it wraps.
    "torch._utils._rebuild_parameter": lambda data, *_: data,
    "torch._utils._rebuild_parameter_with_state": lambda data, *_: data,
    "torch._tensor._rebuild_from_type_v2": lambda maker, _class, arguments, _state: (
        restricted_pickle.make(MAKERS, maker, arguments)
    ),
    # Whatever a harmless object is called with, its inside does not matter.
    **dict.fromkeys(HARMLESS, lambda *_: restricted_pickle.OPAQUE),
}
