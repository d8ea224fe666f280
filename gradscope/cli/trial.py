"""``gradscope try``: which change makes a network learn, found by training the promising ones."""

import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gradscope.cli.analyze import EXIT_INTERRUPTED
from gradscope.cli.command import Call, set_blas_threads, takes_settings, weights_of
from gradscope.cli.options import (
    EXECUTION,
    OUTPUT,
    TRAINING,
    Figure,
    Given,
    Html,
    Threads,
    WeightsFile,
    option,
)
from gradscope.cli.output import note, progress_bar, show, write_figures, write_file
from gradscope.cli.sweep import ExecutorChoice, Patience, Scheduler, WorkerCount, sweep_bar
from gradscope.errors import SettingError
from gradscope.names import ExecutorName

if TYPE_CHECKING:
    from gradscope.remedy.trial import Trial, TrialPlan
    from gradscope.sweep.executors import Workers

EXAMPLES = """\
gradscope try --steps 100 --png try.png
gradscope try model.pt --activation tanh --data x.npy --readout fc --targets y.npy
gradscope try --data series.csv --column NAME --steps 50 --budget 10min
gradscope try --task adding --steps 41 --updates 1000 --explain --json
"""
BUDGET_HELP = "Updates of each training, or minutes for all (as in 10min); default --updates."
Budget = Annotated[str | None, option("--budget", BUDGET_HELP, TRAINING, "N|MINUTES")]
Seeds = Annotated[int, option("--seeds", "Seeds of each candidate.", EXECUTION, "N")]
StorePlace = Annotated[
    Path, option("--store", "Where trainings are kept, and resumed from.", OUTPUT, "FILE")
]
Explain = Annotated[bool, option("--explain", "Say how the decision was made.", OUTPUT)]
Apply = Annotated[
    Path | None, option("--apply", "Train the winner and save it (.npz).", OUTPUT, "FILE")
]


@takes_settings("load", "threads")
def trial(  # noqa: PLR0913 (each is a flag)
    call: Call,
    file: WeightsFile = None,
    *,
    budget: Budget = None,
    seeds: Seeds = 3,
    store: StorePlace = Path("try.db"),
    executor: ExecutorChoice = None,
    workers: WorkerCount = None,
    scheduler: Scheduler = None,
    patience: Patience = 120.0,
    threads: Threads = None,
    png: Figure = None,
    html: Html = None,
    explain: Explain = False,
    apply: Apply = None,
) -> None:
    """Find which change makes a network learn: score the candidates, train the best, compare."""
    call.place.prepare(apply, html, figures=png)
    set_blas_threads(threads or 1)
    from gradscope.analysis.prepare import resolve
    from gradscope.remedy.candidates import MOST
    from gradscope.remedy.trial import plan_trial, run_trial
    from gradscope.report.documents.trial import trial_document, trial_rows
    from gradscope.report.terminal.trial import trial_page
    from gradscope.sweep.executors import Workers

    minutes, updates = _budget(budget)
    asked = {**weights_of(file), **({} if updates is None else {"updates": updates})}
    values = call.values(**asked)
    usual: Given = {"start": "scratch", "updates": 200} if values.get("weights") else {}
    settings = resolve({**usual, **values})
    by_default = ExecutorName.PROCESS if scheduler is None else ExecutorName.DASK
    chosen = Workers(executor or by_default, workers, scheduler, threads or 1, patience)
    with progress_bar("scoring candidates", MOST) as move:
        plan = plan_trial(settings, seeds, lambda: move("candidates"))
    plan = _within(plan, chosen, minutes)
    with sweep_bar(len(plan.cells)) as watch:
        found = run_trial(plan, store, workers=chosen, watch=watch)
    show(
        call.place,
        lambda screen: trial_page(found, screen, explain=explain),
        lambda: trial_document(found),
        lambda: trial_rows(found),
    )
    if png:
        from gradscope.report.figures.trial import trial_picture

        write_figures(png, partial(trial_picture, found), force=call.place.force)
    if html is not None:
        from gradscope.report.html import trial_html

        write_file(html, trial_html(found).encode(), force=call.place.force)
    if found.progress.interrupted:
        note("interrupted; what ended is kept, and the same command computes the rest")
        raise typer.Exit(EXIT_INTERRUPTED)
    if apply is not None:
        _apply(found, apply, force=call.place.force)


def _budget(text: str | None) -> tuple[float | None, int | None]:
    """Return the minutes for all trainings, or the updates of each; None for what is not said."""
    if text is None:
        return None, None
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(m|min|minutes)?", text.strip())
    if found is None or (not found[2] and "." in found[1]):
        raise SettingError(
            f"--budget is {text!r}; give updates, as in 500, or minutes, as in 10min"
        )
    return (float(found[1]), None) if found[2] else (None, int(found[1]))


def _within(plan: "TrialPlan", workers: "Workers", minutes: float | None) -> "TrialPlan":
    """Say how long the trainings will take, and give them the updates that fit into the minutes."""
    from gradscope.remedy.trial import seconds_per_training
    from gradscope.sweep.executors import available_cores

    count = 1 if workers.name is ExecutorName.SERIAL else workers.workers or available_cores()
    with progress_bar("timing a few updates"):
        once, all_of_them = (
            seconds_per_training(plan, n) / count for n in (0, plan.settings.updates)
        )
    if minutes is not None:
        each = (all_of_them - once) / plan.settings.updates
        updates = int((60.0 * minutes - once) / max(each, 1e-9))
        if updates < 1:
            raise SettingError(
                f"--budget is {minutes:g} minutes, but examining takes {once / 60.0:.2g}; give more"
            )
        plan = replace(plan, settings=plan.settings.with_changes({"updates": updates}))
        all_of_them = 60.0 * minutes
    trainings = f"{len(plan.cells)} trainings of {plan.settings.updates} updates"
    note(f"{trainings} take about {all_of_them:.0f} s on {count} workers")
    return plan


def _apply(found: "Trial", path: Path, *, force: bool) -> None:
    """Train the winner with the first seed and save the run."""
    from gradscope.analysis.analyze import analyze
    from gradscope.cli.analyze import Files, write_files

    if found.winner is None:
        raise SettingError("nothing that was tried helps, so --apply has nothing to save")
    settings = found.plan.cells_of(found.winner.screened)[0].settings
    with progress_bar("training the winner", settings.updates) as move:
        analysis = analyze(settings, watch=lambda *_: move(""))
    write_files(analysis, Files(None, path), force=force)
