"""A pickle read as data: its opcodes are interpreted here, one by one, and nothing in it is called.

Python's own unpickler imports what a pickle names and calls it, and sizes its memo by a number in
the file. This one knows only the opcodes that write plain values; a name becomes a value only if
the reader passed in a maker of its own for it. Source: ``pickletools`` of the standard library,
which describes every opcode, and ``torch/serialization.py``, which writes protocol 2.
"""

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gradscope.data.columns import quoted
from gradscope.errors import WeightsError

Maker = Callable[..., Any]

MAX_OPCODES = 5_000_000
"""A state dict spends about 40 on a tensor."""

MAX_INTEGER = 2**63

ARGUMENTS = frozenset(
    {
        "BININT",
        "BININT1",
        "BININT2",
        "LONG1",
        "BINFLOAT",
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "BINSTRING",
        "SHORT_BINSTRING",
        "BINBYTES",
        "SHORT_BINBYTES",
    }
)
"""Opcodes that push their own argument."""

CONSTANTS: Mapping[str, Any] = MappingProxyType({"NONE": None, "NEWTRUE": True, "NEWFALSE": False})
TUPLES: Mapping[str, int] = MappingProxyType(
    {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
)
EMPTY: Mapping[str, Callable[[], Any]] = MappingProxyType(
    {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_SET": list}
)


@dataclass(frozen=True, eq=False, slots=True)
class Named:
    """A name in the pickle, ``module.attribute``, standing for itself."""

    name: str


@dataclass(frozen=True, eq=False, slots=True)
class Opaque:
    """A harmless object whose inside does not matter: a path, a date, a NumPy scalar."""

    name: str


class _Mark:
    """Where a run of values on the stack begins."""


def read_pickle(
    data: bytes, makers: Mapping[str, Maker], plain: frozenset[str], persistent: Maker
) -> Any:
    """Return the value that a pickle describes.

    Parameters
    ----------
    data : bytes
        The pickle, whole.
    makers : mapping of str to callable
        What stands in for each callable that the pickle may name, called with its arguments.
    plain : frozenset of str
        Further names it may mention, that nothing is made of: number types.
    persistent : callable
        What stands in for a persistent id.

    Returns
    -------
    value
        Made of dict, list, tuple, str, bytes, int, float, bool, None, ``Named``, and whatever the
        makers return.

    Raises
    ------
    WeightsError
        If it names anything else, or uses an opcode or a number beyond these limits.
    """
    machine = _Machine(makers, plain, persistent)
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if count >= MAX_OPCODES:
            raise WeightsError(
                f"its pickle has more than {MAX_OPCODES} opcodes; save the recurrent weights alone"
            )
        machine.step(opcode.name, argument)
    return machine.result()


class _Machine:
    """The stack and the memo of one pickle."""

    def __init__(
        self, makers: Mapping[str, Maker], plain: frozenset[str], persistent: Maker
    ) -> None:
        self._makers = makers
        self._plain = plain
        self._persistent = persistent
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._steps: Mapping[str, Callable[[Any], None]] = {
            **dict.fromkeys(("PROTO", "FRAME", "STOP"), self._nothing),
            **dict.fromkeys(ARGUMENTS, self._push_argument),
            **dict.fromkeys(("BINPUT", "LONG_BINPUT"), self._remember),
            **dict.fromkeys(("BINGET", "LONG_BINGET"), self._recall),
            **dict.fromkeys(("REDUCE", "NEWOBJ"), self._make),
            **dict.fromkeys(("APPENDS", "ADDITEMS"), self._append_all),
            "MARK": lambda _: self._stack.append(_Mark),
            "MEMOIZE": lambda _: self._remember(len(self._memo)),
            "TUPLE": lambda _: self._stack.append(tuple(self._since_mark())),
            "APPEND": self._append,
            "SETITEM": self._set_item,
            "SETITEMS": self._set_items,
            "GLOBAL": lambda argument: self._name(*argument.split(" ", 1)),
            "STACK_GLOBAL": self._name_on_stack,
            "BUILD": lambda _: self._pop(),  # The state of an object whose inside is not read
            "BINPERSID": lambda _: self._stack.append(self._persistent(self._pop())),
        }

    def step(self, opcode: str, argument: Any) -> None:
        """Carry out one opcode."""
        if opcode in CONSTANTS:
            self._stack.append(CONSTANTS[opcode])
        elif opcode in EMPTY:
            self._stack.append(EMPTY[opcode]())
        elif opcode in TUPLES:
            values = [self._pop() for _ in range(TUPLES[opcode])]
            self._stack.append(tuple(reversed(values)))
        elif opcode in self._steps:
            self._steps[opcode](argument)
        else:
            raise WeightsError(
                f"its pickle uses the opcode {opcode}, which no state dict needs; save the "
                "state_dict alone: torch.save(model.state_dict(), 'weights.pt')"
            )

    def result(self) -> Any:
        """Return the one value that is left."""
        (value,) = self._stack
        return value

    def _nothing(self, _: Any) -> None:
        pass

    def _pop(self) -> Any:
        value = self._stack.pop()
        if value is _Mark:
            raise ValueError("a mark where a value should be")
        return value

    def _since_mark(self) -> list[Any]:
        place = len(self._stack) - 1
        while self._stack[place] is not _Mark:
            place -= 1
            if place < 0:
                raise ValueError("no mark")
        values = self._stack[place + 1 :]
        del self._stack[place:]
        return values

    def _push_argument(self, argument: Any) -> None:
        if isinstance(argument, int) and abs(argument) >= MAX_INTEGER:
            raise WeightsError(
                "its pickle holds an integer of more than 63 bits; no size or stride needs one, "
                "so the file is damaged or forged"
            )
        self._stack.append(argument)

    def _remember(self, place: Any) -> None:
        self._memo[place] = self._stack[-1]

    def _recall(self, place: Any) -> None:
        self._stack.append(self._memo[place])

    def _append(self, _: Any) -> None:
        self._extend([self._pop()])

    def _append_all(self, _: Any) -> None:
        self._extend(self._since_mark())

    def _extend(self, values: list[Any]) -> None:
        if isinstance(self._stack[-1], list):
            self._stack[-1].extend(values)
        elif not isinstance(self._stack[-1], Opaque):
            raise TypeError("values for what is no list")

    def _set_item(self, _: Any) -> None:
        value, key = self._pop(), self._pop()
        self._update([key, value])

    def _set_items(self, _: Any) -> None:
        self._update(self._since_mark())

    def _update(self, pairs: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, Opaque):
            return
        if not isinstance(target, dict):
            raise TypeError("items for what is no dict")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            # A tuple is hashed by recursion in C, which a deep one would send over the stack's end.
            if key is not None and not isinstance(key, str | int | float):
                raise TypeError(f"a dict key of type {type(key).__name__}")
            target[key] = value

    def _name_on_stack(self, _: Any) -> None:
        attribute, module = self._pop(), self._pop()
        self._name(module, attribute)

    def _name(self, module: str, attribute: str) -> None:
        name = f"{module}.{attribute}"
        if name not in self._makers and name not in self._plain:
            raise refused_name(name)
        self._stack.append(Named(name))

    def _make(self, _: Any) -> None:
        arguments, named = self._pop(), self._pop()
        self._stack.append(make(self._makers, named, arguments))


def make(makers: Mapping[str, Maker], named: Any, arguments: Any) -> Any:
    """Return what the maker of a name makes of its arguments."""
    if not isinstance(named, Named) or not isinstance(arguments, tuple):
        raise TypeError("a call of what is no name")
    if named.name not in makers:
        raise refused_name(named.name)
    return makers[named.name](*arguments)


def refused_name(name: str) -> WeightsError:
    """Return the error for a name that is not on the list, with what is the matter with it."""
    if any(word in name for word in ("quant", "_rebuild_qtensor", "torch.Q", "ScriptObject")):
        return WeightsError(
            f"it holds quantised or scripted weights ({quoted(name)}), which are not those that "
            "were trained; save the state_dict of the float model"
        )
    remedy = "save the state_dict alone: torch.save(model.state_dict(), 'weights.pt')"
    if name.startswith(("torch.nn.modules.", "__main__.")):
        return WeightsError(
            f"it holds a whole model ({quoted(name)}), which only its own code can rebuild; "
            f"{remedy}"
        )
    return WeightsError(
        f"its pickle asks for {quoted(name)}, which is no tensor, and nothing in a file is run "
        f"here; {remedy}"
    )
