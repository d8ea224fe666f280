"""Lyapunov exponents λ_i along a trajectory: the mean rates, in nats per step, at which the
Jacobians stretch volumes.

An orthonormal frame is carried forward and made orthonormal again by QR; the mean of log|R_ii| is
λ_i. QR comes as often as it must: the interval adapts so that the condition of one block J ⋯ J Q
stays below 1e5, which leaves ten digits or more. Where a single step is worse than that, the frame
goes through ``orthogonal.carried_basis``, which keeps the digits of units that are nearly shut and
sees which directions die.

Source: Benettin, Galgani, Giorgilli & Strelcyn (1980), Meccanica 15; Engelken, Wolf & Abbott
(2023), arXiv:2006.02427, for recurrent networks. Standard errors by batch means: Flegal & Jones
(2010), Annals of Statistics 38(2). Kaplan & Yorke (1979) for the dimension, Pesin (1977) for the
entropy rate.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradscope.arrays import BoolArray, FloatArray, IntArray
from gradscope.errors import SettingError
from gradscope.jacobians.chain import Chain, ElmanChain
from gradscope.jacobians.orthogonal import EPSILON, carried_basis, largest_entries

LARGEST_CONDITION = 1e5
"""Of a block between two QR factorizations. Its rounding moves a pivot by some 1e5 ε = 2e-11 in
relative terms."""

MOST_STEPS = 64
"""Longest interval between two factorizations, where nothing else asks for a shorter one."""

N_BATCHES = 20
"""Batches of consecutive steps whose means give the standard error (Schmeiser 1982, Operations
Research 30(3): 10 to 30 suffice)."""

LARGEST_DOUBT = 1e-4
"""Nats per step that rounding may have put into an exponent that is still trusted (convention)."""

WARM_UP_FRACTION = 0.1
"""Part of the trajectory left to the frame to turn into its directions (convention)."""


@dataclass(frozen=True, eq=False, slots=True)
class LyapunovSpectrum:
    """Exponents of every sequence, largest first.

    ``exponents`` (B,count) in nats per step, −inf for directions that die. ``standard_errors``
    (B,count) from batch means, +inf where there are fewer than two batches, 0 beside −inf.
    ``sum_rule_residual`` (B,) is |Σλ − ⟨log|det J_t|⟩| in nats per step (for a vanilla RNN the mean
    is log|det W| + Σ⟨log φ′⟩), NaN where a direction is dead and both sides are −inf; None where
    fewer than all S exponents were asked for. ``trusted`` (B,count) is False for
    exponents that rounding may have moved, and for −inf unless units that are shut account for it.
    ``state_size`` is S, and ``n_steps`` the number of steps after the warm-up.
    """

    exponents: FloatArray
    standard_errors: FloatArray
    sum_rule_residual: FloatArray | None
    trusted: BoolArray
    state_size: int
    n_steps: int

    @property
    def kaplan_yorke_dimension(self) -> FloatArray:
        """Dimension (B,) of the attractor: j + Σ_{i≤j} λ_i / |λ_{j+1}|, j the most exponents whose
        sum is not negative; S where that is all of them, NaN where too few were asked for to tell.
        """
        sums = np.cumsum(self.exponents, axis=1)
        dimension = np.empty(sums.shape[0])
        for sequence, values in enumerate(self.exponents):
            j = int(np.sum(np.cumprod(sums[sequence] >= 0.0)))
            if j < values.size:
                held = sums[sequence, j - 1] if j else 0.0
                dimension[sequence] = j + held / -values[j]
            else:
                dimension[sequence] = j if j == self.state_size else np.nan
        return dimension

    @property
    def entropy_rate(self) -> FloatArray:
        """Sum of the positive exponents (B,), nats per step: Pesin's bound on the entropy rate. NaN
        where all exponents are positive and more were not asked for.
        """
        complete = (self.exponents[:, -1] <= 0.0) | (self.exponents.shape[1] == self.state_size)
        return np.where(complete, np.maximum(self.exponents, 0.0).sum(axis=1), np.nan)


def lyapunov_exponents(
    chain: Chain,
    *,
    count: int | None = None,
    warm_up: int | None = None,
    rng: np.random.Generator | None = None,
) -> LyapunovSpectrum:
    """Return the Lyapunov exponents of every sequence of a chain.

    Parameters
    ----------
    chain : Chain
        Factors of T steps and B sequences.
    count : int, optional
        How many exponents, the largest first; all S by default.
    warm_up : int, optional
        First steps, in which the frame turns into its directions, that do not count; a tenth of T
        by default. Transients of the state itself are the caller's to leave out.
    rng : numpy.random.Generator, optional
        Draws the first frame; one of seed 0 by default, so that equal chains give equal exponents.

    Returns
    -------
    LyapunovSpectrum

    Raises
    ------
    SettingError
        If the count is not in 1 … S, or the warm-up not in 0 … T − 1.

    Notes
    -----
    Cost: one GEMM of B·count rows a step and one QR (S,count) a block and sequence.
    """
    size = chain.state_size
    kept = size if count is None else count
    if not 1 <= kept <= size:
        raise SettingError(f"the count of exponents is {count}; choose 1 to {size}, the state size")
    discarded = int(WARM_UP_FRACTION * chain.n_steps) if warm_up is None else warm_up
    if not 0 <= discarded < chain.n_steps:
        raise SettingError(
            f"the warm-up is {warm_up} steps, but the trajectory has {chain.n_steps}; choose 0 to "
            f"{chain.n_steps - 1}"
        )
    frame = _Frame(chain, kept, np.random.default_rng(0) if rng is None else rng)
    most = max(1, min(MOST_STEPS, (chain.n_steps - discarded) // (2 * N_BATCHES)))
    for _ in frame.travel(0, discarded, most):
        pass
    frame.doubt[:] = 0.0
    blocks = list(frame.travel(discarded, chain.n_steps, most))
    spans = np.array([span for span, _ in blocks])
    return _spectrum(chain, frame, spans, np.stack([logs for _, logs in blocks]))


def _spectrum(chain: Chain, frame: "_Frame", spans: IntArray, logs: FloatArray) -> LyapunovSpectrum:
    """Gather blocks of ``spans`` (N,) steps and their log|R_ii| (N,B,count)."""
    n_steps = int(spans.sum())
    dead = frame.dead()
    logs = np.where(dead, 0.0, logs)
    exponents = np.where(dead, -np.inf, logs.sum(axis=0) / n_steps)
    trusted = np.where(dead, False, frame.doubt <= LARGEST_DOUBT * n_steps)
    if dead.any():
        explained = dead.sum(axis=1) <= _most_units_shut(chain) - (chain.state_size - dead.shape[1])
        trusted |= dead & explained[:, None]
    order = np.argsort(-exponents, axis=1, kind="stable")
    residual = None
    if exponents.shape[1] == chain.state_size:
        expected = _mean_log_determinant(chain, chain.n_steps - n_steps)
        any_dead = dead.any(axis=1)
        total = np.where(any_dead, 0.0, np.where(dead, 0.0, exponents).sum(axis=1))
        residual = np.where(any_dead, np.nan, np.abs(total - np.where(any_dead, 0.0, expected)))
    return LyapunovSpectrum(
        exponents=np.take_along_axis(exponents, order, axis=1),
        standard_errors=np.take_along_axis(_standard_errors(spans, logs), order, axis=1),
        sum_rule_residual=residual,
        trusted=np.take_along_axis(trusted, order, axis=1),
        state_size=chain.state_size,
        n_steps=n_steps,
    )


def _standard_errors(spans: IntArray, logs: FloatArray) -> FloatArray:
    """Return the standard error of Σ logs/Σ spans (B,count) from the means of N_BATCHES batches."""
    n_batches = min(N_BATCHES, spans.size)
    if n_batches < 2:
        return np.where(logs.any(axis=0), np.inf, 0.0)
    ends = np.cumsum(spans)
    batch = np.minimum((ends - 1) * n_batches // ends[-1], n_batches - 1)
    starts = np.flatnonzero(np.diff(batch, prepend=-1))
    lengths = np.add.reduceat(spans, starts)[:, None, None]
    means = np.add.reduceat(logs, starts, axis=0) / lengths
    errors: FloatArray = means.std(axis=0, ddof=1) / np.sqrt(starts.size)
    return errors


def _mean_log_determinant(chain: Chain, first: int) -> FloatArray:
    """Return ⟨log|det J_t|⟩ (B,) over the steps after ``first``, −inf where one is singular."""
    if isinstance(chain, ElmanChain) and chain.leak == 1.0:
        with np.errstate(divide="ignore"):
            log_slopes = np.log(np.abs(chain.slopes[first:])).sum(axis=2).mean(axis=0)
        of_weights = np.linalg.slogdet(chain.recurrent_weights)[1]
        total: FloatArray = log_slopes + of_weights
        return total
    steps = range(first + 1, chain.n_steps + 1)
    logs: FloatArray = np.mean([np.linalg.slogdet(chain.jacobian(t))[1] for t in steps], axis=0)
    return logs


def _most_units_shut(chain: Chain) -> IntArray:
    """Return the largest number of units (B,) that are shut in one step: rows of J_t that are 0."""
    most: IntArray = np.zeros(chain.n_sequences, dtype=np.int64)
    for step in range(1, chain.n_steps + 1):
        most = np.maximum(most, (~chain.jacobian(step).any(axis=2)).sum(axis=1))
    return most


class _Frame:
    """Orthonormal vectors of every sequence under way: ``vectors`` (B,count,S), one a row, the dead
    ones zero and last. ``slots`` (B,count) says whose log|R_ii| each of them records.
    """

    def __init__(self, chain: Chain, count: int, rng: np.random.Generator) -> None:
        self._chain = chain
        drawn = np.linalg.qr(rng.standard_normal((chain.state_size, count)))[0].T
        self.vectors = np.repeat(drawn[None], chain.n_sequences, axis=0)
        self.slots = np.tile(np.arange(count), (chain.n_sequences, 1))
        self.doubt = np.zeros((chain.n_sequences, count))
        self._alive = np.full(chain.n_sequences, count)
        self._interval = 1

    def dead(self) -> BoolArray:
        """Which slots have died, (B,count)."""
        dead = np.zeros(self.slots.shape, dtype=np.bool_)
        gone = np.arange(self.slots.shape[1]) >= self._alive[:, None]
        np.put_along_axis(dead, self.slots, gone, axis=1)
        return dead

    def travel(self, start: int, stop: int, most: int) -> Iterator[tuple[int, FloatArray]]:
        """Carry the frame from h_start to h_stop; yield each block's steps and log|R_ii|."""
        step = start
        while step < stop:
            span = min(self._interval, most, stop - step)
            block = self._block(step, span)
            if block is None:
                self._interval = span // 2
                continue
            step += span
            yield span, block

    def _block(self, step: int, span: int) -> FloatArray | None:
        """Carry the frame over a block; None, nothing moved, if its condition is too large and a
        shorter one would do.
        """
        carried = self.vectors
        with np.errstate(over="ignore", invalid="ignore"):
            for each in range(step + 1, step + span + 1):
                carried = self._chain.push_forward(carried, each)
        fits = np.abs(carried).max() < 1.0 / EPSILON**6
        condition: FloatArray = np.full(self._alive.size, np.inf)
        if fits:
            q, upper = np.linalg.qr(carried.swapaxes(1, 2))
            pivots = np.abs(np.diagonal(upper, axis1=1, axis2=2))
            condition = self._condition(carried, pivots)
        worst = float(np.max(condition))
        if worst > LARGEST_CONDITION and span > 1:
            return None
        logs = np.full(self.slots.shape, -np.inf)
        for sequence in range(self._alive.size):
            if condition[sequence] > LARGEST_CONDITION:
                self._careful_step(step + 1, sequence, logs)
                continue
            alive = self._alive[sequence]
            self.vectors[sequence, :alive] = q[sequence, :, :alive].T
            logs[sequence, self.slots[sequence, :alive]] = np.log(pivots[sequence, :alive])
        allowed = np.log(LARGEST_CONDITION) * span / max(np.log(worst), EPSILON)
        self._interval = max(1, int(min(allowed, 2 * span)))
        return logs

    def _condition(self, carried: FloatArray, pivots: FloatArray) -> FloatArray:
        """Estimate each block's condition: its longest vector over its smallest pivot, infinite
        where a vector is too short to tell.
        """
        living = np.arange(pivots.shape[1]) < self._alive[:, None]
        smallest = np.where(living, pivots, np.inf).min(axis=1)
        longest = np.linalg.norm(carried, axis=2).max(axis=1)
        short = smallest < EPSILON**6
        ratio = np.maximum(longest, EPSILON**6) / np.where(short, 1.0, smallest)
        return np.where(self._alive == 0, 1.0, np.where(short, np.inf, ratio))

    def _careful_step(self, step: int, sequence: int, logs: FloatArray) -> None:
        """Carry one sequence over one step of which a single QR loses too many digits."""
        alive = self._alive[sequence]
        jacobian = self._chain.jacobian(step)[sequence]
        basis, factor, living = carried_basis(jacobian, self.vectors[sequence, :alive].T)
        slots = self.slots[sequence, :alive].copy()
        self.slots[sequence, :alive] = np.concatenate([slots[living], slots[~living]])
        self._alive[sequence] = remaining = int(living.sum())
        sizes = largest_entries(jacobian)
        self.vectors[sequence] = 0.0
        self.vectors[sequence, :remaining] = basis.T
        pivots = np.abs(np.diagonal(factor[:, living]))
        rounding = sizes.size * EPSILON * -np.sort(-sizes)[:remaining]
        self.doubt[sequence, slots[living]] += np.minimum(1.0, rounding / pivots)
        logs[sequence, slots[living]] = np.log(pivots)
