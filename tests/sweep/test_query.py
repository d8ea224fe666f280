"""``--where`` reads cells and does nothing else; whatever it says wrong is one line."""

import contextlib
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradscope.errors import ArchiveError, SettingError
from gradscope.names import ExecutorName
from gradscope.sweep import query
from gradscope.sweep.executors import Workers
from gradscope.sweep.query import read_rows
from gradscope.sweep.run import run_sweep
from gradscope.sweep.store import open_store
from tests.sweeping import cells_of


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("query") / "odd name?#%.db"
    run_sweep(cells_of("gain=0.5,1,2", "activation=tanh,sigmoid"), path, workers=SERIAL)
    return path


SERIAL = Workers(ExecutorName.SERIAL)


@pytest.mark.parametrize(
    ("where", "count"),
    [
        ("gain > 0.7", 4),
        ("activation = 'tanh' AND gain IN (1, 2)", 2),
        ("gain = (SELECT max(gain) FROM cells)", 2),
        ("upper(activation) LIKE 'TAN%'", 3),
        ("gain > 0.7 -- a remark", 4),
        ("0", 0),
    ],
)
def test_a_condition_chooses_rows(store: Path, where: str, count: int) -> None:
    assert len(read_rows(store, where).values) == count


HARMFUL = [
    "1; DROP TABLE cells",
    "1); DELETE FROM cells; --",
    "1) UNION SELECT * FROM meta --",
    "(SELECT count(*) FROM meta) > 0",
    "(SELECT count(*) FROM sqlite_master) > 0",
    "load_extension('x') IS NULL",
    "EXISTS (WITH RECURSIVE a(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM a) SELECT x FROM a)",
    "length(zeroblob(1000000000)) > 1",
    "PRAGMA user_version = 3",
    "gain >",
    "nonsense = 1",
    "gain = 1\0",
    "",
    "'",
    "\ud800",
]


@pytest.mark.parametrize("where", HARMFUL)
def test_anything_else_is_refused_in_one_line(store: Path, where: str) -> None:
    before = store.read_bytes()

    with pytest.raises(SettingError) as caught:
        read_rows(store, where)

    assert "--where is" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert store.read_bytes() == before


@given(st.text())
def test_no_text_whatever_changes_the_store_or_breaks_the_reader(store: Path, where: str) -> None:
    before = store.read_bytes()

    with contextlib.suppress(SettingError):
        read_rows(store, where)

    assert store.read_bytes() == before


def test_a_condition_that_never_ends_is_stopped(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query, "MAX_STEPS", 100_000)
    monkeypatch.setattr(query, "STEPS_BETWEEN_LOOKS", 10_000)
    many = ", ".join(f"cells AS c{number}" for number in range(12))

    with pytest.raises(SettingError, match="takes too long"):
        read_rows(store, f"(SELECT sum(random()) FROM {many}) > 0")  # noqa: S608 (a test)


def test_the_reader_cannot_write_even_where_nobody_watches(store: Path) -> None:
    connection = query._open_read_only(store)

    assert connection.execute("PRAGMA query_only").fetchone() == (1,)
    connection.execute("PRAGMA query_only = OFF")
    with pytest.raises(sqlite3.OperationalError, match=r"readonly|read-only"):
        connection.execute("DELETE FROM cells")
    connection.close()


def test_a_missing_store_is_told(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="does not exist"):
        read_rows(tmp_path / "none.db")


def test_a_sweep_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    seen = []

    run_sweep(
        cells_of("gain=1:2:5"),
        path,
        workers=SERIAL,
        watch=lambda progress: seen.append((progress.ended, len(read_rows(path).values))),
    )

    assert seen == [(each, each) for each in range(6)]


def test_an_open_writer_does_not_lock_readers_out(store: Path) -> None:
    with open_store(store):
        assert len(read_rows(store).values) == 6
