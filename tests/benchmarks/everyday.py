"""The rows of everyday use: this code against the commit before these rows, run in turn.

That commit is checked out into a folder of its own, which is removed again. Time is the
processor's: of the whole command where a row is a command, and of the work alone, imports and
warm-up left out, where the process says it itself.
"""

import os
import resource
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median

from tests.benchmarks.measure import Row

ROOT = Path(__file__).parents[2]
BEFORE = "b8e8cc06e7c7be5e4b2767358e074770ac45d7f9"
FLOOR, REPEATS = 1.5, 7

COMMANDS = {
    "analyze --sequences 2000": ["--sequences", "2000"],
    "analyze --lag-map --shares --spectrum": ["--lag-map", "--shares", "--spectrum"],
    "analyze --html": ["--html", "page.html", "--force"],
}

STUDIES = {
    "a cell of a sweep, H = 16, T = 20": "hidden=16, steps=20, updates=0",
    "a cell of a sweep, H = 32, T = 100": "hidden=32, steps=100, updates=0",
    "training, H = 16, 300 updates": "hidden=16, steps=50, updates=300",
    "training of a GRU, H = 16, 100 updates": "hidden=16, steps=50, updates=100, cell='gru'",
}

SCRIPT = """
import time
from gradscope.analysis.analyze import analyze
from gradscope.analysis.settings import Settings
settings = Settings({settings})
try:  # As a worker of a sweep does.
    from gradscope.machine import keep_freed_memory
    keep_freed_memory()
except ImportError:
    pass
analyze(settings)
count, start = 0, time.process_time()
while count < 20 and time.process_time() - start < 2.0:
    analyze(settings)
    count += 1
print((time.process_time() - start) / count)
"""


def rows() -> Iterator[Row]:
    """Yield a row for each command and study; none where the commit before is not in the clone."""
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "before.tar"
        command = ["git", "-C", str(ROOT), "archive", f"--output={archive}", BEFORE, "gradscope"]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            sys.stderr.write(f"no rows of everyday use: commit {BEFORE[:7]} is not in this clone\n")
            return
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
        for name, options in COMMANDS.items():
            yield _row(name, partial(_seconds_of_command, options), folder)
        for name, settings in STUDIES.items():
            yield _row(name, partial(_seconds_of_study, settings), folder)


def _row(name: str, seconds: Callable[[Path], float], before: str) -> Row:
    pairs = [(seconds(Path(before)), seconds(ROOT)) for _ in range(REPEATS)]
    ratios = [theirs / mine for theirs, mine in pairs]
    theirs, mine = (median(column) for column in zip(*pairs, strict=True))
    note = f"reference: commit {BEFORE[:7]}"
    return Row(name, FLOOR, theirs / mine, min(ratios), max(ratios), mine, theirs, note)


def _run(path: Path, arguments: list[str]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        environ = {**os.environ, "PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": ""}
        command = [sys.executable, *arguments]
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, cwd=folder, env=environ
        )
    return done.stdout


def _seconds_of_command(options: list[str], path: Path) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _run(path, ["-m", "gradscope", "analyze", "--updates", "0", *options])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _seconds_of_study(settings: str, path: Path) -> float:
    return float(_run(path, ["-c", SCRIPT.replace("{settings}", settings)]))
