"""The course of the network through time, pre-activations kept.

``a_t = U x_t + W h_{t−1} + b`` and ``h_t = φ(a_t)``. The slopes are taken from ``a_t``, so they
stay accurate where the state itself has rounded to its limit. One GEMM projects all inputs, one a
step carries the state on.
"""

from dataclasses import dataclass

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.errors import ShapeError
from gradscope.model.activations import Activation
from gradscope.model.cells import ElmanParameters


@dataclass(frozen=True, eq=False, slots=True)
class Trajectory:
    """What the network did, step by step.

    ``inputs`` (T,B,D), ``pre_activations`` (T,B,H) with a_t at ``[t-1]``, ``hidden`` (T+1,B,H) with
    h_t at ``[t]`` (h_0 first), ``outputs`` (T,B,O) with y_t at ``[t-1]``.
    """

    inputs: FloatArray
    pre_activations: FloatArray
    hidden: FloatArray
    outputs: FloatArray
    activation: Activation

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
        """φ′(a_t), (T,B,H), computed anew at each call."""
        return self.activation.slope(self.pre_activations)


def unroll(
    params: ElmanParameters, inputs: FloatArray, initial_state: FloatArray | None = None
) -> Trajectory:
    """Run the network over its inputs.

    Parameters
    ----------
    params : ElmanParameters
        The network.
    inputs : (T,B,D) array
        x_t at ``[t-1]``.
    initial_state : (B,H) array, optional
        h_0; zeros by default.

    Returns
    -------
    Trajectory

    Raises
    ------
    ShapeError
        If inputs or initial state do not fit the network.

    Notes
    -----
    Numbers that overflow become infinite and are passed on silently: the caller looks for them
    (``learning.training`` names the step and the factor).
    """
    n_inputs, n_hidden, _ = params.sizes
    if inputs.ndim != 3 or inputs.shape[2] != n_inputs:
        raise ShapeError(
            f"inputs have shape {inputs.shape}, but the network takes {n_inputs} inputs; give "
            f"(T,B,{n_inputs})"
        )
    n_steps, n_sequences, _ = inputs.shape
    hidden = np.zeros((n_steps + 1, n_sequences, n_hidden))
    if initial_state is not None:
        if initial_state.shape != (n_sequences, n_hidden):
            raise ShapeError(
                f"the initial state has shape {initial_state.shape}, but {n_sequences} sequences "
                f"of {n_hidden} units "
                f"ask for {(n_sequences, n_hidden)}"
            )
        hidden[0] = initial_state
    with np.errstate(over="ignore", invalid="ignore"):
        flat = inputs.reshape(-1, n_inputs) @ params.input_weights.T + params.hidden_bias
        pre_activations = flat.reshape(n_steps, n_sequences, n_hidden)
        carry = np.ascontiguousarray(params.recurrent_weights.T)
        for step in range(n_steps):
            pre_activations[step] += hidden[step] @ carry
            hidden[step + 1] = params.activation.value(pre_activations[step])
        flat = hidden[1:].reshape(-1, n_hidden) @ params.output_weights.T + params.output_bias
        outputs = flat.reshape(n_steps, n_sequences, -1)
    return Trajectory(inputs, pre_activations, hidden, outputs, params.activation)
