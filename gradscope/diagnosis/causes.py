"""Why the product of Jacobians has the size it has: an exact decomposition.

Along the leading right singular vector of P each step multiplies the vector's length by ‖W v‖/‖v‖
and then by ‖φ′∘(W v)‖/‖W v‖. Hence, exactly,

    log σ_max(P_ℓ) = ℓ log σ_max(W) + ℓ log γ + Σ misalignment (≤ 0) + Σ saturation (≤ 0),

misalignment = log(‖W v‖/‖v‖) − log σ_max(W) and saturation = log(‖φ′∘(W v)‖/‖W v‖) − log γ, summed
over the ℓ steps. The first two terms are the textbook bound; the last two say what the data did to
it.

With a leak α the step is J v = (1−α) v + α φ′∘(W v). The bound becomes ℓ log(1−α+αγσ_max(W)), of
which the weights have what γ = 1 would give; the slope at its ceiling takes the place of ``W v``;
saturation may then be positive too.
"""

from dataclasses import dataclass

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.diagnosis.theory import log_bound_per_step
from gradscope.errors import SettingError
from gradscope.jacobians.chain import Chain, ElmanChain
from gradscope.jacobians.lag_norms import leading_directions


@dataclass(frozen=True, eq=False, slots=True)
class Causes:
    """The four terms of log σ_max(P_ℓ) and their sum, by lag and sequence.

    ``lags`` (K,) in steps; every other array is (K,B), in nats. ``total`` is log σ_max as measured
    by the singular value decomposition; the four terms come from the path, so their sum checks it.
    Where the product is exactly zero the total and the term that ended it are −inf.
    """

    lags: IntArray
    weights: FloatArray
    slope_ceiling: FloatArray
    misalignment: FloatArray
    saturation: FloatArray
    total: FloatArray


def causes(chain: Chain, lags: IntArray | None = None) -> Causes:
    """Split log σ_max(∂h_T/∂h_{T−ℓ}) into weights, slope ceiling, misalignment and saturation.

    Parameters
    ----------
    chain : ElmanChain
        Factors of T steps and B sequences, with the slope ceiling γ of its activation.
    lags : (K,) array of int, optional
        Lags in steps, ascending; all of 1 … T by default.

    Returns
    -------
    Causes
        Arrays (K,B) in nats that add up to the total.

    Raises
    ------
    SettingError
        If the chain has no slopes (a dense one), or a lag is outside 1 … T.

    Notes
    -----
    Cost: K singular value decompositions a sequence and one GEMM a step over all lags that reach so
    far back.
    """
    if not isinstance(chain, ElmanChain):
        raise SettingError(
            "a chain of explicit Jacobians has no slopes to split the causes by; give an ElmanChain"
        )
    chosen = np.arange(1, chain.n_steps + 1) if lags is None else np.asarray(lags, dtype=np.int64)
    if (
        chosen.size == 0
        or chosen[0] < 1
        or chosen[-1] > chain.n_steps
        or (np.diff(chosen) < 1).any()
    ):
        raise SettingError(
            f"the lags are {chosen.tolist()}; choose ascending lags from 1 to {chain.n_steps}"
        )
    total, directions = leading_directions(chain, chosen)
    ceiling_logs, slope_logs = _walk(chain, chosen, directions)
    bound_of_weights = log_bound_per_step(chain.recurrent_weights, 1.0, chain.leak)
    bound = log_bound_per_step(chain.recurrent_weights, chain.slope_ceiling, chain.leak)
    # Where W is zero the weights have taken all there was to lose.
    of_ceiling = 0.0 if np.isneginf(bound_of_weights) else bound - bound_of_weights
    steps = chosen[:, None].astype(np.float64)
    flat = np.ones(chain.n_sequences)
    return Causes(
        lags=chosen,
        weights=steps * bound_of_weights * flat,
        slope_ceiling=steps * of_ceiling * flat,
        misalignment=_off_the_bound(ceiling_logs, steps, bound),
        saturation=slope_logs,
        total=total,
    )


def _off_the_bound(ceiling_logs: FloatArray, steps: FloatArray, bound: float) -> FloatArray:
    """Return what the path at the slope ceiling lost against ℓ times the bound of one step."""
    if np.isneginf(bound):
        return np.zeros_like(ceiling_logs)
    return ceiling_logs - steps * bound


def _walk(
    chain: ElmanChain, lags: IntArray, directions: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Carry each direction from its state to h_T; return Σ log(‖M v‖/‖v‖) and Σ log(‖J v‖/‖M v‖),
    (K,B).

    M = (1−α) I + αγ W is the step with its slope at the ceiling. A vector that has become zero adds
    no more.
    """
    ceiling_logs = np.zeros(directions.shape[:2])
    slope_logs = np.zeros(directions.shape[:2])
    vectors = np.zeros_like(directions)
    held, passed = 1.0 - chain.leak, chain.leak
    for step in range(chain.n_steps - int(lags[-1]) + 1, chain.n_steps + 1):
        starting = chain.n_steps - lags + 1 == step
        vectors[starting] = directions[starting]
        under_way = lags > chain.n_steps - step
        here = vectors[under_way]
        driven = here @ chain.recurrent_weights.T
        at_ceiling = np.linalg.norm(held * here + passed * chain.slope_ceiling * driven, axis=2)
        here = held * here + passed * chain.slopes[step - 1] * driven
        length = np.linalg.norm(here, axis=2)
        before = np.linalg.norm(vectors[under_way], axis=2)
        ceiling_logs[under_way] += _log_ratio(at_ceiling, before)
        slope_logs[under_way] += _log_ratio(length, at_ceiling)
        vectors[under_way] = here / np.where(length > 0, length, 1.0)[:, :, None]
    return ceiling_logs, slope_logs


def _log_ratio(lengths: FloatArray, before: FloatArray) -> FloatArray:
    """Return log(lengths/before), 0 where there was nothing left to lose."""
    with np.errstate(divide="ignore"):
        return np.where(
            before > 0, np.log(lengths) - np.log(np.where(before > 0, before, 1.0)), 0.0
        )
