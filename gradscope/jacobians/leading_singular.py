"""σ_max of many matrices R (r,S) at once, r ≤ S: the number behind every lag profile.

σ_max(R)² is the largest eigenvalue of the symmetric R Rᵀ (r,r). A few rows: R Rᵀ is formed and
squared until its leading eigenvalue is alone. Many rows: Lanczos iteration, which only multiplies
by R and Rᵀ, with full reorthogonalisation, started from a guess and a little noise. Its error is
known as it runs: a Ritz pair (θ, x) of residual ρ is off by at most ρ, and by ρ²/gap once θ has
come apart from the next one. Source: Golub & Van Loan (2013), sections 8.2 and 10.1; Parlett
(1998), theorem 11.7.1.
"""

from dataclasses import dataclass

import numpy as np

from gradscope.arrays import FloatArray

# Up to this many rows, products of (r,r) matrices cost less than Lanczos steps (measured).
FEW_ROWS = 32
MOST_SQUARINGS = 10
# Each squaring doubles the digits: full precision costs one more than six digits.
SQUARED_OUT = 1e-13
# One in so many is left to LAPACK rather than squared on.
STRAGGLERS = 8
MOST_STEPS = 40
STEPS_BETWEEN_LOOKS = 2
# Share of noise in the start: what the guess misses must still be found. Measured: less noise saves
# no step.
NOISE = 0.1
# A remainder this small against the largest eigenvalue is rounding: the Krylov space is exhausted.
BREAKDOWN = 1e-13
NOISE_SEED = 20240607


@dataclass(frozen=True, eq=False, slots=True)
class Leading:
    """``sigma`` (n,), the largest singular values; ``error`` (n,), the estimated relative error of
    ``sigma``; ``left`` (n,r), their left vectors, where an iteration of ``steps`` steps found them.
    """

    sigma: FloatArray
    error: FloatArray
    left: FloatArray | None = None
    steps: int = 0


def leading_singular_values(
    rows: FloatArray, accuracy: float, guess: FloatArray, likely_steps: int = 0
) -> Leading:
    """Return σ_max of every matrix.

    Parameters
    ----------
    rows : (n,r,S) array
        The matrices, of a scale whose squares neither overflow nor underflow.
    accuracy : float
        Largest relative error of σ_max, where the iteration stops; few rows are exact to rounding.
    guess : (n,r) array
        Left vectors to start from; zeros where nothing is known.
    likely_steps : int
        Steps that a similar call took: the first look at the error comes just before.

    Notes
    -----
    Deterministic: the noise has a seed of its own. Cost: r²S + O(r³) for few rows, 4rS a step
    otherwise, about 10 to 30 steps; what is not reached in 40 goes to LAPACK.
    """
    if rows.shape[1] <= FEW_ROWS:
        return _of_few_rows(rows)
    noise = np.random.default_rng(NOISE_SEED).standard_normal((rows.shape[0], rows.shape[1]))
    krylov = _Krylov(rows, _unit(guess) + NOISE * _unit(noise), noise)
    next_look = max(likely_steps - 1, STEPS_BETWEEN_LOOKS)
    while krylov.size < min(MOST_STEPS, rows.shape[1]):
        krylov.extend()
        if krylov.size >= next_look:
            squared, left, error = krylov.leading_pair()
            if (error <= accuracy).all():
                return Leading(np.sqrt(squared), error, left, krylov.size)
            next_look += STEPS_BETWEEN_LOOKS
    squared, left, error = krylov.leading_pair()
    sigma = np.sqrt(squared)
    missed = error > accuracy
    sigma[missed] = _exact(rows[missed] @ rows[missed].swapaxes(1, 2))
    return Leading(sigma, np.where(missed, 0.0, error), left, krylov.size)


def _of_few_rows(rows: FloatArray) -> Leading:
    """Square M = R Rᵀ/tr again and again: its powers, kept at trace 1, tend to x xᵀ of the leading
    vector x.

    With weights w_i = λ_iᵖ/Σλᵖ, ⟨Mᵖ, R Rᵀ⟩ = Σ w_i λ_i misses λ_1 by at most 1 − w_1 of it, and
    ‖Mᵖ‖² = Σ w_i² ≤ w_1 tells how much that is. A product of small matrices costs a tenth of their
    eigenvalues; what has not come apart in the end goes to LAPACK.
    """
    squares = rows @ rows.swapaxes(1, 2)
    trace = np.einsum("nii->n", squares)
    power = squares / np.where(trace > 0, trace, 1.0)[:, None, None]
    for _ in range(MOST_SQUARINGS):
        purity = np.einsum("nij,nij->n", power, power)
        error = np.where(trace > 0, 0.5 * np.maximum(1.0 - purity, 0.0), 0.0)
        if np.count_nonzero(error > SQUARED_OUT) * STRAGGLERS <= error.size:
            break
        power = (power @ power) / np.where(trace > 0, purity, 1.0)[:, None, None]
    sigma = np.sqrt(np.einsum("nij,nij->n", power, squares))
    missed = error > SQUARED_OUT
    sigma[missed] = _exact(squares[missed])
    return Leading(sigma, np.where(missed, 0.0, error))


def _exact(squares: FloatArray) -> FloatArray:
    """Return σ_max from all the eigenvalues of R Rᵀ."""
    largest = np.linalg.eigvalsh(squares)[:, -1]
    sigma: FloatArray = np.sqrt(np.maximum(largest, 0.0))
    return sigma


class _Krylov:
    """Orthonormal bases (n,k,r) of the Krylov spaces of R Rᵀ, and R Rᵀ seen in them: tridiagonal
    matrices of ``diagonal`` and ``coupling``.
    """

    def __init__(self, rows: FloatArray, start: FloatArray, spare: FloatArray) -> None:
        count, n_rows, _ = rows.shape
        self._rows = rows
        self._columns = rows.swapaxes(1, 2)
        self._spare = spare
        self.size = 0
        self._basis = np.empty((count, MOST_STEPS + 1, n_rows))
        self._basis[:, 0] = _unit(start)
        self._diagonal = np.zeros((count, MOST_STEPS))
        self._coupling = np.zeros((count, MOST_STEPS))

    def extend(self) -> None:
        """Multiply the last vector by R Rᵀ and keep what is new in it."""
        step, known = self.size, self._basis[:, : self.size + 1]
        image = (known[:, -1:] @ self._rows) @ self._columns
        self._diagonal[:, step] = np.einsum("nr,nr->n", image[:, 0], known[:, -1])
        remainder = _orthogonal(_orthogonal(image, known), known)[:, 0]
        length = np.linalg.norm(remainder, axis=1)
        exhausted = length <= BREAKDOWN * self._diagonal[:, : step + 1].max(axis=1)
        if exhausted.any():
            fresh = _orthogonal(_orthogonal(self._spare[:, None], known), known)[:, 0]
            remainder = np.where(exhausted[:, None], fresh, remainder)
            self._spare = np.roll(self._spare, 1, axis=1)
        self._coupling[:, step] = np.where(exhausted, 0.0, length)
        self._basis[:, step + 1] = _unit(remainder)
        self.size += 1

    def leading_pair(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the largest Ritz value (n,), its vector (n,r), and the relative error of its
        square root (n,).
        """
        size = self.size
        tridiagonal = np.zeros((self._diagonal.shape[0], size, size))
        at = np.arange(size)
        tridiagonal[:, at, at] = self._diagonal[:, :size]
        tridiagonal[:, at[1:], at[:-1]] = self._coupling[:, : size - 1]
        values, vectors = np.linalg.eigh(tridiagonal)
        largest = np.maximum(values[:, -1], 0.0)
        residual = self._coupling[:, size - 1] * np.abs(vectors[:, -1, -1])
        gap = np.maximum(values[:, -1] - values[:, -2], residual)
        scale = np.where(gap > 0, gap, 1.0) * np.where(largest > 0, largest, 1.0)
        left = (vectors[:, None, :, -1] @ self._basis[:, :size])[:, 0]
        return largest, left, 0.5 * residual**2 / scale


def _orthogonal(vectors: FloatArray, basis: FloatArray) -> FloatArray:
    """Return vectors (n,1,r) without their parts along orthonormal bases (n,k,r)."""
    remainder: FloatArray = vectors - (vectors @ basis.swapaxes(1, 2)) @ basis
    return remainder


def _unit(vectors: FloatArray) -> FloatArray:
    """Return vectors (n,r) at length 1, zeros where they are zero."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: FloatArray = vectors / np.where(length > 0, length, 1.0)
    return unit
