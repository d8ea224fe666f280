"""Chains of diagonal plus rank-one Jacobians: linear attention that corrects what it has stored.

A state matrix (S, values) that is multiplied from the left by J_t = diag(a_t) + u_t v_tᵀ has the
same Jacobian for each of its columns. DeltaNet (Yang et al. 2024, arXiv:2406.06484) has a = 1, u =
−β k, v = k; Gated DeltaNet (Yang et al. 2025, arXiv:2412.06464) a = α, u = −α β k; RWKV-7 (Peng et
al. 2025, arXiv:2503.14456) a = w, u = −α ∘ κ, v = κ.
"""

from dataclasses import dataclass

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.errors import ShapeError
from gradscope.jacobians.chain import MIN_EXPONENT, Chain, require_finite


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class DiagonalPlusRankOneChain(Chain):
    """The chain of J_t = diag(a_t) + u_t v_tᵀ; ``diagonal``, ``columns`` and ``rows`` (T,B,S) have
    a_t, u_t and v_t at ``[t-1]``, or what NumPy broadcasts to that, one decay for all channels.

    Raises ShapeError if shapes do not fit or a number is not finite.
    """

    diagonal: FloatArray
    columns: FloatArray
    rows: FloatArray

    def __post_init__(self) -> None:
        names = ("diagonal", "columns", "rows")
        given = [np.asarray(getattr(self, name), dtype=np.float64) for name in names]
        try:
            shape = np.broadcast_shapes(*(each.shape for each in given))
        except ValueError:
            shape = ()
        if len(shape) != 3 or 0 in shape:
            found = [each.shape for each in given]
            raise ShapeError(f"the factors have shapes {found}; give (T,B,S), each size 1 or more")
        for name, each in zip(names, given, strict=True):
            require_finite(each, f"the {name}")
            object.__setattr__(self, name, np.broadcast_to(each, shape))
        object.__setattr__(self, "_sizes", shape)

    def jacobian(self, step: int) -> FloatArray:
        """J_t, (B,S,S)."""
        at = step - 1
        dense: FloatArray = self.columns[at][:, :, None] * self.rows[at][:, None]
        dense += self.diagonal[at][:, :, None] * np.eye(self.state_size)
        return dense

    def vjp(self, rows: FloatArray, step: int) -> FloatArray:
        """Rows · J_t, at three multiplications per entry."""
        return _applied(
            rows, *(each[step - 1] for each in (self.diagonal, self.columns, self.rows))
        )

    def jvp(self, vectors: FloatArray, step: int) -> FloatArray:
        """J_t v."""
        return _applied(
            vectors, *(each[step - 1] for each in (self.diagonal, self.rows, self.columns))
        )

    def accumulate_vjp(
        self, rows: FloatArray | None, steps: IntArray, sequences: IntArray, out: FloatArray
    ) -> IntArray:
        """Rows · J_t · 2**−e over consecutive steps."""
        exponents = np.empty(steps.shape, dtype=np.int64)
        if rows is None:
            rows = np.broadcast_to(np.eye(self.state_size), out.shape[1:])
        for index, step in enumerate(steps):
            at = step - 1, sequences
            diagonal, column, row = self.diagonal[at], self.columns[at], self.rows[at]
            # |J| is at most |a| + |u| |v|, which it comes near to.
            largest = np.abs(diagonal).max(1) + np.abs(column).max(1) * np.abs(row).max(1)
            exponents[index] = np.maximum(np.frexp(largest)[1], MIN_EXPONENT)
            scale = np.ldexp(1.0, -exponents[index])[:, None]
            rows = _applied(rows, scale * diagonal, scale * column, row, out[index])
        return exponents


def _applied(
    rows: FloatArray,
    diagonal: FloatArray,
    column: FloatArray,
    row: FloatArray,
    out: FloatArray | None = None,
) -> FloatArray:
    """Return rows (N,r,S) · (diag(a) + u vᵀ) for a, u, v (N,S)."""
    along = rows @ column[:, :, None]
    found = np.multiply(rows, diagonal[:, None], out=out)
    found += along * row[:, None]
    return found
