"""P_ℓ = J_T ⋯ J_{T−ℓ+1} multiplied out, with its scale beside it: the reference for ``lag_norms``,
right to rounding, and slow. Source: Golub & Van Loan (2013), section 5.4.
"""

from dataclasses import dataclass

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.errors import SettingError
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.jacobians.chain import Chain
from gradscope.jacobians.kernels.powers_of_two import LOG_2, rescaled
from gradscope.jacobians.lag_norms import LagNorms
from gradscope.learning.differences import CUBE_ROOT_OF_EPSILON
from gradscope.model.cells import Cell
from gradscope.model.trajectory import unroll
from gradscope.notebook_repr import CompactRepr


def product_transport(
    params: Cell, inputs: FloatArray, first_state: FloatArray | None = None
) -> FloatArray:
    """Return J_T ⋯ J_1 (S,S) along the first sequence of inputs (T,B,D) from s_0 (S,), by default
    0.
    """
    first = None if first_state is None else first_state[None]
    chain = cell_chain(params, unroll(params, inputs[:, :1], first))
    rows: FloatArray = np.eye(chain.state_size)[None]
    for step in range(chain.n_steps, 0, -1):
        rows = chain.vjp(rows, step)
    product: FloatArray = rows[0]
    return product


def difference_transport(
    params: Cell, inputs: FloatArray, first_state: FloatArray | None = None
) -> FloatArray:
    """Return ∂s_T/∂s_0 (S,S) along the first sequence by central differences at s_0 (S,), by
    default 0; all moved states run as one batch, at the cost of 2S sequences.
    """
    size = params.state_size
    moves = CUBE_ROOT_OF_EPSILON * np.concatenate([np.eye(size), -np.eye(size)])
    if first_state is not None:
        moves += first_state
    last = unroll(params, np.repeat(inputs[:, :1], 2 * size, axis=1), moves).states[-1]
    columns: FloatArray = (last[:size] - last[size:]) / (2.0 * CUBE_ROOT_OF_EPSILON)
    transport: FloatArray = columns.T
    return transport


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Verification(CompactRepr):
    """How far a second computation of chosen lags differs from a lag profile.

    ``lags`` (K,) in steps; ``deviations`` (K,B), the relative deviations of σ_max as measured from
    σ_max of the whole product, infinite where only one of them is zero; ``worst``, the largest.
    """

    lags: IntArray
    deviations: FloatArray
    worst: float


def verify_lag_norms(chain: Chain, measured: LagNorms, *, count: int = 10) -> Verification:
    """Compute ``count`` lags of a measured profile, log-spaced from first to last, again from the
    whole product and its SVD. Shares no code with ``lag_norms`` but the dense Jacobians. Cost: one
    product of (S,S) matrices per lag and sequence. Raises SettingError if ``count`` is not 1 or
    more.
    """
    if count < 1:
        raise SettingError(f"the lags to verify are {count}; choose 1 or more")
    longest = measured.lags.size
    lags = np.unique(np.rint(np.geomspace(longest, 1, count)).astype(np.int64))
    deviations = np.empty((lags.size, chain.n_sequences))
    product: FloatArray = np.repeat(np.eye(chain.state_size)[None], chain.n_sequences, axis=0)
    exponents: IntArray = np.zeros(chain.n_sequences, dtype=np.int64)
    reached = 0
    for index, lag in enumerate(lags):
        # One lag further back: P_{ℓ+1} = P_ℓ J_{T−ℓ}.
        for back in range(reached, int(lag)):
            product = product @ chain.jacobian(chain.n_steps - back)
            product, exponents = rescaled(product, exponents)
        reached = int(lag)
        sigma = np.linalg.svd(product, compute_uv=False)[:, 0].astype(np.float64)
        with np.errstate(divide="ignore"):
            exact = np.log(sigma) + exponents * LOG_2
        claimed = measured.log_norms[lag - 1]
        both_zero = np.isneginf(exact) & np.isneginf(claimed)
        with np.errstate(over="ignore"):
            ratio = np.exp(np.where(both_zero, 0.0, claimed) - np.where(both_zero, 0.0, exact))
        deviations[index] = np.abs(ratio - 1.0)
        deviations[index, np.isneginf(claimed) & ~both_zero] = np.inf
    return Verification(lags, deviations, float(deviations.max()))
