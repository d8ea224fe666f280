"""∂E/∂W split by lag: what the errors say about the state ℓ steps before them.

C_ℓ = Σ_t (∂E_t/∂h_t) P_{t,t−ℓ} ∂⁺h_{t−ℓ}/∂W, ℓ = 0 … T−1, so that Σ_ℓ C_ℓ = ∂E/∂W exactly; the same
for U and b. Source: Pascanu, Mikolov & Bengio (2013), arXiv:1211.5063, equations 3 to 5. The
adjoint rows of all steps go back together (``kernels.adjoint_rows``): each lag costs one GEMM for
the VJP and one to sum. Rows and sums keep their scale as a power of two.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.data.batch import Targets
from gradscope.errors import SettingError
from gradscope.jacobians.adjoints import scaled_adjoints, scaled_entering_errors
from gradscope.jacobians.kernels.adjoint_rows import AdjointRows
from gradscope.jacobians.kernels.powers_of_two import LOG_2
from gradscope.learning.losses import step_errors
from gradscope.machine import held_threads
from gradscope.model.cells import Cell
from gradscope.model.trajectory import Trajectory
from gradscope.notebook_repr import CompactRepr
from gradscope.progress import tracked

MAX_OPERATIONS = 2e12
"""Multiplications and additions spent where no longest lag is given: about a minute of one core."""


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class GradientShares(CompactRepr):
    """The shares of the gradient by lag.

    ``lags`` (L,) are 0 … L − 1 in steps. ``log_norms`` maps "input_weights", "recurrent_weights"
    and "hidden_bias" to log ‖C_ℓ‖ (L,) in nats, −inf where nothing arrives; ``total`` maps them to
    Σ_ℓ C_ℓ over those lags. Over the three arrays together: ``log_partial_norms`` (L,) is log of
    ‖Σ_{ℓ'≤ℓ} C_ℓ'‖; ``cancellation`` (L,) is ‖Σ_{ℓ'≤ℓ} C_ℓ'‖ / Σ_{ℓ'≤ℓ} ‖C_ℓ'‖, 1 where the shares
    point the same way; ``truncation_errors`` (L,) is the relative error of the gradient whose
    errors are sent back over at most ℓ lags, from the exact gradient of one full sweep.
    """

    lags: IntArray
    log_norms: dict[str, FloatArray]
    total: dict[str, FloatArray]
    log_partial_norms: FloatArray
    cancellation: FloatArray
    truncation_errors: FloatArray

    def compact_fields(self) -> dict[str, Any]:
        """Return the number of lags, and the truncation length at the usual error."""
        return {"lags": self.lags.size, "truncation_length": self.truncation_length()}

    @property
    def norms(self) -> dict[str, FloatArray]:
        """‖C_ℓ‖ (L,) by array; 0 or inf where it leaves the range of floats."""
        with np.errstate(over="ignore"):
            return {name: np.exp(logs) for name, logs in self.log_norms.items()}

    def truncation_length(self, error: float = 0.05) -> int | None:
        """Return the smallest lag k (steps) from which on truncation keeps ∂E/∂(U, W, b) within the
        relative ``error``; None where the lags here do not reach far enough to tell. Raises
        SettingError if the error is not in (0, 1).
        """
        if not 0.0 < error < 1.0:
            raise SettingError(f"the error is {error}; choose a number between 0 and 1")
        too_large = np.flatnonzero(~(self.truncation_errors <= error))
        if not too_large.size:
            return 0
        k = int(too_large[-1]) + 1
        return k if k < self.lags.size else None


@held_threads()
def gradient_shares(
    params: Cell, trajectory: Trajectory, targets: Targets, *, max_lag: int | None = None
) -> GradientShares:
    """Split ∂E/∂U, ∂E/∂W and ∂E/∂b by lag.

    Cost: 2 B H (2H + D + 1) operations for every lag and every step with a target that reaches so
    far back; with one target, no more than a backward sweep. Memory: four trajectories.

    ``max_lag`` is the longest lag, 0 … T − 1, by default T − 1, or what ``MAX_OPERATIONS`` pay for.
    Raises SettingError for others, ShapeError if a slope or weight is not finite.
    """
    _, output_slopes = step_errors(trajectory.outputs, targets)
    weights = {name: each for name, each in params.weights() if not name.startswith("output_")}
    ends = np.cumsum([each.size for each in weights.values()]).tolist()
    gradient = _gradient(params, trajectory, targets, ends[-1])
    linearization = params.linearize(trajectory.cell_trajectory)
    rows = AdjointRows(linearization, *scaled_entering_errors(params, linearization, output_slopes))
    longest = _max_lag(max_lag, rows.steps, trajectory)
    so_far = _ScaledSum(ends[-1])
    shares = np.full((longest + 1, len(weights)), -np.inf)
    partial, errors = np.full((2, longest + 1), -np.inf)
    for lag in tracked(range(longest + 1), "shares by lag"):
        if rows.steps.size:
            local, exponent = rows.local_errors()
            share = linearization.weight_gradients(local, rows.window)
            so_far.add(_joined(share), exponent)
            shares[lag] = [_log_norm(share[name], exponent) for name in weights]
            rows.go_back()
        partial[lag] = so_far.log_norm()
        left = _ScaledSum(ends[-1])
        left.add(gradient.array, gradient.exponent)
        left.add(-so_far.array, so_far.exponent)
        errors[lag] = left.log_norm()
    sizes = np.logaddexp.accumulate(0.5 * np.logaddexp.reduce(2.0 * shares, axis=1))
    nothing, whole = np.isneginf(sizes), gradient.log_norm()
    with np.errstate(over="ignore"):
        total = np.split(np.ldexp(so_far.array, so_far.exponent), ends[:-1])
        lost = np.where(errors > whole, np.inf, 0)  # Of a gradient of zero.
        relative = np.exp(errors - whole) if np.isfinite(whole) else lost
    return GradientShares(
        lags=np.arange(partial.size),
        log_norms=dict(zip(weights, shares.T, strict=True)),
        total={n: part.reshape(weights[n].shape) for n, part in zip(weights, total, strict=True)},
        log_partial_norms=partial,
        cancellation=np.exp(partial - np.where(nothing, 0.0, sizes)) + nothing,
        truncation_errors=relative,
    )


def _joined(gradients: dict[str, FloatArray]) -> FloatArray:
    """Return the gradients of a linearization, which stand in the order of the weights, in one."""
    return np.concatenate([each.ravel() for each in gradients.values()])


def _max_lag(max_lag: int | None, steps: IntArray, trajectory: Trajectory) -> int:
    last = trajectory.n_steps - 1
    if max_lag is not None:
        if not 0 <= max_lag <= last:
            raise SettingError(f"the longest lag of the shares is {max_lag}; choose 0 to {last}")
        return max_lag
    n_hidden, n_inputs = trajectory.hidden.shape[2], trajectory.inputs.shape[2]
    # A VJP costs 2 B H² operations per lag and step, the sums for W, U and b 2 B H (H + D + 1).
    of_one = 2.0 * trajectory.n_sequences * n_hidden * (2 * n_hidden + n_inputs + 1)
    reaching = steps.size - np.searchsorted(steps, np.arange(last + 1), side="right")
    return max(int(np.sum(np.cumsum(reaching) * of_one <= MAX_OPERATIONS)) - 1, 0)


def _gradient(params: Cell, trajectory: Trajectory, targets: Targets, size: int) -> "_ScaledSum":
    """Return the exact gradient of one full backward sweep."""
    linearization = params.linearize(trajectory.cell_trajectory)
    local = np.empty((1, trajectory.n_sequences, linearization.local_size))
    total = _ScaledSum(size)
    for step, adjoints, exponents in scaled_adjoints(params, trajectory, targets):
        if step > 0 and adjoints.any():
            common = int(exponents[adjoints.any(axis=1)].max())
            rows = np.ldexp(adjoints, np.minimum(exponents - common, 0)[:, None])
            linearization.adjoints(rows, step - 1, local[0])
            gathered = linearization.weight_gradients(local, slice(step - 1, step))
            total.add(_joined(gathered), common)
    return total


def _log_norm(array: FloatArray, exponent: int) -> float:
    """Return log ‖array · 2**exponent‖ in nats, without squares that leave the range of floats."""
    largest = float(np.max(np.abs(array), initial=0.0))
    if largest == 0.0:
        return -np.inf
    return float(np.log(largest) + np.log(np.linalg.norm(array / largest)) + exponent * LOG_2)


class _ScaledSum:
    """A sum of arrays of any scale, as ``array`` times 2**``exponent``."""

    def __init__(self, size: int) -> None:
        self.array: FloatArray = np.zeros(size)
        self.exponent = 0

    def add(self, array: FloatArray, exponent: int) -> None:
        """Add array · 2**exponent at the scale of the larger of both."""
        if not array.any():
            return
        common = max(self.exponent, exponent) if self.array.any() else exponent
        self.array = np.ldexp(self.array, self.exponent - common)
        self.array += np.ldexp(array, exponent - common)
        self.exponent = common

    def log_norm(self) -> float:
        """Log of the Frobenius norm, nats."""
        return _log_norm(self.array, self.exponent)
