"""What a network is against the first of a comparison: better, worse, or neither.

The interval of a change is Student's at 95 % over the examined sequences: of their differences one
by one where both networks saw the same ones, else of two independent means. That of a rate comes
from the intervals of both rates.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gradscope.analysis.results import Analysis, Comparison, Stage
from gradscope.arrays import FloatArray
from gradscope.diagnosis.growth import half_width
from gradscope.learning.losses import error_per_step
from gradscope.names import Regime

LARGEST = 1e150
"""Values from which on squares leave float64: a sample of them has no interval."""


@dataclass(frozen=True, eq=False, slots=True)
class Change:
    """A network less the first: the change and the half-width of its interval, by name (``horizon``
    in steps, ``rate`` in nats per step, ``error`` per step where both have targets); None where it
    is not finite, lies beyond the lags, or for too few sequences.

    It is ``better`` or ``worse`` where what ``judged_by`` names (the error, else the write level if
    nothing is written in one of the two, else the horizon; a gradient that explodes is worse) has
    changed by more than its interval.
    """

    analysis: Analysis
    of: Mapping[str, tuple[float | None, float | None]]
    judged_by: str
    better: bool
    worse: bool


def changes(comparison: Comparison) -> Iterator[Change]:
    """Yield what every network but the first is against the first."""
    first = comparison.analyses[0]
    one, start = first.examined, _measured(first)
    for other in comparison.analyses[1:]:
        two = other.examined
        found: dict[str, tuple[float, float | None]] = {}
        pairs = ((one.inputs, two.inputs), (one.targets.values, two.targets.values))
        same = all(np.array_equal(*pair) for pair in pairs)
        for name, (value, sample) in _measured(other).items():
            if name in start:
                both = [start[name][1], sample]
                halves: list[float | None] = [None]
                if all(np.isfinite(each).all() and np.abs(each).max() < LARGEST for each in both):
                    halves = [half_width(each) for each in ([sample - both[0]] if same else both)]
                within = None if None in halves else math.hypot(*filter(None, halves))
                found[name] = (value - start[name][0], within)
        stages = first.last, other.last
        rates = [each.growth for each in stages]
        widths = [None if g.high is None or g.low is None else (g.high - g.low) / 2 for g in rates]
        within = None if None in widths else math.hypot(*filter(None, widths))
        found["rate"] = (stages[1].verdict.rate - stages[0].verdict.rate, within)
        found["write_level"] = (stages[1].write_level - stages[0].write_level, None)
        opened = stages[0].verdict.shut != stages[1].verdict.shut
        carried = "write_level" if opened else "horizon"
        judged_by = "error" if "error" in found else carried
        loss, margin = _loss(judged_by, *found[judged_by], stages)
        if None in (stages[0].verdict.horizon, stages[1].verdict.horizon):
            found["horizon"] = (math.nan, found["horizon"][1])
        of = {name: (v if math.isfinite(v) else None, w) for name, (v, w) in found.items()}
        yield Change(other, of, judged_by, better=-loss > margin, worse=loss > margin)


def _loss(
    judged_by: str, change: float, within: float | None, stages: Sequence[Stage]
) -> tuple[float, float]:
    """Return how much worse the second stage is, and by how much it must be; without an interval
    only what is infinite, written or explodes counts.
    """
    explode = [each.verdict.regime is Regime.EXPLODING for each in stages]
    if judged_by == "error":
        loss = change
    elif judged_by == "write_level":
        return -change, 0.0
    elif explode[0] != explode[1]:
        loss = math.inf if explode[1] else -math.inf
    else:
        measured = any(each.verdict.horizon is not None for each in stages)
        loss = -change if measured else 0.0
    return loss, 0.0 if math.isinf(loss) else math.inf if within is None else within


def _measured(analysis: Analysis) -> dict[str, tuple[float, FloatArray]]:
    """Return each measure of a network, and that of its sequences one by one (B,); a horizon beyond
    the lags measured counts as one step more than they are.
    """
    last, profile, targets = analysis.last, analysis.last.profile, analysis.examined.targets
    below = profile.log_norms < np.log(analysis.settings.vanishing)
    own = np.count_nonzero(~np.isnan(profile.log_norms), axis=0)
    horizons = np.where(below.any(axis=0), below.argmax(axis=0), own) + 1.0
    found = {"horizon": (float(last.verdict.horizon or profile.lags.size + 1), horizons)}
    if last.error is not None:
        found["error"] = (last.error, np.full(horizons.size, np.nan))
    if last.error is not None and targets.count:
        outputs, errors = analysis.trajectory.outputs, np.empty(horizons.size)
        for b in range(errors.size):
            errors[b] = error_per_step(outputs[:, b : b + 1], targets.of(slice(b, b + 1)))
        found["error"] = (last.error, errors)
    return found
