"""Rows of text, from CSV and its relatives or a sheet of a workbook, as named columns of cells.

The separator is the one that splits the first rows most evenly into values: ``csv.Sniffer`` guesses
from letter frequencies and errs on dates and decimal commas.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import islice

from gradscope.data.cells import decimal_mark, is_missing, is_value
from gradscope.errors import DataError

# In order of preference, where several split the text equally well. A space stands for any blanks.
SEPARATORS = (",", "\t", ";", "|", " ")
# Between these, "1.234" may be a thousand as well; elsewhere the point is taken for decimal.
DOUBTFUL_SEPARATORS = (";", "\t")
SAMPLE_ROWS = 50
MAX_HEADER_ROWS = 4

# A line that starts with a spreadsheet's error is a row with a failed formula, not a comment.
_COMMENT = re.compile(r"\s*(?:#(?!N/A|DIV/0!|VALUE!|REF!|NAME\?|NUM!|NULL!)|%(?!\d))")
_SEPARATOR_LINE = re.compile(r'"?sep=([^\w\s"]|\t)"?[,;\t]*(?=\r|\n)', re.IGNORECASE)
_DATE = re.compile(
    r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}(?:[ T]\d{1,2}(?::\d\d){1,2}(?:\.\d+)?)?"
    r"(?: ?[AP]M|Z|[+-][\d:]+)?"
)
# Dates, times and numbers in other notations: text, but not the name of a column.
_FIGURES = re.compile(r"[+-]?\d[\d\s\-/:.,;+TZAPM]*")


@dataclass(frozen=True, eq=False, slots=True)
class CellTable:
    """C named columns of N text cells, as they stand in the file but for their quotes.

    Names are "1", "2", … without a header, or where one is empty. ``lines`` has the line of the
    file, from 1, on which each row starts. ``decimal_commas`` says of each column whether "1,5"
    means 1.5; None where "1.234" may be either and no cell decides.
    """

    names: tuple[str, ...]
    columns: Sequence[tuple[str, ...]]
    lines: Sequence[int]
    decimal_commas: Sequence[bool | None]
    unit: str


def parse_cells(raw: bytes, source: str) -> CellTable:
    """Split the bytes of a text file into named columns of cells; ``source`` is its name in
    messages.

    UTF-8, or UTF-16 with its byte order mark, any line ends, quoted cells. Blank lines and lines
    that start with ``#`` or ``%`` are passed over. A first line ``sep=;`` is Excel's. Raises
    DataError if the bytes are not text, or as ``named_columns`` does.
    """
    try:
        wide = raw.startswith((b"\xff\xfe", b"\xfe\xff"))
        text = raw.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise DataError(
            f"{source} is not UTF-8 text; save it as UTF-8 (in a spreadsheet: 'CSV UTF-8')"
        )
    declared = _SEPARATOR_LINE.match(text)
    text = text[declared.end() :] if declared else text
    best = declared[1] if declared else max(SEPARATORS, key=lambda each: _plausibility(text, each))
    return named_columns(_rows(text, best, source), best, source)


def _plausibility(text: str, separator: str) -> float:
    """Return (share of rows with the commonest width) × (share of cells: values and dates)."""
    try:
        rows = [cells for _, cells in islice(_rows(text, separator, ""), SAMPLE_ROWS)]
    except DataError:
        rows = []
    if not rows:
        return 0.0
    width, agreeing = Counter(map(len, rows)).most_common(1)[0]
    cells = [cell.strip() for row in rows for cell in row]
    # In a single column a comma is more likely a separator that a short row lacks.
    values = sum(
        (is_value(cell) and (width > 1 or "," not in cell)) or bool(_DATE.fullmatch(cell))
        for cell in cells
    )
    return agreeing / len(rows) * values / len(cells)


def _rows(text: str, separator: str, source: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line on which each row starts, and its cells."""
    # A space as separator is collapsed by _tidy; csv refuses it together with skipinitialspace.
    reader = csv.reader(
        _tidy(StringIO(text, newline=None), separator),
        delimiter=separator,
        skipinitialspace=separator != " ",
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
        if _COMMENT.match(line) or not (bare or separator in line):
            yield "\n"
        elif separator == " ":  # Not str.split: a no-break space stands between thousands.
            yield re.sub(r"[ \t]+", " ", line.strip(" \t\n")) + "\n"
        else:
            yield line


def named_columns(
    rows: Iterable[tuple[int, list[str]]], separator: str, source: str, unit: str = "line"
) -> CellTable:
    """Return rows, each with its line or what ``unit`` calls it, as named columns. Raises DataError
    without rows, or if they differ in their number of cells.
    """
    columns, lines = _columns(rows, source, unit)
    n_names = _header_rows(columns)
    if len(lines) == n_names:
        raise DataError(f"{source} has a header but no rows; give at least one row of numbers")
    headers = [[column[row].strip() for column in columns] for row in range(n_names)]
    joined = (" ".join(filter(None, dict.fromkeys(words))) for words in zip(*headers, strict=True))
    unique = (names for names in headers if all(names) and len(set(names)) == len(columns))
    names = next(unique, list(joined)) or [""] * len(columns)
    columns = [column[n_names:] for column in columns]
    return CellTable(
        tuple(name or str(column) for column, name in enumerate(names, start=1)),
        columns,
        lines[n_names:],
        _decimal_commas(columns, separator),
        unit,
    )


def _columns(
    rows: Iterable[tuple[int, list[str]]], source: str, unit: str
) -> tuple[list[tuple[str, ...]], list[int]]:
    """Return the columns, and the line on which each row starts, without the blank cells at the end
    of all rows and the blank rows at either end.
    """
    lines, lengths, table = [], [], []
    for line, row in rows:
        length = len(row)
        while row and not row[-1].strip():
            row.pop()
        if row or table:
            lines.append(line)
            lengths.append(length)
            table.append(row)
    while table and not table[-1]:
        del table[-1], lengths[-1]
    if not table:
        raise DataError(f"{source} is empty; give a file with at least one row of numbers")
    width = max(map(len, table))
    if width > min(lengths):
        usual = Counter(lengths).most_common(1)[0][0]
        wrong = next(k for k, n in enumerate(lengths) if n < usual or len(table[k]) > usual)
        raise DataError(
            f"{source} {unit} {lines[wrong]} has {lengths[wrong]} cells, but most have {usual}; "
            "give every row the same number, or quote cells that hold separators"
        )
    return list(zip(*(row + [""] * (width - len(row)) for row in table), strict=True)), lines


def _header_rows(columns: list[tuple[str, ...]]) -> int:
    """Return how many rows name the columns: the first with a text, and those below up to a number,
    if each has a text above a number or date (units; the three rows of yfinance).
    """
    rows = list(zip(*(column[: MAX_HEADER_ROWS + 1] for column in columns), strict=True))
    texts = [[not (is_value(c) or _FIGURES.fullmatch(c.strip())) for c in row] for row in rows]
    if not any(texts[0]):
        return 0
    first = 1
    while first < len(rows) and all(not is_value(c) or is_missing(c) for c in rows[first]):
        first += 1
    below = texts[min(first, len(rows) - 1)]
    named = (any(a > b for a, b in zip(row, below, strict=True)) for row in texts[1:first])
    return first if all(named) else 1


def _decimal_commas(columns: list[tuple[str, ...]], separator: str) -> list[bool | None]:
    """Return ``CellTable.decimal_commas``: the first cell of a column that has one reading only
    decides, else the other columns, if they agree.
    """
    marks = [next((m for m in map(decimal_mark, each) if m in {",", "."}), "") for each in columns]
    known = set(marks) - {""}
    open_to = separator in DOUBTFUL_SEPARATORS or len(known) > 1

    def undecided(column: tuple[str, ...]) -> bool | None:
        if len(known) == 1:
            return known == {","}
        return None if open_to or any("," in cell for cell in column) else False

    pairs = zip(marks, columns, strict=True)
    return [mark == "," if mark else undecided(column) for mark, column in pairs]
