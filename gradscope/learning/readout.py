"""What can be told of learning without training: R² of a linear readout of the state, the memory
function, and how far what a task asks for stands out of the noise of a batch's gradient.

R² = 1 − mean‖A − Z w‖² / var A on rows that w was not fitted to, Z = [h, 1], w by least squares.
The memory function is the squared correlation of such a readout with a white input of d steps ago;
its sum over d, the memory capacity, is at most H, and H for a stable linear network. Source: Jaeger
(2001), GMD report 152.

The signal is what the gradient g owes to the targets: s = g(A) − g(A′), A′ the targets of other
sequences of the batch. S² = ⟨s_k, s_l⟩, the mean over pairs of different batches, has no bias from
the noise; N² is the sum of the variances of g over batches.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.data.batch import Batch, Targets
from gradscope.errors import ShapeError
from gradscope.learning.bptt import backpropagate
from gradscope.machine import held_threads
from gradscope.model.cells import Cell
from gradscope.model.trajectory import unroll
from gradscope.notebook_repr import CompactRepr

ROWS_PER_COEFFICIENT = 100
"""Rows in each half for every coefficient: the fit costs R² about 1/100 of the variance."""

NOTHING_READ, EXPLAINED = 0.05, 0.2
"""R² up to which nothing can be read out, and from which on it promises what training reaches."""

RIDGE = 1e-9
"""Penalty on w, in parts of the largest variance of the state."""

MEMORY_ROWS, MEMORY_SEQUENCES = 300, 64
"""Rows in each half for every coefficient of a memory function, and the sequences they are of: the
sum over many delays scatters more than each."""

MAX_STEPS = 1_000_000
"""Most steps, over all sequences of a half, that a score may take."""

Source = Iterator[tuple[FloatArray, Targets]]
"""Hidden states (T,B,H) after each step and the targets of some sequences after others."""

STANDARD_ERRORS = 2.0
"""Above the measured S² in its upper bound (convention: about 97 %)."""


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Readout(CompactRepr):
    """R² of a linear readout of the state; None with ``why_null`` where it cannot be measured."""

    score: float | None
    why_null: str | None = None


def _moments(states: FloatArray, targets: FloatArray) -> FloatArray:
    """Return the products of 1, states (N,H) and targets (N,K), summed over the rows."""
    rows = np.hstack([np.ones((len(states), 1)), states, targets])
    return np.asarray(rows.T @ rows)


def _fitted(hidden: int, fit: FloatArray, fresh: FloatArray) -> FloatArray:
    """Fit w to the rows of the moments ``fit`` and measure it on the ``fresh`` ones: mean squared
    error, variance of the targets, squared correlation, (3,K); NaN where the state overflows.
    """
    means = [each[0, 1:] / each[0, 0] for each in (fit, fresh)]
    inside, outside = (
        each[1:, 1:] / each[0, 0] - np.outer(mean, mean)
        for each, mean in zip((fit, fresh), means, strict=True)
    )
    if not (np.isfinite(inside).all() and np.isfinite(outside).all()):
        return np.full((3, len(inside) - hidden), np.nan)
    states = inside[:hidden, :hidden]
    largest = max(float(np.linalg.eigvalsh(states)[-1]), np.finfo(np.float64).tiny)
    weights = np.linalg.solve(states + RIDGE * largest * np.eye(hidden), inside[:hidden, hidden:])
    variance = np.diagonal(outside)[hidden:]
    predicted = np.einsum("ik,ij,jk->k", weights, outside[:hidden, :hidden], weights)
    covariance = np.einsum("ik,ik->k", weights, outside[:hidden, hidden:])
    moved = means[1] - means[0]
    offset = moved[hidden:] - moved[:hidden] @ weights
    error = variance + predicted - 2.0 * covariance + np.square(offset)
    both = predicted * variance
    squared = np.square(covariance) / np.where(both > 0.0, both, np.inf)
    return np.stack([error, variance, squared])


@np.errstate(divide="ignore", over="ignore", invalid="ignore")
@held_threads()
def readout_score(states: FloatArray, targets: FloatArray) -> FloatArray:
    """Return R² (K,) of a linear readout of states (N,H) as targets (N,K), fitted to the first half
    of the rows and measured on the others. With x_{t−d} as the targets of h_t, a column for each d,
    that is R² by lag.

    Of fewer than ``ROWS_PER_COEFFICIENT`` (H + 1) rows a half R² scatters; it is NaN where the
    products overflow. Raises ShapeError if the rows differ in number, or there are fewer than two.
    """
    if states.ndim != 2 or targets.ndim != 2 or len(states) != len(targets) or len(states) < 2:
        raise ShapeError(
            f"states have shape {states.shape} and targets {targets.shape}; give (N,H) and (N,K) "
            "with 2 rows or more"
        )
    # Of rows far from 0 the squares lose what the variance is made of.
    rows = (np.array_split(each - each.mean(axis=0), 2) for each in (states, targets))
    error, variance, _ = _fitted(states.shape[1], *map(_moments, *rows))
    return np.asarray(1.0 - error / variance)


@np.errstate(over="ignore", invalid="ignore")
def measure_readout(hidden: int, sources: Iterable[Source]) -> Readout:
    """Return the R² of a network of H units over all its outputs together, fitted to sequences of
    the first source and measured on those of the second.
    """
    needed, halves, means = ROWS_PER_COEFFICIENT * (hidden + 1), [], None
    for source in sources:
        sums, rows, steps = np.zeros((1, 1)), 0, 0
        for states, targets in source:
            held = np.broadcast_to(targets.held, states.shape[:2])
            found = states[held], targets.values[held]
            if means is None and held.any():
                means = [each.mean(axis=0) for each in found]
            if means is not None:
                sums = sums + _moments(*(x - mean for x, mean in zip(found, means, strict=True)))
            rows, steps = rows + int(held.sum()), steps + held.size
            if steps * needed > MAX_STEPS * rows and (rows or steps > MAX_STEPS):
                why = f"it takes more than {MAX_STEPS:,} steps to have {needed:,} targets"
                return Readout(None, why)
            if rows >= needed:
                break
        else:
            return Readout(None, f"{rows:,} rows of targets where {needed:,} are needed")
        halves.append(sums)
    error, variance, _ = _fitted(hidden, *halves)
    total = float(variance.sum())
    if np.isnan(total):
        return Readout(None, "the state overflows")
    if total <= 0.0:
        return Readout(None, "the targets do not vary")
    return Readout(float(1.0 - error.sum() / total))


@np.errstate(over="ignore", invalid="ignore")
def memory_function(
    params: Cell, delays: int, rng: np.random.Generator, mean: FloatArray, scale: FloatArray
) -> FloatArray:
    """Return the memory function (delays,D): the squared correlation of a linear readout of h_t
    with each x_{t−d}, d = 0 … delays − 1, of inputs N(mean, scale²) independent of one another; NaN
    where the state overflows.

    The rows start where twice as many steps have passed as there are delays, and those that it is
    measured on follow those of the fit. ``mean`` and ``scale`` are (D,).
    """
    inputs, hidden = params.sizes[:2]
    white: FloatArray = rng.standard_normal((2 * delays, MEMORY_SEQUENCES, inputs))
    state, halves = unroll(params, mean + scale * white).states[-1], []
    for _ in range(2):
        sums = np.zeros((1, 1))
        while sums[0, 0] < MEMORY_ROWS * (hidden + 1):
            drawn = rng.standard_normal((delays, MEMORY_SEQUENCES, inputs))
            white = np.concatenate([white[-delays:], drawn])
            ran = unroll(params, mean + scale * drawn, state)
            state = ran.states[-1]
            past = [white[delays - d : 2 * delays - d] for d in range(delays)]
            rows = np.stack(past, axis=2).reshape(-1, delays * inputs)
            sums = sums + _moments(ran.hidden[1:].reshape(-1, hidden), rows)
        halves.append(sums)
    return np.asarray(_fitted(hidden, *halves)[2].reshape(delays, inputs))


@np.errstate(over="ignore", invalid="ignore")
def signal_to_noise(params: Cell, batches: Sequence[Batch]) -> tuple[float, float]:
    """Return S²/N² of a network over three batches or more, of two sequences or more each (it may
    be negative), and the same with S² at its upper bound.

    The standard error of S² is that of the jackknife over batches. Infinite where g has no
    variance, 0 where it is 0 besides, NaN where it overflows.
    """
    true, signals = [], []
    for batch in batches:
        trajectory = unroll(params, batch.inputs, noise=batch.noise)
        # In place of its own the targets of each sequence's neighbour.
        others = batch.targets.of(np.roll(np.arange(batch.n_sequences), 1))
        gradients = [
            backpropagate(params, trajectory, targets).weights
            for targets in (batch.targets, others)
        ]
        of_true, of_others = (np.concatenate([a.ravel() for a in g.values()]) for g in gradients)
        true.append(of_true)
        signals.append(of_true - of_others)
    noise = float(np.var(np.stack(true), axis=0, ddof=1).sum())
    products = np.stack(signals) @ np.stack(signals).T
    np.fill_diagonal(products, 0.0)
    count = len(products)
    squared = products.sum() / (count * (count - 1))
    without = (products.sum() - 2.0 * products.sum(axis=1)) / ((count - 1) * (count - 2))
    error = np.sqrt((count - 1) * np.mean(np.square(without - squared)))
    if noise == 0.0:
        return (np.inf,) * 2 if squared else (0.0,) * 2
    return float(squared / noise), float((squared + STANDARD_ERRORS * error) / noise)
