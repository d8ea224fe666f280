"""The settings of a study: frozen, validated, and free of NumPy so that help pages load at once.

``setting_fields`` declares each of them; here is what they mean together.
"""

import difflib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import chain
from typing import Any, get_type_hints

from gradscope.analysis.setting_fields import SettingFields
from gradscope.analysis.setting_values import Group, Setting, checked, declared_settings
from gradscope.data.cells import marks_of
from gradscope.data.columns import quoted
from gradscope.errors import SettingError
from gradscope.names import ActivationName, CellName, Discretization, PerUnit, StartName

SETTINGS: Mapping[str, Setting] = declared_settings(SettingFields)
"""Every setting by name, in order."""


def flag(name: str) -> str:
    """Return the command-line flag of a setting."""
    return SETTINGS[name].flag


def settings_of(group: Group) -> tuple[str, ...]:
    """Return the names of the settings that belong to a group."""
    return tuple(name for name, each in SETTINGS.items() if group in each.group)


IMPORTED_SETTINGS = settings_of(Group.IMPORTED)
DRAWN_SETTINGS = settings_of(Group.DRAWN)
SEQUENCE_SETTINGS = settings_of(Group.SEQUENCES)

OF_TRAINING = ("validation", *settings_of(Group.TRAINING))
OF_SCRATCH = (*OF_TRAINING, "init", "input_scale", "center_bias", "forget_bias", "chrono")
"""Settings of a drawn network that a file's has, too, where it is trained, or drawn anew."""

OF_DATA = ("column", "sequence_lengths", "embedding")
"""Settings that say how ``data`` is read."""

OF_VANILLA = ("leak", "tau", "noise", "discretization", "state", "center_bias", "floss", "omega")
"""Settings of the vanilla RNN alone."""

CODE = re.compile(r"(?P<file>.+\.py):(?P<name>\w+)")
"""What stands for a step of somebody's own in Python, where it is typed."""

SAME_ALPHA = 1e-6
"""Relative difference within which a leak agrees with dt and τ: files keep float32."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Settings(SettingFields):
    """Everything that decides a study's numbers, seed included.

    ``SETTINGS`` has the type, default, limits and meaning of each. Lengths are in steps, ``steps``
    is T and ``hidden`` H; ``max_lag`` None is every lag, ``forget_bias`` None as the initialiser
    has it, ``learning_rate`` None the optimizer's own default. Settings of a network from a file of
    ``weights`` are made by ``analysis.imported.resolve``, which asks the file. Raises SettingError
    if a value lies outside its limits, or two settings contradict each other.
    """

    def __post_init__(self) -> None:
        for name, each in SETTINGS.items():
            if (value := getattr(self, name)) is not each.default:
                object.__setattr__(self, name, checked(each, value))
        self._check_time()
        marks_of(self.missing)
        if problem := next(chain(self._against_network(), self._against_source()), None):
            raise SettingError(problem)

    def _check_time(self) -> None:
        """Take α from dt and τ where both are given; refuse a leak that says something else."""
        if self.tau is None:
            return
        if self.dt is None:
            raise SettingError("--tau is given without the seconds per step; give --dt")
        ratios = [self.dt / each for each in _listed(self.tau)]
        euler = self.discretization is Discretization.EULER
        if euler and max(ratios) > 1.0:
            raise SettingError(
                f"--dt is {self.dt:g}, so that the largest α = dt/τ is {max(ratios):g}; choose a "
                "--dt up to the shortest --tau, or --discretization exponential"
            )
        alpha = tuple(ratios if euler else [-math.expm1(-each) for each in ratios])
        if self.leak != SETTINGS["leak"].default:
            self._require_alpha(self.leak, alpha)
        else:
            object.__setattr__(self, "leak", alpha[0] if len(alpha) == 1 else alpha)

    def _require_alpha(self, leak: PerUnit, alpha: PerUnit) -> None:
        """Refuse a leak that is not the α of dt and τ."""
        said, meant = _listed(leak), _listed(alpha)
        close = partial(math.isclose, rel_tol=SAME_ALPHA)
        if len(said) not in (1, len(meant)) or not all(map(close, said * len(meant), meant)):
            raise SettingError(
                f"the leak is {span(leak)}, but dt and τ make α = {span(alpha)}; leave out --dt "
                "and --tau, or --leak if that was given"
            )

    @property
    def known_cell(self) -> CellName:
        """The cell; SettingError of a step of somebody's own, which has none that is known."""
        if self.cell is None:
            raise SettingError(f"{self.weights} is a step of your own, not a cell of gradscope's")
        return self.cell

    @property
    def steps_per(self) -> Mapping[str, float]:
        """Steps per ``second``, if dt is known, and per ``time_constant``, the longest τ."""
        found = {} if self.dt is None else {"second": 1.0 / self.dt}
        slowest = min(_listed(self.leak))
        if self.tau is not None and self.dt is not None:
            found["time_constant"] = max(_listed(self.tau)) / self.dt
        elif slowest < 1.0:
            euler = self.discretization is Discretization.EULER
            found["time_constant"] = 1.0 / (slowest if euler else -math.log1p(-slowest))
        return found

    def _given(self, names: Iterable[str]) -> list[str]:
        """Return the flags of those of the settings that are not at their defaults."""
        return [flag(name) for name in names if getattr(self, name) != SETTINGS[name].default]

    def _against_network(self) -> Iterator[str]:
        """Yield what contradicts the steps, the activation or the cell."""
        gated, wrong = self.cell is not CellName.ELMAN, self._given(OF_VANILLA)
        if self.cell is None and self.weights is None:
            yield "--cell is none, which a step of your own has: gradscope analyze FILE.py:NAME"
        wrong += ["--init identity"] if self.init == "identity" else []
        if self.clip_norm is not None and self.clip_value is not None:
            yield "--clip-norm and --clip-value are both given; choose one"
        if self.max_lag is not None and self.max_lag > self.steps:
            yield f"--max-lag is {self.max_lag}; choose --max-lag 1 to {self.steps}, or more steps"
        if self.center_bias and self.activation is not ActivationName.SIGMOID:
            yield "--center-bias is for sigmoid nets; choose --activation sigmoid"
        if gated and wrong:
            yield f"{wrong[0]} is for the vanilla RNN, but the cell is {self.cell}; leave it out"
        biases = {"--forget-bias": self.forget_bias, "--chrono": self.chrono}
        asked = [f"{name} is {each:g}" for name, each in biases.items() if each is not None]
        if len(asked) > gated:
            alone = "the cell elman has no gates; leave it out, or choose --cell lstm or gru"
            fault = "both set the same bias; choose one" if gated else alone
            yield f"{' and '.join(asked)}, but {fault}"

    def _against_source(self) -> Iterator[str]:
        """Yield what belongs to a drawn network beside an imported one, or the reverse."""
        drawn = self.weights is None
        again = OF_SCRATCH if self.start is StartName.SCRATCH else OF_TRAINING if self.start else ()
        of_drawn = [name for name in DRAWN_SETTINGS if name not in again]
        given = self._given(IMPORTED_SETTINGS if drawn else of_drawn)
        if given and drawn:
            yield f"{given[0]} is for a network from a weight file; name it: gradscope analyze FILE"
        if given:
            yield f"{given[0]} is for a randomly initialized network, not a file; leave it out"
        if not drawn and self.updates and (self.start is None or self.targets is None):
            yield (
                f"--updates is {self.updates}, but {self.weights} is not trained; use 0, or give "
                "--from given (or scratch), --data, --readout and --targets"
            )
        if self.data is not None and self._given(("noise_scale",)):
            yield (
                f"--noise-scale is {self.noise_scale}, but the inputs come from {self.data}; leave "
                "one of them out"
            )
        if self.targets is not None and (self.readout is None or self.data is None):
            missing = "--readout NAME" if self.readout is None else "--data FILE"
            yield f"--targets {self.targets} is given without {missing}; give both"
        if not drawn and self.shares and self.targets is None:
            yield "--shares split the gradient of an error; give --readout NAME and --targets FILE"
        if self.data is None and (of_data := self._given(OF_DATA)):
            yield f"{of_data[0]} is given without --data; name the file with --data FILE"
        if self.data is not None and self.delay is not None and drawn:
            yield "--delay is for tasks, but --data is given; leave --delay out"

    def as_dict(self) -> dict[str, Any]:
        """Return plain values only: what JSON, TOML and an archive hold."""
        return {
            name: list(v) if isinstance(v, tuple) else str(v) if isinstance(v, str) else v
            for name, v in ((name, getattr(self, name)) for name in SETTINGS)
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "settings") -> "Settings":
        """Read settings back; unknown names are refused; ``source`` says where they stood."""
        check_names(values, source)
        made = cls(**values)
        if made.tau is not None and values.get("leak") is not None:
            # A leak of 1 that was given, and not the default, contradicts a τ longer than dt.
            made._require_alpha(checked(SETTINGS["leak"], values["leak"]), made.leak)
        return made

    def with_changes(self, values: Mapping[str, Any]) -> "Settings":
        """Return the same settings with some changed, validated again; α follows dt and τ."""
        of_tau = {} if self.tau is None else {"leak": SETTINGS["leak"].default}
        return replace(self, **{**of_tau, **values})


def _listed(value: PerUnit) -> tuple[float, ...]:
    """Return the numbers of a setting that may have one for each unit."""
    return value if isinstance(value, tuple) else (value,)


def span(value: PerUnit) -> str:
    """Return one number, or the least and the largest, as text."""
    numbers = _listed(value)
    ends = dict.fromkeys((min(numbers), max(numbers)))
    return " … ".join(f"{each:g}" for each in ends)


@cache
def setting_kinds() -> Mapping[str, Any]:
    """Return the type of every setting, such as ``float | None``."""
    return get_type_hints(SettingFields)


def check_names(values: Mapping[str, Any], source: str) -> None:
    """Refuse names that are no settings, with the nearest one that is."""
    for name in values:
        if name not in SETTINGS:
            near = difflib.get_close_matches(name[:99], SETTINGS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "see gradscope analyze --help"
            raise SettingError(f"{source}: there is no setting {quoted(name)}; {hint}")
