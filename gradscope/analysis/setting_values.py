"""What a setting is: its default, its limits, its option, and the groups that it belongs to.

``setting_fields`` declares all of them; ``checked`` refuses a value with the flag,
the value and what to choose instead. Free of NumPy and Typer, so that help pages load at once.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Flag, StrEnum, auto
from types import UnionType
from typing import Any, NamedTuple, get_args, get_type_hints

from gradscope.data.columns import SHOWN_CHARACTERS, quoted
from gradscope.errors import SettingError
from gradscope.names import PerUnit

MAX_FLOAT = 1.7976931348623157e308


class Group(Flag):
    """What a setting decides, and for which networks it has a meaning."""

    NETWORK = auto()  # A saved run brings these with it.
    SEQUENCES = auto()  # The sequences that a network is examined on.
    TRAINING = auto()
    JUDGING = auto()  # The verdict, for a network and its sequences.
    DETAILS = auto()  # What is measured beyond the verdict.
    SAVED = auto()  # Which saved run is taken.
    IMPORTED = auto()  # Only for a network from a file of weights.
    DRAWN = auto()  # Only for a network that is drawn.


class OptionPanel(StrEnum):
    """Where an option stands on a help page."""

    MODEL = "Model"
    IMPORTED = "Imported network"
    DATA = "Data"
    TRAINING = "Training"
    ANALYSIS = "Analysis"
    OUTPUT = "Output"
    EXECUTION = "Execution"


class Limits(NamedTuple):
    """Where values lie; a round bracket in ``ends`` leaves that end out, but of whole numbers."""

    low: float
    high: float
    ends: str = "()"


ANY_NUMBER = Limits(-math.inf, math.inf)


@dataclass(frozen=True, eq=False, slots=True)
class Setting:
    """One setting of ``analyze``, as its field declares it.

    ``kind`` is the type of its values (None too, where ``optional``; several numbers, one for each
    unit, where ``per_unit``); ``metavar`` stands for the value on help pages, "" for what follows
    from the type; ``common`` settings are those that most people need.
    """

    name: str
    kind: Any
    optional: bool
    per_unit: bool
    default: Any
    group: Group
    panel: OptionPanel
    help: str
    limits: Limits
    flag: str
    metavar: str
    common: bool


def setting(
    default: Any,
    group: Group,
    panel: OptionPanel,
    text: str,
    limits: Limits = ANY_NUMBER,
    *,
    flag: str = "",
    metavar: str = "",
    common: bool = False,
) -> Any:
    """Return the field of a setting, ``flag`` where it is not its name; see ``Setting``."""
    declared = {"group": group, "panel": panel, "help": text, "limits": limits}
    declared |= {"flag": flag, "metavar": metavar, "common": common}
    return field(default=default, metadata=declared)


def declared_settings(table: type[Any]) -> Mapping[str, Setting]:
    """Return the settings that are the fields of a dataclass, by name."""
    kinds = get_type_hints(table)
    found = {}
    for each in fields(table):
        kind = kinds[each.name]
        options = get_args(kind) if isinstance(kind, UnionType) else (kind,)
        optional, per_unit = type(None) in options, tuple[float, ...] in options
        flag = each.metadata["flag"] or "--" + each.name.replace("_", "-")
        of = (each.name, options[0], optional, per_unit, each.default)
        found[each.name] = Setting(*of, **{**each.metadata, "flag": flag})
    return found


def checked(setting: Setting, value: Any) -> Any:
    """Return a value as the type of its setting, or say what is wrong with it."""
    flag, kind = setting.flag, setting.kind
    if value is None and setting.optional:
        return None
    if kind is int or kind is float:
        several = setting.per_unit and not isinstance(value, int | float)
        return _per_unit(setting, value) if several else _number(setting, value)
    if kind is bool or kind is str:
        if not isinstance(value, kind):
            remedy = "choose true or false" if kind is bool else "give a text"
            raise SettingError(f"{flag} is {quoted(value)}; {remedy}")
        return value
    if kind == tuple[str, ...]:
        return _names(flag, value)
    if value not in list(kind):
        raise SettingError(f"{flag} is {quoted(value)}; choose one of {', '.join(kind)}")
    return kind(value)


def _names(flag: str, value: Any) -> tuple[str, ...]:
    """Return one name, or a list of names or numbers, as a tuple of words."""
    if isinstance(value, str):
        return (value,)
    words = value if isinstance(value, list | tuple) else (value,)
    if any(isinstance(each, bool) or not isinstance(each, str | int) for each in words):
        raise SettingError(f"{flag} is {quoted(value)}; give a name or a list of names")
    return tuple(str(each) for each in words)


def _per_unit(setting: Setting, value: Any) -> PerUnit:
    """Return the numbers of a text, list or array, or the one that all of them are."""
    try:
        parts = value.split(",") if isinstance(value, str) else list(value)
        numbers = [_number(setting, float(part)) for part in parts]
        return numbers[0] if len(set(numbers)) < 2 else tuple(numbers)
    except (TypeError, ValueError, IndexError) as error:
        raise SettingError(
            f"{setting.flag} is {quoted(value)}; give one number, one for each unit as "
            "in 0.1,0.2, or a file (.npy, .txt)"
        ) from error


def _number(setting: Setting, value: Any) -> int | float:
    """Return a finite number within its limits."""
    flag, (low, high, ends) = setting.flag, setting.limits
    whole = setting.kind is int
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SettingError(f"{flag} is {quoted(value)}; give a {'whole ' if whole else ''}number")
    if isinstance(value, float) and not math.isfinite(value):
        raise SettingError(f"{flag} is {value}; give a finite number")
    if whole and value != int(value):
        raise SettingError(f"{flag} is {value}; give a whole number")
    if whole and not low <= value <= high:
        limits = f"choose {int(low)} or more (at most {int(high)})"
        raise SettingError(f"{flag} is {_short(int(value))}; {limits}")
    if whole:
        return int(value)
    above = low <= value if ends[0] == "[" else low < value
    below = value <= high if ends[1] == "]" else value < high
    if not (above and below) or abs(value) > MAX_FLOAT:
        open_range = f"above {low:g}" if math.isinf(high) else f"between {low:g} and {high:g}"
        limits = f"{low:g} to {high:g}" if ends[0] == "[" else f"a number {open_range}"
        raise SettingError(f"{flag} is {_short(value)}; choose {limits}")
    return float(value)


def _short(value: float) -> str:
    """Return a number as it was given, but never a screen full of digits."""
    if isinstance(value, float) or abs(value) < 10**SHOWN_CHARACTERS:
        return str(value)
    return f"about {'-' if value < 0 else ''}10^{round(math.log10(abs(value)))}"
