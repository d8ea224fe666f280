"""``try``: how many failing networks it gets to learn, and what it costs."""

import resource
from collections.abc import Iterator
from typing import Any

from gradscope.analysis.settings import Settings
from gradscope.remedy.trial import try_remedies
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

CORES, SECONDS = 2, 30.0


def rows(*, quick: bool = False) -> Iterator[Row]:
    """Yield how many failing networks learn, and the processor time of the default task."""
    learned, total, took = 0, 0, list[float]()
    for network in FAILING[:1] if quick else FAILING:
        before = cpu_seconds()
        found = try_remedies(Settings(**network))
        took.append(cpu_seconds() - before)
        errors = (found.winner or found.nothing).errors
        learned, total = learned + int((errors < 0.9).sum()), total + errors.size
    yield at_least("try, recall 50, failing networks: error < .9", learned, total, 16 / 18)
    if quick:  # No deadline among the tests.
        return
    wanted = f"≤ {CORES * SECONDS:g} ({SECONDS:g} s on {CORES} cores)"
    met = took[0] <= CORES * SECONDS
    yield Row("try on the default task: CPU seconds", f"{took[0]:.0f}", wanted, met)


def cpu_seconds() -> float:
    """Return the processor time of this process and of its workers that ended."""
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)
