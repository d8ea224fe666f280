"""The run of a sweep: hand out the cells that the store lacks, and keep each as soon as it ends.

Whatever has ended when the parent looks is committed in one transaction. Where a worker was killed,
the cells in flight are tried again one at a time, so that the one that kills workers is found out.
"""

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from dataclasses import dataclass, field, replace
from pathlib import Path

from gradscope.errors import SettingError, WorkerError
from gradscope.sweep import executors
from gradscope.sweep.cell import Outcome, Status, failure, run_cell
from gradscope.sweep.executors import LOST_WORKERS_ALLOWED, Crew, WorkerPool, Workers
from gradscope.sweep.grid import ALGORITHM_VERSION, Cell
from gradscope.sweep.store import Store, open_store


@dataclass(frozen=True, eq=False, slots=True)
class Progress:
    """How far a sweep is: ``total`` cells, of which ``kept`` were in the store before
    (``kept_failed`` of them failed), ``done`` and ``failed`` ended now; ``restarts`` counts pools
    started again because a worker died; ``absence`` are the seconds in which no worker was there.
    """

    total: int
    kept: int = 0
    kept_failed: int = 0
    done: int = 0
    failed: int = 0
    restarts: int = 0
    absence: float = 0.0
    interrupted: bool = False

    @property
    def ended(self) -> int:
        """Cells that ended in this run."""
        return self.done + self.failed

    @property
    def missing(self) -> int:
        """Cells that are still to be computed."""
        return self.total - self.kept - self.ended

    @property
    def all_failed(self) -> int:
        """Cells of the plan that stand in the store as failed."""
        return self.kept_failed + self.failed


MIN_AHEAD, MAX_AHEAD = 2, 64
"""Cells in flight for each worker: one at work and one behind it; the most, for the quickest."""

LOOK, SAY_AFTER = 1.0, 15.0
"""Seconds between looks for workers, and those without any after which it is said."""

Watch = Callable[[Progress], None]


def run_sweep(
    cells: Iterable[Cell],
    path: Path,
    *,
    workers: Workers | None = None,
    retry_failed: bool = False,
    watch: Watch | None = None,
    crew: Crew | None = None,
) -> Progress:
    """Compute every cell that the store lacks and say how it ended: ``interrupted`` after Ctrl-C,
    which keeps all that ended before.

    ``cells`` are as from ``grid.make_plan(grid).cells``; the store at ``path`` is made or added to.
    ``workers`` compute, a process for each core by default (``crew`` is its name in version 0.1).
    ``retry_failed``: also what stands there as failed. ``watch`` gets the progress after each
    commit. Raises ArchiveError or OutputError if the store is of another version or cannot be
    written (a full disk; it keeps its rows), WorkerError if the workers or their scheduler are
    gone, SettingError for both ``workers`` and ``crew``.
    """
    if workers is not None and crew is not None:
        raise SettingError("workers and crew are two names of one thing; give workers alone")
    wanted = tuple(cells)
    with open_store(path) as store:
        statuses = store.statuses()
        again = {Status.FAILED} if retry_failed else set()
        missing = [cell for cell in wanted if statuses.get(cell.key) in {None, *again}]
        kept = [statuses[cell.key] for cell in wanted if cell.key in statuses]
        failed = 0 if retry_failed else kept.count(Status.FAILED)
        progress = Progress(len(wanted), len(wanted) - len(missing), failed)
        watch = watch or (lambda _progress: None)
        watch(progress)
        run = _Run(store, workers or crew or Workers(), deque(missing), progress, watch)
        return run.finish() if missing else progress


@dataclass(eq=False, slots=True)
class _Run:
    """One run over the missing cells: what waits, what is in flight, what is not yet saved."""

    store: Store
    workers: Workers
    waiting: deque[Cell]
    progress: Progress
    watch: Watch
    suspects: deque[Cell] = field(default_factory=deque)
    deaths: Counter[str] = field(default_factory=Counter)
    flying: dict[Future[Outcome], Cell] = field(default_factory=dict)
    unsaved: list[Outcome] = field(default_factory=list)
    ahead: int = MIN_AHEAD

    def finish(self) -> Progress:
        """Work until nothing is missing, or Ctrl-C."""
        pool = self.workers.open()
        try:
            while self.waiting or self.suspects or self.flying:
                alive = self._hand_out(pool) and self._collect(pool)
                if self._save():
                    self.watch(self.progress)
                if not alive:
                    pool.close()
                    self.progress = replace(self.progress, restarts=self.progress.restarts + 1)
                    pool = self.workers.open()
        except KeyboardInterrupt:
            self._keep_ended()
            self.progress = replace(self.progress, interrupted=True)
        except WorkerError:
            self._keep_ended()
            raise
        finally:
            pool.close()
        return self.progress

    def _hand_out(self, pool: WorkerPool) -> bool:
        """Submit cells up to the bound, suspects alone; False where the pool is broken."""
        bound = 1 if self.suspects else pool.in_flight(self.ahead)
        while (self.suspects or self.waiting) and len(self.flying) < bound:
            source = self.suspects or self.waiting
            try:
                future = pool.executor.submit(run_cell, source[0])
            except BrokenExecutor:
                self._suspect(self._take_ended())
                return False
            self.flying[future] = source.popleft()
        return True

    def _collect(self, pool: WorkerPool) -> bool:
        """Wait for a cell to end and take what has ended; False where the pool is broken."""
        while not (ended := wait(self.flying, timeout=LOOK, return_when=FIRST_COMPLETED).done):
            absence, patience = pool.absence(), self.workers.patience
            if absence > patience:
                raise executors.workers_gone(TimeoutError(f"none for {patience:g} s, --patience"))
            self.progress = replace(self.progress, absence=absence)
            if absence >= SAY_AFTER:
                self.watch(self.progress)
        if any(isinstance(_error_of(future), BrokenExecutor) for future in ended):
            # All that is in flight breaks with it, at once (what was handed out in that moment may
            # never end); what ended just before counts.
            wait(self.flying, timeout=LOOK)
            self._suspect(self._take_ended())
            return False
        for future in sorted(ended, key=lambda each: _error_of(each) is not None):
            self.unsaved.append(_outcome_of(future, self.flying.pop(future)))
        return True

    def _take_ended(self) -> list[Cell]:
        """Take the outcomes of all that ended; return the cells of the rest, which fly no more."""
        lost = []
        for future, cell in self.flying.items():
            if future.done() and not isinstance(_error_of(future), BrokenExecutor | CancelledError):
                self.unsaved.append(_outcome_of(future, cell))
            else:
                lost.append(cell)
        self.flying.clear()
        return lost

    def _keep_ended(self) -> None:
        """Save all cells that ended well, whatever became of the others."""
        ended = [each.result() for each in self.flying if each.done() and not _error_of(each)]
        self.unsaved += (each for each in ended if each.algorithm == ALGORITHM_VERSION)
        self.flying.clear()
        self._save()

    def _suspect(self, lost: list[Cell]) -> None:
        """Try cells of a dead worker again one by one; give up one that alone killed several."""
        if len(lost) != 1:
            self.suspects.extendleft(reversed(lost))
            return
        (cell,) = lost
        self.deaths[cell.key] += 1
        if self.deaths[cell.key] <= LOST_WORKERS_ALLOWED:
            self.suspects.append(cell)
            return
        text = f"its worker died {self.deaths[cell.key]} times (killed, or out of memory); choose "
        text += "a smaller cell or fewer --workers, then --retry-failed"
        self.unsaved.append(failure(cell, text))

    def _save(self) -> bool:
        """Commit what has ended; False where nothing has."""
        if not self.unsaved:
            return False
        start = time.perf_counter()
        self.store.save(self.unsaved)
        # Enough cells in flight that no worker waits while the parent commits, and not many more:
        # what is in flight when a worker dies is tried again one by one.
        commit = time.perf_counter() - start
        cell = sum(outcome.duration for outcome in self.unsaved) / len(self.unsaved)
        during_commit = math.ceil(min(commit / max(cell, 1e-4), MAX_AHEAD))
        self.ahead = min(MIN_AHEAD + 2 * during_commit, MAX_AHEAD)
        failed = sum(outcome.status is Status.FAILED for outcome in self.unsaved)
        done = self.progress.done + len(self.unsaved) - failed
        failed += self.progress.failed
        self.progress = replace(self.progress, done=done, failed=failed, absence=0.0)
        self.unsaved.clear()
        return True


def _error_of(future: Future[Outcome]) -> BaseException | None:
    return CancelledError() if future.cancelled() else future.exception()


def _outcome_of(future: Future[Outcome], cell: Cell) -> Outcome:
    """Return what a cell came to; raise where the workers themselves are at fault."""
    error = _error_of(future)
    if type(error).__name__ == "KilledWorker":  # dask gave up a cell that took several with it.
        return failure(cell, f"the workers that it ran on died: {error}")
    if error is not None:
        raise executors.workers_gone(error) from error
    outcome = future.result()
    if outcome.algorithm != ALGORITHM_VERSION:
        fault = (
            f"a worker has algorithm version {outcome.algorithm}, but this is {ALGORITHM_VERSION}"
        )
        raise WorkerError(f"{fault}; install the same gradscope on all")
    return outcome
