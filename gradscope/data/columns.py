"""Choose columns of a file, by name or by number from 1, and quote its words in a message."""

import difflib
from pathlib import Path

from gradscope.errors import DataError

# How much of a text, and how many names, a message shows.
SHOWN_CHARACTERS = 40
SHOWN_NAMES = 8
LONGEST_LIST = 160


def choose_columns(asked: tuple[str, ...], names: tuple[str, ...], path: Path) -> list[int]:
    """Return the index of every column that is asked for, in that order; raises DataError if one is
    not there, is asked for twice, or its name belongs to several.
    """
    numbers = [str(column) for column in range(1, len(names) + 1)]
    chosen: list[int] = []
    for each in asked:
        word = each.strip()
        named = [column for column, name in enumerate(names) if name == word]
        if len(named) > 1:
            places = ", ".join(numbers[column] for column in named[:SHOWN_NAMES])
            raise DataError(
                f"{path} has {len(named)} columns named {quoted(each)} (numbers {places}); choose "
                "by number, or rename them"
            )
        if not named and word not in numbers:
            by_lower_case = {name.lower(): name for name in reversed(names)}
            close = difflib.get_close_matches(word.lower(), by_lower_case, n=1)
            meant = f" (did you mean {quoted(by_lower_case[close[0]])}?)" if close else ""
            raise DataError(
                f"{path} has no column {quoted(each)}{meant}; it has {listed(names)} (--column "
                "takes a name, or a number from 1)"
            )
        column = named[0] if named else numbers.index(word)
        if column in chosen:
            raise DataError(f"column {quoted(each)} of {path} is given twice; name it once")
        chosen.append(column)
    return chosen


def several_columns(names: tuple[str, ...], path: Path) -> DataError:
    """Return the error for a file in which any of these columns may be meant."""
    return DataError(
        f"{path} has {len(names)} columns of numbers: {listed(names)}; choose with --column"
    )


def listed(names: tuple[str, ...]) -> str:
    """Return the first names, and how many there are if that is not all."""
    shown = [quoted(name) for name in names[:SHOWN_NAMES]]
    while sum(map(len, shown)) > LONGEST_LIST:
        shown.pop()
    first = ", ".join(shown)
    return first if len(names) == len(shown) else f"{first}, … ({len(names)} in all)"


def quoted(value: object, most: int = SHOWN_CHARACTERS) -> str:
    """Return a text from a file as it goes into a message: one line, quoted, not too long; of other
    things but numbers, what they are, as they may hold themselves.
    """
    if not isinstance(value, str):
        known = value is None or (isinstance(value, int | float) and -1e99 < value < 1e99)
        return str(value) if known else f"a {type(value).__name__}"
    short = value[:most]
    while len(repr(short)) > most + 2:  # Escapes are longer than what they stand for
        short = short[:-1]
    return repr(short if short == value else f"{short[: most - 1]}…")
