"""Joining stores, as the shards of one sweep leave them.

The same cell in two stores is one cell. Where both are done their results must be the same to the
last bit: if they are not, two machines disagree about the same settings, and that is said, not
settled. A done cell wins over a failed one.
"""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradscope.errors import ArchiveError, OutputError
from gradscope.sweep.cell import CURVES, SCALARS, Status
from gradscope.sweep.query import Rows, read_rows
from gradscope.sweep.store import INSERT, columns, open_store

Row = tuple[Any, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Merged:
    """How many stores were joined, how many cells came of it, how many of them failed, and how
    many rows were duplicates.
    """

    stores: int
    cells: int
    failed: int
    duplicates: int


def merge_stores(sources: Sequence[Path], target: Path) -> Merged:
    """Write the union of stores into a new one, which appears whole or not at all.

    Parameters
    ----------
    sources : sequence of Path
        Stores; they are read only.
    target : Path
        The new store; what stood there is replaced at the end.

    Raises
    ------
    ArchiveError
        If a source is no store of this version, or two of them hold different results for one cell.
    OutputError
        If the target cannot be written.
    """
    joined: dict[str, tuple[Row, Path]] = {}
    read = 0
    for path in sources:
        rows = read_rows(path)
        read += len(rows.values)
        _join(joined, rows, path)
    _write([row for row, _ in joined.values()], target)
    status = tuple(columns()).index("status")
    failed = sum(row[status] == Status.FAILED for row, _ in joined.values())
    return Merged(len(sources), len(joined), failed, read - len(joined))


def _join(joined: dict[str, tuple[Row, Path]], rows: Rows, path: Path) -> None:
    """Add the rows of one store to those of the others."""
    places = {name: place for place, name in enumerate(rows.columns)}
    key, status = places["key"], places["status"]
    results = [(name, places[name]) for name in (*SCALARS, *CURVES)]
    for row in rows.values:
        before = joined.get(row[key])
        if before is None or before[0][status] == Status.FAILED:
            joined[row[key]] = (row, path)
        elif row[status] == Status.DONE:
            other, where = before
            for name, place in results:
                if row[place] != other[place]:
                    raise ArchiveError(
                        f"{where} and {path} disagree about cell {row[key][:12]} in {name}; find "
                        "out which is right (versions, BLAS threads), and leave the other out"
                    )


def _write(rows: Sequence[Row], target: Path) -> None:
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with open_store(beside) as store:
            store.insert(rows, INSERT)
        beside.replace(target)
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {error.strerror}") from error
    finally:
        for leftover in (beside, beside.with_name(f"{beside.name}-journal")):
            with contextlib.suppress(OSError):
                leftover.unlink(missing_ok=True)
