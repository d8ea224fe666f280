"""The leading direction of each lag on its way from h_{T−ℓ} to h_T, and how each step stretches it.

With v_k = J_k v_{k−1}/‖J_k v_{k−1}‖ and M = (1−α) I + αγ W the step with its slopes at the ceiling,

    log‖P_ℓ v‖ = Σ_k log‖M v_{k−1}‖ + Σ_k log(‖J_k v_{k−1}‖/‖M v_{k−1}‖),

the two sums that ``causes`` compares with its bound. Done for every lag this would cost ℓ steps
each. But where one exponent leads, all directions turn into the same one (Oseledets 1968), so each
is propagated only until it has merged with that of the longest lag: from there on both have the
same logarithms ahead. That a merged pair did not part again is checked against the length that the
product itself gives; directions that fail are propagated again without merging. ``causes`` has the
same for gated cells, whose stages do not merge.
"""

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.jacobians.chain import ElmanChain
from gradscope.model.elman import has_leak

MERGED = 1e-12
"""Distance of two unit vectors that count as one."""

STEPS_BETWEEN_MERGES = 16
"""Looking for merged pairs reads every vector, which costs about as much as a step."""

ENTRIES_AT_ONCE = 2**15
"""Entries of the vectors propagated at a time (256 KB): they stay in the cache."""

MIN_SQUARE = 1e-200
"""Sums of squares below this are formed again from scaled entries: they may have underflown."""

MAX_DEVIATION = 1e-10
"""Nats per step by which a path may miss the length of the product before it goes unmerged."""


def path_logs(
    chain: ElmanChain, lags: IntArray, directions: FloatArray, reached: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Propagate each direction (K,B,S), a unit vector at h_{T−ℓ}, to h_T.

    ``reached`` (K,B) is log ‖P_ℓ v‖ in nats, from the product. Returns Σ log(‖M v‖/‖v‖) and
    Σ log(‖J v‖/‖M v‖) over the ℓ steps, each (K,B), M = (1−α) I + αγ W the step with its slope at
    the ceiling. A vector that has become zero adds no more.
    """
    logs = _Paths(chain, lags, directions, MERGED).log_sums()
    with np.errstate(invalid="ignore"):
        missed = np.abs(logs.sum(axis=0) - reached)
    parted = (np.isfinite(reached) & ~(missed <= MAX_DEVIATION * lags[:, None])).any(axis=1)
    if parted.any():
        logs[:, parted] = _Paths(chain, lags[parted], directions[parted], 0.0).log_sums()
    return logs[0], logs[1]


class _Paths:
    """Unit vectors (N,S) between their state and h_T, each with its lag and sequence; the first B
    of them are those of the longest lag, with which the others merge.
    """

    def __init__(
        self, chain: ElmanChain, lags: IntArray, directions: FloatArray, merged: float
    ) -> None:
        self._chain = chain
        self._lags = lags
        self._directions = directions
        self._merged = merged
        self._logs = np.zeros((2, lags.size, chain.n_sequences))
        self._has_merged = np.zeros((lags.size, chain.n_sequences), dtype=np.bool_)
        self._lag: IntArray = np.empty(0, dtype=np.int64)
        self._sequence: IntArray = np.empty(0, dtype=np.int64)
        self._vectors: FloatArray = np.empty((0, chain.state_size))

    def log_sums(self) -> FloatArray:
        """Propagate all vectors to h_T; return the sums of both logarithms, (2,K,B)."""
        n_steps = self._chain.n_steps
        for step in range(n_steps - int(self._lags[-1]) + 1, n_steps + 1):
            starting = np.flatnonzero(self._lags == n_steps - step + 1)
            if starting.size:
                lag, each = int(starting[0]), np.arange(self._chain.n_sequences)
                self._lag = np.concatenate([self._lag, np.full(each.size, lag)])
                self._sequence = np.concatenate([self._sequence, each])
                self._vectors = np.concatenate([self._vectors, self._directions[lag]])
            self._propagate(step)
            if self._merged > 0.0 and step % STEPS_BETWEEN_MERGES == 0:
                self._merge()
        # A merged path has stopped adding, and was left its own logarithms minus those that the
        # longest had at that time (``_merge``); what the longest adds in all completes it.
        longest = self._logs[:, -1:]
        return self._logs + np.where(self._has_merged, longest, 0.0)

    def _propagate(self, step: int) -> None:
        """Take all vectors over one step and add up what it did to their lengths."""
        at_once = max(1, ENTRIES_AT_ONCE // self._chain.state_size)
        for start in range(0, self._lag.size, at_once):
            part = slice(start, start + at_once)
            lag, sequence = self._lag[part], self._sequence[part]
            slopes = self._chain.slopes[step - 1][sequence]
            before = np.asarray(self._vectors[part].any(axis=1), dtype=np.float64)
            at_ceiling, length = self._jvp(self._vectors[part], slopes)
            self._logs[0, lag, sequence] += log_ratio(at_ceiling, before)
            self._logs[1, lag, sequence] += log_ratio(length, at_ceiling)

    def _jvp(self, vectors: FloatArray, slopes: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Replace unit vectors (n,S) by J v/‖J v‖; return ‖M v‖ and ‖J v‖, (n,).

        Both come from one product with W: J and M differ in the slopes alone.
        """
        leak, ceiling = self._chain.leak, self._chain.slope_ceiling
        driven = vectors @ self._chain.recurrent_weights.T
        if not has_leak(leak):
            at_ceiling = ceiling * lengths_of(driven)
            driven *= slopes
        else:
            at_ceiling = lengths_of((1.0 - leak) * vectors + leak * ceiling * driven)
            driven = (1.0 - leak) * vectors + leak * slopes * driven
        length = lengths_of(driven)
        np.divide(driven, np.where(length > 0.0, length, 1.0)[:, None], out=vectors)
        return at_ceiling, length

    def _merge(self) -> None:
        """Take out the vectors that have merged, up to sign, with that of the longest lag."""
        n_sequences = self._chain.n_sequences
        # The vectors of the longest lag come first, in the order of the sequences.
        ahead = self._vectors[self._sequence]
        cosine = np.einsum("ns,ns->n", self._vectors, ahead)
        distance = np.linalg.norm(self._vectors - np.sign(cosine)[:, None] * ahead, axis=1)
        together = (distance <= self._merged) & (cosine != 0.0)
        together[:n_sequences] = False
        lag, sequence = self._lag[together], self._sequence[together]
        self._logs[:, lag, sequence] -= self._logs[:, -1, sequence]
        self._has_merged[lag, sequence] = True
        kept = ~together
        self._lag, self._sequence = self._lag[kept], self._sequence[kept]
        self._vectors = self._vectors[kept]


def lengths_of(vectors: FloatArray) -> FloatArray:
    """Return ‖v‖ (…) of vectors (…,S), scaled where their squares leave the range of floats."""
    with np.errstate(over="ignore"):
        squares = np.einsum("...s,...s->...", vectors, vectors)
    lengths: FloatArray = np.sqrt(squares)
    for place in zip(*np.nonzero((squares < MIN_SQUARE) | np.isinf(squares)), strict=True):
        largest = np.abs(vectors[place]).max()
        if largest > 0.0:
            lengths[place] = largest * np.linalg.norm(vectors[place] / largest)
    return lengths


def log_ratio(lengths: FloatArray, before: FloatArray) -> FloatArray:
    """Return log(lengths/before), 0 where there was nothing left to lose."""
    present = before > 0
    with np.errstate(divide="ignore"):
        return np.where(present, np.log(lengths) - np.log(np.where(present, before, 1.0)), 0.0)
