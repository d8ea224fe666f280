"""A layer replayed step by step in NumPy, as its equations are written: what the readers' gate
order and orientation are held against.
"""

from collections.abc import Callable, Sequence

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.names import CellName
from gradscope.weights.layers.recurrent_layer import Direction, RecurrentLayer

Function = Callable[[FloatArray], FloatArray]


def sigmoid(a: FloatArray) -> FloatArray:
    return np.asarray(1.0 / (1.0 + np.exp(-a)), dtype=np.float64)


def relu(a: FloatArray) -> FloatArray:
    return np.maximum(a, 0.0)


def tanh(a: FloatArray) -> FloatArray:
    return np.tanh(a)


FUNCTIONS: dict[str, Function] = {"tanh": tanh, "relu": relu, "sigmoid": sigmoid}


def replay(layer: RecurrentLayer, inputs: FloatArray, activation: str = "tanh") -> FloatArray:
    """Return h_1 … h_T (T,B,H) on inputs (T,B,D); a backward layer's are in the inputs' order."""
    backward = layer.direction is Direction.BACKWARD
    phi = FUNCTIONS[layer.activation or activation]
    batch, hidden = inputs.shape[1], layer.hidden_size
    state: FloatArray = np.zeros((batch, hidden))
    cell: FloatArray = np.zeros((batch, hidden))
    states = []
    for x in inputs[::-1] if backward else inputs:
        state, cell = _step(layer, phi, x, state, cell)
        states.append(state)
    return np.array(states[::-1] if backward else states)


def replay_stack(
    layers: Sequence[RecurrentLayer], inputs: FloatArray, activation: str = "tanh"
) -> FloatArray:
    """Return the states of the top of a stack; two directions side by side."""
    for depth in range(1 + max(layer.layer for layer in layers)):
        halves = [replay(each, inputs, activation) for each in layers if each.layer == depth]
        inputs = np.concatenate(halves, axis=-1)
    return inputs


def _step(
    layer: RecurrentLayer, phi: Function, x: FloatArray, h: FloatArray, c: FloatArray
) -> tuple[FloatArray, FloatArray]:
    rows = layer.recurrent_weights.shape[0]
    b, d = (
        np.zeros(rows) if bias is None else bias
        for bias in (layer.input_bias, layer.recurrent_bias)
    )
    fed = x @ layer.input_weights.T + b
    W, size = layer.recurrent_weights, layer.hidden_size
    if layer.cell is CellName.ELMAN:
        return phi(fed + h @ W.T + d), c
    if layer.cell is CellName.LSTM:
        i, f, g, o = np.split(fed + h @ W.T + d, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * phi(g)
        return sigmoid(o) * phi(c), c
    r, z = (sigmoid(a) for a in np.split((fed + h @ W.T + d)[:, : 2 * size], 2, axis=-1))
    if layer.reset_after:
        n = phi(fed[:, 2 * size :] + r * (h @ W[2 * size :].T + d[2 * size :]))
    else:
        n = phi(fed[:, 2 * size :] + (r * h) @ W[2 * size :].T + d[2 * size :])
    return (1.0 - z) * n + z * h, c
