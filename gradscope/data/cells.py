"""What one cell of a table says: a number in any usual notation, a missing value, or a text."""

import math
import re
from contextlib import suppress

from gradscope.data.columns import quoted
from gradscope.errors import SettingError

# "#N/A" is what spreadsheets write, "." FRED, ":" Eurostat.
_MISSING = re.compile(r"|\.{1,3}|[-:?]|#?n/?a|[nk]\.[av]\.|<na>|nan|null|none", re.IGNORECASE)
_SYMBOL = "([%€$£¥₹]|EUR|USD|GBP|CHF)"
UNIT = re.compile(rf"^([+-]?)\s*{_SYMBOL}\s*|{_SYMBOL}\Z")
# With a mark between thousands, no plain blank (it may part columns), and a decimal point.
_NUMBER = re.compile(
    r"[+-]?(?:[1-9]\d{0,2}(?P<mark>[,'’\u00a0\u2009\u202f])\d{3}(?:(?P=mark)\d{3})*(?:\.\d+)?"
    r"|(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?)"
)
SWAPPED = str.maketrans(",.", ".,")


def marks_of(missing: str) -> list[float]:
    """Return the numbers in ``--missing``; SettingError if its other words are not what it takes.
    ``interpolate`` fills missing cells, as numbers do; ``keep`` takes other numbers for values.
    """
    words = [word.strip() for word in missing.split(",")]
    try:
        return [float(word) for word in words if word not in {"refuse", "interpolate", "keep"}]
    except ValueError:
        raise SettingError(
            f"--missing is {quoted(missing)}; choose refuse, interpolate, keep, or numbers that "
            "mark a missing value (-9999; -99,keep)"
        ) from None


def is_missing(cell: str) -> bool:
    """Say whether a cell is empty, or a word for that."""
    return _MISSING.fullmatch(cell.strip()) is not None


def cell_value(cell: str, *, decimal_comma: bool) -> float | None:
    """Return the number in a cell, its ``UNIT`` left out; NaN if missing, None for a text."""
    word = cell.strip()
    # Python reads 1_000 as a number; in a data file it is a slip or an identifier.
    if not decimal_comma and "_" not in word:
        with suppress(ValueError):
            return float(word)
    if is_missing(word):
        return math.nan
    word = UNIT.sub(r"\1", word.replace("\u2212", "-"), count=1).strip()
    found = _NUMBER.fullmatch(word.translate(SWAPPED) if decimal_comma else word)
    return float(found[0].replace(found["mark"] or ",", "")) if found else None


def is_value(cell: str) -> bool:
    """Say whether a cell holds a number, in either notation, or marks a missing value."""
    return any(cell_value(cell, decimal_comma=each) is not None for each in (False, True))


def decimal_mark(cell: str) -> str:
    """Return the decimal mark of a number that has one reading only, "?" if two that differ."""
    if not ("," in cell or "." in cell) or is_missing(cell):
        return ""
    point, comma = (cell_value(cell, decimal_comma=each) for each in (False, True))
    return "" if point == comma else "," if point is None else "." if comma is None else "?"
