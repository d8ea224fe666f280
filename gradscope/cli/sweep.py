"""``gradscope sweep``: every cell of a grid, kept in one store, whatever comes between."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gradscope.analysis.settings import GIVEN_SETTINGS
from gradscope.cli.analyze import EXIT_INTERRUPTED
from gradscope.cli.command import Call, set_blas_threads, takes_settings
from gradscope.cli.options import EXECUTION, OUTPUT, Threads, option
from gradscope.cli.output import note, show
from gradscope.cli.settings import read_toml, settings_in
from gradscope.errors import SettingError
from gradscope.names import ExecutorName

if TYPE_CHECKING:
    from gradscope.sweep.grid import Grid, Plan
    from gradscope.sweep.run import Progress, Watch, Workers

EXAMPLES = """\
[bold]Examples[/bold]

  gradscope sweep -P gain=0.5:3:26 -P activation=tanh,sigmoid -P steps=log:10:1000:7 --seeds 8

  gradscope sweep -P hidden=8,32,128 --updates 0 -o widths.db --dry-run

  gradscope sweep --config grid.toml --shard 3/16 -o sweep.db
"""
EXIT_FAILED_CELLS = 3

PARAM = (
    "Sweep a setting: NAME=start:stop:count, NAME=log:start:stop:count, or NAME=a,b,c; repeat for "
    "several."
)
SEEDS = "Seeds of every combination, from --seed on (default 1)."
STORE = "The store; what it holds is not computed again (default sweep.db)."
SHARD = "Only part I of N of the grid, into a store of its own; join them with merge."
EXECUTOR = "Who computes: serial, process, dask (default process)."
WORKERS = "Worker processes (default: the cores there are)."
SCHEDULER = "A dask scheduler: tcp://HOST:PORT, or its scheduler file."
RETRY = "Compute failed cells again."
SKIP = "Leave out combinations whose settings contradict one another."
DRY_RUN = "Only say how many cells there are, the first of them, and how long it will take."


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sweep", epilog=EXAMPLES)(sweep)


@takes_settings("output", "force", "threads", "weights", *GIVEN_SETTINGS)
def sweep(  # noqa: PLR0913 (each is a flag)
    call: Call,
    *,
    param: Annotated[
        list[str] | None, option(PARAM, EXECUTION, "-P", "--param", metavar="NAME=RANGE")
    ] = None,
    seeds: Annotated[int | None, option(SEEDS, EXECUTION, "--seeds", metavar="N")] = None,
    store: Annotated[Path, option(STORE, OUTPUT, "--output", "-o", metavar="FILE")] = Path(
        "sweep.db"
    ),
    shard: Annotated[str | None, option(SHARD, EXECUTION, "--shard", metavar="I/N")] = None,
    executor: Annotated[
        ExecutorName | None, option(EXECUTOR, EXECUTION, "--executor", metavar="WORD")
    ] = None,
    workers: Annotated[int | None, option(WORKERS, EXECUTION, "--workers", metavar="N")] = None,
    scheduler: Annotated[
        str | None, option(SCHEDULER, EXECUTION, "--scheduler", metavar="ADDRESS")
    ] = None,
    threads: Threads = None,
    retry_failed: Annotated[bool, option(RETRY, EXECUTION, "--retry-failed")] = False,
    skip_contradictions: Annotated[bool, option(SKIP, EXECUTION, "--skip-contradictions")] = False,
    dry_run: Annotated[bool, option(DRY_RUN, EXECUTION, "--dry-run")] = False,
) -> None:
    """Analyze every combination of settings into one store; run again, it does what is missing."""
    set_blas_threads(threads or 1)
    call.prepare()
    from gradscope.sweep.grid import Shard, make_plan
    from gradscope.sweep.run import Workers, run_sweep

    part = None if shard is None else Shard.parse(shard)
    if part is not None:  # sweep.db becomes sweep-3of16.db.
        store = store.with_name(f"{store.stem}-{part.number}of{part.count}{store.suffix}")
    plan = make_plan(_grid(call, param or [], seeds), part, skip_contradictions=skip_contradictions)
    if plan.left_out:
        note(f"left out {len(plan.left_out)} combinations; the first: {plan.left_out[0]}")
    by_default = ExecutorName.PROCESS if scheduler is None else ExecutorName.DASK
    chosen = Workers(executor or by_default, workers, scheduler, threads or 1)
    if dry_run:
        _show_plan(call, plan, store, chosen)
        return
    start = time.perf_counter()
    with sweep_bar(len(plan.cells)) as watch:
        progress = run_sweep(
            plan.cells, store, workers=chosen, retry_failed=retry_failed, watch=watch
        )
    _show_summary(call, plan, store, progress, time.perf_counter() - start)
    _leave(progress)


def _grid(call: Call, texts: Sequence[str], seeds: int | None) -> "Grid":
    """Put -P over flags over the TOML file's [sweep] table over its settings."""
    from gradscope.sweep.axes import axes_from_table, parse_axes
    from gradscope.sweep.grid import Grid

    axes = parse_axes(texts)
    content = read_toml(call.config)
    table: Any = content.get("sweep", {})
    if not isinstance(table, dict):
        raise SettingError(f"--config {call.config}: sweep is {table!r}; write a table, [sweep]")
    seeds_in_file = table.pop("seeds", 1)
    if type(seeds_in_file) is not int:
        raise SettingError(f"--config {call.config}: seeds is {seeds_in_file!r}; give a number")
    filed = axes_from_table(table, f"--config {call.config} [sweep]")
    axes = {name: v for name, v in filed.items() if name not in {*axes, *call.given}} | axes
    shared = {name: v for name, v in settings_in(content, call.config).items() if name not in axes}
    return Grid({**shared, **call.given}, axes, seeds_in_file if seeds is None else seeds)


@contextmanager
def sweep_bar(total: int) -> "Iterator[Watch]":
    """Show on stderr, where that is a terminal, how far the sweep is: rate, time left, failures.

    Yields what to call after each commit; a pool that was started anew is told in any case.
    """
    import sys

    told = 0

    def tell(progress: "Progress") -> None:
        nonlocal told
        if progress.restarts > told:
            told = progress.restarts
            note("a worker died; its cells are tried again in new ones")

    if sys.stderr is None or not sys.stderr.isatty() or not total:
        yield tell
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("sweeping"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[text]}", markup=False),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    start = time.perf_counter()
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total, text="")

        def watch(progress: "Progress") -> None:
            tell(progress)
            rate = progress.ended / max(time.perf_counter() - start, 1e-9)
            text = f"{rate:.3g} cells a second, {progress.all_failed} failed,"
            bar.update(task, completed=progress.kept + progress.ended, text=text)

        yield watch


def _show_plan(call: Call, plan: "Plan", place: Path, chosen: "Workers") -> None:
    from gradscope.report.documents.sweep import PLAN_COLUMNS, plan_document, plan_rows
    from gradscope.report.terminal.sweep import plan_page
    from gradscope.sweep.preview import preview

    seen = preview(plan, place, chosen)
    show(
        call.place,
        lambda screen: plan_page(seen, screen),
        lambda: plan_document(seen),
        lambda: (PLAN_COLUMNS, plan_rows(seen)),
    )


def _show_summary(
    call: Call, plan: "Plan", place: Path, progress: "Progress", seconds: float
) -> None:
    from gradscope.report.documents.sweep import GROUP_COLUMNS, group_rows, sweep_document
    from gradscope.report.terminal.sweep import sweep_page
    from gradscope.sweep.query import read_rows
    from gradscope.sweep.summary import summarize

    keys = {cell.key for cell in plan.cells}
    summary = summarize(read_rows(place, curves=False), keys)
    show(
        call.place,
        lambda screen: sweep_page(summary, progress, place, seconds, screen),
        lambda: sweep_document(plan.cells, summary, progress, place, seconds),
        lambda: (GROUP_COLUMNS, group_rows(summary)),
    )


def _leave(progress: "Progress") -> None:
    """Say on stderr how the sweep ended if not as planned, and leave with the code that fits."""
    if progress.interrupted:
        note(
            f"interrupted with {progress.missing} of {progress.total} cells missing; what ended is "
            "kept, and the same command goes on"
        )
        raise typer.Exit(EXIT_INTERRUPTED)
    if progress.all_failed:
        note(
            f"{progress.all_failed} of {progress.total} cells failed; after mending, add "
            "--retry-failed"
        )
        raise typer.Exit(EXIT_FAILED_CELLS)
