"""A sweep does what is missing, and nothing that happens to it loses what ended.

The real thing is killed here: the parent, a worker, the disk. Where it matters which cell was in
flight, an executor of our own breaks at will.
"""

import multiprocessing
import os
import random
import signal
import sqlite3
import sys
from collections.abc import Callable
from concurrent.futures import Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

import gradscope
from gradscope.errors import OutputError, SettingError, WorkerError
from gradscope.names import ExecutorName
from gradscope.sweep import cell as outcome_module
from gradscope.sweep.cell import Outcome, Status, run_cell
from gradscope.sweep.executors import SerialExecutor, Workers, workers_gone
from gradscope.sweep.grid import Cell
from gradscope.sweep.query import read_rows
from gradscope.sweep.run import Progress, run_sweep
from gradscope.sweep.store import Store, open_store
from tests.sweeping import (
    TINY_FLAGS,
    cells_of,
    count_cells,
    lasting_rows,
    run,
    start,
    wait_until,
)

SERIAL = Workers(ExecutorName.SERIAL)
TWO = Workers(ExecutorName.PROCESS, 2)
FAILING: dict[str, Any] = {"sequences": 1000}
"""With 10,000,000 steps, more than any machine's memory."""


def numbers(progress: Progress) -> tuple[int, int, int, int]:
    return progress.kept, progress.done, progress.failed, progress.missing


# --- What is missing ------------------------------------------------------------------------------


def test_the_same_sweep_again_computes_nothing(tmp_path: Path) -> None:
    cells = cells_of("gain=1,2", seeds=2)
    assert numbers(run_sweep(cells, tmp_path / "s.db", workers=SERIAL)) == (0, 4, 0, 0)
    before = read_rows(tmp_path / "s.db").values

    assert numbers(run_sweep(cells, tmp_path / "s.db", workers=SERIAL)) == (4, 0, 0, 0)
    assert read_rows(tmp_path / "s.db").values == before


def test_a_grown_grid_adds_cells(tmp_path: Path) -> None:
    run_sweep(cells_of("gain=1,2"), tmp_path / "s.db", workers=SERIAL)

    grown = run_sweep(cells_of("gain=1,2,3", seeds=2), tmp_path / "s.db", workers=SERIAL)

    assert numbers(grown) == (2, 4, 0, 0)


def test_a_row_is_there_as_soon_as_its_cell_ended(tmp_path: Path) -> None:
    seen = []

    def watch(progress: Progress) -> None:
        seen.append((progress.ended, count_cells(tmp_path / "s.db")))

    run_sweep(cells_of("gain=1:2:4"), tmp_path / "s.db", workers=SERIAL, watch=watch)

    assert seen == [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4)]


# --- Cells that fail ------------------------------------------------------------------------------


def test_a_failing_cell_is_recorded_and_the_others_are_done(tmp_path: Path) -> None:
    cells = cells_of("steps=6,10000000,8", **FAILING)

    end = run_sweep(cells, tmp_path / "s.db", workers=TWO)

    assert numbers(end) == (0, 2, 1, 0)
    rows = read_rows(tmp_path / "s.db", "status = 'failed'", ("steps", "error", "regime"))
    ((steps, error, regime),) = rows.values
    assert (steps, regime) == (10_000_000, None)
    assert "GiB of memory" in error


def test_failed_cells_are_tried_again_only_where_asked_for(tmp_path: Path) -> None:
    cells = cells_of("steps=6,10000000", **FAILING)
    run_sweep(cells, tmp_path / "s.db", workers=SERIAL)

    again = run_sweep(cells, tmp_path / "s.db", workers=SERIAL)
    assert (numbers(again), again.all_failed) == ((2, 0, 0, 0), 1)

    retried = run_sweep(cells, tmp_path / "s.db", workers=SERIAL, retry_failed=True)
    assert (numbers(retried), retried.all_failed) == ((1, 0, 1, 0), 1)
    assert read_rows(tmp_path / "s.db", "status = 'failed'", ("attempts",)).values == ((2,),)


def test_a_failure_that_nobody_foresaw_keeps_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_settings: Any, **_: Any) -> None:
        raise ZeroDivisionError("one\nover\0zero")

    monkeypatch.setattr(outcome_module, "analyze", broken)
    run_sweep(cells_of(), tmp_path / "s.db", workers=SERIAL)

    ((error, trace),) = read_rows(tmp_path / "s.db", None, ("error", "traceback")).values
    assert error == "ZeroDivisionError: one overzero"
    assert "in broken" in trace


def test_a_network_whose_training_is_interrupted_is_no_outcome(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (cell,) = cells_of(updates=5)
    real = gradscope.analyze

    def interrupting(settings: Any, **options: Any) -> Any:
        def watch(update: int, *_: Any) -> None:
            if update == 2:
                raise KeyboardInterrupt

        return real(settings, **{**options, "watch": watch})

    monkeypatch.setattr(outcome_module, "analyze", interrupting)
    with pytest.raises(KeyboardInterrupt):
        run_cell(cell)


# --- Ctrl-C and the disk --------------------------------------------------------------------------


def interrupt_after(count: int) -> Callable[[Progress], None]:
    def watch(progress: Progress) -> None:
        if progress.ended >= count:
            raise KeyboardInterrupt

    return watch


@pytest.mark.parametrize("workers", [SERIAL, TWO], ids=["serial", "process"])
def test_an_interrupt_keeps_what_ended_and_the_next_run_goes_on(
    tmp_path: Path, workers: Workers
) -> None:
    cells = cells_of("gain=1:2:30")

    end = run_sweep(cells, tmp_path / "s.db", workers=workers, watch=interrupt_after(5))

    assert end.interrupted
    assert end.done >= 5
    assert end.missing == 30 - end.done
    assert count_cells(tmp_path / "s.db") == end.done
    assert numbers(run_sweep(cells, tmp_path / "s.db", workers=SERIAL))[2:] == (0, 0)


def test_an_interrupt_before_the_commit_returns_commits_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = Store.save, []

    def save(self: Store, outcomes: list[Outcome]) -> None:
        real(self, outcomes)
        calls.append(len(outcomes))
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Store, "save", save)
    end = run_sweep(cells_of("gain=1:2:5"), tmp_path / "s.db", workers=SERIAL)

    assert end.interrupted
    assert read_rows(tmp_path / "s.db", None, ("attempts",)).values == ((1,), (1,))


def test_a_disk_that_fills_up_keeps_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = cells_of("gain=1:2:6")
    real = Store.save

    def save(self: Store, outcomes: list[Outcome]) -> None:
        if len(self.statuses()) == 3:
            pages = self.connection.execute("PRAGMA page_count").fetchone()[0]
            self.connection.execute(f"PRAGMA max_page_count = {pages}")
            outcomes = [
                Outcome(each.cell, Status.DONE, {"loss_curve": bytes(100_000)}) for each in outcomes
            ]
        real(self, outcomes)

    monkeypatch.setattr(Store, "save", save)
    with pytest.raises(OutputError, match=r"the disk is full .* run the same command again"):
        run_sweep(cells, tmp_path / "s.db", workers=SERIAL)
    monkeypatch.undo()

    assert count_cells(tmp_path / "s.db") == 3
    assert numbers(run_sweep(cells, tmp_path / "s.db", workers=SERIAL)) == (3, 3, 0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["serial", "process"])
def test_a_limit_on_the_files_size_is_a_full_disk_and_the_store_resumes(
    tmp_path: Path, executor: str
) -> None:
    resource = pytest.importorskip("resource", reason="file-size limits are a matter of POSIX")
    store = tmp_path / "s.db"
    command = ("sweep", "-P", "gain=1:2:60", *TINY_FLAGS, "--executor", executor, "-o", store)

    limited = run(
        *command,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000)),
    )

    assert limited.returncode == 2
    assert limited.stderr.count("\n") == 1
    assert "the disk is full or the file may not grow" in limited.stderr
    kept = len(lasting_rows(store))
    assert 0 < kept < 60
    with sqlite3.connect(store) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    resumed = run(*command, "--json")
    assert resumed.returncode == 0
    assert f'"kept": {kept}' in resumed.stdout
    run_sweep(cells_of("gain=1:2:60"), tmp_path / "calm.db", workers=SERIAL)
    assert lasting_rows(store) == lasting_rows(tmp_path / "calm.db")


# --- Workers that die -----------------------------------------------------------------------------


def test_a_worker_that_is_killed_is_replaced_and_nothing_is_lost(tmp_path: Path) -> None:
    cells = cells_of("gain=0.5:3:40", steps=30, updates=2)
    strangers = set(multiprocessing.active_children())
    killed: list[Any] = []

    def watch(progress: Progress) -> None:
        workers = set(multiprocessing.active_children()) - strangers
        if progress.ended and not killed and workers:
            killed.append(workers.pop())
            killed[0].kill()

    end = run_sweep(cells, tmp_path / "s.db", workers=TWO, watch=watch)

    assert (numbers(end), end.restarts) == ((0, 40, 0, 0), 1)
    run_sweep(cells, tmp_path / "calm.db", workers=SERIAL)
    assert lasting_rows(tmp_path / "s.db") == lasting_rows(tmp_path / "calm.db")


class WorkerPool:
    """A team around an executor of our own."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor

    def in_flight(self, _each: int) -> int:
        return 4

    def close(self) -> None:
        pass


class Breaking(Executor):
    """Runs what was handed out together, once it is waited for. With a guilty cell among it all of
    it breaks, as a pool does whose worker dies.
    """

    def __init__(self, guilty: set[int], log: list[list[int]]) -> None:
        self.guilty = guilty
        self.log = log
        self.flying: list[tuple[Future[Any], Any, Cell]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **_: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.flying.append((future, fn, args[0]))
        return future

    def land(self) -> None:
        landed, self.flying = self.flying, []
        seeds = [cell.settings.seed for _, _, cell in landed]
        self.log.append(seeds)
        for future, fn, cell in landed:
            if self.guilty & set(seeds):
                future.set_exception(BrokenProcessPool("a worker died"))
            else:
                future.set_result(fn(cell))


class BreakingWorkers(Workers):
    """A crew whose workers die under the cells of some seeds."""

    guilty: set[int] = set()  # noqa: RUF012 (set for each test)
    log: list[list[int]] = []  # noqa: RUF012
    executors: list[Breaking] = []  # noqa: RUF012

    def open(self) -> Any:
        self.executors.append(Breaking(self.guilty, self.log))
        return WorkerPool(self.executors[-1])


def test_crew_is_the_name_of_workers_in_version_0_1(tmp_path: Path) -> None:
    end = run_sweep(cells_of(seeds=2), tmp_path / "s.db", crew=SERIAL)

    assert numbers(end) == (0, 2, 0, 0)
    with pytest.raises(SettingError, match="workers and crew"):
        run_sweep(cells_of(seeds=2), tmp_path / "s.db", workers=SERIAL, crew=SERIAL)


@pytest.mark.parametrize("guilty", [{3}, {0, 1}, {7}, {0, 7}])
def test_a_cell_that_kills_its_worker_every_time_is_found_out(
    tmp_path: Path, guilty: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    log: list[list[int]] = []
    executors: list[Breaking] = []

    def land_and_wait(flying: Any, **options: Any) -> Any:
        executors[-1].land()
        return wait(flying, **options)

    monkeypatch.setattr(BreakingWorkers, "guilty", guilty)
    monkeypatch.setattr(BreakingWorkers, "log", log)
    monkeypatch.setattr(BreakingWorkers, "executors", executors)
    monkeypatch.setattr("gradscope.sweep.run.wait", land_and_wait)

    end = run_sweep(cells_of(seeds=8), tmp_path / "s.db", workers=BreakingWorkers())

    assert numbers(end) == (0, 8 - len(guilty), len(guilty), 0)
    rows = read_rows(tmp_path / "s.db", "status = 'failed'", ("seed", "error"))
    assert set(rows.column("seed")) == guilty
    assert all("its worker died 3 times" in each for each in rows.column("error"))
    # It dies alone three times before it is to blame: cells that flew beside it are not at risk.
    assert any(len(seeds) > 1 for seeds in log if guilty & set(seeds))
    assert all(log.count([seed]) == 3 for seed in guilty)


def test_a_cell_whose_training_diverges_at_once_fails(tmp_path: Path) -> None:
    cells = cells_of("learning_rate=1e-3,1e300", updates=3)

    end = run_sweep(cells, tmp_path / "s.db", workers=SERIAL)

    assert numbers(end) == (0, 1, 1, 0)
    (error,) = read_rows(tmp_path / "s.db", "status = 'failed'", ("error",)).column("error")
    assert error.startswith("training stopped at update 1: the ")
    assert "--learning-rate" in error


class Interrupting(SerialExecutor):
    """Ctrl-C comes while the fourth cell is handed out, before anybody looked at the others."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        (cell,) = args
        if cell.settings.seed == 3:
            raise KeyboardInterrupt
        return super().submit(fn, *args, **kwargs)


class InterruptingWorkers(Workers):
    def open(self) -> Any:
        return WorkerPool(Interrupting())


def test_an_interrupt_keeps_what_ended_since_the_last_look(tmp_path: Path) -> None:
    end = run_sweep(cells_of(seeds=8), tmp_path / "s.db", workers=InterruptingWorkers())

    assert (end.interrupted, end.done) == (True, 3)
    assert count_cells(tmp_path / "s.db") == 3


class Slow(SerialExecutor):
    """Ends the first cell at once, the others when it is asked to."""

    def __init__(self) -> None:
        self.later: list[tuple[Future[Any], Callable[..., Any], Any]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        (cell,) = args
        if cell.settings.seed == 0:
            return super().submit(fn, cell, **kwargs)
        future: Future[Any] = Future()
        self.later.append((future, fn, cell))
        return future


class FailingPool(WorkerPool):
    """Its workers cannot be counted a second time; meanwhile the cells under way end."""

    executor: Slow

    def in_flight(self, _each: int) -> int:
        if not self.executor.later:
            return 4
        for future, fn, cell in self.executor.later:
            future.set_result(fn(cell))
        raise workers_gone(OSError("closed"))


class FailingWorkers(Workers):
    def open(self) -> Any:
        return FailingPool(Slow())


def test_workers_that_are_gone_keep_all_that_ended(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="what ended is kept"):
        run_sweep(cells_of(seeds=8), tmp_path / "s.db", workers=FailingWorkers())

    assert count_cells(tmp_path / "s.db") == 4


def test_an_interrupt_keeps_what_ended_although_another_cell_failed_its_worker(
    tmp_path: Path,
) -> None:
    class Both(Interrupting):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            if args[0].settings.seed == 0:
                broken: Future[Any] = Future()
                broken.set_exception(OSError("no room"))
                return broken
            return super().submit(fn, *args, **kwargs)

    class BothWorkers(Workers):
        def open(self) -> Any:
            return WorkerPool(Both())

    end = run_sweep(cells_of(seeds=8), tmp_path / "s.db", workers=BothWorkers())

    assert (end.interrupted, end.done) == (True, 2)
    assert count_cells(tmp_path / "s.db") == 2


class Gone(SerialExecutor):
    """Workers that can run nothing after the third cell."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        (cell,) = args
        if cell.settings.seed < 3:
            return super().submit(fn, *args, **kwargs)
        future: Future[Any] = Future()
        future.set_exception(ModuleNotFoundError("No module named 'gradscope'"))
        return future


class GoneWorkers(Workers):
    def open(self) -> Any:
        return WorkerPool(Gone())


def test_workers_that_cannot_run_a_cell_end_the_sweep_and_not_each_cell(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match=r"No module named 'gradscope'.*what ended is kept"):
        run_sweep(cells_of(seeds=8), tmp_path / "s.db", workers=GoneWorkers())

    rows = read_rows(tmp_path / "s.db", None, ("seed", "status"))
    assert rows.values == ((0, "done"), (1, "done"), (2, "done"))


def test_a_worker_of_another_algorithm_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_elsewhere(cell: Cell) -> Outcome:
        return Outcome(cell, Status.DONE, algorithm=99)

    monkeypatch.setattr("gradscope.sweep.run.run_cell", run_elsewhere)
    with pytest.raises(WorkerError, match="algorithm version 99"):
        run_sweep(cells_of(), tmp_path / "s.db", workers=SERIAL)
    assert count_cells(tmp_path / "s.db") == 0


# --- The parent that dies -------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is a matter of POSIX")
def test_a_parent_killed_at_random_moments_ends_with_exactly_the_full_grid(tmp_path: Path) -> None:
    moments = random.Random(20240229)  # noqa: S311 (moments, not secrets)
    store, axes = tmp_path / "s.db", ("gain=0.5:3:16", "activation=tanh,sigmoid")
    flags = ("-P", axes[0], "-P", axes[1], *TINY_FLAGS, "--updates", "25", "--workers", "2")
    command = ("sweep", *flags, "-o", store, "--seeds")
    kept, partly = 0, 0

    for kill in range(12):
        # The grid grows with the store, so that few end before their kill, however many cells a
        # machine commits at once (a hundred, where its disk is slow); one that does is whole.
        with start(*command, str(20 + kept // 32), before=IMPORTS if kill < 3 else ()) as parent:
            # The first die as they start, at some import; the others after a few more cells.
            if kill < 3:
                wait_for_lines(parent, moments.randrange(400))
            else:
                wait_for_cells(parent, store, kept + moments.randrange(9))
            parent.kill()
            _, said = parent.communicate()
        killed = parent.returncode == -signal.SIGKILL
        assert killed or parent.returncode == 0, said
        with open_store(store) as found:
            now = len(found.statuses())
        assert now >= kept
        assert killed or now == 32 * (20 + kept // 32)
        partly += killed and now > kept
        kept = now

    assert partly >= 8
    seeds = 20 + kept // 32
    last = run(*command, str(seeds), "--json")
    assert last.returncode == 0, last.stderr
    with open_store(tmp_path / "calm.db") as calm:
        calm.save(run_cell(cell) for cell in cells_of(*axes, seeds=seeds, updates=25))
    assert lasting_rows(store) == lasting_rows(tmp_path / "calm.db")
    assert len(lasting_rows(store)) == 32 * seeds
    assert set(read_rows(store).column("attempts")) == {1}
    assert sorted(os.listdir(tmp_path)) == ["calm.db", "s.db"]  # noqa: PTH208 (names alone)


IMPORTS = ("env", "PYTHONPROFILEIMPORTTIME=1")
"""Starts a Python that writes a line on stderr for each import."""


def wait_for_lines(parent: "Popen[str]", lines: int) -> None:
    """Wait until more lines than these are on stderr, or the parent ended."""
    assert parent.stderr is not None
    for _ in islice(parent.stderr, lines + 1):
        pass


def wait_for_cells(parent: "Popen[str]", store: Path, cells: int) -> None:
    """Wait until more cells than these are in the store, or the parent ended."""
    wait_until(lambda: parent.poll() is not None or count_cells(store) > cells, pause=0.002)
