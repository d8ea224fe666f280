"""The whole diagnosis of one chain: profile, bound, growth rate, causes and verdict in one call."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradscope.arrays import FloatArray, IntArray, quantiles
from gradscope.diagnosis import growth
from gradscope.diagnosis.causes import TOLERANCE, cell_causes
from gradscope.diagnosis.growth import GatedCauseRates, GrowthRate, PathRates, Rates
from gradscope.diagnosis.long_run import LongRun
from gradscope.diagnosis.paths import Blocks, paths, step_reasons
from gradscope.diagnosis.reasons import Reason
from gradscope.diagnosis.thresholds import Thresholds
from gradscope.diagnosis.verdict import Evidence, Learned, Verdict, judge
from gradscope.diagnosis.write_level import Writing
from gradscope.jacobians.cell_chain import CellChain
from gradscope.jacobians.chain import Chain, ElmanChain
from gradscope.jacobians.lag_norms import LagNorms, lag_norms
from gradscope.machine import held_threads
from gradscope.model.elman import log_bound_per_step
from gradscope.notebook_repr import NotebookResult


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Diagnosis(NotebookResult):
    """What was measured on a chain, and what it means.

    ``norms`` is the lag profile; ``log_bound`` (L,) the bound ℓ·log(γ σ_max(W)) in nats (of another
    cell than the vanilla one ℓ times the most that a step of this trajectory can add); ``growth``
    its growth rate with an interval, ``causes`` the terms of that rate, both in nats per step;
    ``verdict`` the judgement with its reasons, and ``thresholds`` where it drew its lines.
    """

    norms: LagNorms
    log_bound: FloatArray
    growth: GrowthRate
    causes: Rates
    verdict: Verdict
    thresholds: Thresholds

    def compact_fields(self) -> dict[str, Any]:
        """Return the number of sequences, and what the verdict tells."""
        return {"sequences": self.norms.log_norms.shape[1], **self.verdict.compact_fields()}


@dataclass(frozen=True, eq=False, slots=True)
class NetworkMeasures:
    """What was measured of a network beside its chain; None where it was not.

    ``long_run`` is the growth rate and its causes past the transient, ``writing`` how freely it
    writes (``write_level``); ``white_noise`` says that it was driven by that for want of data.
    ``lengths`` (B,) are the steps of each sequence, where some have fewer than the chain: at longer
    lags their norms are NaN, and they are judged as the median of the others.
    """

    long_run: LongRun | None = None
    writing: Writing | None = None
    white_noise: bool = False
    lengths: IntArray | None = None
    blocks: Blocks | None = None
    inputs: FloatArray | None = None


@held_threads()
def diagnose(
    chain: Chain,
    max_lag: int | None = None,
    *,
    required_lag: int | None = None,
    learned: Learned | None = None,
    overflow_step: int | None = None,
    thresholds: Thresholds | None = None,
    tolerance: float = TOLERANCE,
    network: NetworkMeasures | None = None,
) -> Diagnosis:
    """Say whether, how fast, how far back and why the gradient of a chain vanishes or explodes.

    ``max_lag``, the longest lag, all T by default, ``required_lag``, that of the task, and
    ``overflow_step``, at which the state grew too large to go on, are in steps; ``tolerance`` is
    the largest relative error of σ_max;
    ``network`` is what a chain alone cannot tell, which has no inputs to go on with: without it
    growth rate and causes are those of the second half of its lags. Of a chain that is no cell's
    the bound is not known (NaN), and the causes are paths between blocks of the state, if any.

    Raises SettingError if ``max_lag`` is not in 1 … T.
    """
    measured = network or NetworkMeasures()
    lags = growth.tail_lags(chain.n_steps if max_lag is None else max_lag)
    lags = lags[lags > 0]
    along = measured.blocks is not None or measured.long_run is None
    norms = lag_norms(chain, max_lag, tolerance=tolerance, directions_at=lags if along else ())
    log_norms = norms.log_norms
    if measured.lengths is not None:
        own = norms.lags[:, None] <= measured.lengths
        shared = [quantiles(row[has], (0.5,)) for row, has in zip(log_norms, own, strict=True)]
        zero = np.logical_or.accumulate(own & np.isneginf(log_norms))  # A product stays zero.
        norms = replace(norms, log_norms=np.where(own, log_norms, np.nan))
        log_norms = np.where(own, log_norms, np.where(zero, -np.inf, np.array(shared)))
    grown, bound_rate = growth.growth_rate(norms.log_norms), log_bound_of(chain)
    more: tuple[Reason, ...] = ()
    rates: Rates = PathRates({}, grown.rate)
    if measured.blocks is not None:
        found = paths(chain, measured.blocks, lags, norms=norms)
        rates = found.rates if len(measured.blocks) > 1 else PathRates({}, found.rates.total)
        more = () if measured.inputs is None else tuple(step_reasons(found, measured.inputs))
    if (long_run := measured.long_run) is not None:
        grown, rates = growth.widened(long_run.growth, grown), long_run.causes
    elif isinstance(chain, CellChain | ElmanChain):
        rates = growth.cause_rates(cell_causes(chain, lags, norms=norms))
    evidence = Evidence(
        log_norms,
        bound_rate,
        rates,
        required_lag,
        learned,
        overflow_step,
        bound_of_course=isinstance(rates, GatedCauseRates),
        growth=grown,
        writing=measured.writing,
        white_noise=measured.white_noise,
    )
    log_bound = bound_rate * norms.lags.astype(np.float64)
    lines = thresholds or Thresholds()
    verdict = judge(evidence, lines)
    verdict = replace(verdict, reasons=(*verdict.reasons, *more))
    return Diagnosis(norms, log_bound, grown, rates, verdict, lines)


def log_bound_of(chain: Chain) -> float:
    """Return the most that one step of a chain can add to log σ_max, in nats; NaN: not known."""
    if isinstance(chain, ElmanChain):
        return log_bound_per_step(chain.recurrent_weights, chain.slope_ceiling, chain.leak)
    if isinstance(chain, CellChain):
        return chain.linearization.log_bound()
    return np.nan
