"""The topics say what is true: the columns are those of a store, and the commands run."""

import contextlib
import csv
import os
import re
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gradscope.explain.glossary import TOPICS, column_meanings, topic
from gradscope.sweep.cell import columns
from gradscope.sweep.grid import Grid, make_plan
from gradscope.sweep.run import run_sweep
from tests.present import present

ROOT = Path(__file__).parents[2]
TIMEOUT = 240.0
"""Seconds after which a command is taken to hang."""

GRID = """updates = 0
hidden = 3
steps = 8

[sweep]
gain = "0.5,1"
activation = ["tanh", "sigmoid"]
"""


def blocks(name: str, language: str) -> list[str]:
    """Return the pieces of code of a topic in one language."""
    text = topic(name)[1]["text"]
    found = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found
    return found


def block(name: str, language: str, word: str) -> str:
    """Return the one piece of code that has a word."""
    (found,) = [each for each in blocks(name, language) if word in each]
    return found


def test_the_columns_that_are_explained_are_those_of_a_store() -> None:
    table = present(topic("store")[2])

    assert set(column_meanings()) == set(columns())
    assert [(name, sql) for name, sql, _ in table[1]] == list(columns().items())


@pytest.mark.parametrize("name", TOPICS)
def test_no_line_is_broken_on_a_terminal_of_80_columns(name: str) -> None:
    assert max(map(len, topic(name)[1]["text"].splitlines())) <= 78


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``gradscope``, a grid, two series and a store."""
    fresh = tmp_path_factory.mktemp("cluster")
    script = fresh / "bin" / "gradscope"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gradscope "$@"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    (fresh / "grid.toml").write_text(GRID)
    (fresh / "data").mkdir()
    for name in ("a.csv", "with a space.csv"):
        with (fresh / "data" / name).open("w", newline="") as file:
            csv.writer(file).writerows([["x"], *([each] for each in np.sin(np.arange(400.0)))])
    grid = Grid({"updates": 0, "hidden": 3}, {"gain": (1.0, 2.0), "steps": (5, 9)}, seeds=2)
    run_sweep(make_plan(grid).cells, fresh / "sweep.db")
    return fresh


def run(folder: Path, command: str, needs: tuple[str, ...] = (), **variables: str) -> str:
    """Run a piece of shell to its end, with all that it started; return what it printed."""
    paths = [str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
    path = os.pathsep.join(paths)
    for program in needs:
        if shutil.which(program, path=path) is None:
            pytest.skip(f"the example needs {program}")
    environment = {**os.environ, **variables, "PATH": path, "PYTHONPATH": str(ROOT)}
    out, err = folder / "stdout", folder / "stderr"
    with out.open("w") as printed, err.open("w") as said:
        process = subprocess.Popen(
            ["/bin/sh", "-e", "-c", command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=said,
            start_new_session=True,
        )
    try:
        code = process.wait(TIMEOUT)
    finally:
        # What the shell has left in the background; none is no error.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
    assert code == 0, err.read_text(encoding="utf-8")
    return out.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_queries_of_the_store_run(folder: Path) -> None:
    sqlite, export = blocks("store", "sh")

    assert "tanh" in run(folder, sqlite, ("sqlite3",))
    run(folder, export)
    assert set(np.load(folder / "sweep.npz").files) >= {"key", "gain", "rate_nats_per_step"}
    assert len((folder / "sweep.jsonl").read_text(encoding="utf-8").splitlines()) == 8


@pytest.mark.slow
@pytest.mark.parametrize("module", ["pandas", "gradscope"])
def test_the_python_of_the_store_runs(folder: Path, module: str) -> None:
    pytest.importorskip(module, reason=f"the example needs {module}")
    (folder / "example.py").write_text(block("store", "python", module), encoding="utf-8")

    assert run(folder, f"{sys.executable} example.py").strip()


@pytest.mark.slow
def test_the_loops_run(folder: Path) -> None:
    loop = block("cluster", "sh", "for gain")
    lines = run(folder, loop, ("jq",)).splitlines()
    assert [line.split("\t")[0] for line in lines] == ["0.5", "1", "1.5", "2"]

    run(folder, block("cluster", "sh", "xargs"), ("xargs",))
    assert (folder / "data" / "with a space.csv.jsonl").exists()


@pytest.mark.slow
def test_the_loop_of_gnu_parallel_runs(folder: Path) -> None:
    run(folder, block("cluster", "sh", "parallel"), ("parallel",))

    assert len((folder / "runs.jsonl").read_text(encoding="utf-8").splitlines()) == 6


@pytest.mark.slow
def test_the_shards_of_slurm_are_merged(folder: Path) -> None:
    array, merge = block("cluster", "slurm", "SBATCH"), block("cluster", "sh", "merge")
    (folder / "sweep.db").rename(folder / "other.db")
    for task in range(1, 17):
        run(folder, array, SLURM_ARRAY_TASK_ID=str(task), SLURM_CPUS_PER_TASK="1")

    run(folder, merge)

    with contextlib.closing(sqlite3.connect(folder / "sweep.db")) as store:
        assert store.execute("SELECT count(*) FROM cells").fetchone() == (4,)
    (folder / "other.db").replace(folder / "sweep.db")


@pytest.mark.slow
def test_a_sweep_on_dask_runs(folder: Path) -> None:
    pytest.importorskip("distributed", reason="the example needs dask")
    run(folder, block("cluster", "sh", "dask scheduler"), ("dask",))

    with contextlib.closing(sqlite3.connect(folder / "dask.db")) as store:
        assert store.execute("SELECT count(*) FROM cells").fetchone() == (4,)
