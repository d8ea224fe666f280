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

from dataclasses import dataclass

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.diagnosis.causes import Causes

FEWEST = 5
"""Sequences, or batches of lags, from which on their scatter gives an interval: four degrees of
freedom."""

MOST_BATCHES = 10
"""Batches of lags of the tail whose mean increments are compared (convention of batch means)."""

NORMAL_975 = 1.959963984540054
"""Quantile 0.975 of the standard normal distribution."""


@dataclass(frozen=True, eq=False, slots=True)
class GrowthRate:
    """The growth rate, nats per step, and the interval that holds it at 95 % confidence.

    ``rate`` is the mean over the sequences whose product is not exactly zero, None where all are;
    ``low`` and ``high`` are None where there are fewer than ``FEWEST`` sequences and fewer than as
    many lags in the tail. The interval speaks of the scatter of sequences and of steps, whichever
    is larger, not of what is left of the transient.
    """

    rate: float | None
    low: float | None
    high: float | None
    n_sequences: int


@dataclass(frozen=True, eq=False, slots=True)
class CauseRates:
    """The four terms of the growth rate and their sum, nats per step, averaged over sequences.

    Sequences whose product is exactly zero have no rate; they are left out, and where all are, each
    field is None.
    """

    weights: float | None
    slope_ceiling: float | None
    misalignment: float | None
    saturation: float | None
    total: float | None


def tail_lags(max_lag: int) -> IntArray:
    """Return the two lags between which the growth rate is taken; the first is 0 where there is but
    one lag.
    """
    return np.array([max_lag // 2, max_lag])


def growth_rates(log_norms: FloatArray) -> FloatArray:
    """Return the growth rate of every sequence.

    Parameters
    ----------
    log_norms : (L,B) array
        Lag profiles in nats, lag ℓ at ``[ℓ-1]``.

    Returns
    -------
    (B,) array
        Nats per step; −inf where the product is exactly zero at the last lag.
    """
    first, last = tail_lags(log_norms.shape[0])
    at_first = log_norms[first - 1] if first else np.zeros(log_norms.shape[1])
    dead = np.isneginf(log_norms[-1])
    rates: FloatArray = (log_norms[-1] - np.where(dead, 0.0, at_first)) / (last - first)
    return rates


def growth_rate(log_norms: FloatArray) -> GrowthRate:
    """Return the growth rate over all sequences with its interval.

    Parameters
    ----------
    log_norms : (L,B) array
        Lag profiles in nats, lag ℓ at ``[ℓ-1]``.

    Returns
    -------
    GrowthRate
    """
    rates = growth_rates(log_norms)
    alive = np.isfinite(rates)
    if not alive.any():
        return GrowthRate(None, None, None, 0)
    rate, n_sequences = float(rates[alive].mean()), int(alive.sum())
    halves = [_half_width(rates[alive]), _half_width(_batch_rates(log_norms[:, alive]))]
    found = [each for each in halves if each is not None]
    if not found:
        return GrowthRate(rate, None, None, n_sequences)
    half = max(found)
    return GrowthRate(rate, rate - half, rate + half, n_sequences)


def _batch_rates(log_norms: FloatArray) -> FloatArray:
    """Return the mean increment over the sequences in each of some batches of lags of the tail."""
    first, last = tail_lags(log_norms.shape[0])
    n_batches = min(MOST_BATCHES, int(last - first))
    ends = np.linspace(first, last, n_batches + 1).round().astype(np.int64)
    mean = np.concatenate([[0.0], log_norms.mean(axis=1)])
    rates: FloatArray = np.diff(mean[ends]) / np.diff(ends)
    return rates


def _half_width(sample: FloatArray) -> float | None:
    """Return Student's half-width at 95 % of the mean of independent values; None for too few."""
    if sample.size < FEWEST:
        return None
    freedom, z = sample.size - 1, NORMAL_975
    # Abramowitz & Stegun (1964), 26.7.5; within 0.3 % from four degrees of freedom on.
    t = z + (z**3 + z) / (4.0 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96.0 * freedom**2)
    t += (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384.0 * freedom**3)
    return float(t * sample.std(ddof=1) / np.sqrt(sample.size))


def cause_rates(causes: Causes) -> CauseRates:
    """Return the four terms of the growth rate from the causes at the lags of ``tail_lags``,
    averaged over sequences.
    """
    alive = np.isfinite(causes.total[-1])
    if not alive.any():
        return CauseRates(None, None, None, None, None)

    def rate(term: FloatArray) -> float:
        before = term[0] if causes.lags.size > 1 else np.zeros(term.shape[1])
        span = causes.lags[-1] - (causes.lags[0] if causes.lags.size > 1 else 0)
        return float(np.mean(term[-1][alive] - before[alive]) / span)

    return CauseRates(
        weights=rate(causes.weights),
        slope_ceiling=rate(causes.slope_ceiling),
        misalignment=rate(causes.misalignment),
        saturation=rate(causes.saturation),
        total=rate(causes.total),
    )
