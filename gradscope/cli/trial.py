"""``gradscope try`` and ``forecast``: which change makes a network learn, found by training the
promising ones; and which lags it will learn, before any training.
"""

import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gradscope.cli.analyze import EXIT_INTERRUPTED, analysis_with_bars, save_run
from gradscope.cli.command import Call, takes_settings, weights_of
from gradscope.cli.options import (
    DATA,
    EXECUTION,
    OUTPUT,
    TRAINING,
    Figure,
    Given,
    Html,
    WeightsFile,
    option,
)
from gradscope.cli.output import note, progress_bar, show, write_figures, write_file
from gradscope.cli.sweep import Scheduler, WorkerCount, sweep_bar
from gradscope.errors import SettingError
from gradscope.names import ExecutorName
from gradscope.sweep.axes import parse_values

if TYPE_CHECKING:
    from gradscope.remedy.trial import TrialPlan

BUDGET_HELP = "Updates of each training, or minutes for all, as 10min."
Budget = Annotated[str | None, option("--budget", BUDGET_HELP, TRAINING, "N|MINUTES")]
Seeds = Annotated[int, option("--seeds", "Seeds of each candidate (default 3).", EXECUTION, "N")]
STORE_HELP = "Where trainings are kept (default try.db)."
StorePlace = Annotated[Path, option("--store", STORE_HELP, OUTPUT, "FILE")]
Explain = Annotated[bool, option("--explain", "Say how the decision was made.", OUTPUT)]
Apply = Annotated[
    Path | None, option("--apply", "Train the winner and save it (.npz).", OUTPUT, "FILE")
]


@takes_settings()
def trial(  # noqa: PLR0913 (each is a flag)
    call: Call,
    file: WeightsFile = None,
    *,
    budget: Budget = None,
    seeds: Seeds = 3,
    store: StorePlace = Path("try.db"),
    workers: WorkerCount = None,
    scheduler: Scheduler = None,
    png: Figure = None,
    html: Html = None,
    explain: Explain = False,
    apply: Apply = None,
) -> None:
    """Find which change makes a network learn, by trying them."""
    call.place.prepare(apply, html, figures=png)
    minutes, updates = _budget(budget)
    from gradscope.analysis.prepare import resolve
    from gradscope.remedy.trial import plan_trial, run_trial
    from gradscope.report.documents.remedy import trial_document, trial_rows
    from gradscope.report.figures.remedy import trial_picture
    from gradscope.report.terminal.remedy import trial_page
    from gradscope.sweep.executors import Workers, available_cores
    from gradscope.sweep.store import open_store

    values = call.values(**weights_of(file), **updates)
    usual: Given = {"start": "scratch", "updates": 200} if values.get("weights") else {}
    by = ExecutorName.SERIAL if workers == 1 else ExecutorName.PROCESS
    by = by if scheduler is None else ExecutorName.DASK
    pool = Workers(by, workers, scheduler)
    if store.exists() or not store.parent.is_dir():
        with open_store(store):  # Refuse it before anything is computed.
            pass
    with progress_bar("scoring"):
        plan = plan_trial(resolve({**usual, **values}), seeds)
    with progress_bar("timing"):
        plan = _within(plan, workers or available_cores(), minutes)
    with sweep_bar() as watch:
        found = run_trial(plan, store, workers=pool, watch=watch)
    page = partial(trial_page, explain=explain)
    show(call.place, (found,), page, trial_document, trial_rows)
    write_figures(call.place, png, partial(trial_picture, found))
    if html is not None:
        from gradscope.report.html_of_networks import trial_html

        write_file(html, trial_html(found).encode(), force=call.place.force)
    if found.progress.interrupted:
        same = f" with --budget {plan.settings.updates}" if minutes is not None else ""
        note(f"interrupted; what ended is kept, and the same command{same} computes the rest")
        raise typer.Exit(EXIT_INTERRUPTED)
    if apply is not None:
        if found.winner is None:
            raise SettingError("nothing that was tried helps, so --apply has nothing to save")
        settings = plan.cells_of(found.winner.candidate)[0].settings
        save_run(call.place, analysis_with_bars(settings.as_dict()), apply)


def _budget(text: str | None) -> tuple[float | None, Given]:
    """Return the minutes for all trainings, None for any, and the updates of each as a setting."""
    found = re.fullmatch(r"(\d+)|(\d+(?:\.\d+)?) ?(?:m|min|minutes)", text or "")
    if text is not None and (found is None or (found[1] and not int(found[1]))):
        fault = "give updates, as in 500, or minutes, as in 10min"
        raise SettingError(f"--budget is {text!r}; {fault}")
    many, minutes = (None, None) if found is None else found.groups()
    return float(minutes) if minutes else None, {"updates": int(many)} if many else {}


def _within(plan: "TrialPlan", workers: int, minutes: float | None) -> "TrialPlan":
    """Give each training the updates that fit into the minutes; report how long all will take."""
    from gradscope.remedy.trial import seconds_of

    once, each = (seconds / workers for seconds in seconds_of(plan))
    if minutes is not None:
        updates = int((60.0 * minutes - once) / max(each, 1e-9))
        if updates < 1:
            fault = f"but without any update it takes {once / 60.0:.2g}; give more"
            raise SettingError(f"--budget is {minutes:g} minutes, {fault}")
        plan = replace(plan, settings=plan.settings.with_changes({"updates": updates}))
    updates = plan.settings.updates
    trainings = f"{len(plan.cells)} trainings of {updates} updates"
    note(f"{trainings} take about {once + updates * each:.0f} s on {workers} workers")
    return plan


LAGS, BUDGETS = "log:5:200:8", "100,200,500,1000,2000"
LAGS_HELP = f"Lags to ask about: a list or range (default {LAGS})."
Lags = Annotated[str, option("--lags", LAGS_HELP, DATA, "LIST")]
BUDGETS_HELP = f"Numbers of updates (default {BUDGETS})."
Budgets = Annotated[str, option("--budgets", BUDGETS_HELP, TRAINING, "LIST")]


@takes_settings("updates", "delay", "required_lag", "weights", "max_lag", "vanishing")
def forecast(
    call: Call, *, lags: Lags = LAGS, budgets: Budgets = BUDGETS, png: Figure = None
) -> None:
    """Say which lags a network will learn, before any training."""
    call.place.prepare(figures=png)
    asked = sorted(set(parse_values("max_lag", lags, "--lags")))
    budget = sorted(set(parse_values("updates", budgets, "--budgets")))
    for name, values in (("--lags", asked), ("--budgets", budget)):
        if values[0] < 1:
            raise SettingError(f"{name} has {values[0]}; choose 1 or more")
    from gradscope.analysis.prepare import resolve
    from gradscope.remedy.forecast import forecast as expect
    from gradscope.report.documents.remedy import forecast_document, forecast_rows
    from gradscope.report.figures.remedy import forecast_picture
    from gradscope.report.terminal.remedy import forecast_page

    settings = resolve(call.values())
    with progress_bar("asking about lags"):
        found = expect(settings, asked, budget)
    show(call.place, (found, settings), forecast_page, forecast_document, forecast_rows)
    write_figures(call.place, png, partial(forecast_picture, found, settings))
