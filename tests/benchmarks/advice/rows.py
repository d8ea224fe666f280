"""What a row of the table is, which modules make rows, and how a command is run to be measured.

A module of this folder that has ``rows(*, quick)`` makes rows; nothing needs to be registered.
``quick`` is the part that runs among the slow tests.
"""

import io
import json
import shlex
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from gradscope.cli.app import run
from gradscope.sweep.executors import available_cores

FOLDER = Path(__file__).parent

SEEDS = (0, 1, 2)

Given = TypeVar("Given")
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: what was ``measured``, what is ``wanted``, whether that is ``met``;
    without a wish a row only tells a number to compare with.
    """

    name: str
    measured: str
    wanted: str = "–"
    met: bool = True


def at_least(name: str, kept: int, of: int, least: float) -> Row:
    """Return the row of a promise that was kept so often and must be by this part of all."""
    wanted = f"≥ {least:.0%}" if least < 1.0 else "all"
    return Row(name, f"{kept} of {of}", wanted, met=of > 0 and kept >= least * of)


def mapped(function: Callable[[Given], Made], items: Iterable[Given]) -> list[Made]:
    """Return what a function of this folder makes of each item, in order, computed on all cores."""
    with ProcessPoolExecutor(available_cores(), get_context("spawn")) as pool:
        return list(pool.map(function, items))


def row_makers() -> dict[str, Callable[..., Iterator[Row]]]:
    """Return the ``rows`` of every module that has one, by the module's name."""
    names = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))
    modules = {name: import_module(f"tests.benchmarks.advice.{name}") for name in names}
    return {name: each.rows for name, each in modules.items() if hasattr(each, "rows")}


def document_of(command: str) -> Any:
    """Run a command as it was printed, in this process, and return its JSON document."""
    program, *words = shlex.split(command)
    assert program == "gradscope"
    with tempfile.TemporaryDirectory() as folder, redirect_stderr(io.StringIO()):
        file = Path(folder) / "document.json"
        code = run([*words, "--json", "-o", str(file)])
        assert code == 0, command
        return json.loads(file.read_text("utf-8"))


def rate_of(command: str) -> float:
    """Run a command and return the growth rate of its first stage, nats per step."""
    rate = document_of(command)["stages"][0]["verdict"]["rate_nats_per_step"]
    return float(rate)
