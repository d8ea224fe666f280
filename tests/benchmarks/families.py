"""The kinds of network that the engine is measured on: eight ways for singular values to spread, or
not to.
"""

from enum import StrEnum

import numpy as np

from gradscope.data.tasks import make_task
from gradscope.jacobians.chain import ElmanChain, elman_chain
from gradscope.learning.optimizers import adam
from gradscope.learning.training import train
from gradscope.model.elman import ElmanParameters
from gradscope.model.initializers import initialize
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


_SCHEMES = {
    Family.TANH_LOW: (ActivationName.TANH, InitializerName.GAUSSIAN, 0.8),
    Family.TANH: (ActivationName.TANH, InitializerName.GAUSSIAN, 1.0),
    Family.TANH_HIGH: (ActivationName.TANH, InitializerName.GAUSSIAN, 1.5),
    Family.SIGMOID: (ActivationName.SIGMOID, InitializerName.GAUSSIAN, 1.0),
    Family.RELU: (ActivationName.RELU, InitializerName.GAUSSIAN, 1.4),
    Family.IDENTITY_RELU: (ActivationName.RELU, InitializerName.IDENTITY, 1.0),
    Family.ORTHOGONAL: (ActivationName.TANH, InitializerName.ORTHOGONAL, 1.0),
    Family.TRAINED: (ActivationName.TANH, InitializerName.GAUSSIAN, 1.0),
}


def family_chain(
    family: Family, hidden: int, steps: int, *, sequences: int = 1, seed: int = 0
) -> ElmanChain:
    """Draw a network of the family and return its chain along a trajectory."""
    rng = np.random.default_rng(seed)
    activation, scheme, gain = _SCHEMES[family]
    scale = DRIVE * float(np.sqrt((hidden + INPUTS) / (2.0 * INPUTS)))
    params = initialize(
        rng, (INPUTS, hidden, 1), activation=activation, scheme=scheme, gain=gain, input_scale=scale
    )
    if family is Family.TRAINED:
        params = _trained(params, rng)
    inputs = rng.standard_normal((steps, sequences, INPUTS))
    if family is Family.IDENTITY_RELU:
        # With inputs of one sign some units stay open for good; else each closes once, for ever.
        inputs = np.abs(inputs)
    return elman_chain(params, unroll(params, inputs))


def _trained(params: ElmanParameters, rng: np.random.Generator) -> ElmanParameters:
    """Return the network after a short training on the adding problem."""
    task = make_task(TaskName.ADDING, steps=30)
    trained = train(params, lambda: task.draw(rng, 16), adam(0.002), updates=40).params
    assert isinstance(trained, ElmanParameters)
    return trained
