"""The gated recurrent unit, in both conventions.

    r_t = σ(U_r x_t + W_r h_{t−1} + b_r),        z_t = σ(U_z x_t + W_z h_{t−1} + b_z),
    n_t = φ(U_n x_t + b_n + r_t ∘ (W_n h_{t−1} + b′))        reset after the product, or
    n_t = φ(U_n x_t + b_n + W_n (r_t ∘ h_{t−1}))             reset before it,
    h_t = (1 − z_t) ∘ n_t + z_t ∘ h_{t−1},        y_t = V h_t + c.

Blocks stand in PyTorch's order r, z, n. Reset after, with its second bias b′, is what cuDNN,
PyTorch and Keras's default do; reset before is Cho et al. (2014), arXiv:1406.1078, equations 5 to
8, with z as there: z = 1 keeps the old state. The linear part of a step lives in
``gru_linearization``.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.model.activations import SIGMOID, TANH, Activation
from gradscope.model.cells import (
    WEIGHT_NAMES,
    CellTrajectory,
    NamedWeights,
    as_float_arrays,
    project_inputs,
    require_shapes,
)
from gradscope.model.gru_linearization import (
    GruFactors,
    ResetAfterLinearization,
    ResetBeforeLinearization,
)
from gradscope.notebook_repr import CompactRepr


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class GruParameters(NamedWeights, CompactRepr):
    """Weights of a GRU.

    Parameters
    ----------
    input_weights, recurrent_weights, hidden_bias : (3H,D), (3H,H) and (3H,) arrays
        U, W and b, blocks r, z, n one above the other; where a file has two biases for r and z,
        their sums.
    output_weights, output_bias : (O,H) and (O,) arrays
        V and c.
    candidate_bias : (H,) array, optional
        b′, the bias inside the reset product. None (the default) puts the reset before the product,
        where there is no such bias.
    activation : Activation
        φ of the candidate, tanh by default.

    Raises
    ------
    ShapeError
        If the shapes do not belong together.
    """

    input_weights: FloatArray
    recurrent_weights: FloatArray
    hidden_bias: FloatArray
    output_weights: FloatArray
    output_bias: FloatArray
    candidate_bias: FloatArray | None = None
    activation: Activation = TANH

    def __post_init__(self) -> None:
        as_float_arrays(self, self.weight_names)
        if self.reset_after:
            require_shapes(self, 3, candidate_bias=(self.state_size,))
        else:
            require_shapes(self, 3)

    @property
    def reset_after(self) -> bool:
        """Whether the reset gate comes after the product W_n h."""
        return self.candidate_bias is not None

    @property
    def weight_names(self) -> tuple[str, ...]:
        """The names of its weight arrays."""
        return (*WEIGHT_NAMES, "candidate_bias") if self.reset_after else WEIGHT_NAMES

    @property
    def sizes(self) -> tuple[int, int, int]:
        """(D, H, O): input, hidden and output size."""
        return self.input_weights.shape[1], self.state_size, self.output_bias.size

    @property
    def state_size(self) -> int:
        """S = H."""
        return self.recurrent_weights.shape[-1]

    def with_weights(self, weights: dict[str, FloatArray]) -> "GruParameters":
        """Return the same network with other weights, by name."""
        changes: dict[str, Any] = {name: weights[name] for name in WEIGHT_NAMES}
        changes["candidate_bias"] = weights.get("candidate_bias")
        return replace(self, **changes)

    def run(self, inputs: FloatArray, initial_state: FloatArray) -> CellTrajectory:
        """Go through inputs (T,B,D) from h_0 (B,H)."""
        size = self.state_size
        driven = project_inputs(inputs, self.input_weights, self.hidden_bias)
        states = np.empty((inputs.shape[0] + 1, *initial_state.shape))
        states[0] = initial_state
        if self.candidate_bias is None:
            self._run_before(states, driven)
        else:
            # The fourth block keeps W_n h + b′, which the reset gate's gradient needs.
            driven = np.concatenate([driven, np.zeros_like(driven[..., :size])], axis=2)
            self._run_after(states, driven, self.candidate_bias)
        return CellTrajectory(inputs, states, states, driven, driven[..., 2 * size : 3 * size])

    def _run_after(self, states: FloatArray, driven: FloatArray, bias: FloatArray) -> None:
        size = self.state_size
        transposed = np.ascontiguousarray(self.recurrent_weights.T)
        for step, a in enumerate(driven):
            before = states[step]
            fed = before @ transposed
            a[:, : 2 * size] += fed[:, : 2 * size]
            gates = SIGMOID.value(a[:, : 2 * size])
            np.add(fed[:, 2 * size :], bias, out=a[:, 3 * size :])
            a[:, 2 * size : 3 * size] += gates[:, :size] * a[:, 3 * size :]
            candidate = self.activation.value(a[:, 2 * size : 3 * size])
            states[step + 1] = candidate + gates[:, size:] * (before - candidate)

    def _run_before(self, states: FloatArray, driven: FloatArray) -> None:
        size = self.state_size
        to_gates = np.ascontiguousarray(self.recurrent_weights[: 2 * size].T)
        to_candidate = np.ascontiguousarray(self.recurrent_weights[2 * size :].T)
        for step, a in enumerate(driven):
            before = states[step]
            a[:, : 2 * size] += before @ to_gates
            gates = SIGMOID.value(a[:, : 2 * size])
            a[:, 2 * size :] += (gates[:, :size] * before) @ to_candidate
            candidate = self.activation.value(a[:, 2 * size :])
            states[step + 1] = candidate + gates[:, size:] * (before - candidate)

    def linearize(
        self, cell_trajectory: CellTrajectory
    ) -> "ResetAfterLinearization | ResetBeforeLinearization":
        """Take the linear part of every step of a trajectory."""
        size = self.state_size
        reset_in, update_in = (
            cell_trajectory.pre_activations[..., :size],
            cell_trajectory.pre_activations[..., size : 2 * size],
        )
        update = SIGMOID.value(update_in)
        candidate = self.activation.value(cell_trajectory.candidates)
        slopes = self.activation.slope(cell_trajectory.candidates)
        reset_slopes = SIGMOID.slope(reset_in)
        factors = GruFactors(
            update=update,
            update_gains=(cell_trajectory.states[:-1] - candidate) * SIGMOID.slope(update_in),
            candidate_gains=(1.0 - update) * slopes,
            open_gains=(1.0 - update) * self.activation.slope_ceiling,
            reset=SIGMOID.value(reset_in),
        )
        if self.reset_after:
            gated = cell_trajectory.pre_activations[..., 3 * size :]
            return ResetAfterLinearization(
                cell_trajectory, self.recurrent_weights, factors, gated * reset_slopes
            )
        return ResetBeforeLinearization(
            cell_trajectory,
            self.recurrent_weights,
            factors,
            cell_trajectory.states[:-1] * reset_slopes,
        )
