"""The gated recurrent unit, in both conventions.

    r_t = σ(U_r x_t + W_r h_{t−1} + b_r),        z_t = σ(U_z x_t + W_z h_{t−1} + b_z),
    n_t = φ(U_n x_t + b_n + r_t ∘ (W_n h_{t−1} + b′))        reset after the product, or
    n_t = φ(U_n x_t + b_n + W_n (r_t ∘ h_{t−1}))             reset before it,
    h_t = (1 − z_t) ∘ n_t + z_t ∘ h_{t−1},        y_t = V h_t + c.

Blocks stand in PyTorch's order r, z, n. Reset after, with its second bias b′, is what cuDNN,
PyTorch and Keras's default do; reset before is Cho et al. (2014), arXiv:1406.1078, equations 5 to
8, with z as there: z = 1 keeps the old state. See ``gru_linearization``.
"""

from dataclasses import dataclass, field
from functools import partial

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.model.activations import SIGMOID, TANH, Activation
from gradscope.model.cells import WEIGHT_NAMES, Cell, CellTrajectory, project_inputs
from gradscope.model.gru_linearization import ResetAfterLinearization, ResetBeforeLinearization
from gradscope.progress import tracked


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class GruParameters(Cell):
    """A GRU: U (3H,D), W (3H,H) and b (3H,), blocks r, z, n one above the other (where a file has
    two biases for r and z, their sums), V (O,H), c (O,), φ of the candidate, σ of the gates.

    ``candidate_bias`` (H,) is b′, the bias inside the reset product; None puts the reset before the
    product, where there is no such bias. Raises ShapeError if the shapes do not belong together.
    """

    candidate_bias: FloatArray | None = None
    activation: Activation = TANH
    gate_activation: Activation = field(default=SIGMOID, repr=False)

    def __post_init__(self) -> None:
        second = {"candidate_bias": (self.hidden_size,)} if self.reset_after else {}
        self._check_weights(3, **second)

    @property
    def reset_after(self) -> bool:
        """Whether the reset gate comes after the product W_n h."""
        return self.candidate_bias is not None

    @property
    def weight_names(self) -> tuple[str, ...]:
        """The names of its weight arrays."""
        return (*WEIGHT_NAMES, "candidate_bias") if self.reset_after else WEIGHT_NAMES

    def run(self, inputs: FloatArray, initial_state: FloatArray) -> CellTrajectory:
        """Go through inputs (T,B,D) from h_0 (B,H)."""
        size, bias, weights = self.state_size, self.candidate_bias, self.recurrent_weights
        gate = self.gate_activation
        driven = fed_by_inputs = project_inputs(inputs, self.input_weights, self.hidden_bias)
        if bias is not None:
            # The fourth block keeps W_n h + b′, which the reset gate's gradient needs.
            driven = np.empty((*inputs.shape[:2], 4 * size))
            driven[..., : 3 * size] = fed_by_inputs
        states = np.empty((inputs.shape[0] + 1, *initial_state.shape))
        states[0] = initial_state
        # Where the reset comes after the product, one GEMM feeds gates and candidate.
        fed_at_once = np.ascontiguousarray(weights[: 2 * size].T if bias is None else weights.T)
        to_candidate = np.ascontiguousarray(weights[2 * size :].T)
        for step, a in enumerate(tracked(driven, "steps")):
            before = states[step]
            fed = before @ fed_at_once
            a[:, : 2 * size] += fed[:, : 2 * size]
            gates = gate.value(a[:, : 2 * size])
            reset, update = gates[:, :size], gates[:, size:]
            if bias is None:
                a[:, 2 * size :] += (reset * before) @ to_candidate
            else:
                np.add(fed[:, 2 * size :], bias, out=a[:, 3 * size :])
                a[:, 2 * size : 3 * size] += reset * a[:, 3 * size :]
            candidate = self.activation.value(a[:, 2 * size : 3 * size])
            states[step + 1] = candidate + update * (before - candidate)
        return CellTrajectory(inputs, states, states, driven, driven[..., 2 * size : 3 * size])

    def linearize(
        self, cell_trajectory: CellTrajectory, *, at_ceiling: bool = False
    ) -> "ResetAfterLinearization | ResetBeforeLinearization":
        """Take the linear part of every step of a trajectory; see ``Cell``."""
        size, gate = self.state_size, self.gate_activation
        gate_slope = partial(gate.slope_at, ceiling=at_ceiling)
        before, driven = cell_trajectory.states[:-1], cell_trajectory.pre_activations
        reset_in, update_in = driven[..., :size], driven[..., size : 2 * size]
        update = gate.value(update_in)
        candidate = self.activation.value(cell_trajectory.candidates)
        slopes = self.activation.slope_at(cell_trajectory.candidates, ceiling=at_ceiling)
        kind = ResetAfterLinearization if self.reset_after else ResetBeforeLinearization
        return kind(
            cell_trajectory,
            self.recurrent_weights,
            update=update,
            update_gains=(before - candidate) * gate_slope(update_in),
            candidate_gains=(1.0 - update) * slopes,
            open_gains=(1.0 - update) * self.activation.slope_ceiling,
            reset=gate.value(reset_in),
            reset_gains=(driven[..., 3 * size :] if self.reset_after else before)
            * gate_slope(reset_in),
        )
