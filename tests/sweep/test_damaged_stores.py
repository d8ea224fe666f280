"""A damaged store is one line and exit code 2 from every command, and what is whole is saved."""

import json
import resource
import shlex
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gradscope.cli.app import run
from gradscope.names import ExecutorName
from gradscope.sweep import query as query_module
from gradscope.sweep import store as store_module
from gradscope.sweep.cell import CURVES
from gradscope.sweep.executors import Workers
from gradscope.sweep.query import read_rows
from gradscope.sweep.run import run_sweep
from tests.sweeping import TINY_FLAGS, cells_of

PAGE = 4096
LONGEST_LINE = 300
CELLS = 16
AXES = ("-P", "gain=0.5:2:4", "-P", "activation=tanh,sigmoid", "--seeds", "2")
SWEEP = ("sweep", *AXES, *TINY_FLAGS, "--executor", "serial", "-o", "s.db")

Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "s.db"
    cells = cells_of("gain=0.5:2:4", "activation=tanh,sigmoid", seeds=2)
    run_sweep(cells, path, workers=Workers(ExecutorName.SERIAL))
    return path


@pytest.fixture
def store(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the store in the working folder."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copy(whole, tmp_path / "s.db"))


def sql(*statements: str, schema: bool = False) -> Damage:
    """Return what changes a store by SQL, its schema too where asked for."""

    def damage(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA writable_schema = {int(schema)}")
            for statement in statements:
                connection.execute(statement)
            connection.commit()

    return damage


def one_row(column: str, value: str) -> Damage:
    return sql(f"UPDATE cells SET {column} = {value} WHERE rowid = 3")  # noqa: S608 (a test)


def overwritten(start: int, content: bytes) -> Damage:
    """Return what writes over a part of the file; a negative start counts from its end."""

    def damage(path: Path) -> None:
        old = path.read_bytes()
        at = start % len(old)
        path.write_bytes((old[:at] + content + old[at + len(content) :])[: len(old)])

    return damage


def cut(keep: Callable[[int], int]) -> Damage:
    return lambda path: path.write_bytes(path.read_bytes()[: keep(path.stat().st_size)])


def page_of_rows(path: Path) -> int:
    """Return where the file has a page of rows that is not the last: it holds the third key."""
    with closing(sqlite3.connect(path)) as connection:
        (key,) = connection.execute("SELECT key FROM cells WHERE rowid = 3").fetchone()
    content = path.read_bytes()
    places = [at // PAGE for at in range(len(content)) if content.startswith(key.encode(), at)]
    return next(page for page in places if content[page * PAGE] == 13 and page > 1) * PAGE


def bad_page(path: Path) -> None:
    overwritten(page_of_rows(path), b"\xa5" * PAGE)(path)


def zeroed_page(path: Path) -> None:
    overwritten(page_of_rows(path), bytes(PAGE))(path)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def beside(suffix: str, content: bytes) -> Damage:
    return lambda path: path.with_name(f"{path.name}{suffix}").write_bytes(content)


SAVED = {
    "a number for a word": one_row("regime", "5"),
    "a blob for a number": one_row("gain", "x'00ff'"),
    "a text for a number": one_row("hidden", "'many'"),
    "a fraction for a whole number": one_row("steps", "1.5"),
    "a text for a curve": one_row("loss_curve", "'abc'"),
    "half a number in a curve": one_row("log10_norm_median", "x'0000000000'"),
    "an infinite setting": one_row("gain", "9e999"),
    "an infinite result": one_row("rate_nats_per_step", "-9e999"),
    "an unknown status": one_row("status", "'asleep'"),
    "an unknown regime": one_row("regime", "'bored'"),
    "no list": one_row("weight_map", "'[1'"),
    "a list of lists without end": one_row("column", f"'{'[' * 100_000}'"),
    "a setting that is missing": one_row("tolerance", "NULL"),
    "a text that is no UTF-8": one_row("regime", "CAST(x'ff80fe' AS TEXT)"),
    "a status that is no UTF-8": one_row("status", "CAST(x'ff80fe' AS TEXT)"),
    "a key that is a blob": one_row("key", "x'00'"),
    "a number for a version": one_row("gradscope", "CAST('1' AS BLOB)"),
    "a bad page": bad_page,
    "a page of zeros": zeroed_page,
    "the last page is bad": overwritten(-PAGE, b"\xa5" * PAGE),
}
"""Damage after which most rows are whole."""

LOST = {
    "no table of cells": sql("DROP TABLE cells"),
    "no table of marks": sql("DROP TABLE meta"),
    "a column is missing": sql("ALTER TABLE cells DROP COLUMN horizon"),
    "a column has another name": sql("ALTER TABLE cells RENAME COLUMN horizon TO vertical"),
    "marks that are no UTF-8": sql("UPDATE meta SET value = CAST(x'ff' AS TEXT)"),
    "a schema that is no SQL": sql(
        "UPDATE sqlite_master SET sql = 'CREATE TABLE cells (' WHERE name = 'cells'", schema=True
    ),
    "the root of the cells is elsewhere": sql(
        "UPDATE sqlite_master SET rootpage = 99999 WHERE name = 'cells'", schema=True
    ),
    "a first page of rubbish": overwritten(100, b"\xa5" * (PAGE - 100)),
    "a header of rubbish": overwritten(0, b"\xa5" * 100),
    "another application's": sql("PRAGMA application_id = 7"),
    "a kilobyte is left": cut(lambda _: 1000),
    "no database": lambda path: path.write_text("gain,rate\n1,2\n"),
    "a folder": folder,
}
"""Damage that leaves nothing to read."""

HALF = {"three quarters are left": cut(lambda size: size * 3 // 4)}

READERS = (
    ("report", "s.db"),
    ("report", "s.db", "--json"),
    ("report", "s.db", "--png", "p.png"),
    ("report", "s.db", "--where", "gain > 0"),
    ("export", "s.db"),
    ("export", "s.db", "--format", "jsonl"),
    ("export", "s.db", "-o", "s.npz"),
    ("merge", "s.db", "-o", "m.db"),
    SWEEP,
    ("analyze", "s.db"),
    ("compare", "s.db", "s.db"),
    ("inspect", "s.db"),
    ("show-config", "s.db"),
    ("explain", "verdict", "s.db"),
    ("rerun", "s.db"),
)
WITHOUT_CURVES = READERS[:5]
NEEDING_CURVES = {"a text for a curve", "half a number in a curve"}


def in_one_line(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run a command that must refuse; return its line."""
    capsys.readouterr()
    code = run(words)
    out, err = capsys.readouterr()
    assert (code, out) == (2, ""), (words, out, err)
    assert err.startswith("error: "), (words, err)
    assert err.count("\n") == 1, (words, err)
    assert len(err) <= LONGEST_LINE, (words, err)
    return err


@pytest.mark.parametrize("kind", [*SAVED, *LOST, *HALF])
def test_every_command_answers_a_damaged_store_in_one_line(
    store: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    (SAVED | LOST | HALF)[kind](store)
    before = {path.name for path in Path().iterdir()}

    for words in READERS:
        if kind in NEEDING_CURVES and words in WITHOUT_CURVES:
            assert run(words) == 0
            Path("p.png").unlink(missing_ok=True)
            continue
        in_one_line(capsys, *words)

    left = {path.name for path in Path().iterdir()}
    assert left == before


@pytest.mark.parametrize("kind", SAVED)
def test_what_is_whole_is_saved_and_the_rest_computed_again(
    store: Path, whole: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    names = ("key", "status", *CURVES, "rate_nats_per_step", "gain", "seed")
    expected = {row[0]: row for row in read_rows(whole, names=names).values}
    SAVED[kind](store)
    advice = in_one_line(capsys, *SWEEP)
    assert "if anything, is saved by: gradscope merge --salvage -o NEW.db s.db" in advice

    assert run(shlex.split(advice.partition("saved by: gradscope ")[2])) == 0

    found = {row[0]: row for row in read_rows(Path("NEW.db"), names=names).values}
    said = capsys.readouterr().out
    assert len(found) < CELLS
    assert len(found) >= (CELLS - 1 if "page" not in kind else CELLS // 2)
    assert f"{len(found)} cells" in said
    assert f"{CELLS - len(found)} lost" in said
    assert all(expected[key] == row for key, row in found.items())
    assert run([*SWEEP[:-1], "NEW.db"]) == 0
    assert run([*SWEEP, "--salvage", "OTHER.db"]) == 0
    for place in ("NEW.db", "OTHER.db"):
        again = {row[0]: row for row in read_rows(Path(place), names=names).values}
        assert again == expected


def test_a_file_that_was_cut_says_what_it_can(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    HALF["three quarters are left"](store)

    assert run(["merge", "--salvage", "s.db", "-o", "new.db", "--json"]) == 0

    document = json.loads(capsys.readouterr().out)
    assert 0 < document["cells"] < CELLS, document
    assert document["lost"] in (None, CELLS - document["cells"])
    assert len(read_rows(Path("new.db")).values) == document["cells"]


@pytest.mark.parametrize("kind", LOST)
def test_where_nothing_is_left_nothing_is_written(
    store: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    LOST[kind](store)

    in_one_line(capsys, "merge", "--salvage", "s.db", "-o", "new.db")

    assert [path.name for path in Path().iterdir()] == ["s.db"]


HARMLESS: Mapping[str, Any] = {
    "a file's name that is no UTF-8": one_row("data", "CAST(x'ff80fe' AS TEXT)"),
    "rubbish named as a log": beside("-wal", b"rubbish"),
    "an empty log": beside("-wal", b""),
    "rubbish named as shared memory": beside("-shm", b"\xa5" * 100),
    "read-only": lambda path: path.chmod(0o444),
}


@pytest.mark.parametrize("kind", HARMLESS)
def test_what_lies_beside_a_whole_store_does_not_matter(
    store: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    HARMLESS[kind](store)

    assert run(["report", "s.db"]) == 0
    assert run(["merge", "s.db", "-o", "m.db"]) == 0
    assert run(SWEEP) == 0
    assert capsys.readouterr().err == ""


def test_an_empty_file_is_no_store_to_read_and_a_place_for_a_new_one(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.write_bytes(b"")

    assert "is not a gradscope store" in in_one_line(capsys, "report", "s.db")
    assert run(SWEEP) == 0
    assert len(read_rows(store).values) == CELLS


def test_a_number_of_rows_that_no_file_holds_does_not_take_forever(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sql("UPDATE cells SET rowid = 9000000000000000000 WHERE rowid = 1")(store)

    assert run(["merge", "--salvage", "s.db", "-o", "new.db", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cells"] == CELLS - 1


def test_salvage_of_a_whole_store_loses_nothing(store: Path, whole: Path) -> None:
    assert run(["merge", "--salvage", str(store), "-o", "new.db"]) == 0
    assert read_rows(Path("new.db")).values == read_rows(whole).values


def test_where_computed_by_whom_is_damaged_too_the_cells_are_saved(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sql("UPDATE environments SET environment = '[' WHERE rowid = 1")(store)

    in_one_line(capsys, "merge", "s.db", "-o", "m.db")
    assert run(["merge", "--salvage", "s.db", "-o", "new.db", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cells"] == CELLS


def test_a_condition_is_not_blamed_for_damage(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad_page(store)

    assert "is damaged" in in_one_line(capsys, "report", "s.db", "--where", "gain > 0")


@pytest.mark.parametrize("words", [("report", "s.db"), ("merge", "s.db", "-o", "m.db"), SWEEP])
def test_a_locked_store_says_that_it_is_locked(
    store: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
) -> None:
    for module in (store_module, query_module):
        monkeypatch.setattr(module, "LOCK_PATIENCE", 0.01)
    with closing(sqlite3.connect(store, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")

        assert "is locked" in in_one_line(capsys, *words)


def test_a_disk_that_fills_up_leaves_no_half_of_what_is_saved(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for words in (("merge", "--salvage", "s.db", "-o", "m.db"), ("export", "s.db", "-o", "s.csv")):
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
        try:
            in_one_line(capsys, *words)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

        assert list(Path().iterdir()) == [Path(store.name)]


def test_ctrl_c_while_saving_leaves_nothing_half_written(
    store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(store_module.Store, "insert", interrupted)

    assert run(["merge", "--salvage", str(store), "-o", "m.db"]) == 130
    assert capsys.readouterr().err == "error: interrupted\n"
    assert [path.name for path in Path().iterdir()] == ["s.db"]
