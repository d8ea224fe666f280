"""The rows of starting up: what a command costs before it does anything.

Time is the processor's, of the processes started; the ratio is the other's over ours, so that a
larger one is better, as everywhere in the table.
"""

import importlib.util
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from statistics import median

from tests.benchmarks.measure import Row

TURNS = 9


def rows() -> Iterator[Row]:
    """Yield the rows; the one against ``import torch`` where PyTorch is installed."""
    yield _row("gradscope --version vs python -c pass", 1 / 1.5, ["--version"], "pass")
    yield _row("gradscope --help vs python -c pass", 1 / 8.0, ["--help"], "pass")
    if importlib.util.find_spec("torch") is not None:
        analysis = ["analyze", "--activation", "tanh", "--steps", "100", "--updates", "0"]
        yield _row("gradscope analyze, no picture, vs import torch", 4.0, analysis, "import torch")


def _row(name: str, floor: float, arguments: list[str], script: str) -> Row:
    # What the installed command does; ``-m`` would add the cost of ``runpy``.
    ours = _process(["-c", "from gradscope.__main__ import main; main()", *arguments])
    theirs = _process(["-c", script])
    pairs = [(theirs(), ours()) for _ in range(TURNS)]
    ratios = [reference / mine for reference, mine in pairs]
    reference, mine = (median(column) for column in zip(*pairs, strict=True))
    return Row(name, floor, reference / mine, min(ratios), max(ratios), mine, reference)


def _process(arguments: list[str]) -> Callable[[], float]:
    """Return what runs a Python process and says how much of a processor it took."""
    # An installed package has its bytecode beside it; here the first run leaves it.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}

    def run() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env=environment
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return run
