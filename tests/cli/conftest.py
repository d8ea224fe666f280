"""Every command as a real process, in a folder of its own, with nothing inherited but Python.

Where many lines differ in their words alone, ``call`` runs each in this process, and ``shown``
starts a process for each line once and shares what it showed.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from gradscope.cli.app import run as run_line
from gradscope.machine import THREAD_VARIABLES

ROOT = Path(__file__).parents[2]
SMALL = ("--hidden", "4", "--steps", "6", "--updates", "2", "--sequences", "2")
"""A study of a few milliseconds."""

LONGEST_RUN = 240.0
"""Seconds after which a command is taken to hang."""


@pytest.fixture(scope="session")
def small() -> tuple[str, ...]:
    return SMALL


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """Return variables that no terminal or earlier setting of the person can reach."""
    unwanted = ("GRADSCOPE_", "NO_COLOR", "FORCE_COLOR", "TTY_", "COLUMNS", "LINES", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "PYTHONIOENCODING": "utf-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "COLUMNS": "80",
        "TERM": "xterm-256color",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


@pytest.fixture(scope="session")
def program() -> tuple[str, ...]:
    """Return what starts gradscope; a warning that leaks out of it is an error."""
    return (sys.executable, "-W", "error", "-m", "gradscope")


@pytest.fixture
def run(
    program: tuple[str, ...], environment: dict[str, str], tmp_path: Path
) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Return a function that runs one command line to its end, in ``tmp_path``."""

    def run_command(
        *arguments: str, env: Mapping[str, str] | None = None, **options: Any
    ) -> "subprocess.CompletedProcess[str]":
        streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "capture_output": True}
        if "stdout" in options:
            streams = {"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        return subprocess.run(
            [*program, *arguments],
            env={**environment, **(env or {})},
            check=False,
            encoding="utf-8",
            **{"cwd": tmp_path, "timeout": LONGEST_RUN, **streams, **options},
        )

    return run_command


@pytest.fixture(scope="session")
def shown(
    program: tuple[str, ...],
    environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Return a function that runs a line that neither reads nor writes a file, each line once."""
    folder = tmp_path_factory.mktemp("shown")

    @cache
    def run_once(*arguments: str, columns: str = "80") -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [*program, *arguments],
            cwd=folder,
            env={**environment, "COLUMNS": columns},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            encoding="utf-8",
            timeout=LONGEST_RUN,
        )
        assert list(folder.iterdir()) == []
        return done

    return run_once


@pytest.fixture
def call(
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Return a function that runs one command line inside this process, in ``tmp_path``."""
    for name in [name for name in os.environ if name not in environment]:
        monkeypatch.delenv(name)
    for name in ("COLUMNS", "TERM", *THREAD_VARIABLES):
        monkeypatch.setenv(name, environment.get(name, "1"))

    def call_line(*arguments: str, cwd: Path = tmp_path) -> "subprocess.CompletedProcess[str]":
        monkeypatch.chdir(cwd)
        capsys.readouterr()
        code = run_line(arguments)
        out, err = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, out, err)

    return call_line
