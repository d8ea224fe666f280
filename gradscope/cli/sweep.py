"""``gradscope sweep``: every cell of a grid, in one store from which a sweep resumes."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gradscope.cli.analyze import EXIT_INTERRUPTED
from gradscope.cli.command import (
    Call,
    read_toml,
    set_blas_threads,
    settings_in,
    takes_settings,
    weights_of,
)
from gradscope.cli.options import EXECUTION, OUTPUT, Threads, WeightsFile, option
from gradscope.cli.output import note, progress_bar, show
from gradscope.data.columns import quoted
from gradscope.errors import SettingError
from gradscope.names import ExecutorName
from gradscope.progress import work

if TYPE_CHECKING:
    from gradscope.sweep.grid import Grid
    from gradscope.sweep.run import Progress, Watch

EXIT_FAILED_CELLS = 3

PARAM_HELP = "Sweep a setting: NAME=start:stop:count, NAME=log:start:stop:count or NAME=a,b,c."
Parameters = Annotated[list[str] | None, option("-P --param", PARAM_HELP, EXECUTION, "NAME=RANGE")]
SEEDS_HELP = "Seeds per combination, counted from --seed (default 1)."
Seeds = Annotated[int | None, option("--seeds", SEEDS_HELP, EXECUTION, "N")]
STORE_HELP = "The store; its cells are kept (default sweep.db)."
StorePlace = Annotated[Path, option("--output -o", STORE_HELP, OUTPUT, "FILE")]
SHARD_HELP = "Part I of N of the grid, in a separate store; see merge."
ShardOfGrid = Annotated[str | None, option("--shard", SHARD_HELP, EXECUTION, "I/N")]
EXECUTOR_HELP = f"Where cells run: {', '.join(ExecutorName)}."
ExecutorIs = Annotated[ExecutorName | None, option("--executor", EXECUTOR_HELP, EXECUTION, "WORD")]
WORKERS_HELP = "Worker processes (default: the number of cores)."
WorkerCount = Annotated[int | None, option("--workers", WORKERS_HELP, EXECUTION, "N")]
SCHEDULER_HELP = "A dask scheduler: tcp://HOST:PORT, or its file."
Scheduler = Annotated[str | None, option("--scheduler", SCHEDULER_HELP, EXECUTION, "ADDRESS")]
Patience = Annotated[float, option("--patience", "Seconds to wait for workers.", EXECUTION, "S")]
RetryFailed = Annotated[bool, option("--retry-failed", "Compute failed cells again.", EXECUTION)]
SALVAGE_HELP = "Go on in this new store, with what is whole of a damaged one."
SavedStore = Annotated[Path | None, option("--salvage", SALVAGE_HELP, OUTPUT, "FILE")]
SKIP_HELP = "Leave out combinations that are not possible."
SkipContradictions = Annotated[bool, option("--skip-contradictions", SKIP_HELP, EXECUTION)]
DRY_HELP = "Show the number of cells and the time; compute nothing."
DryRun = Annotated[bool, option("--dry-run", DRY_HELP, EXECUTION)]


@takes_settings("output", "force", "threads")
def sweep(  # noqa: PLR0913 (each is a flag)
    call: Call,
    file: WeightsFile = None,
    *,
    param: Parameters = None,
    seeds: Seeds = None,
    store: StorePlace = Path("sweep.db"),
    shard: ShardOfGrid = None,
    executor: ExecutorIs = None,
    workers: WorkerCount = None,
    scheduler: Scheduler = None,
    threads: Threads = None,
    patience: Patience = 120.0,
    retry_failed: RetryFailed = False,
    salvage: SavedStore = None,
    skip_contradictions: SkipContradictions = False,
    dry_run: DryRun = False,
) -> None:
    """Analyze every combination of settings and keep the results in one store; the same command
    again computes what is missing.
    """
    call = replace(call, given=call.given | weights_of(file))
    set_blas_threads(threads or 1)
    call.place.prepare()
    from gradscope.report.documents import sweep as documents
    from gradscope.report.terminal import sweep as pages
    from gradscope.sweep.executors import Workers
    from gradscope.sweep.grid import Shard, make_plan
    from gradscope.sweep.merge import merge_stores
    from gradscope.sweep.preview import preview
    from gradscope.sweep.query import read_rows
    from gradscope.sweep.run import run_sweep
    from gradscope.sweep.summary import summarize

    part = None if shard is None else Shard.parse(shard)
    if part is not None:  # sweep.db becomes sweep-3of16.db.
        store = store.with_name(f"{store.stem}-{part.number}of{part.count}{store.suffix}")
    grid = _grid(call, param or [], seeds)
    with progress_bar("planning"):
        plan = make_plan(grid, part, skip_contradictions=skip_contradictions)
    if plan.left_out:
        note(f"left out {len(plan.left_out)} combinations; the first: {plan.left_out[0]}")
    by_default = ExecutorName.PROCESS if scheduler is None else ExecutorName.DASK
    chosen = Workers(executor or by_default, workers, scheduler, threads or 1, patience)
    if salvage is not None and not salvage.exists():
        saved = merge_stores([store], salvage, salvage=True)
        note(f"saved {saved.cells} cells of {store} in {salvage}")
    store = salvage or store
    if dry_run:
        with progress_bar("timing a sample"):
            seen = preview(plan, store, chosen)
        show(call.place, (seen,), pages.plan_page, documents.plan_document, documents.plan_rows)
        return
    start = time.perf_counter()
    with sweep_bar() as watch:
        progress = run_sweep(
            plan.cells, store, workers=chosen, retry_failed=retry_failed, watch=watch
        )
    seconds, keys = time.perf_counter() - start, {cell.key for cell in plan.cells}
    result = summarize(read_rows(store, curves=False), keys), progress, store, seconds
    document = partial(documents.sweep_document, plan.cells)
    show(call.place, result, pages.sweep_page, document, documents.group_rows)
    _leave(progress)


def _grid(call: Call, texts: Sequence[str], seeds: int | None) -> "Grid":
    """Put -P over flags over the TOML file's [sweep] table over its settings."""
    from gradscope.sweep.axes import axes_from_table, parse_axes
    from gradscope.sweep.grid import Grid

    axes = parse_axes(texts)
    content, where = read_toml(call.config), f"--config {call.config}"
    table: Any = content.get("sweep", {})
    if not isinstance(table, dict):
        raise SettingError(f"{where}: sweep is {quoted(table)}; write a table, [sweep]")
    seeds_in_file = table.pop("seeds", 1)
    if type(seeds_in_file) is not int:
        raise SettingError(f"{where}: seeds is {quoted(seeds_in_file)}; give a number")
    filed = axes_from_table(table, f"{where} [sweep]")
    axes = {name: v for name, v in filed.items() if name not in {*axes, *call.given}} | axes
    shared = {name: v for name, v in settings_in(content, call.config).items() if name not in axes}
    return Grid({**shared, **call.given}, axes, seeds_in_file if seeds is None else seeds)


@contextmanager
def sweep_bar() -> "Iterator[Watch]":
    """Show how far the sweep is; yield what to call after each commit."""
    start, restarts, absence = time.perf_counter(), 0, 0.0
    with progress_bar("sweeping") as tell, work("cells", 0) as at:

        def watch(progress: "Progress") -> None:
            nonlocal restarts, absence
            if progress.restarts > restarts:
                restarts = progress.restarts
                note("a worker process died; its cells are run again in a new one")
            if progress.absence and not absence:
                note(f"no worker has been there for {progress.absence:.0f} s; waiting (--patience)")
            absence = progress.absence
            rate = progress.ended / max(time.perf_counter() - start, 1e-9)
            tell(f"{rate:.3g} cells per second, {progress.all_failed} failed,")
            at.done, at.total = progress.ended, progress.ended + progress.missing

        yield watch


def _leave(progress: "Progress") -> None:
    """Report on stderr a sweep with missing or failed cells, and exit with 130 or 3."""
    if progress.interrupted:
        missing = f"{progress.missing} of {progress.total} cells missing"
        note(f"interrupted with {missing}; the same command computes the rest")
        raise typer.Exit(EXIT_INTERRUPTED)
    if progress.all_failed:
        failed = f"{progress.all_failed} of {progress.total} cells failed"
        note(f"{failed}; column error of the store has the reasons; --retry-failed runs them again")
        raise typer.Exit(EXIT_FAILED_CELLS)
