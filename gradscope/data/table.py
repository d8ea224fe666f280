"""A data file, separated text or NumPy's ``.npy``, as named columns of finite numbers (N,C)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gradscope.arrays import FloatArray, as_float64
from gradscope.data.columns import choose_columns, listed, quoted, several_columns
from gradscope.data.delimited import CellTable, cell_value, is_value, parse_cells
from gradscope.data.intake import AnyArray, Intake, content
from gradscope.errors import DataError
from gradscope.names import MissingCells

TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
ARRAY_SUFFIX = ".npy"


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
    missing: MissingCells = MissingCells.REFUSE,
    *,
    every: bool = False,
) -> Table:
    """Read columns of numbers from a ``.csv``, ``.tsv``, ``.txt`` or ``.npy`` file: text, with or
    without a header (see ``delimited.parse_cells``), or an array (N,) or (N,C).

    ``columns`` are names, or numbers counted from 1; a name wins. None asks for the only column of
    numbers, or with ``every`` for all columns of a text. ``missing`` cells (also NA, NaN, null,
    None, ``?``, ``-``) are refused, or filled by the line between their neighbours, at the ends by
    the nearest value. Raises DataError if the file cannot be read, a column is not there or not the
    only choice, or a cell is missing, infinite or not a number.
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


def _read_text(
    path: Path, columns: tuple[str, ...], missing: MissingCells, *, every: bool
) -> Table:
    cells = parse_cells(content(path, DataError, "--data"), str(path))
    if every and not columns:
        chosen = list(range(len(cells.names)))
    elif columns:
        chosen = choose_columns(columns, cells.names, path)
    else:
        chosen = [_only_column_of_numbers(cells, path)]
    places = _Places(path, "line", cells.lines)
    values = np.column_stack([_column_values(cells, column, places) for column in chosen])
    names = tuple(cells.names[column] for column in chosen)
    return Table(names, _complete(values, names, places, missing))


def _read_array(path: Path, columns: tuple[str, ...], missing: MissingCells) -> Table:
    array = read_npy(path)
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


def read_npy(path: Path, option: str = "--data") -> AnyArray:
    """Return the array in a ``.npy`` file."""
    raw, intake = content(path, DataError, option), Intake(path, DataError)
    with intake.reading("a .npy array", "save the numbers with numpy.save"):
        return intake.array(raw, path.name)


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
    candidates = []
    for column, texts in enumerate(cells.columns):
        numbers = slips = 0
        for cell in texts:
            try:
                numbers += not math.isnan(cell_value(cell, decimal_comma=cells.decimal_comma))
            except ValueError:
                slips += 1
        if numbers > slips:
            candidates.append(column)
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
    texts, comma = cells.columns[column], cells.decimal_comma
    try:
        values = np.array([cell_value(text, decimal_comma=comma) for text in texts])
    except ValueError:
        row = [is_value(text, decimal_comma=comma) for text in texts].index(False)
        problem = "is not a number"
    else:
        if not np.isinf(values).any():
            return values
        row = int(np.isinf(values).argmax())
        problem = "is not finite, or beyond 1.8e308"
    hint = " (decimal commas need ; or tab between cells, and no decimal points)"
    raise DataError(
        f"{places.at(row, cells.names[column])}: {quoted(texts[row])} {problem}"
        f"{hint if ',' in texts[row] else ''}; correct the cell or choose another column (--column)"
    )


def _complete(
    values: FloatArray, names: tuple[str, ...], places: _Places, missing: MissingCells
) -> FloatArray:
    """Return the values (N,C) without NaN: refused, or filled along the column."""
    absent = np.isnan(values)
    if not absent.any():
        return values
    blank = np.flatnonzero(absent.all(axis=0))
    if blank.size:
        raise DataError(
            f"column {quoted(names[blank[0]])} of {places.path} holds no number at all; "
            "choose another column (--column)"
        )
    if missing is MissingCells.REFUSE:
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
