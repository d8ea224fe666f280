"""What a sweep costs over the bare analyses: one worker against one Python loop, two against one.

1,000 cells of H = 16 and 20 steps without training, in turns. The time is that of the clock, since
a sweep is other processes, a disk, and waiting for both; starting the workers and storing the rows
are part of it. Measure on a machine that does nothing else.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median

from gradscope.analysis.analyze import analyze
from gradscope.names import ExecutorName
from gradscope.sweep.executors import Workers
from gradscope.sweep.grid import Cell, Grid, make_plan
from gradscope.sweep.run import run_sweep
from tests.benchmarks.measure import REPEATS, Row

CELLS = 1000

LOOP_FLOOR = 1.0 / 1.5
"""One worker takes at most 1.5 times the loop."""

WORKERS_FLOOR = 1.0
"""Two workers are faster than one."""


def rows(cells: int = CELLS, repeats: int = REPEATS) -> Iterator[Row]:
    """Run the loop and the sweeps in turn; yield the row of one worker and the row of two."""
    plan = make_plan(Grid({"hidden": 16, "steps": 20, "updates": 0}, {}, seeds=cells)).cells
    analyze(plan[0].settings)
    loop, one, two = [], [], []
    for _ in range(repeats):
        loop.append(_seconds(lambda: [analyze(cell.settings) for cell in plan]))
        one.append(_sweep_seconds(plan, 1))
        two.append(_sweep_seconds(plan, 2))
    yield _row(f"sweep, {cells} cells, one worker vs a loop", LOOP_FLOOR, one, loop)
    yield _row(f"sweep, {cells} cells, two workers vs one", WORKERS_FLOOR, two, one)


def _row(name: str, floor: float, ours: Sequence[float], reference: Sequence[float]) -> Row:
    ratios = [theirs / mine for theirs, mine in zip(reference, ours, strict=True)]
    mine, theirs = median(ours), median(reference)
    return Row(name, floor, theirs / mine, min(ratios), max(ratios), mine, theirs, "clock time")


def _sweep_seconds(cells: Sequence[Cell], workers: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        pool = Workers(ExecutorName.PROCESS, workers)
        return _seconds(lambda: run_sweep(cells, Path(folder) / "sweep.db", workers=pool))


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
