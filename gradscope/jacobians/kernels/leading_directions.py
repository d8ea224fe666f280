"""The direction at h_{T−ℓ} that ∂h_T/∂h_{T−ℓ} stretches most, at one lag after the other.

Of P_ℓ = L R + E, L orthonormal, no more than R (r,S) is kept (``rank_adaptive`` has the argument).
The leading left vectors belong to the last steps, which all lags share: a block of four of them
starts the subspace iteration for the next direction, v = Rᵀu/‖Rᵀu‖. Where it does not converge, an
exact SVD takes over. Source: Golub & Van Loan (2013), sections 8.2.4 and 8.6.
"""

import numpy as np

from gradscope.arrays import BoolArray, FloatArray, IntArray
from gradscope.jacobians.chain import Chain, step_shifts
from gradscope.jacobians.kernels.powers_of_two import LOG_2, rescaled
from gradscope.jacobians.kernels.rank_adaptive import FIRST_COMPRESSION
from gradscope.progress import tracked

BLOCK = 4
"""Vectors iterated at a time: three that may change places, and a random one, drawn again at each
lag from a generator of seed 0, that sees a direction which none of them has a part in."""

MAX_ROUNDS = 8
"""Rounds of the subspace iteration before the exact decomposition takes over."""

MAX_ERROR = 1e-11
"""Relative error of σ_max at which a direction is accepted."""

DROPPED = 1e-10
"""Rows of R below this part of ‖R‖ are dropped; it costs 1e-20 of σ_max², unless later steps favour
them, which shows against ``lag_norms``."""


def leading_directions(
    chain: Chain, lags: IntArray, *, dropped: float = DROPPED
) -> tuple[FloatArray, FloatArray]:
    """Return the leading right singular vectors v (K,B,S) of P_ℓ, unit vectors at h_{T−ℓ}, and log
    ‖P_ℓ v‖ (K,B) in nats, at ``lags`` (K,), ascending in 1 … T. Rows below the part ``dropped`` of
    ‖R‖ are dropped. For an exactly zero product v is any and the logarithm −inf.
    """
    directions = np.empty((lags.size, chain.n_sequences, chain.state_size))
    log_norms = np.empty((lags.size, chain.n_sequences))
    product = _RightFactor(chain, dropped)
    for index, lag in enumerate(tracked(lags, "directions by lag")):
        while product.lag < lag:
            product.extend()
        directions[index], log_norms[index] = product.leading()
    return directions, log_norms


class _RightFactor:
    """R, ``rows`` (B,r,S) · 2**``exponents`` (B,), and leading left vectors (B,r,BLOCK)."""

    def __init__(self, chain: Chain, dropped: float) -> None:
        self._chain = chain
        self._dropped = dropped
        self._shifts = step_shifts(chain)
        self.lag = 0
        self.rows: FloatArray = np.repeat(np.eye(chain.state_size)[None], chain.n_sequences, axis=0)
        self.exponents: IntArray = np.zeros(chain.n_sequences, dtype=np.int64)
        self._rng = np.random.default_rng(0)
        block = (chain.n_sequences, chain.state_size, min(BLOCK, chain.state_size))
        self._left: FloatArray = self._rng.standard_normal(block)
        self._next_qr = FIRST_COMPRESSION

    def extend(self) -> None:
        """Go one lag further back: R ← R J_{T−ℓ}, scaled, and compressed now and then."""
        self.rows = self._chain.vjp(self.rows, self._chain.n_steps - self.lag)
        self.lag += 1
        shifted = self.exponents + self._shifts[-self.lag]
        self.rows, self.exponents = rescaled(self.rows, shifted)
        if self.lag >= self._next_qr:
            self._compress()
            fill = self.rows.shape[1] / self.rows.shape[2]
            # One QR costs as much as a few steps: see ``rank_adaptive``.
            self._next_qr = self.lag + int(np.sqrt(2.0 * (0.5 + 2.8 * fill) * self.lag))

    def _compress(self) -> None:
        """Replace R by its triangle and drop the trailing rows that no sequence needs."""
        # R = Q T: the left vectors of T are Qᵀ times those of R. Q is not formed; right vectors
        # stay as they are, so the block goes over to them and back through the new rows.
        right = self.rows.swapaxes(1, 2) @ self._left
        triangle: FloatArray = np.asarray(np.linalg.qr(self.rows, mode="r"), dtype=np.float64)
        squares = np.square(triangle).sum(axis=2)
        tails = np.cumsum(squares[:, ::-1], axis=1)[:, ::-1]
        needed = (tails > self._dropped**2 * tails[:, :1]).any(axis=0)
        kept = max(int(needed.sum()), self._left.shape[2])
        self.rows = np.ascontiguousarray(triangle[:, :kept])
        self._left = np.linalg.qr(self.rows @ right)[0]

    def leading(self) -> tuple[FloatArray, FloatArray]:
        """Return v (B,S) and log ‖P v‖ (B,)."""
        converged = np.zeros(self.rows.shape[0], dtype=np.bool_)
        self._left[:, :, -1] = self._rng.standard_normal(self.rows.shape[:2])
        for _ in range(MAX_ROUNDS):
            directions, now = self._iterate()
            converged |= now
            if converged.all():
                break
        for sequence in np.flatnonzero(~converged):
            directions[sequence] = np.linalg.svd(self.rows[sequence])[2][0]
        lengths = np.linalg.norm(self.rows @ directions[:, :, None], axis=(1, 2))
        with np.errstate(divide="ignore"):
            return directions, np.log(lengths) + self.exponents * LOG_2

    def _iterate(self) -> tuple[FloatArray, BoolArray]:
        """One round: left block to right block and back; return v and where it has converged."""
        right = np.linalg.qr(self.rows.swapaxes(1, 2) @ self._left)[0]
        self._left, sigma, small = np.linalg.svd(self.rows @ right, full_matrices=False)
        # Rayleigh–Ritz: the leading pair within the block, u = left[0] and v = right · small[0].
        found = (right @ small[:, 0, :, None])[:, :, 0]
        from_left = (self.rows.swapaxes(1, 2) @ self._left[:, :, :1])[:, :, 0]
        largest = np.where(sigma[:, 0] > 0.0, sigma[:, 0], 1.0)
        residual = np.linalg.norm(from_left - sigma[:, :1] * found, axis=1) / largest
        second = sigma[:, 1] if sigma.shape[1] > 1 else np.zeros_like(largest)
        gap = np.maximum(1.0 - second / largest, MAX_ERROR)
        # The value is off by the residual at most, and by its square over the gap (Kato–Temple).
        return found, np.minimum(residual, np.square(residual) / gap) <= MAX_ERROR
