"""A layer from a file once more, in Keras: its states and Jacobians to hold ours against.

``SimpleRNN``, ``GRU`` or ``LSTM`` is built from the arrays of the file; nothing of the file's own
configuration is built or run. The backend takes the Jacobians: PyTorch, JAX or TensorFlow.
"""

from functools import partial
from typing import Any

import keras
import numpy as np

from gradscope.analysis.check import CheckRow
from gradscope.analysis.imported.stack import ImportedStack
from gradscope.arrays import FloatArray
from gradscope.frameworks import BACKENDS
from gradscope.frameworks.parity import compared
from gradscope.model.activations import ACTIVATIONS, activation_of
from gradscope.names import CellName, StateName
from gradscope.weights.layers.keras_names import GATE_ORDER
from gradscope.weights.layers.recurrent_layer import RecurrentLayer
from gradscope.weights.layers.to_cell import CellSpec

TOLERANCE = 1e-5
"""On PyTorch, Keras takes matrix products in float32, on JAX everything; a wrong gate is off by
0.1."""

LAYERS = {CellName.ELMAN: "SimpleRNN", CellName.GRU: "GRU", CellName.LSTM: "LSTM"}


def can_compute(spec: CellSpec) -> bool:
    """Whether Keras has a layer of these equations."""
    functions = spec.activation, spec.gate_activation or "tanh"
    named = all(activation_of(each).keras_name for each in functions)
    return named and spec.leak == 1.0 and spec.state is StateName.POST


def cannot_differentiate() -> str | None:
    """Return the backend that Keras runs on if it has no way to Jacobians, else None."""
    backend = str(keras.config.backend())
    return None if backend in BACKENDS else backend


def parity_rows(stack: ImportedStack) -> tuple[CheckRow, ...]:
    """Compare states and, where Keras's backend can differentiate, Jacobians."""
    cell, name = _layer(stack.studied, stack.spec).cell, f"{LAYERS[stack.spec.cell]}Cell"
    jacobians = f"{name} on {keras.config.backend()}", partial(_jacobian, cell)
    states = f"keras.layers.{name}", partial(_states, cell)
    return compared(stack, TOLERANCE, states, None if cannot_differentiate() else jacobians)


def _states(cell: Any, inputs: FloatArray, before: FloatArray) -> FloatArray:
    """Return s_t (N,S) from x_t (N,D) and s_{t−1} (N,S)."""
    return _array(_step(cell, _tensor(cell, inputs), _tensor(cell, before)))


def _jacobian(cell: Any, inputs: FloatArray, before: FloatArray) -> FloatArray:
    """Return ∂s_t/∂s_{t−1} (S,S) from x_t (D,) and s_{t−1} (S,), by what the backend has for it."""
    sequence, state = _tensor(cell, inputs[None]), _tensor(cell, before)

    def step(state: Any) -> Any:
        return _step(cell, sequence, state[None])[0]

    backend = keras.config.backend()
    if backend == "torch":
        import torch

        return _array(torch.func.jacrev(step)(state))
    if backend == "jax":
        import jax

        return _array(jax.jacrev(step)(state))
    import tensorflow as tf

    with tf.GradientTape(persistent=True) as tape:
        tape.watch(state)
        after = step(state)
    # Without the compiled loop, which TensorFlow would trace again, with a warning, at every step.
    return _array(tape.jacobian(after, state, experimental_use_pfor=False))


def _step(cell: Any, inputs: Any, state: Any) -> Any:
    """Return s_t (N,S) from x_t (N,D) and s_{t−1}, the whole state (h, c)."""
    blocks = keras.ops.split(state, state.shape[1] // cell.units, axis=1)
    _, after = cell(inputs, blocks)
    return keras.ops.concatenate(after, axis=1)


def _tensor(cell: Any, array: FloatArray) -> Any:
    return keras.ops.convert_to_tensor(np.ascontiguousarray(array), dtype=cell.compute_dtype)


def _array(tensor: Any) -> FloatArray:
    return np.asarray(keras.ops.convert_to_numpy(tensor), dtype=np.float64)


def _layer(layer: RecurrentLayer, spec: CellSpec) -> Any:
    gated: dict[str, Any] = {}
    if spec.gate_activation is not None:
        gated["recurrent_activation"] = activation_of(spec.gate_activation).keras_name
    if spec.cell is CellName.GRU:
        gated["reset_after"] = bool(spec.reset_after)
    made = getattr(keras.layers, LAYERS[spec.cell])(
        layer.hidden_size,
        activation=ACTIVATIONS[spec.activation].keras_name,
        return_sequences=True,
        # JAX has float64 only where its whole process enables it, and Keras fails there.
        dtype="float32" if keras.config.backend() == "jax" else "float64",
        **gated,
    )
    made.build((None, None, layer.input_size))
    none = np.zeros(layer.recurrent_weights.shape[0])
    both = [none if b is None else b for b in (layer.input_bias, layer.recurrent_bias)]
    first, second = (_their_order(layer, b) for b in both)
    bias = np.stack([first, second]) if gated.get("reset_after") else first + second
    kernels = (layer.input_weights, layer.recurrent_weights)
    made.set_weights([*(_their_order(layer, each).T for each in kernels), bias])
    return made


def _their_order(layer: RecurrentLayer, array: FloatArray) -> FloatArray:
    """Return an array whose blocks along the first dimension are in Keras's order."""
    blocks = np.split(array, len(layer.gates))
    return np.concatenate([blocks[place] for place in np.argsort(GATE_ORDER[layer.cell])])
