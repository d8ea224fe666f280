"""The growth rate: the slope of the lag profile over its tail, in nats per step, and what makes it.

Beyond the transient, f(ℓ) = log σ_max(P_ℓ) is a drift λ_1 ℓ plus a random walk whose increments are
those of single steps; for such a curve the mean increment,

    (f(L) − f(L/2)) / (L − L/2),

is the efficient estimate of the drift. A regression of f on ℓ is not: it weighs the noise of every
early step again and again, and it keeps the transient. The norm of a product of ℓ wide random
factors first grows like ½ log ℓ above its drift (σ_max² of Gaussian ones of unit gain is
(ℓ+1)^{ℓ+1}/ℓ^ℓ ≈ e ℓ: Penson & Życzkowski 2011, arXiv:1103.3453), which puts 1.5/L into the
regression and no more than log 2/L into the mean increment. Measured at L = 100 against λ_1 of the
same steps (driven tanh nets of 64 units, gains 0.7 to 2, 180 profiles each): regression +0.007 to
+0.010, mean increment +0.003 to +0.004. To fit log ℓ beside ℓ removes the bias, costs 1.6 times the
scatter and asks for the causes at every lag; Richardson's extrapolation costs 2.5 times. The
estimate is linear in f, so the four causes, taken at the same two lags, add up to it exactly.
"""

from dataclasses import dataclass, fields

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.diagnosis.causes import Causes, GatedCauses
from gradscope.notebook_repr import CompactRepr

MIN_SAMPLE = 5
"""Sequences, or batches of lags, from which on their scatter gives an interval: four degrees of
freedom."""

MAX_BATCHES = 10
"""Batches of lags of the tail whose mean increments are compared (convention of batch means)."""

NORMAL_975 = 1.959963984540054
"""Quantile 0.975 of the standard normal distribution."""


@dataclass(frozen=True, eq=False, slots=True)
class Tail:
    """The two points of the mean lag profile between which the growth rate is taken.

    ``lags`` in steps; ``log_norms`` there in nats, averaged over the ``sequences`` (out of ``of``)
    whose product is not exactly zero at the last lag.
    """

    lags: tuple[int, int]
    log_norms: tuple[float, float]
    sequences: int
    of: int

    @property
    def rate(self) -> float:
        """The slope between the two, nats per step."""
        return (self.log_norms[1] - self.log_norms[0]) / (self.lags[1] - self.lags[0])


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class GrowthRate(CompactRepr):
    """The growth rate, nats per step, and the interval that holds it at 95 % confidence.

    ``rate`` is the mean over the sequences whose product is not exactly zero, ``tail`` the two
    points of their mean profile that it is the slope between; both are None where all are zero.
    ``low`` and ``high`` are None where there are fewer than ``MIN_SAMPLE`` sequences and fewer
    lags than that in the tail. The interval covers the scatter of sequences and of steps, whichever
    is larger, not what is left of the transient.
    """

    rate: float | None
    low: float | None
    high: float | None
    tail: Tail | None


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class CauseRates(CompactRepr):
    """The four terms of the growth rate and their sum, nats per step, averaged over sequences.

    Sequences whose product is exactly zero have no rate; they are left out, and where all are, each
    field is None.
    """

    weights: float | None
    slope_ceiling: float | None
    misalignment: float | None
    saturation: float | None
    total: float | None


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class GatedCauseRates(CompactRepr):
    """The five terms of a gated cell's growth rate and their sum, as in ``CauseRates``."""

    direct: float | None
    recurrent_weights: float | None
    candidate_saturation: float | None
    closed_gates: float | None
    gate_slopes: float | None
    total: float | None


Rates = CauseRates | GatedCauseRates


def terms_of(rates: Rates) -> dict[str, float | None]:
    """Return the terms that add up to the growth rate, by name."""
    names = [each.name for each in fields(rates)]
    return {name: getattr(rates, name) for name in names if name != "total"}


def tail_lags(max_lag: int) -> IntArray:
    """Return the two lags between which the rate is taken; the first is 0 if there is but one."""
    return np.array([max_lag // 2, max_lag])


def _from_lag_zero(log_norms: FloatArray) -> FloatArray:
    """Return lag profiles that begin at lag 0, where nothing has been multiplied yet: log 1."""
    return np.concatenate([np.zeros_like(log_norms[:1]), log_norms])


def growth_rates(log_norms: FloatArray) -> FloatArray:
    """Return the growth rate (B,) of profiles (L,B) in nats, lag ℓ at ``[ℓ-1]``.

    Nats per step; −inf where the product is exactly zero at the last lag.
    """
    first, last = tail_lags(log_norms.shape[0])
    at_first, at_last = _from_lag_zero(log_norms)[[first, last]]
    dead = np.isneginf(at_last)
    rates: FloatArray = (at_last - np.where(dead, 0.0, at_first)) / (last - first)
    return rates


def growth_rate(log_norms: FloatArray) -> GrowthRate:
    """Return the growth rate of profiles (L,B) in nats over all sequences, with its interval."""
    alive = np.isfinite(log_norms[-1])
    if not alive.any():
        return GrowthRate(None, None, None, None)
    living = log_norms[:, alive]
    rates, mean = growth_rates(living), _from_lag_zero(living).mean(axis=1)
    rate = float(rates.mean())
    first, last = (int(lag) for lag in tail_lags(log_norms.shape[0]))
    tail = Tail((first, last), (float(mean[first]), float(mean[last])), rates.size, alive.size)
    # Increments over batches of consecutive lags of the tail, nearly independent: batch means.
    ends = np.linspace(first, last, min(MAX_BATCHES, last - first) + 1).round().astype(np.int64)
    halves = [half_width(rates), half_width(np.diff(mean[ends]) / np.diff(ends))]
    found = [each for each in halves if each is not None]
    if not found:
        return GrowthRate(rate, None, None, tail)
    return GrowthRate(rate, rate - max(found), rate + max(found), tail)


def half_width(sample: FloatArray) -> float | None:
    """Return Student's half-width at 95 % of the mean of independent values; None for too few.

    Student's quantile in powers of 1/freedom about the normal one, so that no SciPy is needed.
    """
    if sample.size < MIN_SAMPLE:
        return None
    freedom, z = sample.size - 1, NORMAL_975
    # Abramowitz & Stegun (1964), 26.7.5; within 0.3 % from four degrees of freedom on.
    t = z + (z**3 + z) / (4.0 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96.0 * freedom**2)
    t += (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384.0 * freedom**3)
    return float(t * sample.std(ddof=1) / np.sqrt(sample.size))


def cause_rates(causes: Causes | GatedCauses) -> Rates:
    """Return the terms of the growth rate from causes at ``tail_lags``, averaged over sequences."""
    kind = GatedCauseRates if isinstance(causes, GatedCauses) else CauseRates
    names = [each.name for each in fields(kind)]
    alive = np.isfinite(causes.total[-1])
    if not alive.any():
        return kind(**dict.fromkeys(names))

    def rate(term: FloatArray) -> float:
        before = term[0] if causes.lags.size > 1 else np.zeros(term.shape[1])
        span = causes.lags[-1] - (causes.lags[0] if causes.lags.size > 1 else 0)
        return float(np.mean(term[-1][alive] - before[alive]) / span)

    return kind(**{name: rate(getattr(causes, name)) for name in names})
