"""A data file, separated text, a workbook or a ``.npy``, as named columns of finite numbers."""

import gzip
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gradscope.arrays import FloatArray, as_float64
from gradscope.data.cells import UNIT, cell_value, decimal_mark, is_missing, is_value, marks_of
from gradscope.data.columns import choose_columns, listed, quoted, several_columns
from gradscope.data.delimited import CellTable, parse_cells
from gradscope.data.intake import Intake
from gradscope.data.workbook import ZIP_START, workbook_cells
from gradscope.errors import DataError

AnyArray = np.ndarray[tuple[int, ...], np.dtype[Any]]

TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".dat", ".gz", ".xlsx")
ARRAY_SUFFIX = ".npy"

# What instruments and programs write for "no value": all nines, the ends of integers, powers of
# ten and the fill values of netCDF and float32; UCI's air quality has -200.
_USUAL_MARKS = re.compile(
    r"-200|-?99+(\.9+)?|-32768|65535|-?214748364[78]|-?(1e\+[2-9]\d|9\.96921e\+36|3\.402823e\+38)"
)
FAR = 5.0
"""So many robust standard deviations a mark is away from all other values, at least."""
NORMAL_QUARTILES = 1.349
"""Standard deviations between the quartiles of a normal distribution."""


@dataclass(frozen=True, eq=False, slots=True)
class Table:
    """C named columns of finite numbers, in the order they were asked for; ``values`` (N,C) are in
    the units of the file, consecutive rows consecutive in time.
    """

    names: tuple[str, ...]
    values: FloatArray


@dataclass(frozen=True, eq=False, slots=True)
class _Places:
    """Where rows stand in the file: ``numbers[row]`` is the line (text) or row (array), from 1."""

    path: Path
    unit: str
    numbers: Sequence[int]

    def at(self, row: int, name: str) -> str:
        """Return the place of one cell, as an error message opens."""
        return f"{self.path} {self.unit} {self.numbers[row]}, column {quoted(name)}"


def read_table(
    path: Path,
    columns: tuple[str, ...] = (),
    missing: str = "refuse",
    *,
    every: bool = False,
) -> Table:
    """Read columns of numbers from a file of ``TEXT_SUFFIXES`` (see ``delimited`` and ``workbook``)
    or an array (N,) or (N,C) in a ``.npy``.

    ``columns`` are names, or numbers counted from 1; a name wins. None asks for the only column of
    numbers, or with ``every`` for all columns of a text. ``missing`` cells (also NA, ``.``, NaN,
    null, ``-``; see ``cells.marks_of``) are refused, or filled by the line between their neighbours,
    at the ends by the nearest value. Raises DataError if the file cannot be read, a column is not
    there or not the only choice, a cell is missing, infinite or not a number, or a number looks
    like a mark for a missing value.
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
    raw = file_bytes(path)
    intake = Intake(path, DataError)
    if raw.startswith(b"\x1f\x8b"):
        with intake.reading("gzip", "unpack it"), gzip.GzipFile(fileobj=io.BytesIO(raw)) as packed:
            raw = packed.read(intake.left + 1)
            intake.spend(len(raw), path.name)
    workbook = raw.startswith(ZIP_START)
    cells = workbook_cells(raw, intake) if workbook else parse_cells(raw, str(path))
    if every and not columns:
        chosen = list(range(len(cells.names)))
    elif columns:
        chosen = choose_columns(columns, cells.names, path)
    else:
        chosen = [_only_column_of_numbers(cells, path)]
    places = _Places(path, cells.unit, cells.lines)
    values = np.column_stack([_column_values(cells, column, places) for column in chosen])
    names = tuple(cells.names[column] for column in chosen)
    return Table(names, _complete(values, names, places, missing))


def _read_array(path: Path, columns: tuple[str, ...], missing: str) -> Table:
    array = read_npy(file_bytes(path), path)
    require_real(array, path)
    if array.ndim not in (1, 2) or array.size == 0:
        raise DataError(
            f"{path} holds an array of shape {array.shape}; save (N,) or (N,C) numbers, with one "
            "row or more"
        )
    everything = as_float64(array.reshape(len(array), -1))
    all_names = tuple(str(column) for column in range(1, everything.shape[1] + 1))
    if not columns and len(all_names) > 1:
        raise several_columns(all_names, path)
    chosen = choose_columns(columns or all_names, all_names, path)
    values, names = everything[:, chosen], tuple(all_names[column] for column in chosen)
    places = _Places(path, "row", range(1, len(values) + 1))
    infinite = np.argwhere(np.isinf(values))
    if infinite.size:
        row, column = infinite[0]
        raise DataError(
            f"{places.at(row, names[column])}: {values[row, column]} is not finite; correct the "
            "value or choose another column (--column)"
        )
    return Table(names, _complete(values, names, places, missing))


def file_bytes(path: Path) -> bytes:
    """Return what a file holds, or say why not."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; check the name (--data)") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a directory; name a file in it (--data)") from None
    except PermissionError:
        raise DataError(f"{path} may not be read; check its permissions") from None
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise DataError(f"{path} cannot be read ({error}); check the name (--data)") from None


def read_npy(raw: bytes, path: Path) -> AnyArray:
    """Return the array in the bytes of a ``.npy`` file."""
    try:
        array: AnyArray = np.lib.format.read_array(io.BytesIO(raw), allow_pickle=False)
    except Exception as error:  # noqa: BLE001 - a damaged header fails in many ways inside NumPy
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise DataError(
            f"{path} cannot be read as a .npy array ({reason}); save the numbers with numpy.save"
        ) from None
    return array


def require_real(array: AnyArray, path: Path) -> None:
    """Refuse an array of anything but real numbers."""
    if array.dtype.kind not in "biuf":
        raise DataError(
            f"{path} holds values of type {array.dtype}; save real numbers (integer or float)"
        )


def _only_column_of_numbers(cells: CellTable, path: Path) -> int:
    """Return the index of the one column that can be meant where none was asked for."""
    if len(cells.names) == 1:
        return 0
    # More cells that are numbers than text: a column of numbers with one slip in it is still the
    # column that is meant, and its slip is to be reported.
    candidates = [
        column
        for column, texts in enumerate(cells.columns)
        if sum(not is_missing(each) if is_value(each) else -1 for each in texts) > 0
    ]
    if not candidates:
        raise DataError(
            f"{path} has no column of numbers (columns: {listed(cells.names)}); correct its cells,"
            " or choose the column that is meant (--column)"
        )
    if len(candidates) > 1:
        raise several_columns(tuple(cells.names[column] for column in candidates), path)
    return candidates[0]


def _column_values(cells: CellTable, column: int, places: _Places) -> FloatArray:
    """Return one column as (N,) numbers, NaN where a cell is missing."""
    texts, comma = cells.columns[column], cells.decimal_commas[column]
    values = [cell_value(text, decimal_comma=bool(comma)) for text in texts]
    units = set()
    for row, (text, value) in enumerate(zip(texts, values, strict=True)):
        unit = UNIT.search(text.strip())
        if not is_missing(text):
            units.add(unit[2] or unit[3] if unit else "")
        if value is None:
            other = is_value(text)
            problem = "is not a number" + " (others have another decimal mark)" * other
        elif math.isinf(value):
            problem = "is not finite, or beyond 1.8e308"
        elif comma is None and decimal_mark(text) == "?":
            more = text.strip() + "0", text.strip() + ".,"["." in text] + "0"
            problem = f"has a decimal mark or thousands (decide: write {more[0]} or {more[1]})"
        elif len(units) > 1:
            problem = "has another unit than cells above"
        else:
            continue
        raise DataError(
            f"{places.at(row, cells.names[column])}: {quoted(text)} {problem}; correct the cell or "
            "choose another column (--column)"
        )
    return np.array(values)


def _likely_marks(values: FloatArray) -> list[float]:
    """Return the numbers in a column (N,) that are most likely marks of missing values: of a usual
    form, far from all others, and more than one unless they are large.
    """
    present = values[~np.isnan(values)]
    known = np.unique(present)
    usual = [v for v in {*known[:3], *known[-3:]} if _USUAL_MARKS.fullmatch(f"{v:.7g}")]
    rest = present[~np.isin(present, usual)]
    if not usual or not rest.size:
        return []
    with np.errstate(over="ignore", invalid="ignore"):
        low, lower, upper, high = np.quantile(rest, [0.0, 0.25, 0.75, 1.0])
        spread = (upper - lower) / NORMAL_QUARTILES or rest.std()

    def stands_out(number: float) -> bool:
        gap = max(low - number, number - high)
        far = gap > FAR * spread or (number < 0.0 <= low and gap > spread)
        several = spread > 0.0 and np.count_nonzero(present == number) > 1
        return bool(far and (several or not -999.0 < number < 9999.0))

    return sorted(filter(stands_out, usual))


def _complete(
    values: FloatArray, names: tuple[str, ...], places: _Places, missing: str
) -> FloatArray:
    """Return the values (N,C) without NaN: refused, or filled along the column; marks for missing
    values are such, and what looks like one is asked about.
    """
    marks = marks_of(missing)
    # To 1e-7, because they may have been stored in single precision.
    marked = np.isclose(values[..., np.newaxis], marks, rtol=1e-7, atol=0.0).any(axis=-1)
    values = np.where(marked, np.nan, values)
    likely = [[] if "keep" in missing else _likely_marks(column) for column in values.T]
    for name, column, found in zip(names, values.T, likely, strict=True):
        if found:
            rows = np.flatnonzero(column == found[0])
            keep = f"{missing},keep".removeprefix("refuse,")
            words = [f"{each:.9g}" for each in dict.fromkeys(marks + sum(likely, []))]
            raise DataError(
                f"{places.at(rows[0], name)}: {found[0]:.9g} stands in {rows.size} of "
                f"{len(values)} rows, far from all others; if it marks a missing value, use "
                f"--missing {','.join(words)}, if not, --missing {keep}"
            )
    absent = np.isnan(values)
    if not absent.any():
        return values
    blank = np.flatnonzero(absent.all(axis=0))
    if blank.size:
        raise DataError(
            f"column {quoted(names[blank[0]])} of {places.path} holds no number at all; "
            "choose another column (--column)"
        )
    if not (marks or "interpolate" in missing):
        row, column = np.argwhere(absent)[0]
        raise DataError(
            f"{places.at(row, names[column])}: the value is missing ({absent.sum()} in all); "
            "fill it in, or use --missing interpolate"
        )
    # Straight lines across the gaps, level at the ends.
    filled = values.copy()
    rows = np.arange(len(values))
    for column, gaps in enumerate(absent.T):
        known = values[~gaps, column]
        # A quarter, so that the rise between neighbours of opposite sign cannot overflow.
        filled[gaps, column] = 4.0 * np.interp(rows[gaps], rows[~gaps], known / 4.0)
    return filled
