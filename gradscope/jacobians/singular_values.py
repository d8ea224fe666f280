"""The whole singular spectrum of P_ℓ = ∂h_T/∂h_{T−ℓ}, small values as accurate as large ones.

Every singular value of an *explicit* product but the largest is rounding noise after a few dozen
lags, so the product is never formed. Two sweeps of QR factorizations turn it into triangles,

    P_ℓ = Q R_ℓ ⋯ R_1,        (R_ℓ ⋯ R_1)ᵀ = Z S_1 ⋯ S_ℓ,

the second starting from the directions that the first one found, so that S_1 ⋯ S_ℓ is graded and
close to diagonal once its rows are scaled; ``kernels.jacobi_svd`` finds its singular values. Each
sweep is backward stable in every factor by itself, hence each singular value has the relative
accuracy that its factors determine. ``lag_norms`` finds the largest one alone, faster. Source: D.
E. Stewart (1997), ETNA 5:29–47 (sweeps, stability); G. W. Stewart (1995), ETNA 3:39–49 (grading).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.errors import SettingError
from gradscope.jacobians.chain import Chain, step_shifts
from gradscope.jacobians.diagonal import DiagonalChain, channel_norms
from gradscope.jacobians.kernels import sorted_qr
from gradscope.jacobians.kernels.jacobi_svd import log_singular_values, premultiply
from gradscope.jacobians.kernels.powers_of_two import LOG_2
from gradscope.machine import held_threads
from gradscope.notebook_repr import CompactRepr
from gradscope.progress import tracked

MAX_FACTOR_ENTRIES = 2**25
"""Entries of triangular factors held at a time (256 MB); more sequences are taken in turns."""


MAX_GRADED_ENTRIES = 2**22
"""Entries of graded triangles that wait for others of their rank (32 MB)."""


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


@held_threads()
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
    logs = _log_values(chain, chosen)
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


def _log_values(chain: Chain, lags: IntArray) -> FloatArray:
    """Return the logarithms of all singular values at some lags, (K,B,S)."""
    if isinstance(chain, DiagonalChain):
        return np.stack([-np.sort(-channel_norms(chain, [lag]).log_values[0]) for lag in lags])
    logs = np.full((lags.size, chain.n_sequences, chain.state_size), -np.inf)
    graded: dict[int, list[tuple[tuple[int, int], IntArray, FloatArray]]] = defaultdict(list)

    def finish(rank: int) -> None:
        # All that have one rank together: the Jacobi method is many small operations.
        places, powers, triangles = zip(*graded.pop(rank), strict=True)
        index, sequence = np.transpose(places)
        found = log_singular_values(np.stack(powers), np.stack(triangles))
        logs[index, sequence, :rank] = found

    for index, lag in enumerate(tracked(lags.tolist(), "singular values")):
        at_once = max(1, MAX_FACTOR_ENTRIES // (2 * lag * chain.state_size**2))
        for start in tracked(range(0, chain.n_sequences, at_once), "sequences"):
            sequences = range(start, min(start + at_once, chain.n_sequences))
            factors = _triangles(chain, lag, sequences)
            for sequence in tracked(sequences, "sequences"):
                exponents, rows = _graded_triangle(factors[sequence - start])
                rank = len(rows)
                graded[rank].append(((index, sequence), exponents, rows))
                if len(graded[rank]) * rank**2 >= MAX_GRADED_ENTRIES:
                    finish(rank)
    for rank in tuple(graded):
        finish(rank)
    shifts = np.cumsum(step_shifts(chain)[::-1], axis=0)[lags - 1]
    return np.asarray(logs + LOG_2 * shifts[..., None])


def _triangles(chain: Chain, lag: int, sequences: range) -> list[list[FloatArray]]:
    """First sweep, forward: return R_1 … R_ℓ of each sequence, up to two a step."""
    bases: list[FloatArray] = [np.eye(chain.state_size) for _ in sequences]
    factors: list[list[FloatArray]] = [[] for _ in sequences]
    for step in range(chain.n_steps - lag + 1, chain.n_steps + 1):
        jacobians = chain.jacobian(step)
        for index, sequence in enumerate(sequences):
            for part in sorted_qr.graded_factors(jacobians[sequence]):
                bases[index], factor, _ = sorted_qr.qr_of_step(part, bases[index])
                factors[index].append(factor)
    return factors


def _graded_triangle(factors: list[FloatArray]) -> tuple[IntArray, FloatArray]:
    """Second sweep, backward over R_ℓᵀ … R_1ᵀ: return the graded triangle, diag(2^e) times rows."""
    rank = factors[-1].shape[0]
    exponents: IntArray = np.zeros(rank, dtype=np.int64)
    rows: FloatArray = np.eye(rank)
    basis: FloatArray = np.eye(rank)
    for factor in reversed(factors if rank else []):
        # R_kᵀ = (D⁻¹ R_k)ᵀ D, D the row sizes: D first, by a QR with sorted rows, then the rest.
        sizes = sorted_qr.largest_entries(factor)
        basis, upper = sorted_qr.sorted_qr(sizes[:, None] * basis, sizes)
        exponents, rows = premultiply(upper, exponents, rows)
        basis, upper = np.linalg.qr((factor / sizes[:, None]).T @ basis)
        exponents, rows = premultiply(upper, exponents, rows)
    return exponents, rows
