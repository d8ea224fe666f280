"""Independent ways to the same numbers, right and slow, that check the fast ones.

P_ℓ = J_T ⋯ J_{T−ℓ+1} multiplied out, with its scale beside it: the reference for ``lag_norms``.
Source: Golub & Van Loan (2013), section 5.4. Central differences of the loss, for ``bptt``:
∂E/∂θ_i ≈ (E(θ + s e_i) − E(θ − s e_i))/2s with s = ε^⅓ max(1, |θ_i|), where rounding and curvature
balance (Nocedal & Wright 2006, section 8.1). Good to about 1e-9, less at kinks.
"""

from dataclasses import dataclass
from functools import reduce

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.data.batch import Batch
from gradscope.errors import SettingError
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.jacobians.chain import Chain, step_shifts
from gradscope.jacobians.kernels.powers_of_two import LOG_2, rescaled
from gradscope.jacobians.lag_norms import LagNorms
from gradscope.jacobians.singular_values import singular_values
from gradscope.learning.losses import step_errors
from gradscope.machine import held_threads
from gradscope.model.cells import Cell
from gradscope.model.trajectory import unroll
from gradscope.notebook_repr import CompactRepr
from gradscope.progress import tracked

CUBE_ROOT_OF_EPSILON = float(np.finfo(np.float64).eps ** (1.0 / 3.0))

SWEEP_WORK, SMALL_QR = 3e9, 4e5
"""Operations that QR sweeps may take, three a step; what a small one costs beside its S³."""


def loss(params: Cell, batch: Batch) -> float:
    """Return E = Σ_t E_t on a batch."""
    outputs = unroll(params, batch.inputs, noise=batch.noise).outputs
    errors, _ = step_errors(outputs, batch.targets)
    return float(errors.sum())


def central_differences(params: Cell, batch: Batch, name: str, entries: IntArray) -> FloatArray:
    """Return ∂E/∂(entries of one weight array) on a batch, (n,).

    ``name`` is that of the array, ``entries`` (n,) flat indices; cost: two trajectories each.
    """
    weights = dict(params.weights())
    slopes = np.empty(entries.size)
    for index, entry in enumerate(tracked(entries, "entries")):
        here = weights[name].flat[entry]
        step = CUBE_ROOT_OF_EPSILON * max(1.0, abs(here))
        losses = []
        for moved in (here + step, here - step):
            array = weights[name].copy()
            array.flat[entry] = moved
            losses.append(loss(params.with_weights({**weights, name: array}), batch))
        slopes[index] = (losses[0] - losses[1]) / (2.0 * step)
    return slopes


def relative_deviation(one: FloatArray, other: FloatArray) -> float:
    """Return ‖one − other‖/‖other‖, the plain difference where the second is zero."""
    size = float(np.linalg.norm(other))
    return float(np.linalg.norm(one - other)) / (size if size > 0.0 else 1.0)


def product_transport(
    params: Cell, inputs: FloatArray, first_state: FloatArray | None = None
) -> FloatArray:
    """Return J_T ⋯ J_1 (S,S) along the first sequence of inputs (T,B,D) from s_0 (S,), else 0."""
    first = None if first_state is None else first_state[None]
    chain = cell_chain(params, unroll(params, inputs[:, :1], first))
    steps = range(chain.n_steps, 0, -1)
    return np.asarray(reduce(chain.vjp, steps, np.eye(chain.state_size)[None])[0])


def difference_transport(
    params: Cell, inputs: FloatArray, first_state: FloatArray | None = None
) -> FloatArray:
    """Return ∂s_T/∂s_0 (S,S), first sequence, by central differences at s_0 (S,), else 0."""
    size = params.state_size
    moves = CUBE_ROOT_OF_EPSILON * np.concatenate([np.eye(size), -np.eye(size)])
    if first_state is not None:
        moves += first_state
    last = unroll(params, np.repeat(inputs[:, :1], 2 * size, axis=1), moves).states[-1]
    columns: FloatArray = (last[:size] - last[size:]) / (2.0 * CUBE_ROOT_OF_EPSILON)
    return columns.T


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Verification(CompactRepr):
    """How far a second computation of chosen lags differs from a lag profile.

    ``lags`` (K,) in steps; ``deviations`` (K,B), the relative deviations of σ_max from that of the
    whole product, infinite where only one is zero. ``swept_lag`` is where σ_max was also found by
    QR sweeps (None: too costly), ``worst`` the largest deviation from either.
    """

    lags: IntArray
    deviations: FloatArray
    worst: float
    swept_lag: int | None = None


@held_threads()
def verify_lag_norms(chain: Chain, measured: LagNorms, *, count: int = 10) -> Verification:
    """Compute ``count`` lags of a measured profile, log-spaced from first to last, again from the
    whole product and its SVD, and the longest lag that ``SWEEP_WORK`` allows by QR sweeps: rounding
    may have swallowed a direction that later factors bring back, in both products alike. Shares no
    code with ``lag_norms`` but the dense Jacobians. Cost: one product of (S,S) matrices per lag and
    sequence. Raises SettingError if ``count`` is not 1 or more.
    """
    if count < 1:
        raise SettingError(f"the lags to verify are {count}; choose 1 or more")
    longest = measured.lags.size
    lags = np.unique(np.rint(np.geomspace(longest, 1, count)).astype(np.int64))
    found = []
    product: FloatArray = np.repeat(np.eye(chain.state_size)[None], chain.n_sequences, axis=0)
    exponents: IntArray = np.zeros(chain.n_sequences, dtype=np.int64)
    shifts = step_shifts(chain)
    for lag in range(1, longest + 1):
        product = product @ chain.jacobian(chain.n_steps - lag + 1)
        product, exponents = rescaled(product, exponents + shifts[-lag])
        if lag not in lags:
            continue
        sigma = np.linalg.svd(product, compute_uv=False)[:, 0].astype(np.float64)
        with np.errstate(divide="ignore"):
            exact = np.log(sigma) + exponents * LOG_2
        found.append(_deviation(measured.log_norms[lag - 1], exact))
    deviations = np.array(found)
    step_work = 3.0 * chain.n_sequences * (chain.state_size**3 + SMALL_QR)
    swept = min(longest, int(SWEEP_WORK / step_work))
    if not swept:
        return Verification(lags, deviations, float(deviations.max()))
    exact = singular_values(chain, [swept], count=1).log_values[0, :, 0]
    worst = np.maximum(deviations.max(), _deviation(measured.log_norms[swept - 1], exact).max())
    return Verification(lags, deviations, float(worst), swept)


def _deviation(claimed: FloatArray, exact: FloatArray) -> FloatArray:
    """Return |σ claimed/σ exact − 1| from both logarithms, infinite where one of them is zero."""
    with np.errstate(over="ignore", invalid="ignore"):
        apart = np.where(claimed == exact, 0.0, np.abs(np.expm1(claimed - exact)))
    return np.where(np.isneginf(claimed) & (exact > claimed), np.inf, apart)
