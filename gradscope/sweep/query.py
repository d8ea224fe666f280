"""Reading a store: rows of ``cells``, all or those for which an SQL condition holds.

The condition comes from the command line, so it is given no chance to harm: the file is opened
read-only, the connection refuses to write, and an authorizer allows it to read the table ``cells``
and to call functions of numbers and texts, nothing else.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gradscope.errors import ArchiveError, SettingError
from gradscope.notebook_repr import CompactRepr
from gradscope.sweep.cell import CURVES, columns, setting_columns
from gradscope.sweep.store import LOCK_PATIENCE, check_schema, error_name, trouble_with, whole_rows

ALLOWED = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION})
FORBIDDEN_FUNCTIONS = frozenset({"load_extension", "fts3_tokenizer", "randomblob", "zeroblob"})

MAX_STEPS = 200_000_000
"""Instructions of SQLite's machine that a condition may take: some seconds, then it is stopped."""

STEPS_BETWEEN_LOOKS = 1_000_000

COUNTS = ("max(rowid) FROM cells", "count(*) FROM cells", "count(*) FROM environments")
MOST_IN_A_PAGE = 16
"""Rows, of 300 bytes or more; ``COUNTS`` is where else a store says how many there are."""

OF_FILE = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_IOERR", "SQLITE_BUSY", "SQLITE_LOCKED")
"""Errors that no condition makes."""


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Rows(CompactRepr):
    """Rows of a store: the names of the columns, and a tuple of their values for each row."""

    columns: tuple[str, ...]
    values: tuple[tuple[Any, ...], ...]

    def column(self, name: str) -> tuple[Any, ...]:
        """Return the values of one column."""
        place = self.columns.index(name)
        return tuple(row[place] for row in self.values)


def read_rows(
    path: Path, where: str | None = None, names: Sequence[str] | None = None, *, curves: bool = True
) -> Rows:
    """Return rows of the store at ``path``, sorted by their settings.

    ``where`` is an SQL condition on the columns of ``cells``, such as ``activation = 'tanh' AND
    gain > 1``; ``names`` are columns, all by default, with the curves (as bytes; see
    ``cell.curve_from_blob``) only if ``curves``. Raises ArchiveError if it is no store or one of
    another version, SettingError if the condition is no SQL, reads anything but ``cells``, or takes
    too long.
    """
    chosen = tuple(names or (name for name in columns() if curves or name not in CURVES))
    with closing(_open_read_only(path)) as connection, _readable(path, where):
        lacking = check_schema(path, connection, reading=True)
        listed = ", ".join(lacking.get(name, f'"{name}"') for name in chosen)
        known = (name for name in (*setting_columns(), "key") if name not in lacking)
        order = ", ".join(f'"{name}"' for name in known)
        # Not forever: the handler stops the condition once the snapshots are used up.
        snapshots = iter(range(MAX_STEPS // STEPS_BETWEEN_LOOKS))
        connection.set_authorizer(_authorize)
        connection.set_progress_handler(lambda: next(snapshots, -1) == -1, STEPS_BETWEEN_LOOKS)
        condition = f"WHERE (\n{where}\n)" if where is not None else ""
        query = f"SELECT {listed} FROM cells {condition} ORDER BY {order}"  # noqa: S608 (confined)
        return Rows(chosen, tuple(whole_rows(chosen, connection.execute(query))))


def salvaged_rows(path: Path) -> tuple[Rows, int | None]:
    """Return the whole rows of a store, read one by one, and how many it lost (None: unknown)."""
    names, whole = tuple(columns()), list[tuple[Any, ...]]()
    counts: list[int] = []
    with closing(_open_read_only(path)) as connection, _readable(path):
        # SQLite then reads a file, too, that is shorter than its header says.
        connection.execute("PRAGMA writable_schema = ON")
        lacking = check_schema(path, connection, reading=True)
        listed = ", ".join(lacking.get(name, f'"{name}"') for name in names)
        most = MOST_IN_A_PAGE * connection.execute("PRAGMA page_count").fetchone()[0]
        for query in COUNTS:
            with suppress(sqlite3.Error):
                found = connection.execute(f"SELECT {query}")
                counts += (n for (n,) in found if n and n <= most)
        # No sweep deletes rows: their numbers are 1 to their count.
        for number in range(1, max(counts, default=most) + 1):
            with suppress(sqlite3.Error):
                one = f"SELECT {listed} FROM cells WHERE rowid = ?"  # noqa: S608 (our own names)
                whole += whole_rows(names, connection.execute(one, (number,)))
    return Rows(names, tuple(whole)), max(counts) - len(whole) if counts else None


def read_environments(path: Path) -> dict[str, str]:
    """Return what computed each cell, as JSON by the cell's key; empty for an older store."""
    with closing(_open_read_only(path)) as connection, _readable(path):
        check_schema(path, connection, reading=True)
        made = "SELECT count(*) FROM sqlite_master WHERE name = 'environments'"
        if not connection.execute(made).fetchone()[0]:
            return {}
        found = connection.execute("SELECT key, environment FROM environments")
        return dict(whole_rows(("key", "environment"), found))


@contextmanager
def _readable(path: Path, where: str | None = None) -> Iterator[None]:
    """Within, an error of SQLite is the fault of the condition, or of the file if there is none."""
    try:
        yield
    except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
        if where is None or error_name(error).startswith(OF_FILE):
            raise trouble_with(path, error, reading=True) from error
        # An open quote swallows the rest of the query: its first line is all that was the person's.
        text = str(error).partition("\n")[0].rstrip(".")
        known = {"interrupted": "it takes too long", "not authorized": "it reads more than cells"}
        remedy = "give a condition on the columns of cells, as in \"cell = 'gru' AND gain > 1\""
        fault = known.get(text, text)
        raise SettingError(f"--where is {where!r}, but SQLite says: {fault}; {remedy}") from error


def _open_read_only(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise ArchiveError(f"{path} does not exist or is not a file; name a sweep's store")
    with _readable(path):
        if path.with_name(f"{path.name}-journal").exists():
            # SQLite takes back what a killed sweep had half written; only a writer may do that.
            with closing(sqlite3.connect(path, timeout=LOCK_PATIENCE)) as writer:
                writer.execute("SELECT count(*) FROM sqlite_master")
        address = f"file:{quote(os.fsencode(path.resolve()))}?mode=ro"
        connection = sqlite3.connect(address, uri=True, timeout=LOCK_PATIENCE)
        connection.execute("PRAGMA query_only = ON")
        connection.text_factory = os.fsdecode
    return connection


def _authorize(
    action: int, first: str | None, second: str | None, _database: str | None, _inner: str | None
) -> int:
    denied = (
        action not in ALLOWED
        or (action == sqlite3.SQLITE_READ and first != "cells")
        or (action == sqlite3.SQLITE_FUNCTION and second in FORBIDDEN_FUNCTIONS)
    )
    return sqlite3.SQLITE_DENY if denied else sqlite3.SQLITE_OK
