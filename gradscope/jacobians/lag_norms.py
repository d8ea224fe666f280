"""log σ_max(∂h_T/∂h_{T−ℓ}) for every lag ℓ: how much the last state depends on one ℓ steps before.

The product P_ℓ = J_T J_{T−1} ⋯ J_{T−ℓ+1} grows to the right by one factor per lag.
``kernels.rank_adaptive`` keeps the few rows of it that still matter, ``kernels.lanczos`` takes
σ_max of them; sequences are measured in parts that fit the cache, and again where the certificate
asks for it. Source: Pascanu, Mikolov & Bengio (2013), arXiv:1211.5063, section 2.1.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from gradscope.arrays import BoolArray, FloatArray, IntArray, quantiles
from gradscope.errors import SettingError
from gradscope.jacobians.chain import Chain
from gradscope.jacobians.diagonal import DiagonalChain, as_diagonal, channel_norms
from gradscope.jacobians.kernels import rank_adaptive
from gradscope.jacobians.kernels.lanczos import leading_singular_values
from gradscope.jacobians.kernels.powers_of_two import LOG_2
from gradscope.machine import held_threads
from gradscope.notebook_repr import NotebookResult
from gradscope.progress import tracked, work

# Shares of the tolerance.
SHARE_OF_TRUNCATION = 0.7
SHARE_OF_ITERATION = 0.3
# Where the certificate fails, at most this much of the drop is tried again, and less where the
# failure is grave: the error goes with the square of the drop. Below the limit nothing is dropped.
RETRY_FACTOR = 0.1
MIN_DROP = 1e-12
NOWHERE: Mapping[int, FloatArray] = MappingProxyType({})
"""No lag at which a direction is wanted."""

# So few rows cost nothing worth saving.
SMALL_STATE = 16
# Bytes of rows, their successors and their scaled copy in one part; 32 MB was slower (measured).
CACHE_BYTES = 6 * 2**20


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class LagNorms(NotebookResult):
    """The lag profile of every sequence.

    ``lags`` (L,) are 1 … L in steps; ``log_norms`` (L,B) are in nats, −inf from the lag on at which
    the product is exactly zero; ``certificate`` (L,B) bounds the relative error of σ_max;
    ``directions``, at the lags where they were asked for, are the leading right singular vectors
    (B,S): unit vectors at h_{T−ℓ} which ∂h_T/∂h_{T−ℓ} stretches by σ_max, within the certificate
    (any unit vectors where the product is zero).
    """

    lags: IntArray
    log_norms: FloatArray
    certificate: FloatArray
    directions: Mapping[int, FloatArray] = field(default_factory=dict)

    def compact_fields(self) -> dict[str, Any]:
        """Return sizes, the median of the longest lag, and the worst certificate."""
        lags, sequences = self.log_norms.shape
        return {
            "lags": lags,
            "sequences": sequences,
            "last_log_norm": float(quantiles(self.log_norms[-1], (0.5,))[0]),
            "certificate": float(self.certificate.max()),
        }


@held_threads()
def lag_norms(
    chain: Chain,
    max_lag: int | None = None,
    *,
    tolerance: float = 1e-6,
    directions_at: Iterable[int] = (),
) -> LagNorms:
    """Return log σ_max(∂h_T/∂h_{T−ℓ}) for every lag ℓ = 1 … max_lag.

    Cost: 2rS² a lag and sequence plus the norms, where r is the number of rows still kept: S at
    first, a few where the singular values have spread. Deterministic: the random rows behind the
    certificate have a fixed seed. A sequence whose certificate exceeds the tolerance is
    measured again, dropping at least ten times less, in the end nothing.

    ``max_lag`` is in steps, all T by default; ``tolerance`` the largest relative error of σ_max,
    rounding aside; ``directions_at`` lags, up to ``max_lag``, the leading directions are given too,
    at the cost of an eigendecomposition of r rows each. The certificate is the bound on what was
    dropped, which holds at any one lag with probability 1 − 4⁻⁸, plus the estimated errors of the
    iteration and of rounding, ε √S ℓ in the product and 2 ε |log σ_max| in its logarithm. Not in
    it: rounding in a direction far below σ_max that later factors bring back above it. A product in
    double precision has no digits of it; ``verify_lag_norms`` shows it by QR sweeps.

    Raises SettingError if ``max_lag`` or a lag for a direction is not in 1 … T, or the tolerance
    is not in (0, 1).
    """
    check_tolerance(tolerance)
    chain = as_diagonal(chain)
    if isinstance(chain, DiagonalChain) and not chain.n_steps:
        return _norms_of_blocks(chain, max_lag)
    longest = chain.n_steps if max_lag is None else max_lag
    if not 1 <= longest <= chain.n_steps:
        raise SettingError(f"the longest lag is {max_lag}; choose 1 to {chain.n_steps}")
    ends = np.full(chain.n_sequences, chain.n_steps)
    sequences = np.arange(chain.n_sequences)
    log_norms = np.empty((longest, chain.n_sequences))
    certificate = np.empty_like(log_norms)
    wanted = sorted({int(lag) for lag in directions_at})
    if wanted and not 1 <= wanted[0] <= wanted[-1] <= longest:
        raise SettingError(f"directions are asked for at lags {wanted}; choose from 1 to {longest}")
    if wanted and isinstance(chain, DiagonalChain):
        logs = channel_norms(chain, wanted).log_values
        largest = np.arange(chain.state_size) == logs.argmax(axis=-1)[..., None]
        directions = dict(zip(wanted, largest.astype(np.float64), strict=True))
    else:
        shape = chain.n_sequences, chain.state_size
        directions = {lag: np.empty(shape) for lag in wanted}
    for part in tracked(parts(chain.n_sequences, chain), "norms by lag"):
        log_norms[:, part], certificate[:, part] = measure(
            chain,
            ends[part],
            sequences[part],
            longest,
            tolerance,
            {lag: vectors[part] for lag, vectors in directions.items()},
        )
    return LagNorms(np.arange(1, longest + 1), log_norms, certificate, directions)


def _norms_of_blocks(chain: DiagonalChain, max_lag: int | None) -> LagNorms:
    """Measure factors that come block by block, as many as there are or as asked for."""
    running, found, left = (
        chain.start(chain.n_sequences),
        [],
        np.inf if max_lag is None else max_lag,
    )
    for block in chain.read_blocks():
        found.append(running.extend(block[: int(min(left, len(block)))]))
        left -= len(block)
        if left <= 0:
            break
    log_norms = np.concatenate(found)
    if 0 < left < np.inf or not len(log_norms):
        raise SettingError(f"the longest lag is {max_lag}; choose 1 to {len(log_norms)}")
    lags = np.arange(1, log_norms.shape[0] + 1)
    return LagNorms(lags, log_norms, rounding_error(log_norms, lags, 1))


def check_tolerance(tolerance: float) -> None:
    """Refuse a tolerance that is not in (0, 1)."""
    if not 0.0 < tolerance < 1.0:
        raise SettingError(f"the tolerance is {tolerance}; choose a number between 0 and 1")


def parts(count: int, chain: Chain) -> list[slice]:
    """Return slices of ``count`` products whose rows fit into the cache together."""
    rows = 1 if isinstance(chain, DiagonalChain) else chain.state_size
    each = max(1, CACHE_BYTES // (3 * 8 * rows * chain.state_size))
    return [slice(start, min(start + each, count)) for start in range(0, count, each)]


def measure(
    chain: Chain,
    ends: IntArray,
    sequences: IntArray,
    longest: int,
    tolerance: float,
    directions: Mapping[int, FloatArray] = NOWHERE,
) -> tuple[FloatArray, FloatArray]:
    """Return log σ_max(∂h_t/∂h_{t−ℓ}) and its certificate, both (L,N), for N pairs of t (``ends``,
    descending) and sequence, ℓ = 1 … L ≤ ends[0]; 0 in both for lags that reach past h_0. Unless J
    is diagonal, fill in the leading ``directions`` (N,S) at some of the lags.
    """
    if isinstance(chain, DiagonalChain):
        running, blocks = chain.start(ends.size), chain.read(ends, sequences, longest)
        log_norms = np.concatenate([running.extend(each) for each in blocks])
        lags = np.arange(1, longest + 1)
        past = lags[:, None] > ends
        log_norms[past] = 0.0
        return log_norms, np.where(past, 0.0, rounding_error(log_norms, lags, 1))
    drop = rank_adaptive.drop_within(SHARE_OF_TRUNCATION * tolerance, chain.state_size)
    drop = 0.0 if chain.state_size <= SMALL_STATE else drop
    log_norms, certificate = np.zeros((2, longest, ends.size))
    failed: BoolArray = np.full(ends.size, fill_value=True)
    while True:
        reach = min(longest, int(ends[failed].max()))
        some = {lag: np.empty_like(each[failed]) for lag, each in directions.items()}
        log_norms[:reach, failed], certificate[:reach, failed] = _profile(
            chain, ends[failed], sequences[failed], reach, tolerance, drop, some
        )
        for lag, vectors in some.items():
            directions[lag][failed] = vectors
        failed = np.any(certificate > tolerance, axis=0)
        if drop == 0.0 or not failed.any():
            break
        # The error goes with drop²: √(tolerance/certificate) would just do, RETRY_FACTOR is margin.
        drop *= RETRY_FACTOR * float(np.sqrt(tolerance / certificate.max()))
        drop = drop if drop > MIN_DROP else 0.0
    lags = np.arange(1, longest + 1)[:, None]
    rounding = rounding_error(log_norms, lags[:, 0], chain.state_size)
    return log_norms, np.where(lags <= ends, certificate + rounding, 0.0)


def rounding_error(log_norms: FloatArray, lags: IntArray, entries: int) -> FloatArray:
    """Return an estimate, no bound, of the relative rounding error of σ_max (L,N): ε times the root
    of the ``entries`` of a scalar product per factor, ε in log σ and in the sum of exponents each.
    """
    of_logs = 2.0 * np.where(np.isfinite(log_norms), np.abs(log_norms), 0.0)
    rounding: FloatArray = np.finfo(np.float64).eps * (np.sqrt(entries) * lags[:, None] + of_logs)
    return rounding


def _profile(
    chain: Chain,
    ends: IntArray,
    sequences: IntArray,
    longest: int,
    tolerance: float,
    drop: float,
    directions: Mapping[int, FloatArray],
) -> tuple[FloatArray, FloatArray]:
    """Return what ``measure`` does, from one run with one drop, rounding left out."""
    product = rank_adaptive.RankAdaptiveProduct(chain, ends, sequences, drop)
    log_norms = np.zeros((longest, ends.size))
    certificate = np.zeros((longest, ends.size))
    steps = 0
    with work("lags", longest) as at:
        while product.lag < longest:
            running = int(np.count_nonzero(ends > product.lag))
            product.keep(running)
            stretch = product.extend(longest - product.lag)
            shape = stretch.exponents.shape
            rows = stretch.kept.reshape(-1, *stretch.kept.shape[2:])
            # As long as nothing was dropped, the iteration has the whole tolerance.
            share = SHARE_OF_ITERATION if stretch.probes.size else 1.0
            leading = leading_singular_values(rows, share * tolerance, steps)
            steps = leading.steps
            sigma = leading.sigma.reshape(shape)
            here = slice(stretch.lag, product.lag), slice(running)
            with np.errstate(divide="ignore"):
                log_norms[here] = np.log(sigma) + stretch.exponents * LOG_2
            dropped = rank_adaptive.truncation_error(stretch.probes, sigma)
            certificate[here] = dropped + leading.error.reshape(shape)
            for lag in directions.keys() & set(range(stretch.lag + 1, product.lag + 1)):
                directions[lag][:running] = _leading_direction(stretch.kept[lag - stretch.lag - 1])
            product.compress(sigma[-1])
            at.done = product.lag
    past = np.arange(1, longest + 1)[:, None] > ends
    log_norms[past] = certificate[past] = 0.0
    return log_norms, certificate


def _leading_direction(rows: FloatArray) -> FloatArray:
    """Return the leading right singular vectors (N,S) of R (N,r,S), any unit vector of a zero."""
    left = np.linalg.eigh(rows @ rows.swapaxes(1, 2))[1][:, None, :, -1]
    vectors = (left @ rows)[:, 0]
    vectors[~vectors.any(axis=1), 0] = 1.0
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
