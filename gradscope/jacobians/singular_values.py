"""The whole singular spectrum of P_ℓ = ∂h_T/∂h_{T−ℓ}, small values as accurate as large ones.

Every singular value of an *explicit* product but the largest is rounding noise after a few dozen
lags, so the product is never formed. Two sweeps of QR factorizations turn it into triangles,

    P_ℓ = Q R_ℓ ⋯ R_1,        (R_ℓ ⋯ R_1)ᵀ = Z S_1 ⋯ S_ℓ,

the second starting from the directions that the first one found, so that S_1 ⋯ S_ℓ is graded and
close to diagonal once its rows are scaled; ``log_singular_values`` finds those. Each
sweep is backward stable in every factor by itself, hence each singular value has the relative
accuracy that its factors determine. ``lag_norms`` finds the largest one alone, faster. Source: D.
E. Stewart (1997), ETNA 5:29–47 (sweeps, stability); G. W. Stewart (1995), ETNA 3:39–49 (grading).

The graded matrix is X = diag(2^e) Y, rows of any scale. ``premultiply`` multiplies an upper
triangular matrix onto it with the scale of each row kept beside it, so that no row can underflow.
``log_singular_values`` is the one-sided Jacobi method with each row as (logarithm of its length,
unit vector): a rotation of two rows x_i = e^{l_i} u_i, l_i ≥ l_j, needs only ρ = u_i·u_j and
q = e^{l_j − l_i} ≤ 1,

    u_i ← c (u_i + τ q² u_j),    u_j ← c (u_j − τ u_i),    τ = 2ρ / (1 − q² + √((1−q²)² + 4q²ρ²)),

which has a limit at q = 0 (Gram–Schmidt), so lengths apart by any factor do no harm. The relative
error of each value is a modest multiple of ε κ(Y), Y with rows of unit length, whatever the scales:
Demmel & Veselić (1992), SIAM J. Matrix Anal. Appl. 13(4); Drmač & Veselić (2008), 29(4). The pairs
of one round of a tournament share no row, so that each round is one array operation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradscope.arrays import LOG_2, FloatArray, IntArray
from gradscope.errors import SettingError
from gradscope.jacobians.chain import Chain, step_shifts
from gradscope.jacobians.kernels import qr_frame
from gradscope.notebook_repr import CompactRepr
from gradscope.progress import tracked

MAX_FACTOR_ENTRIES = 2**25
"""Entries of triangular factors held at a time (256 MB); more sequences are taken in turns."""

MAX_SWEEPS = 30
"""LAPACK's limit in ``dgesvj``; graded triangles take two to eight."""

MAX_SHIFT = 4000
"""Powers of two further apart than this are 0 beside each other in any float64."""


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class SingularValues(CompactRepr):
    """The singular values of ∂h_T/∂h_{T−ℓ} at chosen lags, and what they say together.

    ``lags`` (K,) in steps. ``log_values`` (K,B,count) in nats, descending, −inf for the directions
    that the product kills. From *all* S values, whatever the count: ``log_condition`` (K,B), log
    σ_max/σ_min in nats, +inf where a direction is dead; ``stable_rank`` (K,B), Σσ²/σ_max²;
    ``participation_ratio`` (K,B), (Σσ²)²/Σσ⁴, the number of directions that share the gradient.
    Both are 0 for an exactly zero product.
    """

    lags: IntArray
    log_values: FloatArray
    log_condition: FloatArray
    stable_rank: FloatArray
    participation_ratio: FloatArray

    def compact_fields(self) -> dict[str, Any]:
        """Return sizes, and how far apart the largest and the smallest value are at the most."""
        sizes = zip(("lags", "sequences", "count"), self.log_values.shape, strict=True)
        return {**dict(sizes), "largest_log_condition": float(self.log_condition.max())}


def singular_values(
    chain: Chain, lags: Sequence[int] | IntArray, *, count: int | None = None
) -> SingularValues:
    """Return the singular values of ∂h_T/∂h_{T−ℓ} at chosen lags, all of them accurate.

    Cost, whatever the count: three (S,S) QR factorizations a step, lag and sequence, and a Jacobi
    iteration. A direction that one step shrinks to within S·ε of the rounding of its own entries
    cannot be told from a dead one, and is given as −inf. ``lags`` (K,) are in 1 … T, in any order;
    ``count`` is how many values to return, the largest first, all S by default. Raises SettingError
    if there is no lag, one is not in 1 … T, or the count is not in 1 … S.
    """
    chosen = np.asarray(lags, dtype=np.int64)
    if chosen.ndim != 1 or not chosen.size or chosen.min() < 1 or chosen.max() > chain.n_steps:
        raise SettingError(f"the lags are {chosen.tolist()}; choose from 1 to {chain.n_steps}")
    kept = chain.state_size if count is None else count
    if not 1 <= kept <= chain.state_size:
        raise SettingError(f"the count of values is {count}; choose 1 to {chain.state_size}")
    logs = np.stack([_log_values(chain, int(lag)) for lag in tracked(chosen, "singular values")])
    # All ratios from log(σ_i/σ_1) ≤ 0, so that squares and fourth powers cannot overflow.
    below_first = logs - np.where(np.isneginf(logs[..., :1]), 0.0, logs[..., :1])
    relative = np.exp(2.0 * below_first)
    total = relative.sum(axis=2)
    alive = total > 0.0
    return SingularValues(
        lags=chosen,
        log_values=logs[..., :kept],
        log_condition=-below_first[..., -1],
        stable_rank=total,
        participation_ratio=total**2 / np.where(alive, np.square(relative).sum(axis=2), 1.0),
    )


def _log_values(chain: Chain, lag: int) -> FloatArray:
    """Return the logarithms of all singular values at one lag, (B,S)."""
    size = chain.state_size
    logs = np.full((chain.n_sequences, size), -np.inf)
    at_once = max(1, MAX_FACTOR_ENTRIES // (2 * lag * size**2))
    for start in tracked(range(0, chain.n_sequences, at_once), "sequences"):
        sequences = range(start, min(start + at_once, chain.n_sequences))
        factors = _triangles(chain, lag, sequences)
        for sequence in tracked(sequences, "sequences"):
            values = _graded_values(factors[sequence - start])
            logs[sequence, : values.size] = values
    logs += LOG_2 * step_shifts(chain)[chain.n_steps - lag :].sum(axis=0)[:, None]
    return logs


def _triangles(chain: Chain, lag: int, sequences: range) -> list[list[FloatArray]]:
    """First sweep, forward: return R_1 … R_ℓ of each sequence, up to two a step."""
    bases: list[FloatArray] = [np.eye(chain.state_size) for _ in sequences]
    factors: list[list[FloatArray]] = [[] for _ in sequences]
    for step in range(chain.n_steps - lag + 1, chain.n_steps + 1):
        jacobians = chain.jacobian(step)
        for index, sequence in enumerate(sequences):
            for part in qr_frame.graded_factors(jacobians[sequence]):
                bases[index], factor, _ = qr_frame.qr_of_step(part, bases[index])
                factors[index].append(factor)
    return factors


def _graded_values(factors: list[FloatArray]) -> FloatArray:
    """Second sweep, backward over R_ℓᵀ … R_1ᵀ, then the Jacobi method on the graded triangle."""
    rank = factors[-1].shape[0]
    if rank == 0:
        return np.empty(0)
    exponents: IntArray = np.zeros(rank, dtype=np.int64)
    rows: FloatArray = np.eye(rank)
    basis: FloatArray = np.eye(rank)
    for factor in reversed(factors):
        # R_kᵀ = (D⁻¹ R_k)ᵀ D, D the row sizes: D first, by a QR with sorted rows, then the rest.
        sizes = qr_frame.largest_entries(factor)
        basis, upper = qr_frame.sorted_qr(sizes[:, None] * basis, sizes)
        exponents, rows = premultiply(upper, exponents, rows)
        basis, upper = np.linalg.qr((factor / sizes[:, None]).T @ basis)
        exponents, rows = premultiply(upper, exponents, rows)
    return log_singular_values(exponents, rows)


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
    """Return log singular values (r,), nats, falling, of diag(2**exponents) (r,) · rows (r,n)."""
    lengths = np.linalg.norm(rows, axis=1)
    with np.errstate(divide="ignore"):
        logs = np.log(lengths) + exponents * LOG_2
    units = rows / np.where(lengths > 0.0, lengths, 1.0)[:, None]
    size = logs.size
    tolerance = np.sqrt(size) * np.finfo(np.float64).eps
    # Each sweep starts from sorted rows (de Rijk 1989), which speeds convergence on graded ones.
    for _ in range(MAX_SWEEPS):
        order = np.argsort(-logs, kind="stable")
        logs, units = logs[order], units[order]
        largest = 0.0
        for first, second in _tournament(size):
            largest = max(largest, _rotate(logs, units, first, second, tolerance))
        if largest <= tolerance:
            break
    return -np.sort(-logs)


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
    """Make each pair of rows orthogonal, in place; return the largest |cosine| met."""
    swap = logs[second] > logs[first]
    i, j = np.where(swap, second, first), np.where(swap, first, second)
    cosine = np.einsum("pn,pn->p", units[i], units[j])
    largest = float(np.max(np.abs(cosine), initial=0.0))
    met = np.abs(cosine) > tolerance
    if not met.any():
        return largest
    i, j, cosine = i[met], j[met], cosine[met]
    # ratio is q² of the module's formula, gap 1 − q², tau τ. Only differences of logarithms enter,
    # and q² ≤ 1, so the lengths themselves may lie outside the range of floats.
    ratio = np.exp(2.0 * (logs[j] - logs[i]))
    gap = 1.0 - ratio
    tau = 2.0 * cosine / (gap + np.hypot(gap, 2.0 * np.sqrt(ratio) * cosine))
    # At equal lengths the angle is 45°, and τ = ±1 follows from the formula without 0/0.
    upper = units[i] + (tau * ratio)[:, None] * units[j]
    lower = units[j] - tau[:, None] * units[i]
    # c = 1/√(1 + τ²q²): its logarithm joins that of the lengths.
    shrink = -0.5 * np.log1p(ratio * np.square(tau))
    for rows, index in ((upper, i), (lower, j)):
        length = np.linalg.norm(rows, axis=1)
        logs[index] += np.log(length) + shrink
        units[index] = rows / length[:, None]
    return largest
