"""The file that a picture was drawn from, where no settings tell: somebody's weights, or the store
of a sweep. A picture names it under ``made_by``, as it was given.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gradscope.names import SweepPicture, SweepValue


@dataclass(frozen=True, eq=False, slots=True)
class WeightsSource:
    """A file of weights; ``mapping`` names those of a hand-written cell."""

    file: str
    mapping: tuple[str, ...] = ()

    def made_by(self) -> dict[str, Any]:
        """Return what a picture says of it."""
        return {"command": "inspect", "file": self.file, "map": list(self.mapping)}


@dataclass(frozen=True, eq=False, slots=True)
class StoreSource:
    """The store of a sweep, and what of it is shown: the rows ``where`` a condition holds, and the
    settings ``x`` and ``y`` that span the picture, None for those that come first.
    """

    store: str
    where: str | None = None
    kind: SweepPicture = SweepPicture.PHASE
    value: SweepValue = SweepValue.RATE
    x: str | None = None
    y: str | None = None

    def made_by(self) -> dict[str, Any]:
        """Return what a picture says of it."""
        return {
            "command": "report",
            "store": self.store,
            "where": self.where,
            "kind": str(self.kind),
            "value": str(self.value),
            "x": self.x,
            "y": self.y,
        }


Source = WeightsSource | StoreSource


def read_source(made_by: Mapping[str, Any]) -> Source | None:
    """Return the file that a picture names; None where its command takes none.

    Raises
    ------
    LookupError, TypeError, ValueError
        If the picture does not say all that its command takes.
    """
    if made_by["command"] == "inspect":
        names = made_by["map"]
        if not isinstance(names, list):
            raise TypeError(f"{names!r} is no list of names")
        return WeightsSource(_text(made_by["file"]), tuple(map(_text, names)))
    if made_by["command"] == "report":
        where, x, y = (
            None if made_by[name] is None else _text(made_by[name]) for name in ("where", "x", "y")
        )
        kind, value = SweepPicture(made_by["kind"]), SweepValue(made_by["value"])
        return StoreSource(_text(made_by["store"]), where, kind, value, x, y)
    return None


def source_words(source: Source) -> list[str]:
    """Return what follows the command's name as people type it: the file, then the options."""
    (_, file), *options = (each for each in source.made_by().items() if each[0] != "command")
    words = [f"./{file}" if file.startswith("-") else file]
    for name, value in options:
        for each in value if isinstance(value, list) else [value]:
            words += [] if each is None else [f"--{name}", each]
    return [_quoted(word) for word in words]


def _quoted(word: str) -> str:
    """Quote a word for a shell, on one line whatever it holds: as in bash where a letter cannot be
    seen.
    """
    if word.isprintable():
        return shlex.quote(word)
    shown = (each if each.isprintable() else f"\\u{ord(each):04x}" for each in word)
    escaped = (f"\\{each}" if each in "\\'" else each for each in shown)
    return f"$'{''.join(escaped)}'"


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise TypeError(f"{value!r} is no text")
