"""What the tests of sweeps share: small grids, the command as a process, and rows to compare."""

import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gradscope.sweep.axes import parse_axes
from gradscope.sweep.cell import columns
from gradscope.sweep.grid import Cell, Grid, make_plan
from gradscope.sweep.query import read_rows

TINY = {"hidden": 4, "steps": 6, "sequences": 2, "updates": 0}
"""Settings of a cell that takes a few milliseconds."""

TINY_FLAGS = ("--hidden", "4", "--steps", "6", "--sequences", "2", "--updates", "0")

PASSING = ("duration_seconds", "finished_at", "attempts")
"""Columns that tell of the run and not of the cell."""

PROC = Path("/proc/self")

PATIENCE = 120.0
"""Seconds after which a test gives up waiting, on however busy a machine."""


def cells_of(*axes: str, seeds: int = 1, **shared: Any) -> tuple[Cell, ...]:
    """Return the cells of a small grid."""
    parsed = parse_axes(axes)
    fixed = {name: value for name, value in TINY.items() if name not in parsed}
    return make_plan(Grid({**fixed, **shared}, parsed, seeds)).cells


def lasting_rows(store: Path) -> list[tuple[Any, ...]]:
    """Return what must be the same to the last bit, however a store came to be."""
    names = [name for name in columns() if name not in PASSING]
    return list(read_rows(store, names=names).values)


def start(
    *arguments: str | Path, before: Sequence[str] = (), **options: Any
) -> subprocess.Popen[str]:
    """Start the command as a process that can be killed."""
    words = [*before, sys.executable, "-m", "gradscope", *map(str, arguments)]
    return subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        **options,
    )


def run(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    with start(*arguments, **options) as process:
        out, err = process.communicate(timeout=PATIENCE)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def environment() -> dict[str, str]:
    """Return an environment without settings of gradscope, that finds this gradscope."""
    top = str(Path(__file__).resolve().parents[1])
    kept = {name: v for name, v in os.environ.items() if not name.startswith("GRADSCOPE_")}
    return {**kept, "PYTHONPATH": top, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def count_cells(store: Path) -> int:
    """Return how many cells a store holds that somebody else writes; 0 before it is there."""
    try:
        with sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=PATIENCE) as connection:
            found: tuple[int] = connection.execute("SELECT count(*) FROM cells").fetchone()
        connection.close()
    except sqlite3.OperationalError:
        return 0
    return found[0]


def wait_until(true: Callable[[], bool], pause: float = 0.01) -> None:
    """Wait until something is true; give up, loudly, after PATIENCE seconds."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(pause)


def is_running(pid: int) -> bool:
    """Whether a process is alive, and not merely unburied."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8") if PROC.is_dir() else ""
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state.rpartition(")")[2].split()[:1] != ["Z"]


def running_in_group(group: int) -> list[int]:
    """Return the processes of a group that are alive; none where nobody can tell."""
    found = []
    for place in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = place.read_text(encoding="utf-8").rpartition(")")[2].split()
            if int(fields[2]) == group and fields[0] != "Z":
                found.append(int(place.parent.name))
    return found
