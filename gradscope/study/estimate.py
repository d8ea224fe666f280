"""How long a sweep will take, from cells that are really run.

Cells of one size (steps, hidden units, sequences, updates …) cost about the same, so one cell of
each size is timed, the small ones first and within a budget of seconds; a size that was not timed
is scaled from the nearest one by the number of multiplications, which grows as
steps · hidden² · sequences, for each update as for each look.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from gradscope.study.config import Settings
from gradscope.study.grid import Cell
from gradscope.study.outcome import run_cell

BUDGET = 8.0
"""Seconds that timing may take, apart from the cell at work when they are over."""

LOOK = 8.0
"""Cost of examining a sequence (lag norms, causes) over that of training on it once, roughly."""

Size = tuple[int, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Estimate:
    """Expected seconds for all cells on one worker, and how many cells of how many sizes were
    timed.
    """

    seconds: float
    timed: int
    sizes: int


def estimate(cells: Sequence[Cell], budget: float = BUDGET) -> Estimate:
    """Time a sample of cells and return how long all of them would take in this process."""
    by_size: dict[Size, Cell] = {}
    for cell in cells:
        by_size.setdefault(_size(cell.settings), cell)
    counts = Counter(_size(cell.settings) for cell in cells)
    order = sorted(by_size, key=_work)
    if not order:
        return Estimate(0.0, 0, 0)
    run_cell(by_size[order[0]])  # The first run also loads what it needs.
    took: dict[Size, float] = {}
    start = time.perf_counter()
    for size in order:
        took[size] = _time(by_size[size])
        if time.perf_counter() - start > budget:
            break
    largest = order[len(took) - 1]
    for size in order[len(took) :]:
        took[size] = took[largest] * _work(size) / _work(largest)
    seconds = sum(count * took[size] for size, count in counts.items())
    timed = order.index(largest) + 1
    return Estimate(seconds, timed, len(order))


def _time(cell: Cell) -> float:
    start = time.perf_counter()
    run_cell(cell)
    return time.perf_counter() - start


def _size(settings: Settings) -> Size:
    return (
        settings.steps,
        settings.hidden,
        settings.sequences,
        settings.updates * settings.batch,
        settings.max_lag or settings.steps,
    )


def _work(size: Size) -> float:
    steps, hidden, sequences, trained, lags = size
    return float(hidden**2 * (steps * (sequences + trained) + LOOK * lags * sequences))
