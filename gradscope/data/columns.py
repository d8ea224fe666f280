"""Which columns of a file are meant, and how its words go into a message.

A column is asked for by its name or by its number from 1. Reading the file lives in ``table``.
"""

import difflib
from pathlib import Path

from gradscope.errors import DataError

# How much of a text, and how many names, a message shows.
SHOWN_CHARACTERS = 40
SHOWN_NAMES = 8


def choose_columns(asked: tuple[str, ...], names: tuple[str, ...], path: Path) -> list[int]:
    """Return the index of every column that is asked for, in that order.

    Raises
    ------
    DataError
        If a column is not there, is asked for twice, or its name belongs to several.
    """
    chosen = [_find_column(column, names, path) for column in asked]
    for place, column in enumerate(chosen):
        if column in chosen[:place]:
            raise DataError(
                f"column {quoted(asked[place])} of {path} is asked for twice; name it once"
            )
    return chosen


def _find_column(asked: str, names: tuple[str, ...], path: Path) -> int:
    """Return the index of the column with this name, or else this number from 1."""
    named = [column for column, name in enumerate(names) if name == asked.strip()]
    if len(named) > 1:
        numbers = ", ".join(str(column + 1) for column in named[:SHOWN_NAMES])
        raise DataError(
            f"{path} has {len(named)} columns named {quoted(asked)} (numbers {numbers}); choose by "
            "number, or rename them"
        )
    if named:
        return named[0]
    for column in range(len(names)):
        if str(column + 1) == asked.strip():
            return column
    raise DataError(
        f"{path} has no column {quoted(asked)}{_close_match(asked, names)}; "
        f"it has {listed(names)} (--column takes a name, or a number from 1)"
    )


def _close_match(asked: str, names: tuple[str, ...]) -> str:
    """Return a suggestion, or nothing where no name is close."""
    by_lower_case = {name.lower(): name for name in reversed(names)}
    close = difflib.get_close_matches(asked.strip().lower(), by_lower_case, n=1)
    return f" (did you mean {quoted(by_lower_case[close[0]])}?)" if close else ""


def several_columns(names: tuple[str, ...], path: Path) -> DataError:
    """Return the error for a file in which any of these columns may be meant."""
    return DataError(
        f"{path} has {len(names)} columns of numbers: {listed(names)}; choose with --column"
    )


def listed(names: tuple[str, ...]) -> str:
    """Return the first names, and how many there are if that is not all."""
    first = ", ".join(quoted(name) for name in names[:SHOWN_NAMES])
    return first if len(names) <= SHOWN_NAMES else f"{first}, … ({len(names)} in all)"


def quoted(text: str) -> str:
    """Return a text from the file as it goes into a message: one line, quoted, not too long."""
    short = text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
    return repr(short)
