"""What a sweep would do, before it does it: how many cells are missing, and how long they take."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gradscope.analysis.settings import Settings
from gradscope.names import ExecutorName
from gradscope.progress import tracked
from gradscope.sweep.cell import Status, run_cell
from gradscope.sweep.executors import Workers, available_cores
from gradscope.sweep.grid import Cell, Plan
from gradscope.sweep.query import read_rows

BUDGET = 8.0
"""Seconds that timing may take, apart from the cell at work when they are over."""

LOOK = 8.0
"""Cost of examining a sequence (lag norms, causes) over that of training on it once, roughly."""

Size = tuple[int, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Estimate:
    """Expected seconds for all cells on one worker; how many cells of how many sizes were timed."""

    seconds: float
    timed: int
    sizes: int


def estimate(cells: Sequence[Cell], budget: float = BUDGET) -> Estimate:
    """Time a sample of cells and return how long all of them would take in this process."""
    sizes = [_size(cell.settings) for cell in cells]
    # The first cell of each size stands for it.
    by_size = dict(zip(reversed(sizes), reversed(cells), strict=True))
    order = sorted(by_size, key=_work)
    if not order:
        return Estimate(0.0, 0, 0)
    run_cell(by_size[order[0]])  # The first run also loads what it needs.
    took: dict[Size, float] = {}
    for size in tracked(order, "sizes"):
        start = time.perf_counter()
        run_cell(by_size[size])
        took[size] = time.perf_counter() - start
        if sum(took.values()) > budget:
            break
    timed = len(took)
    largest = order[timed - 1]
    for size in order[timed:]:
        took[size] = took[largest] * _work(size) / _work(largest)
    return Estimate(sum(took[size] for size in sizes), timed, len(order))


def _size(of: Settings) -> Size:
    return (of.steps, of.hidden, of.sequences, of.updates * of.batch, of.max_lag or of.steps)


def _work(size: Size) -> float:
    steps, hidden, sequences, trained, lags = size
    return float(hidden**2 * (steps * (sequences + trained) + LOOK * lags * sequences))


@dataclass(frozen=True, eq=False, slots=True)
class Preview:
    """What a sweep would do; ``workers`` is None for as many as the scheduler has."""

    store: Path
    cells: tuple[Cell, ...]
    missing: tuple[Cell, ...]
    failed: int
    left_out: int
    estimate: Estimate
    workers: int | None

    @property
    def seconds(self) -> float:
        """Expected seconds with all workers (one, where their number is not known)."""
        return self.estimate.seconds / (self.workers or 1)


def preview(plan: Plan, store: Path, workers: Workers) -> Preview:
    """Count what the store lacks and time a sample of it; nothing is written."""
    stored: dict[str, str] = {}
    if store.exists():
        stored = dict(read_rows(store, names=("key", "status")).values)
    missing = tuple(cell for cell in plan.cells if cell.key not in stored)
    serial = workers.name is ExecutorName.SERIAL
    count = 1 if serial else workers.workers or available_cores()
    failed = sum(stored.get(cell.key) == Status.FAILED for cell in plan.cells)
    sharing = count if workers.scheduler is None else None
    left_out = len(plan.left_out)
    return Preview(store, plan.cells, missing, failed, left_out, estimate(missing), sharing)
