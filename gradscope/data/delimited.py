"""Rows of text, from CSV and its relatives or a sheet of a workbook, as named columns of cells.

The separator is the one that splits the first rows most evenly into values: ``csv.Sniffer`` guesses
from letter frequencies and errs on dates and decimal commas.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from io import StringIO
from itertools import chain, islice

from gradscope.data.cells import decimal_mark, is_missing, is_value
from gradscope.data.columns import quoted
from gradscope.errors import DataError

# In order of preference, where several split the text equally well. A space stands for any blanks.
SEPARATORS = (",", "\t", ";", "|", " ")
# Between these, "1.234" may be a thousand as well; elsewhere the point is taken for decimal.
DOUBTFUL_SEPARATORS = (";", "\t")
SAMPLE_ROWS, SAMPLE_LINES, SAMPLE_CELLS, MAX_COLUMNS = 50, 200, 10_000, 100_000
MAX_HEADER_ROWS = 4
Rows = Iterator[tuple[int, list[str]]]  # The line on which each row starts, and its cells.

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
    """C columns of N cells without their quotes, named "1", "2", … where no header names them, and
    the line of the file on which each row starts, or what ``unit`` calls it, from 1;
    ``decimal_commas`` says whether "1,5" means 1.5, None in a column where no cell decides.
    """

    source: str
    names: tuple[str, ...]
    columns: Sequence[tuple[str, ...]]
    lines: Sequence[int]
    decimal_commas: Sequence[bool | None] = ()
    unit: str = "line"

    def place(self, row: int, name: str) -> str:
        """Return the place of one cell, as an error message opens."""
        return f"{self.source} {self.unit} {self.lines[row]}, column {quoted(name)}"


def parse_cells(raw: bytes, source: str) -> CellTable:
    """Split a text (UTF-8, or UTF-16 with its mark; any line ends; quoted cells) into columns, as
    ``named_columns`` does. Blank lines and those that start with ``#`` or ``%`` are passed over.
    """
    try:
        text = raw.decode("utf-16" if raw[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise DataError(f"{source} is not UTF-8 text; save it as UTF-8 (Excel: 'CSV UTF-8')")
    declared = _SEPARATOR_LINE.match(text)
    text = (text[declared.end() :] if declared else text).rstrip("\r\n")
    lines = filter(str.strip, StringIO(text, newline=None))
    sample = "".join(islice((each for each in lines if not _COMMENT.match(each)), SAMPLE_LINES))
    best = declared[1] if declared else max(SEPARATORS, key=partial(_plausibility, sample))
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
    cells = [cell.strip() for cell in islice(chain.from_iterable(rows), SAMPLE_CELLS)]
    # In a single column a comma is more likely a separator that a short row lacks.
    values = [each for each in cells if is_value(each) and (width > 1 or "," not in each)]
    dates = [each for each in cells if _DATE.fullmatch(each)]
    return agreeing / len(rows) * (len(values) + len(dates)) / len(cells)


def _rows(text: str, separator: str, source: str) -> Rows:
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
            if len(cells) > MAX_COLUMNS:
                fault = f"has {len(cells)} cells, but {MAX_COLUMNS} is the most"
                raise DataError(f"{source} line {start} {fault}; give a row for each time")
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
        if not (bare or separator in line) or _COMMENT.match(line):
            yield "\n"
        elif separator == " ":  # Not str.split: a no-break space stands between thousands.
            yield re.sub(r"[ \t]+", " ", line.strip(" \t\n")) + "\n"
        else:
            yield line


def named_columns(rows: Rows, separator: str, source: str, unit: str = "line") -> CellTable:
    """Return rows as named columns without the blank cells at the end of all rows and the blank
    rows at either end; DataError without rows, or if they differ in their number of cells.
    """
    kept: list[tuple[int, int, list[str]]] = []
    for line, row in rows:
        size = len(row)
        while row and not row[-1].strip():
            row.pop()
        if row or kept:
            kept.append((line, size, row))
    while kept and not kept[-1][2]:
        kept.pop()
    if not kept:
        raise DataError(f"{source} is empty; give a file with at least one row of numbers")
    lines, sizes, cells = zip(*kept, strict=True)
    width, usual = max(map(len, cells)), Counter(sizes).most_common(1)[0][0]
    ragged = min(sizes) < width
    for line, size, row in kept:
        if ragged and (size < usual or len(row) > usual):
            raise DataError(
                f"{source} {unit} {line} has {size} cells, but most have {usual}; "
                "give every row the same number, or quote cells that hold separators"
            )
        row.extend([""] * (width - len(row)))
    count = _header_rows(cells[: MAX_HEADER_ROWS + 1])
    if len(lines) == count:
        raise DataError(f"{source} has a header but no rows; give at least one row of numbers")
    header = [[cell.strip() for cell in row] for row in cells[:count]] or [[""] * width]
    joined = [" ".join(filter(None, dict.fromkeys(each))) for each in zip(*header, strict=True)]
    named = next((row for row in header if all(row) and len(set(row)) == width), joined)
    names = tuple(name or str(k) for k, name in enumerate(named, start=1))
    columns = list(zip(*cells[count:], strict=True))
    commas = _decimal_commas(columns, separator)
    return CellTable(source, names, columns, lines[count:], commas, unit)


def _header_rows(rows: Sequence[list[str]]) -> int:
    """Return how many rows name the columns: the first with a text, and those below up to a number,
    if each has a text above a number or date (units; the three rows of yfinance).
    """
    texts = [[not (is_value(c) or _FIGURES.fullmatch(c.strip())) for c in row] for row in rows]
    end = 1
    while end < len(rows) and all(is_missing(c) or not is_value(c) for c in rows[end]):
        end += 1
    below = texts[min(end, len(rows) - 1)]
    named = (any(a > b for a, b in zip(row, below, strict=True)) for row in texts[1:end])
    return any(texts[0]) * (end if all(named) else 1)


def _decimal_commas(columns: list[tuple[str, ...]], separator: str) -> list[bool | None]:
    """Return what the first cell of one reading says of its column, else what the others agree on;
    else a point is decimal, but None where thousands may be meant.
    """
    marks = [next((m for m in map(decimal_mark, each) if m in {",", "."}), "") for each in columns]
    known = set(marks) - {""}
    others = known == {","} if len(known) == 1 else None
    asked = separator in DOUBTFUL_SEPARATORS or bool(known)
    return [
        mark == "," if mark else others if asked or "," in "".join(column) else False
        for mark, column in zip(marks, columns, strict=True)
    ]
