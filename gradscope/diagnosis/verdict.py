"""The verdict: from lag profiles to a regime, with reasons as values (``reasons``).

Each sequence is judged by itself on the lags that were measured, then the sequences vote:

vanishing   σ_max ends below the vanishing threshold;
transient   the same, after having grown past the transient-growth threshold first (non-normal
            growth: Trefethen & Embree 2005, chapter 14);
exploding   σ_max passes the exploding threshold, and does not end below the vanishing one;
stable      neither;
mixed       no family of these (vanishing and transient count as one) holds the wanted majority of
            sequences.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gradscope.arrays import FloatArray, quantiles
from gradscope.diagnosis import growth
from gradscope.diagnosis.growth import GrowthRate, Rates
from gradscope.diagnosis.reasons import Reason, ReasonCode
from gradscope.diagnosis.theory import ROUNDING
from gradscope.diagnosis.thresholds import Thresholds
from gradscope.diagnosis.write_level import Writing
from gradscope.names import Regime
from gradscope.notebook_repr import CompactRepr

FAR = 10
"""Times the lags measured, beyond which a slow change does not matter (convention)."""

CANCELLED = 0.1
"""Of a stable gradient: the part of its largest cause below which the rate is what is left after
causes have cancelled, and none of them the main one (convention)."""


@dataclass(frozen=True, eq=False, slots=True)
class Learned:
    """The mean step error of a network and of the baseline that needs no memory."""

    error: float
    baseline: float


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Evidence(CompactRepr):
    """What a verdict rests on.

    ``log_norms`` (L,B) in nats; ``bound_rate`` is log(γ σ_max(W)) in nats per step (NaN: not
    known), or with ``bound_of_course`` the most that a step of the measured trajectory can add;
    ``required_lag`` in steps, None where it is unknown; ``learned`` is None before training;
    ``overflow_step`` is the step at which the state grew too large to go on, None where it did not;
    ``growth`` is the growth rate, None for that of the profile; ``writing`` is None where only
    Jacobians are known; on ``white_noise`` nothing is called fine.
    """

    log_norms: FloatArray
    bound_rate: float
    causes: Rates | None = None
    required_lag: int | None = None
    learned: Learned | None = None
    overflow_step: int | None = None
    bound_of_course: bool = False
    growth: GrowthRate | None = None
    writing: Writing | None = None
    white_noise: bool = False


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Verdict(CompactRepr):
    """What the gradient does, how fast, how far back, and the reasons for saying so.

    ``rate`` is the growth rate in nats per step, averaged over the sequences (−inf where every
    product is exactly zero); ``horizon`` the memory horizon in steps, None where the profile never
    falls below the threshold within ``max_lag``. ``marginal``: the rate's interval holds 0 (None:
    there is none); ``white_noise``: no data drove the network.
    """

    regime: Regime
    rate: float
    horizon: int | None
    required_lag: int | None
    max_lag: int
    reasons: tuple[Reason, ...]
    marginal: bool | None = None
    white_noise: bool = False

    @property
    def expected_lag(self) -> int | None:
        """The lag at which a stable gradient would leave the thresholds, if not too ``FAR``."""
        within = self.reason(ReasonCode.WITHIN_THRESHOLDS)
        if self.regime is not Regime.STABLE or within is None:
            return None
        lags = [within.numbers[name] for name in ("expected_horizon", "expected_explosion")]
        return next((int(lag) for lag in lags if lag and int(lag) <= FAR * self.max_lag), None)

    def reason(self, code: ReasonCode) -> Reason | None:
        """Return the reason with this code, None where it was not given."""
        return next((each for each in self.reasons if each.code is code), None)

    def shows(self, regimes: Collection[Regime]) -> bool:
        """Whether this is one of the regimes, or the sequences disagree and some are in one."""
        if self.regime is not Regime.MIXED:
            return self.regime in regimes
        dissent = self.reason(ReasonCode.SEQUENCES_DISAGREE)
        return dissent is not None and any(str(each) in dissent.numbers for each in regimes)

    @property
    def shut(self) -> bool:
        """Whether nothing is written, into this layer or another of its stack."""
        return self.reason(ReasonCode.NOTHING_WRITTEN) is not None

    @property
    def reaches(self) -> bool | None:
        """Whether the gradient arrives from the required lag, not exploding; None: not known."""
        required, above = self.required_lag, self.reason(ReasonCode.ABOVE_THRESHOLD)
        if required is None:
            return None
        passed = above is not None and required >= int(above.numbers["lag"] or 0)
        if passed or self.regime is Regime.EXPLODING:
            return False
        if self.horizon is None:
            return True if required <= self.max_lag else None
        return self.horizon > required


def judge(evidence: Evidence, thresholds: Thresholds | None = None) -> Verdict:
    """Return the verdict on the lag profiles in ``evidence``; thresholds as by default."""
    thresholds = thresholds or Thresholds()
    log_norms = evidence.log_norms
    grown = evidence.growth or growth.growth_rate(log_norms)
    rate = -np.inf if grown.rate is None else grown.rate
    (median,) = quantiles(log_norms, (0.5,))
    regimes = [_regime(profile, thresholds) for profile in log_norms.T]
    regime = _vote(regimes, thresholds.agreement)
    horizon = growth.memory_horizon(median, thresholds.vanishing)
    low, high, noise = grown.low, grown.high, evidence.white_noise
    marginal = None if low is None or high is None else low <= 0.0 <= high
    known = (evidence.required_lag, log_norms.shape[0], (), marginal, noise)
    bare = Verdict(regime, rate, horizon, *known)
    shape = (*_shape_reasons(bare, median, regimes, thresholds), *_zero_reasons(evidence))
    writing = () if evidence.writing is None else evidence.writing.reasons
    shaped = replace(bare, reasons=(*writing, *shape))
    reasons = (
        *shaped.reasons,
        *_lag_reasons(shaped),
        *_bound_and_cause(evidence, regime),
        *_outcome(shaped, median, evidence, thresholds),
    )
    return replace(bare, reasons=reasons)


def _regime(profile: FloatArray, thresholds: Thresholds) -> Regime:
    """Judge one sequence by its profile (L,)."""
    peak = float(profile.max())
    if profile[-1] < np.log(thresholds.vanishing):
        grew = peak >= np.log(thresholds.transient_growth)
        return Regime.TRANSIENT if grew else Regime.VANISHING
    return Regime.EXPLODING if peak > np.log(thresholds.exploding) else Regime.STABLE


def _vote(regimes: Sequence[Regime], agreement: float) -> Regime:
    """Return the regime of the majority, MIXED where no family of regimes is large enough."""
    transient = regimes.count(Regime.TRANSIENT)
    vanishing = regimes.count(Regime.VANISHING) + transient
    wanted = agreement * len(regimes)
    if vanishing >= wanted:
        return Regime.TRANSIENT if 2 * transient > vanishing else Regime.VANISHING
    for regime in (Regime.EXPLODING, Regime.STABLE):
        if regimes.count(regime) >= wanted:
            return regime
    return Regime.MIXED


def _shape_reasons(
    verdict: Verdict, median: FloatArray, regimes: Sequence[Regime], thresholds: Thresholds
) -> Iterator[Reason]:
    """Yield which thresholds the median profile crosses, and whether the sequences disagree."""
    above = median > np.log(thresholds.exploding)
    if verdict.horizon is not None:
        numbers = {"lag": verdict.horizon, "threshold": thresholds.vanishing}
        yield Reason(ReasonCode.BELOW_THRESHOLD, numbers)
    if above.any():
        numbers = {"lag": int(np.argmax(above)) + 1, "threshold": thresholds.exploding}
        yield Reason(ReasonCode.ABOVE_THRESHOLD, numbers)
    if verdict.horizon is None and not above.any():
        rate = 0.0 if verdict.marginal else verdict.rate
        within = {
            "max_lag": median.size,
            "log10_norm": float(median[-1] / np.log(10.0)),
            "expected_horizon": growth.extrapolated_horizon(median, rate, thresholds.vanishing),
            "expected_explosion": growth.extrapolated_horizon(median, rate, thresholds.exploding),
        }
        yield Reason(ReasonCode.WITHIN_THRESHOLDS, within)
    if verdict.regime is Regime.TRANSIENT:
        peak = int(np.argmax(median))
        grown = {"peak_lag": peak + 1, "peak_log10_norm": float(median[peak]) / np.log(10.0)}
        yield Reason(ReasonCode.GROWS_FIRST, grown)
    counts = {str(regime): regimes.count(regime) for regime in dict.fromkeys(regimes)}
    if len(counts) > 1:
        yield Reason(ReasonCode.SEQUENCES_DISAGREE, counts)


def _zero_reasons(evidence: Evidence) -> Iterator[Reason]:
    """Yield how many products are exactly zero and from which lag on, and a state too large."""
    zero = np.isneginf(evidence.log_norms)
    if count := int(zero[-1].sum()):
        first = int(np.argmax(zero.any(axis=1))) + 1
        # A gate is never 0, only too small for a float.
        gated = {"underflows": 1} if evidence.bound_of_course else {}
        numbers = {"lag": first, "sequences": count, "of": zero.shape[1], **gated}
        yield Reason(ReasonCode.EXACT_ZERO, numbers)
    if evidence.overflow_step is not None:
        yield Reason(ReasonCode.STATE_OVERFLOWS, {"step": evidence.overflow_step})


def _lag_reasons(verdict: Verdict) -> Iterator[Reason]:
    """Compare the horizon with the required lag, not where it explodes or nothing is written."""
    required = verdict.required_lag
    if verdict.shut and verdict.reaches:
        return
    if required is not None and verdict.reaches is None:
        unseen = {"max_lag": verdict.max_lag, "required_lag": required}
        yield Reason(ReasonCode.HORIZON_UNKNOWN, unseen)
    elif required is not None and (verdict.reaches or (verdict.horizon or np.inf) <= required):
        code = ReasonCode.HORIZON_REACHES if verdict.reaches else ReasonCode.HORIZON_SHORT
        yield Reason(code, {"horizon": verdict.horizon, "required_lag": required})


def _bound(evidence: Evidence) -> Reason:
    forced = evidence.bound_rate < 0.0
    code = ReasonCode.BOUND_FORCES_VANISHING if forced else ReasonCode.BOUND_ALLOWS_EXPLODING
    if abs(evidence.bound_rate) <= ROUNDING:
        code = ReasonCode.BOUND_IS_ONE
    rate = evidence.bound_rate if np.isfinite(evidence.bound_rate) else None
    of_course = {"of": "course"} if evidence.bound_of_course else {}
    return Reason(code, {"bound_rate_nats_per_step": rate, **of_course})


def _bound_and_cause(evidence: Evidence, regime: Regime) -> Iterator[Reason]:
    """Yield what the bound leaves possible, if one is known, and the largest cause in the direction
    of the rate.
    """
    if not np.isnan(evidence.bound_rate):
        yield _bound(evidence)
    rates = evidence.causes
    if rates is None or rates.total is None or not growth.terms_of(rates):
        return
    if regime is Regime.EXPLODING and rates.total < 0.0:
        return
    sign = 1.0 if rates.total >= 0 else -1.0
    cause, size = max(growth.terms_of(rates).items(), key=lambda each: sign * (each[1] or 0.0))
    # Where large causes cancel and leave a stable gradient, none of them is the main one.
    if regime is not Regime.STABLE or abs(rates.total) >= CANCELLED * abs(size or 0.0):
        yield Reason(ReasonCode.MAIN_CAUSE, {"cause": cause, "nats_per_step": size})


def _outcome(
    verdict: Verdict, median: FloatArray, evidence: Evidence, thresholds: Thresholds
) -> Iterator[Reason]:
    """Yield that the gradient is fine where enough of it arrives at the required lag, or it carries
    where none is known, is written and does not explode; and whether the error beats the baseline.
    """
    learned = evidence.learned
    required, log_fine = verdict.required_lag, np.log(thresholds.fine)
    if required is None:
        fine = verdict.regime is Regime.STABLE and verdict.expected_lag is None
    else:
        # At lag 0 there is nothing to travel through; a lag beyond the profile is not known to be.
        arrives = required <= median.size and bool(median[required - 1] >= log_fine)
        fine = required == 0 or arrives
    explodes = verdict.regime is Regime.EXPLODING or median.max() > np.log(thresholds.exploding)
    hindered = verdict.white_noise or (evidence.writing and evidence.writing.hindered)
    if fine and not explodes and not hindered:
        yield Reason(ReasonCode.GRADIENT_FINE, {"required_lag": required})
    if learned is not None:
        better = learned.error < thresholds.no_better * learned.baseline
        code = ReasonCode.BEATS_BASELINE if better else ReasonCode.AT_BASELINE
        error = learned.error if np.isfinite(learned.error) else None
        yield Reason(code, {"error": error, "baseline": learned.baseline})
