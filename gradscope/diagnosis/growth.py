"""The growth rate: the slope of the lag profile over its tail, in nats per step, and what makes it.

Beyond the transient, log σ_max(P_ℓ) is a drift plus a random walk whose increments are those of
single steps; for such a curve the mean increment, (f(L) − f(L/2))/(L − L/2), is the efficient
estimate of the drift, and a regression of f on ℓ is not (it weighs the noise of every early step
again and again). The first half of the lags is left to the transient. The estimate is linear in f,
so the four causes, taken at the same two lags, add up to it exactly.
"""

from dataclasses import dataclass

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.diagnosis.causes import Causes


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
