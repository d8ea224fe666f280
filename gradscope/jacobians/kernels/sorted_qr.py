"""J Z = Q R: an orthonormal basis propagated through one step, and what the step did to it.

The rows are sorted by length before the Householder factorization, so that a unit whose slope is
1e-30 keeps its digits beside one whose slope is 1 (row-wise backward stability: Cox & Higham 1998,
BIT 38). Columns of very different sizes come first, as a factor by themselves. A column whose pivot
is below the rounding of its own product is dead, and is left out.
"""

import numpy as np

from gradscope.arrays import BoolArray, FloatArray

EPSILON = float(np.finfo(np.float64).eps)

WIDEST_COLUMNS = 8
"""Powers of two by which the columns of one factor may differ in size: the bits that are lost."""

LEAST_SHIFT = -1000
"""No column is taken to be smaller against the largest: its scale would not be a float."""


def largest_entries(matrix: FloatArray) -> FloatArray:
    """Return max |entry| of each row: its size, without the squares that underflow."""
    return np.asarray(np.abs(matrix).max(axis=1))


def graded_factors(jacobian: FloatArray) -> tuple[FloatArray, ...]:
    """Write J as a product, the first factor to act first, in which sorted rows keep all digits: J
    itself, or diag(2^e) and J·diag(2^−e), whose columns are alike in size or zero.
    """
    exponents = np.frexp(np.abs(jacobian).max(axis=0))[1]
    present = jacobian.any(axis=0)
    widest = np.max(exponents, initial=-2000, where=present)
    if (widest - exponents <= WIDEST_COLUMNS)[present].all():
        return (jacobian,)
    # Scaling by powers of two is exact. Sorting rows protects against rows of different sizes only,
    # so a factor whose columns differ is split: in each of the two, rows alone differ.
    shifts = np.where(present, np.maximum(exponents - widest, LEAST_SHIFT), 0)
    return np.diag(np.ldexp(1.0, shifts)), np.ldexp(jacobian, -shifts)


def sorted_qr(columns: FloatArray, row_sizes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return Q and R of ``columns`` (S,r), factored in descending order of the row sizes (S,)."""
    order = np.argsort(-row_sizes, kind="stable")
    q, upper = np.linalg.qr(columns[order])
    unsorted = np.empty_like(q)
    unsorted[order] = q
    return unsorted, upper


def qr_of_step(jacobian: FloatArray, basis: FloatArray) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Factor J Z, Z (S,r) orthonormal, into Q (S,r′) and R (r′,r), a staircase where directions
    die; return also which columns of Z live on (r,), one of Q for each, in the same order.

    Cost: one GEMM and one QR, and a QR more for every direction that dies.
    """
    row_sizes = largest_entries(jacobian)
    columns = jacobian @ basis
    q, upper = sorted_qr(columns, row_sizes)
    rounding = row_sizes.size * EPSILON * -np.sort(-row_sizes)
    # The bound by columns costs a GEMM: it is asked only where the one by rows raises a doubt.
    if (np.abs(np.diagonal(upper)) > rounding[: upper.shape[1]]).all():
        return q, upper, np.ones(basis.shape[1], dtype=np.bool_)
    lengths = np.linalg.norm(np.abs(jacobian) @ np.abs(basis), axis=0)
    of_columns = row_sizes.size * EPSILON * lengths
    q, upper, alive = _without_dead(columns, row_sizes, rounding, of_columns)
    factor = np.zeros((q.shape[1], alive.size))
    factor[:, alive] = upper
    # A dead column lies in the span of the living ones before it: its coefficients are Qᵀ J z.
    for dead in np.flatnonzero(~alive):
        before = int(alive[:dead].sum())
        factor[:before, dead] = q[:, :before].T @ columns[:, dead]
    return q, factor, alive


def _without_dead(
    columns: FloatArray, row_sizes: FloatArray, of_rows: FloatArray, of_columns: FloatArray
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Leave out one dead column after the other; return Q, R of those alive, and which they are."""
    alive = np.ones(columns.shape[1], dtype=np.bool_)
    # One at a time: leaving out a column changes every pivot behind it.
    while True:
        q, upper = sorted_qr(columns[:, alive], row_sizes)
        noise = np.minimum(of_rows[: upper.shape[1]], of_columns[alive])
        dead = np.abs(np.diagonal(upper)) <= noise
        if not dead.any():
            return q, upper, alive
        alive[np.flatnonzero(alive)[np.argmax(dead)]] = False
