"""Separated text (CSV and its relatives) as named columns of cells.

The separator is the one that splits the first rows most evenly into values: ``csv.Sniffer`` guesses
from letter frequencies and errs on dates and decimal commas.
"""

import csv
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from gradscope.errors import DataError

# In order of preference, where several split the text equally well. A space stands for any blanks.
SEPARATORS = (",", "\t", ";", "|", " ")
DECIMAL_COMMA_SEPARATORS = (";", "\t")
SAMPLE_ROWS = 50

# Compared in lower case. "#N/A" is what spreadsheets write.
MISSING_WORDS = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", "?", "-"})
# A line that starts with one of these is a row with a failed formula, not a comment.
SPREADSHEET_ERRORS = ("#N/A", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#NULL!")

_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
_POINT_NUMBER_CELL = re.compile(
    r"(?:^|[;\t\"])[ ]*[+-]?\d*\.\d+(?:[eE][+-]?\d+)?[ ]*(?:$|[;\t\"])", re.MULTILINE
)
# Dates, times and numbers in other notations: text, but not the name of a column.
_FIGURES = re.compile(r"[+-]?\d[\d\s\-/:.,;+TZAPM]*")


@dataclass(frozen=True, eq=False, slots=True)
class CellTable:
    """C named columns of N text cells, as they stand in the file but for their quotes.

    Names are "1", "2", … without a header, or where one is empty. ``lines`` has the line of the
    file, from 1, on which each row starts; ``decimal_comma`` says whether "1,5" means 1.5.
    """

    names: tuple[str, ...]
    columns: tuple[list[str], ...]
    lines: list[int]
    decimal_comma: bool


def cell_value(cell: str, *, decimal_comma: bool) -> float:
    """Return the number in a cell, NaN if missing, ±inf on overflow; ValueError for a text."""
    word = cell.strip()
    if word.lower() in MISSING_WORDS:
        return math.nan
    if decimal_comma and _DECIMAL_COMMA.fullmatch(word):
        word = word.replace(",", ".")
    if "_" in word:  # Python reads 1_000 as a number; in a data file it is a slip or an identifier.
        raise ValueError(word)
    return float(word)


def is_value(cell: str, *, decimal_comma: bool) -> bool:
    """Say whether a cell holds a number or marks a missing value."""
    try:
        cell_value(cell, decimal_comma=decimal_comma)
    except ValueError:
        return False
    return True


def parse_cells(raw: bytes, source: str) -> CellTable:
    """Split the bytes of a text file into named columns of cells; ``source`` is its name in
    messages.

    UTF-8 with or without a byte order mark, any line ends, quoted cells. Blank lines and lines that
    start with ``#`` are passed over. A first row with some cell that is neither a value nor a date
    is the header. Decimal commas are read between semicolons and tabs, unless a number with a
    decimal point stands beside them ("1,234" would be ambiguous). Raises DataError if the bytes are
    not text, hold no rows, or rows differ in their number of cells.
    """
    try:
        text = raw.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise DataError(
            f"{source} is not UTF-8 text; save it as UTF-8 (in a spreadsheet: 'CSV UTF-8')"
        )
    lines = text.split("\n")
    separator = max(SEPARATORS, key=lambda each: _plausibility(lines, each))
    cells, starts = _read_rows(lines, separator, source)
    separated = separator in DECIMAL_COMMA_SEPARATORS and "," in text
    decimal_comma = separated and not _POINT_NUMBER_CELL.search(text)
    width = len(cells) // len(starts)
    header = _header(cells[:width], decimal_comma=decimal_comma)
    skipped = 1 if header else 0
    if len(starts) == skipped:
        raise DataError(f"{source} has a header but no rows; give at least one row of numbers")
    return CellTable(
        names=header or tuple(str(column) for column in range(1, width + 1)),
        columns=tuple(cells[skipped * width + column :: width] for column in range(width)),
        lines=starts[skipped:],
        decimal_comma=decimal_comma,
    )


def _plausibility(lines: list[str], separator: str) -> float:
    """Return (share of rows with the commonest width) × (share of cells that are values)."""
    try:
        rows = [cells for _, cells in islice(_rows(lines, separator, ""), SAMPLE_ROWS)]
    except DataError:
        rows = []
    if not rows:
        return 0.0
    width, agreeing = Counter(map(len, rows)).most_common(1)[0]
    # In a single column a comma is more likely a separator that a short row lacks.
    decimal_comma = separator in DECIMAL_COMMA_SEPARATORS and width > 1
    cells = [cell for row in rows for cell in row]
    values = sum(is_value(cell, decimal_comma=decimal_comma) for cell in cells)
    return agreeing / len(rows) * values / len(cells)


def _rows(lines: list[str], separator: str, source: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line on which each row starts, and its cells."""
    # A space as separator is collapsed by _tidy; csv refuses it together with skipinitialspace.
    reader = csv.reader(
        _tidy(lines, separator), delimiter=separator, skipinitialspace=separator != " "
    )
    start = 1
    try:
        for cells in reader:
            if cells:
                yield start, cells
            start = reader.line_num + 1
    except csv.Error:
        raise DataError(
            f"{source} line {start}: a cell is longer than {csv.field_size_limit()} characters; "
            "look for a quotation mark that is never closed"
        ) from None


def _tidy(lines: Iterable[str], separator: str) -> Iterator[str]:
    """Yield the lines with comments and blanks emptied, so that later lines keep their number."""
    for line in lines:
        bare = line.strip()
        if bare.startswith("#") and not bare.startswith(SPREADSHEET_ERRORS):
            yield "\n"
        elif separator == " ":
            yield " ".join(line.split()) + "\n"
        elif bare or separator in line:
            yield line + "\n"
        else:
            yield "\n"


def _read_rows(lines: list[str], separator: str, source: str) -> tuple[list[str], list[int]]:
    """Return all cells, row after row, and the line on which each row starts.

    One flat list, because a million short ones keep Python's garbage collector busy.
    """
    cells: list[str] = []
    starts: list[int] = []
    width = 0
    for start, row in _rows(lines, separator, source):
        width = width or len(row)
        if len(row) != width:
            raise DataError(
                f"{source} line {start} has {len(row)} cells, but line {starts[0]} has {width}; "
                "give every row the same number, or quote cells that hold separators"
            )
        cells += row
        starts.append(start)
    if not starts:
        raise DataError(f"{source} is empty; give a file with at least one row of numbers")
    return cells, starts


def _header(first_row: list[str], *, decimal_comma: bool) -> tuple[str, ...]:
    """Return the names of the columns, or nothing where the first row holds data."""
    first = [cell.strip() for cell in first_row]
    if all(
        is_value(cell, decimal_comma=decimal_comma) or _FIGURES.fullmatch(cell) for cell in first
    ):
        return ()
    return tuple(name or str(column) for column, name in enumerate(first, start=1))
