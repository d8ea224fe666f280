"""The store is plain SQLite that anybody reads, and never holds half of anything."""

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradscope
from gradscope.errors import ArchiveError, OutputError
from gradscope.sweep import store as store_module
from gradscope.sweep.cell import (
    CURVES,
    SCALARS,
    Outcome,
    Status,
    columns,
    failure,
    flatten,
    run_cell,
)
from gradscope.sweep.grid import ALGORITHM_VERSION
from gradscope.sweep.merge import merge_stores
from gradscope.sweep.query import read_rows
from gradscope.sweep.store import SCHEMA_VERSION, open_store
from tests.sweeping import cells_of, environment


def rows(path: Path, query: str) -> list[Any]:
    connection = sqlite3.connect(path)
    found = connection.execute(query).fetchall()
    connection.close()
    return found


def filled(path: Path, *axes: str, **shared: Any) -> Path:
    with open_store(path) as store:
        store.save(run_cell(cell) for cell in cells_of(*axes, **shared))
    return path


def test_plain_sqlite_reads_settings_and_results_by_their_names(tmp_path: Path) -> None:
    path = filled(tmp_path / "s.db", "gain=0.5,2", "activation=tanh,sigmoid")

    found = rows(path, "SELECT activation, gain, seed, status, regime FROM cells WHERE gain = 0.5")

    assert sorted(found) == [
        ("sigmoid", 0.5, 0, "done", "vanishing"),
        ("tanh", 0.5, 0, "done", "stable"),
    ]


def test_a_row_says_what_the_analysis_says(tmp_path: Path) -> None:
    path = filled(tmp_path / "s.db", updates=3)
    analysis = gradscope.analyze(cells_of(updates=3)[0].settings)
    last, first = analysis.last, analysis.stages[0]

    (found,) = rows(
        path,
        "SELECT stage, regime, rate_nats_per_step, horizon, required_lag, lags, held_out_error, "
        "baseline_error, first_stage, first_rate_nats_per_step, training_updates, training_loss, "
        "gradient_norm, cause_saturation FROM cells",
    )

    assert analysis.training is not None
    assert found == (
        "trained",
        str(last.verdict.regime),
        last.verdict.rate,
        last.verdict.horizon,
        last.verdict.required_lag,
        6,
        last.error,
        analysis.task_info.baseline.error,
        "initial",
        first.verdict.rate,
        3,
        float(analysis.training.loss[-1]),
        last.gradient.norm,
        last.causes.saturation,
    )


def test_curves_are_little_endian_float64(tmp_path: Path) -> None:
    path = filled(tmp_path / "s.db", updates=2)
    analysis = gradscope.analyze(cells_of(updates=2)[0].settings)

    (found,) = rows(path, "SELECT log10_norm_median, loss_curve FROM cells")

    np.testing.assert_array_equal(
        np.frombuffer(found[0], "<f8"), analysis.last.profile.median / np.log(10)
    )
    assert analysis.training is not None
    np.testing.assert_array_equal(np.frombuffer(found[1], "<f8"), analysis.training.loss)


def test_a_number_that_is_none_is_null_with_its_reason() -> None:
    # W = 0: the product is exactly zero from lag 1 on, so there is no rate.
    numbers = flatten(gradscope.analyze(cells_of(gain=0.0)[0].settings))

    assert numbers["rate_nats_per_step"] is None
    assert "rate_nats_per_step: the product is exactly zero" in numbers["null_because"]
    assert np.isneginf(np.frombuffer(numbers["log10_norm_median"], "<f8")).all()


def test_a_cell_without_such_a_number_gives_no_reason() -> None:
    numbers = flatten(gradscope.analyze(cells_of()[0].settings))

    assert numbers["null_because"] is None
    assert list(numbers) == [*SCALARS, *CURVES]


def test_a_done_cell_is_never_written_again(tmp_path: Path) -> None:
    (cell,) = cells_of()
    with open_store(tmp_path / "s.db") as store:
        store.save([Outcome(cell, Status.DONE, {"horizon": 3})])
        store.save([Outcome(cell, Status.DONE, {"horizon": 4}), failure(cell, "too late")])

    assert rows(tmp_path / "s.db", "SELECT status, horizon, attempts FROM cells") == [
        ("done", 3, 1)
    ]


def test_a_failed_cell_is_replaced_and_its_attempts_are_counted(tmp_path: Path) -> None:
    (cell,) = cells_of()
    with open_store(tmp_path / "s.db") as store:
        store.save([failure(cell, "out of\nmemory")])
        assert rows(tmp_path / "s.db", "SELECT error FROM cells") == [("out of memory",)]
        store.save([failure(cell, "again")])
        store.save([Outcome(cell, Status.DONE, {"horizon": 3})])

    query = "SELECT status, error, horizon, attempts FROM cells"
    assert rows(tmp_path / "s.db", query) == [("done", None, 3, 3)]


def test_a_transaction_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    good, bad = cells_of("gain=1,2")
    with open_store(tmp_path / "s.db") as store:
        unstorable = Outcome(bad, Status.DONE, {"horizon": 2**70})
        with pytest.raises(OverflowError):
            store.save([Outcome(good, Status.DONE), unstorable])
        assert store.statuses() == {}
        store.save([Outcome(good, Status.DONE)])
        assert list(store.statuses()) == [good.key]


def detach_stream(path: Path, *statements: str) -> None:
    """Begin a transaction in a process that ends before its commit. Its cache is small, so that
    half of it is in the file by then.
    """
    script = (
        "import os, sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "for statement in ('PRAGMA cache_size = 5', 'BEGIN', *sys.argv[2:]):\n"
        "    connection.execute(statement)\n"
        "os._exit(9)\n"
    )
    words = [sys.executable, "-c", script, str(path), *statements]
    subprocess.run(words, check=False, env=environment())
    assert path.with_name(f"{path.name}-journal").stat().st_size > 0
    assert path.stat().st_size > 0


def test_a_kill_while_the_store_is_made_leaves_a_place_to_make_it_again(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    detach_stream(path, "CREATE TABLE cells (a)", "INSERT INTO cells VALUES (zeroblob(200000))")

    with open_store(path) as store:
        assert store.statuses() == {}


def test_an_empty_file_left_by_a_kill_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "s.db").touch()

    with open_store(tmp_path / "s.db") as store:
        assert store.statuses() == {}


@pytest.mark.parametrize(
    "content", [b"not a database at all, but a text", b"SQLite format 3\0" * 9]
)
def test_a_file_that_is_no_store_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)

    with pytest.raises(ArchiveError, match="is not a gradscope store"):
        open_store(path)

    assert path.read_bytes() == content


def test_somebody_elses_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE cells (a)")
    connection.close()

    with pytest.raises(ArchiveError, match="is not a gradscope store"):
        open_store(path)

    assert rows(path, "SELECT name FROM sqlite_master") == [("cells",)]


@pytest.mark.parametrize("what", ["schema", "algorithm"])
def test_a_store_of_another_version_is_refused_with_the_remedy(tmp_path: Path, what: str) -> None:
    path = filled(tmp_path / "s.db")
    connection = sqlite3.connect(path)
    connection.execute("UPDATE meta SET value = '99' WHERE name = ?", (f"{what}_version",))
    connection.execute("UPDATE meta SET value = '7.8.9' WHERE name = 'gradscope'")
    connection.commit()
    connection.close()

    remedy = f"{what} version 99.*name another file, or use gradscope 7.8.9"
    with pytest.raises(ArchiveError, match=remedy):
        open_store(path)
    with pytest.raises(ArchiveError, match=remedy):
        read_rows(path)


def test_a_store_with_other_columns_is_refused(tmp_path: Path) -> None:
    path = filled(tmp_path / "s.db")
    connection = sqlite3.connect(path)
    connection.execute("ALTER TABLE cells ADD COLUMN more")
    connection.close()

    with pytest.raises(ArchiveError, match="has other columns"):
        open_store(path)


def test_the_version_that_runs_is_no_remedy(tmp_path: Path) -> None:
    changes = (
        "UPDATE meta SET value = '1' WHERE name = 'algorithm_version'",
        "ALTER TABLE cells ADD COLUMN more",
    )
    for number, change in enumerate(changes):
        path = filled(tmp_path / f"{number}.db")
        connection = sqlite3.connect(path)
        connection.execute(change)
        connection.commit()
        connection.close()

        with pytest.raises(ArchiveError, match=r"name another file$") as caught:
            open_store(path)
        assert "which made it" not in str(caught.value)


@pytest.mark.parametrize("lacking", [("embedding",), ("dt", "sequence_lengths", "embedding")])
def test_a_store_from_before_a_setting_is_read_added_to_and_merged(
    tmp_path: Path, lacking: tuple[str, ...]
) -> None:
    path = filled(tmp_path / "s.db", "gain=0.5,2", updates=0)
    before = read_rows(path)
    connection = sqlite3.connect(path)
    for name in lacking:
        connection.execute(f"ALTER TABLE cells DROP COLUMN {name}")
    connection.close()

    assert read_rows(path).values == before.values
    with open_store(path) as store:
        assert set(store.statuses()) == {cell.key for cell in cells_of("gain=0.5,2", updates=0)}
        store.save([run_cell(cells_of(gain=3.0, updates=0)[0])])
    assert read_rows(path, "gain < 3").values == before.values
    merge_stores([path, filled(tmp_path / "t.db", "gain=0.5,2", updates=0)], tmp_path / "u.db")
    assert read_rows(tmp_path / "u.db").column("gain") == (0.5, 2.0, 3.0)


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    path = filled(tmp_path / "s.db")

    assert dict(rows(path, "SELECT name, value FROM meta")) == {
        "schema": "gradscope.sweep",
        "schema_version": str(SCHEMA_VERSION),
        "algorithm_version": str(ALGORITHM_VERSION),
        "gradscope": gradscope.__version__,
    }
    assert rows(path, "PRAGMA journal_mode") == [("delete",)]


def test_a_place_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder"):
        open_store(tmp_path)
    with pytest.raises(OutputError, match="is not a folder"):
        open_store(tmp_path / "missing" / "s.db")


def test_a_writer_that_holds_the_file_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = filled(tmp_path / "s.db")
    monkeypatch.setattr(store_module, "LOCK_PATIENCE", 0.05)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")

    with pytest.raises(OutputError, match="held by another process"):
        open_store(path)
    other.close()


def test_what_a_kill_left_half_written_is_taken_back_by_the_next_reader(tmp_path: Path) -> None:
    path = filled(tmp_path / "s.db", "gain=1,2")
    before = read_rows(path).values
    detach_stream(
        path,
        "UPDATE cells SET traceback = zeroblob(200000)",
        "UPDATE cells SET error = zeroblob(200000)",
    )

    assert read_rows(path).values == before


def test_every_column_has_a_type_that_its_values_keep(tmp_path: Path) -> None:
    path = filled(tmp_path / "s.db", "activation=tanh,sigmoid", updates=2)
    kinds = {"TEXT": str, "INTEGER": int, "REAL": float, "BLOB": bytes}

    found = read_rows(path)

    for name, sql in columns().items():
        kind = kinds[sql.split()[0]]
        assert all(each is None or type(each) is kind for each in found.column(name)), name


def test_rows_come_in_the_order_of_their_settings(tmp_path: Path) -> None:
    cells = cells_of("gain=3,1,2")
    with open_store(tmp_path / "s.db") as store:
        store.save(run_cell(cell) for cell in cells)

    assert read_rows(tmp_path / "s.db", names=("gain",)).column("gain") == (1.0, 2.0, 3.0)


def test_rows_of_an_older_algorithm_are_read_and_marked_but_not_added_to(tmp_path: Path) -> None:
    path = filled(tmp_path / "s.db", "gain=0.5,2")
    connection = sqlite3.connect(path)
    for name in ("algorithm", "burn_in"):
        connection.execute(f"ALTER TABLE cells DROP COLUMN {name}")
    connection.execute("UPDATE meta SET value = '1' WHERE name = 'algorithm_version'")
    connection.commit()
    connection.close()

    found = read_rows(path, "gain > 1")

    assert found.columns == tuple(columns())
    assert found.column("algorithm") == (1,)
    assert found.column("burn_in") == (None,)
    assert found.column("gain") == (2.0,)
    assert read_rows(filled(tmp_path / "new.db")).column("algorithm") == (ALGORITHM_VERSION,)
    with pytest.raises(ArchiveError, match="algorithm version 1"):
        open_store(path)
