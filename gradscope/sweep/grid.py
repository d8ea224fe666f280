"""The grid of a sweep: every combination of the values of its axes, and the key of each cell.

A cell is one analysis. Its key is the SHA-256 of what decides its numbers: all settings in
canonical form, seed included, the content of the files they name, and the version of the algorithm.
The same cell has the same key in every grid, on every machine.
"""

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradscope.analysis.settings import Settings
from gradscope.errors import SettingError
from gradscope.sweep.axes import Axes

ALGORITHM_VERSION = 1
"""Raised whenever the same settings come to give other numbers: old stores are then refused."""

MAX_GRID = 1_000_000
"""Cells of one sweep; a grid beyond this is a slip of a range more often than a wish."""

FILE_SETTINGS = ("data", "load")
"""Settings that name a file: its content, not its name, is part of a cell's key."""

Values = dict[str, Any]


@dataclass(frozen=True, eq=False, slots=True)
class Cell:
    """One analysis of a sweep: its settings and its key (64 hexadecimal digits)."""

    settings: Settings
    key: str


@dataclass(frozen=True, eq=False, slots=True)
class Shard:
    """Part ``number`` (from 1) of ``count`` parts of a grid.

    A cell belongs to a part by its key, so that it stays there when the grid grows.
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise SettingError(
                f"--shard is {self.number}/{self.count}; parts are counted from 1 up to the number "
                "of parts, as in 3/16"
            )

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read ``3/16``."""
        number, _, count = text.partition("/")
        if not (number.strip().isdecimal() and count.strip().isdecimal()):
            raise SettingError(
                f"--shard is {text!r}; give a part and the number of parts, as in 3/16"
            )
        return cls(int(number), int(count))

    def holds(self, cell: Cell) -> bool:
        """Whether a cell belongs to this part."""
        return int(cell.key, 16) % self.count == self.number - 1


@dataclass(frozen=True, eq=False, slots=True)
class Grid:
    """What all cells share, the axes that set them apart, and how many seeds each gets.

    ``seeds`` counts up from the shared seed (0 by default). The last axis moves fastest, seeds
    faster still.
    """

    shared: Mapping[str, Any]
    axes: Axes
    seeds: int = 1

    def __post_init__(self) -> None:
        for name in self.axes:
            if name in self.shared:
                raise SettingError(
                    f"{name} is set to {self.shared[name]} and swept over too; leave one out"
                )
        if "weights" in self.axes or self.shared.get("weights") is not None:
            raise SettingError(
                "a network from a file of weights is given once; only drawn networks are compared "
                "or swept: leave --weights out"
            )
        if self.seeds < 1:
            raise SettingError(f"--seeds is {self.seeds}; choose 1 or more")
        if self.seeds > 1 and "seed" in self.axes:
            raise SettingError("--seeds and -P seed are both given; choose one")
        if self.size > MAX_GRID:
            raise SettingError(
                f"the grid has {self.size} cells; choose fewer values, at most {MAX_GRID}"
            )

    @property
    def size(self) -> int:
        """Number of combinations."""
        count = self.seeds
        for values in self.axes.values():
            count *= len(values)
        return count

    def combinations(self) -> Iterator[Values]:
        """Yield the values of every combination that differ from cell to cell."""
        axes = dict(self.axes)
        if self.seeds > 1:
            first = self.shared.get("seed", 0)
            axes["seed"] = tuple(range(first, first + self.seeds))
        for values in itertools.product(*axes.values()):
            yield dict(zip(axes, values, strict=True))


def shared_and_swept(cells: Sequence[Cell]) -> tuple[Values, Values]:
    """Return the settings that all cells share, and those in which they differ with their values
    in order of appearance.
    """
    shared: Values = {}
    swept: Values = {}
    columns = [cell.settings.as_dict() for cell in cells]
    for name in columns[0] if columns else ():
        # Lists are no keys of a dict; their text is.
        distinct = {str(each[name]): each[name] for each in columns}
        if len(distinct) == 1:
            shared[name] = columns[0][name]
        else:
            swept[name] = list(distinct.values())
    return shared, swept


def cell_key(settings: Settings, digests: Mapping[str, str]) -> str:
    """Return the key of a cell; ``digests`` are those of the files that its settings name."""
    # Equal settings have one form: −0.0 + 0.0 is 0.0.
    canonical: dict[str, Any] = {
        name: value + 0.0 if isinstance(value, float) else value
        for name, value in settings.as_dict().items()
    }
    for name in FILE_SETTINGS:
        if canonical[name] is not None:
            canonical[name] = digests[canonical[name]]
    text = json.dumps([ALGORITHM_VERSION, canonical], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: str) -> str:
    """Return the SHA-256 of a file's content."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SettingError(f"{path} cannot be read: {error.strerror}; check the name") from error


def describe(values: Mapping[str, Any]) -> str:
    """Return a combination in one line."""
    return ", ".join(f"{name}={_word(value)}" for name, value in values.items())


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value).replace("None", "none")
