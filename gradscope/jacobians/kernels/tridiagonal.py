"""The largest eigenvalue of many tridiagonal matrices at once, and the end of its vector.

Laguerre's iteration from above stays there (Parlett 1964, Math. Comp. 18:464), so each x is an
upper bound; the Rayleigh quotient of the vector that solves all rows of (x − T) v = 0 but the first
is a lower one. What these do not enclose soon goes to LAPACK, as do a few matrices.
"""

import numpy as np

from gradscope.arrays import FloatArray

# Up to so many matrices LAPACK costs less, one after the other (measured).
FEW_MATRICES = 32
# Iterations at the most, and how closely, relative, they have to enclose a value.
MAX_ITERATIONS, ENCLOSED = 12, 1e-13
# What x is kept above a value by, relative: more than rounding, which may make pivots negative.
ABOVE = 2e-14


def leading_of_tridiagonal(
    diagonal: FloatArray, coupling: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the largest eigenvalue of tridiagonal T (k,k), positive semidefinite, and the last
    entry of its unit vector, (n,) each, from ``diagonal`` (k,n) and ``coupling`` (k−1,n).

    T has a norm of about 1. Cost: about 5 passes of 9 operations on n numbers a row.
    """
    count, squares = diagonal.shape[1], coupling**2
    open_ = np.full(count, fill_value=True)
    upper = np.zeros(count)
    if count > FEW_MATRICES:
        radius = np.zeros_like(diagonal)
        radius[:-1] += coupling
        radius[1:] += coupling
        upper = (diagonal + radius).max(axis=0)
        for _ in range(MAX_ITERATIONS):
            quotient, last, step = _from_last_row(upper, diagonal, squares)
            open_ = ~(np.abs(upper - quotient) <= ENCLOSED * upper)
            if not open_.any():
                return quotient, last
            upper = np.where(open_, upper - step + ABOVE * upper, upper)
    size, at = len(diagonal), np.arange(len(diagonal))
    tridiagonal = np.zeros((np.count_nonzero(open_), size, size))
    tridiagonal[:, at, at] = diagonal[:, open_].T
    tridiagonal[:, at[1:], at[:-1]] = coupling[:, open_].T
    upper[open_] = np.maximum(np.linalg.eigvalsh(tridiagonal)[:, -1], 0.0)
    return upper, _from_last_row((1.0 + ABOVE) * upper, diagonal, squares)[1]


@np.errstate(over="ignore", invalid="ignore")
def _from_last_row(
    at: FloatArray, diagonal: FloatArray, squares: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the Rayleigh quotient, the last entry and Laguerre's step from the pivots e of x − T,
    from the last row up, at x = ``at`` (n,), which no eigenvalue exceeds.

    Every pivot but the first is then positive. b/e is the quotient of neighbouring entries of the
    vector that solves all rows but the first; with g = e′/e and s = g′ the logarithm of the
    characteristic polynomial has the derivatives Σg and Σs.
    """
    size, least = len(diagonal), np.finfo(np.float64).eps
    pivots, inverse, g = at - diagonal, np.empty_like(diagonal), np.empty_like(diagonal)
    fill = np.empty_like(squares)
    inverse[-1] = g[-1] = 1.0 / np.maximum(pivots[-1], least)
    later, rate = inverse[-1], g[-1]
    for entry, square, pivot, inverted, grown in zip(
        *(each[::-1] for each in (fill, squares, pivots[:-1], inverse[:-1], g[:-1])),
        strict=True,
    ):
        np.multiply(square, later, out=entry)
        np.subtract(pivot, entry, out=pivot)
        later = np.reciprocal(np.maximum(pivot, least, out=inverted), out=inverted)
        np.multiply(entry, rate, out=grown)
        np.add(grown, 1.0, out=grown)
        rate = np.multiply(grown, later, out=grown)
    slope = g[0] / inverse[0]
    fill *= inverse[:-1]
    last = np.prod(squares * inverse[1:] ** 2, axis=0) / slope
    change = -2.0 * g**2  # g′ − g², in turn
    for row in range(size - 2, -1, -1):
        change[row] += fill[row] * change[row + 1]
    first = g.sum(axis=0)
    second = size * -np.sum(change + g**2, axis=0) - first**2
    step = size / (first + np.sqrt(np.maximum((size - 1) * second, 0.0)))
    return at - pivots[0] / slope, np.sqrt(last), step
