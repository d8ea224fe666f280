"""What a network is against the first of a comparison: better, worse, or neither.

The interval of a change is Student's at 95 % over the examined sequences: of their differences one
by one where both networks saw the same ones, else of two independent means. That of a rate comes
from the intervals of both rates.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from gradscope.analysis.results import Analysis, Comparison
from gradscope.arrays import FloatArray
from gradscope.data.batch import Targets
from gradscope.diagnosis.growth import half_width
from gradscope.learning.losses import error_per_step


@dataclass(frozen=True, eq=False, slots=True)
class Change:
    """A network less the first: the change and the half-width of its interval, by name (``horizon``
    in steps, ``rate`` in nats per step, ``error`` per step where both have targets); None where it
    is not finite, lies beyond the lags, or for too few sequences.

    It is ``better`` or ``worse`` where what ``judged_by`` names (the error, else the write level if
    nothing is written in one of the two, else the horizon) has changed by more than its interval.
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
                if all(np.isfinite(each).all() for each in both):
                    halves = [half_width(each) for each in ([sample - both[0]] if same else both)]
                within = None if None in halves else math.hypot(*filter(None, halves))
                found[name] = (value - start[name][0], within)
        rates = first.last.growth, other.last.growth
        widths = [None if g.high is None or g.low is None else (g.high - g.low) / 2 for g in rates]
        within = None if None in widths else math.hypot(*filter(None, widths))
        found["rate"] = (other.last.verdict.rate - first.last.verdict.rate, within)
        levels = first.last.write_level, other.last.write_level
        found["write_level"] = (levels[1] - levels[0], None)
        opened = first.last.verdict.shut != other.last.verdict.shut
        carried = "write_level" if opened else "horizon"
        judged_by = "error" if "error" in found else carried
        change, within = found[judged_by]
        loss, margin = change if judged_by == "error" else -change, within or 0.0
        if None in (first.last.verdict.horizon, other.last.verdict.horizon):
            found["horizon"] = (math.nan, found["horizon"][1])
        of = {name: (v if math.isfinite(v) else None, w) for name, (v, w) in found.items()}
        yield Change(other, of, judged_by, better=-loss > margin, worse=loss > margin)


def _measured(analysis: Analysis) -> dict[str, tuple[float, FloatArray]]:
    """Return each measure of a network, and that of its sequences one by one (B,); a horizon beyond
    the lags measured counts as one step more than they are.
    """
    last, profile, targets = analysis.last, analysis.last.profile, analysis.examined.targets
    below = profile.log_norms < np.log(analysis.settings.vanishing)
    horizons = np.where(below.any(axis=0), below.argmax(axis=0), profile.lags.size) + 1.0
    found = {"horizon": (float(last.verdict.horizon or profile.lags.size + 1), horizons)}
    if last.error is not None and targets.count:
        outputs, errors = analysis.trajectory.outputs, np.empty(horizons.size)
        for b in range(errors.size):
            one = Targets(targets.values[:, b : b + 1], targets.at_step, targets.error)
            errors[b] = error_per_step(outputs[:, b : b + 1], one)
        found["error"] = (last.error, errors)
    return found
