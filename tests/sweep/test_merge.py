"""Shards become the store that one sweep would have written; disagreements are refused."""

import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from gradscope.errors import ArchiveError, OutputError
from gradscope.names import ExecutorName
from gradscope.sweep.cell import failure, run_cell
from gradscope.sweep.executors import Workers
from gradscope.sweep.grid import Grid, Shard, make_plan
from gradscope.sweep.merge import merge_stores
from gradscope.sweep.query import read_environments
from gradscope.sweep.run import run_sweep
from gradscope.sweep.store import open_store
from tests.sweeping import TINY, cells_of, environment, lasting_rows

SERIAL = Workers(ExecutorName.SERIAL)


def swept(path: Path, *axes: str) -> Path:
    run_sweep(cells_of(*axes), path, workers=SERIAL)
    return path


def change(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_all_shards_together_are_the_whole_sweep(tmp_path: Path) -> None:
    grid = Grid(TINY, {"gain": (0.5, 1.0, 2.0)}, seeds=3)
    whole, parts = tmp_path / "whole.db", []
    run_sweep(make_plan(grid).cells, whole, workers=SERIAL)
    for number in (1, 2, 3):
        parts.append(tmp_path / f"part{number}.db")
        run_sweep(make_plan(grid, Shard(number, 3)).cells, parts[-1], workers=SERIAL)

    merged = merge_stores(parts, tmp_path / "joined.db")

    assert lasting_rows(tmp_path / "joined.db") == lasting_rows(whole)
    assert (merged.stores, merged.cells, merged.failed, merged.duplicates) == (3, 9, 0, 0)


def test_duplicates_are_resolved(tmp_path: Path) -> None:
    one, two = swept(tmp_path / "1.db", "gain=1,2"), swept(tmp_path / "2.db", "gain=2,3")

    merged = merge_stores([one, two], tmp_path / "both.db")

    assert (merged.cells, merged.duplicates) == (3, 1)


def test_versions_and_durations_may_differ_between_duplicates(tmp_path: Path) -> None:
    one, two = swept(tmp_path / "1.db"), swept(tmp_path / "2.db")
    change(two, "UPDATE cells SET numpy = '1.0', duration_seconds = 99, finished_at = 'later'")

    assert merge_stores([one, two], tmp_path / "both.db").cells == 1


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("horizon", "77"),
        ("rate_nats_per_step", "0.5"),
        ("loss_curve", f"x'{'00' * 8}'"),
        ("regime", "NULL"),
    ],
)
@pytest.mark.parametrize("another", [False, True])
def test_a_conflict_is_refused_and_nothing_is_written(
    tmp_path: Path, column: str, value: str, another: bool
) -> None:
    one, two = swept(tmp_path / "1.db"), swept(tmp_path / "2.db")
    change(two, f"UPDATE cells SET {column} = {value}")  # noqa: S608 (a test)
    if another:
        change(two, "UPDATE environments SET environment = replace(environment, 'python', 'old')")
        change(two, "UPDATE environments SET environment = replace(environment, 'kernel', 'old')")

    with pytest.raises(
        ArchiveError, match=rf"1\.db and .*2\.db disagree about cell .* in {column} \(.* and .*\)"
    ):
        merge_stores([one, two], tmp_path / "both.db")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.db", "2.db"]


@pytest.mark.parametrize("turned", [False, True])
def test_a_done_cell_wins_over_a_failed_one(tmp_path: Path, turned: bool) -> None:
    (cell,) = cells_of()
    paths = [tmp_path / "done.db", tmp_path / "failed.db"]
    for path, outcome in zip(paths, (run_cell(cell), failure(cell, "lost")), strict=True):
        with open_store(path) as store:
            store.save([outcome])

    merged = merge_stores(paths[::-1] if turned else paths, tmp_path / "both.db")

    assert (merged.cells, merged.failed) == (1, 0)
    assert lasting_rows(tmp_path / "both.db") == lasting_rows(tmp_path / "done.db")


def test_two_failures_are_one(tmp_path: Path) -> None:
    (cell,) = cells_of()
    for name in ("1.db", "2.db"):
        with open_store(tmp_path / name) as store:
            store.save([failure(cell, f"lost in {name}")])

    merged = merge_stores([tmp_path / "1.db", tmp_path / "2.db"], tmp_path / "both.db")

    assert (merged.cells, merged.failed, merged.duplicates) == (1, 1, 1)


def test_a_store_can_be_merged_into_itself(tmp_path: Path) -> None:
    one, two = swept(tmp_path / "1.db", "gain=1"), swept(tmp_path / "2.db", "gain=2")

    assert merge_stores([one, two], one).cells == 2
    assert len(lasting_rows(one)) == 2


def test_a_target_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is not a folder"):
        merge_stores([swept(tmp_path / "1.db")], tmp_path / "missing" / "both.db")


def test_last_bits_are_a_conflict_on_one_type_of_machine_alone(tmp_path: Path) -> None:
    one, two = swept(tmp_path / "1.db"), swept(tmp_path / "2.db")
    change(two, "UPDATE cells SET rate_nats_per_step = rate_nats_per_step * (1 + 1e-14)")
    with pytest.raises(ArchiveError, match="rate_nats_per_step"):
        merge_stores([one, two], tmp_path / "both.db")

    change(two, "DROP TABLE environments")

    assert merge_stores([one, two], tmp_path / "both.db").cells == 1


KERNELS = ("Nehalem", "Haswell")
GRID = ("-P", "gain=1,3", "-P", "updates=0,3", "--init", "gaussian", "--input-scale", "0.1")
SIZES = ("--hidden", "24", "--steps", "120", "--sequences", "3", "--executor", "serial")


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return stores of the same cells, computed under two kernels of OpenBLAS."""
    folder = tmp_path_factory.mktemp("kernels")
    found = {}
    for kernel in KERNELS:
        path = folder / f"{kernel}.db"
        words = [sys.executable, "-m", "gradscope", "sweep", *GRID, *SIZES, "-o", str(path)]
        variables = {**environment(), "OPENBLAS_CORETYPE": kernel}
        subprocess.run(words, env=variables, check=True, capture_output=True)
        used = {json.loads(each)["kernel"] for each in read_environments(path).values()}
        if used != {kernel}:
            pytest.skip(f"this machine computes with {used} where {kernel} is asked for")
        found[kernel] = path
    return found


def test_two_kernels_are_no_conflict_and_one_result_is_kept_in_either_order(
    kernels: dict[str, Path], tmp_path: Path
) -> None:
    one, two = kernels.values()
    assert lasting_rows(one) != lasting_rows(two)

    merged = merge_stores([one, two], tmp_path / "a.db")
    merge_stores([two, one], tmp_path / "b.db")

    assert (merged.cells, merged.failed, merged.duplicates) == (4, 0, 4)
    assert lasting_rows(tmp_path / "a.db") == lasting_rows(tmp_path / "b.db")
    assert read_environments(tmp_path / "a.db") == read_environments(tmp_path / "b.db")


@pytest.mark.parametrize(
    ("change_of", "where"),
    [("rate_nats_per_step = rate_nats_per_step + 1e-3", "gain = 1"), ("lags = 7", "gain = 3")],
)
def test_a_true_disagreement_of_two_kernels_is_a_conflict(
    kernels: dict[str, Path], tmp_path: Path, change_of: str, where: str
) -> None:
    one, two = kernels.values()
    changed = Path(shutil.copy(two, tmp_path / "changed.db"))
    change(changed, f"UPDATE cells SET {change_of} WHERE {where} AND updates = 0")  # noqa: S608

    with pytest.raises(ArchiveError, match=f"in {change_of.split(maxsplit=1)[0]}"):
        merge_stores([one, changed], tmp_path / "both.db")
