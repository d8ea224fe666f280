"""Remedies: what to change and its predicted effect, as values (words: ``report.words.remedies``).

Each remedy answers the largest cause. The predicted growth rate moves only the term that the remedy
changes and leaves the others as measured, so it is a first guess to be checked by running it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from gradscope.diagnosis.growth import GatedCauseRates, Rates
from gradscope.diagnosis.reasons import ReasonCode
from gradscope.diagnosis.verdict import Verdict
from gradscope.learning.history import History
from gradscope.names import ActivationName, Regime

QUANTILE_TO_CLIP_AT = 0.9
"""Clip what exceeds nine in ten of the gradient norms seen (convention; Pascanu et al. 2013,
section 3.2, take 0.5 to 10 times the average norm)."""

MAX_CLIP = 1e3
"""Beyond it the norms are those of a training that diverged, no guide to clipping (convention)."""

MAX_GROWTH = 1e3
"""A step that multiplies the gradient by more is no matter of the gain: no network learns there
(convention; a linear net multiplies it by its gain)."""


MAX_GAIN = 1e6
"""W times more than this is no smaller W but none: it is not to be scaled (convention)."""


class RemedyCode(StrEnum):
    """What to change."""

    STANDARDISE = "standardise-inputs"
    REVIVE_UNITS = "revive-units"
    RAISE_SLOPE_CEILING = "raise-slope-ceiling"
    REDUCE_SATURATION = "reduce-saturation"
    ALIGN_WEIGHTS = "align-weights"
    KEEP_ALIGNED = "keep-aligned"
    RAISE_GAIN = "raise-gain"
    LOWER_GAIN = "lower-gain"
    CHECK_SIZE = "check-size"
    CLIP = "clip"
    GATES = "gates"
    KEEP_LONGER = "keep-longer"
    OPEN_GATES = "open-gates"
    LOOK_ELSEWHERE = "look-elsewhere"


@dataclass(frozen=True, eq=False, slots=True)
class Remedy:
    """One change and its numbers; ``predicted_rate`` in nats per step where it moves the rate."""

    code: RemedyCode
    numbers: Mapping[str, float | int | str | None] = field(default_factory=dict)


def clipping_value(history: History | None) -> float | None:
    """Return the gradient norm at which to clip; None before training, and where that diverged."""
    if history is None or not history.updates:
        return None
    value = float(np.quantile(history.gradient_norm, QUANTILE_TO_CLIP_AT))
    return value if value <= MAX_CLIP else None


def remedies(
    verdict: Verdict,
    causes: Rates,
    activation: ActivationName,
    clip_at: float | None = None,
    *,
    orthogonal: bool = False,
) -> tuple[Remedy, ...]:
    """Return what to change about a network, most promising first; nothing where all is well.

    ``causes`` are in nats per step; ``clip_at`` is the quantile ``QUANTILE_TO_CLIP_AT`` of the
    unclipped gradient norm, where it was trained; ``orthogonal`` says whether W was drawn with
    equal singular values.
    """
    saturated = Remedy(RemedyCode.REDUCE_SATURATION, {"activation": str(activation)})
    found = tuple(_to_write(verdict, causes, saturated))
    if verdict.reason(ReasonCode.GRADIENT_FINE):
        stuck = verdict.reason(ReasonCode.AT_BASELINE)
        # Where the baseline's error is 0, no network does better.
        above = stuck is not None and stuck.numbers["baseline"]
        return (*found, Remedy(RemedyCode.LOOK_ELSEWHERE)) if above else found
    if verdict.shows((Regime.EXPLODING,)):
        return (*found, *_against_exploding(verdict, causes, clip_at))
    if verdict.shut or verdict.horizon is None:
        return found
    kept = _against_vanishing(causes, saturated, orthogonal=orthogonal)
    found, saturates = (*found, *kept), bool(kept) and kept[0].code is saturated.code
    # Inputs that saturate the units saturate gates as well.
    short = verdict.required_lag is not None and verdict.horizon <= verdict.required_lag
    if short and not isinstance(causes, GatedCauseRates) and not saturates:
        lags = {"horizon": verdict.horizon, "required_lag": verdict.required_lag}
        found = (*found, Remedy(RemedyCode.GATES, lags))
    return found


def _to_write(verdict: Verdict, causes: Rates, saturated: Remedy) -> Iterator[Remedy]:
    """Yield what lets the parameters act at all."""
    unscaled = verdict.reason(ReasonCode.INPUTS_UNSCALED)
    if unscaled is not None:
        yield Remedy(
            RemedyCode.STANDARDISE, {**unscaled.numbers, "white_noise": verdict.white_noise}
        )
    if not verdict.shut:
        return
    if verdict.reason(ReasonCode.UNITS_DEAD):
        yield Remedy(RemedyCode.REVIVE_UNITS)
    elif unscaled is None:
        gated = isinstance(causes, GatedCauseRates)
        yield Remedy(RemedyCode.OPEN_GATES) if gated else saturated


def _against_exploding(
    verdict: Verdict, causes: Rates, clip_at: float | None
) -> tuple[Remedy, ...]:
    if verdict.rate > np.log(MAX_GROWTH):
        way = "gates" if isinstance(causes, GatedCauseRates) else "weights"
        growth = float(np.exp(verdict.rate))
        return (Remedy(RemedyCode.CHECK_SIZE, {"growth_per_step": growth, "by_way_of": way}),)
    clip = Remedy(RemedyCode.CLIP, {"norm": clip_at, "quantile": QUANTILE_TO_CLIP_AT})
    numbers = {"factor": float(np.exp(-verdict.rate)), "predicted_rate": 0.0}
    return (Remedy(RemedyCode.LOWER_GAIN, numbers), clip) if verdict.rate > 0.0 else (clip,)


def _against_vanishing(causes: Rates, saturated: Remedy, *, orthogonal: bool) -> tuple[Remedy, ...]:
    """Return a remedy for each term that costs more than a tenth of the rate, the largest first."""
    total = causes.total
    if total is None or total >= 0.0:
        return ()
    costs: list[tuple[float | None, Remedy]]
    gated = isinstance(causes, GatedCauseRates)
    if isinstance(causes, GatedCauseRates):
        costs = [
            (causes.direct, Remedy(RemedyCode.KEEP_LONGER, {"direct": causes.direct})),
            (causes.closed_gates, Remedy(RemedyCode.OPEN_GATES)),
            (causes.candidate_saturation, saturated),
        ]
    else:
        lost = -(causes.weights or 0.0)
        gain = Remedy(RemedyCode.RAISE_GAIN, {"factor": np.exp(min(lost, np.log(MAX_GAIN)))})
        align = RemedyCode.KEEP_ALIGNED if orthogonal else RemedyCode.ALIGN_WEIGHTS
        costs = [
            (causes.slope_ceiling, Remedy(RemedyCode.RAISE_SLOPE_CEILING, {"activation": "tanh"})),
            (causes.saturation, saturated),
            (causes.misalignment, Remedy(align)),
            (causes.weights if lost <= np.log(MAX_GAIN) else None, gain),
        ]
    costly = [(cost, each) for cost, each in costs if cost is not None and cost < 0.1 * total]
    return tuple(
        each if gated else Remedy(each.code, {**each.numbers, "predicted_rate": total - cost})
        for cost, each in sorted(costly, key=lambda pair: pair[0])
    )
