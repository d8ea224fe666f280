"""What a sweep costs over the bare analyses: one worker against one Python loop, two against one.

``measure`` runs 1,000 cells of H = 16 and 20 steps without training in three ways, in turns, and
gives the ratios of each turn. A ratio below its floor means that the sweep keeps its promise: at
most 1.5 times the loop on one worker (processes started and rows stored included), and two workers
faster than one.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gradscope.names import ExecutorName
from gradscope.study.grid import Cell, Grid
from gradscope.study.plan import make_plan
from gradscope.study.study import analyze
from gradscope.study.sweep import Crew, run_sweep

CELLS = 1000
TURNS = 3

Row = tuple[str, float, list[float]]


def measure(cells: int = CELLS, turns: int = TURNS) -> tuple[Row, Row]:
    """Return (name, most allowed, ratios) of the overhead of one worker and of two against one."""
    plan = make_plan(Grid({"hidden": 16, "steps": 20, "updates": 0}, {}, seeds=cells)).cells
    analyze(plan[0].settings)
    over_loop, over_one = [], []
    for _ in range(turns):
        loop = _seconds(lambda: [analyze(cell.settings) for cell in plan])
        one = _sweep_seconds(plan, 1)
        over_loop.append(one / loop)
        over_one.append(_sweep_seconds(plan, 2) / one)
    return (
        (f"sweep of {cells} cells, one worker / one Python loop", 1.5, over_loop),
        (f"sweep of {cells} cells, two workers / one worker", 1.0, over_one),
    )


def _sweep_seconds(cells: Sequence[Cell], workers: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        crew = Crew(ExecutorName.PROCESS, workers)
        return _seconds(lambda: run_sweep(cells, Path(folder) / "sweep.db", crew=crew))


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    import sys

    for name, most, ratios in measure():
        median = sorted(ratios)[len(ratios) // 2]
        sys.stdout.write(f"{name}: {median:.2f} (at most {most})\n")
