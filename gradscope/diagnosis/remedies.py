"""Remedies: what to change, and what the growth rate then is, as values; their words are in
``report.words.remedies``.

Each remedy answers a term of the growth rate that costs more than a tenth of it. Of a network that
gradscope drew the change is made and the rate of the changed network measured, untrained and on the
same sequences. Of a network from a file only the gain can be changed so; otherwise the term that
the remedy removes is left out and the others are carried over, which says *about* what would come.
Nothing is offered that is not measured, or predicted, to be better than now.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np

from gradscope.diagnosis.growth import GatedCauseRates, Rates, terms_of
from gradscope.diagnosis.reasons import ReasonCode
from gradscope.diagnosis.theory import ROUNDING
from gradscope.diagnosis.verdict import Verdict
from gradscope.diagnosis.write_level import FAR
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

WORTHWHILE = 0.1
"""Part of the growth rate that a term must cost, and a change must win back (convention)."""

SMALLER = 0.1
"""Factor on inputs that saturate units (convention): a saturation that grows as x², as that of tanh
does, is then 1 % of what it was."""

BALANCED = 0.01
"""Nats per step up to which a measured rate counts as 0, and the search for a gain ends."""

MAX_MEASUREMENTS = 14
"""Growth rates that the search for a gain measures at most."""

GATED: dict[str, Any] = {"cell": "gru", "init": "orthogonal", "activation": "tanh", "gain": 1.0}
GATED |= {"center_bias": False, "leak": 1.0, "tau": None, "discretization": "euler", "noise": 0.0}
GATED |= {"state": "post", "floss": 0, "omega": 0.0}
"""From a vanilla RNN to a gated cell: some settings have no meaning there."""

Measure = Callable[..., float]
"""From changed settings to the growth rate, nats per step, of the untrained network that they make,
on the same sequences: −inf where every product is zero, inf where the state overflows."""

MAX_GAIN = 1e6
"""W times more than this is no smaller W but none: it is not to be scaled (convention)."""


class RemedyCode(StrEnum):
    """What to change."""

    STANDARDISE = "standardise-inputs"
    REVIVE_UNITS = "revive-units"
    RAISE_SLOPE_CEILING = "raise-slope-ceiling"
    REDUCE_SATURATION = "reduce-saturation"
    ALIGN_WEIGHTS = "align-weights"
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
    """One change and its numbers; ``changes`` are the settings that make it (none: no setting can).

    ``predicted_rate`` in ``numbers`` is the growth rate to come, nats per step, and
    ``predicted_from`` says whether by "measurement" of the untrained network, or by "terms".
    """

    code: RemedyCode
    numbers: Mapping[str, float | int | str | None] = field(default_factory=dict)
    changes: Mapping[str, Any] = field(default_factory=dict)


def clipping_value(history: History | None) -> float | None:
    """Return the gradient norm at which to clip; None before training, and where that diverged."""
    if history is None or not history.updates:
        return None
    value = float(np.quantile(history.gradient_norm, QUANTILE_TO_CLIP_AT))
    return value if value <= MAX_CLIP else None


def remedies(
    verdict: Verdict,
    causes: Rates,
    settings: Mapping[str, Any],
    measure: Measure,
    clip_at: float | None = None,
) -> tuple[Remedy, ...]:
    """Return what to change about a network, most promising first; nothing where all is well.

    ``causes`` are those before training, nats per step; ``settings`` by name, ``weights`` None for
    a network that was drawn; ``clip_at`` is the quantile ``QUANTILE_TO_CLIP_AT`` of the unclipped
    gradient norm, where it was trained. Where nothing is written, what the state would keep matters
    later.
    """
    found = tuple(_to_write(verdict, causes, settings))
    if verdict.reason(ReasonCode.GRADIENT_FINE):
        stuck = verdict.reason(ReasonCode.AT_BASELINE)
        # Where the baseline's error is 0, no network does better.
        above = stuck is not None and stuck.numbers["baseline"]
        return (*found, Remedy(RemedyCode.LOOK_ELSEWHERE)) if above else found
    if verdict.shows((Regime.EXPLODING,)):
        return (*found, *_against_exploding(verdict, causes, settings, measure, clip_at))
    if verdict.shut or verdict.horizon is None or not (causes.total or 0.0) < 0.0:
        return found
    return (*found, *_better(_against_vanishing(verdict, causes, settings, measure), measure))


def _better(options: Iterable[Iterable[Remedy]], measure: Measure) -> Iterator[Remedy]:
    """Yield of alternatives the first that brings the growth rate nearer to 0, and not past it."""
    for alternatives in options:
        for each in alternatives:
            numbers, limit = dict(each.numbers), ROUNDING
            if each.changes:
                numbers["predicted_rate"], limit = measure(**each.changes), BALANCED
                numbers["predicted_from"] = "measurement"
            rate: Any = numbers.get("predicted_rate")
            # Of what is neither measured nor predicted nothing speaks against it.
            if rate is None or -(1.0 - WORTHWHILE) * abs(measure()) < rate <= limit:
                yield replace(each, numbers=numbers)
                break


def _to_write(verdict: Verdict, causes: Rates, settings: Mapping[str, Any]) -> Iterator[Remedy]:
    """Yield what lets the parameters act at all."""
    drawn, unscaled = settings["weights"] is None, verdict.reason(ReasonCode.INPUTS_UNSCALED)
    if unscaled is not None:
        numbers: dict[str, Any] = {**unscaled.numbers, "white_noise": verdict.white_noise}
        changes: dict[str, Any] = {}
        scale = "noise_scale" if verdict.white_noise else "input_scale"
        if numbers["driven"] and (drawn or verdict.white_noise):
            changes = {scale: _short(settings[scale] / numbers["driven"])}
        elif not (drawn or settings["standardise"] or large_input_weights(numbers)):
            changes = {"standardise": True}
        yield Remedy(RemedyCode.STANDARDISE, numbers, changes)
    if not verdict.shut:
        return
    if verdict.reason(ReasonCode.UNITS_DEAD):
        yield Remedy(RemedyCode.REVIVE_UNITS, {}, {"activation": "tanh"} if drawn else {})
    elif unscaled is None:
        # U x is of unit scale: where W is large, it drives the units to their ends.
        less = {"gain": 1.0} if settings["gain"] > 1.0 else _smaller_inputs(settings)
        gated = isinstance(causes, GatedCauseRates)
        code = RemedyCode.OPEN_GATES if gated else RemedyCode.REDUCE_SATURATION
        yield Remedy(code, {"activation": settings["activation"]}, less if drawn else {})


def large_input_weights(unscaled: Mapping[str, Any]) -> bool:
    """Whether inputs of unit scale are far from it once U has multiplied them."""
    size = np.hypot(unscaled["mean"], unscaled["standard_deviation"])
    return bool(size <= FAR < unscaled["driven"])


def _smaller_inputs(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {"input_scale": _short(SMALLER * settings["input_scale"])}


def _short(value: float) -> float:
    """Return a number as a command gives it."""
    return float(f"{value:.4g}")


def _against_exploding(
    verdict: Verdict,
    causes: Rates,
    settings: Mapping[str, Any],
    measure: Measure,
    clip_at: float | None,
) -> Iterator[Remedy]:
    """Yield a smaller gain, where it explodes before training, and where to clip."""
    drawn, gated = settings["weights"] is None, isinstance(causes, GatedCauseRates)
    clip = {"clip_norm": _short(clip_at or 1.0), "clip_value": None}
    clip |= {} if settings["updates"] else {"updates": 200}
    if verdict.rate > np.log(MAX_GROWTH):
        large = [name for name in ("gain", "input_scale")[: 1 + gated] if settings[name] > 1.0]
        growth = {"growth_per_step": float(np.exp(verdict.rate))}
        numbers = {**growth, "by_way_of": "gates" if gated else "weights"}
        changes = dict.fromkeys(large, 1.0) or clip
        yield Remedy(RemedyCode.CHECK_SIZE, numbers, changes if drawn else {})
        return
    if verdict.rate > 0.0 and measure() > 0.0:
        yield from _better([[_gain(RemedyCode.LOWER_GAIN, settings, measure)]], measure)
    now = settings["clip_norm"]
    if now is None or (clip_at is not None and clip_at < now):
        at = {"norm": clip_at, "quantile": QUANTILE_TO_CLIP_AT}
        yield Remedy(RemedyCode.CLIP, at, clip if drawn else {})


def _against_vanishing(
    verdict: Verdict, causes: Rates, settings: Mapping[str, Any], measure: Measure
) -> Iterator[list[Remedy]]:
    """Yield alternatives against each term that costs more than ``WORTHWHILE`` of the rate, the
    largest first; then gates that keep the state for as long as it is needed.
    """
    drawn, lag = settings["weights"] is None, verdict.required_lag or verdict.max_lag
    # Each step then loses 1/lag: Gers et al. (2000); Tallec & Ollivier (2018), arXiv:1804.11188.
    keep = {"lag": lag, "forget_bias": _short(np.log(lag))}
    terms = {name: value or 0.0 for name, value in terms_of(causes).items()}
    answers = _answers(terms, settings, keep)
    if settings["activation"] == ActivationName.RELU and "saturation" in terms:
        # It turns half of the units off, whatever the scale of its inputs, which a gain of √2 makes
        # up for: He et al. (2015).
        terms["weights"] += terms.pop("saturation")
    for name, cost in sorted(terms.items(), key=lambda term: term[1]):
        if cost < WORTHWHILE * (causes.total or 0.0) and name in answers:
            code, numbers, options = answers[name]
            if code is not RemedyCode.RAISE_GAIN:
                yield [Remedy(code, numbers, each) for each in (options if drawn else [{}])]
            elif cost >= -np.log(MAX_GAIN):
                yield [_gain(code, settings, measure)]
    short = verdict.horizon is not None and verdict.horizon <= (verdict.required_lag or 0)
    if short and not isinstance(causes, GatedCauseRates):
        lags = {"horizon": verdict.horizon, "required_lag": lag, **keep}
        changes = {**GATED, "forget_bias": keep["forget_bias"]}
        yield [Remedy(RemedyCode.GATES, lags, changes if drawn else {})]


def _answers(
    terms: Mapping[str, float], settings: Mapping[str, Any], keep: Mapping[str, Any]
) -> dict[str, tuple[RemedyCode, dict[str, Any], list[dict[str, Any]]]]:
    """Return by term what takes it away, with the rate that the others leave, and the settings by
    which it may be done.
    """

    def left(*removed: str) -> dict[str, Any]:
        rate = sum(terms.values()) - sum(terms.get(name, 0.0) for name in removed)
        return {"predicted_rate": rate, "predicted_from": "terms"}

    phi, smaller, one = settings["activation"], _smaller_inputs(settings), {"gain": 1.0}
    tanh, centred = {"activation": "tanh", "center_bias": False}, {"center_bias": True}
    aligned, freer = {"init": "orthogonal"}, RemedyCode.REDUCE_SATURATION
    at_rest = [centred, centred | smaller] if phi == ActivationName.SIGMOID else [smaller]
    steeper, of_phi = {"activation": "tanh", **left("slope_ceiling")}, {"activation": phi}
    if steeper["predicted_rate"] > 0.0:
        steeper["predicted_rate"] = None  # A tanh would saturate more than the sigmoid did.
    longer, held = {"forget_bias": keep["forget_bias"]}, {"direct": terms.get("direct"), **keep}
    # With equal singular values σ_max(W) is the gain, of a new network 1.
    straight = left("weights", "misalignment")
    return {
        "weights": (RemedyCode.RAISE_GAIN, {}, []),
        "slope_ceiling": (RemedyCode.RAISE_SLOPE_CEILING, steeper, [tanh, tanh | one]),
        "misalignment": (RemedyCode.ALIGN_WEIGHTS, straight, [aligned, aligned | one]),
        "saturation": (freer, {**of_phi, **left("saturation")}, at_rest),
        "direct": (RemedyCode.KEEP_LONGER, held, [longer]),
        "closed_gates": (RemedyCode.OPEN_GATES, {}, [smaller]),
        "candidate_saturation": (freer, of_phi, [smaller]),
    }


def _gain(code: RemedyCode, settings: Mapping[str, Any], measure: Measure) -> Remedy:
    gain = balanced_gain(measure, settings["gain"])
    return Remedy(code, {"factor": gain / settings["gain"], "gain": gain}, {"gain": gain})


def balanced_gain(measure: Measure, gain: float) -> float:
    """Return the gain of a growth rate of 0, within ``BALANCED``, by bisection of its logarithm, or
    the nearest in ``MAX_MEASUREMENTS``: some networks vanish at any gain.
    """
    rates: dict[float, float] = {}
    ends: dict[bool, float] = {}
    log_gain, stride = float(np.log(gain)), 1.0
    for _ in range(MAX_MEASUREMENTS):
        trial = _short(np.exp(log_gain))
        rate = rates[trial] = measure(gain=trial)
        if abs(rate) <= BALANCED:
            break
        ends[rate > 0.0] = log_gain
        if len(ends) == 2:
            log_gain = sum(ends.values()) / 2.0
        else:
            # Were W all there is, the rate would go as log gain.
            log_gain -= float(np.clip(stride * rate, -2.0, 2.0))
            stride *= 2.0
    return min(rates, key=lambda each: abs(rates[each]))
