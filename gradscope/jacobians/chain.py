"""The chain of Jacobians along one trajectory.

One step has J_t = ∂h_t/∂h_{t−1}, rows the later state. The chain keeps the factors, for a vanilla
RNN the slopes (T,B,H) and W (H,H) of J_t = (1−α) I + α diag(φ′(a_t)) W, never the products, which
live in ``lag_norms``. Source: Pascanu, Mikolov & Bengio (2013), arXiv:1211.5063, section 2.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.errors import SettingError, ShapeError
from gradscope.jacobians.kernels.powers_of_two import LOG_2
from gradscope.model.cells import Cell, product
from gradscope.model.elman import ElmanParameters, checked_leak, has_leak, with_kept
from gradscope.model.trajectory import Trajectory
from gradscope.names import StateName
from gradscope.notebook_repr import CompactRepr


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Chain(CompactRepr, ABC):
    """What every chain can do, however it keeps its factors; steps t count from 1."""

    _sizes: tuple[int, ...] = field(init=False, repr=False)

    @property
    def n_steps(self) -> int:
        """T."""
        return self._sizes[0]

    @property
    def n_sequences(self) -> int:
        """B."""
        return self._sizes[1]

    @property
    def state_size(self) -> int:
        """S."""
        return self._sizes[2]

    @abstractmethod
    def jacobian(self, step: int) -> FloatArray:
        """J_t, (B,S,S), rows the later state."""

    @abstractmethod
    def vjp(self, rows: FloatArray, step: int) -> FloatArray:
        """VJP: row vectors (B,r,S) at h_t back to h_{t−1}, rows · J_t."""

    @abstractmethod
    def jvp(self, vectors: FloatArray, step: int) -> FloatArray:
        """JVP: vectors (B,r,S) at h_{t−1}, one per row, forward to h_t, J_t v."""

    @abstractmethod
    def accumulate_vjp(
        self, rows: FloatArray | None, steps: IntArray, sequences: IntArray, out: FloatArray
    ) -> IntArray:
        """VJPs over m consecutive steps: the inner loop of every product of Jacobians.

        ``rows`` (N,r,S) are those of N products (None: the identity), ``steps`` (m,N) the step t of
        each factor, which may differ between products, ``sequences`` (N,) the sequence of each.
        ``out`` (m,N,r,S) is contiguous and apart from ``rows``; ``out[i]`` becomes ``out[i−1] · J ·
        2**−e``, ``out[−1]`` being ``rows``. Returns the exponents e (m,N), chosen so that the
        entries of J · 2**−e are at most 1 (2 with a leak) and near it.
        """


def require_finite(array: FloatArray, name: str) -> None:
    """Refuse an array that holds a number which is not finite."""
    if not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ShapeError(f"{name} hold {array[where]} at {list(where)}; give finite numbers")


# No slope is taken to be smaller: sums of so many stay integers (int64).
LEAST_SHIFT = -(2**50)
# Factors smaller than 2**−700 stay as they are: 2**−e, and the product of two, must not overflow.
MIN_EXPONENT = -700


def _exponents(array: FloatArray, axis: int | tuple[int, ...]) -> IntArray:
    """Return the exponent e of the largest entry along axes, max|array| in [½, 1) · 2**e."""
    exponents = np.frexp(np.max(np.abs(array), axis=axis))[1]
    return np.asarray(np.maximum(exponents, MIN_EXPONENT), dtype=np.int64)


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class ElmanChain(Chain):
    """The chain of a (leaky) vanilla RNN: J_t = (1−α) I + α diag(slopes_t) W.

    ``slopes`` (T,B,H) has φ′(a_t) at ``[t-1]``; ``recurrent_weights`` (H,H) is W; ``leak`` is α in
    (0, 1], of all units or (H,) of each; ``slope_ceiling`` is γ = max φ′, 1 for tanh, 1/4 for
    sigmoid, which only ``causes`` reads; ``shifts`` (T,B), 0 by default, are powers of two to
    multiply every slope of a step by, where all are too small for floats: methods leave it out.

    Raises ShapeError if shapes do not fit or a factor is not finite, SettingError for another leak.
    """

    slopes: FloatArray
    recurrent_weights: FloatArray
    leak: float | FloatArray = 1.0
    slope_ceiling: float = 1.0
    shifts: IntArray | None = None
    _weight_exponent: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "slopes", np.asarray(self.slopes, dtype=np.float64))
        weights = np.asarray(self.recurrent_weights, dtype=np.float64)
        object.__setattr__(self, "recurrent_weights", weights)
        if self.slopes.ndim != 3 or weights.shape != (self.slopes.shape[-1],) * 2:
            raise ShapeError(
                f"slopes have shape {self.slopes.shape}, W {weights.shape}; give (T,B,H) and (H,H)"
            )
        if 0 in self.slopes.shape:
            raise ShapeError(f"slopes have shape {self.slopes.shape}; each size must be 1 or more")
        object.__setattr__(self, "leak", checked_leak(self.leak, weights.shape[0]))
        require_finite(self.slopes, "the slopes")
        require_finite(weights, "the entries of W")
        object.__setattr__(self, "_weight_exponent", int(_exponents(weights, (0, 1))))
        object.__setattr__(self, "_sizes", self.slopes.shape)

    def jacobian(self, step: int) -> FloatArray:
        """J_t, (B,H,H)."""
        gains = self.leak * self.slopes[step - 1]
        dense: FloatArray = gains[:, :, None] * self.recurrent_weights
        if has_leak(self.leak):
            dense += (1.0 - self.leak) * np.eye(self.state_size)
        return dense

    def vjp(self, rows: FloatArray, step: int) -> FloatArray:
        """Rows · J_t as one flat GEMM over all sequences."""
        scaled = rows * (self.leak * self.slopes[step - 1])[:, None, :]
        return with_kept(product(scaled, self.recurrent_weights), rows, self.leak)

    def jvp(self, vectors: FloatArray, step: int) -> FloatArray:
        """J_t v as one flat GEMM over all sequences."""
        carried = product(vectors, self.recurrent_weights.T)
        carried *= (self.leak * self.slopes[step - 1])[:, None, :]
        return with_kept(carried, vectors, self.leak)

    def stages(self, vectors: FloatArray, step: int) -> dict[str, FloatArray]:
        """J_t v with every slope at its ceiling, and as it is; ``shifts`` are left out."""
        driven = self.leak * self.slope_ceiling * product(vectors, self.recurrent_weights.T)
        ceiling = with_kept(driven, vectors, self.leak)
        return {"ceiling": ceiling, "saturation": self.jvp(vectors, step)}

    def accumulate_vjp(
        self, rows: FloatArray | None, steps: IntArray, sequences: IntArray, out: FloatArray
    ) -> IntArray:
        """Rows · J_t · 2**−e over consecutive steps, each one flat GEMM over all rows."""
        # The exponent of |J_t| is known without J_t, from max α φ′ · max|W| and 1 − α; scaling the
        # slopes by it before the GEMM is exact, and costs H numbers where J_t has H².
        held, leaks = np.asarray(1.0 - self.leak), has_leak(self.leak)
        factors = self.leak * self.slopes[steps - 1, sequences]
        exponents = _exponents(factors, 2) + self._weight_exponent
        if leaks:
            exponents = np.maximum(exponents, np.frexp(held.max())[1])
        factors = np.ldexp(factors, -exponents[..., None])
        held_rows = np.ldexp(held, -exponents[..., None])
        scaled = np.empty_like(out[0])
        flat = scaled.reshape(-1, self.state_size)
        for index, factor in enumerate(factors):
            if rows is None:
                # The identity times J is J itself: no GEMM for the first lag.
                rows = np.multiply(factor[:, :, None], self.recurrent_weights, out=out[index])
                if leaks:
                    rows += held_rows[index, :, :, None] * np.eye(self.state_size)
                continue
            np.multiply(rows, factor[:, None], out=scaled)
            np.matmul(flat, self.recurrent_weights, out=out[index].reshape(flat.shape))
            if leaks:
                out[index] += held_rows[index, :, None, :] * rows
            rows = out[index]
        return exponents if self.shifts is None else exponents + self.shifts[steps - 1, sequences]


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class DenseChain(Chain):
    """Explicit Jacobians (T,B,S,S), J_t at ``[t-1]``; ShapeError if not square, or not finite."""

    jacobians: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "jacobians", np.asarray(self.jacobians, dtype=np.float64))
        shape = self.jacobians.shape
        if len(shape) != 4 or shape[2] != shape[3] or 0 in shape:
            raise ShapeError(f"Jacobians have shape {shape}; give (T,B,S,S), each size 1 or more")
        require_finite(self.jacobians, "the Jacobians")
        object.__setattr__(self, "_sizes", shape[:3])

    def jacobian(self, step: int) -> FloatArray:
        """J_t, (B,S,S)."""
        return np.array(self.jacobians[step - 1])

    def vjp(self, rows: FloatArray, step: int) -> FloatArray:
        """Rows · J_t, one GEMM per sequence."""
        return np.asarray(rows @ self.jacobians[step - 1])

    def jvp(self, vectors: FloatArray, step: int) -> FloatArray:
        """J_t v, one GEMM per sequence."""
        return np.asarray(vectors @ self.jacobians[step - 1].swapaxes(1, 2))

    def accumulate_vjp(
        self, rows: FloatArray | None, steps: IntArray, sequences: IntArray, out: FloatArray
    ) -> IntArray:
        """Rows · J_t · 2**−e over consecutive steps, one GEMM per sequence."""
        exponents = np.empty(steps.shape, dtype=np.int64)
        for index, step in enumerate(steps):
            factors = self.jacobians[step - 1, sequences]
            exponents[index] = _exponents(factors, (1, 2))
            factors *= np.ldexp(1.0, -exponents[index])[:, None, None]
            if rows is None:
                out[index], rows = factors, out[index]
            else:
                rows = np.matmul(rows, factors, out=out[index])
        return exponents


def elman_chain(params: Cell, trajectory: Trajectory) -> ElmanChain:
    """Return the chain of a vanilla RNN; SettingError for another cell or state."""
    if not isinstance(params, ElmanParameters) or params.state is StateName.PRE:
        raise SettingError("only a vanilla RNN's state after φ has an ElmanChain; take cell_chain")
    slopes, log_slope, shifts = trajectory.slopes, params.activation.log_slope, None
    lost = np.abs(slopes).max(axis=2) < np.finfo(np.float64).tiny
    if log_slope is not None and not has_leak(params.leak) and lost.any():
        # No slope of the step is zero, but all are below the floats: the largest becomes nearly 1.
        # (With a leak what the state keeps is larger by far, and nothing is lost.)
        logs = log_slope(trajectory.cell_trajectory.candidates[lost])
        shifts = np.zeros(lost.shape, dtype=np.int64)
        shifts[lost] = np.maximum(np.ceil(logs.max(axis=1) / LOG_2), LEAST_SHIFT)
        sizes = np.exp(logs - LOG_2 * shifts[lost][:, None])
        slopes[lost] = np.copysign(sizes, slopes[lost])  # Of -0.0 too
    return ElmanChain(
        slopes=slopes,
        recurrent_weights=params.recurrent_weights,
        leak=params.leak,
        slope_ceiling=params.activation.slope_ceiling,
        shifts=shifts,
    )


def step_shifts(chain: Chain) -> IntArray:
    """Return the power of two (T,B) that each J_t is to be multiplied by: ``shifts``, or 0."""
    if isinstance(chain, ElmanChain) and chain.shifts is not None:
        return chain.shifts
    return np.zeros((chain.n_steps, chain.n_sequences), dtype=np.int64)
