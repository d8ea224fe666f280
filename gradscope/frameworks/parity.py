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
from gradscope.jacobians.reference import relative_deviation

Function = Callable[[FloatArray, FloatArray], FloatArray]

MAX_JACOBIANS = 8
"""Enough to meet the first step, the last, and some between."""


def compared(
    stack: ImportedStack,
    tolerance: float,
    states: tuple[str, Function],
    jacobians: tuple[str, Function] | None,
) -> tuple[CheckRow, ...]:
    """Compare every step of the studied layer, each from our state, and a few of its Jacobians with
    other ways to them, each by its name: ``states`` takes x_t (N,D) and s_{t−1} (N,S) to s_t (N,S),
    ``jacobians`` x_t (D,) and s_{t−1} (S,) to ∂s_t/∂s_{t−1} (S,S), rows the later state.
    """
    title, rows = stack.studied.title, list[CheckRow]()
    ran = stack.trajectories[title]

    def compare(what: str, against: str, ours: FloatArray, theirs: FloatArray) -> None:
        deviation = relative_deviation(ours, theirs.reshape(ours.shape))
        rows.append(CheckRow(f"{what} of {title}", against, deviation, tolerance))

    inputs, before = (each.reshape(-1, each.shape[2]) for each in (ran.inputs, ran.states[:-1]))
    against, step = states
    compare(f"{ran.n_steps} steps", against, ran.states[1:], step(inputs, before))
    if jacobians is not None:
        against, jacobian = jacobians
        chain = cell_chain(stack.params, ran)
        places = sampled_places(ran.n_steps, ran.inputs.shape[1])
        ours = np.stack([chain.jacobian(t)[each] for t, each in places])
        found = [jacobian(ran.inputs[t - 1, each], ran.states[t - 1, each]) for t, each in places]
        compare(f"{len(places)} Jacobians", against, ours, np.stack(found))
    return tuple(rows)


def sampled_places(n_steps: int, n_sequences: int) -> list[tuple[int, int]]:
    """Return at most ``MAX_JACOBIANS`` pairs of a step, from 1 on, and a sequence, from 0 on.

    >>> sampled_places(100, 3)
    [(1, 0), (15, 0), (29, 1), (43, 1), (58, 1), (72, 1), (86, 2), (100, 2)]
    """
    steps = np.rint(np.linspace(1, n_steps, MAX_JACOBIANS)).astype(int)
    sequences = np.rint(np.linspace(0, n_sequences - 1, MAX_JACOBIANS)).astype(int)
    return sorted(set(zip(steps.tolist(), sequences.tolist(), strict=True)))
