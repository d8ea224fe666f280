"""Chains whose Jacobians are diagonal: gates and state-space layers, of any number of channels.

A product of diagonal Jacobians is diagonal: a channel's entry is the product of its own factors,
and σ_max the largest of them, exact at one multiplication and one comparison per channel and lag.
Of this kind are minGRU and minLSTM (Feng et al. 2024, arXiv:2410.01201), LRU (Orvieto et al. 2023,
arXiv:2303.06349), S4D, S5, Mamba (Gu & Dao 2023, arXiv:2312.00752), RG-LRU.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain as chained
from typing import Any

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.errors import SettingError, ShapeError
from gradscope.jacobians.chain import Chain, ElmanChain
from gradscope.jacobians.kernels.powers_of_two import LOG_2
from gradscope.notebook_repr import CompactRepr

BLOCK_ENTRIES = 2**19
"""Factors that are taken at a time (4 MB)."""

MAX_STRETCH, ROOM, ASLEEP = 64, 450.0, -480
"""Most lags between two changes of the scale, and powers of two that products may move in between;
a channel this far below the largest waits, since before the next change it cannot become that."""


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class DiagonalChain(Chain):
    """The chain of J_t = diag(a_t), a_t (B,S) the gates or decays at step t.

    ``factors`` is an array or memory map (T,B,S), a_t at ``[t-1]``; or an iterator of blocks
    (t,B,S), newest first and within each, which ``lag_norms`` or ``channel_norms`` reads once and
    to its end, whatever its length. A complex channel counts as its modulus, on which norms,
    singular values and exponents depend alone. What has one decay for many entries of its state, a
    head of RetNet, mLSTM or Mamba-2 for its whole matrix, is given once per head, (T,B,heads):
    norms and map are those of all entries; values, exponents and shares count heads.

    Raises ShapeError if a shape does not fit, or, when they are read, a factor is not finite.
    """

    factors: Any
    blocks: list[Iterator[Any]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        shape: tuple[int, ...] = getattr(self.factors, "shape", ())
        object.__setattr__(self, "blocks", [])
        if not shape and isinstance(self.factors, Iterator):
            first: Any = next(self.factors, None)
            shape = (0, *np.shape(first)[1:])
            self.blocks.append(chained([first], self.factors))
        if len(shape) != 3 or 0 in shape[len(self.blocks) :]:
            raise ShapeError(f"factors have shape {shape}; give (T,B,S), each size 1 or more")
        object.__setattr__(self, "_sizes", shape)

    def _moduli(self, step: int) -> FloatArray:
        if not self.n_steps:
            raise SettingError(
                "the factors are an iterator; give an array or a memory map for this"
            )
        found: FloatArray = self.factors[step - 1]
        return found if np.isrealobj(found) else np.abs(found)

    def jacobian(self, step: int) -> FloatArray:
        """J_t, (B,S,S)."""
        dense: FloatArray = self._moduli(step)[:, :, None] * np.eye(self.state_size)
        return dense

    def vjp(self, rows: FloatArray, step: int) -> FloatArray:
        """Rows · J_t."""
        carried: FloatArray = rows * self._moduli(step)[:, None]
        return carried

    def jvp(self, vectors: FloatArray, step: int) -> FloatArray:
        """J_t v, which is v · J_t."""
        return self.vjp(vectors, step)

    def accumulate_vjp(
        self, rows: FloatArray | None, steps: IntArray, sequences: IntArray, out: FloatArray
    ) -> IntArray:
        """Rows · J_t · 2**−e over consecutive steps."""
        exponents = np.empty(steps.shape, dtype=np.int64)
        for index, step in enumerate(steps):
            factors = _checked(self.factors[step - 1, sequences])
            exponents[index] = np.frexp(factors.max(axis=1))[1]
            factors = np.ldexp(factors, -exponents[index][:, None])[:, None]
            rows = np.multiply(
                np.eye(self.state_size) if rows is None else rows, factors, out=out[index]
            )
        return exponents

    def start(self, count: int) -> "RunningProducts":
        """Return ``count`` products before their first factor."""
        return RunningProducts((count, self.state_size))

    def read(self, ends: IntArray, sequences: IntArray, longest: int) -> Iterator[FloatArray]:
        """Yield |a| (m,N,S) of consecutive lags of N products that end at the states ``ends`` of
        ``sequences``; past h_0 that of step 1.
        """
        count = max(1, BLOCK_ENTRIES // (ends.size * self.state_size))
        whole = (ends == ends[0]).all() and np.array_equal(sequences, range(self.n_sequences))
        for start in range(0, longest, count):
            lags = np.arange(start, min(start + count, longest))
            steps = np.maximum(ends - lags[:, None], 1) - 1
            some = slice(steps[-1, 0], steps[0, 0] + 1)
            yield _checked(self.factors[some][::-1] if whole else self.factors[steps, sequences])

    def read_blocks(self) -> Iterator[FloatArray]:
        """Yield |a| (t,B,S) of an iterator; SettingError if it was read before."""
        if not self.blocks:
            raise SettingError("the factors are an iterator that was read; make the chain again")
        for block in self.blocks.pop():
            if np.shape(block)[1:] != self._sizes[1:]:
                raise ShapeError(f"a block has shape {np.shape(block)}; give (t,{self._sizes[1:]})")
            rows = max(1, BLOCK_ENTRIES // (self.n_sequences * self.state_size))
            for start in range(0, len(block), rows):
                yield _checked(block[start : start + rows])


def as_diagonal(chain: Chain) -> Chain:
    """Return a ``DiagonalChain`` in place of the chain of a vanilla RNN whose W is diagonal."""
    if not isinstance(chain, ElmanChain) or chain.shifts is not None:
        return chain
    weights = np.diagonal(chain.recurrent_weights)
    if np.count_nonzero(chain.recurrent_weights) != np.count_nonzero(weights):
        return chain
    return DiagonalChain(chain.slopes * (chain.leak * weights) + (1.0 - chain.leak))


def _checked(factors: Any) -> FloatArray:
    """Return |a| in float64."""
    found = np.asarray(factors)
    if np.iscomplexobj(found) or found.min() < 0.0:
        found = np.abs(found)
    if not np.isfinite(found.max()):
        raise ShapeError("a factor is not finite; give finite numbers")
    return found.astype(np.float64, copy=False)


class RunningProducts:
    """|a_T a_{T−1} ⋯| of N products and S channels as ``parts`` times 2**``exponents``."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.parts, self.exponents = np.ones(shape), np.zeros(shape, dtype=np.int64)

    def extend(self, factors: FloatArray) -> FloatArray:
        """Multiply by |a| (m,N,S) and return the logarithm of the largest channel (m,N), nats."""
        low, high = factors.min(), factors.max()
        if low == 0.0:
            low = factors.min(initial=high or 1.0, where=factors > 0.0)
        span = np.log2(max(high, 1.0)) - np.log2(min(low, 1.0))
        count = int(min(ROOM / max(span, 1e-9), MAX_STRETCH))
        tops = np.empty(factors.shape[:2])
        for start in range(0, len(factors), max(count, 1)):
            here = slice(start, start + max(count, 1))
            if not count or not self._stretch(factors[here], tops[here]):
                for step in range(start, min(here.stop, len(factors))):
                    self._step(factors[step], tops[step])
        return tops * LOG_2

    def _stretch(self, factors: FloatArray, tops: FloatArray) -> bool:
        """Extend at one scale and put log2 of the largest channels into ``tops``; False, and
        nothing done, where the large channels die, so that one which waits may be the largest.
        """
        lowest = np.iinfo(np.int64).min // 2
        scale = self.exponents.max(axis=-1, initial=lowest, where=self.parts > 0.0)
        shifts = np.maximum(self.exponents - scale[:, None], ASLEEP)
        products = np.ldexp(self.parts, shifts)
        for step, each in enumerate(factors):
            np.multiply(products, each, out=products)
            np.max(products, axis=-1, out=tops[step])
        if tops.min() < 2.0 ** -(ROOM + 1.0):
            return False
        np.log2(tops, out=tops)
        tops += scale
        self.parts, gained = np.frexp(products)
        self.exponents += gained - shifts
        return True

    def _step(self, factors: FloatArray, tops: FloatArray) -> None:
        """Extend by one step, each channel at its own scale."""
        parts, powers = np.frexp(factors)
        self.parts, gained = np.frexp(self.parts * parts)
        self.exponents += powers + gained
        tops[:] = self.log2().max(axis=-1)

    def log2(self) -> FloatArray:
        """log2 of every channel (N,S), −inf where it is zero."""
        with np.errstate(divide="ignore"):
            logs: FloatArray = np.log2(self.parts) + self.exponents
        return logs


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class ChannelNorms(CompactRepr):
    """The products of every channel at chosen lags.

    ``lags`` (K,) in steps, ascending; ``log_values`` (K,B,S) is log|∂h_T/∂h_{T−ℓ}| of a channel in
    nats, −inf where it is exactly zero.
    """

    lags: IntArray
    log_values: FloatArray

    @property
    def half_lives(self) -> FloatArray:
        """Steps (B,S) in which a channel halves on these data, on average over the longest lag; inf
        where it does not shrink, 0 where it is zero.
        """
        fall = np.maximum(-self.log_values[-1], 0.0)
        with np.errstate(divide="ignore"):
            steps: FloatArray = LOG_2 * self.lags[-1] / fall
        return steps

    def share_above(self, threshold: float = 1e-3) -> FloatArray:
        """Share (K,B) of the channels that still hold ``threshold`` at each lag."""
        share: FloatArray = (self.log_values >= np.log(threshold)).mean(axis=-1)
        return share

    def compact_fields(self) -> dict[str, Any]:
        """Return sizes, and the median half-life."""
        sizes = zip(("lags", "sequences", "channels"), self.log_values.shape, strict=True)
        return {**dict(sizes), "half_life": float(np.median(self.half_lives))}


def channel_norms(chain: DiagonalChain, lags: Sequence[int] | IntArray) -> ChannelNorms:
    """Return log|∂h_T/∂h_{T−ℓ}| of every channel at chosen lags ℓ, in one pass.

    ``lags`` (K,) are in steps, 1 … T. Raises SettingError if there is none, or one is beyond.
    """
    chosen = np.unique(np.asarray(lags, dtype=np.int64))
    most = chain.n_steps or np.inf
    if not chosen.size or chosen[0] < 1 or chosen[-1] > most:
        raise SettingError(f"the lags are {chosen.tolist()}; choose from 1 to {most}")
    ends, every = np.full(chain.n_sequences, chain.n_steps), np.arange(chain.n_sequences)
    blocks = chain.read(ends, every, int(chosen[-1])) if chain.n_steps else chain.read_blocks()
    running, at = chain.start(chain.n_sequences), 0
    found: list[FloatArray] = []
    for block in blocks:
        cuts = chosen[(chosen > at) & (chosen <= at + len(block))] - at
        for part in np.split(block, cuts):
            if len(part):
                running.extend(part)
                at += len(part)
            if len(found) < chosen.size and at == chosen[len(found)]:
                found.append(running.log2() * LOG_2)
        if len(found) == chosen.size:
            return ChannelNorms(chosen, np.stack(found))
    raise SettingError(f"the factors end after {at} steps; choose lags from 1 to {at}")
