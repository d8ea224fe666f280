"""Backpropagation through time, exact and by hand, for every cell.

With g_t = (∂E_t/∂y_t) V the error that enters at step t, the hidden adjoints δ_t = ∂E/∂h_t of a
vanilla RNN obey

    δ_t = g_t + (δ_{t+1} ∘ φ′(a_{t+1})) W,        δ_0 = (δ_1 ∘ φ′(a_1)) W,

and with ε_t = δ_t ∘ φ′(a_t) = ∂E/∂a_t, its local adjoint,

    ∂E/∂W = Σ_t ε_tᵀ h_{t−1},        ∂E/∂U = Σ_t ε_tᵀ x_t,        ∂E/∂b = Σ_t ε_t,
    ∂E/∂V = Σ_t (∂E_t/∂y_t)ᵀ h_t,    ∂E/∂c = Σ_t ∂E_t/∂y_t.

Any other cell has the same sweep over its whole state: the VJP of its ``Linearization`` takes δ
back one step and records the local adjoints on the way. One GEMM per step takes δ back, one per
weight matrix makes the sums over t. Truncation at k sends each step's error back over at most k
lags: the same Σ over lags ℓ = 0 … k that ``jacobians.shares`` splits the gradient into, not a cut
into blocks. Source: Werbos (1990), Proc. IEEE 78(10); truncation BPTT(h) as in Williams & Peng
(1990), Neural Computation 2(4).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.data.batch import Targets
from gradscope.learning.losses import step_errors
from gradscope.model.cells import Cell, Linearization
from gradscope.model.trajectory import Trajectory
from gradscope.notebook_repr import CompactRepr


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Gradients(CompactRepr):
    """The loss, its gradient for every weight, and every hidden adjoint.

    ``loss`` is E = Σ_t E_t; ``step_errors`` (T,) are the E_t; ``weights`` maps the names of
    the weights to ∂E/∂(that array), of its shape; ``hidden_adjoints`` (T+1,B,S) holds ∂E/∂s_t at
    ``[t]``, s_t the whole state (of a vanilla RNN h_t).
    """

    loss: float
    step_errors: FloatArray
    weights: dict[str, FloatArray]
    hidden_adjoints: FloatArray

    @property
    def norm(self) -> float:
        """Global norm of ∂E/∂θ over all weights; finite wherever every entry is."""
        return global_norm(self.weights)


def global_norm(weights: dict[str, FloatArray]) -> float:
    """Return the Euclidean norm over all arrays together, without overflow of the squares."""
    # Divided by the largest entry first, since the square of 1e200 is infinite.
    largest = max(float(np.max(np.abs(each), initial=0.0)) for each in weights.values())
    if largest == 0.0 or not np.isfinite(largest):
        return largest
    return largest * float(
        np.sqrt(sum(np.sum(np.square(each / largest)) for each in weights.values()))
    )


def backpropagate(
    params: Cell, trajectory: Trajectory, targets: Targets, *, truncation: int | None = None
) -> Gradients:
    """Return the exact gradient of E = Σ_t E_t, given the network's trajectory over a batch.

    ``truncation`` is the longest lag, in steps, over which an error is sent back; all by default.
    The cost of a truncated sweep is that of ``truncation`` full ones, made as GEMMs over all steps
    at once. Raises ShapeError if outputs and targets differ in shape.
    """
    errors, output_slopes = step_errors(trajectory.outputs, targets)
    with np.errstate(over="ignore", invalid="ignore"):
        linearization = params.linearize(trajectory.cell_trajectory)
        if truncation is None or truncation >= trajectory.n_steps:
            adjoints, local = _sweep(params, linearization, output_slopes)
        else:
            entering = entering_errors(params, linearization, output_slopes)
            adjoints, local = _truncated_sweep(linearization, entering, truncation)
        weights = linearization.weight_gradients(local, slice(trajectory.n_steps))
        flat = output_slopes.reshape(-1, output_slopes.shape[2])
        weights["output_weights"] = flat.T @ trajectory.hidden[1:].reshape(flat.shape[0], -1)
        weights["output_bias"] = flat.sum(axis=0)
    return Gradients(float(errors.sum()), errors, weights, adjoints)


def entering_errors(
    params: Cell, linearization: Linearization, output_slopes: FloatArray
) -> FloatArray:
    """Return (∂E_t/∂y_t) ∂y_t/∂s_t (T,B,S), the error that enters the state at its own step."""
    flat = output_slopes.reshape(-1, output_slopes.shape[2]) @ params.output_weights
    return linearization.enter(flat.reshape(*output_slopes.shape[:2], -1))


def _sweep(
    params: Cell, linearization: Linearization, output_slopes: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return δ (T+1,B,S) and the local adjoints (T,B,G) of the full backward sweep."""
    n_steps, n_sequences, _ = output_slopes.shape
    adjoints = np.zeros((n_steps + 1, n_sequences, params.state_size))
    adjoints[1:] = entering_errors(params, linearization, output_slopes)
    local = np.empty((n_steps, n_sequences, linearization.local_size))
    for step in range(n_steps, 0, -1):
        adjoints[step - 1] += linearization.vjp(adjoints[step], step - 1, local[step - 1])
    return adjoints, local


def adjoints_by_lag(
    linearization: Linearization, entering: FloatArray, max_lag: int
) -> Iterator[tuple[int, FloatArray]]:
    """Yield for ℓ = 0 … max_lag (ℓ, the adjoints g_t P_{t,t−ℓ} of all errors t = ℓ … T at once).

    For ℓ ≥ 1 rows (T−ℓ+1,B,S), row i belonging to s_i; for ℓ = 0 rows (T,B,S) belong to s_1 … s_T.
    Cost: one GEMM of T·B rows per lag.
    """
    rows = entering
    yield 0, rows
    for lag in range(1, max_lag + 1):
        # Errors t = lag … T are at s_{t−lag+1}, one step ahead of where they go now; those at s_0,
        # row 0 from lag 1 on, have no step before them.
        later = rows if lag == 1 else rows[1:]
        local = np.empty((*later.shape[:2], linearization.local_size))
        rows = linearization.vjp(later, slice(later.shape[0]), local)
        yield lag, rows


def _truncated_sweep(
    linearization: Linearization, entering: FloatArray, truncation: int
) -> tuple[FloatArray, FloatArray]:
    """Return δ and the local adjoints, each step's error sent back over ``truncation`` lags."""
    n_steps, n_sequences, size = entering.shape
    adjoints = np.zeros((n_steps + 1, n_sequences, size))
    for lag, rows in adjoints_by_lag(linearization, entering, truncation):
        reached = adjoints[1:] if lag == 0 else adjoints[: rows.shape[0]]
        reached += rows
    local = np.empty((n_steps, n_sequences, linearization.local_size))
    linearization.vjp(adjoints[1:], slice(n_steps), local)
    return adjoints, local
