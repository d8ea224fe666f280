"""The growth rate that an advice gives, against the one that its command then shows.

Networks of 32 units on recall over 50 steps, untrained. Each command is run as it is printed. Since
the rate that is given was itself measured on that network and those sequences, agreement shows that
the command is the change that was measured, and is no forecast; whether it helps is asked on 64
other sequences. Beside it stand two predictions that need no measurement:
the total without its misalignment, which was given before, and ln(gain) + slope ceiling +
saturation.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from gradscope.analysis.analyze import analyze
from gradscope.analysis.results import Analysis
from gradscope.analysis.settings import Settings
from gradscope.diagnosis.growth import CauseRates
from gradscope.diagnosis.remedies import Remedy, RemedyCode
from gradscope.report.words.remedies import remedy_command
from tests.benchmarks.advice.rows import SEEDS, Row, at_least, rate_of

NETWORKS: tuple[tuple[str, str, float], ...] = (
    *(("tanh", "orthogonal", gain) for gain in (0.5, 1.0)),
    *(("tanh", init, gain) for init in ("gaussian", "uniform") for gain in (0.5, 1.0, 1.5)),
    *(("sigmoid", init, 1.0) for init in ("orthogonal", "gaussian", "uniform")),
    ("sigmoid", "identity", 1.5),
    *(("relu", init, 1.0) for init in ("orthogonal", "uniform")),
    ("relu", "gaussian", 1.5),
)
"""Activation, initialiser and gain of the 15 networks."""

CLOSE, HARM = 0.1, 0.02
"""Nats per step within which a prediction holds, and beyond which an advice does harm."""

FRESH = " --sequences 64"


@dataclass(frozen=True, slots=True)
class Advised:
    """One advice: the analysis that gave it, and the rate that its command shows (None: not run),
    also on fresh sequences, before and after.
    """

    analysis: Analysis
    remedy: Remedy
    shown: float
    before: float
    after: float

    @property
    def predicted(self) -> float:
        """The rate that the advice gave."""
        rate = self.remedy.numbers["predicted_rate"]
        assert isinstance(rate, float)
        return rate


@cache
def advised(seeds: tuple[int, ...], step: int) -> tuple[Advised, ...]:
    """Return every advice with a rate on each ``step``-th network, its command run."""
    found = []
    for activation, init, gain in NETWORKS[::step]:
        for seed in seeds:
            values: dict[str, Any] = {"activation": activation, "init": init, "gain": gain}
            settings = Settings(delay=50, updates=0, seed=seed, **values)
            analysis = analyze(settings)
            for remedy in analysis.remedies:
                if "predicted_rate" in remedy.numbers:
                    command = remedy_command(remedy, settings)
                    assert command is not None
                    fresh = analyze(settings.with_changes({"sequences": 64}), advise=False)
                    before, after = fresh.last.verdict.rate, rate_of(command + FRESH)
                    found.append(Advised(analysis, remedy, rate_of(command), before, after))
    return tuple(found)


def terms_of(advice: Advised) -> CauseRates:
    """Return the causes of a vanilla RNN's rate."""
    causes = advice.analysis.last.causes
    assert isinstance(causes, CauseRates)
    return causes


def rows(*, quick: bool = False) -> Iterator[Row]:
    """Yield how often advice is right."""
    every = advised(SEEDS[:1], 4) if quick else advised(SEEDS, 1)
    aligned = [each for each in every if each.remedy.code is RemedyCode.ALIGN_WEIGHTS]
    # A gated cell is examined over more steps than the sequences that it was measured on.
    yield at_least(
        "align-weights: rate given (measured) within .10",
        sum(abs(each.predicted - each.shown) <= CLOSE for each in aligned),
        len(aligned),
        1.0,
    )
    for name, of_terms in (("before: total − misalignment", before), ("terms alone", terms_alone)):
        near = [abs(of_terms(each) - each.shown) <= CLOSE for each in aligned]
        yield Row(f"  {name}", f"{sum(near)} of {len(near)}")
    for code in RemedyCode:
        of_code = [abs(each.predicted - each.shown) for each in every if each.remedy.code is code]
        if of_code:
            kept = sum(off <= HARM for off in of_code)
            yield at_least(f"{code}: rate within .02", kept, len(of_code), 1.0)
    harmed = [each for each in every if abs(each.after) > abs(each.before) + HARM]
    yield Row(
        "advice that moves the rate the wrong way by > .02, on 64 fresh sequences",
        f"{len(harmed)} of {len(every)}",
        "0",
        met=not harmed and len(every) > 0,
    )


def before(advice: Advised) -> float:
    """Return the rate without its misalignment, all else equal."""
    causes = terms_of(advice)
    return (causes.total or 0.0) - (causes.misalignment or 0.0)


def terms_alone(advice: Advised) -> float:
    """Return ln(gain) + slope ceiling + saturation."""
    causes, gain = terms_of(advice), advice.analysis.settings.gain
    changed = float(np.log(advice.remedy.changes.get("gain", gain)))
    return changed + (causes.slope_ceiling or 0.0) + (causes.saturation or 0.0)
