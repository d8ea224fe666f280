"""Inputs for a trained network: sequences (T,B,D) as they are, from a file or as white noise."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gradscope.arrays import FloatArray, as_float64
from gradscope.data import table
from gradscope.data.columns import listed, quoted
from gradscope.data.intake import AnyArray, Intake, ZipMembers, opened
from gradscope.errors import DataError

ARCHIVE_SUFFIX = ".npz"
MAX_INPUT = 1e100
"""Inputs beyond this have squares, and products with weights, that leave float64."""


@dataclass(frozen=True, eq=False, slots=True)
class Layout:
    """How a file is read: sequences first, (B,T,D), or not; which columns or array; empty cells."""

    batch_first: bool = False
    column: tuple[str, ...] = ()
    missing: str = "refuse"


def read_sequences(path: Path, layout: Layout, option: str = "--data") -> FloatArray:
    """Read finite sequences (T,B,D) from a ``.npy``, ``.npz``, ``.csv``, ``.tsv`` or ``.txt`` file.

    An array is (T,B,D), or (T,D) for one sequence; a table has a column for each of D.
    ``layout.column`` names the columns of a table, or one array of an ``.npz``; ``option`` is the
    flag that named the file, for messages. Raises DataError if the file cannot be read, has another
    number of dimensions, or a number in it is missing or not finite.
    """
    suffix = path.suffix.lower()
    if suffix in table.TEXT_SUFFIXES:
        return table.read_table(path, layout.column, layout.missing, every=True).values[:, None]
    if suffix == table.ARRAY_SUFFIX:
        if layout.column:
            raise DataError(
                f"--column {layout.column[0]} is given, but {path} is an array of inputs as they "
                "are; leave it out, or save the columns that are meant"
            )
        array = table.read_npy(path, option)
    elif suffix == ARCHIVE_SUFFIX:
        array = _member(path, layout.column, option)
    else:
        kinds = f"{table.ARRAY_SUFFIX}, {ARCHIVE_SUFFIX} or {', '.join(table.TEXT_SUFFIXES)}"
        raise DataError(
            f"{path} is not a {kinds} file; convert it, or rename it if it is one ({option})"
        )
    return _sequences(array, path, batch_first=layout.batch_first, option=option)


def _member(path: Path, column: tuple[str, ...], option: str) -> AnyArray:
    """Return the only array of an archive, or the one that is asked for."""
    with opened(path, DataError, option) as file:
        intake = Intake(path, DataError)
        with intake.reading("a NumPy archive", "save the inputs with numpy.savez"):
            members = ZipMembers(file, intake)
            arrays = {name.removesuffix(".npy"): name for name in members.names}
            asked = column or tuple(arrays)
            if len(asked) == 1 and asked[0] in arrays:
                return intake.array(members.read(arrays[asked[0]]), asked[0])
    wanted = f"no array {quoted(column[0])}" if column else f"{len(arrays)} arrays"
    raise DataError(f"{path} has {wanted}: {listed(tuple(arrays))}; choose one with --column")


def _sequences(array: AnyArray, path: Path, *, batch_first: bool, option: str) -> FloatArray:
    """Return an array as (T,B,D) of finite numbers."""
    table.require_real(array, path)
    order = "(B,T,D)" if batch_first else "(T,B,D)"
    if array.ndim not in (2, 3) or array.size == 0:
        raise DataError(
            f"{path} holds an array of shape {array.shape}; save {order}, or (T,D) for one "
            f"sequence ({option})"
        )
    values = as_float64(array)
    unfit = ~(np.abs(values) <= MAX_INPUT)  # NaN too
    if unfit.any():
        place = tuple(int(i) for i in np.argwhere(unfit)[0])
        raise DataError(
            f"{path} holds {values[place]} at {list(place)}, and {int(unfit.sum())} such in all; "
            f"give finite numbers up to {MAX_INPUT:g} ({option})"
        )
    if values.ndim == 2:
        return values[:, None]
    return np.ascontiguousarray(values.swapaxes(0, 1)) if batch_first else values


def standardised(inputs: FloatArray) -> FloatArray:
    """Return inputs (T,B,D) of mean 0 and deviation 1 over steps and sequences; a constant is 0."""
    centred = inputs - inputs.mean(axis=(0, 1))
    scale = centred.std(axis=(0, 1))
    scaled: FloatArray = centred / np.where(scale > 0.0, scale, 1.0)
    return scaled


def white_noise(
    rng: np.random.Generator, steps: int, sequences: int, n_inputs: int, scale: float
) -> FloatArray:
    """Return independent normal inputs (T,B,D) of standard deviation ``scale``."""
    return scale * rng.standard_normal((steps, sequences, n_inputs))
