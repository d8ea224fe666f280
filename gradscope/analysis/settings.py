"""The settings of a study: frozen, validated, and free of NumPy so that help pages load at once.

``setting_fields`` declares each of them; here is what they mean together.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import Any, get_type_hints

from gradscope.analysis.setting_fields import SettingFields
from gradscope.analysis.setting_values import Group, Setting, checked, declared_settings
from gradscope.errors import SettingError
from gradscope.names import ActivationName, CellName, InitializerName, StateName

SETTINGS: Mapping[str, Setting] = MappingProxyType(declared_settings(SettingFields))
"""Every setting by name, in order."""


def flag(name: str) -> str:
    """Return the command-line flag of a setting."""
    return SETTINGS[name].flag


def settings_of(group: Group) -> tuple[str, ...]:
    """Return the names of the settings that belong to a group."""
    return tuple(name for name, each in SETTINGS.items() if group in each.group)


IMPORTED_SETTINGS = settings_of(Group.IMPORTED)
DRAWN_SETTINGS = settings_of(Group.DRAWN)
NETWORK_SETTINGS = settings_of(Group.NETWORK)
SEQUENCE_SETTINGS = settings_of(Group.SEQUENCES)
JUDGING_SETTINGS = settings_of(Group.JUDGING)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Settings(SettingFields):
    """Everything that decides a study's numbers, seed included.

    ``SETTINGS`` has the type, default, limits and meaning of each. Lengths are in steps, ``steps``
    is T and ``hidden`` H; ``max_lag`` None is every lag, ``forget_bias`` None as the initialiser
    has it, ``learning_rate`` None the optimizer's own default. ``tolerance`` is 1e-10 so that the
    four causes add up to 1e-9. Settings of a network from a file of ``weights`` are made by
    ``analysis.imported.resolve``, which asks the file.

    Raises
    ------
    SettingError
        If a value lies outside its limits, or two settings contradict each other.
    """

    def __post_init__(self) -> None:
        for name, each in SETTINGS.items():
            object.__setattr__(self, name, checked(each, getattr(self, name)))
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
        self._check_source()
        if self.data is None and self.column:
            raise SettingError("--column is given without --data; name the file with --data FILE")
        if self.data is not None and self.delay is not None and self.weights is None:
            raise SettingError(
                f"--delay is {self.delay}, but with --data the target is the next value; leave "
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

    def _check_source(self) -> None:
        """Refuse what belongs to a drawn network beside an imported one, and the reverse."""
        drawn = self.weights is None
        names = IMPORTED_SETTINGS if drawn else DRAWN_SETTINGS
        given = [name for name in names if getattr(self, name) != SETTINGS[name].default]
        if given and drawn:
            raise SettingError(
                f"{flag(given[0])} is for a network from a weight file, but none is given; "
                "name it: gradscope analyze FILE, or --weights FILE"
            )
        if given:
            raise SettingError(
                f"{flag(given[0])} is for a randomly initialized network, but this one is from "
                f"{self.weights}; leave it out"
            )
        if not drawn and self.updates:
            raise SettingError(
                f"--updates is {self.updates}, but the network in {self.weights} is not "
                "trained further; leave it out, or use 0"
            )
        if self.data is not None and self.noise_scale != SETTINGS["noise_scale"].default:
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
        """Return the same settings with some changed, validated again."""
        return replace(self, **values)


@cache
def setting_kinds() -> Mapping[str, Any]:
    """Return the type of every setting, such as ``float | None``."""
    return MappingProxyType(get_type_hints(SettingFields))


def check_names(values: Mapping[str, Any], source: str) -> None:
    """Refuse names that are no settings, with the nearest one that is."""
    import difflib

    for name in values:
        if name not in SETTINGS:
            near = difflib.get_close_matches(name, SETTINGS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "see gradscope analyze --help"
            raise SettingError(f"{source}: there is no setting {name!r}; {hint}")
