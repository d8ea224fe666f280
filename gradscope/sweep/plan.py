"""The plan of a sweep: its cells, each validated and keyed before anything is computed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from gradscope.analysis.archive import load_run
from gradscope.analysis.prepare import ReadRun, ReadTable, open_problem, resolve
from gradscope.analysis.settings import SEQUENCE_SETTINGS, Settings
from gradscope.data.table import read_table
from gradscope.errors import GradscopeError, SettingError
from gradscope.sweep.grid import FILE_SETTINGS, Cell, Grid, Shard, cell_key, describe, file_digest

DECIDING = (
    *(name for name in SEQUENCE_SETTINGS if name != "seed"),
    *("hidden", "batch", "updates"),
)
"""The settings that decide whether a problem can be set up, and fits into memory."""


@dataclass(frozen=True, eq=False, slots=True)
class Plan:
    """The cells of a sweep in the order of its grid, and the combinations that were left out
    because their settings contradict one another.
    """

    cells: tuple[Cell, ...]
    left_out: tuple[str, ...] = ()


def make_plan(grid: Grid, shard: Shard | None = None, *, skip_contradictions: bool = False) -> Plan:
    """Return the cells of a grid, or of one part of it.

    Parameters
    ----------
    grid : Grid
        What to combine.
    shard : Shard, optional
        The part to take.
    skip_contradictions : bool
        Leave out combinations whose settings contradict one another instead of refusing the grid.

    Returns
    -------
    Plan

    Raises
    ------
    SettingError
        If a combination contradicts itself, or (with ``skip_contradictions``) if all do.
    """
    inspector = _Inspector(grid.shared)
    cells: dict[str, Cell] = {}
    left_out = []
    for values in grid.combinations():
        try:
            cell = inspector.cell(values)
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


@dataclass(frozen=True, eq=False, slots=True)
class _Inspector:
    """Makes cells, and remembers what was already found of files and problems."""

    shared: Mapping[str, Any]
    read_run: ReadRun = field(default_factory=lambda: cache(load_run))
    read_table: ReadTable = field(default_factory=lambda: cache(read_table))
    digests: dict[str, str] = field(default_factory=dict)
    problems: dict[tuple[Any, ...], GradscopeError | None] = field(default_factory=dict)

    def cell(self, values: Mapping[str, Any]) -> Cell:
        """Return the cell of one combination, or say what is wrong with it."""
        layered = {**self.shared, **values}
        settings = resolve(layered, "the grid", read_run=self.read_run)
        self._check_problem(settings)
        for name in FILE_SETTINGS:
            path = getattr(settings, name)
            if path is not None and path not in self.digests:
                self.digests[path] = file_digest(path)
        return Cell(settings, cell_key(settings, self.digests))

    def _check_problem(self, settings: Settings) -> None:
        """Set up the task or the series once for every kind of sequences and every size."""
        kind = tuple(getattr(settings, name) for name in DECIDING)
        if kind not in self.problems:
            self.problems[kind] = None
            try:
                open_problem(settings, self.read_table)
            except GradscopeError as error:
                self.problems[kind] = error
        found = self.problems[kind]
        if found is not None:
            raise found
