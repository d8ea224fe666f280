"""Backpropagation through time, exact and by hand.

With g_t = (∂E_t/∂y_t) V the error that enters at step t, the hidden adjoints δ_t = ∂E/∂h_t obey

    δ_t = g_t + (δ_{t+1} ∘ φ′(a_{t+1})) W,        δ_0 = (δ_1 ∘ φ′(a_1)) W,

and with ε_t = δ_t ∘ φ′(a_t) = ∂E/∂a_t

    ∂E/∂W = Σ_t ε_tᵀ h_{t−1},        ∂E/∂U = Σ_t ε_tᵀ x_t,        ∂E/∂b = Σ_t ε_t,
    ∂E/∂V = Σ_t (∂E_t/∂y_t)ᵀ h_t,    ∂E/∂c = Σ_t ∂E_t/∂y_t.

One GEMM a step carries δ back, one per weight matrix gathers the sums. Truncation at k sends each
step's error back over at most k lags: the same Σ over lags ℓ = 0 … k that ``jacobians.shares``
splits the gradient into, not a cut into blocks. Source: Werbos (1990), Proc. IEEE 78(10);
truncation BPTT(h) as in Williams & Peng (1990), Neural Computation 2(4).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.data.sequences import Targets
from gradscope.learning.losses import step_errors
from gradscope.model.cells import ElmanParameters
from gradscope.model.trajectory import Trajectory


@dataclass(frozen=True, eq=False, slots=True)
class Gradients:
    """The loss, its gradient for every weight, and every hidden adjoint.

    ``loss`` is E = Σ_t E_t; ``step_errors`` (T,) are the E_t; ``weights`` maps the names in
    ``model.cells.WEIGHT_NAMES`` to ∂E/∂(that array), of its shape; ``hidden_adjoints`` (T+1,B,H)
    holds ∂E/∂h_t at ``[t]``.
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
    largest = max(float(np.max(np.abs(each), initial=0.0)) for each in weights.values())
    if largest == 0.0 or not np.isfinite(largest):
        return largest
    return largest * float(
        np.sqrt(sum(np.sum(np.square(each / largest)) for each in weights.values()))
    )


def backpropagate(
    params: ElmanParameters,
    trajectory: Trajectory,
    targets: Targets,
    *,
    truncation: int | None = None,
) -> Gradients:
    """Return the exact gradient of E = Σ_t E_t.

    Parameters
    ----------
    params : ElmanParameters
        The network.
    trajectory : Trajectory
        Its course over a batch, from ``model.trajectory.unroll``.
    targets : Targets
        What its outputs were to be.
    truncation : int, optional
        Longest lag, in steps, over which an error is sent back; all by default. The cost of a
        truncated sweep is that of ``truncation`` full ones, made as GEMMs over all steps at once.

    Returns
    -------
    Gradients

    Raises
    ------
    ShapeError
        If outputs and targets differ in shape.
    """
    errors, output_slopes = step_errors(trajectory.outputs, targets)
    slopes = trajectory.slopes
    with np.errstate(over="ignore", invalid="ignore"):
        if truncation is None or truncation >= trajectory.n_steps:
            adjoints, local = _sweep(params, slopes, output_slopes)
        else:
            adjoints, local = _truncated_sweep(params, slopes, output_slopes, truncation)
        weights = weight_gradients(trajectory, local)
        flat = output_slopes.reshape(-1, output_slopes.shape[2])
        weights["output_weights"] = flat.T @ trajectory.hidden[1:].reshape(flat.shape[0], -1)
        weights["output_bias"] = flat.sum(axis=0)
    return Gradients(float(errors.sum()), errors, weights, adjoints)


def weight_gradients(trajectory: Trajectory, local: FloatArray) -> dict[str, FloatArray]:
    """Gather ∂E/∂U, ∂E/∂W and ∂E/∂b from ε_t = ∂E/∂a_t (N,B,H) at the first N steps."""
    n_steps = local.shape[0]
    rows = local.reshape(-1, local.shape[2])
    return {
        "input_weights": rows.T @ trajectory.inputs[:n_steps].reshape(rows.shape[0], -1),
        "recurrent_weights": rows.T @ trajectory.hidden[:n_steps].reshape(rows.shape[0], -1),
        "hidden_bias": rows.sum(axis=0),
    }


def entering_errors(params: ElmanParameters, output_slopes: FloatArray) -> FloatArray:
    """Return g_t = (∂E_t/∂y_t) V (T,B,H), the error that enters the state at its own step."""
    flat = output_slopes.reshape(-1, output_slopes.shape[2]) @ params.output_weights
    return flat.reshape(*output_slopes.shape[:2], -1)


def _sweep(
    params: ElmanParameters, slopes: FloatArray, output_slopes: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return δ (T+1,B,H) and ε (T,B,H) of the full backward sweep."""
    n_steps = slopes.shape[0]
    adjoints = np.zeros((n_steps + 1, *slopes.shape[1:]))
    adjoints[1:] = entering_errors(params, output_slopes)
    local = np.empty_like(slopes)
    for step in range(n_steps, 0, -1):
        np.multiply(adjoints[step], slopes[step - 1], out=local[step - 1])
        adjoints[step - 1] += local[step - 1] @ params.recurrent_weights
    return adjoints, local


def adjoints_by_lag(
    params: ElmanParameters, slopes: FloatArray, output_slopes: FloatArray, max_lag: int
) -> Iterator[tuple[int, FloatArray]]:
    """Yield for ℓ = 0 … max_lag the adjoints g_t P_{t,t−ℓ} of all anchors t = ℓ … T at once.

    Each item is ``(ℓ, rows)`` with rows (T−ℓ+1,B,H) for ℓ ≥ 1, row i belonging to the state h_i, i
    = 0 … T−ℓ; for ℓ = 0 rows (T,B,H) belong to h_1 … h_T. Cost: one GEMM of T·B rows a lag.
    """
    n_steps, _, n_hidden = slopes.shape
    rows = entering_errors(params, output_slopes)
    yield 0, rows
    for lag in range(1, max_lag + 1):
        # Anchors t = lag … T stand at their states h_{t−lag+1}, one step ahead of where they go
        # now.
        anchors = rows if lag == 1 else rows[1:]
        local = anchors * slopes[: n_steps - lag + 1]
        flat = local.reshape(-1, n_hidden) @ params.recurrent_weights
        rows = flat.reshape(local.shape)
        yield lag, rows


def _truncated_sweep(
    params: ElmanParameters, slopes: FloatArray, output_slopes: FloatArray, truncation: int
) -> tuple[FloatArray, FloatArray]:
    """Return δ and ε with the errors of each step sent back over at most ``truncation`` lags."""
    adjoints = np.zeros((slopes.shape[0] + 1, *slopes.shape[1:]))
    for lag, rows in adjoints_by_lag(params, slopes, output_slopes, truncation):
        if lag == 0:
            adjoints[1:] += rows
        else:
            adjoints[: rows.shape[0]] += rows
    return adjoints, adjoints[1:] * slopes
