"""How far what a task asks for stands out of the noise of a batch's gradient.

The signal is what the gradient g owes to the targets: s = g(A) − g(A′), A′ the targets of other
sequences of the batch. S² = ⟨s_k, s_l⟩, the mean over pairs of different batches, has no bias from
the noise; N² is the sum of the variances of g over batches.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gradscope.data.batch import Batch, Targets
from gradscope.learning.bptt import backpropagate
from gradscope.model.cells import Cell
from gradscope.model.trajectory import unroll

STANDARD_ERRORS = 2.0
"""Above the measured S² in its upper bound (convention: about 97 %)."""


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
        gradients = [
            backpropagate(params, trajectory, targets).weights
            for targets in (batch.targets, _of_others(batch.targets))
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


def _of_others(targets: Targets) -> Targets:
    """Return the targets of each sequence's neighbour in place of its own."""
    held = targets.at_step
    at_step = held if held.ndim == 1 else np.roll(held, 1, axis=1)
    return replace(targets, values=np.roll(targets.values, 1, axis=1), at_step=at_step)
