"""The values of settings: each of the type and within the limits that its field has.

A refusal says the flag, the value and what to choose instead. Free of NumPy, as ``config`` is.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gradscope.errors import SettingError

MAX_SIZE = 100_000
MAX_COUNT = 10_000_000
MAX_FACTOR = 1e100
"""Weights beyond this have squares, and products with one another, that leave float64."""

MAX_FLOAT = 1.7976931348623157e308
SHOWN_DIGITS = 40

LIMITS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "leak": (0.0, 1.0),
        "forget_bias": (-MAX_FACTOR, MAX_FACTOR),
        "hidden": (1, MAX_SIZE),
        "gain": (0.0, MAX_FACTOR),
        "input_scale": (0.0, MAX_FACTOR),
        "noise_scale": (0.0, MAX_FACTOR),
        "steps": (1, MAX_COUNT),
        "delay": (0, MAX_COUNT),
        "validation": (0.0, 1.0),
        "updates": (0, MAX_COUNT),
        "batch": (1, MAX_SIZE),
        "learning_rate": (0.0, math.inf),
        "clip_norm": (0.0, math.inf),
        "clip_value": (0.0, math.inf),
        "truncate": (0, MAX_COUNT),
        "sequences": (1, MAX_SIZE),
        "max_lag": (1, MAX_COUNT),
        "vanishing": (0.0, 1.0),
        "exploding": (1.0, math.inf),
        "transient_growth": (1.0, math.inf),
        "agreement": (0.0, 1.0),
        "tolerance": (0.0, 1.0),
        "truncation_error": (0.0, 1.0),
        "seed": (0, 2**63 - 1),
    }
)
LOW_END_ALLOWED = frozenset({"gain", "input_scale", "noise_scale"})
HIGH_END_ALLOWED = frozenset({"gain", "input_scale", "noise_scale", "agreement", "leak"})
"""Ranges of real numbers whose end is allowed; all others are open."""


def flag(name: str) -> str:
    """Return the command-line flag of a setting."""
    return "--" + name.replace("_", "-")


def checked(name: str, value: Any, kind: Any) -> Any:
    """Return a value as the type of its field, or say what is wrong with it."""
    options = getattr(kind, "__args__", (kind,)) if kind != tuple[str, ...] else (kind,)
    if value is None and type(None) in options:
        return None
    wanted = options[0]
    if wanted is int or wanted is float:
        return _number(name, value, wanted)
    if wanted is bool:
        if not isinstance(value, bool):
            raise SettingError(f"{flag(name)} is {value!r}; choose true or false")
        return value
    if wanted is str:
        if not isinstance(value, str):
            raise SettingError(f"{flag(name)} is {value!r}; give a text")
        return value
    if wanted == tuple[str, ...]:
        return _names(name, value)
    if value not in list(wanted):
        choices = ", ".join(wanted)
        raise SettingError(f"{flag(name)} is {value!r}; choose one of {choices}")
    return wanted(value)


def _names(name: str, value: Any) -> tuple[str, ...]:
    """Return one name, or a list of names or numbers, as a tuple of words."""
    if isinstance(value, str):
        return (value,)
    words = value if isinstance(value, list | tuple) else (value,)
    if any(isinstance(each, bool) or not isinstance(each, str | int) for each in words):
        raise SettingError(f"{flag(name)} is {value!r}; give a name or a list of names")
    return tuple(str(each) for each in words)


def _number(name: str, value: Any, kind: type) -> int | float:
    """Return a finite number within its limits."""
    low, high = LIMITS[name]
    whole = kind is int
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SettingError(f"{flag(name)} is {value!r}; give a {'whole ' if whole else ''}number")
    if isinstance(value, float) and not math.isfinite(value):
        raise SettingError(f"{flag(name)} is {value}; give a finite number")
    if whole and value != int(value):
        raise SettingError(f"{flag(name)} is {value}; give a whole number")
    if whole:
        if not low <= value <= high:
            raise SettingError(f"{flag(name)} is {_short(int(value))}; {_choose_whole(low, high)}")
        return int(value)
    lowest = low <= value if name in LOW_END_ALLOWED else low < value
    highest = value <= high if name in HIGH_END_ALLOWED else value < high
    if not (lowest and highest) or abs(value) > MAX_FLOAT:
        raise SettingError(f"{flag(name)} is {_short(value)}; {_choose_real(name, low, high)}")
    return float(value)


def _short(value: float) -> str:
    """Return a number as it was given, but never a screen full of digits."""
    if isinstance(value, float) or abs(value) < 10**SHOWN_DIGITS:
        return str(value)
    return f"about {'-' if value < 0 else ''}10^{round(math.log10(abs(value)))}"


def _choose_whole(low: float, high: float) -> str:
    return f"choose {int(low)} or more (at most {int(high)})"


def _choose_real(name: str, low: float, high: float) -> str:
    if name in LOW_END_ALLOWED:
        return f"choose {low:g} to {high:g}"
    if math.isinf(high):
        return f"choose a number above {low:g}"
    return f"choose a number between {low:g} and {high:g}"
