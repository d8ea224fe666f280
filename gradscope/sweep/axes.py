"""The axes of a grid: a setting and the values it takes, from ``-P NAME=RANGE`` or a TOML table.

Numbers are ranges or lists: ``0.5:3:26`` is start:stop:count, both ends in; ``log:10:1000:7`` is
evenly spaced in the logarithm; ``10,50,100`` is a list. Words are lists, switches are
``true,false``; a setting that may be absent also takes ``none``. Free of NumPy, so that mistakes
are answered at once.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from gradscope.analysis.settings import check_names, setting_kinds
from gradscope.errors import SettingError

MAX_RANGE = 100_000
SWITCHES = {"true": True, "false": False}
NOTHING = "none"

Axes = dict[str, tuple[Any, ...]]
"""Values of each swept setting, in the order in which they were named."""


def parse_axes(texts: Sequence[str]) -> Axes:
    """Return the axes of a list of ``NAME=RANGE``.

    SettingError if a text has no such form, names no setting, or names one twice.

    >>> parse_axes(["gain=0.5:1.5:3", "center-bias=true,false", "truncate=none,5"])
    {'gain': (0.5, 1.0, 1.5), 'center_bias': (True, False), 'truncate': (None, 5)}
    """
    axes: Axes = {}
    for text in texts:
        name, equals, values = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name or not values.strip():
            raise SettingError(f"-P is {text!r}; give its values, as in -P gain=0.5:3:26")
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
    if type(None) not in options:
        return _of_kind(options[0], text, flag)
    words = parse_words(text, flag)
    given = [word for word in words if word != NOTHING]
    values = _of_kind(options[0], ",".join(given), flag) if given else ()
    if len(given) == len(words):
        return values
    return (None, *values) if words[0] == NOTHING else (*values, None)


def _of_kind(kind: Any, text: str, flag: str) -> tuple[Any, ...]:
    if kind is int:
        return parse_whole_numbers(text, flag)
    if kind is float:
        return tuple(dict.fromkeys(parse_numbers(text, flag)))
    words = tuple(dict.fromkeys(parse_words(text, flag)))
    if kind is str:
        return words
    choices: Mapping[str, Any] = SWITCHES if kind is bool else {str(each): each for each in kind}
    for word in words:
        if word not in choices:
            known = ", ".join(choices)
            raise SettingError(f"{flag} is {text!r}, but there is no {word!r}; choose from {known}")
    return tuple(choices[word] for word in words)


def parse_words(text: str, flag: str) -> tuple[str, ...]:
    """Return the parts of a comma-separated list, without the spaces around them."""
    words = tuple(part.strip() for part in text.split(","))
    if not all(words):
        remedy = "give values as in a,b,c"
        raise SettingError(f"{flag} is {text!r}, a list with an empty part; {remedy}")
    return words


def parse_numbers(text: str, flag: str) -> tuple[float, ...]:
    """Return the numbers of a list or a range; SettingError where it is neither, or not finite.

    >>> parse_numbers("0:1:3", "--gain")
    (0.0, 0.5, 1.0)
    >>> [round(number) for number in parse_numbers("log:10:1000:3", "--steps")]
    [10, 100, 1000]
    """
    if ":" not in text:
        return tuple(_number(part, text, flag) for part in parse_words(text, flag))
    logarithmic = text.strip().startswith("log:")
    parts = text.strip().removeprefix("log:").split(":")
    if len(parts) != 3:
        forms = "start:stop:count, log:start:stop:count or a list as in a,b,c"
        raise SettingError(f"{flag} is {text!r}; give a range as {forms}")
    start, stop = (_number(part, text, flag) for part in parts[:2])
    if not parts[2].strip().isdecimal() or not 1 <= int(parts[2]) <= MAX_RANGE:
        fault = f"its count is {parts[2]!r}; choose a whole number from 1 to {MAX_RANGE}"
        raise SettingError(f"{flag} is {text!r}, but {fault}")
    count = int(parts[2])
    if not logarithmic:
        points = _evenly(start, stop, count)
    elif start <= 0 or stop <= 0:
        raise SettingError(f"{flag} is {text!r}; a log range needs both ends above 0")
    else:
        points = tuple(map(math.exp, _evenly(math.log(start), math.log(stop), count)))
    # Without the digits that are rounding alone, so that 0.5:3:26 holds 1.2 itself.
    return (start, *(float(f"{point:.14g}") for point in points[1:-1]), stop)[:count]


def parse_whole_numbers(text: str, flag: str) -> tuple[int, ...]:
    """Return whole numbers, each once; those of a range are rounded, others refused."""
    numbers = parse_numbers(text, flag)
    for number in numbers if ":" not in text else ():
        if not number.is_integer():
            fault = f"{number} is not a whole number; give whole numbers"
            raise SettingError(f"{flag} is {text!r}, but {fault}")
    return tuple(dict.fromkeys(round(number) for number in numbers))


def _evenly(start: float, stop: float, count: int) -> tuple[float, ...]:
    return tuple(start + (stop - start) * i / max(count - 1, 1) for i in range(count))


def _number(part: str, text: str, flag: str) -> float:
    try:
        number = float(part)
    except ValueError as error:
        fault = f"{part!r} is not a number; give numbers as in 10,50,100"
        raise SettingError(f"{flag} is {text!r}, but {fault}") from error
    if not math.isfinite(number):
        raise SettingError(f"{flag} is {text!r}, but {part!r} is not finite; give finite numbers")
    return number
