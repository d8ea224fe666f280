"""P_ℓ = L R + E: the product of Jacobians as a few rows R (r,S), and what was dropped, watched.

L has orthonormal columns and is never formed, since the singular values of R are those of L R. One
lag further is R ← R J. Now and then R is rotated from the left so that its rows come out graded,
and trailing rows that are small against σ_max leave for E. Their left directions are orthogonal to
those kept, now and at every later lag, so PᵀP = RᵀR + EᵀE and

    σ_max(R)² ≤ σ_max(P)² ≤ σ_max(R)² + ‖E‖²:  dropping ε costs ε²/2, not ε.

As the Lyapunov spectrum spreads, r collapses, and with it the cost. A direction dropped now may
grow later; s random rows Y = ΩᵀE carried with R show whether it did:

    ‖E‖ ≤ α √(2/π) max‖Y_i‖  with probability ≥ 1 − α⁻ˢ

(Halko, Martinsson & Tropp 2011, arXiv:0909.4061, lemma 4.1). What is dropped depends on R alone,
never on Y, so the bound holds at every lag. Scales are integer powers of two beside the rows.
"""

from dataclasses import dataclass

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.jacobians.chain import Chain
from gradscope.jacobians.kernels.powers_of_two import MIN_SHIFT

# At s rows the bound is wrong with probability α⁻ˢ = 1.5e-5. More rows make it tighter, fewer make
# it cheaper: a small state has few rows to spare.
PROBES_OF_LARGE_STATE = 6
PROBES_OF_SMALL_STATE = 4
LARGE_STATE = 256
FAILURE_PROBABILITY = 4.0**-8
PROBE_SEED = 20240612

# Several drops count at any time, and the largest of s random numbers exceeds their mean.
SHARE_OF_DROP = 0.15
FIRST_COMPRESSION = 8
# The rows of a stretch start at a scale of 2**±50, may grow to 2**450 and shrink to 2**-450: their
# squares stay ordinary numbers.
MAX_OFFSET = 50
MAX_GROWTH = 400
MIN_PEAK = 2.0**-200
# Up to this part of S rows, the sharper way of grading them pays.
THIN = 0.6
LEAST_WORKSPACE = 2**20


@dataclass(frozen=True, eq=False, slots=True)
class Stretch:
    """Consecutive lags ``lag`` + 1 … ``lag`` + m of N products, valid until the next stretch:
    ``kept`` (m,N,r,S) is R and ``probes`` (m,N,s,S) is Y, both times 2**``exponents`` (m,N).
    """

    lag: int
    kept: FloatArray
    probes: FloatArray
    exponents: IntArray


class RankAdaptiveProduct:
    """N products ∂h_t/∂h_{t−ℓ}, each with its own t (``ends``) and sequence, growing together;
    ``drop`` · √(r/S) is the largest Frobenius norm, relative to σ_max, of what one compression
    drops. Past h_0 a product goes on with J_1 and means nothing.
    """

    def __init__(self, chain: Chain, ends: IntArray, sequences: IntArray, drop: float) -> None:
        self._size = size = chain.state_size
        self.lag = 0
        self.rank = size
        self._chain, self._ends, self._sequences, self._drop = chain, ends, sequences, drop
        self._rows: FloatArray = np.broadcast_to(np.eye(size), (ends.size, size, size))
        self._exponents = np.zeros(ends.size, dtype=np.int64)
        self._alive = np.full(ends.size, fill_value=True)
        # The rows lie in one, their successors go into the other: no allocation per lag.
        entries = max(ends.size * (size + n_probes(size)) * size, LEAST_WORKSPACE)
        self._workspaces = [np.empty(entries), np.empty(entries)]
        self._rng = np.random.default_rng(PROBE_SEED)
        self._next_compression = FIRST_COMPRESSION
        self._patience = 1.0

    def extend(self, most: int) -> Stretch:
        """Go further back, by at most ``most`` lags and no further than the next compression."""
        # A stretch is not rescaled inside. A factor has entries of at most 1 (2 with a leak), so it
        # multiplies ‖R‖ by at most 2S: so many lags stay below 2**MAX_GROWTH. They fit the
        # workspace too.
        by_growth = int(MAX_GROWTH / np.log2(4.0 * self._size))
        count = min(most, max(1, min(by_growth, self._workspaces[0].size // self._rows.size)))
        if self._drop > 0:
            count = min(count, self._next_compression - self.lag)
        # How far R may shrink is not known beforehand: a stretch in which a product falls below
        # MIN_PEAK, where squares would lose digits, is done again at half its length.
        while True:
            stack = self._workspaces[0][: count * self._rows.size].reshape(-1, *self._rows.shape)
            lags = np.arange(self.lag, self.lag + count)
            steps = np.maximum(self._ends - lags[:, None], 1)
            rows = self._rows if self.lag else None
            shifts = self._chain.accumulate_vjp(rows, steps, self._sequences, stack)
            peaks = _sizes(stack[-1])
            if count == 1 or (peaks >= MIN_PEAK)[self._alive].all():
                break
            count //= 2
        # Only the last R is rescaled, by a power of two: the next stretch starts from it.
        last = np.maximum(np.frexp(peaks)[1], MIN_SHIFT)
        if (np.abs(last) > MAX_OFFSET).any():
            stack[-1] *= np.ldexp(1.0, -last)[:, None, None]
            shifts[-1] += last
        exponents = self._exponents + np.cumsum(shifts, axis=0)
        stretch = Stretch(self.lag, stack[:, :, : self.rank], stack[:, :, self.rank :], exponents)
        self.lag += count
        self._rows, self._exponents, self._alive = stack[-1], exponents[-1], peaks > 0
        self._workspaces.reverse()
        return stretch

    def compress(self, sigma: FloatArray) -> None:
        """Where it is due, rotate R and drop its negligible rows, given its last σ_max (N,)."""
        if self._drop == 0 or self.lag < self._next_compression:
            return
        # A thin R has a narrow spectrum, where what was dropped takes long to die out, and may grow
        # for a while; its rows are cheap. Hence √(r/S) in the limit.
        limit = self._drop * np.sqrt(self.rank / self._size) * sigma
        self._rows, rank = compressed(self._rows, self.rank, limit[None] ** 2, self._rng)
        self._patience = 1.0 if rank < self.rank else 2.0 * self._patience
        self.rank = rank
        # Compress at intervals that make the cost of one compression, about 0.5 + 2.8 r/S lags
        # (measured), and that of rows kept too long equal, where r falls like 1/ℓ: √(2 cost ℓ).
        cost = 0.5 + 2.8 * rank / self._size
        interval = int(self._patience * np.sqrt(2.0 * cost * self.lag))
        self._next_compression = self.lag + max(1, interval)

    def keep(self, count: int) -> None:
        """Go on with the first ``count`` products alone."""
        self._ends, self._sequences = self._ends[:count], self._sequences[:count]
        self._rows, self._exponents = self._rows[:count], self._exponents[:count]
        self._alive = self._alive[:count]


def compressed(
    rows: FloatArray, rank: int, limits: FloatArray, rng: np.random.Generator, *ends: int
) -> tuple[FloatArray, int]:
    """Rotate R, the first rows (N,r,S), and turn those into probes whose squared Frobenius norm in
    every block of columns, up to its end and the last, is within ``limits`` (blocks,N).
    """
    graded, probes = graded_rows(rows[:, :rank]), rows[:, rank:]
    blocks = np.split(graded, ends, axis=2)
    energies = np.stack([np.einsum("nrs,nrs->nr", each, each) for each in blocks])
    # tails[:, :, i] = Σ_{j ≥ i} ‖row j‖², the squared Frobenius norm of what dropping the rows
    # from i on would add to E. Summed from the small end: large rows do not swallow it.
    tails = np.cumsum(energies[..., ::-1], axis=2)[..., ::-1]
    # All N products keep the same number of rows, so that they stay one array: the most any needs.
    left = max(1, int(np.count_nonzero(tails > limits[..., None], axis=2).max()))
    if left < rank:
        # The new rows of E join those dropped before in the same s probes Y = ΩᵀE, Ω standard
        # normal: Gaussian sketches of two blocks with independent Ω add up to that of both.
        mixture = rng.standard_normal((n_probes(rows.shape[2]), rank - left))
        probes = mixture @ graded[:, left:] + (probes if probes.size else 0.0)
    return np.concatenate([graded[:, :left], probes], axis=1), left


def n_probes(state_size: int) -> int:
    """Return s, the number of random rows that watch what was dropped."""
    return PROBES_OF_LARGE_STATE if state_size >= LARGE_STATE else PROBES_OF_SMALL_STATE


def truncation_error(probes: FloatArray, sigma: FloatArray) -> FloatArray:
    """Return the bound ½ (‖E‖/σ_max)² on the relative error of σ_max (…), from probes (…,s,S): 0
    where nothing was dropped, infinite where only what was dropped is left.
    """
    if probes.shape[-2] == 0:
        return np.zeros(sigma.shape)
    # The lemma with probability 1 − α⁻ˢ, α chosen so that α⁻ˢ is the failure probability.
    alpha = FAILURE_PROBABILITY ** (-1.0 / probes.shape[-2])
    lengths = np.sqrt(np.einsum("...s,...s->...", probes, probes).max(axis=-1))
    dead = sigma == 0
    ratio = np.where(dead & (lengths > 0), np.inf, lengths / np.where(dead, 1.0, sigma))
    return np.asarray(0.5 * (alpha * np.sqrt(2.0 / np.pi) * ratio) ** 2)


def drop_within(error: float, state_size: int) -> float:
    """Return the relative norm of a drop, many of which keep ``truncation_error`` in ``error``."""
    # ``truncation_error`` solved for ‖E‖/σ_max, the largest probe being about as long as ‖E‖.
    alpha = FAILURE_PROBABILITY ** (-1.0 / n_probes(state_size))
    return SHARE_OF_DROP * float(np.sqrt(2.0 * error) / (alpha * np.sqrt(2.0 / np.pi)))


def _sizes(rows: FloatArray) -> FloatArray:
    """Return the Frobenius norm (N,) of R (N,r,S), or the largest entry where squares underflow."""
    energies = np.einsum("nrs,nrs->n", rows, rows)
    by_squares = (energies > 0).all()
    return np.asarray(np.sqrt(energies) if by_squares else np.max(np.abs(rows), axis=(1, 2)))


def graded_rows(rows: FloatArray) -> FloatArray:
    """Rotate R (N,r,S) from the left so that its rows fall off in size: T of R = Q T, or, where R
    is thin, the Q of R Rᵀ, one more step of subspace iteration, which is sharper and cheaper.
    """
    if rows.shape[1] <= THIN * rows.shape[2]:
        # R = X Σ Yᵀ gives R Rᵀ = X Σ² Xᵀ: the columns of R Rᵀ lean towards the leading left vectors
        # by σ², where those of R do by σ, and QR sorts them in that order.
        left, _ = np.linalg.qr(rows @ rows.swapaxes(1, 2))
        return left.swapaxes(1, 2) @ rows
    return np.asarray(np.linalg.qr(rows, mode="r"), dtype=np.float64)
