"""σ_max of many matrices R (r,S) at once, r ≤ S: the number behind every lag profile.

σ_max(R)² is the largest eigenvalue of the symmetric R Rᵀ (r,r). A few rows: LAPACK finds all of
them. Many rows: Lanczos iteration, which only multiplies by R Rᵀ (or, where R is not thin, by R and
Rᵀ), with full reorthogonalisation. It starts from R g, g random, each row weighted by its energy,
which saves a step where the rows are graded: there a direction that has just overtaken the leading
one of the last lag is not hidden. Its error is known as it runs. A Ritz value θ of residual ρ is
within ρ of *an* eigenvalue, and one just above it may be hidden: it is at most ρ/q above θ, q the
part that the start has in its vector over that in the vector found, a quotient of two random
numbers. (ρ²/gap would be sharper, but a gap is not to be had: where two eigenvalues all but
coincide, Lanczos sees one for a long time.) Source: Golub & Van Loan (2013), sections 8.2 and 10.1;
Parlett (1998), sections 4.5 and 13.2.
"""

from dataclasses import dataclass
from functools import reduce

import numpy as np

from gradscope.arrays import FloatArray

# Up to this many rows, all eigenvalues cost less than Lanczos steps (measured).
FEW_ROWS = 32
# Up to this part of S rows, R Rᵀ is formed once: its products read less memory than those of R.
THIN = 0.5
# The largest eigenvalue is taken to be up to this many ρ above θ; where it all but coincides with
# another, it is farther with probability 2/(10 π), by no more than the gap between the two. Each
# tenfold costs about two steps.
HIDDEN = 10.0
MAX_STEPS = 60
STEPS_BETWEEN_LOOKS = 3
# A remainder this small against the largest eigenvalue is rounding: the Krylov space is exhausted.
BREAKDOWN = 1e-13
START_SEED = 20240607


@dataclass(frozen=True, eq=False, slots=True)
class Leading:
    """The largest singular values (n,), bounds on their relative errors (n,), and Lanczos steps."""

    sigma: FloatArray
    error: FloatArray
    steps: int = 0


def leading_singular_values(rows: FloatArray, accuracy: float, likely_steps: int = 0) -> Leading:
    """Return σ_max of every matrix in ``rows`` (n,r,S), whose squares fit a float.

    Few rows are exact to rounding; else the iteration stops at the relative error ``accuracy``,
    first looked at a third before ``likely_steps``, those of a similar call. Deterministic: the
    start has a seed of its own. Cost: r²S + O(r³) for few rows, 4rS a step otherwise (2r², and r²S
    once, where R is thin), about 5 to 30 steps; what is not reached in 60 goes to LAPACK.
    """
    if rows.shape[1] <= FEW_ROWS:
        return Leading(_exact(rows), np.zeros(rows.shape[0]))
    krylov = _Krylov(rows)
    next_look = max(likely_steps * 2 // 3, STEPS_BETWEEN_LOOKS)
    while krylov.size < min(MAX_STEPS, rows.shape[1]):
        krylov.extend()
        if krylov.size >= next_look:
            sigma, error = krylov.leading_value()
            if (error <= accuracy).all():
                return Leading(sigma, error, krylov.size)
            # The error falls geometrically, from about HIDDEN at the start: extrapolate.
            worst = float(error.max())
            fallen, missing = np.log(HIDDEN / worst), np.log(worst / accuracy)
            more = krylov.size * missing / fallen if fallen > 0 else STEPS_BETWEEN_LOOKS
            next_look += int(np.clip(np.ceil(more), 1, STEPS_BETWEEN_LOOKS))
    sigma, error = krylov.leading_value()
    missed = error > accuracy
    sigma[missed] = _exact(rows[missed])
    return Leading(sigma, np.where(missed, 0.0, error), krylov.size)


def _exact(rows: FloatArray) -> FloatArray:
    """Return σ_max (n,) from all the eigenvalues of R Rᵀ."""
    largest = np.linalg.eigvalsh(rows @ rows.swapaxes(1, 2))[:, -1]
    return np.asarray(np.sqrt(np.maximum(largest, 0.0)))


class _Krylov:
    """Orthonormal bases (n,k,r) of the Krylov spaces of R Rᵀ, where R Rᵀ is tridiagonal."""

    def __init__(self, rows: FloatArray) -> None:
        count, n_rows, _ = rows.shape
        self._rng = np.random.default_rng(START_SEED)
        columns = rows.swapaxes(1, 2)
        thin = n_rows <= THIN * rows.shape[2]
        self._factors = (rows @ columns,) if thin else (rows, columns)
        self.size = 0
        self._basis = np.empty((count, MAX_STEPS + 1, n_rows))
        start = rows @ self._rng.standard_normal(rows.shape[2])
        start *= np.einsum("nrs,nrs->nr", rows, rows)
        start[~start.any(axis=1)] = 1.0
        self._basis[:, 0] = start / np.linalg.norm(start, axis=1, keepdims=True)
        self._scale = np.zeros(count)
        self._diagonal = np.zeros((count, MAX_STEPS))
        self._coupling = np.zeros((count, MAX_STEPS))

    def extend(self) -> None:
        """Multiply the last vector by R Rᵀ and keep what is new in it."""
        step, known = self.size, self._basis[:, : self.size + 1]
        across = known.swapaxes(1, 2)
        # R Rᵀ is symmetric, so a row times it is the column's image too.
        image = reduce(np.matmul, self._factors, known[:, -1:])
        along = image @ across
        self._diagonal[:, step] = along[:, 0, -1]
        remainder = image - along @ known
        # Once more, since the first pass loses digits where little is left (twice is enough:
        # Parlett 1998, section 6.9).
        remainder -= (remainder @ across) @ known
        length = np.sqrt(np.einsum("nkr,nkr->n", remainder, remainder))
        self._scale = np.maximum(self._scale, self._diagonal[:, step])
        exhausted = length <= BREAKDOWN * self._scale
        if exhausted.any():
            # An invariant subspace: go on in its complement, uncoupled, to find what it lacks.
            remainder[exhausted] = self._new_direction(known[exhausted])
            length[exhausted] = 1.0
        self._basis[:, step + 1] = remainder[:, 0] / length[:, None]
        self._coupling[:, step] = np.where(exhausted, 0.0, length)
        self.size += 1

    def _new_direction(self, known: FloatArray) -> FloatArray:
        """Return random unit vectors (n,1,r) orthogonal to bases (n,k,r), zeros where k = r."""
        count, size, n_rows = known.shape
        if size == n_rows:
            return np.zeros((count, 1, n_rows))
        fresh = np.broadcast_to(self._rng.standard_normal(n_rows), (count, 1, n_rows))
        for _ in range(2):
            fresh = fresh - (fresh @ known.swapaxes(1, 2)) @ known
        return np.asarray(fresh / np.linalg.norm(fresh, axis=2, keepdims=True))

    def leading_value(self) -> tuple[FloatArray, FloatArray]:
        """Return the square root (n,) of the largest Ritz value and its relative error (n,)."""
        size = self.size
        tridiagonal = np.zeros((self._diagonal.shape[0], size, size))
        at = np.arange(size)
        tridiagonal[:, at, at] = self._diagonal[:, :size]
        tridiagonal[:, at[1:], at[:-1]] = self._coupling[:, : size - 1]
        values, vectors = np.linalg.eigh(tridiagonal)
        largest = np.maximum(values[:, -1], 0.0)
        # The residual of a Ritz vector y is β_k |last entry of y|; half of it, relative, for √θ.
        residual = self._coupling[:, size - 1] * np.abs(vectors[:, -1, -1])
        off = 0.5 * HIDDEN * residual
        error = np.where(largest > 0, off / np.where(largest > 0, largest, 1.0), 0.0)
        return np.sqrt(largest), error
