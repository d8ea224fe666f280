"""How far this process is with what it computes, for whoever shows it.

Loops nest: an inner one is a part of the item at which the outer one is.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from operator import length_hint
from threading import Event
from time import monotonic
from typing import TypeVar

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class Work:
    """Work in ``total`` parts, of which ``done`` are done; ``start`` is when it began."""

    title: str
    total: int
    done: int = 0
    start: float = field(default_factory=monotonic)

    def advance(self) -> None:
        """Count one part more as done."""
        self.done += 1


_AT_WORK: list[Work] = []
SHOWN = Event()
"""Set while someone shows it: loops are not counted otherwise."""


@contextmanager
def work(title: str, total: int) -> Iterator[Work]:
    """Within, work is going on; who does it counts ``done`` up."""
    at = Work(title, total)
    _AT_WORK.append(at)
    try:
        yield at
    finally:
        _AT_WORK.remove(at)


def tracked(items: Iterable[T], title: str, total: int = 0) -> Iterable[T]:
    """Return items, each a part of the work; ``total`` where they do not say how many they are."""
    # To count the steps of a small network costs some hundredths of them.
    return _counted(items, title, total) if SHOWN.is_set() else items


def _counted(items: Iterable[T], title: str, total: int) -> Iterator[T]:
    with work(title, total or length_hint(items)) as at:
        for item in items:
            yield item
            at.done += 1


def progress() -> tuple[str, float, float] | None:
    """Return the outermost work in words, the share of it that is done, and the seconds left (inf
    before anything is done); None where there is no work.
    """
    nested, share, part = list(_AT_WORK), 0.0, 1.0
    for at in nested:
        part /= max(at.total, 1)
        share += part * min(at.done, at.total)
    if not nested:
        return None
    whole = nested[0]
    left = (monotonic() - whole.start) * (1.0 / share - 1.0) if share else inf
    return f"{whole.title}, {whole.done} of {whole.total}", share, max(left, 0.0)
