"""A step of any framework as a cell, so that what is measured of a cell is measured of it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.errors import SettingError
from gradscope.model.activations import ACTIVATIONS, Activation
from gradscope.model.cells import At, Cell, CellTrajectory, Linearization
from gradscope.model.cells import Steps as Places
from gradscope.model.steps import Steps
from gradscope.model.trajectory import Trajectory
from gradscope.names import ActivationName


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class StepTrajectory(Trajectory):
    """The trajectory of ``steps``: its pre-activations are s_t, its hidden state what is read."""

    steps: Steps = field(kw_only=True)
    dense: bool | None = field(kw_only=True)

    @classmethod
    def along(cls, steps: Steps, dense: bool | None) -> Self:
        """Return the trajectory of steps; ``dense`` says how its chain is kept."""
        states, inputs, none = (
            steps.states,
            steps.inputs,
            np.empty((*steps.states[1:].shape[:2], 0)),
        )
        made = (inputs, states, steps.shown, states[1:], none, steps.shown[1:])
        return cls(*made, ACTIVATIONS[ActivationName.IDENTITY], steps=steps, dense=dense)

    def of(self, places: slice | IntArray) -> Self:
        """Return the trajectory over some of the sequences."""
        return self.along(self.steps.of(places), self.dense)


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class StepCell(Cell):
    """A step as a cell: its weights are the ``parameters`` of the step, by their names there; V is
    the identity, since what is read of a state is the output.
    """

    steps: Steps

    @classmethod
    def of(cls, steps: Steps) -> Self:
        """Return the cell of steps."""
        width = steps.shown.shape[2]
        none = np.empty((0, steps.inputs.shape[2])), np.empty((0, 0)), np.empty(0)
        return cls(*none, np.eye(width), np.zeros(width), steps)

    @property
    def activation(self) -> Activation:
        """None is known: the identity."""
        return ACTIVATIONS[ActivationName.IDENTITY]

    @property
    def weight_names(self) -> tuple[str, ...]:
        """The names of the parameters."""
        return tuple(self.steps.parameters)

    @property
    def hidden_size(self) -> int:
        """S."""
        return self.steps.state_size

    def weights(self) -> Iterator[tuple[str, FloatArray]]:
        """Yield each parameter with its name."""
        yield from self.steps.parameters.items()

    def run(self, inputs: FloatArray, initial_state: FloatArray) -> CellTrajectory:
        """Refuse: the numbers of a state do not say what else is in its nest."""
        del inputs, initial_state
        raise SettingError("a step of your own runs on what it was given; study it again on others")

    def linearize(
        self, cell_trajectory: CellTrajectory, *, at_ceiling: bool = False
    ) -> Linearization:
        """Take the linear part of every step of its own trajectory; slopes have no ceiling."""
        if at_ceiling or not isinstance(cell_trajectory, StepTrajectory):
            raise SettingError("a step of your own has no slopes, and its own trajectory alone")
        return StepLinearization(cell_trajectory, cell_trajectory.steps)


@dataclass(frozen=True, eq=False, slots=True)
class StepLinearization(Linearization):
    """The Jacobians of a step, by the framework; local adjoints are those of s_t itself."""

    steps: Steps

    @property
    def local_size(self) -> int:
        """S."""
        return self.steps.state_size

    @property
    def openings(self) -> FloatArray:
        """The diagonal of J_t, (T,B,S)."""
        n_steps, n_sequences, size = self.steps.states[1:].shape
        unit = np.broadcast_to(np.eye(size), (n_sequences, size, size))
        return np.stack(
            [self._pulled(unit, (t, slice(None), None)).diagonal(0, 1, 2) for t in range(n_steps)]
        )

    def vjp(self, rows: FloatArray, at: At, local: FloatArray) -> FloatArray:
        """Rows · J_t; ``local`` becomes the rows."""
        local[:] = rows
        return self._pulled(rows, at)

    def jvp(self, vectors: FloatArray, at: At) -> FloatArray:
        """J_t v."""
        steps, sequences = self._places(at)
        many = vectors.reshape(steps.size, -1, self.local_size)
        return self.steps.push(many, steps.ravel() + 1, sequences.ravel()).reshape(vectors.shape)

    def enter(self, errors: FloatArray, _at: At = slice(None), /) -> FloatArray:
        """Turn errors of what is read (T,B,O) into those of the states (T,B,S)."""
        return self.steps.enter(errors)

    def weight_gradients(self, local: FloatArray, steps: Places) -> dict[str, FloatArray]:
        """Gather the gradient of every parameter from adjoints of s_t (N,B,S)."""
        times, sequences = (each.ravel() for each in self._places(steps))
        return self.steps.parameter_gradients(
            local.reshape(-1, self.local_size), times + 1, sequences
        )

    def stages(self, vectors: FloatArray, at: At) -> dict[str, FloatArray]:
        """J_t v, of no known parts."""
        return {"step": self.jvp(vectors, at)}

    def log_bound(self) -> float:
        """NaN: none is known."""
        return np.nan

    def _pulled(self, rows: FloatArray, at: At) -> FloatArray:
        steps, sequences = self._places(at)
        many = rows.reshape(steps.size, -1, self.local_size)
        return self.steps.pull(many, steps.ravel() + 1, sequences.ravel()).reshape(rows.shape)

    def _places(self, at: At) -> tuple[IntArray, IntArray]:
        """Return the step, from 0, and the sequence of all that an index stands for."""
        found = np.indices(self.steps.states[1:].shape[:2])
        return found[0][at], found[1][at]
