"""The chain of any cell along its trajectory: the VJPs and JVPs of its linearization, step by step.

J_t = ∂s_t/∂s_{t−1} over the whole state, (h, c) for an LSTM; nothing dense is kept.
"""

from dataclasses import dataclass, field

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.errors import ShapeError
from gradscope.jacobians.chain import MIN_EXPONENT, Chain, elman_chain, require_finite
from gradscope.jacobians.kernels.powers_of_two import LOG_2
from gradscope.jacobians.step_chain import step_chain
from gradscope.model.cells import At, Cell, Linearization
from gradscope.model.elman import ElmanParameters
from gradscope.model.step_cell import StepTrajectory
from gradscope.model.trajectory import Trajectory
from gradscope.names import StateName


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class CellChain(Chain):
    """The chain of a cell; ShapeError if the trajectory is empty, or holds a number not finite."""

    linearization: Linearization
    _exponent: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        trajectory = self.linearization.cell_trajectory
        shape = trajectory.pre_activations.shape
        if 0 in shape:
            raise ShapeError(f"pre-activations have shape {shape}; each size must be 1 or more")
        require_finite(trajectory.pre_activations, "pre-activations")
        require_finite(trajectory.states, "states")
        # |entry of J_t| ≤ σ_max(J_t), so the bound on σ_max over all steps scales every factor:
        # its exponent is known beforehand, and no step needs a pass over J_t.
        exponent = np.ceil(max(self.linearization.log_bound() / LOG_2, MIN_EXPONENT))
        object.__setattr__(self, "_exponent", int(exponent))
        sizes = (*trajectory.inputs.shape[:2], trajectory.states.shape[2])
        object.__setattr__(self, "_sizes", sizes)

    def jacobian(self, step: int) -> FloatArray:
        """J_t, (B,S,S)."""
        return self.vjp(np.tile(np.eye(self.state_size), (self.n_sequences, 1, 1)), step)

    def vjp(self, rows: FloatArray, step: int) -> FloatArray:
        """Rows · J_t, through the factors of all sequences at once."""
        return self.linearization.vjp_many(rows, _at(step))

    def jvp(self, vectors: FloatArray, step: int) -> FloatArray:
        """J_t v, through the factors of all sequences at once."""
        return self.linearization.jvp_many(vectors, _at(step))

    def accumulate_vjp(
        self, rows: FloatArray | None, steps: IntArray, sequences: IntArray, out: FloatArray
    ) -> IntArray:
        """Rows · J_t · 2**−e over consecutive steps, e from the bound along the trajectory."""
        if rows is None:
            rows = np.broadcast_to(np.eye(self.state_size), out.shape[1:])
        scale = np.ldexp(1.0, -self._exponent)
        for index, step in enumerate(steps):
            carried = self.linearization.vjp_many(rows, (step - 1, sequences, None))
            rows = np.multiply(carried, scale, out=out[index])
        return np.full(steps.shape, self._exponent, dtype=np.int64)

    def stages(self, vectors: FloatArray, step: int) -> dict[str, FloatArray]:
        """J_t v, built up stage by stage; see ``model.cells.Linearization``."""
        return self.linearization.stages(vectors, _at(step))


def cell_chain(params: Cell, trajectory: Trajectory) -> Chain:
    """Return the chain of a network along a trajectory over B sequences of T steps: an
    ``ElmanChain`` for a vanilla RNN with its state as activation, that of ``step_chain`` for a step
    of somebody's own, else a ``CellChain``.

    Raises ShapeError if the trajectory holds a number that is not finite.
    """
    if isinstance(trajectory, StepTrajectory):
        return step_chain(trajectory.steps, trajectory.dense)
    if isinstance(params, ElmanParameters) and params.state is StateName.POST:
        return elman_chain(params, trajectory)
    return CellChain(params.linearize(trajectory.cell_trajectory))


def _at(step: int) -> At:
    """Index the factors at a step so that they broadcast over r rows a sequence."""
    return (step - 1, slice(None), None)
