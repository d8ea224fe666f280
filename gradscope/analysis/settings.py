"""The settings of a study: frozen, validated, and free of NumPy so that help pages load at once.

Every field is one option of ``gradscope analyze`` and one key of a TOML file; what values it may
have is in ``setting_values``.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from types import MappingProxyType
from typing import Any, get_type_hints

from gradscope.analysis.setting_values import checked, flag
from gradscope.errors import SettingError
from gradscope.names import (
    ActivationName,
    CellName,
    GateName,
    InitializerName,
    MissingCells,
    OptimizerName,
    StateName,
    TaskName,
)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Settings:
    """Everything that decides a study's numbers, seed included.

    Parameters
    ----------
    cell, leak, state, forget_bias
        Which cell; the leak α and the kind of state of a vanilla RNN, see ``model.elman``; the bias
        of the gate that keeps the state in an LSTM or GRU (None: as the initialiser has it).
    activation, hidden, init, gain, input_scale, center_bias The network; see
        ``model.initializers``. ``init`` is orthogonal by default, as in Keras's ``SimpleRNN``.
    weights, weight_map, layer, readout, gate_activation, reset_after
        Somebody else's network instead of a drawn one: file, ``LETTER=NAME`` pairs, the layer that
        is studied, its output layer, and what a file of gated cells may not say. Such settings are
        made by ``analysis.imported.settings_of_weights``, which asks the file.
    batch_first, standardise, targets, noise_scale
        What such a network is shown: whether ``data`` is (B,T,D), is brought to mean 0 and
        deviation 1; wanted outputs; the scale of white noise where there is no ``data``.
    steps, task, delay
        What it is shown: T steps of a synthetic task; ``delay`` in steps, for ``recall``.
    data, column, missing, validation A series of one's own instead of a task: path, columns, what
        to do about empty cells, held-out fraction.
    updates, batch, optimizer, learning_rate, clip_norm, clip_value, truncate Training;
        ``learning_rate`` None is the optimizer's own default, ``truncate`` is the longest lag, in
        steps.
    sequences, max_lag
        How many sequences are examined, and to which lag, in steps (None: all).
    vanishing, exploding, transient_growth, agreement
        The verdict's thresholds; see ``diagnosis.verdict.Thresholds``.
    tolerance
        Largest relative error of σ_max; 1e-10, so that the four causes add up to 1e-9.
    truncation_error
        Relative error of the gradient that a truncation length may leave.
    map, shares, spectrum, verify
        Closer looks; see ``analysis.details``.
    seed, load
        The source of every random draw; a saved run whose network is taken instead of a new one.

    Raises
    ------
    SettingError
        If a value lies outside its limits, or two settings contradict each other.
    """

    cell: CellName = CellName.ELMAN
    leak: float = 1.0
    state: StateName = StateName.POST
    forget_bias: float | None = None
    activation: ActivationName = ActivationName.TANH
    hidden: int = 32
    init: InitializerName = InitializerName.ORTHOGONAL
    gain: float = 1.0
    input_scale: float = 1.0
    center_bias: bool = False

    weights: str | None = None
    weight_map: tuple[str, ...] = ()
    layer: str | None = None
    readout: str | None = None
    gate_activation: GateName | None = None
    reset_after: bool | None = None

    batch_first: bool = False
    standardise: bool = False
    targets: str | None = None
    noise_scale: float = 1.0

    steps: int = 100
    task: TaskName = TaskName.RECALL
    delay: int | None = None
    data: str | None = None
    column: tuple[str, ...] = ()
    missing: MissingCells = MissingCells.REFUSE
    validation: float = 0.2

    updates: int = 200
    batch: int = 32
    optimizer: OptimizerName = OptimizerName.ADAM
    learning_rate: float | None = None
    clip_norm: float | None = None
    clip_value: float | None = None
    truncate: int | None = None

    sequences: int = 16
    max_lag: int | None = None
    vanishing: float = 1e-3
    exploding: float = 1e3
    transient_growth: float = 2.0
    agreement: float = 0.8
    tolerance: float = 1e-10
    truncation_error: float = 0.05
    map: bool = False
    shares: bool = False
    spectrum: bool = False
    verify: bool = False

    seed: int = 0
    load: str | None = None

    def __post_init__(self) -> None:
        for name, kind in setting_kinds().items():
            value = checked(name, getattr(self, name), kind)
            object.__setattr__(self, name, value)
        self._check_together()

    def _check_together(self) -> None:
        if self.clip_norm is not None and self.clip_value is not None:
            raise SettingError(
                f"--clip-norm {self.clip_norm} and --clip-value {self.clip_value} are both given; "
                "choose one"
            )
        if self.max_lag is not None and self.max_lag > self.steps:
            raise SettingError(
                f"--max-lag is {self.max_lag}, but there are {self.steps} steps; "
                f"choose --max-lag 1 to {self.steps}, or more --steps"
            )
        if self.center_bias and self.activation is not ActivationName.SIGMOID:
            raise SettingError(
                "--center-bias is for sigmoid nets (b = −W·½), but the activation is "
                f"{self.activation}; "
                "leave it out, or choose --activation sigmoid"
            )
        self._check_cell()
        self._check_given()
        if self.data is None and self.column:
            raise SettingError("--column is given without --data; name the file with --data FILE")
        if self.data is not None and self.delay is not None and self.weights is None:
            raise SettingError(
                f"--delay is {self.delay}, but with --data the next value is wanted; leave "
                "--delay out"
            )

    def _check_cell(self) -> None:
        gated = self.cell is not CellName.ELMAN
        given = {
            "--leak": self.leak != 1.0,
            "--state": self.state is not StateName.POST,
            "--center-bias": self.center_bias,
            "--init identity": self.init is InitializerName.IDENTITY,
        }
        wrong = [name for name, present in given.items() if present]
        if gated and wrong:
            raise SettingError(
                f"{wrong[0]} is for the vanilla RNN, but the cell is {self.cell}; leave it out, or "
                "choose --cell elman"
            )
        if self.forget_bias is not None and not gated:
            raise SettingError(
                f"--forget-bias is {self.forget_bias:g}, but the cell elman has no gates; leave it "
                "out, or choose --cell lstm or gru"
            )

    def _check_given(self) -> None:
        """Refuse what belongs to a drawn network beside a given one, and the other way round."""
        drawn = self.weights is None
        blank = Settings.__dataclass_fields__
        names = GIVEN_SETTINGS if drawn else DRAWN_SETTINGS
        given = [name for name in names if getattr(self, name) != blank[name].default]
        if given and drawn:
            raise SettingError(
                f"{flag(given[0])} is for a network from a file of weights, but none is given; "
                "name it: gradscope analyze FILE, or --weights FILE"
            )
        if given:
            raise SettingError(
                f"{flag(given[0])} is for a network that is drawn, but this one comes from "
                f"{self.weights}; leave it out"
            )
        if not drawn and self.updates:
            raise SettingError(
                f"--updates is {self.updates}, but the network in {self.weights} is studied as it "
                "is; leave it out, or take 0"
            )
        if self.data is not None and self.noise_scale != blank["noise_scale"].default:
            raise SettingError(
                f"--noise-scale is {self.noise_scale}, but the inputs come from {self.data}; leave "
                "one of them out"
            )
        if self.targets is not None and (self.readout is None or self.data is None):
            missing = "--readout NAME" if self.readout is None else "--data FILE"
            raise SettingError(
                f"--targets {self.targets} is given without {missing}; an error needs inputs, an "
                "output layer and targets"
            )
        if not drawn and self.shares and self.targets is None:
            raise SettingError(
                "--shares split the gradient of an error by lag, but there is no error without "
                "outputs and targets; give --readout NAME and --targets FILE, or leave --shares out"
            )

    def as_dict(self) -> dict[str, Any]:
        """Return plain values only: what JSON, TOML and an archive hold."""
        plain = asdict(self)
        plain |= {name: list(plain[name]) for name in ("column", "weight_map")}
        return {
            name: str(value) if isinstance(value, str) else value for name, value in plain.items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "settings") -> "Settings":
        """Read settings back; unknown names are refused, ``source`` says in the error where they
        stood.
        """
        check_names(values, source)
        return cls(**values)

    def with_changes(self, values: Mapping[str, Any]) -> "Settings":
        """Return the same settings with some changed, validated anew."""
        return replace(self, **values)


GIVEN_SETTINGS = (
    "weight_map",
    "layer",
    "readout",
    "gate_activation",
    "reset_after",
    "batch_first",
    "standardise",
    "targets",
    "noise_scale",
)
"""What says how somebody else's network is read, and what it is shown."""

DRAWN_SETTINGS = (
    "forget_bias",
    "init",
    "gain",
    "input_scale",
    "center_bias",
    "task",
    "delay",
    "validation",
    "batch",
    "optimizer",
    "learning_rate",
    "clip_norm",
    "clip_value",
    "truncate",
)
"""What says how a network is drawn, which task it is shown and how it is trained."""

NETWORK_SETTINGS = (
    "cell",
    "leak",
    "state",
    "forget_bias",
    "activation",
    "hidden",
    "init",
    "gain",
    "input_scale",
    "center_bias",
    "weights",
    "weight_map",
    "layer",
    "readout",
    "gate_activation",
    "reset_after",
)
"""What a saved network brings with it."""

SEQUENCE_SETTINGS = (
    "steps",
    "task",
    "delay",
    "data",
    "column",
    "missing",
    "validation",
    "batch_first",
    "standardise",
    "targets",
    "noise_scale",
    "sequences",
    "seed",
)
"""What decides the sequences that a network is examined on."""

JUDGING_SETTINGS = (
    "max_lag",
    "tolerance",
    "vanishing",
    "exploding",
    "transient_growth",
    "agreement",
)
"""What decides, of a network and its sequences, the verdict."""


@cache
def setting_kinds() -> Mapping[str, Any]:
    """Return the type of every setting; resolved once, since a sweep makes thousands of them."""
    return MappingProxyType(get_type_hints(Settings))


def setting_names() -> tuple[str, ...]:
    """Return the names of all settings, in order."""
    return tuple(each.name for each in fields(Settings))


def check_names(values: Mapping[str, Any], source: str) -> None:
    """Refuse names that are no settings, with the nearest one that is."""
    import difflib

    for name in values:
        if name not in setting_names():
            near = difflib.get_close_matches(name, setting_names(), n=1)
            hint = f"did you mean {near[0]!r}?" if near else "see gradscope analyze --help"
            raise SettingError(f"{source}: there is no setting {name!r}; {hint}")
