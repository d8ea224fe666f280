"""Ranges as one string: what the command line and a sweep's grid read.

``0.5:3:26`` is start:stop:count, both ends in; ``log:10:1000:7`` is evenly spaced in the logarithm;
``tanh,sigmoid`` and ``10,50,100`` are lists. Free of NumPy, so that help pages load at once.
"""

import math

from gradscope.errors import SettingError

MAX_RANGE = 100_000


def parse_words(text: str, flag: str) -> tuple[str, ...]:
    """Return the parts of a comma-separated list, without the spaces around them."""
    words = tuple(part.strip() for part in text.split(","))
    if not all(words):
        raise SettingError(
            f"{flag} is {text!r}, a list with an empty part; give values as in a,b,c"
        )
    return words


def parse_numbers(text: str, flag: str) -> tuple[float, ...]:
    """Return the numbers of a list or a range.

    Raises
    ------
    SettingError
        If the text is neither, or a number in it is not finite.

    Examples
    --------
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
        raise SettingError(
            f"{flag} is {text!r}; give a range as start:stop:count, log:start:stop:count, or a "
            "list as in a,b,c"
        )
    start, stop = (_number(part, text, flag) for part in parts[:2])
    count = _count(parts[2], text, flag)
    if not logarithmic:
        points = _evenly(start, stop, count)
    elif start <= 0 or stop <= 0:
        raise SettingError(f"{flag} is {text!r}; a log range needs both ends above 0")
    else:
        points = tuple(map(math.exp, _evenly(math.log(start), math.log(stop), count)))
    return (start, *map(_tidy, points[1:-1]), stop)[:count]


def parse_whole_numbers(text: str, flag: str) -> tuple[int, ...]:
    """Return whole numbers; those of a range are rounded, and equal neighbours are taken once.

    Raises
    ------
    SettingError
        If a number in a list is not whole.
    """
    numbers = parse_numbers(text, flag)
    if ":" not in text:
        for number in numbers:
            if number != int(number):
                raise SettingError(
                    f"{flag} is {text!r}, but {number} is not a whole number; give whole numbers"
                )
    return tuple(dict.fromkeys(round(number) for number in numbers))


def _evenly(start: float, stop: float, count: int) -> tuple[float, ...]:
    return tuple(start + (stop - start) * i / max(count - 1, 1) for i in range(count))


def _tidy(value: float) -> float:
    """Return a number without the digits that are rounding alone, so that 0.5:3:26 holds 1.2
    itself.
    """
    return float(f"{value:.14g}")


def _number(part: str, text: str, flag: str) -> float:
    try:
        number = float(part)
    except ValueError as error:
        raise SettingError(
            f"{flag} is {text!r}, but {part!r} is not a number; give numbers as in 10,50,100"
        ) from error
    if not math.isfinite(number):
        raise SettingError(f"{flag} is {text!r}, but {part!r} is not finite; give finite numbers")
    return number


def _count(part: str, text: str, flag: str) -> int:
    if not part.strip().isdecimal() or not 1 <= int(part) <= MAX_RANGE:
        raise SettingError(
            f"{flag} is {text!r}, but its count is {part!r}; choose a whole number from 1 to "
            f"{MAX_RANGE}"
        )
    return int(part)
