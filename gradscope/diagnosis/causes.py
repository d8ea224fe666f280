"""Why the product of Jacobians has the size it has: an exact decomposition.

Along the leading right singular vector of P each step multiplies the vector's length by ‖W v‖/‖v‖
and then by ‖φ′∘(W v)‖/‖W v‖. Hence, exactly,

    log σ_max(P_ℓ) = ℓ log σ_max(W) + ℓ log γ + Σ misalignment (≤ 0) + Σ saturation (≤ 0),

misalignment = log(‖W v‖/‖v‖) − log σ_max(W) and saturation = log(‖φ′∘(W v)‖/‖W v‖) − log γ, summed
over the ℓ steps. The first two terms are the textbook bound; the last two what the data did.

With a leak α the step is J v = (1−α) v + α φ′∘(W v). The bound becomes ℓ log(1−α+αγσ_max(W)), of
which the weights have what γ = 1 would give; the slope at its ceiling takes the place of ``W v``;
saturation may then be positive too.

A gated cell passes gradient on in two ways, straight through a gate and through its recurrent
weights. There each step J v is built up in stages, each of which changes the length:

====================  ==============================================================================
direct                the gate that keeps the state (z of a GRU, f of an LSTM), alone, no recurrent
                      weights: log(‖D v‖/‖v‖). What the gradient would do if only the memory carried
                      it; far below 0 where that gate is closed.
recurrent_weights     the candidate's weights W_n or W_g beside it, every other gate open and φ at
                      its largest slope: what the recurrent weights bring back.
candidate_saturation  φ with the slope it has: what a candidate at its flat ends costs.
closed_gates          r of a GRU, i of an LSTM as they stand: what they keep out.
gate_slopes           the gates moving with the state, ∂r/∂h, ∂z/∂h and so on: what is left of J v.
====================  ==============================================================================

Each term is the logarithm of the ratio of two successive lengths, so over the ℓ steps the five add
up to log σ_max(P_ℓ) exactly; any of them may have either sign. A stage that is exactly zero while
the step is not (a closed gate) is passed over; what it lost counts in the next. The same
propagation, with other stages, splits a vanilla RNN whose state is its pre-activation.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.errors import SettingError
from gradscope.jacobians.cell_chain import CellChain
from gradscope.jacobians.chain import Chain, ElmanChain, step_shifts
from gradscope.jacobians.kernels.powers_of_two import LOG_2
from gradscope.jacobians.lag_norms import LagNorms, lag_norms
from gradscope.machine import held_threads
from gradscope.model.cells import Linearization
from gradscope.model.elman import PostLinearization, PreLinearization, log_bound_per_step
from gradscope.notebook_repr import CompactRepr

TOLERANCE = 1e-6
"""Relative error of σ_max, where it is not given: the total may be so much below log σ_max."""

MIN_SQUARE = 1e-200
"""Sums of squares below this are formed again from scaled entries: they may have underflown."""


class _Terms(CompactRepr):
    """Terms that add up to a total, by lag and sequence."""

    __slots__ = ()

    lags: IntArray
    total: FloatArray

    def compact_fields(self) -> dict[str, Any]:
        """Return sizes, and each term at the longest lag: the mean over sequences, nats a step."""
        terms = [name for name in self.__dataclass_fields__ if name != "lags"]
        ends = {name: float(getattr(self, name)[-1].mean()) / int(self.lags[-1]) for name in terms}
        return {"lags": self.lags.size, "sequences": self.total.shape[1], **ends}


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Causes(_Terms):
    """The four terms of log σ_max(P_ℓ) and their sum, by lag and sequence.

    ``lags`` (K,) in steps; every other array is (K,B), in nats. ``total``, the sum of the terms, is
    log ‖P v‖ of the leading direction v: at most log σ_max, and within the certificate of it. Where
    the product is exactly zero the total and the term that ended it are −inf.
    """

    lags: IntArray
    weights: FloatArray
    slope_ceiling: FloatArray
    misalignment: FloatArray
    saturation: FloatArray
    total: FloatArray


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class GatedCauses(_Terms):
    """The five terms of a gated cell's log σ_max(P_ℓ) and their sum, as in ``Causes``."""

    lags: IntArray
    direct: FloatArray
    recurrent_weights: FloatArray
    candidate_saturation: FloatArray
    closed_gates: FloatArray
    gate_slopes: FloatArray
    total: FloatArray


@held_threads()
def causes(chain: Chain, lags: IntArray | None = None, *, norms: LagNorms | None = None) -> Causes:
    """Split log σ_max(∂h_T/∂h_{T−ℓ}) into weights, slope ceiling, misalignment and saturation.

    ``lags`` (K,) are in steps, ascending; all of 1 … T by default. ``norms`` is a lag profile with
    the directions at these lags (``lag_norms(…, directions_at=lags)``), else one is measured to
    ``TOLERANCE``. Raises SettingError if the chain has no slopes (a dense one), or a lag is outside
    1 … T.

    Cost: a lag profile, a decomposition per lag, and one GEMM a step over all directions under way.
    """
    if not isinstance(chain, ElmanChain):
        raise SettingError("explicit Jacobians have no slopes to split by; give an ElmanChain")
    chosen, directions = leading_directions(chain, lags, norms)
    terms = _path_terms(chain, chosen, directions)
    shifts = LOG_2 * np.cumsum(step_shifts(chain)[::-1], axis=0)[chosen - 1]
    of_weights = log_bound_per_step(chain.recurrent_weights, 1.0, chain.leak)
    bound = log_bound_per_step(chain.recurrent_weights, chain.slope_ceiling, chain.leak)
    saturation = terms["saturation"] + shifts
    total = terms["ceiling"] + saturation
    return _against_bound(chosen, total, (of_weights, bound), terms["ceiling"], saturation)


def _against_bound(
    lags: IntArray,
    total: FloatArray,
    bounds: tuple[float, float],
    ceiling_logs: FloatArray,
    slope_logs: FloatArray,
) -> Causes:
    """Return a vanilla RNN's terms: bounds per step, for γ = 1 and its own γ, and the losses."""
    of_weights, bound = bounds
    steps = np.repeat(lags[:, None].astype(np.float64), total.shape[1], axis=1)
    if np.isneginf(bound):
        # log 0: weights of zero leave nothing for the other terms to explain.
        none = np.zeros_like(steps)
        return Causes(lags, none - np.inf, none, none, none, total)
    return Causes(
        lags=lags,
        weights=steps * of_weights,
        slope_ceiling=steps * (bound - of_weights),
        misalignment=ceiling_logs - steps * bound,
        saturation=slope_logs,
        total=total,
    )


def leading_directions(
    chain: Chain, asked: IntArray | None, norms: LagNorms | None
) -> tuple[IntArray, FloatArray]:
    """Return lags (K,) and the leading directions there (K,B,S), those of ``norms`` if it has them.

    Raises SettingError if the lags do not ascend in 1 … T.
    """
    lags = np.arange(1, chain.n_steps + 1) if asked is None else np.asarray(asked, dtype=np.int64)
    ascending = lags.size > 0 and (np.diff(lags) >= 1).all()
    if not ascending or lags[0] < 1 or lags[-1] > chain.n_steps:
        raise SettingError(
            f"the lags are {lags.tolist()}; choose ascending lags from 1 to {chain.n_steps}"
        )
    if norms is None or not norms.directions.keys() >= set(lags.tolist()):
        norms = lag_norms(chain, int(lags[-1]), tolerance=TOLERANCE, directions_at=lags)
    return lags, np.stack([norms.directions[lag] for lag in lags.tolist()])


@held_threads()
def cell_causes(
    chain: Chain, lags: IntArray | None = None, *, norms: LagNorms | None = None
) -> Causes | GatedCauses:
    """Split log σ_max(∂s_T/∂s_{T−ℓ}) into causes that fit the cell: the terms above for a gated
    one, those of ``causes`` for a vanilla RNN. Parameters, cost, errors: as for ``causes``.
    """
    if not isinstance(chain, CellChain):
        return causes(chain, lags, norms=norms)
    chosen, directions = leading_directions(chain, lags, norms)
    terms = _path_terms(chain, chosen, directions)
    return causes_of_path(chain.linearization, chosen, np.sum(list(terms.values()), axis=0), terms)


def causes_of_path(
    linearization: Linearization, lags: IntArray, total: FloatArray, terms: dict[str, FloatArray]
) -> Causes | GatedCauses:
    """Return the causes that fit a cell, from Σ log(length/length before) of every stage, (K,B)."""
    if isinstance(linearization, PostLinearization | PreLinearization):
        cell = linearization.cell
        bounds = cell.log_bound(1.0), cell.log_bound(cell.activation.slope_ceiling)
        return _against_bound(lags, total, bounds, terms["ceiling"], terms["saturation"])
    return GatedCauses(lags=lags, total=total, **terms)


def _path_terms(
    chain: CellChain | ElmanChain, lags: IntArray, directions: FloatArray
) -> dict[str, FloatArray]:
    """Propagate each direction (K,B,S) from its state to s_T; return Σ log(length/length before) in
    nats of every stage, (K,B). A vector that has become zero adds no more.
    """
    terms: dict[str, FloatArray] = {}
    vectors = np.zeros_like(directions)
    for step in range(chain.n_steps - int(lags[-1]) + 1, chain.n_steps + 1):
        starting = chain.n_steps - lags + 1 == step
        vectors[starting] = directions[starting]
        under_way = lags > chain.n_steps - step
        # A JVP takes vectors (B,K,S), all sequences at once.
        here = vectors[under_way].swapaxes(0, 1)
        stages = chain.stages(here, step)
        for name, logs in stage_logs(stages, lengths_of(here)).items():
            term = terms.setdefault(name, np.zeros(directions.shape[:2]))
            term[under_way] += logs.T
        image = list(stages.values())[-1]
        length = lengths_of(image)
        image = image / np.where(length > 0.0, length, 1.0)[..., None]
        vectors[under_way] = image.swapaxes(0, 1)
    return terms


def stage_logs(stages: dict[str, FloatArray], before: FloatArray) -> dict[str, FloatArray]:
    """Return log(length/length before), nats, of each stage (…,S) of a step; 0 where that was 0."""
    logs, lengths = {}, np.stack([lengths_of(image) for image in stages.values()])
    # The sum of logarithms telescopes: a stage that is zero while a later one is not would make
    # −∞ + ∞ of it, so it takes over the length before it.
    ended = np.maximum.accumulate(lengths[::-1])[::-1] == 0.0
    for name, length, over in zip(stages, lengths, ended, strict=True):
        kept = np.where((length > 0.0) | over, length, before)
        with np.errstate(divide="ignore"):
            change = np.log(kept) - np.log(np.where(before > 0.0, before, 1.0))
        logs[name] = np.where(before > 0.0, change, 0.0)
        before = kept
    return logs


def lengths_of(vectors: FloatArray) -> FloatArray:
    """Return ‖v‖ (…) of vectors (…,S), scaled where their squares leave the range of floats."""
    with np.errstate(over="ignore"):
        squares = np.einsum("...s,...s->...", vectors, vectors)
    lengths: FloatArray = np.sqrt(squares)
    for place in zip(*np.nonzero((squares < MIN_SQUARE) | np.isinf(squares)), strict=True):
        largest = np.abs(vectors[place]).max()
        if largest > 0.0:
            lengths[place] = largest * np.linalg.norm(vectors[place] / largest)
    return lengths
