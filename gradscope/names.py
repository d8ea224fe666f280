"""The words that settings choose between.

They stand alone, without NumPy, so that ``gradscope --help`` can list them at once. Each word's
meaning lives where it is computed: ``model.activations``, ``model.cells``, ``model.initializers``,
``data.tasks``, ``learning.training``, ``diagnosis.verdict``.
"""

from enum import StrEnum

PerUnit = float | tuple[float, ...]
"""One number for all units, or one for each."""


class ActivationName(StrEnum):
    """The nonlinearity φ."""

    TANH = "tanh"
    SIGMOID = "sigmoid"
    RELU = "relu"
    IDENTITY = "identity"
    HARD_TANH = "hard-tanh"
    SOFTPLUS = "softplus"
    ELU = "elu"
    SELU = "selu"
    SILU = "silu"
    SOFTSIGN = "softsign"
    HARD_SIGMOID = "hard-sigmoid"
    HARD_SIGMOID_02 = "hard-sigmoid-0.2"


class CellName(StrEnum):
    """The recurrent cell."""

    ELMAN = "elman"
    GRU = "gru"
    LSTM = "lstm"


class StartName(StrEnum):
    """From which weights a network from a file is trained."""

    GIVEN = "given"
    SCRATCH = "scratch"


class StateName(StrEnum):
    """What an Elman net carries from step to step: its activations, or its pre-activations."""

    POST = "post"
    PRE = "pre"


class Discretization(StrEnum):
    """How α follows from dt and τ: dt/τ, or 1 − exp(−dt/τ), which is exact for a linear decay."""

    EULER = "euler"
    EXPONENTIAL = "exponential"


class GateName(StrEnum):
    """The function of the gates; the hard sigmoid of PyTorch and Keras 3, and of Keras 1 and 2."""

    SIGMOID = "sigmoid"
    HARD_SIGMOID = "hard-sigmoid"
    HARD_SIGMOID_02 = "hard-sigmoid-0.2"


class InitializerName(StrEnum):
    """How the weights are drawn."""

    ORTHOGONAL = "orthogonal"
    GAUSSIAN = "gaussian"
    GLOROT = "glorot"
    UNIFORM = "uniform"
    IDENTITY = "identity"


class TaskName(StrEnum):
    """The synthetic task, whose required lag is known."""

    RECALL = "recall"
    ADDING = "adding"
    COPY = "copy"
    TEMPORAL_ORDER = "temporal-order"
    SINE = "sine"


class ErrorName(StrEnum):
    """The step error E_t."""

    SQUARED = "squared"
    CROSS_ENTROPY = "cross-entropy"


class OptimizerName(StrEnum):
    """The update rule."""

    SGD = "sgd"
    MOMENTUM = "momentum"
    RMSPROP = "rmsprop"
    ADAM = "adam"


class ExecutorName(StrEnum):
    """Who computes the cells of a sweep."""

    SERIAL = "serial"
    PROCESS = "process"
    DASK = "dask"


class StageName(StrEnum):
    """When the network was examined."""

    INITIAL = "initial"
    TRAINED = "trained"
    GIVEN = "given"


class Regime(StrEnum):
    """What the gradient does as the lag grows."""

    VANISHING = "vanishing"
    EXPLODING = "exploding"
    STABLE = "stable"
    MIXED = "mixed"
    TRANSIENT = "transient"


class SweepPicture(StrEnum):
    """The picture of a sweep: over two settings, or over one."""

    PHASE = "phase"
    QUANTILES = "quantiles"


class SweepValue(StrEnum):
    """What a picture of a sweep shows of each cell."""

    RATE = "rate"
    HORIZON = "horizon"
    LYAPUNOV = "lyapunov"


class Theme(StrEnum):
    """What a picture is for: a page of paper, or a slide of 16 to 9, light or dark."""

    PAPER = "paper"
    SLIDE = "slide"
    DARK = "dark"


class ColumnWidth(StrEnum):
    """Widths that journals ask for: one column of two, or both."""

    SINGLE = "single"
    DOUBLE = "double"


def network_name(cell: str, activation: str) -> str:
    """Return how a network is called among others: its activation, or its cell where it is gated.

    >>> [network_name("elman", "relu"), network_name("gru", "tanh"), network_name("gru", "relu")]
    ['relu', 'GRU', 'relu GRU']
    """
    if cell == CellName.ELMAN:
        return activation
    return cell.upper() if activation == ActivationName.TANH else f"{activation} {cell.upper()}"
