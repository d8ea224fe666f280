"""σ_max of many matrices R (r,S) at once, r ≤ S: the number behind every lag profile.

σ_max(R)² is the largest eigenvalue of the symmetric M = R Rᵀ (r,r). A few rows: M is squared while
that makes one eigenvalue stand out; what is left goes to LAPACK. Many rows: the bare three-term
Lanczos iteration, which multiplies by M (or, where R is not thin, by Rᵀ and R) and keeps no basis.
Without reorthogonalisation copies of eigenvalues appear, never wrong ones, and the largest is as
accurate as with it (Paige 1980). It starts from R g, g random, each row weighted by its energy,
which saves a step where the rows are graded: there a direction that has just overtaken the leading
one of the last lag is not hidden.

Its error is estimated as it runs. A Ritz value θ of residual ρ is within ρ of *an* eigenvalue, and
one just above it may be hidden: it is at most ρ/q above θ, q the part that the start has in its
vector over that in the vector found, a quotient of two random numbers. (ρ²/gap would be sharper,
but a gap is not to be had: where two eigenvalues all but coincide, Lanczos sees one for a long
time.) Source: Golub & Van Loan (2013), sections 8.2 and 10.1; Parlett (1998), 4.5 and 13.2.
"""

from dataclasses import dataclass
from functools import reduce

import numpy as np

from gradscope.arrays import BoolArray, FloatArray, IntArray
from gradscope.jacobians.kernels.tridiagonal import leading_of_tridiagonal

# Up to so many rows M is formed, and squared first; so many squarings cost what LAPACK does.
FEW_ROWS, MAX_SQUARINGS = 32, 8
# With less than this Σμ² (1/r where all are equal) too many squarings would be needed.
HOPEFUL = 0.06
# Its error is about its bound, and falls fast: more digits than asked for cost little.
SHARE_OF_SQUARING = 0.3
# Up to this part of S rows, M is formed: its products read less memory than those of R.
THIN = 0.5
# The largest eigenvalue is taken to be up to this many ρ above θ; where it all but coincides with
# another, it is farther with probability 2/(10 π), by no more than the gap between the two. Each
# tenfold costs about two steps.
HIDDEN = 10.0
# Where the error asked for is more than this part of the largest coupling, about a quarter of what
# all eigenvalues differ by, it is often near another, and taken to be the more ρ above θ.
CROWDED, MOST_CROWDED = 1e-4, 100.0
# What needs more Lanczos steps than that costs less in LAPACK: up to 64 rows, and beyond. So do so
# few matrices that their n r² entries are within this: to square, to start, to go on.
MAX_STEPS, MAX_STEPS_OF_MANY, MANY_ROWS = 60, 100, 64
FEW_TO_SQUARE, FEW_TO_START, FEW_TO_GO_ON = 8_000, 130_000, 30_000
# The first look where nothing is known, and most steps between looks.
FIRST_LOOK, MOST_BETWEEN_LOOKS = 3, 8
# So many matrices are looked at first.
SAMPLE = 8
# A remainder this small against the largest eigenvalue is rounding: the Krylov space is exhausted.
BREAKDOWN = 1e-13
START_SEED = 20240607


@dataclass(frozen=True, eq=False, slots=True)
class Leading:
    """The largest singular values (n,), estimates of their relative errors (n,), Lanczos steps."""

    sigma: FloatArray
    error: FloatArray
    steps: int = 0


def leading_singular_values(rows: FloatArray, accuracy: float, likely_steps: int = 0) -> Leading:
    """Return σ_max of every matrix in ``rows`` (n,r,S), whose squares fit a float.

    The iteration stops at the estimated relative error ``accuracy``, first looked at shortly before
    ``likely_steps``, those of a similar call. Deterministic: the start has a seed of its own. Cost:
    r²S and some r³ for few rows, 4rS a step otherwise (2r², and r²S once, where R is thin), about 5
    to 45 steps; what is not to be reached in 60 (100 from 65 rows on) goes to LAPACK.
    """
    (n_matrices, n_rows, state_size), columns = rows.shape, rows.swapaxes(1, 2)
    entries = n_matrices * n_rows**2
    if n_rows > FEW_ROWS and entries > FEW_TO_START:
        thin = n_rows <= THIN * state_size
        factors = (rows @ columns,) if thin else (rows, columns)
        return _by_lanczos(factors, accuracy, likely_steps)
    squares = rows @ columns
    trace = np.einsum("nrr->n", squares)
    squares /= np.where(trace > 0.0, trace, 1.0)[:, None, None]
    value: FloatArray = np.zeros(n_matrices)
    error: FloatArray = np.full(n_matrices, np.inf)
    if n_rows <= FEW_ROWS and entries > FEW_TO_SQUARE:
        value, error = _by_squaring(squares, SHARE_OF_SQUARING * accuracy)
    left = error > SHARE_OF_SQUARING * accuracy
    if left.any():
        value[left] = _by_lapack(squares if left.all() else squares[left])
        error[left] = 0.0
    return Leading(np.sqrt(value * trace), error, likely_steps)


def _by_lapack(squares: FloatArray) -> FloatArray:
    """Return the largest eigenvalue (n,) of every M (n,r,r)."""
    return np.asarray(np.maximum(np.linalg.eigvalsh(squares)[:, -1], 0.0))


def _by_squaring(squares: FloatArray, accuracy: float) -> tuple[FloatArray, FloatArray]:
    """Return the largest eigenvalue (n,) of every M (n,r,r), its trace 1, or of M = 0, and a bound
    on the relative error of its root, as far as squaring goes.

    After k squarings, each scaled to trace 1, M**(2**k) has eigenvalues μ_i with Σμ_i = 1 and Σμ_i²
    = p. The largest is at most √p and at least p, or ½ (1 + √(2p − 1)) where p > ½; the 2**k-th
    root narrows that.
    """
    value, error = np.zeros(len(squares)), np.zeros(len(squares))
    left, power, log_scale = np.arange(len(squares)), squares, np.zeros(len(squares))
    for count in range(MAX_SQUARINGS + 1):
        # Σμ_i² is also the trace of the next square.
        purity = np.einsum("nrs,nrs->n", power, power)
        alive = purity > 0.0
        purity[~alive] = 1.0
        high = 0.5 * np.log(purity)
        above_half = 0.5 + 0.5 * np.sqrt(np.maximum(2.0 * purity - 1.0, 0.0))
        low = np.log(np.where(purity > 0.5, above_half, purity))
        value[left] = np.where(alive, np.exp(log_scale + 0.5 * (low + high) / 2**count), 0.0)
        error[left] = 0.25 * np.maximum(high - low, 0.0) / 2**count
        if not count:
            # Of r numbers the largest is within √(r − 1) standard deviations of the mean.
            size = squares.shape[1]
            above = np.sqrt(np.maximum(purity * size - 1.0, 0.0) * (size - 1.0))
            even = 0.5 * above <= accuracy
            value[even], error[even] = 1.0 / size, 0.5 * above[even]
        more = (error[left] > accuracy) & (purity > HOPEFUL)
        if count == MAX_SQUARINGS or not more.any():
            break
        if 2 * np.count_nonzero(more) <= left.size:
            left, power, log_scale = left[more], power[more], log_scale[more]
            purity = purity[more]
        power = power @ power
        power /= purity[:, None, None]
        log_scale += np.log(purity) / 2 ** (count + 1)
    return value, error


def _by_lanczos(factors: tuple[FloatArray, ...], accuracy: float, likely_steps: int) -> Leading:
    """Return σ_max of M, the product of ``factors``, by Lanczos iteration or by LAPACK."""
    n_matrices, size = factors[0].shape[:2]
    sigma, error = np.zeros(n_matrices), np.full(n_matrices, np.inf)
    left, steps = np.arange(n_matrices), 0
    most = min(MAX_STEPS if size <= MANY_ROWS else MAX_STEPS_OF_MANY, 5 * size // 4)
    krylov, look = _Krylov(factors, most), max(int(0.7 * likely_steps), FIRST_LOOK)
    sample, earlier = left[:: -(-n_matrices // SAMPLE)], (0, HIDDEN)
    while left.size * size**2 > FEW_TO_GO_ON and look <= most:
        krylov.extend(look)
        errors = krylov.largest(sample, accuracy)[1]
        if np.median(errors) <= accuracy:
            sigma[left], errors = krylov.largest(np.arange(left.size), accuracy)
            error[left], steps = errors, steps or look
            more = errors > accuracy
            if not more.any():
                return Leading(sigma, error, steps)
            if 2 * np.count_nonzero(more) <= left.size:
                left, errors = left[more], errors[more]
                krylov.keep(more)
            sample = np.argsort(-errors)[:SAMPLE]
            errors = errors[sample]
        # The logarithm of the error falls about linearly.
        worst = min(float(errors.max()), HIDDEN)
        rate = np.log(earlier[1] / worst) / (look - earlier[0])
        needed = np.ceil(np.log(worst / accuracy) / rate) if rate > 0.0 else MOST_BETWEEN_LOOKS
        earlier = look, worst
        hopeless = 2 * look >= most and look + needed > most
        look += most if hopeless else int(np.clip(needed, 1, MOST_BETWEEN_LOOKS))
    missed = error[left] > accuracy
    if missed.any():
        sigma[left[missed]], error[left[missed]] = krylov.exact(missed), 0.0
    return Leading(sigma, error, steps)


class _Krylov:
    """Lanczos iterations, one for each of n matrices M (r,r) scaled to trace 1: on its Krylov space
    M is tridiagonal, with ``_diagonal`` and, beside it, ``_coupling`` (most,n).
    """

    def __init__(self, factors: tuple[FloatArray, ...], most: int) -> None:
        self._factors, first = factors, factors[0]
        self._size, self._rng = 0, np.random.default_rng(START_SEED)
        self._diagonal, self._coupling = np.zeros((2, most, len(first)))
        if len(factors) == 1:
            energies = np.einsum("nrr->nr", first)
        else:
            energies = np.einsum("nrs,nrs->nr", first, first)
        self._trace = energies.sum(axis=1)
        self._shrink = 1.0 / np.where(self._trace > 0.0, self._trace, 1.0)[:, None]
        start = self._rng.standard_normal(factors[-1].shape[1]) @ factors[-1]
        largest = np.abs(start).max(axis=1, keepdims=True)  # Its square may be no float.
        start *= energies * self._shrink / np.where(largest > 0.0, largest, 1.0)
        start[~start.any(axis=1)] = 1.0
        self._vector = start / np.linalg.norm(start, axis=1, keepdims=True)
        self._before, self._length = np.zeros_like(start), np.zeros(len(first))

    def extend(self, size: int) -> None:
        """Go on to so many steps."""
        for step in range(self._size, size):
            vector, length = self._vector, self._length
            # M is symmetric, so a row times it is the column's image too.
            image = reduce(np.matmul, self._factors, vector[:, None])[:, 0]
            image *= self._shrink
            along = np.einsum("nr,nr->n", image, vector)
            image -= along[:, None] * vector
            image -= length[:, None] * self._before
            length = np.sqrt(np.einsum("nr,nr->n", image, image))
            self._diagonal[step] = along
            exhausted = length <= BREAKDOWN / image.shape[1]
            if exhausted.any():
                # An invariant subspace: once more from another start, uncoupled.
                length[exhausted] = 1.0
                image[exhausted] = fresh = self._rng.standard_normal(image.shape[1])
                image[exhausted] /= np.linalg.norm(fresh)
            self._before, self._vector = vector, image / length[:, None]
            length[exhausted] = 0.0
            self._coupling[step] = self._length = length
        self._size = size

    def keep(self, some: BoolArray) -> None:
        """Go on with some of the matrices alone."""
        self._factors = tuple(factor[some] for factor in self._factors)
        self._diagonal, self._coupling = self._diagonal[:, some], self._coupling[:, some]
        self._vector, self._before = self._vector[some], self._before[some]
        self._length, self._shrink = self._length[some], self._shrink[some]
        self._trace = self._trace[some]

    def exact(self, some: BoolArray) -> FloatArray:
        """Return σ_max of some of the matrices, from LAPACK."""
        return np.sqrt(_by_lapack(reduce(np.matmul, [factor[some] for factor in self._factors])))

    def largest(self, some: IntArray, accuracy: float) -> tuple[FloatArray, FloatArray]:
        """Return the root of the largest Ritz value θ of some of the matrices, and its error."""
        diagonal, coupling = self._diagonal[: self._size, some], self._coupling[: self._size, some]
        theta, last = leading_of_tridiagonal(diagonal, coupling[:-1])
        # The residual of the Ritz vector is the last coupling times |its last entry|; half of it,
        # relative, for √θ.
        error = 0.5 * HIDDEN * coupling[-1] * last / np.where(theta > 0.0, theta, 1.0)
        widest = coupling.max(axis=0)
        crowding = accuracy * theta / np.where(widest > 0.0, widest, 1.0) / CROWDED
        error *= np.clip(crowding, 1.0, MOST_CROWDED)
        error = np.where(np.isfinite(error), error, np.inf)
        return np.sqrt(np.maximum(theta, 0.0) * self._trace[some]), error
