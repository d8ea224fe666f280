"""Backpropagation through time, exact and by hand, for every cell.

With the error g_t = (∂E_t/∂y_t) V entering at step t, adjoints δ_t = ∂E/∂h_t of a vanilla RNN obey

    δ_t = g_t + (δ_{t+1} ∘ φ′(a_{t+1})) W,        δ_0 = (δ_1 ∘ φ′(a_1)) W,

and with ε_t = δ_t ∘ φ′(a_t) = ∂E/∂a_t, its local adjoint,

    ∂E/∂W = Σ_t ε_tᵀ h_{t−1},        ∂E/∂U = Σ_t ε_tᵀ x_t,        ∂E/∂b = Σ_t ε_t,
    ∂E/∂V = Σ_t (∂E_t/∂y_t)ᵀ h_t,    ∂E/∂c = Σ_t ∂E_t/∂y_t.

Any other cell has the same sweep over its whole state: the VJP of its ``Linearization`` takes δ
back one step and records the local adjoints on the way. One GEMM a step takes δ back, one a matrix
sums over t. Truncation at k sends each step's error back over at most k lags: the same Σ over lags
ℓ = 0 … k that ``jacobians.shares`` splits the gradient into, not a cut into blocks. Source: Werbos
(1990), Proc. IEEE 78(10); truncation BPTT(h) as in Williams & Peng (1990), Neural Computation 2(4).
"""

from dataclasses import dataclass

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.data.batch import Targets
from gradscope.learning.losses import step_errors
from gradscope.machine import held_threads
from gradscope.model.cells import Cell, Linearization, outer_sum, product
from gradscope.model.trajectory import Trajectory
from gradscope.notebook_repr import CompactRepr


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Gradients(CompactRepr):
    """The loss, its gradient for every weight, and every hidden adjoint.

    ``loss`` is E = Σ_t E_t; ``step_errors`` (T,) are the E_t; ``weights`` maps the names of
    the weights to ∂E/∂(that array), of its shape; ``hidden_adjoints`` (T+1,B,S) holds ∂E/∂s_t at
    ``[t]``, s_t the whole state (of a vanilla RNN h_t). ``omega`` is Ω where it has a part.
    """

    loss: float
    step_errors: FloatArray
    weights: dict[str, FloatArray]
    hidden_adjoints: FloatArray
    omega: float | None = None

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


@held_threads()
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
        entering = entering_errors(params, linearization, output_slopes)
        adjoints, local = sent_back(linearization, entering, truncation)
        weights = linearization.weight_gradients(local, slice(trajectory.n_steps))
        if "output_weights" in params.weight_names:
            weights["output_weights"] = outer_sum(output_slopes, trajectory.hidden[1:])
            weights["output_bias"] = output_slopes.sum(axis=(0, 1))
    return Gradients(float(errors.sum()), errors, weights, adjoints)


def entering_errors(
    params: Cell, linearization: Linearization, output_slopes: FloatArray
) -> FloatArray:
    """Return (∂E_t/∂y_t) ∂y_t/∂s_t (T,B,S), the error that enters the state at its own step."""
    return linearization.enter(product(output_slopes, params.output_weights))


def sent_back(
    linearization: Linearization, entering: FloatArray, truncation: int | None
) -> tuple[FloatArray, FloatArray]:
    """Return δ (T+1,B,S) and the local adjoints (T,B,G), each step's error sent back to the start,
    or over ``truncation`` lags, those of all steps at once: one GEMM of T·B rows per lag.
    """
    n_steps, n_sequences, size = entering.shape
    adjoints = np.zeros((n_steps + 1, n_sequences, size))
    adjoints[1:] = entering
    local = np.empty((n_steps, n_sequences, linearization.local_size))
    if truncation is None or truncation >= n_steps:
        for step in range(n_steps, 0, -1):
            adjoints[step - 1] += linearization.vjp(adjoints[step], step - 1, local[step - 1])
        return adjoints, local
    rows = entering
    for lag in range(1, truncation + 1):
        # The rows are at s_1 … s_n and go to s_0 … s_{n−1}; from s_0 there is no step back.
        n = n_steps - lag + 1
        rows = linearization.vjp(rows[-n:], slice(n), local[:n])
        adjoints[:n] += rows
    linearization.adjoints(adjoints[1:], slice(n_steps), local)
    return adjoints, local
