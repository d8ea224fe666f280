"""Adjoint rows g_t P_{t,t−ℓ} of every step t with an error g_t, at one lag ℓ after the other.

One VJP per lag takes the rows of all steps and sequences back together, as one GEMM. Their scale is
kept as powers of two: one for all while they are of comparable size, else one for each row.
"""

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.model.cells import Linearization

WIDEST_RANGE = 300
"""Powers of two between the largest and smallest row of one scale: their products still fit."""

MAX_BITS = 20
"""Powers of two that a row may gain or lose before it is rescaled; float64 has 1022 below 1, which
one step alone may take."""


class AdjointRows:
    """Rows of the steps t with an error, ``steps`` (K,), ascending, that are not past s_0 yet; at
    lag ℓ the row of step t belongs to s_{t−ℓ}, and it leaves when t = ℓ.
    """

    def __init__(
        self, linearization: Linearization, entering: FloatArray, scales: IntArray
    ) -> None:
        """Start at lag 0 from the errors (T,B,S), times 2**scales (T,), that enter at each step."""
        self.steps: IntArray = np.flatnonzero(entering.any(axis=(1, 2))) + 1
        self._linearization = linearization
        self._rows: FloatArray = entering[self.steps - 1]
        self._next_rows = self._rows
        self._local = np.empty((*self._rows.shape[:2], linearization.local_size))
        self._placed: IntArray = np.full(self._rows.shape[:2], -2 * MAX_BITS, dtype=np.int64)
        self._exponents: IntArray = np.zeros_like(self._placed) + scales[self.steps - 1][:, None]
        self._lag = 0
        self._rescale()

    @property
    def window(self) -> slice | IntArray:
        """Where the steps t − ℓ stand in arrays (T,…): a slice where the steps t are adjacent."""
        first, last = int(self.steps[0]), int(self.steps[-1])
        if last - first + 1 == self.steps.size:
            return slice(first - self._lag - 1, last - self._lag)
        return self.steps - self._lag - 1

    def local_errors(self) -> tuple[FloatArray, int]:
        """Return (ε, e): ε · 2**e (K,B,G) are the local adjoints of step t − ℓ (Elman: rows·φ′)."""
        local = self._local[-self.steps.size :]
        self._next_rows = self._linearization.vjp(self._rows, self.window, local)
        alive = self._rows.any(axis=2) if self._exponents.any() else None
        if alive is None or not alive.any():
            return local, 0
        common = int(self._exponents[alive].max())
        if (self._exponents == common).all():
            return local, common
        # At the scale of the largest row; what underflows there is lost in any sum with that row.
        weights = np.ldexp(1.0, np.minimum(self._exponents - common, 0))
        return local * weights[:, :, None], common

    def go_back(self) -> None:
        """Go one lag further back; call after ``local_errors``, which makes the next rows."""
        self._rows = self._next_rows
        self._lag += 1
        leaving = int(np.searchsorted(self.steps, self._lag, side="right"))
        if leaving:
            self.steps = self.steps[leaving:]
            self._rows, self._exponents = self._rows[leaving:], self._exponents[leaving:]
            self._placed = self._placed[leaving:]
        if self.steps.size:
            self._rescale()

    def _rescale(self) -> None:
        """Give each row a scale near its own, or all the same where they are of comparable size,
        once one has moved by ``MAX_BITS``.
        """
        largest = np.max(np.abs(self._rows), axis=2)
        alive = largest > 0.0
        if not alive.any():
            self.steps = self.steps[:0]
            return
        moved = np.frexp(largest)[1].astype(np.int64)
        if np.abs(moved - self._placed)[alive].max() <= MAX_BITS:
            return
        sizes = self._exponents + moved
        low, high = int(sizes[alive].min()), int(sizes[alive].max())
        # One common scale costs nothing later, since a sum of rows then needs no weights.
        target = np.where(alive, sizes if high - low > WIDEST_RANGE else high, high)
        shift = self._exponents - target
        np.ldexp(self._rows, shift[:, :, None], out=self._rows)
        self._exponents = target
        self._placed = moved + shift
