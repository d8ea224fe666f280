"""The grid of a sweep, every combination of the values of its axes, and the plan made of it: its
cells, each validated and keyed before anything is computed.

A cell is one analysis. Its key is the SHA-256 of what decides its numbers: all settings in
canonical form, seed included, the content of the files they name, and the version of the algorithm.
The same cell has the same key in every grid, on every machine.
"""

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

from gradscope.analysis.archive import load_run
from gradscope.analysis.prepare import open_problem, resolve
from gradscope.analysis.settings import SEQUENCE_SETTINGS, SETTINGS, Settings
from gradscope.data.intake import opened
from gradscope.data.table import read_table
from gradscope.errors import GradscopeError, SettingError
from gradscope.progress import tracked
from gradscope.sweep.axes import Axes

ALGORITHM_VERSION = 2
"""Raised whenever the same settings come to give other numbers: nothing is added to an older store,
and its rows are marked (2: the growth rate and its causes are those past the transient)."""

MAX_GRID = 1_000_000
"""Cells of one sweep; a grid beyond this is a slip of a range more often than a wish."""

FILE_SETTINGS = ("data", "load", "weights", "targets", "sequence_lengths")
"""Settings that name a file: its content, not its name, is part of a cell's key."""

ADDED_SETTINGS = (
    *("dt", "tau", "discretization", "noise", "required_lag", "sequence_lengths", "embedding"),
    *("memory", "held_out", "start"),
    *("chrono", "omega", "floss"),
)
"""Settings that came after keys were first written: part of them only where not at the default."""

DECIDING = (*(set(SEQUENCE_SETTINGS) - {"seed"}), "hidden", "batch", "updates")
"""The settings that decide whether a problem can be set up, and fits into memory."""

Values = dict[str, Any]


@dataclass(frozen=True, eq=False, slots=True)
class Cell:
    """One analysis of a sweep: its settings and its key (64 hexadecimal digits)."""

    settings: Settings
    key: str


@dataclass(frozen=True, eq=False, slots=True)
class Shard:
    """Part ``number`` (from 1) of ``count`` parts of a grid; a cell stays in it when that grows."""

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            remedy = "parts are counted from 1 up to the number of parts, as in 3/16"
            raise SettingError(f"--shard is {self.number}/{self.count}; {remedy}")

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read ``3/16``."""
        number, _, count = text.partition("/")
        if not (number.strip().isdecimal() and count.strip().isdecimal()):
            remedy = "give a part and the number of parts, as in 3/16"
            raise SettingError(f"--shard is {text!r}; {remedy}")
        return cls(int(number), int(count))

    def holds(self, cell: Cell) -> bool:
        """Whether a cell belongs to this part."""
        return int(cell.key, 16) % self.count == self.number - 1


@dataclass(frozen=True, eq=False, slots=True)
class Grid:
    """What all cells share, the axes that set them apart (the last moves fastest, seeds faster
    still), and how many seeds each gets, counted up from the shared one (0 by default).
    """

    shared: Mapping[str, Any]
    axes: Axes
    seeds: int = 1

    def __post_init__(self) -> None:
        for name in self.axes:
            if name in self.shared:
                value = self.shared[name]
                raise SettingError(f"{name} is set to {value} and swept over too; leave one out")
        given = "weights" in self.axes or self.shared.get("weights") is not None
        trained = "start" in self.axes or self.shared.get("start") is not None
        if self.seeds > 1 and given and not trained and self.shared.get("data") is not None:
            fault = "nothing is drawn: the network and --data are given; leave it out"
            raise SettingError(f"--seeds is {self.seeds}, but {fault}")
        if self.seeds < 1:
            raise SettingError(f"--seeds is {self.seeds}; choose 1 or more")
        if self.seeds > 1 and "seed" in self.axes:
            raise SettingError("--seeds and -P seed are both given; choose one")
        if self.size > MAX_GRID:
            raise SettingError(f"the grid has {self.size} cells; choose at most {MAX_GRID}")

    @property
    def size(self) -> int:
        """Number of combinations."""
        return self.seeds * prod(map(len, self.axes.values()))

    def combinations(self) -> Iterator[Values]:
        """Yield the values of every combination that differ from cell to cell."""
        axes = dict(self.axes)
        if self.seeds > 1:
            first = self.shared.get("seed", 0)
            axes["seed"] = tuple(range(first, first + self.seeds))
        for values in itertools.product(*axes.values()):
            yield dict(zip(axes, values, strict=True))


def shared_and_swept(cells: Sequence[Cell]) -> tuple[Values, Values]:
    """Return the settings that all cells share, and the values of the others as they appear."""
    columns = [cell.settings.as_dict() for cell in cells]
    # Lists are no keys of a dict; their text is.
    found = {
        name: list({str(each[name]): each[name] for each in columns}.values())
        for name in (columns[0] if columns else ())
    }
    shared = {name: values[0] for name, values in found.items() if len(values) == 1}
    return shared, {name: values for name, values in found.items() if name not in shared}


def cell_key(settings: Settings, digests: Mapping[str, str]) -> str:
    """Return the key of a cell; ``digests`` are those of the files that its settings name."""
    # Equal settings have one form: −0.0 + 0.0 is 0.0.
    canonical: dict[str, Any] = {
        name: value + 0.0 if isinstance(value, float) else value
        for name, value in settings.as_dict().items()
    }
    for name in ADDED_SETTINGS:
        if getattr(settings, name) == SETTINGS[name].default:
            del canonical[name]
    for name in FILE_SETTINGS:
        if canonical.get(name) is not None:
            canonical[name] = digests[canonical[name]]
    text = json.dumps([ALGORITHM_VERSION, canonical], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: str) -> str:
    """Return the SHA-256 of a file's content."""
    with opened(Path(path), SettingError) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe(values: Mapping[str, Any]) -> str:
    """Return a combination in one line."""

    def word(value: Any) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        return f"{value:.6g}" if isinstance(value, float) else str(value).replace("None", "none")

    return ", ".join(f"{name}={word(value)}" for name, value in values.items())


@dataclass(frozen=True, eq=False, slots=True)
class Plan:
    """The cells of a sweep in the order of its grid, and the contradictions that were left out."""

    cells: tuple[Cell, ...]
    left_out: tuple[str, ...] = ()


def make_plan(grid: Grid, shard: Shard | None = None, *, skip_contradictions: bool = False) -> Plan:
    """Return the cells of a grid, or of one part of it.

    SettingError if a combination contradicts itself; with ``skip_contradictions`` such combinations
    are left out, and it is raised if all are.
    """
    make_cell = _cell_maker(grid.shared)
    cells: dict[str, Cell] = {}
    left_out = []
    for values in tracked(grid.combinations(), "cells", grid.size):
        try:
            cell = make_cell(values)
        except GradscopeError as error:
            reason = f"{describe(values) or 'the cell'}: {error}"
            if not skip_contradictions:
                raise SettingError(f"{reason} (or --skip-contradictions)") from error
            left_out.append(reason)
        else:
            cells.setdefault(cell.key, cell)
    if left_out and not cells:
        raise SettingError(f"every combination contradicts itself; the first: {left_out[0]}")
    kept = tuple(cell for cell in cells.values() if shard is None or shard.holds(cell))
    return Plan(kept, tuple(left_out))


def _cell_maker(shared: Mapping[str, Any]) -> Callable[[Values], Cell]:
    """Return what makes the cell of a combination, reading each file once, and setting up the task
    or the series once for every kind of sequences and every size.
    """
    read_run_once, read_table_once, digest = cache(load_run), cache(read_table), cache(file_digest)
    problems: dict[tuple[Any, ...], GradscopeError | None] = {}

    def make_cell(values: Values) -> Cell:
        settings = resolve({**shared, **values}, "the grid", read_run=read_run_once)
        kind = tuple(getattr(settings, name) for name in DECIDING)
        if settings.weights is None and kind not in problems:
            problems[kind] = None
            try:
                open_problem(settings, read_table_once)
            except GradscopeError as error:
                problems[kind] = error
        found = problems.get(kind)
        if found is not None:
            raise found
        paths = [each for name in FILE_SETTINGS if (each := getattr(settings, name)) is not None]
        return Cell(settings, cell_key(settings, {path: digest(path) for path in paths}))

    return make_cell
