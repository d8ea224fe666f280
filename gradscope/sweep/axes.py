"""The axes of a grid: a setting and the values it takes, from ``-P NAME=RANGE`` or a TOML table.

Every setting of a study can be an axis. Numbers are ranges or lists (``sweep.ranges``), words are
lists, switches are ``true,false``; a setting that may be absent also takes ``none``. Free of NumPy,
so that mistakes are answered at once.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from gradscope.analysis.settings import check_names, setting_kinds
from gradscope.errors import SettingError
from gradscope.sweep.ranges import parse_numbers, parse_whole_numbers, parse_words

SWITCHES = {"true": True, "false": False}
NOTHING = "none"

Axes = dict[str, tuple[Any, ...]]
"""Values of each swept setting, in the order in which they were named."""


def parse_axes(texts: Sequence[str]) -> Axes:
    """Return the axes of a list of ``NAME=RANGE``.

    Raises
    ------
    SettingError
        If a text has no such form, names no setting, or names one twice.

    Examples
    --------
    >>> parse_axes(["gain=0.5:1.5:3", "center-bias=true,false", "truncate=none,5"])
    {'gain': (0.5, 1.0, 1.5), 'center_bias': (True, False), 'truncate': (None, 5)}
    """
    axes: Axes = {}
    for text in texts:
        name, equals, values = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name or not values.strip():
            raise SettingError(
                f"-P is {text!r}; give a setting and its values, as in -P gain=0.5:3:26"
            )
        check_names({name: None}, "-P")
        if name in axes:
            raise SettingError(f"-P {name} is given twice; name all its values in one")
        axes[name] = parse_values(name, values, f"-P {name}")
    return axes


def axes_from_table(table: Mapping[str, Any], source: str) -> Axes:
    """Return the axes of a TOML table: a text is a range, a list is taken as it stands."""
    named = {name.replace("-", "_"): value for name, value in table.items()}
    check_names(named, source)
    axes: Axes = {}
    for name, value in named.items():
        if isinstance(value, str):
            axes[name] = parse_values(name, value, f"{source} {name}")
        elif isinstance(value, list):
            if not value:
                raise SettingError(f"{source} {name} is an empty list; give it a value")
            axes[name] = tuple(None if each == NOTHING else each for each in value)
        else:
            axes[name] = (value,)
    return axes


def parse_values(name: str, text: str, flag: str) -> tuple[Any, ...]:
    """Return the values of one setting; what is said twice is taken once."""
    kind = setting_kinds()[name]
    options = getattr(kind, "__args__", (kind,)) if kind != tuple[str, ...] else (str,)
    if type(None) in options:
        words = parse_words(text, flag)
        given = [word for word in words if word != NOTHING]
        values = _of_kind(options[0], ",".join(given), flag) if given else ()
        if len(given) == len(words):
            return values
        return (None, *values) if words[0] == NOTHING else (*values, None)
    return _of_kind(options[0], text, flag)


def _of_kind(kind: Any, text: str, flag: str) -> tuple[Any, ...]:
    if kind is int:
        return parse_whole_numbers(text, flag)
    if kind is float:
        return tuple(dict.fromkeys(parse_numbers(text, flag)))
    words = tuple(dict.fromkeys(parse_words(text, flag)))
    if kind is bool:
        choices: Sequence[str] = tuple(SWITCHES)
    elif kind is str:
        return words
    else:
        choices = tuple(kind)
    for word in words:
        if word not in choices:
            raise SettingError(
                f"{flag} is {text!r}, but there is no {word!r}; choose of {', '.join(choices)}"
            )
    return tuple(SWITCHES[word] for word in words) if kind is bool else tuple(map(kind, words))
