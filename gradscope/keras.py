"""A layer from a file once more, in Keras: its states to hold ours against.

``SimpleRNN``, ``GRU`` or ``LSTM`` is built from the arrays of the file, in Keras's order and
orientation, in float64; nothing of the file's own configuration is built or run. Jacobians are not
compared: each backend of Keras has its own way to them.
"""

from typing import Any

import keras
import numpy as np

from gradscope.arrays import FloatArray
from gradscope.learning.differences import relative_deviation
from gradscope.names import ActivationName, CellName, StateName
from gradscope.study.check import CheckRow
from gradscope.study.given import Given
from gradscope.weights.cells import Settled
from gradscope.weights.keras_layers import GATE_ORDER
from gradscope.weights.layers import RecurrentLayer

TOLERANCE = 1e-5
"""On PyTorch, Keras takes some of its steps in float32; a wrong gate is off by a tenth."""

LAYERS = {CellName.ELMAN: "SimpleRNN", CellName.GRU: "GRU", CellName.LSTM: "LSTM"}
THEIR_WORDS = {ActivationName.IDENTITY: "linear", ActivationName.HARD_TANH: "hard_tanh"}


def can_compute(settled: Settled) -> bool:
    """Whether Keras has a layer of these equations."""
    return settled.leak == 1.0 and settled.state is StateName.POST


def parity_rows(given: Given) -> tuple[CheckRow, ...]:
    """Compare the hidden states of a network from a file with Keras's."""
    course = given.courses[given.subject.title]
    layer = _layer(given.subject, given.settled)
    sequences = np.ascontiguousarray(course.inputs.swapaxes(0, 1))
    found = keras.ops.convert_to_numpy(layer(sequences)).swapaxes(0, 1)
    return (
        CheckRow(
            f"{course.n_steps} hidden states of {given.subject.title}",
            f"keras.layers.{LAYERS[given.settled.cell]}",
            relative_deviation(course.hidden[1:], found),
            TOLERANCE,
        ),
    )


def _layer(layer: RecurrentLayer, settled: Settled) -> Any:
    gated = {} if settled.cell is CellName.ELMAN else {"recurrent_activation": "sigmoid"}
    if settled.cell is CellName.GRU:
        gated["reset_after"] = bool(settled.reset_after)  # type: ignore[assignment]
    made = getattr(keras.layers, LAYERS[settled.cell])(
        layer.hidden_size,
        activation=THEIR_WORDS.get(settled.activation, str(settled.activation)),
        return_sequences=True,
        dtype="float64",
        **gated,
    )
    made.build((None, None, layer.input_size))
    first, second = (_bias(layer, each) for each in (layer.input_bias, layer.recurrent_bias))
    bias = np.stack([first, second]) if gated.get("reset_after") else first + second
    kernels = (layer.input_weights, layer.recurrent_weights)
    made.set_weights([*(_their_order(layer, each).T for each in kernels), bias])
    return made


def _bias(layer: RecurrentLayer, bias: FloatArray | None) -> FloatArray:
    none = np.zeros(layer.recurrent_weights.shape[0])
    return _their_order(layer, none if bias is None else bias)


def _their_order(layer: RecurrentLayer, array: FloatArray) -> FloatArray:
    """Return an array whose blocks along the first dimension are in Keras's order."""
    blocks = np.split(array, len(layer.gates))
    return np.concatenate([blocks[place] for place in np.argsort(GATE_ORDER[layer.kind])])
