"""Orthonormal vectors propagated along a chain by QR: J_t ⋯ J_1 Q_0 = Q_t R_t ⋯ R_1.

QR comes as often as it must: the interval adapts so that no pivot of a block J ⋯ J Q is smaller
than 1e-6 of the vector it is left from. Where a single step is worse than that, ``sorted_qr``
factors it. Source: Benettin, Galgani, Giorgilli & Strelcyn (1980), Meccanica 15.
"""

from collections.abc import Iterator

import numpy as np

from gradscope.arrays import BoolArray, FloatArray
from gradscope.jacobians.chain import Chain
from gradscope.jacobians.kernels import sorted_qr
from gradscope.jacobians.kernels.sorted_qr import EPSILON
from gradscope.progress import work

MAX_CONDITION = 1e6
"""A vector's length over its pivot, between two QR factorizations. It is some ten times the ratio
of the pivots, and 1e6 ε = 2e-10 is what rounding makes of a pivot, 1e-11 of an exponent: measured
2e-12 to 2e-11 over chaotic tanh nets of 64 to 256 units, 1.5 times as fast as QR a step."""

PRUDENCE = 0.9
"""Part taken of the interval that the last block promises: a block too long is done again."""

SHORTEST = EPSILON**6
"""Vectors between this and its inverse, 1e±94, can be squared; beyond, blocks are shortened."""


class Frame:
    """Orthonormal vectors of every sequence: ``vectors`` (B,count,S), one a row, the dead ones zero
    and last. ``slots`` (B,count) says whose log|R_ii| each of them records; ``doubt`` (B,count)
    adds up what rounding may have put into each, in nats.
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
        """Propagate from h_start to h_stop; yield each block's steps and log|R_ii| (B,count)."""
        step = start
        with work("Lyapunov exponents", stop - start) as at:
            while step < stop:
                span = min(self._interval, most, stop - step)
                block = self._block(step, span)
                if block is None:
                    continue
                step += span
                at.done = step - start
                yield span, block

    def _block(self, step: int, span: int) -> FloatArray | None:
        """Propagate over a block of steps; None, nothing moved, if a shorter one is called for."""
        images = self.vectors
        with np.errstate(over="ignore", invalid="ignore"):
            for each in range(step + 1, step + span + 1):
                images = self._chain.jvp(images, each)
            lengths = np.sqrt(np.einsum("bks,bks->bk", images, images))
        condition: FloatArray = np.full(self._alive.size, np.inf)
        # NaN and infinite lengths fail this comparison too, and leave the condition infinite.
        if lengths.max() < 1.0 / SHORTEST:
            # One QR of the whole block: J_{t+m} ⋯ J_{t+1} Q_t = Q_{t+m} R, with R the product of
            # the triangles that QR at every step would give: log|R_ii| adds up to the same sum.
            q, upper = np.linalg.qr(images.swapaxes(1, 2))
            pivots = np.abs(np.diagonal(upper, axis1=1, axis2=2))
            condition = self._condition(lengths, pivots)
        worst = float(np.max(condition))
        # worst ≈ exp(rate · span), so MAX_CONDITION is reached after log(MAX_CONDITION)/rate steps.
        allowed = PRUDENCE * np.log(MAX_CONDITION) * span / max(np.log(worst), EPSILON)
        most = span - 1 if worst > MAX_CONDITION else 2 * span
        self._interval = max(1, int(min(allowed, most)) if np.isfinite(worst) else span // 2)
        if worst > MAX_CONDITION and span > 1:
            return None
        logs = np.full(self.slots.shape, -np.inf)
        for sequence in range(self._alive.size):
            if condition[sequence] > MAX_CONDITION:
                # Here span is 1, and a plain QR of J Q still loses more digits than are allowed.
                logs[sequence, self.slots[sequence, : self._alive[sequence]]] = 0.0
                for factor in sorted_qr.graded_factors(self._chain.jacobian(step + 1)[sequence]):
                    self._careful_factor(factor, sequence, logs)
                continue
            alive = self._alive[sequence]
            self.vectors[sequence, :alive] = q[sequence, :, :alive].T
            logs[sequence, self.slots[sequence, :alive]] = np.log(pivots[sequence, :alive])
        return logs

    def _condition(self, lengths: FloatArray, pivots: FloatArray) -> FloatArray:
        """Return the largest length of a vector over its pivot (B,), inf where a pivot is tiny."""
        living = np.arange(pivots.shape[1]) < self._alive[:, None]
        short = (living & (pivots < SHORTEST)).any(axis=1)
        counts = living & (pivots >= SHORTEST)
        ratio = np.where(counts, lengths / np.where(counts, pivots, 1.0), 1.0).max(axis=1)
        return np.where(short, np.inf, ratio)

    def _careful_factor(self, factor: FloatArray, sequence: int, logs: FloatArray) -> None:
        """Propagate one sequence through one factor of a step; add to its ``logs``."""
        alive = self._alive[sequence]
        basis, upper, living = sorted_qr.qr_of_step(factor, self.vectors[sequence, :alive].T)
        # Vectors that die keep their slots, behind those that live on.
        slots = self.slots[sequence, :alive].copy()
        self.slots[sequence, :alive] = np.concatenate([slots[living], slots[~living]])
        self._alive[sequence] = remaining = int(living.sum())
        sizes = sorted_qr.largest_entries(factor)
        self.vectors[sequence] = 0.0
        self.vectors[sequence, :remaining] = basis.T
        pivots = np.abs(np.diagonal(upper[:, living]))
        # The row-wise backward error, S·ε·(row size), over the pivot is the error of its logarithm.
        rounding = sizes.size * EPSILON * -np.sort(-sizes)[:remaining]
        self.doubt[sequence, slots[living]] += np.minimum(1.0, rounding / pivots)
        logs[sequence, slots[living]] += np.log(pivots)
        logs[sequence, slots[~living]] = -np.inf
