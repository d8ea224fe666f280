"""``try``: how far what it takes is from the best of all candidates, each trained."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from gradscope.analysis.settings import Settings
from gradscope.remedy.trial import plan_trial, run_trial
from tests.benchmarks.advice.rows import Row, at_least
from tests.benchmarks.advice.trials import FAILING

NETWORKS, WITHIN = 10, 2.0


def rows(*, quick: bool = False) -> Iterator[Row]:
    """Yield how often the error is close to that of the best."""
    close = [regret(number, quick=quick) <= WITHIN for number in range(1 if quick else NETWORKS)]
    yield at_least("try, recall 30, H = 64: within × 2 of the best", sum(close), len(close), 0.9)


def regret(number: int, *, quick: bool) -> float:
    """Return the error of what ``try`` takes over that of the best of all candidates."""
    small = {"hidden": 24, "steps": 20, "delay": 10, "updates": 100}
    usual = {"hidden": 64, "steps": 60, "delay": 30}
    asked = Settings(seed=10 * number, **(small if quick else usual))
    plan = plan_trial(asked.with_changes(FAILING[number % len(FAILING)]), 2)
    everything = replace(plan, candidates=tuple(replace(each, why="") for each in plan.candidates))
    with TemporaryDirectory() as folder:
        store = Path(folder) / "try.db"
        chosen, best = run_trial(plan, store), run_trial(everything, store)
    return float(np.mean((chosen.winner or chosen.nothing).errors) / np.mean(best.tried[0].errors))
