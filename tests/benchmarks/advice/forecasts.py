"""What R² promises and what the forecast denies, against trainings that were made for it.

Networks of 32 units are drawn from all that is common, with a lag and a number of updates for each.
Of recall those are trained on which the forecast answers yes or no, of adding those on which it
answers no; a lag is learned below half of the baseline's error.
"""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np

from gradscope.analysis.analyze import analyze
from gradscope.analysis.settings import Settings
from gradscope.errors import GradscopeError
from gradscope.learning.readout import memory_function
from gradscope.model.initializers import initialize
from gradscope.remedy.forecast import Answer, Expectation, forecast, settings_by_lag
from tests.benchmarks.advice.rows import Row, at_least

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


def rows(*, quick: bool = False) -> Iterator[Row]:
    """Yield how often each answer was right, and the memory capacity of linear networks."""
    few = 6 if quick else 60
    least = 0.8 if quick else 0.95
    kept = [
        error <= found.promised_error(n) for found, n, error in trained("recall", Answer.YES, few)
    ]
    yield at_least("R² ≥ .2 on recall: error at most 1 − R² + .1", sum(kept), len(kept), least)
    denied = [error >= LEARNED for _, _, error in trained("recall", Answer.NO, few)]
    yield at_least("NO on recall, 200 to 2000 updates", sum(denied), len(denied), least)
    denied = [error >= LEARNED for _, _, error in trained("adding", Answer.NO, few // 2)]
    yield at_least("NO on adding, at most 400 updates", sum(denied), len(denied), 0.9)
    capacities = [capacity(seed) for seed in range(2 if quick else 5)]
    inside = all(abs(each - 16.0) <= 0.3 for each in capacities)
    spread = f"{min(capacities):.2f} … {max(capacities):.2f}"
    yield Row("Σ R² over delays, linear orthogonal .9, H = 16", spread, "16 ± .3", inside)


def trained(task: str, answer: Answer, count: int) -> Iterator[tuple[Expectation, int, Any]]:
    """Yield so many trainings on which the forecast gave this answer: it, the updates, the error in
    parts of the baseline's (infinite where training failed).
    """
    draw = random.Random(f"{task} {answer}")  # noqa: S311 (not for secrets)
    while count:
        lag, updates = draw.choice(LAGS), draw.choice((200, 200, 400, 1000, 2000))
        changes = {**draw.choice(NETWORKS), **draw.choice(OPTIMIZERS), "task": task}
        settings = Settings(seed=draw.randrange(10**6), sequences=4, **changes)
        try:
            (found,) = forecast(settings, [lag], [updates])
        except GradscopeError:  # The state overflows at its first step.
            continue
        if found.answer(updates)[0] is not answer:
            continue
        (made,) = settings_by_lag(settings, [lag])
        error = analyze(made.with_changes({"updates": updates}), readout=False).relative_error
        count -= 1
        yield found, updates, np.inf if error is None else error


def capacity(seed: int) -> float:
    """Return the memory capacity of a linear network of 16 units."""
    rng = np.random.default_rng(seed)
    linear = initialize(rng, (1, 16, 1), activation="identity", gain=0.9)
    return float(memory_function(linear, 80, rng, np.zeros(1), np.ones(1)).sum())
