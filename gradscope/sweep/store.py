"""The store of a sweep: one SQLite file with one row for every finished cell.

Three tables: ``cells``, whose columns are the key, the status, every setting by its name, the
results (``sweep.cell``), how the row came about, and the curves as little-endian float64; ``meta``,
names and values that say which schema and algorithm wrote the file; and ``environments``, by the
key of a cell what computed it, as JSON (``machine.environment``; absent in older stores).

There is one writer, the parent of the sweep; a row is committed as soon as its cell ends, so that a
kill at any moment loses only what still ran. The journal is SQLite's rollback journal, since the
shared memory of its write-ahead log does not work on the network file systems of clusters
(https://sqlite.org/wal.html, section 1). A commit costs about a millisecond.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import gradscope
from gradscope.analysis.settings import setting_kinds
from gradscope.errors import ArchiveError, OutputError
from gradscope.sweep.cell import CURVES, SCALARS, Outcome, Status
from gradscope.sweep.grid import ALGORITHM_VERSION

OLDER_ALGORITHMS = [str(version) for version in range(1, ALGORITHM_VERSION)]
SCHEMA_VERSION = 1
APPLICATION_ID = 0x67726473
"""Marks the file as a store of gradscope ("grds"), for ``file`` and for ourselves."""

LOCK_PATIENCE = 30.0
"""Seconds to wait for a reader or writer who holds the file."""

HEAD = {"key": "TEXT PRIMARY KEY NOT NULL", "status": "TEXT NOT NULL", "error": "TEXT"}
TAIL = {
    "attempts": "INTEGER NOT NULL",
    "duration_seconds": "REAL NOT NULL",
    "finished_at": "TEXT NOT NULL",
    "gradscope": "TEXT NOT NULL",
    "algorithm": "INTEGER",
    "python": "TEXT NOT NULL",
    "numpy": "TEXT NOT NULL",
    "traceback": "TEXT",
}
NO_DATABASE = ("SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_ERROR")
"""What SQLite says of a file that is no database of ours."""

ENVIRONMENTS = (
    "CREATE TABLE IF NOT EXISTS environments (key TEXT PRIMARY KEY NOT NULL, environment TEXT)"
)

_SQL_TYPES = {int: "INTEGER", float: "REAL", bool: "INTEGER"}


def setting_columns() -> dict[str, str]:
    """Return a column for every setting (``required_lag`` is a result), with its SQL type."""
    return {
        name: _SQL_TYPES.get(getattr(kind, "__args__", (kind,))[0], "TEXT")
        for name, kind in setting_kinds().items()
        if name not in SCALARS
    }


def columns() -> dict[str, str]:
    """Return all columns of ``cells`` in order, with their SQL types."""
    return {**HEAD, **setting_columns(), **SCALARS, **TAIL, **dict.fromkeys(CURVES, "BLOB")}


@dataclass(frozen=True, eq=False, slots=True)
class Store:
    """An open store. Make one with ``open_store``; it closes at the end of ``with``."""

    path: Path
    connection: sqlite3.Connection

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def statuses(self) -> dict[str, Status]:
        """Return the status of every cell in the store, by key."""
        found = self.connection.execute("SELECT key, status FROM cells")
        return {key: Status(status) for key, status in found}

    def save(self, outcomes: Iterable[Outcome]) -> None:
        """Write outcomes in one transaction: all of them or, on an error, none.

        A cell that is done is never written again; a failed one is, and its attempts are counted.
        OutputError if the disk is full, or the file cannot be written; what was in it stays.
        """
        if ended := list(outcomes):
            environments = {each.cell.key: json.dumps(each.environment) for each in ended}
            self.insert([row_of(each) for each in ended], environments, _UPSERT)

    def insert(
        self, rows: Sequence[Sequence[Any]], environments: Mapping[str, str], statement: str
    ) -> None:
        """Write rows, in the order of ``columns``, and what computed them in one transaction."""
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            self.connection.executemany(_SET_ENVIRONMENT, environments.items())
            self.connection.executemany(statement, (tuple(map(_bound, row)) for row in rows))
            self.connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise OutputError(_what_failed(self.path, error)) from error
        finally:
            # What was not committed is taken back; on some errors SQLite has done so already.
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")


def _bound(value: Any) -> Any:
    return os.fsencode(value) if isinstance(value, str) and not value.isascii() else value


def _insertion(conflict: str) -> str:
    names = ", ".join(f'"{name}"' for name in columns())
    # The name of a file need not be UTF-8: it comes as bytes, and is a text in the store.
    kinds = columns().values()
    marks = ", ".join("CAST(? AS TEXT)" if kind[:4] == "TEXT" else "?" for kind in kinds)
    return f"INSERT INTO cells ({names}) VALUES ({marks}) ON CONFLICT(key) DO {conflict}"  # noqa: S608 (our own names)


_UPDATES = ", ".join(
    f'"{name}" = excluded."{name}"' for name in columns() if name not in ("key", "attempts")
)
_UPSERT = _insertion(
    f"UPDATE SET {_UPDATES}, attempts = attempts + 1 WHERE status = '{Status.FAILED}'"
)
_SET_ENVIRONMENT = (
    "INSERT INTO environments SELECT ?1, ?2 "
    "WHERE NOT EXISTS (SELECT 1 FROM cells WHERE key = ?1 AND status = 'done') "
    "ON CONFLICT(key) DO UPDATE SET environment = excluded.environment"
)
INSERT = _insertion("NOTHING")
"""For rows whose key is known to be new."""


def row_of(outcome: Outcome) -> tuple[Any, ...]:
    """Return an outcome as a row in the order of ``columns``."""
    settings = outcome.cell.settings.as_dict()
    values = {name: settings[name] for name in setting_columns()} | {
        **outcome.numbers,
        "key": outcome.cell.key,
        "status": str(outcome.status),
        "error": outcome.error,
        "attempts": 1,
        "duration_seconds": outcome.duration,
        "finished_at": outcome.finished_at,
        "gradscope": outcome.gradscope,
        "algorithm": outcome.algorithm,
        "python": outcome.environment["python"],
        "numpy": outcome.environment["numpy"],
        "traceback": outcome.trace,
    }
    found = map(values.get, columns())
    return tuple(json.dumps(each) if isinstance(each, list) else each for each in found)


def open_store(path: Path) -> Store:
    """Open a store for writing, and make it where there is none. ArchiveError if it is no store, or
    of another schema or algorithm version; OutputError if it cannot be created or written.
    """
    if path.is_dir() or not path.parent.is_dir():
        where = path if path.is_dir() else path.parent
        fault = "is a folder; name a file in it" if path.is_dir() else "is not a folder; create it"
        raise OutputError(f"{where} {fault}")
    with ExitStack() as on_error:
        try:
            # Autocommit: every transaction is begun and ended in sight.
            connection = sqlite3.connect(path, timeout=LOCK_PATIENCE, isolation_level=None)
            on_error.callback(connection.close)
            if _is_empty(connection):
                _create(connection)
            check_schema(path, connection)
            connection.execute(ENVIRONMENTS)
        except sqlite3.Error as error:
            raise OutputError(_what_failed(path, error)) from error
        on_error.pop_all()
    return Store(path, connection)


def _is_empty(connection: sqlite3.Connection) -> bool:
    """Whether the file holds nothing: it is new, or a kill came while it was made."""
    # Looking inside also takes back what a kill left half written, which the file's size counts.
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorname not in NO_DATABASE:
            raise
        return False
    return bool(pages == 0)


def _create(connection: sqlite3.Connection) -> None:
    """Make the tables in one transaction, so that a kill leaves an empty file or a whole schema."""
    fields = ",\n  ".join(f'"{name}" {kind}' for name, kind in columns().items())
    connection.execute("BEGIN IMMEDIATE")
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if not tables[0]:
        connection.execute(f"CREATE TABLE cells (\n  {fields}\n)")
        connection.execute("CREATE TABLE meta (name TEXT PRIMARY KEY NOT NULL, value TEXT)")
        marks = {
            "schema": "gradscope.sweep",
            "schema_version": str(SCHEMA_VERSION),
            "algorithm_version": str(ALGORITHM_VERSION),
            "gradscope": gradscope.__version__,
        }
        connection.executemany("INSERT INTO meta VALUES (?, ?)", marks.items())
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")


def check_schema(
    path: Path, connection: sqlite3.Connection, *, reading: bool = False
) -> dict[str, str]:
    """Refuse with an ArchiveError a file that is no store, or one of another version; for
    ``reading``, older algorithms will do. Returns an SQL expression for each column that an older
    store lacks: NULL, or its version of the algorithm.
    """
    try:
        (mark,) = connection.execute("PRAGMA application_id").fetchone()
        found = dict(connection.execute("SELECT name, value FROM meta")) if mark else {}
        present = [row[1] for row in connection.execute("PRAGMA table_info(cells)")]
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorname not in NO_DATABASE:
            raise
        mark, found, present = 0, {}, []
    if mark != APPLICATION_ID:
        raise ArchiveError(
            f"{path} is not a gradscope store; name a file that gradscope sweep wrote, or a new one"
        )
    older = reading and found.get("algorithm_version") in OLDER_ALGORITHMS
    for what, wanted in (("schema", SCHEMA_VERSION), ("algorithm", ALGORITHM_VERSION)):
        version = found.get(f"{what}_version")
        if version != str(wanted) and not (older and what == "algorithm"):
            raise ArchiveError(
                f"{path} was written by {what} version {version}, but this is {what} version "
                f"{wanted}; name another file, or use gradscope {found.get('gradscope')}, which "
                "made it"
            )
    lacking = [name for name in columns() if name not in present]
    if present != [name for name in columns() if name not in lacking or not older]:
        raise ArchiveError(
            f"{path} has other columns than gradscope {gradscope.__version__} writes "
            f"(it was made by {found.get('gradscope')}); use that version, or another file"
        )
    version = found["algorithm_version"]
    return {name: version if name == "algorithm" else "NULL" for name in lacking}


def _what_failed(path: Path, error: sqlite3.Error) -> str:
    """Return an SQLite error as one line with its remedy."""
    name = getattr(error, "sqlite_errorname", None) or ""
    if name == "SQLITE_FULL" or name.startswith("SQLITE_IOERR"):
        return (
            f"{path} cannot be written ({error}): the disk is full or the file may not grow; what "
            "it holds is kept; free some space and run the same command again"
        )
    if name.startswith("SQLITE_BUSY"):
        return f"{path} is held by another process ({error}); wait for it to end"
    return f"{path} cannot be written ({error}); choose another place"
