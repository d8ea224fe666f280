"""Inputs for a trained network: sequences (T,B,D) as they are, from a file or as white noise, and
what is wanted of its outputs.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gradscope.arrays import FloatArray, IntArray, as_float64, counted
from gradscope.data import table
from gradscope.data.batch import Targets
from gradscope.data.columns import quoted
from gradscope.data.intake import AnyArray
from gradscope.data.series import evenly_spaced
from gradscope.errors import DataError
from gradscope.names import ErrorName

STORED = (table.ARRAY_SUFFIX, ".npz")
MAX_INPUT = 1e100
"""Inputs beyond this have squares, and products with weights, that leave float64."""

NONE = -100
"""The class that PyTorch's cross_entropy ignores."""


@dataclass(frozen=True, eq=False, slots=True)
class Layout:
    """How a file is read: sequences first, (B,T,D), or not; which columns or array; empty cells."""

    batch_first: bool = False
    column: tuple[str, ...] = ()
    missing: str = "refuse"


@dataclass(frozen=True, eq=False, slots=True)
class Recording:
    """Inputs (T,B,D), with the ``lengths`` (B,) of padded sequences, or the ``rows`` (T,B) of one
    long sequence that windows of it take; the file has so many ``recorded`` steps and sequences.
    Of a sequence that is ``shortened`` the last steps are left out.
    """

    inputs: FloatArray
    recorded: tuple[int, int]
    lengths: IntArray | None = None
    rows: IntArray | None = None
    shortened: bool = False


def read_array(path: Path, layout: Layout, option: str) -> AnyArray:
    """Read finite numbers, whole ones as such, from a ``.npy``, ``.npz``, ``.csv``, ``.tsv`` or
    ``.txt`` file.

    ``layout.column`` names the columns of a table, or one array of an ``.npz``; ``option`` is the
    flag that named the file, for messages. Raises DataError if the file cannot be read, or a number
    in it is not finite, or missing (see ``read_table``).
    """
    suffix = path.suffix.lower()
    if suffix == table.ARRAY_SUFFIX and layout.column:
        fault = f"--column {layout.column[0]} is given, but {path} is one array"
        raise DataError(f"{fault}; leave it out, or save the columns that are meant")
    if suffix in STORED:
        array = table.read_stored(path, option, layout.column)
    else:
        array = table.read_table(path, layout.column, layout.missing, every=True).values
    if array.ndim == 0 or array.size == 0:
        raise DataError(f"{path} holds an array of shape {array.shape}; save numbers ({option})")
    values = as_float64(array)
    unfit = np.abs(values) > MAX_INPUT
    if unfit.any():
        place = tuple(int(i) for i in np.argwhere(unfit)[0])
        fault = f"{values[place]} at {list(place)}, and {int(unfit.sum())} such in all"
        remedy = f"give finite numbers up to {MAX_INPUT:g} ({option})"
        raise DataError(f"{path} holds {fault}; {remedy}")
    if suffix in STORED:
        axis = int(layout.batch_first and array.ndim == 3)
        values = table.complete_array(values, path, axis, layout.missing)
    whole = array.dtype.kind in "biu" and np.abs(values).max() < 2.0**63
    whole = whole and bool((values == array).all())
    return array.astype(np.int64) if whole else values


def sequences(array: AnyArray, path: Path, *, batch_first: bool) -> FloatArray:
    """Return inputs as (T,B,D), from (T,B,D), (B,T,D) or, of one sequence, (T,D)."""
    if array.ndim not in (2, 3):
        remedy = "save (T,B,D), or (T,D) for one sequence (--data)"
        raise DataError(f"{path} holds an array of shape {array.shape}; {remedy}")
    values = as_float64(array)
    if values.ndim == 2:
        return values[:, None]
    return np.ascontiguousarray(values.swapaxes(0, 1)) if batch_first else values


def embedded(ids: AnyArray, path: Path, name: str, vectors: FloatArray) -> FloatArray:
    """Return the rows of an embedding (V,D) at token ids (T,B), (B,T) or (T,)."""
    unfit = (ids < 0) | (ids >= len(vectors)) | (ids % 1 != 0)
    if ids.ndim not in (1, 2) or unfit.any():
        place = tuple(map(int, np.argwhere(unfit)[0])) if unfit.any() else ()
        held = f"{ids[place]:g} at {list(place)}" if place else f"an array of shape {ids.shape}"
        fault = f"{held} as token ids, but {quoted(name)} has {len(vectors)} rows"
        remedy = f"give whole numbers from 0 to {len(vectors) - 1}, (T,B) or (B,T)"
        raise DataError(f"{path} holds {fault}; {remedy} (--data, --embedding)")
    return vectors[ids.astype(np.int64)]


def read_lengths(path: Path, steps: int, count: int) -> IntArray:
    """Return how many of so many steps each of so many sequences has, (B,)."""
    lengths = read_array(path, Layout(missing="keep"), "--lengths").ravel()
    if lengths.size != count or not np.isin(lengths, np.arange(1, steps + 1)).all():
        fault = f"{lengths.size} numbers from {lengths.min():g} to {lengths.max():g}"
        remedy = f"give {count}, the steps of each sequence, from 1 to {steps} (--lengths)"
        raise DataError(f"{path} holds {fault}; {remedy}")
    return lengths.astype(np.int64)


def cut(
    inputs: FloatArray, lengths: IntArray | None, steps: int | None, count: int | None
) -> Recording:
    """Return the first steps of the first sequences (None: all). Where one sequence lasts twice as
    long or longer, windows of so many steps, spread evenly, none overlapping (None: all of them).
    """
    recorded = total, most = inputs.shape[0], inputs.shape[1]
    if most == 1 and lengths is None and steps is not None and total >= 2 * steps:
        rows = evenly_spaced(total // steps, count or total) * steps
        rows = rows + np.arange(steps)[:, np.newaxis]
        return Recording(inputs[rows, 0], recorded, rows=rows)
    shortened = steps is not None and steps < (total if lengths is None else lengths[:count].max())
    if lengths is not None:
        lengths = np.minimum(lengths[:count], total if steps is None else steps)
        inputs = np.where(counted(lengths, total, lengths.size)[..., None], inputs[:, :count], 0.0)
        steps = int(lengths.max())
    inputs = np.ascontiguousarray(inputs[:steps, :count])
    return Recording(inputs, recorded, lengths, shortened=bool(shortened))


def read_targets(path: Path, layout: Layout, of: Recording, width: int) -> Targets:
    """Return what is wanted of ``width`` outputs O: (T,B,O) for each step, or (B,O) for the last
    step of each sequence. Integers, or whole numbers of a text, without an axis for O are classes
    (of one output if all are 0 or 1), −100 is none, as in PyTorch; else the error is squared.
    """
    array = read_array(path, layout, "--targets")
    (steps, count), shape, whole = of.recorded, of.inputs.shape[:2], array.dtype.kind == "i"
    if path.suffix.lower() not in STORED and (width == 1 or array.shape[1] != width):
        whole = not (array % 1).any()
    held = counted(of.lengths, *shape)
    if array.ndim < 3:
        array = array.reshape(len(array), -1)
        array = array[:, :, None] if whole or width == 1 else array[:, None]
    if layout.batch_first and array.shape[:2] == (count, steps):
        array = array.swapaxes(0, 1)
    lead = array.shape[:2]
    if of.rows is not None:
        array = array[of.rows, 0] if lead == (steps, 1) else array[:0]
    elif lead != (steps, count) and lead in ((1, count), (count, 1)):
        if of.shortened:
            raise DataError(f"{path} holds targets of last steps; leave --steps {shape[0]} out")
        held[:-1] &= ~held[1:]  # The last step of each.
        array = np.broadcast_to(array.reshape(1, count, -1), (steps, count, array.shape[2]))
    array = array[: shape[0], : shape[1]]
    classes = whole and array.shape[2] == 1 and (width > 1 or np.isin(array, (0, 1, NONE)).all())
    if array.shape != (*shape, 1 if classes else width):
        fault = f"targets of shape {lead}, but the outputs (T,B,O) are {(*shape, width)}"
        remedy = "give one for every step, or (B,O), or classes as whole numbers (--targets)"
        raise DataError(f"{path} holds {fault}; {remedy}")
    if not classes:
        return Targets(as_float64(array, order="C"), held)
    held &= array[..., 0] != NONE
    known = np.arange(max(width, 2))
    unfit = array[held & ~np.isin(array[..., 0], known)]
    if unfit.size or not held.any():
        fault = f"class {unfit[0, 0]:.0f}" if unfit.size else "no class"
        remedy = f"give classes 0 to {known[-1]}, or {NONE} for none (--targets)"
        raise DataError(f"{path} holds {fault}, but there are {width} outputs; {remedy}")
    return Targets(as_float64(array == known[-width:]), held, ErrorName.CROSS_ENTROPY)


def standardised(inputs: FloatArray, lengths: IntArray | None) -> FloatArray:
    """Return inputs (T,B,D) of mean 0 and deviation 1 over what counts; a constant is 0."""
    rows = inputs[counted(lengths, *inputs.shape[:2])]
    centred, scale = inputs - rows.mean(axis=0), rows.std(axis=0)
    return np.asarray(centred / np.where(scale > 0.0, scale, 1.0))
