"""The kinds of network that the engine is measured on.

In the first eight most singular values fall behind soon, and the engine keeps a few rows of the
product. In the others memory lives: it keeps all of them, or many for long.
"""

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.data.tasks import make_task
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.jacobians.chain import Chain, ElmanChain
from gradscope.learning.optimizers import adam
from gradscope.learning.training import train
from gradscope.model.cells import Cell
from gradscope.model.elman import ElmanParameters
from gradscope.model.initializers import initialize, initialize_gru, initialize_lstm, orthogonal
from gradscope.model.trajectory import unroll
from gradscope.names import ActivationName, InitializerName, TaskName

INPUTS = 2
# Standard deviation of what the inputs add to each pre-activation, at every size: under Glorot's
# scheme it would fade as the state grows.
DRIVE = 0.5


class Family(StrEnum):
    """One kind of network, driven by random inputs."""

    TANH_LOW = "tanh, gain 0.8"
    TANH = "tanh, gain 1"
    TANH_HIGH = "tanh, gain 1.5"
    SIGMOID = "sigmoid, gain 1"
    RELU = "ReLU, gain 1.4"
    IDENTITY_RELU = "ReLU, W = I"
    ORTHOGONAL = "tanh, orthogonal"
    TRAINED = "tanh, trained"
    MEMORY = "tanh, orthogonal, inputs × 0.05"
    ORTH_09 = "orthogonal, slopes 0.9 to 1"
    CROWDED = "orthogonal, slopes 0.9999 to 1"
    ISOMETRY = "orthogonal, slopes 1"
    MINGRU = "diagonal, gates σ(N(4, 1))"
    GRU = "GRU, keep bias 3"
    LSTM = "LSTM, forget bias 3"
    LEAKY = "tanh, leak 0.05"
    DELAY_LINE = "delay line"
    SHEAR = "non-normal, grows and then shrinks"


COLLAPSING = tuple(Family)[:8]
LIVING = tuple(Family)[8:]

_SCHEMES = {
    Family.TANH_LOW: (ActivationName.TANH, InitializerName.GAUSSIAN, 0.8),
    Family.TANH: (ActivationName.TANH, InitializerName.GAUSSIAN, 1.0),
    Family.TANH_HIGH: (ActivationName.TANH, InitializerName.GAUSSIAN, 1.5),
    Family.SIGMOID: (ActivationName.SIGMOID, InitializerName.GAUSSIAN, 1.0),
    Family.RELU: (ActivationName.RELU, InitializerName.GAUSSIAN, 1.4),
    Family.IDENTITY_RELU: (ActivationName.RELU, InitializerName.IDENTITY, 1.0),
    Family.ORTHOGONAL: (ActivationName.TANH, InitializerName.ORTHOGONAL, 1.0),
    Family.TRAINED: (ActivationName.TANH, InitializerName.GAUSSIAN, 1.0),
    Family.LEAKY: (ActivationName.TANH, InitializerName.GAUSSIAN, 1.5),
}


def family_chain(
    family: Family, hidden: int, steps: int, *, sequences: int = 1, seed: int = 0
) -> Chain:
    """Draw a network of the family and return its chain along a trajectory."""
    rng = np.random.default_rng(seed)
    shape, sizes = (steps, sequences, hidden), (INPUTS, hidden, 1)
    if family in _MADE:
        slopes, weights = _MADE[family](rng, shape)
        return ElmanChain(slopes, weights)
    cell: Cell
    if family is Family.GRU:
        cell = initialize_gru(rng, sizes, forget_bias=3.0)
    elif family is Family.LSTM:
        cell = initialize_lstm(rng, sizes, forget_bias=3.0)
    elif family is Family.MEMORY:
        cell = initialize(rng, sizes, input_scale=0.05)
    else:
        activation, scheme, gain = _SCHEMES[family]
        scale = DRIVE * float(np.sqrt((hidden + INPUTS) / (2.0 * INPUTS)))
        cell = initialize(
            rng, sizes, activation=activation, scheme=scheme, gain=gain, input_scale=scale
        )
        if family is Family.TRAINED:
            cell = _trained(cell, rng)
        if family is Family.LEAKY:
            cell = replace(cell, leak=0.05)
    inputs = rng.standard_normal((steps, sequences, INPUTS))
    if family is Family.IDENTITY_RELU:
        # With inputs of one sign some units stay open for good; else each closes once, for ever.
        inputs = np.abs(inputs)
    return cell_chain(cell, unroll(cell, inputs))


Made = Callable[[np.random.Generator, tuple[int, int, int]], tuple[FloatArray, FloatArray]]
_MADE: dict[Family, Made] = {
    Family.ORTH_09: lambda rng, of: (rng.uniform(0.9, 1.0, of), orthogonal(rng, of[2])),
    Family.CROWDED: lambda rng, of: (rng.uniform(0.9999, 1.0, of), orthogonal(rng, of[2])),
    Family.ISOMETRY: lambda rng, of: (np.ones(of), orthogonal(rng, of[2])),
    Family.MINGRU: lambda rng, of: (1.0 / (1.0 + np.exp(-rng.normal(4.0, 1.0, of))), np.eye(of[2])),
    Family.DELAY_LINE: lambda rng, of: (rng.uniform(0.5, 1.0, of), np.eye(of[2], k=1)),
    Family.SHEAR: lambda _, of: (np.full(of, 0.97), np.eye(of[2]) + 0.1 * np.eye(of[2], k=1)),
}


def _trained(params: ElmanParameters, rng: np.random.Generator) -> ElmanParameters:
    """Return the network after a short training on the adding problem."""
    task = make_task(TaskName.ADDING, steps=30)
    trained = train(params, lambda: task.draw(rng, 16), adam(0.002), updates=40).params
    assert isinstance(trained, ElmanParameters)
    return trained
