"""The whole diagnosis of one chain: profile, bound, growth rate, causes and verdict in one call."""

from dataclasses import dataclass

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.diagnosis.causes import TOLERANCE, causes
from gradscope.diagnosis.growth import CauseRates, GrowthRate, cause_rates, growth_rate, tail_lags
from gradscope.diagnosis.theory import log_bound_per_step
from gradscope.diagnosis.verdict import Evidence, Learned, Thresholds, Verdict, judge
from gradscope.jacobians.chain import ElmanChain
from gradscope.jacobians.lag_norms import LagNorms, lag_norms


@dataclass(frozen=True, eq=False, slots=True)
class Diagnosis:
    """What was measured on a chain, and what it means.

    ``norms`` is the lag profile; ``log_bound`` (L,) the bound ℓ·log(γ σ_max(W)) in nats; ``growth``
    its growth rate with an interval, ``causes`` the four terms of that rate, both in nats per step;
    ``verdict`` the judgement with its reasons.
    """

    norms: LagNorms
    log_bound: FloatArray
    growth: GrowthRate
    causes: CauseRates
    verdict: Verdict


def diagnose(
    chain: ElmanChain,
    max_lag: int | None = None,
    *,
    required_lag: int | None = None,
    learned: Learned | None = None,
    overflow_step: int | None = None,
    thresholds: Thresholds | None = None,
    tolerance: float = TOLERANCE,
) -> Diagnosis:
    """Measure a chain and say whether, how fast, how far back and why its gradient vanishes or
    explodes.

    Parameters
    ----------
    chain : ElmanChain
        Factors of T steps and B sequences.
    max_lag : int, optional
        Longest lag, in steps; all T by default.
    required_lag : int, optional
        The lag, in steps, that the task asks for.
    learned : Learned, optional
        What the network has learned so far.
    overflow_step : int, optional
        The step at which the state grew too large to go on, where it did.
    thresholds : Thresholds, optional
        Where the verdict draws its lines.
    tolerance : float
        Largest relative error of σ_max; the default lets the four causes add up to 1e-9.

    Returns
    -------
    Diagnosis

    Raises
    ------
    SettingError
        If ``max_lag`` is not in 1 … T.
    """
    norms = lag_norms(chain, max_lag, tolerance=tolerance)
    lags = tail_lags(norms.lags.size)
    rates = cause_rates(causes(chain, lags[lags > 0], norms=norms))
    bound_rate = log_bound_per_step(chain.recurrent_weights, chain.slope_ceiling, chain.leak)
    evidence = Evidence(norms.log_norms, bound_rate, rates, required_lag, learned, overflow_step)
    log_bound = bound_rate * norms.lags.astype(np.float64)
    growth = growth_rate(norms.log_norms)
    return Diagnosis(norms, log_bound, growth, rates, judge(evidence, thresholds))
