"""The steps of a network from a file, held against those of the framework that wrote it.

Every state s_t of the studied layer from our own s_{t−1}, since in a chaotic network any rounding
leads to another trajectory; and J_t = ∂s_t/∂s_{t−1} at a few steps and sequences.
"""

from collections.abc import Callable

import numpy as np

from gradscope.analysis.check import CheckRow
from gradscope.analysis.imported.stack import ImportedStack
from gradscope.arrays import FloatArray
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.learning.differences import relative_deviation

Function = Callable[[FloatArray, FloatArray], FloatArray]

MAX_JACOBIANS = 8
"""Enough to meet the first step, the last, and some between."""


def steps_row(stack: ImportedStack, against: str, theirs: Function, tolerance: float) -> CheckRow:
    """Compare every step of the studied layer, each from our state, with another way to them,
    called ``against``: ``theirs`` takes x_t (N,D) and s_{t−1} (N,S) to s_t (N,S).
    """
    ran = stack.trajectories[stack.studied.title]
    inputs, before = (each.reshape(-1, each.shape[2]) for each in (ran.inputs, ran.states[:-1]))
    ours = ran.states[1:]
    deviation = relative_deviation(ours, theirs(inputs, before).reshape(ours.shape))
    return CheckRow(f"{ran.n_steps} steps of {stack.studied.title}", against, deviation, tolerance)


def jacobian_row(
    stack: ImportedStack, against: str, theirs: Function, tolerance: float
) -> CheckRow:
    """Compare a few Jacobians of the studied layer as ``steps_row`` does its steps; ``theirs``
    takes x_t (D,) and s_{t−1} (S,) to ∂s_t/∂s_{t−1} (S,S), rows the later state.
    """
    ran = stack.trajectories[stack.studied.title]
    chain = cell_chain(stack.params, ran)
    places = sampled_places(ran.n_steps, ran.inputs.shape[1])
    ours = np.stack([chain.jacobian(step)[sequence] for step, sequence in places])
    found = [theirs(ran.inputs[t - 1, each], ran.states[t - 1, each]) for t, each in places]
    deviation = relative_deviation(ours, np.stack(found))
    title = f"{len(places)} Jacobians of {stack.studied.title}"
    return CheckRow(title, against, deviation, tolerance)


def sampled_places(n_steps: int, n_sequences: int) -> list[tuple[int, int]]:
    """Return at most ``MAX_JACOBIANS`` pairs of a step, from 1 on, and a sequence, from 0 on.

    >>> sampled_places(100, 3)
    [(1, 0), (15, 0), (29, 1), (43, 1), (58, 1), (72, 1), (86, 2), (100, 2)]
    """
    steps = np.rint(np.linspace(1, n_steps, MAX_JACOBIANS)).astype(int)
    sequences = np.rint(np.linspace(0, n_sequences - 1, MAX_JACOBIANS)).astype(int)
    return sorted(set(zip(steps.tolist(), sequences.tolist(), strict=True)))
