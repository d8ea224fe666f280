"""A layer from a file once more, in PyTorch: its states and Jacobians to hold ours against.

The studied layer takes single steps through ``RNNCell``, ``GRUCell`` or ``LSTMCell``, each from a
state of ours; the whole stack goes once through ``nn.RNN``, ``nn.GRU`` or ``nn.LSTM``, in a chaotic
network over the steps alone in which rounding has not grown. All in float64, on the CPU.
"""

from functools import partial
from typing import Any

import numpy as np
import torch

from gradscope.analysis.check import CheckRow
from gradscope.analysis.imported.stack import ImportedStack, run_stack
from gradscope.arrays import FloatArray
from gradscope.frameworks.parity import compared
from gradscope.jacobians.reference import relative_deviation
from gradscope.model.activations import ACTIVATIONS
from gradscope.names import ActivationName, CellName, GateName, StateName
from gradscope.weights.layers.recurrent_layer import Direction, RecurrentLayer
from gradscope.weights.layers.to_cell import CellSpec

TOLERANCE = 1e-10
"""Two ways to the same float64 numbers: rounding, as it grows over the steps."""

GROWN = 1e-2 * TOLERANCE
"""How far rounding may have grown in the steps over which whole stacks are compared."""


def can_compute(spec: CellSpec) -> bool:
    """Whether PyTorch has a layer of these equations."""
    if spec.cell is CellName.ELMAN:
        plain = spec.leak == 1.0 and spec.state is StateName.POST
        return plain and ACTIVATIONS[spec.activation].torch_name is not None
    plain = spec.activation is ActivationName.TANH and spec.gate_activation is GateName.SIGMOID
    return plain and spec.reset_after is not False


def parity_rows(stack: ImportedStack) -> tuple[CheckRow, ...]:
    """Compare states, Jacobians and the outputs of the whole stack with PyTorch's."""
    name, layer = f"{stack.studied.kind.upper()}Cell", stack.studied
    made = getattr(torch.nn, name)
    cell = made(layer.input_size, layer.hidden_size, **_options(stack.spec))
    cell.load_state_dict(_weights(layer))
    cell.requires_grad_(requires_grad=False)
    jacobians = "torch.func.jacrev", partial(_jacobian, cell)
    states = f"torch.nn.{name}", partial(_states, cell)
    # The whole stack is compared over the steps in which rounding has not grown.
    steps = stack.recording.inputs.shape[0]
    nudged = stack.recording.inputs * (1.0 + np.finfo(np.float64).eps)
    ours = _our_outputs(stack, stack.recording.inputs)
    while steps > 1 and relative_deviation(ours, _our_outputs(stack, nudged[:steps])) > GROWN:
        steps //= 2
        ours = _our_outputs(stack, stack.recording.inputs[:steps])
    deviation = relative_deviation(ours, _outputs(stack, stack.recording.inputs[:steps]))
    title = f"{steps} outputs of all layers of {layer.name}"
    whole = CheckRow(title, f"torch.nn.{layer.kind.upper()}", deviation, TOLERANCE)
    return *compared(stack, TOLERANCE, states, jacobians), whole


def _tensor(array: FloatArray) -> torch.Tensor:
    return torch.tensor(np.ascontiguousarray(array), dtype=torch.float64)


def _options(spec: CellSpec) -> dict[str, Any]:
    """Return what a layer and a cell of these equations are built with, beside their sizes."""
    nonlinearity = ACTIVATIONS[spec.activation].torch_name
    phi = {"nonlinearity": nonlinearity} if spec.cell is CellName.ELMAN else {}
    return {"dtype": torch.float64, "device": "cpu", **phi}


def _weights(layer: RecurrentLayer) -> dict[str, torch.Tensor]:
    """Return a layer's arrays under PyTorch's names; a bias that is missing is 0."""
    none = np.zeros(layer.recurrent_weights.shape[0])
    biases = {"bias_ih": layer.input_bias, "bias_hh": layer.recurrent_bias}
    arrays = {"weight_ih": layer.input_weights, "weight_hh": layer.recurrent_weights, **biases}
    return {name: _tensor(none if array is None else array) for name, array in arrays.items()}


def _step(cell: Any, inputs: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
    """Return s_t from x_t and s_{t−1}, the whole state (…,S)."""
    if isinstance(cell, torch.nn.LSTMCell):
        hidden, memory = state[..., : cell.hidden_size], state[..., cell.hidden_size :]
        return torch.cat(cell(inputs, (hidden, memory)), dim=-1)
    after: torch.Tensor = cell(inputs, state)
    return after


def _states(cell: Any, inputs: FloatArray, before: FloatArray) -> FloatArray:
    """Return s_t (N,S) from x_t (N,D) and s_{t−1} (N,S)."""
    return np.asarray(_step(cell, _tensor(inputs), _tensor(before)).numpy())


def _jacobian(cell: Any, inputs: FloatArray, before: FloatArray) -> FloatArray:
    """Return ∂s_t/∂s_{t−1} (S,S) from x_t (D,) and s_{t−1} (S,)."""
    step = partial(_step, cell, _tensor(inputs))
    return np.asarray(torch.func.jacrev(step)(_tensor(before)).numpy())


def _outputs(stack: ImportedStack, inputs: FloatArray) -> FloatArray:
    """Return what the fused module of the whole stack puts out, (T,B,H) or (T,B,2H)."""
    lowest, both = stack.layers[0][0][0], len(stack.layers[0]) == 2
    sizes = lowest.input_size, lowest.hidden_size, len(stack.layers)
    fused = getattr(torch.nn, stack.studied.kind.upper())
    module = fused(*sizes, bidirectional=both, **_options(stack.spec))
    arrays = {
        f"{name}_l{layer.layer}{'_reverse' if layer.direction is Direction.BACKWARD else ''}": each
        for depth in stack.layers
        for layer, _ in depth
        for name, each in _weights(layer).items()
    }
    module.load_state_dict(arrays)
    titles = [layer.title for depth in stack.layers for layer, _ in depth]
    states = _tensor(np.stack([stack.trajectories[title].states[0] for title in titles]))
    blocks = tuple(each.contiguous() for each in states.split(lowest.hidden_size, dim=2))
    with torch.no_grad():
        found: FloatArray = module(_tensor(inputs), blocks if blocks[1:] else states)[0].numpy()
    return found


def _our_outputs(stack: ImportedStack, inputs: FloatArray) -> FloatArray:
    """Return what the top of our stack puts out, both directions in the order of the sequence."""
    trajectories = run_stack(stack.layers, inputs)
    halves = []
    for layer, _ in stack.layers[-1]:
        hidden = trajectories[layer.title].hidden[1:]
        halves.append(hidden[::-1] if layer.direction is Direction.BACKWARD else hidden)
    return np.concatenate(halves, axis=2)
