"""Lyapunov exponents λ_i along a trajectory: the mean rates, in nats per step, at which the
Jacobians stretch volumes, as means of log|R_ii| of repeated QR (``kernels.qr_frame``).

Source: Benettin, Galgani, Giorgilli & Strelcyn (1980), Meccanica 15; Engelken, Wolf & Abbott
(2023), arXiv:2006.02427. Standard errors by batch means: Flegal & Jones (2010), Annals of
Statistics 38(2). Kaplan & Yorke (1979) for the dimension, Pesin (1977) for entropy.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradscope.arrays import BoolArray, FloatArray, IntArray, quantiles
from gradscope.errors import SettingError
from gradscope.jacobians.chain import Chain, ElmanChain, step_shifts
from gradscope.jacobians.diagonal import DiagonalChain, channel_norms
from gradscope.jacobians.kernels.powers_of_two import LOG_2
from gradscope.jacobians.kernels.qr_frame import Frame
from gradscope.machine import held_threads
from gradscope.model.elman import has_leak
from gradscope.notebook_repr import CompactRepr

MAX_STEPS = 64
"""Longest interval between two factorizations, where nothing else asks for a shorter one."""

BATCHES, WIDENED = (20, 10, 5, 2), 1.1
"""Batches of steps whose means give the standard error (Schmeiser 1982, Operations Research 30(3)):
the largest of several, since few long ones see slow fluctuations, the two halves a frame that still
turns, many short ones have the freedom; and a factor for it. With 20 alone, ±1.96 of it held 83 to
93 % of the true exponents of tanh nets (gain .9 to 3, 100 to 1000 steps); so 91 to 98 %."""

MAX_DOUBT = 1e-4
"""Nats per step that rounding may have put into an exponent that is still trusted (convention)."""

ERRORS_APART = 2.0
"""Standard errors from 0 beyond which a sign is believed (``explain standard error``)."""

WARM_UP_FRACTION = 0.1
"""Part of the trajectory in which the vectors turn into the Lyapunov directions (convention)."""


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class LyapunovSpectrum(CompactRepr):
    """Exponents of every sequence, largest first.

    ``exponents`` (B,count) in nats per step, −inf for directions that die. ``standard_errors``
    (B,count) from batch means (``BATCHES``), +inf where there are fewer than two, 0 beside −inf.
    ``sum_rule_residual`` (B,) is |Σλ − ⟨log|det J_t|⟩| in nats per step (for a vanilla RNN the mean
    is log|det W| + Σ⟨log φ′⟩), NaN where a direction is dead and both sides are −inf; None where
    fewer than all S exponents were asked for. ``trusted`` (B,count) is False for
    exponents that rounding may have moved, and for −inf unless units that are shut account for it.
    ``state_size`` is S, and ``n_steps`` the number of steps after the ``warm_up``.
    """

    exponents: FloatArray
    standard_errors: FloatArray
    sum_rule_residual: FloatArray | None
    trusted: BoolArray
    state_size: int
    n_steps: int
    warm_up: int = 0

    def compact_fields(self) -> dict[str, Any]:
        """Return sizes, the median of the largest exponent, and how many are to be trusted."""
        sequences, count = self.exponents.shape
        return {
            "sequences": sequences,
            "count": count,
            "largest": float(quantiles(self.exponents[:, 0], (0.5,))[0]),
            "trusted": int(self.trusted.sum()),
            "n_steps": self.n_steps,
        }

    @property
    def resolved(self) -> FloatArray:
        """The exponents (B,count), 0 where they are within two standard errors of it."""
        errors = np.where(np.isfinite(self.standard_errors), self.standard_errors, 0.0)
        return np.where(np.abs(self.exponents) <= ERRORS_APART * errors, 0.0, self.exponents)

    @property
    def kaplan_yorke_dimension(self) -> FloatArray:
        """Dimension (B,) of the attractor: j + Σ_{i≤j} λ_i / |λ_{j+1}|, j the most ``resolved``
        exponents of a sum not below 0; S where that is all, NaN where too few were asked for.
        """
        sums = np.cumsum(self.resolved, axis=1)
        dimension = np.empty(sums.shape[0])
        for sequence, values in enumerate(self.resolved):
            j = int(np.sum(np.cumprod(sums[sequence] >= 0.0)))
            if j < values.size:
                held = sums[sequence, j - 1] if j else 0.0
                dimension[sequence] = j + held / -values[j]
            else:
                dimension[sequence] = j if j == self.state_size else np.nan
        return dimension

    @property
    def entropy_rate(self) -> FloatArray:
        """Sum of the positive ``resolved`` exponents (B,), nats per step: Pesin's bound on the
        entropy rate. NaN where all exponents are positive and more were not asked for.
        """
        complete = (self.exponents[:, -1] <= 0.0) | (self.exponents.shape[1] == self.state_size)
        return np.where(complete, np.maximum(self.resolved, 0.0).sum(axis=1), np.nan)


@held_threads()
def lyapunov_exponents(
    chain: Chain,
    *,
    count: int | None = None,
    warm_up: int | None = None,
    rng: np.random.Generator | None = None,
) -> LyapunovSpectrum:
    """Return the ``count`` largest Lyapunov exponents of every sequence, all S by default.

    ``warm_up`` is the number of first steps that do not count, in which the vectors turn into the
    Lyapunov directions; a tenth of T by default. Transients of the state itself are the caller's to
    leave out. ``rng`` draws the first vectors; seed 0 by default, so that equal chains give equal
    exponents. Cost: one GEMM of B·count rows per step and one QR (S,count) per block and sequence;
    of a ``DiagonalChain``, whose exponents are the means ⟨log|a_t|⟩ of its channels, one pass.

    Raises SettingError if the count is not in 1 … S, or the warm-up not in 0 … T − 1.
    """
    size = chain.state_size
    kept = size if count is None else count
    if not 1 <= kept <= size:
        raise SettingError(f"the count of exponents is {count}; choose 1 to {size}, the state size")
    if not chain.n_steps:
        raise SettingError("the factors are an iterator; give an array or a memory map for this")
    discarded = int(WARM_UP_FRACTION * chain.n_steps) if warm_up is None else warm_up
    if not 0 <= discarded < chain.n_steps:
        raise SettingError(f"the warm-up is {warm_up} steps; choose 0 to {chain.n_steps - 1}")
    most = max(1, min(MAX_STEPS, (chain.n_steps - discarded) // (2 * BATCHES[0])))
    if isinstance(chain, DiagonalChain):
        return _of_channels(chain, kept, discarded, most)
    frame = Frame(chain, kept, np.random.default_rng(0) if rng is None else rng)
    for _ in frame.travel(0, discarded, most):
        pass
    frame.doubt[:] = 0.0
    blocks = list(frame.travel(discarded, chain.n_steps, most))
    spans = np.array([span for span, _ in blocks])
    starts = discarded + np.cumsum(spans) - spans
    shifts = np.add.reduceat(step_shifts(chain), starts, axis=0)[:, :, None]
    logs = np.stack([logs for _, logs in blocks]) + LOG_2 * shifts
    return _spectrum(chain, frame, spans, logs)


def _spectrum(chain: Chain, frame: Frame, spans: IntArray, logs: FloatArray) -> LyapunovSpectrum:
    """Gather blocks of ``spans`` (N,) steps and their log|R_ii| (N,B,count)."""
    n_steps = int(spans.sum())
    past, dead = chain.n_steps - n_steps, frame.dead()
    logs = np.where(dead, 0.0, logs)
    living = logs.sum(axis=0) / n_steps
    exponents = np.where(dead, -np.inf, living)
    trusted = ~dead & (frame.doubt <= MAX_DOUBT * n_steps)
    if dead.any():
        # Units that are shut in one step: rows of J_t that are 0.
        steps = range(1, chain.n_steps + 1)
        shut = np.max([(~chain.jacobian(t).any(axis=2)).sum(axis=1) for t in steps], axis=0)
        explained = dead.sum(axis=1) <= shut - (chain.state_size - dead.shape[1])
        trusted |= dead & explained[:, None]
    order = np.argsort(-exponents, axis=1, kind="stable")
    residual = None
    if exponents.shape[1] == chain.state_size:
        # Volumes are stretched by |det J_t|, so Σλ_i = ⟨log|det J_t|⟩ whatever the vectors were.
        difference = np.abs(living.sum(axis=1) - _mean_log_determinant(chain, past))
        residual = np.where(dead.any(axis=1), np.nan, difference)
    found, errors, sure = (
        np.take_along_axis(each, order, axis=1)
        for each in (exponents, _standard_errors(spans, logs), trusted)
    )
    return LyapunovSpectrum(found, errors, residual, sure, chain.state_size, n_steps, past)


def _of_channels(chain: DiagonalChain, count: int, past: int, most: int) -> LyapunovSpectrum:
    """Return the exponents of a diagonal chain: ⟨log|a_t|⟩ of every channel, largest first."""
    lags = np.append(np.arange(most, chain.n_steps - past, most), chain.n_steps - past)
    sums = channel_norms(chain, lags).log_values
    means, dead = sums[-1] / lags[-1], np.isneginf(sums[-1])
    logs = np.diff(np.where(dead, 0.0, sums), axis=0, prepend=0.0)
    errors = _standard_errors(np.diff(lags, prepend=0), logs)
    order = np.argsort(-means, axis=1, kind="stable")[:, :count]
    found, about = (np.take_along_axis(each, order, axis=1) for each in (means, errors))
    residual = np.where(dead.any(axis=1), np.nan, 0.0) if count == means.shape[1] else None
    sizes = chain.state_size, int(lags[-1]), past
    return LyapunovSpectrum(found, about, residual, np.ones_like(found, dtype=np.bool_), *sizes)


def _standard_errors(spans: IntArray, logs: FloatArray) -> FloatArray:
    """Return the standard error of Σ logs/Σ spans (B,count) from the means of ``BATCHES``."""
    if spans.size < 2:
        return np.where(logs.any(axis=0), np.inf, 0.0)
    ends, found = np.cumsum(spans), np.zeros(logs.shape[1:])
    for n_batches in (min(each, spans.size) for each in BATCHES):
        batch = np.minimum((ends - 1) * n_batches // ends[-1], n_batches - 1)
        starts = np.flatnonzero(np.diff(batch, prepend=-1))
        lengths = np.add.reduceat(spans, starts)[:, None, None]
        means = np.add.reduceat(logs, starts, axis=0) / lengths
        found = np.maximum(found, WIDENED * means.std(axis=0, ddof=1) / np.sqrt(starts.size))
    return found


def _mean_log_determinant(chain: Chain, first: int) -> FloatArray:
    """Return ⟨log|det J_t|⟩ (B,) over the steps after ``first``, −inf where one is singular."""
    if isinstance(chain, ElmanChain) and not has_leak(chain.leak):
        with np.errstate(divide="ignore"):
            log_slopes = np.log(np.abs(chain.slopes[first:])).sum(axis=2).mean(axis=0)
        of_weights = _log_determinant(chain.recurrent_weights)
        shifts = chain.state_size * step_shifts(chain)[first:].mean(axis=0)
        return np.asarray(log_slopes + of_weights + LOG_2 * shifts)
    steps = range(first + 1, chain.n_steps + 1)
    return np.asarray(np.mean([_log_determinant(chain.jacobian(t)) for t in steps], axis=0))


def _log_determinant(matrices: FloatArray) -> FloatArray:
    """Return log|det| of a matrix (S,S), or several, scaled first: subnormals have few digits."""
    exponent = np.frexp(np.abs(matrices).max(axis=(-2, -1)))[1]
    with np.errstate(divide="ignore"):
        logs = np.linalg.slogdet(np.ldexp(matrices, -exponent[..., None, None]))[1]
    return np.asarray(logs + matrices.shape[-1] * exponent * LOG_2)
