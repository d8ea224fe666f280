"""The trajectory of a network through time, with all that its gradient needs.

``a_t = U x_t + W h_{t−1} + b`` and ``h_t = φ(a_t)`` for a vanilla RNN; every cell has its own
``run``. Slopes are taken from pre-activations, accurate where the state has rounded to its limit.
"""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.errors import ShapeError
from gradscope.machine import held_threads
from gradscope.model.activations import Activation
from gradscope.model.cells import Cell, CellTrajectory, project_inputs


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Trajectory(CellTrajectory):
    """What the network did, step by step: what its cell did, x_t (T,B,D) and a_t (T,B,·) at
    ``[t-1]``, s_t (T+1,B,S) and h_t (T+1,B,H) at ``[t]``, the given ones first; ``outputs`` (T,B,O)
    with y_t at ``[t-1]``, φ, and the ``noise`` (T,B,H) that was added to a_t (None: nothing).
    """

    outputs: FloatArray
    activation: Activation
    noise: FloatArray | None = None

    def compact_fields(self) -> dict[str, Any]:
        """Return sizes and φ."""
        return {
            "n_steps": self.n_steps,
            "n_sequences": self.n_sequences,
            "state_size": self.states.shape[2],
            "activation": self.activation.name,
        }

    @property
    def cell_trajectory(self) -> CellTrajectory:
        """What its cell did, as ``Cell.linearize`` takes it."""
        return self

    @property
    def n_steps(self) -> int:
        """T, the number of steps."""
        return self.inputs.shape[0]

    @property
    def n_sequences(self) -> int:
        """B, the number of sequences."""
        return self.inputs.shape[1]

    @property
    def slopes(self) -> FloatArray:
        """φ′ of the units (of the candidate in a gated cell), (T,B,H), computed at each call."""
        return self.activation.slope(self.candidates)


def picked(ran: Trajectory, steps: IntArray, sequences: IntArray) -> Trajectory:
    """Return a trajectory of these steps (T′,B′), from 0 on, of these sequences (T′,B′), each with
    the state before it; after the last ones their states follow.
    """

    def pick(array: FloatArray) -> FloatArray:
        states = len(array) > ran.n_steps
        last = array[steps[-1:] + 1, sequences[-1:]] if states else array[:0, sequences[0]]
        return np.concatenate([array[steps, sequences], last])

    names = (*(each.name for each in fields(CellTrajectory)), "outputs")
    moved: dict[str, Any] = {name: pick(getattr(ran, name)) for name in names}
    return replace(ran, **moved, noise=None)


def last_steps(ran: Trajectory, ends: IntArray, n_steps: int) -> Trajectory:
    """Return the last steps up to the ``ends`` (B,) of each sequence; before the first one of a
    short sequence stand those of the one that goes furthest, to have its size.
    """
    steps = np.arange(n_steps)[:, np.newaxis] + ends - n_steps
    furthest = int(ends.argmax())
    whose = np.where(steps >= 0, np.arange(ends.size), furthest)
    return picked(ran, np.where(steps >= 0, steps, steps[:, [furthest]]), whose)


@held_threads()
def unroll(
    params: Cell,
    inputs: FloatArray,
    initial_state: FloatArray | None = None,
    noise: FloatArray | None = None,
) -> Trajectory:
    """Run the network over its inputs (T,B,D), x_t at ``[t-1]``, from s_0 (B,S), zeros by default.

    ``noise`` (T,B,H) is added to the pre-activations of a vanilla RNN; Jacobians keep their form.
    Numbers that overflow become infinite and are passed on silently: the caller looks for them
    (``learning.training`` names the step and the factor). Raises ShapeError if inputs, initial
    state or noise do not fit the network.
    """
    n_inputs, n_hidden, _ = params.sizes
    if inputs.ndim != 3 or inputs.shape[2] != n_inputs:
        raise ShapeError(f"inputs have shape {inputs.shape}; give (T,B,{n_inputs}) to this network")
    n_steps, n_sequences, _ = inputs.shape
    asked = (n_sequences, params.state_size)
    first = np.zeros(asked) if initial_state is None else initial_state
    if first.shape != asked:
        raise ShapeError(f"initial state has shape {first.shape}; inputs and cell ask for {asked}")
    entering, driven = inputs, params
    if noise is not None:
        # One more input for each unit: U x + ξ is (U, I) of (x, ξ).
        if noise.shape != (n_steps, n_sequences, params.hidden_bias.size):
            raise ShapeError(
                f"the noise has shape {noise.shape}; give {(n_steps, n_sequences, n_hidden)}, "
                "and only to a vanilla RNN"
            )
        entering = np.concatenate([inputs, noise], axis=2)
        widened = np.concatenate([params.input_weights, np.eye(n_hidden)], axis=1)
        driven = replace(params, input_weights=widened)
    with np.errstate(over="ignore", invalid="ignore"):
        ran = driven.run(entering, first)
        outputs = project_inputs(ran.hidden[1:], params.output_weights, params.output_bias)
    of = ran.states, ran.hidden, ran.pre_activations, ran.candidates
    return Trajectory(inputs, *of, outputs, params.activation, noise)
