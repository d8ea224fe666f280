"""What R² promises and what the forecast denies, against trainings that were made for it.

Networks of 32 units are drawn from all that is common, with a lag and a number of updates for each.
Those are trained on which the forecast answers yes or no, and counted by the ground of the answer;
a lag is learned below half of the baseline's error.
"""

import random
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from gradscope.analysis.analyze import analyze
from gradscope.analysis.settings import Settings
from gradscope.errors import GradscopeError
from gradscope.learning.readout import memory_function
from gradscope.model.initializers import initialize
from gradscope.names import ActivationName
from gradscope.remedy.forecast import Ground, forecast, settings_for
from tests.benchmarks.advice.rows import Row, at_least, mapped

LEARNED = 0.5
NETWORKS: tuple[dict[str, Any], ...] = tuple(
    {"activation": activation, "init": init, "gain": gain, "input_scale": scale}
    for activation in ("tanh", "tanh", "sigmoid", "relu")
    for init in ("orthogonal", "gaussian", "uniform", "identity")
    for gain in (0.8, 1.0, 1.3)
    for scale in (1.0, 0.3, 0.1)
)
OPTIMIZERS: tuple[dict[str, Any], ...] = (
    {"optimizer": "adam"},
    {"optimizer": "sgd", "learning_rate": 0.1, "clip_norm": 1.0},
)
LAGS = (5, 8, 12, 18, 25, 35, 50)
UPDATES = {"recall": (200, 200, 400, 1000, 2000), "adding": (200, 400)}

PROMISES = "R² ≥ .2 on recall: error at most 1 − R² + .1"
DENIALS = {"recall": "NO on recall", "adding": "NO on adding, at most 400 updates"}
GROUNDS = {
    Ground.HORIZON: "beyond the memory horizon",
    Ground.SIGNAL: "fewer updates than 3/SNR²",
}
"""The names of the rows; denials are counted as they are drawn, then by ground, on recall."""


def rows(*, quick: bool = False) -> Iterator[Row]:
    """Yield how often each answer was right, and the memory capacity of linear networks."""
    few, most, least = (3, 200, 0.6) if quick else (60, 2000, 0.95)
    promised = trained("recall", (Ground.READOUT,), few, most)
    kept = sum(error <= promise for promise, error in promised)
    yield at_least(PROMISES, kept, len(promised), least)
    for task, name in DENIALS.items():
        right = denied(task, tuple(GROUNDS), few if quick else 2 * few, most)
        yield at_least(name, sum(right), len(right), min(least, 0.9 if task == "adding" else 1.0))
    for ground, name in () if quick else GROUNDS.items():
        right = denied("recall", (ground,), few, most)
        yield Row(f"  {name}", f"{sum(right)} of {len(right)}")
    capacities = [capacity(seed) for seed in range(2 if quick else 5)]
    inside = all(abs(each - 16.0) <= 0.3 for each in capacities)
    spread = f"{min(capacities):.2f} … {max(capacities):.2f}"
    yield Row("Σ R² over delays, linear orthogonal .9, H = 16", spread, "16 ± .3", inside)


def denied(task: str, grounds: tuple[Ground, ...], count: int, most: int) -> list[bool]:
    """Return whether each of so many denials was right, see ``trained``."""
    return [error >= LEARNED for _, error in trained(task, grounds, count, most)]


def trained(
    task: str, grounds: tuple[Ground, ...], count: int, most: int
) -> list[tuple[float, float]]:
    """Return of so many trainings of at most so many updates, in the order they are drawn, on which
    a forecast answers on one of these grounds: the error that it promised (infinite: none) and the
    error, in parts of the baseline's.
    """
    draw = random.Random(f"forecasts of {task}")  # noqa: S311 (no secret)
    budgets = [each for each in UPDATES[task] if each <= most]
    found: list[tuple[float, float]] = []
    while len(found) < count:
        drawn = [
            (
                *(grounds, task, draw.choice(LAGS), draw.choice(budgets)),
                *(draw.randrange(10**6), draw.choice(NETWORKS), draw.choice(OPTIMIZERS)),
            )
            for _ in range(min(4 * count, 40))
        ]
        found += filter(None, mapped(outcome, drawn))
    return found[:count]


def outcome(drawn: tuple[Any, ...]) -> tuple[float, float] | None:
    """Return the error that a forecast promised and that of the training; None where the answer has
    another ground, or the network cannot be examined.
    """
    wanted, task, lag, updates, seed, network, optimizer = drawn
    settings = Settings(seed=seed, sequences=4, task=task, **network, **optimizer)
    with suppress(GradscopeError):  # The state overflows at its first step.
        (found,) = forecast(settings, [lag], [updates])
        if found.answer(updates)[1] in wanted:
            made = settings_for(settings, lag).with_changes({"updates": updates})
            error = analyze(made, readout=False, advise=False).relative_error
            promised = found.promised_error(updates)
            return np.inf if promised is None else promised, np.inf if error is None else error
    return None


def capacity(seed: int) -> float:
    """Return the memory capacity of a linear network of 16 units."""
    rng = np.random.default_rng(seed)
    linear = initialize(rng, (1, 16, 1), activation=ActivationName.IDENTITY, gain=0.9)
    return float(memory_function(linear, 80, rng, np.zeros(1), np.ones(1)).sum())
