"""The growth rate, in nats per step: of a network in the long run (``long_run``), or of a chain;
and the memory horizon, the lag at which a profile falls below the vanishing threshold.

A chain alone has its lag profile f(ℓ) = log σ_max(P_ℓ): beyond the transient a drift λ_1 ℓ plus a
random walk, of which the mean increment over the tail, (f(L) − f(L/2))/(L − L/2), is the efficient
estimate. A regression of f on ℓ weighs the noise of early steps again and again, and keeps more of
the transient: ½ log ℓ for wide random factors (Penson & Życzkowski 2011, arXiv:1103.3453), of which
1.5/L enters a regression and at most log 2/L the mean increment.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.diagnosis.causes import Causes, GatedCauses
from gradscope.notebook_repr import CompactRepr

MIN_SAMPLE = 5
"""Sequences, or batches of lags, whose scatter gives an interval: four degrees of freedom."""

BATCHES, BEYOND_CHANCE = (10, 5), 1.5
"""Batches of steps whose means are compared (batch means), and how many times the variance of the
rate they must show than sequences do: of 16 independent ones a quarter does (F distribution)."""

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


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class GrowthRate(CompactRepr):
    """The growth rate, nats per step, and the interval that holds it at 95 % confidence.

    ``rate`` is the mean over the ``sequences`` (out of ``of``) whose product is not exactly zero,
    over ``steps`` steps after ``burn_in`` others (``long_run``); without a burn-in it is the slope
    of the lag profile between the two points of ``tail``. None where all products are zero. The
    interval covers the scatter of sequences, and that of steps where it is larger beyond chance.
    ``low`` and ``high`` are None for fewer than ``MIN_SAMPLE`` sequences and steps. With a
    ``short_burn_in``, for want of inputs, it is wider by the distance to the slope of the profile.
    """

    rate: float | None
    low: float | None
    high: float | None
    tail: Tail | None
    burn_in: int = 0
    steps: int = 0
    sequences: int = 0
    of: int = 0
    short_burn_in: bool = False


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class CauseRates(CompactRepr):
    """The four terms of the growth rate and their sum, nats per step, averaged over sequences.

    Sequences whose product is exactly zero are left out; where all are, each field is None.
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


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class PathRates(CompactRepr):
    """The paths between blocks of the state by which a growth rate comes about, and their sum, as
    in ``CauseRates``; no ``terms`` where there is but one block, or none is known.
    """

    terms: Mapping[str, float | None]
    total: float | None


Rates = CauseRates | GatedCauseRates | PathRates


def terms_of(rates: Rates) -> dict[str, float | None]:
    """Return the terms that add up to the growth rate, by name."""
    if isinstance(rates, PathRates):
        return dict(rates.terms)
    return {each.name: getattr(rates, each.name) for each in fields(rates) if each.name != "total"}


def tail_lags(max_lag: int) -> IntArray:
    """Return the two lags between which the rate is taken; the first is 0 if there is but one."""
    return np.array([max_lag // 2, max_lag])


def growth_rate(log_norms: FloatArray) -> GrowthRate:
    """Return the growth rate of profiles (L,B) in nats over all sequences, with its interval."""
    alive = np.isfinite(log_norms[-1])
    if not alive.any():
        return GrowthRate(None, None, None, None, of=alive.size)
    first, last = (int(lag) for lag in tail_lags(log_norms.shape[0]))
    living = np.pad(log_norms[:, alive], ((1, 0), (0, 0)))  # Lag 0: log 1.
    before, after = living[[first, last]].mean(axis=1).tolist()
    tail = Tail((first, last), (before, after), living.shape[1], alive.size)
    found = growth_of_steps(np.diff(living[first:], axis=0), 0)
    return replace(found, tail=tail, of=alive.size)


def growth_of_steps(logs: FloatArray, burn_in: int, stride: int = 1) -> GrowthRate:
    """Return the growth rate from what each step adds, (n,B) nats, NaN where a sequence does not
    count, after a burn-in; every ``stride``-th sequence has inputs of its own.
    """
    alive = np.isfinite(np.nansum(logs, axis=0))
    longest = int((~np.isnan(logs)).sum(axis=0).max())
    counts = (burn_in, longest, int(alive.sum()), alive.size)
    if not alive.any():
        return GrowthRate(None, None, None, None, *counts)
    living = logs[:, alive]
    apart = living[~np.isnan(living).all(axis=1), ::stride]
    rates = np.nanmean(apart, axis=0)
    rate = float(rates.mean() if np.isnan(living).any() else living.mean())
    halves = [half_width(rates)]
    for n_batches in BATCHES:
        batches = np.array_split(np.nanmean(apart, axis=1), min(n_batches, len(apart)))
        means = np.array([each.mean() for each in batches])
        # Sequences may sway together, as where the leading exponents are a pair that turns slowly.
        alone = rates.var(ddof=1) / rates.size if rates.size >= MIN_SAMPLE else 0.0
        if means.size > 1 and means.var(ddof=1) / means.size > BEYOND_CHANCE * alone:
            halves.append(half_width(means))
    half = max((each for each in halves if each is not None), default=None)
    low, high = (None, None) if half is None else (rate - half, rate + half)
    return GrowthRate(rate, low, high, None, *counts)


def widened(growth: GrowthRate, profile: GrowthRate) -> GrowthRate:
    """Return a growth rate with the profile's ``tail``, its interval, after a short burn-in, wider
    by how far the slope of the profile is from it: both may still be on the way to λ_1.
    """
    growth = replace(growth, tail=profile.tail)
    rate, low, high = growth.rate, growth.low, growth.high
    if not growth.short_burn_in or rate is None or low is None or high is None:
        return growth
    beyond = 0.0 if profile.rate is None else abs(profile.rate - rate)
    return replace(growth, low=low - beyond, high=high + beyond)


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

    # From lag 0, where every term is 0, if there is but one.
    span = np.diff(causes.lags, prepend=0)[-1]
    terms = (getattr(causes, name)[:, alive] for name in names)
    rates = (float(np.mean(np.diff(term, axis=0, prepend=0.0)[-1]) / span) for term in terms)
    return kind(**dict(zip(names, rates, strict=True)))


def memory_horizon(median: FloatArray, threshold: float) -> int | None:
    """Return the first lag, in steps, at which the profile (L,) in nats is below log(threshold)."""
    below = median < np.log(threshold)
    return int(np.argmax(below)) + 1 if below.any() else None


def extrapolated_horizon(median: FloatArray, rate: float, threshold: float) -> int | None:
    """Return the lag at which a profile would reach a threshold, below or above; None if never."""
    if not rate * np.log(threshold) > 0.0:
        return None
    missing = (np.log(threshold) - float(median[-1])) / rate
    lag = median.size + max(missing, 0.0)
    return int(np.ceil(lag)) if lag < 1e15 else None
