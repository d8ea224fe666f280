"""A data file, separated text, a workbook or a ``.npy``, as named columns of finite numbers."""

import gzip
import io
import math
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gradscope.arrays import FloatArray, as_float64
from gradscope.data.cells import UNIT, cell_value, decimal_mark, is_missing, is_value, marks_of
from gradscope.data.columns import choose_columns, listed, quoted, several_columns
from gradscope.data.delimited import CellTable, named_columns, parse_cells
from gradscope.data.intake import AnyArray, Intake, ZipMembers, content, opened
from gradscope.errors import DataError, install_line

TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".dat", ".gz", ".xlsx")
ARRAY_SUFFIX = ".npy"

# For "no value" people write nines, ends of integers, powers of ten, the fill values of netCDF and
# float32, and -200 (UCI's air quality).
_USUAL_MARKS = re.compile(
    r"-200|-?99+(\.9+)?|-32768|65535|-?214748364[78]|-?(1e\+[2-9]\d|9\.96921e\+36|3\.402823e\+38)"
)
MOST_JUDGED = 10_000  # Columns in which marks are looked for.
FAR = 5.0  # Robust standard deviations between a mark and all other values, at least.


@dataclass(frozen=True, eq=False, slots=True)
class Table:
    """C named columns of finite numbers, in the order they were asked for; ``values`` (N,C) are in
    the units of the file, consecutive rows consecutive in time.
    """

    names: tuple[str, ...]
    values: FloatArray


def read_table(
    path: Path, columns: tuple[str, ...] = (), missing: str = "refuse", *, every: bool = False
) -> Table:
    """Read columns of numbers from a text (see ``delimited``; packed by gzip too), the first sheet
    of a workbook, or an array (N,) or (N,C) in a ``.npy``.

    ``columns`` are names, or numbers counted from 1; a name wins. None asks for the only column of
    numbers, or with ``every`` for all columns of a text. ``missing`` values (see ``marks_of``) are
    refused, or filled by the line between their neighbours, at the ends by the nearest one. Raises
    DataError if the file or a column cannot be read, or a cell is no finite number.
    """
    suffix = path.suffix.lower()
    if suffix in TEXT_SUFFIXES:
        return _read_text(path, columns, missing, every=every)
    if suffix == ARRAY_SUFFIX:
        return _read_array(path, columns, missing)
    raise DataError(
        f"{path} is not a {', '.join(TEXT_SUFFIXES)} or {ARRAY_SUFFIX} file; convert it, "
        "or rename it if it is one"
    )


def _read_text(path: Path, columns: tuple[str, ...], missing: str, *, every: bool) -> Table:
    raw, intake = content(path, DataError, "--data"), Intake(path, DataError)
    if raw.startswith(b"\x1f\x8b"):
        with intake.reading("gzip", "unpack it"), gzip.GzipFile(fileobj=io.BytesIO(raw)) as packed:
            raw = packed.read(intake.left + 1)
            intake.spend(len(raw), path.name)
            # A row takes the memory of two cells, and four cells are an item.
            marks = len(raw) - len(raw.translate(None, b"\n\r,;\t| "))
            intake.visit((raw.count(b"\n") + marks) // 4)
    workbook = raw.startswith(b"PK\x03\x04")
    cells = _workbook_cells(raw, intake) if workbook else parse_cells(raw, str(path))
    chosen = choose_columns(columns, cells.names, path)
    if not columns:
        chosen = [*range(len(cells.names))] if every else [_only_column_of_numbers(cells, path)]
    values = np.column_stack([_column_values(cells, column) for column in chosen])
    names = tuple(cells.names[column] for column in chosen)
    return Table(names, _complete(values, lambda row, k: cells.place(row, names[k]), missing))


def _workbook_cells(raw: bytes, intake: Intake) -> CellTable:
    """Return the cells of a workbook's first sheet, formulas as they were when it was saved."""
    try:
        from openpyxl import load_workbook
    except ImportError:
        text = f"{intake.path} is a workbook: save it as CSV, or install openpyxl"
        raise DataError(f"{text}; {install_line('tables')}") from None
    with intake.reading("a workbook (.xlsx)", "save it again, or as CSV"):
        whole = io.BytesIO()  # Of members as long as they say, for a reader without a budget.
        with zipfile.ZipFile(whole, "w") as checked:
            for name, member in ZipMembers(io.BytesIO(raw), intake).kept():
                checked.writestr(name, member)
        sheet = load_workbook(whole, read_only=True, data_only=True).worksheets[0]
        sheet.reset_dimensions()  # They may claim other cells than there are.
        # A row takes openpyxl as long as three other items.
        intake.count_anew(3)
        width, rows = 0, dict[int, list[str]]()
        for line, row in enumerate(sheet.iter_rows(values_only=True), start=1):
            intake.visit()  # A row that is not there takes as long.
            if any(cell is not None for cell in row):
                width = max(width, len(row))
                intake.require(8 * width * len(rows), sheet.title)
                # No cell may have two readings: neither a number's point, nor a text.
                texts = (f"{each:.17e}" if isinstance(each, float) else each for each in row)
                shown = ("" if each is None else str(each) for each in texts)
                rows[line] = [repr(each) if decimal_mark(each) == "?" else each for each in shown]
        filled = ((line, row + [""] * (width - len(row))) for line, row in rows.items())
        return named_columns(filled, ",", str(intake.path), f"sheet {quoted(sheet.title)} row")


def _read_array(path: Path, columns: tuple[str, ...], missing: str) -> Table:
    array = read_stored(path)
    if array.ndim not in (1, 2) or array.size == 0:
        raise DataError(f"{path} holds an array of shape {array.shape}; save (N,) or (N,C) numbers")
    everything = as_float64(array.reshape(len(array), -1))
    all_names = tuple(str(column) for column in range(1, everything.shape[1] + 1))
    if not columns and len(all_names) > 1:
        raise several_columns(all_names, path)
    chosen = choose_columns(columns or all_names, all_names, path)
    names = tuple(all_names[column] for column in chosen)

    def place(row: int, column: int) -> str:
        return f"{path} row {row + 1}, column {quoted(names[column])}"

    return Table(names, _complete(everything[:, chosen], place, missing))


def complete_array(array: FloatArray, path: Path, axis: int, missing: str) -> FloatArray:
    """Return an array along whose ``axis`` time runs, of finite numbers as in ``read_table``."""
    ordered = np.moveaxis(array, axis, 0)
    shape = (ordered.shape[0], math.prod(ordered.shape[1:]))

    def place(row: int, column: int) -> str:
        index = [int(each) for each in np.unravel_index(row * shape[1] + column, ordered.shape)]
        return f"{path} at {[*index[1 : axis + 1], index[0], *index[axis + 1 :]]}"

    complete = _complete(ordered.reshape(shape), place, missing)
    return np.moveaxis(complete.reshape(ordered.shape), 0, axis)


def read_stored(path: Path, option: str = "--data", column: tuple[str, ...] = ()) -> AnyArray:
    """Return the real numbers in a ``.npy``, or in the one array of an ``.npz`` that is meant."""
    kind = path.suffix.lower()
    with opened(path, DataError, option) as file:
        intake = Intake(path, DataError)
        with intake.reading(f"a {kind} array", "save the numbers with NumPy"):
            if kind == ARRAY_SUFFIX:
                array = intake.array(file.read(), path.name)
            else:
                members = ZipMembers(file, intake)
                arrays = {name.removesuffix(".npy"): name for name in members.names}
                asked = column or tuple(arrays)
                if len(asked) != 1 or asked[0] not in arrays:
                    held = f"no array {quoted(column[0])}" if column else f"{len(arrays)} arrays"
                    held = f"it has {held}: {listed(tuple(arrays))}"
                    raise DataError(f"{held}; choose one with --column")
                array = intake.array(members.read(arrays[asked[0]]), asked[0])
            intake.require(8 * array.size, path.name)  # As float64
    if array.dtype.kind not in "biuf":
        raise DataError(f"{path} holds values of type {array.dtype}; save real numbers")
    return array


def _only_column_of_numbers(cells: CellTable, path: Path) -> int:
    """Return the index of the one column that can be meant where none was asked for."""
    if len(cells.names) == 1:
        return 0
    votes = map(_excess_of_numbers, cells.columns)
    candidates = [column for column, excess in enumerate(votes) if excess > 0]
    if not candidates:
        raise DataError(
            f"{path} has no column of numbers (columns: {listed(cells.names)}); correct its cells,"
            " or choose the column that is meant (--column)"
        )
    if len(candidates) > 1:
        raise several_columns(tuple(cells.names[column] for column in candidates), path)
    return candidates[0]


def _excess_of_numbers(cells: Iterable[str] | FloatArray) -> int:
    """Return how many cells of a column are numbers less how many are text: one with a slip in it
    is still the one that is meant, and its slip is to be reported.
    """
    if isinstance(cells, np.ndarray):
        return int((~np.isnan(cells)).sum())
    votes = ((n, is_value(cell), is_missing(cell)) for cell, n in Counter(cells).items())
    return sum(n * ((value and not missing) - (not value)) for n, value, missing in votes)


def _column_values(cells: CellTable, column: int) -> FloatArray:
    """Return one column as (N,) numbers, NaN where a cell is missing."""
    texts, comma = cells.columns[column], cells.decimal_commas[column]
    if isinstance(texts, np.ndarray):
        return texts
    if comma is False and "_" not in "".join(texts):
        with suppress(ValueError):  # Plain numbers, beside a column of dates
            return np.array([float(text) for text in texts])
    values, units = dict[str, float | None](), set()
    for text in dict.fromkeys(texts):
        value = values[text] = cell_value(text, decimal_comma=bool(comma))
        unit = UNIT.search(text.strip())
        units |= set() if is_missing(text) else {unit[2] or unit[3] if unit else ""}
        if value is None:
            problem = "is not a number" + " as others are (decimal mark)" * is_value(text)
        elif comma is None and decimal_mark(text) == "?":
            ways = "1,2340 or 1,234.0" if "," in text else "1.2340 or 1.234,0"
            problem = f"has decimals or thousands; decide by writing one such cell as {ways}"
        elif len(units) > 1:
            problem = "has another unit than cells above"
        else:
            continue
        place = cells.place(texts.index(text), cells.names[column])
        remedy = "correct the cell or choose another column (--column)"
        raise DataError(f"{place}: {quoted(text)} {problem}; {remedy}")
    return np.array([values[text] for text in texts])


def _likely_marks(values: FloatArray) -> list[float]:
    """Return what stands for missing values in a column (N,): numbers of a usual form, far from all
    others, and several unless they are large.
    """
    if not (np.abs(values) >= 99.0).any():  # The least of them
        return []
    known, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    ends = np.r_[known[:3], known[3:][-3:]]
    usual = [v for v in ends.tolist() if _USUAL_MARKS.fullmatch(f"{v:.7g}")]
    rest = np.repeat(known, counts * ~np.isin(known, usual))
    if not usual or not rest.size:
        return []
    with np.errstate(over="ignore", invalid="ignore"):
        low, lower, upper, high = np.quantile(rest, [0.0, 0.25, 0.75, 1.0])
        # A normal distribution has 1.349 standard deviations between its quartiles.
        spread = (upper - lower) / 1.349 or rest.std()
        gaps = np.maximum(low - known, known - high)
        far = (gaps > FAR * spread) | ((known < 0.0) & (low >= 0.0) & (gaps > spread))
    large = (known <= -999.0) | (known >= 9999.0)
    found = known[far & (large | ((counts > 1) & (spread > 0.0)))]
    return [each for each in found.tolist() if each in usual]


def _complete(values: FloatArray, place: Callable[[int, int], str], missing: str) -> FloatArray:
    """Return the values (N,C) without NaN: refused, or filled along the column; a number that looks
    like a mark for one is asked about. ``place`` names that of a row and a column.
    """
    marks = marks_of(missing)
    # To 1e-7, because they may have been stored in single precision.
    with np.errstate(over="ignore"):
        marked = np.isclose(values[..., np.newaxis], marks, rtol=1e-7, atol=0.0).any(axis=-1)
    values = np.where(marked, np.nan, values)
    judged = enumerate(values.T[:MOST_JUDGED])
    found = [(k, each) for k, column in judged for each in _likely_marks(column)]
    if found and "keep" not in missing:
        column, number = found[0]
        rows = np.flatnonzero(values[:, column] == number)
        words = [f"{each:.9g}" for each in dict.fromkeys([*marks, *(mark for _, mark in found)])]
        keep = f"{missing},keep".removeprefix("refuse,")
        raise DataError(
            f"{place(int(rows[0]), column)}: {number:.9g} stands in {rows.size} of "
            f"{len(values)} rows, far from all others; if it marks a missing value, use --missing "
            f"{','.join(words)}, if not, --missing {keep}"
        )
    absent = np.isnan(values)
    blank = np.flatnonzero(absent.all(axis=0))
    if blank.size:
        fault = "no value in this column is a number; correct them, or leave the column out"
        raise DataError(f"{place(0, int(blank[0]))}: {fault}")
    fill = bool(marks) or "interpolate" in missing
    infinite = np.isinf(values)
    unfit = np.argwhere(infinite if infinite.any() else absent & (not fill))
    if unfit.size:
        row, column = map(int, unfit[0])
        gap = absent[row, column]
        raise DataError(
            f"{place(row, column)}: the value is "
            f"{'missing' if gap else values[row, column]} ({len(unfit)} in all); correct it, or "
            f"{'use --missing interpolate' if gap else 'choose another column (--column)'}"
        )
    for column in np.flatnonzero(absent.any(axis=0)).tolist():
        # Straight lines across the gaps, level at the ends; a quarter, so that the rise between
        # neighbours of opposite sign cannot overflow.
        gaps, known = np.flatnonzero(absent[:, column]), np.flatnonzero(~absent[:, column])
        values[gaps, column] = 4.0 * np.interp(gaps, known, values[known, column] / 4.0)
    return values
