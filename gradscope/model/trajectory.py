"""The trajectory of a network through time, with all that its gradient needs.

``a_t = U x_t + W h_{t−1} + b`` and ``h_t = φ(a_t)`` for a vanilla RNN; every cell has its own
``run``. Slopes are taken from pre-activations, accurate where the state has rounded to its limit.
"""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.errors import ShapeError
from gradscope.model.activations import Activation
from gradscope.model.cells import Cell, CellTrajectory, project_inputs
from gradscope.notebook_repr import CompactRepr


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Trajectory(CompactRepr):
    """What the network did, step by step.

    ``cell_trajectory`` is what its cell did, ``outputs`` (T,B,O) holds y_t at ``[t-1]``,
    ``activation`` is φ, ``noise`` (T,B,H) what was added to a_t (None: nothing).
    """

    cell_trajectory: CellTrajectory
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
    def inputs(self) -> FloatArray:
        """x_t, (T,B,D), at ``[t-1]``."""
        return self.cell_trajectory.inputs

    @property
    def states(self) -> FloatArray:
        """s_t, (T+1,B,S), at ``[t]``: h_t of a vanilla RNN and a GRU, (h_t, c_t) of an LSTM."""
        return self.cell_trajectory.states

    @property
    def hidden(self) -> FloatArray:
        """h_t, (T+1,B,H), at ``[t]`` (h_0 first)."""
        return self.cell_trajectory.hidden

    @property
    def pre_activations(self) -> FloatArray:
        """a_t, (T,B,H), at ``[t-1]``; of a gated cell block by block, see ``model.cells``."""
        return self.cell_trajectory.pre_activations

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
        return self.activation.slope(self.cell_trajectory.candidates)


def picked(ran: Trajectory, steps: IntArray, sequences: IntArray) -> Trajectory:
    """Return a trajectory of these steps (T′,B′), from 0 on, of these sequences (T′,B′), each with
    the state before it; after the last ones their states follow.
    """

    def pick(array: FloatArray) -> FloatArray:
        states = len(array) > ran.n_steps
        last = array[steps[-1:] + 1, sequences[-1:]] if states else array[:0, sequences[0]]
        return np.concatenate([array[steps, sequences], last])

    cell = ran.cell_trajectory
    moved = replace(cell, **{each.name: pick(getattr(cell, each.name)) for each in fields(cell)})
    return replace(ran, cell_trajectory=moved, outputs=pick(ran.outputs), noise=None)


def last_steps(ran: Trajectory, ends: IntArray, n_steps: int) -> Trajectory:
    """Return the last steps up to the ``ends`` (B,) of each sequence; before the first one of a
    short sequence stand those of the one that goes furthest, to have its size.
    """
    steps = np.arange(n_steps)[:, np.newaxis] + ends - n_steps
    furthest = int(ends.argmax())
    whose = np.where(steps >= 0, np.arange(ends.size), furthest)
    return picked(ran, np.where(steps >= 0, steps, steps[:, [furthest]]), whose)


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
        cell_trajectory = driven.run(entering, first)
        if noise is not None:
            cell_trajectory = replace(cell_trajectory, inputs=inputs)
        seen = cell_trajectory.hidden[1:]
        outputs = project_inputs(seen, params.output_weights, params.output_bias)
    return Trajectory(cell_trajectory, outputs, params.activation, noise)
