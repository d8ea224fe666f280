"""Why the product of a gated cell's Jacobians has the size it has: an exact decomposition.

A gated cell passes gradient on in two ways, straight through a gate and through its recurrent
weights. Along the leading right singular vector of P each step J v is built up in stages, and each
stage changes the length of what arrives:

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
the step is not (a gate closed to the last bit) is passed over, and what it lost is counted in the
next. The same propagation, with other stages, splits a vanilla RNN whose state is its
pre-activation or whose units leak differently.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.diagnosis.causes import Causes, brief_terms, checked_lags, measured_directions
from gradscope.diagnosis.paths import lengths_of
from gradscope.jacobians.cell_chain import CellChain
from gradscope.jacobians.lag_norms import LagNorms
from gradscope.model.elman import ElmanParameters, PostLinearization, PreLinearization
from gradscope.notebook_repr import CompactRepr


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class GatedCauses(CompactRepr):
    """The five terms of log σ_max(P_ℓ) and their sum, by lag and sequence.

    ``lags`` (K,) in steps; every other array is (K,B), in nats. ``total`` is log σ_max as
    ``lag_norms`` measures it; the terms come from the path, so their sum checks it. Where
    the product is exactly zero the total and the last term are −inf.
    """

    lags: IntArray
    direct: FloatArray
    recurrent_weights: FloatArray
    candidate_saturation: FloatArray
    closed_gates: FloatArray
    gate_slopes: FloatArray
    total: FloatArray

    def compact_fields(self) -> dict[str, Any]:
        """Return sizes, and each term at the longest lag in nats per step."""
        return brief_terms(self)


def cell_causes(
    chain: CellChain, lags: IntArray | None = None, *, norms: LagNorms | None = None
) -> Causes | GatedCauses:
    """Split log σ_max(∂s_T/∂s_{T−ℓ}) into causes that fit the cell.

    Parameters
    ----------
    chain : CellChain
        A cell linearised over T steps and B sequences.
    lags : (K,) array of int, optional
        Lags in steps, ascending; all of 1 … T by default.
    norms : LagNorms, optional
        The lag profile of this chain, where it was measured before.

    Returns
    -------
    GatedCauses or Causes
        The terms above for a gated cell; for a vanilla RNN those of ``diagnosis.causes``.

    Raises
    ------
    SettingError
        If a lag is outside 1 … T.

    Notes
    -----
    Cost: that of two lag profiles, and one step of every stage over all lags that reach so far
    back.
    """
    chosen = checked_lags(chain, lags)
    total, directions, _ = measured_directions(chain, chosen, norms)
    terms = stage_logs(chain, chosen, directions)
    linearization = chain.linearization
    if isinstance(linearization, PostLinearization | PreLinearization):
        return _vanilla_causes(linearization.cell, chosen, terms, total)
    return GatedCauses(lags=chosen, total=total, **terms)


def stage_logs(chain: CellChain, lags: IntArray, directions: FloatArray) -> dict[str, FloatArray]:
    """Propagate each direction (K,B,S) from its state to s_T; return for every stage
    Σ log(its length / the length before it), (K,B), in nats.

    A vector that has become zero adds no more.
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
        for name, ratios in _log_ratios(here, stages).items():
            terms.setdefault(name, np.zeros(directions.shape[:2]))[under_way] += ratios.T
        image = list(stages.values())[-1]
        length = lengths_of(image)[..., None]
        vectors[under_way] = (image / np.where(length > 0.0, length, 1.0)).swapaxes(0, 1)
    return terms


def _log_ratios(start: FloatArray, stages: dict[str, FloatArray]) -> dict[str, FloatArray]:
    """Return log(length/length before) (B,K) of every stage, 0 where there was nothing to lose."""
    last = list(stages)[-1]
    before = lengths_of(start)
    ratios = {}
    for name, image in stages.items():
        length = lengths_of(image)
        # The sum of logarithms telescopes: a stage that is zero while a later one is not would make
        # −∞ + ∞ of it, so it takes over the length before it.
        if name != last:
            length = np.where(length > 0.0, length, before)
        present = before > 0.0
        with np.errstate(divide="ignore"):
            grown = np.log(length) - np.log(np.where(present, before, 1.0))
        ratios[name] = np.where(present, grown, 0.0)
        before = length
    return ratios


def _vanilla_causes(
    cell: ElmanParameters, lags: IntArray, terms: dict[str, FloatArray], total: FloatArray
) -> Causes:
    """Return the four terms of a vanilla RNN: its bound, and what the path lost against it."""
    steps = np.repeat(lags[:, None].astype(np.float64), total.shape[1], axis=1)
    bound_of_weights = cell.log_bound(1.0)
    if np.isneginf(bound_of_weights):
        nothing = np.zeros_like(steps)
        return Causes(lags, steps * bound_of_weights, nothing, nothing, nothing, total)
    bound = cell.log_bound(cell.activation.slope_ceiling)
    return Causes(
        lags=lags,
        weights=steps * bound_of_weights,
        slope_ceiling=steps * (bound - bound_of_weights),
        misalignment=terms["ceiling"] - steps * bound,
        saturation=terms["saturation"],
        total=total,
    )
