"""The store of a sweep: one SQLite file with one row for every finished cell.

Three tables: ``cells`` (its columns: ``sweep.cell``); ``meta``, which schema wrote the file;
and ``environments``, by the key of a cell what computed it, as JSON (absent in older stores).

There is one writer, the parent of the sweep; a row is committed as soon as its cell ends, so that a
kill at any moment loses only what still ran. The journal is SQLite's rollback journal, since the
shared memory of its write-ahead log does not work on the network file systems of clusters
(https://sqlite.org/wal.html, section 1). A commit costs about a millisecond.
"""

import json
import os
import shlex
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import gradscope
from gradscope.errors import ArchiveError, GradscopeError, OutputError
from gradscope.sweep.cell import HEAD, TAIL, Outcome, Status, columns, fits, setting_columns
from gradscope.sweep.grid import ADDED_SETTINGS, ALGORITHM_VERSION

OLDER_ALGORITHMS = [str(version) for version in range(1, ALGORITHM_VERSION)]
SCHEMA_VERSION = 1
APPLICATION_ID = 0x67726473
"""Marks the file as a store of gradscope ("grds"), for ``file`` and for ourselves."""

LOCK_PATIENCE = 30.0
"""Seconds to wait for a reader or writer who holds the file."""

NO_STORE = "is not a gradscope store; name a file that gradscope sweep wrote, or a new one"
ENVIRONMENTS = (
    "CREATE TABLE IF NOT EXISTS environments (key TEXT PRIMARY KEY NOT NULL, environment TEXT)"
)


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
        """Return the status of every cell in the store, by key; ArchiveError if it is damaged."""
        try:
            names = ", ".join(f'"{name}"' for name in columns())
            query = f"SELECT {names} FROM cells"  # noqa: S608 (our own names)
            found = whole_rows([*columns()], self.connection.execute(query))
            return {row[0]: Status(row[1]) for row in found}
        except sqlite3.Error as error:
            raise trouble_with(self.path, error) from error

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
            raise trouble_with(self.path, error) from error
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
    settings, same = outcome.cell.settings.as_dict(), (*HEAD, *TAIL)
    values = {name: settings[name] for name in setting_columns()} | {
        **outcome.numbers,
        **{name: getattr(outcome, name) for name in same if hasattr(outcome, name)},
        "key": outcome.cell.key,
        "status": str(outcome.status),
        "attempts": 1,
        "duration_seconds": outcome.duration,
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
            connection.text_factory = os.fsdecode
            on_error.callback(connection.close)
            # Looking inside also takes back what a kill left half written, which the size counts.
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if connection.execute("PRAGMA page_count").fetchone() == (0,):
                _create(connection)
            added = check_schema(path, connection)
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise sqlite3.OperationalError(found)
            connection.execute(ENVIRONMENTS)
            for name in added:
                connection.execute(f'ALTER TABLE cells ADD "{name}" {columns()[name]}')
        except sqlite3.Error as error:
            raise trouble_with(path, error) from error
        on_error.pop_all()
    return Store(path, connection)


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
    store lacks, such as a setting added since: NULL, or its version of the algorithm.
    """
    (mark,) = connection.execute("PRAGMA application_id").fetchone()
    if mark != APPLICATION_ID:
        raise ArchiveError(f"{path} {NO_STORE}")
    found = dict(connection.execute("SELECT name, value FROM meta"))
    listed = connection.execute("SELECT name FROM pragma_table_info('cells')")
    present = [name for (name,) in listed]
    made, remedy = found.get("gradscope"), "name another file"
    if made != gradscope.__version__:
        remedy += f", or use gradscope {made}, which made it"
    older = reading and found.get("algorithm_version") in OLDER_ALGORITHMS
    for what, wanted in (("schema", SCHEMA_VERSION), ("algorithm", ALGORITHM_VERSION)):
        version = found.get(f"{what}_version")
        if version != str(wanted) and not (older and what == "algorithm"):
            fault = f"was written by {what} version {version}, but this is {what} version {wanted}"
            raise ArchiveError(f"{path} {fault}; {remedy}")
    lacking = [name for name in columns() if name not in present]
    if {*present}.difference(columns()) or not (older or {*lacking} <= {*ADDED_SETTINGS}):
        fault = f"has other columns than gradscope {gradscope.__version__} writes"
        raise ArchiveError(f"{path} {fault}; {remedy}")
    version = found["algorithm_version"]
    return {name: version if name == "algorithm" else "NULL" for name in lacking}


def whole_rows(names: Sequence[str], found: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Yield rows as they are; at one that no sweep wrote so, raise what SQLite does for damage."""
    for row in found:
        for name, value in zip(names, row, strict=True):
            if not fits(name, value):
                raise sqlite3.OperationalError(f"column {name} of a row holds what no sweep writes")
        yield row


def error_name(error: Exception) -> str:
    """Return SQLite's name of an error; Python's of damage, such as no UTF-8, have none."""
    damage = "SQLITE_CORRUPT" if isinstance(error, sqlite3.OperationalError) else ""
    return str(getattr(error, "sqlite_errorname", damage))


def trouble_with(path: Path, error: Exception, *, reading: bool = False) -> GradscopeError:
    """Return an error of SQLite, met while writing or ``reading``, as one line with its remedy."""
    name, verb = error_name(error), "read" if reading else "written"
    if name == "SQLITE_NOTADB":
        return ArchiveError(f"{path} {NO_STORE}")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_ERROR")):
        fault = " ".join(str(error).partition(" with text")[0].split())[:100]
        remedy = f"gradscope merge --salvage -o NEW.db {shlex.quote(str(path))}"
        saved = "what is whole in it, if anything, is saved by"
        return ArchiveError(f"{path} is damaged ({fault}); {saved}: {remedy}")
    remedy = "check its permissions, or choose another place"
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        remedy = "it is locked, held by another process; wait for that to end"
    elif not reading and name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
        remedy = "the disk is full or the file may not grow; what it holds is kept; free some "
        remedy += "space and run the same command again"
    kind = ArchiveError if reading else OutputError
    return kind(f"{path} cannot be {verb} ({error}): {remedy}")
