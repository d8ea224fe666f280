"""``try``: how many failing networks it gets to learn, and what it says to help that does not."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from gradscope.analysis.analyze import analyze
from gradscope.analysis.settings import Settings
from gradscope.remedy.trial import Trial, Tried, plan_trial, run_trial, try_remedies
from tests.benchmarks.advice.rows import Row, at_least

FAILING: tuple[dict[str, Any], ...] = (
    {},
    {"init": "gaussian"},
    {"init": "gaussian", "gain": 1.5},
    {"init": "uniform"},
    {"activation": "sigmoid"},
    {"activation": "relu"},
)
"""Networks of 32 units that do not learn to recall the input of 50 steps ago in 200 updates."""

PLATEAUS: tuple[dict[str, Any], ...] = (
    {"task": "adding", "steps": 41},
    {"task": "adding", "steps": 41, "updates": 1000},
    {"task": "temporal-order", "steps": 40, "updates": 400},
    {"task": "copy", "steps": 40, "updates": 400},
)
FRESH = range(100, 105)
"""Seeds with which what is said to help is trained once more."""


def rows(*, quick: bool = False) -> Iterator[Row]:
    """Yield how many failing networks learn, the regret, the false promises, the seconds."""
    learned = total = 0
    for network in FAILING[:1] if quick else FAILING:
        found = try_remedies(Settings(**network))
        errors = found.winner.errors if found.winner else np.ones(3)
        learned, total = learned + int((errors < 0.9).sum()), total + 3
    yield at_least("try, recall 50, failing networks: error < .9", learned, total, 16 / 18)
    if quick:
        return
    close = [regret(number) <= 2.0 for number in range(10)]
    yield at_least("try, recall 30, H = 64: within × 2 of the best", sum(close), len(close), 0.9)
    said = [helped for each in PLATEAUS for helped in promised_again(Settings(**each))]
    false = sum(not each for each in said)
    yield Row(
        "try on plateau tasks: helps that did not help again",
        f"{false} of {len(said)}",
        "0",
        not false,
    )
    start = time.perf_counter()
    try_remedies(Settings())
    seconds = time.perf_counter() - start
    yield Row("try on the default task, all cores", f"{seconds:.0f} s", "≤ 30 s", seconds <= 30.0)


def regret(number: int) -> float:
    """Return the error of what ``try`` takes over that of the best of all candidates."""
    network = FAILING[number % len(FAILING)]
    settings = Settings(hidden=64, steps=60, delay=30, seed=10 * number, **network)
    plan = plan_trial(settings, 2)
    everything = replace(plan, screened=tuple(replace(each, why="") for each in plan.screened))
    with TemporaryDirectory() as folder:
        store = Path(folder) / "try.db"
        chosen, best = run_trial(plan, store), run_trial(everything, store)
    return mean_error(taken(chosen)) / mean_error(best.tried[0])


def taken(trial: Trial) -> Tried:
    """Return what a person then uses: the winner, or the network as it is."""
    as_is = next(each for each in trial.tried if not each.screened.candidate.parts)
    return trial.winner or as_is


def mean_error(tried: Tried) -> float:
    """Return the mean over the seeds."""
    return float(np.mean(tried.errors))


def promised_again(settings: Settings) -> Iterator[bool]:
    """Yield of everything that ``try`` says helps whether it does with other seeds."""
    found = try_remedies(settings)
    for each in found.tried:
        if each.outcome == "helps":
            changed = settings.with_changes(each.screened.candidate.changes)
            yield error_with(changed) < error_with(settings)


def error_with(settings: Settings) -> float:
    """Return the mean error over ``FRESH`` seeds, in parts of the baseline's."""
    made = (settings.with_changes({"seed": seed}) for seed in FRESH)
    errors = [analyze(each, readout=False, advise=False).relative_error for each in made]
    return float(np.mean([np.inf if each is None else each for each in errors]))
