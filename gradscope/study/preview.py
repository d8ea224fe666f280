"""What a sweep would do, before it does it: how many cells are missing, and how long they take."""

from dataclasses import dataclass
from pathlib import Path

from gradscope.names import ExecutorName
from gradscope.study.estimate import Estimate, estimate
from gradscope.study.executors import available_cores
from gradscope.study.grid import Cell
from gradscope.study.outcome import Status
from gradscope.study.plan import Plan
from gradscope.study.query import read_rows
from gradscope.study.sweep import Crew


@dataclass(frozen=True, eq=False, slots=True)
class Preview:
    """The cells of a plan, those of them that the store lacks, and the estimate for these.

    ``failed`` cells stand in the store as failed; ``workers`` share the work (None: as many as the
    scheduler has).
    """

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


def preview(plan: Plan, store: Path, crew: Crew) -> Preview:
    """Count what the store lacks and time a sample of it; nothing is written."""
    stored: dict[str, str] = {}
    if store.exists():
        rows = read_rows(store, names=("key", "status"))
        stored = dict(zip(rows.column("key"), rows.column("status"), strict=True))
    missing = tuple(cell for cell in plan.cells if cell.key not in stored)
    failed = sum(stored.get(cell.key) == Status.FAILED for cell in plan.cells)
    workers = crew.workers or available_cores()
    if crew.name is ExecutorName.SERIAL:
        workers = 1
    elsewhere = crew.scheduler is not None
    return Preview(
        store=store,
        cells=plan.cells,
        missing=missing,
        failed=failed,
        left_out=len(plan.left_out),
        estimate=estimate(missing),
        workers=None if elsewhere else workers,
    )
