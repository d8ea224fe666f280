"""Every setting of a study, declared once: a field is one option of ``gradscope analyze``, one
``GRADSCOPE_*`` variable, one key of a TOML file and one column of a store.

To add a setting, add a field: its default, what it decides, where its option stands and what its
help says. Limits, help pages, variables and store columns follow.
"""

import math
from dataclasses import dataclass

from gradscope.analysis.setting_values import Group, Limits, OptionPanel, setting
from gradscope.names import (
    ActivationName,
    CellName,
    Discretization,
    GateName,
    InitializerName,
    OptimizerName,
    PerUnit,
    StartName,
    StateName,
    TaskName,
)

NETWORK, SEQUENCES, JUDGING = Group.NETWORK, Group.SEQUENCES, Group.JUDGING
DETAILS, IMPORTED, DRAWN = Group.DETAILS, Group.IMPORTED, Group.DRAWN
TRAINED = Group.TRAINING | DRAWN
MODEL, FROM_FILE, DATA = OptionPanel.MODEL, OptionPanel.IMPORTED, OptionPanel.DATA
TRAINING, ANALYSIS = OptionPanel.TRAINING, OptionPanel.ANALYSIS

MAX_SIZE = 100_000
MAX_COUNT = 10_000_000
MAX_FACTOR = 1e100
"""Weights beyond this have squares, and products with one another, that leave float64."""

SIZE, COUNT, LENGTH = Limits(1, MAX_SIZE), Limits(0, MAX_COUNT), Limits(1, MAX_COUNT)
FACTOR = Limits(0.0, MAX_FACTOR, "[]")
FRACTION, PART = Limits(0.0, 1.0), Limits(0.0, 1.0, "(]")
PER_UNIT = "X|LIST|FILE"
POSITIVE, ABOVE_ONE = Limits(0.0, math.inf), Limits(1.0, math.inf)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class SettingFields:
    """The fields of ``Settings``, which says what they mean together."""

    # fmt: off
    cell: CellName | None = setting(
        CellName.ELMAN, NETWORK, MODEL, "The recurrent cell.", common=True
    )
    leak: PerUnit = setting(
        1.0, NETWORK, MODEL, "Leak α = dt/τ of a vanilla RNN.", PART, metavar=PER_UNIT
    )
    dt: float | None = setting(None, NETWORK, MODEL, "Seconds per step.", POSITIVE)
    tau: PerUnit | None = setting(
        None, NETWORK, MODEL, "Time constant τ, in seconds.", POSITIVE, metavar=PER_UNIT
    )
    discretization: Discretization = setting(
        Discretization.EULER, NETWORK, MODEL, "α = dt/τ, or α = 1 − exp(−dt/τ)."
    )
    noise: float = setting(
        0.0, SEQUENCES, MODEL, "σ of recurrent noise: σ√(2/α) ξ on a vanilla RNN's a_t.", FACTOR
    )
    state: StateName = setting(
        StateName.POST, NETWORK, MODEL, "A vanilla RNN's state: after φ or before it."
    )
    forget_bias: float | None = setting(
        None, NETWORK | DRAWN, MODEL, "Bias of the gate that keeps the state (LSTM f, GRU z).",
        Limits(-MAX_FACTOR, MAX_FACTOR),
    )
    chrono: int | None = setting(
        None, NETWORK | DRAWN, MODEL, "Chrono gate biases for lags up to N: log U(1, N−1).",
        Limits(2, MAX_COUNT),
    )
    activation: ActivationName = setting(
        ActivationName.TANH, NETWORK, MODEL, "The nonlinearity φ.", common=True
    )
    hidden: int = setting(32, NETWORK, MODEL, "Hidden units H.", SIZE, common=True)
    init: InitializerName = setting(
        InitializerName.ORTHOGONAL, NETWORK | DRAWN, MODEL,
        "How W is initialized (orthogonal as in Keras, uniform as in PyTorch's nn.RNN).",
    )
    gain: float = setting(
        1.0, NETWORK, MODEL, "Factor on W, also on that of a FILE.", FACTOR, common=True
    )
    input_scale: float = setting(1.0, NETWORK | DRAWN, MODEL, "Factor on U.", FACTOR)
    center_bias: bool = setting(
        False, NETWORK | DRAWN, MODEL, "Start a sigmoid net at rest at ½: b = −W·½."
    )

    weights: str | None = setting(
        None, NETWORK, FROM_FILE, "A network from a weight file: the same as FILE.", metavar="FILE"
    )
    weight_map: tuple[str, ...] = setting(
        (), NETWORK | IMPORTED, FROM_FILE,
        "A hand-written cell's W, U, b, h0, V, c, or how they are made: 'W=m @ n.T'.",
        metavar="W=NAME",
    )
    layer: str | None = setting(
        None, NETWORK | IMPORTED, FROM_FILE,
        "Layer to study, by index from 0 or name; :reverse for backward (default: the last).",
        metavar="N|NAME",
    )
    readout: str | None = setting(
        None, NETWORK | IMPORTED, FROM_FILE, "Its linear output layer, by name.", metavar="NAME"
    )
    gate_activation: GateName | None = setting(
        None, NETWORK | IMPORTED, FROM_FILE, "Gates' activation, if the file does not give it."
    )
    reset_after: bool | None = setting(
        None, NETWORK | IMPORTED, FROM_FILE,
        "Whether a GRU's reset gate acts after W, if the file does not say.",
    )
    batch_first: bool = setting(
        False, SEQUENCES | IMPORTED, FROM_FILE, "--data is (B,T,D) instead of (T,B,D)."
    )
    standardise: bool = setting(
        False, SEQUENCES | IMPORTED, FROM_FILE, "Scale each input to mean 0 and variance 1."
    )
    targets: str | None = setting(
        None, SEQUENCES | IMPORTED, FROM_FILE,
        "Targets of --readout: by step or sequence; integers are classes.", metavar="FILE",
    )
    sequence_lengths: str | None = setting(
        None, SEQUENCES | IMPORTED, FROM_FILE, "Steps of each padded sequence (B,).",
        flag="--lengths", metavar="FILE",
    )
    embedding: str | None = setting(
        None, SEQUENCES | IMPORTED, FROM_FILE, "Array (V,D) that token ids select from.",
        metavar="NAME",
    )
    noise_scale: float = setting(
        1.0, SEQUENCES | IMPORTED, FROM_FILE, "Scale of the white noise used without --data.",
        FACTOR,
    )

    steps: int = setting(100, SEQUENCES, DATA, "Sequence length T.", LENGTH, common=True)
    task: TaskName = setting(
        TaskName.RECALL, SEQUENCES | DRAWN, DATA, "Synthetic task.", common=True
    )
    delay: int | None = setting(
        None, SEQUENCES | DRAWN, DATA, "How far back recall reaches (default: half the steps).",
        COUNT,
    )
    data: str | None = setting(
        None, SEQUENCES, DATA, "Your series (.csv, .xlsx, .npy, …), or FILE's inputs.",
        metavar="FILE", common=True,
    )
    column: tuple[str, ...] = setting(
        (), SEQUENCES, DATA, "Column of --data by name or number; repeat for several.",
        metavar="NAME", common=True,
    )
    missing: str = setting(
        "refuse", SEQUENCES, DATA,
        "Missing cells: refuse, interpolate, -9999 (a mark), keep (no marks).", metavar="HOW",
    )
    validation: float = setting(
        0.2, SEQUENCES | DRAWN, DATA, "Fraction of the series held out at its end.", FRACTION
    )

    start: StartName | None = setting(
        None, NETWORK | IMPORTED, TRAINING,
        "Train FILE's network on --data and --targets, from its weights or new ones.",
        flag="--from",
    )
    updates: int = setting(
        200, Group.TRAINING, TRAINING, "Training updates; 0 for none.", COUNT, common=True
    )
    batch: int = setting(32, TRAINED, TRAINING, "Sequences in a training batch.", SIZE)
    optimizer: OptimizerName = setting(OptimizerName.ADAM, TRAINED, TRAINING, "Update rule.")
    learning_rate: float | None = setting(
        None, TRAINED, TRAINING, "Learning rate (default: adam 0.003, rmsprop 0.001, else 0.01).",
        POSITIVE,
    )
    clip_norm: float | None = setting(
        None, TRAINED, TRAINING, "Clip the global gradient norm.", POSITIVE
    )
    clip_value: float | None = setting(
        None, TRAINED, TRAINING, "Clip each gradient entry.", POSITIVE
    )
    truncate: int | None = setting(
        None, TRAINED, TRAINING, "Backpropagate each error over at most this many lags.", COUNT
    )
    omega: float = setting(
        0.0, TRAINED, TRAINING, "Weight of Pascanu's Ω: keep ‖∂E/∂h_t‖ from step to step.", FACTOR
    )
    floss: int = setting(
        0, TRAINED, TRAINING, "Flossing updates before training: Lyapunov exponents to 0.", COUNT
    )

    held_out: int = setting(
        256, SEQUENCES | DRAWN, ANALYSIS, "Fresh sequences behind the error of a task.", SIZE
    )
    sequences: int = setting(16, SEQUENCES, ANALYSIS, "Sequences examined.", SIZE)
    burn_in: int | None = setting(
        None, SEQUENCES, ANALYSIS,
        "Steps before the growth rate is taken (default: 300 or 10/leak; 0: none).", COUNT,
    )
    max_lag: int | None = setting(
        None, JUDGING, ANALYSIS, "Longest lag (default: all steps).", LENGTH
    )
    required_lag: int | None = setting(
        None, JUDGING, ANALYSIS, "Steps back that it must reach (default: the task's lag).", COUNT,
        common=True,
    )
    vanishing: float = setting(1e-3, JUDGING, ANALYSIS, "σ_max below this has vanished.", FRACTION)
    exploding: float = setting(1e3, JUDGING, ANALYSIS, "σ_max above this has exploded.", ABOVE_ONE)
    transient_growth: float = setting(
        2.0, JUDGING, ANALYSIS, "Growth before vanishing worth reporting.", ABOVE_ONE
    )
    agreement: float = setting(
        0.8, JUDGING, ANALYSIS, "Fraction of sequences that must agree.", PART
    )
    tolerance: float = setting(
        1e-6, JUDGING, ANALYSIS, "Largest relative error of σ_max.", FRACTION
    )
    truncation_error: float = setting(
        0.05, DETAILS, ANALYSIS, "Gradient error that truncation may leave.", FRACTION
    )
    map: bool = setting(
        False, DETAILS, ANALYSIS, "Measure all pairs of states: the heat map.", flag="--lag-map"
    )
    shares: bool = setting(
        False, DETAILS, ANALYSIS, "Split the gradient by lag; truncation length."
    )
    spectrum: bool = setting(
        False, DETAILS, ANALYSIS, "Singular values, Lyapunov exponents, theory."
    )
    memory: bool = setting(
        False, DETAILS, ANALYSIS, "Measure what can be read of past inputs, and its price."
    )
    verify: bool = setting(False, DETAILS, ANALYSIS, "Compute sampled lags again by an exact SVD.")

    seed: int = setting(
        0, SEQUENCES, OptionPanel.EXECUTION, "Seed of all random numbers.", Limits(0, 2**63 - 1),
        common=True,
    )

    load: str | None = setting(
        None, Group.SAVED, MODEL, "Take the network of a saved run (FILE.npz).", metavar="FILE"
    )
