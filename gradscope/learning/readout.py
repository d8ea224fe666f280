"""How much of a target a linear readout of the state explains: R², and the memory function.

R² = 1 − mean‖A − Z w‖² / var A on rows that w was not fitted to, Z = [h, 1], w by least squares.
The memory function is the squared correlation of such a readout with a white input of d steps ago;
its sum over d, the memory capacity, is at most H, and H for a stable linear network. Source: Jaeger
(2001), GMD report 152.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.data.batch import Targets
from gradscope.errors import ShapeError
from gradscope.model.cells import Cell, largest
from gradscope.model.trajectory import unroll
from gradscope.notebook_repr import CompactRepr

ROWS_PER_COEFFICIENT = 100
"""Rows in each half for every coefficient: the fit costs R² about 1/100 of the variance."""

NOTHING_READ, EXPLAINED = 0.05, 0.2
"""R² up to which nothing can be read out, and from which on it promises what training reaches."""

RIDGE = 1e-9
"""Penalty on w, in parts of the largest variance of the state."""

FEW_SEQUENCES = 32
"""Sequences drawn to learn how many targets each has."""

MEMORY_ROWS, MEMORY_SEQUENCES = 300, 64
"""Rows in each half for every coefficient of a memory function, and the sequences they are of: the
sum over many delays scatters more than each."""

MAX_STEPS = 1_000_000
"""Most steps, over all sequences of a half, that a score may take."""

STATES_AT_ONCE, MAX_READ = 2**22, 1e140
"""Numbers of hidden states held at once (32 MB); the size from which on they count as overflow."""

Source = Callable[[int], tuple[FloatArray, Targets] | None]
"""Returns hidden states (T,B,H) after each step and targets of at most so many further sequences,
None where there are no more.
"""


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Readout(CompactRepr):
    """R² of a linear readout of the state; None with ``why_null`` where it cannot be measured."""

    score: float | None
    why_null: str | None = None


class _Moments:
    """Mean products of 1, states (H) and targets (K), over any number of rows."""

    def __init__(self) -> None:
        self._rows, self._sums = 0, np.zeros((1, 1))

    def add(self, states: FloatArray, targets: FloatArray) -> None:
        """Add rows of states (N,H) and targets (N,K)."""
        rows = np.hstack([np.ones((len(states), 1)), states, targets])
        self._sums = self._sums + rows.T @ rows
        self._rows += len(rows)

    @property
    def rows(self) -> int:
        return self._rows

    @property
    def mean(self) -> FloatArray:
        mean: FloatArray = self._sums[0, 1:] / self._rows
        return mean

    @property
    def covariance(self) -> FloatArray:
        return self._sums[1:, 1:] / self._rows - np.outer(self.mean, self.mean)


@dataclass(frozen=True, eq=False, slots=True)
class _Fit:
    """A readout on fresh rows: mean squared ``error``, ``variance`` of targets and of ``predicted``
    ones, and their ``covariance``, all (K,).
    """

    error: FloatArray
    variance: FloatArray
    predicted: FloatArray
    covariance: FloatArray


def _fit(fitted: _Moments, fresh: _Moments, hidden: int) -> _Fit:
    """Fit w to the rows of ``fitted`` and measure it on those of ``fresh``."""
    inside, outside = fitted.covariance, fresh.covariance
    states, cross = inside[:hidden, :hidden], inside[:hidden, hidden:]
    ridge = RIDGE * max(float(np.linalg.eigvalsh(states)[-1]), np.finfo(np.float64).tiny)
    weights = np.linalg.solve(states + ridge * np.eye(hidden), cross)
    variance = np.diagonal(outside)[hidden:]
    predicted = np.einsum("ik,ij,jk->k", weights, outside[:hidden, :hidden], weights)
    covariance = np.einsum("ik,ik->k", weights, outside[:hidden, hidden:])
    moved = fresh.mean - fitted.mean
    offset = moved[hidden:] - moved[:hidden] @ weights
    error = variance + predicted - 2.0 * covariance + np.square(offset)
    return _Fit(error, variance, predicted, covariance)


def readout_score(states: FloatArray, targets: FloatArray) -> FloatArray:
    """Return R² (K,) of a linear readout of states (N,H) as targets (N,K), fitted to the first half
    of the rows and measured on the others. With x_{t−d} as the targets of h_t, a column for each d,
    that is R² by lag.

    Of fewer than ``ROWS_PER_COEFFICIENT`` (H + 1) rows a half R² scatters. Raises ShapeError if the
    rows differ in number, or there are fewer than two.
    """
    if states.ndim != 2 or targets.ndim != 2 or len(states) != len(targets) or len(states) < 2:
        raise ShapeError(
            f"states have shape {states.shape} and targets {targets.shape}; give (N,H) and (N,K) "
            "with 2 rows or more"
        )
    halves = (_Moments(), _Moments())
    for half, rows in zip(halves, np.array_split(np.arange(len(states)), 2), strict=True):
        half.add(states[rows], targets[rows])
    fit = _fit(*halves, states.shape[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1.0 - fit.error / fit.variance


def measure_readout(hidden: int, sources: Sequence[Source]) -> Readout:
    """Return the R² of a network of H units over all its outputs together, fitted to sequences of
    the first source and measured on those of the second.
    """
    needed, halves = ROWS_PER_COEFFICIENT * (hidden + 1), (_Moments(), _Moments())
    for half, source in zip(halves, sources, strict=True):
        count = FEW_SEQUENCES
        while half.rows < needed:
            found = source(count)
            if found is None:
                return Readout(None, f"{half.rows:,} rows of targets where {needed:,} are needed")
            states, targets = found
            held = np.broadcast_to(targets.held, states.shape[:2])
            if not largest(states) < MAX_READ:
                return Readout(None, "the state overflows")
            half.add(states[held], targets.values[held])
            per_sequence = held.sum() / held.shape[1]
            if needed / max(per_sequence, 1e-9) * len(states) > MAX_STEPS:
                return Readout(
                    None, f"it takes more than {MAX_STEPS:,} steps to have {needed:,} targets"
                )
            count = int(min(np.ceil((needed - half.rows) / per_sequence), 8 * count))
    fit = _fit(*halves, hidden)
    total = float(fit.variance.sum())
    if total <= 0.0:
        return Readout(None, "the targets do not vary")
    return Readout(float(1.0 - fit.error.sum() / total))


def memory_function(
    params: Cell, delays: int, rng: np.random.Generator, mean: FloatArray, scale: FloatArray
) -> FloatArray:
    """Return the memory function (delays,D): the squared correlation of a linear readout of h_t
    with each x_{t−d}, d = 0 … delays − 1, of inputs N(mean, scale²) independent of one another.

    The rows start where twice as many steps have passed as there are delays, and those that it is
    measured on follow those of the fit; 0 if the state overflows. ``mean`` and ``scale`` are (D,).
    """
    inputs, hidden = params.sizes[:2]
    at_once = max(STATES_AT_ONCE // (MEMORY_SEQUENCES * hidden), 1)
    steps = -(-MEMORY_ROWS * (hidden + 1) // MEMORY_SEQUENCES)
    white: FloatArray = rng.standard_normal((2 * delays, MEMORY_SEQUENCES, inputs))
    state = unroll(params, mean + scale * white).states[-1]
    halves = (_Moments(), _Moments())
    for half in halves:
        for start in range(0, steps, at_once):
            count = min(at_once, steps - start)
            drawn = rng.standard_normal((count, MEMORY_SEQUENCES, inputs))
            white = np.concatenate([white[-delays:], drawn])
            ran = unroll(params, mean + scale * drawn, state)
            state = ran.states[-1]
            if not largest(ran.hidden) < MAX_READ:
                return np.zeros((delays, inputs))
            past = [white[delays - d : delays - d + count] for d in range(delays)]
            rows = np.stack(past, axis=2).reshape(-1, delays * inputs)
            half.add(ran.hidden[1:].reshape(-1, hidden), rows)
    fit = _fit(*halves, hidden)
    with np.errstate(divide="ignore", invalid="ignore"):
        squared = np.square(fit.covariance) / (fit.predicted * fit.variance)
    return np.where(np.isfinite(squared), squared, 0.0).reshape(delays, inputs)
