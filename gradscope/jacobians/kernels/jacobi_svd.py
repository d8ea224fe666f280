"""Singular values of X = diag(2^e) Y, rows of any scale, each accurate in relative terms.

Two tools. ``premultiply`` multiplies an upper triangular matrix onto X with the scale of each row
kept beside it as a power of two, so that no row can underflow. ``log_singular_values`` is the
one-sided Jacobi method with each row as (logarithm of its length, unit vector): a rotation of two
rows x_i = e^{l_i} u_i, l_i ≥ l_j, needs only ρ = u_i·u_j and q = e^{l_j − l_i} ≤ 1,

    u_i ← c (u_i + τ q² u_j),    u_j ← c (u_j − τ u_i),    τ = 2ρ / (1 − q² + √((1−q²)² + 4q²ρ²)),

which has a limit at q = 0 (Gram–Schmidt), so lengths apart by any factor do no harm. The relative
error of each value is a modest multiple of ε κ(Y), Y with rows of unit length, whatever the scales:
Demmel & Veselić (1992), SIAM J. Matrix Anal. Appl. 13(4); Drmač & Veselić (2008), 29(4). The pairs
of one round of a tournament share no row, so that each round is one array operation.
"""

from functools import cache

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.jacobians.kernels.powers_of_two import LOG_2

MAX_SWEEPS = 30
"""LAPACK's limit in ``dgesvj``; graded triangles take two to eight."""

MAX_SHIFT = 4000
"""Powers of two further apart than this are 0 beside each other in any float64."""


def premultiply(
    upper: FloatArray, exponents: IntArray, rows: FloatArray
) -> tuple[IntArray, FloatArray]:
    """Return exponents and rows of ``upper`` (r,r) · diag(2**exponents) (r,) · rows (r,n)."""
    # Entry (i,k) of the first product has magnitude about 2**sizes; each row i is scaled by its own
    # largest, 2**top, so that the sum over k has terms of at most ordinary size.
    sizes = np.frexp(upper)[1].astype(np.int64) + exponents
    top = np.where(upper != 0.0, sizes, np.iinfo(np.int64).min // 2).max(axis=1)
    shifts = np.clip(exponents - top[:, None], -MAX_SHIFT, MAX_SHIFT)
    product = np.ldexp(upper, shifts) @ rows
    shift = np.frexp(np.abs(product).max(axis=1))[1].astype(np.int64)
    return top + shift, np.ldexp(product, -shift[:, None])


def log_singular_values(exponents: IntArray, rows: FloatArray) -> FloatArray:
    """Return log singular values (N,r), nats, falling, of N matrices diag(2^e) Y, with e (N,r) and
    Y = ``rows`` (N,r,n); each is as if it were alone.
    """
    lengths = np.linalg.norm(rows, axis=2)
    with np.errstate(divide="ignore"):
        logs = np.log(lengths) + exponents * LOG_2
    units = rows / np.where(lengths > 0.0, lengths, 1.0)[..., None]
    size = logs.shape[1]
    tolerance = np.sqrt(size) * np.finfo(np.float64).eps
    # Each sweep starts from sorted rows (de Rijk 1989), which speeds convergence on graded ones.
    for _ in range(MAX_SWEEPS):
        order = np.argsort(-logs, axis=1, kind="stable")
        logs = np.take_along_axis(logs, order, axis=1)
        units = np.take_along_axis(units, order[..., None], axis=1)
        largest = 0.0
        for first, second in _tournament(size):
            largest = max(largest, _rotate(logs, units, first, second, tolerance))
        if largest <= tolerance:
            break
    return -np.sort(-logs, axis=1)


@cache
def _tournament(size: int) -> list[tuple[IntArray, IntArray]]:
    """Return rounds in which each pair meets once, no player twice a round (circle method)."""
    players = size + size % 2
    circle = np.arange(1, players)
    rounds = []
    for turn in range(players - 1):
        table = np.concatenate([[0], np.roll(circle, turn)])
        pairs = np.stack([table[: players // 2], table[: players // 2 - 1 : -1]])
        # With an odd number one player sits out: its opponent does not exist.
        pairs = pairs[:, pairs.max(axis=0) < size]
        rounds.append((pairs[0], pairs[1]))
    return rounds


def _rotate(
    logs: FloatArray, units: FloatArray, first: IntArray, second: IntArray, tolerance: float
) -> float:
    """Make pairs of rows of each matrix orthogonal, in place; return the largest |cosine| met."""
    swap = logs[:, second] > logs[:, first]
    i, j = np.where(swap, second, first), np.where(swap, first, second)
    at = np.broadcast_to(np.arange(len(logs))[:, None], i.shape)
    cosine = np.einsum("mpn,mpn->mp", units[at, i], units[at, j])
    largest = float(np.max(np.abs(cosine), initial=0.0))
    met = np.abs(cosine) > tolerance
    if not met.any():
        return largest
    upper_at, lower_at, cosine = (at[met], i[met]), (at[met], j[met]), cosine[met]
    # ratio is q² of the module's formula, gap 1 − q², tau τ. Only differences of logarithms enter,
    # and q² ≤ 1, so the lengths themselves may lie outside the range of floats.
    ratio = np.exp(2.0 * (logs[lower_at] - logs[upper_at]))
    gap = 1.0 - ratio
    tau = 2.0 * cosine / (gap + np.hypot(gap, 2.0 * np.sqrt(ratio) * cosine))
    # At equal lengths the angle is 45°, and τ = ±1 follows from the formula without 0/0.
    upper = units[upper_at] + (tau * ratio)[:, None] * units[lower_at]
    lower = units[lower_at] - tau[:, None] * units[upper_at]
    # c = 1/√(1 + τ²q²): its logarithm joins that of the lengths.
    shrink = -0.5 * np.log1p(ratio * np.square(tau))
    for rows, index in ((upper, upper_at), (lower, lower_at)):
        length = np.linalg.norm(rows, axis=1)
        logs[index] += np.log(length) + shrink
        units[index] = rows / length[:, None]
    return largest
