"""A pickle read as data: its opcodes are interpreted here, one by one, and nothing in it is called.

Python's own unpickler imports what a pickle names and calls it, and sizes its memo by a number in
the file. This one knows only the opcodes that write plain values; a name becomes a value only if
the reader passed in a maker of its own for it. Source: ``pickletools`` of the standard library,
which describes every opcode, and ``torch/serialization.py``, which writes protocol 2.
"""

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from gradscope.data.columns import quoted
from gradscope.data.intake import Intake
from gradscope.errors import WeightsError

Maker = Callable[..., Any]

STATE_ALONE = (
    "save the state_dict alone; where you trust the file: net = torch.load('FILE', "
    "map_location='cpu', weights_only=False), of a model net.state_dict(), torch.save(…)"
)

MARK = object()
"""Where a run of values on the stack begins."""

OPAQUE = object()
"""A harmless object whose inside does not matter: a path, a date, a NumPy scalar."""

ARGUMENTS = (
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"),
    *("BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES"),
)
"""Opcodes that push their own argument."""


@dataclass(frozen=True, eq=False, slots=True)
class Named:
    """A name in the pickle, ``module.attribute``, standing for itself."""

    name: str


def read_pickle(
    data: bytes | BinaryIO, makers: Mapping[str, Maker], persistent: Maker, intake: Intake
) -> Any:
    """Return the value that a pickle, or the next one of a file, describes: dict, list, tuple, str,
    bytes, int, float, bool, None, ``Named``, and whatever the makers return.

    ``makers`` stand in for the callables that the pickle may call, ``persistent`` for a persistent
    id; opcodes are counted as items, of which a tensor takes about 40. WeightsError if it calls
    anything else, or uses an opcode beyond these.
    """
    machine = _Machine(makers, persistent)
    for opcode, argument, _ in pickletools.genops(data):
        intake.visit()
        if opcode.name not in machine.steps:
            fault = f"its pickle uses the opcode {opcode.name}, which no state dict needs"
            raise WeightsError(f"{fault}; {STATE_ALONE}")
        machine.steps[opcode.name](argument)
    (value,) = machine.stack
    return value


class _Machine:
    """The stack and the memo of one pickle."""

    def __init__(self, makers: Mapping[str, Maker], persistent: Maker) -> None:
        self._makers = makers
        self.stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        push = self.stack.append
        self.steps: Mapping[str, Callable[[Any], object]] = {
            **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda _: None),
            **dict.fromkeys(ARGUMENTS, push),
            "NONE": lambda _: push(None),
            "NEWTRUE": lambda _: push(True),
            "NEWFALSE": lambda _: push(False),
            "EMPTY_DICT": lambda _: push({}),
            **dict.fromkeys(("EMPTY_LIST", "EMPTY_SET"), lambda _: push([])),
            "EMPTY_TUPLE": lambda _: push(()),
            "TUPLE1": lambda _: push(tuple(self._pop_many(1))),
            "TUPLE2": lambda _: push(tuple(self._pop_many(2))),
            "TUPLE3": lambda _: push(tuple(self._pop_many(3))),
            **dict.fromkeys(("BINPUT", "LONG_BINPUT"), self._remember),
            **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda at: push(self._memo[at])),
            **dict.fromkeys(
                ("REDUCE", "NEWOBJ"), lambda _: push(make(self._makers, *self._pop_many(2)))
            ),
            **dict.fromkeys(("APPENDS", "ADDITEMS"), lambda _: self._extend(self._since_mark())),
            "MARK": lambda _: push(MARK),
            "MEMOIZE": lambda _: self._remember(len(self._memo)),
            "TUPLE": lambda _: push(tuple(self._since_mark())),
            "APPEND": lambda _: self._extend(self._pop_many(1)),
            "SETITEM": lambda _: self._update(self._pop_many(2)),
            "SETITEMS": lambda _: self._update(self._since_mark()),
            "GLOBAL": lambda argument: push(Named(argument.replace(" ", ".", 1))),
            "STACK_GLOBAL": lambda _: push(Named(".".join(self._pop_many(2)))),
            "BUILD": lambda _: self._pop_many(1),  # The state of an object that is not read
            "BINPERSID": lambda _: push(persistent(*self._pop_many(1))),
        }

    def _pop_many(self, count: int) -> list[Any]:
        """Take the last values off the stack, in the order in which they were pushed."""
        values = [self.stack.pop() for _ in range(count)][::-1]
        if any(value is MARK for value in values):
            raise ValueError("a mark where a value should be")
        return values

    def _since_mark(self) -> list[Any]:
        place = len(self.stack) - 1
        while self.stack[place] is not MARK:
            place -= 1
            if place < 0:
                raise ValueError("no mark")
        values = self.stack[place + 1 :]
        del self.stack[place:]
        return values

    def _remember(self, place: Any) -> None:
        self._memo[place] = self.stack[-1]

    def _extend(self, values: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(values)
        elif self.stack[-1] is not OPAQUE:
            raise TypeError("values for what is no list")

    def _update(self, pairs: list[Any]) -> None:
        target = self.stack[-1]
        if target is OPAQUE:
            return
        if not isinstance(target, dict):
            raise TypeError("items for what is no dict")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            # A tuple is hashed by recursion in C, which a deep one would send over the stack's end.
            if key is not None and not isinstance(key, str | int | float):
                raise TypeError(f"a dict key of type {type(key).__name__}")
            target[key] = value


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
        fault = f"it holds quantised or scripted weights ({quoted(name)})"
        remedy = "which are not those that were trained; save the state_dict of the float model"
        return WeightsError(f"{fault}, {remedy}")
    fault = f"its pickle asks for {quoted(name)}, which is no tensor"
    return WeightsError(f"{fault}, and nothing in a file is run here; {STATE_ALONE}")
