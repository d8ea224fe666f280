"""Rows of text, from CSV and its relatives or a sheet of a workbook, as named columns of cells.

The separator is the one that splits the first rows most evenly into values: ``csv.Sniffer`` guesses
from letter frequencies and errs on dates and decimal commas.
"""

import csv
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO, TextIOWrapper
from itertools import accumulate, chain, islice

import numpy as np

from gradscope.arrays import FloatArray
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
_ODD_LINE = re.compile(r"[\r\n][^\S\r\n]*(?:[#%]|[^\S\r\n](?=[\r\n]|\Z))")
_SEPARATOR_LINE = re.compile(r'"?sep=([^\w\s"]|\t)"?[,;\t]*(?=\r|\n)', re.IGNORECASE)
_DATE = re.compile(
    r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}(?:[ T]\d{1,2}(?::\d\d){1,2}(?:\.\d+)?)?"
    r"(?: ?[AP]M|Z|[+-][\d:]+)?"
)
# Dates, times and numbers in other notations: text, but not the name of a column.
_FIGURES = re.compile(r"[+-]?\d[\d\s\-/:.,;+TZAPM]*")


@dataclass(frozen=True, eq=False, slots=True)
class CellTable:
    """C columns of N cells without their quotes, or of numbers, named "1", "2", … where no header
    names them, and the line of the file on which each row starts, or what ``unit`` calls it, from
    1; ``decimal_commas`` says whether "1,5" means 1.5, None in a column where no cell decides.
    """

    source: str
    names: tuple[str, ...]
    columns: Sequence[list[str] | FloatArray]
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
    filled = filter(str.strip, _lines(text))
    sample = "".join(islice((each for each in filled if not _COMMENT.match(each)), SAMPLE_LINES))
    best = declared[1] if declared else max(SEPARATORS, key=partial(_plausibility, sample))
    odd = best == " " or _ODD_LINE.search(f"\n{text}")
    lines = _tidy(_lines(text), best) if odd else _lines(text)
    return _plain(text, best, source) or named_columns(_rows(lines, best, source), best, source)


def _lines(text: str) -> Iterable[str]:
    return TextIOWrapper(BytesIO(text.encode()), "utf-8")


def _plain(text: str, separator: str, source: str) -> CellTable | None:
    """Return the columns of a text with nothing but plain numbers below its header, which NumPy
    reads in a tenth of the time and memory; None where there is anything else.
    """
    sign = separator.strip(" ") or None
    try:
        for cell in text[text.rfind("\n") + 1 :].split(sign):
            float(cell)  # Most that is not plain ends here.
        first = _rows(_tidy(_lines(text), separator), separator, source)
        head = named_columns(islice(first, MAX_HEADER_ROWS + 1), separator, source)
        start, end = head.lines[0], text.count("\n") + 2
        if set(head.decimal_commas) != {False} and "." in text:
            return None
        lines = islice(_lines(text), start - 1, None)
        values = np.loadtxt(lines, delimiter=sign, comments=None, ndmin=2)
    except (DataError, ValueError):
        return None
    if values.shape != (end - start, len(head.names)):
        return None
    return CellTable(source, head.names, [*values.T], range(start, end), head.decimal_commas)


def _plausibility(text: str, separator: str) -> float:
    """Return (share of rows with the commonest width) × (share of cells: values and dates)."""
    try:
        found = _rows(_tidy(_lines(text), separator), separator, "")
        rows = [cells for _, cells in islice(found, SAMPLE_ROWS)]
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


def _rows(lines: Iterable[str], separator: str, source: str) -> Rows:
    """Yield the line on which each row starts, and its cells."""
    # A space as separator is collapsed by _tidy; csv refuses it together with skipinitialspace.
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=separator != " ")
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


def _rectangle(rows: Rows, source: str, unit: str) -> tuple[Sequence[int], list[str], int]:
    """Return the lines on which rows start, and their cells one after the other, so many a row."""
    cells, lines, sizes, widths = list[str](), array("q"), array("q"), array("q")
    for line, row in rows:
        size = len(row)
        while row and not row[-1].strip():
            row.pop()
        if row or lines:
            lines.append(line)
            sizes.append(size)
            widths.append(len(row))
            cells += row
    while widths and not widths[-1]:
        for each in (lines, sizes, widths):
            each.pop()
    if not lines:
        raise DataError(f"{source} is empty; give a file with at least one row of numbers")
    width, usual = max(widths), Counter(sizes).most_common(1)[0][0]
    if min(widths) == width:
        return lines, cells, width
    ragged, filled = min(sizes) < width, list[str]()
    for line, size, n, end in zip(lines, sizes, widths, accumulate(widths), strict=True):
        if ragged and (size < usual or n > usual):
            raise DataError(
                f"{source} {unit} {line} has {size} cells, but most have {usual}; "
                "give every row the same number, or quote cells that hold separators"
            )
        filled += cells[end - n : end] + [""] * (width - n)
    return lines, filled, width


def named_columns(rows: Rows, separator: str, source: str, unit: str = "line") -> CellTable:
    """Return rows as named columns without the blank cells at the end of all rows and the blank
    rows at either end; DataError without rows, or if they differ in their number of cells.
    """
    lines, cells, width = _rectangle(rows, source, unit)
    first = [cells[at : at + width] for at in range(0, len(cells), width)[: MAX_HEADER_ROWS + 1]]
    count = _header_rows(first)
    if len(lines) == count:
        raise DataError(f"{source} has a header but no rows; give at least one row of numbers")
    header = [[cell.strip() for cell in row] for row in first[:count]] or [[""] * width]
    joined = [" ".join(filter(None, dict.fromkeys(each))) for each in zip(*header, strict=True)]
    named = next((row for row in header if all(row) and len(set(row)) == width), joined)
    names = tuple(name or str(k) for k, name in enumerate(named, start=1))
    columns = [cells[at::width] for at in range(count * width, (count + 1) * width)]
    commas = _decimal_commas(columns, separator)
    return CellTable(source, names, columns, lines[count:], commas, unit)


def _header_rows(rows: Sequence[list[str]]) -> int:
    """Return how many rows name the columns: the first with a text, and those below up to a number,
    if each has a text above a number or date (units; the three rows of yfinance).
    """

    def texts(row: list[str]) -> list[bool]:
        return [not (is_value(c) or _FIGURES.fullmatch(c.strip())) for c in row]

    if not any(texts(rows[0])):
        return 0
    end = 1
    while end < len(rows) and all(is_missing(c) or not is_value(c) for c in rows[end]):
        end += 1
    below = texts(rows[min(end, len(rows) - 1)])
    named = (any(a > b for a, b in zip(texts(row), below, strict=True)) for row in rows[1:end])
    return end if all(named) else 1


def _decimal_commas(columns: list[list[str]], separator: str) -> list[bool | None]:
    """Return what the first cell of one reading says of its column, else what the others agree on;
    else a point is decimal, but None where thousands may be meant.
    """
    found = (map(decimal_mark, dict.fromkeys(column)) for column in columns)
    marks = [next((mark for mark in each if mark in {",", "."}), "") for each in found]
    known = set(marks) - {""}
    others = known == {","} if len(known) == 1 else None
    asked = separator in DOUBTFUL_SEPARATORS or bool(known)
    return [
        mark == "," if mark else others if asked or "," in "".join(column) else False
        for mark, column in zip(marks, columns, strict=True)
    ]
