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

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.diagnosis.paths import path_logs
from gradscope.diagnosis.theory import log_bound_per_step
from gradscope.errors import SettingError
from gradscope.jacobians.chain import Chain, ElmanChain
from gradscope.jacobians.kernels.leading_directions import leading_directions
from gradscope.jacobians.lag_norms import LagNorms, lag_norms
from gradscope.notebook_repr import CompactRepr

TOLERANCE = 1e-10
"""Relative error of the measured σ_max, where it is not given: the four terms add up to 1e-9."""

MAX_GAP = 5e-10
"""Nats by which a direction may fall short of the measured σ_max, beside its certificate."""


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Causes(CompactRepr):
    """The four terms of log σ_max(P_ℓ) and their sum, by lag and sequence.

    ``lags`` (K,) in steps; every other array is (K,B), in nats. ``total`` is log σ_max as
    ``lag_norms`` measures it; the four terms come from the path of the leading direction, so their
    sum checks it. Where the product is exactly zero the total and the term that ended it are −inf.
    """

    lags: IntArray
    weights: FloatArray
    slope_ceiling: FloatArray
    misalignment: FloatArray
    saturation: FloatArray
    total: FloatArray

    def compact_fields(self) -> dict[str, Any]:
        """Return sizes, and each term at the longest lag in nats per step."""
        return brief_terms(self)


def brief_terms(found: Any) -> dict[str, Any]:
    """Return sizes of terms by lag, and each at the longest lag in nats per step: the mean over the
    sequences.
    """
    terms = [each.name for each in fields(found) if each.name != "lags"]
    ends = {name: float(getattr(found, name)[-1].mean()) / int(found.lags[-1]) for name in terms}
    return {"lags": found.lags.size, "sequences": found.total.shape[1], **ends}


def causes(chain: Chain, lags: IntArray | None = None, *, norms: LagNorms | None = None) -> Causes:
    """Split log σ_max(∂h_T/∂h_{T−ℓ}) into weights, slope ceiling, misalignment and saturation.

    Parameters
    ----------
    chain : ElmanChain
        Factors of T steps and B sequences, with the slope ceiling γ of its activation.
    lags : (K,) array of int, optional
        Lags in steps, ascending; all of 1 … T by default.
    norms : LagNorms, optional
        The lag profile of this chain up to the last of these lags, where it was measured before;
        by default it is measured to ``TOLERANCE``.

    Raises
    ------
    SettingError
        If the chain has no slopes (a dense one), a lag is outside 1 … T, or the profile is shorter.

    Notes
    -----
    Cost: that of two lag profiles, and one GEMM a step over all directions under way, which are few
    where they soon run together and all K where nothing singles out one (an isometric chain).
    """
    if not isinstance(chain, ElmanChain):
        raise SettingError(
            "a chain of explicit Jacobians has no slopes to split the causes by; give an ElmanChain"
        )
    chosen = checked_lags(chain, lags)
    total, directions, reached = measured_directions(chain, chosen, norms)
    ceiling_logs, slope_logs = path_logs(chain, chosen, directions, reached)
    of_weights = log_bound_per_step(chain.recurrent_weights, 1.0, chain.leak)
    bound = log_bound_per_step(chain.recurrent_weights, chain.slope_ceiling, chain.leak)
    steps = np.repeat(chosen[:, None].astype(np.float64), chain.n_sequences, axis=1)
    if np.isneginf(bound):
        # log 0: weights of zero leave nothing for the other terms to explain.
        none = np.zeros_like(steps)
        return Causes(chosen, none - np.inf, none, none, none, total)
    return Causes(
        lags=chosen,
        weights=steps * of_weights,
        slope_ceiling=steps * (bound - of_weights),
        misalignment=ceiling_logs - steps * bound,
        saturation=slope_logs,
        total=total,
    )


def measured_directions(
    chain: Chain, lags: IntArray, norms: LagNorms | None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return log σ_max as measured (K,B), the directions that have it (K,B,S), and the logarithms
    that these reach (K,B).
    """
    norms = norms or lag_norms(chain, int(lags[-1]), tolerance=TOLERANCE)
    if norms.lags.size < lags[-1]:
        raise SettingError(
            f"the profile ends at lag {norms.lags.size}, but causes are asked for at lag "
            f"{lags[-1]}; measure it further, or leave it out"
        )
    total, certificate = norms.log_norms[lags - 1], norms.certificate[lags - 1]
    directions, reached = leading_directions(chain, lags)
    with np.errstate(invalid="ignore"):
        missed = total - reached > certificate + MAX_GAP
    if missed.any():
        # Later steps favoured rows that had been dropped: once more with all of them.
        directions, reached = leading_directions(chain, lags, dropped=0.0)
    return total, directions, reached


def checked_lags(chain: Chain, lags: IntArray | None) -> IntArray:
    """Return the lags asked for, all of 1 … T by default; refuse those that are not there."""
    chosen = np.arange(1, chain.n_steps + 1) if lags is None else np.asarray(lags, dtype=np.int64)
    ascending = chosen.size > 0 and (np.diff(chosen) >= 1).all()
    if not ascending or chosen[0] < 1 or chosen[-1] > chain.n_steps:
        raise SettingError(
            f"the lags are {chosen.tolist()}; choose ascending lags from 1 to {chain.n_steps}"
        )
    return chosen
