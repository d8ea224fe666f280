"""Every command and every piece of Python in the README runs, in order, in a fresh folder."""

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.readme import BEGIN, README, TOP

SETS_UP = ("make ", "pip install")
"""Commands that set up an environment; CI runs them by themselves."""


def blocks(language: str) -> list[str]:
    """Return the code blocks of the README in one language, help pages left out."""
    text = README.read_text(encoding="utf-8").partition(BEGIN)[0]
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Return the lines of shell that a reader may type, continued lines joined."""
    lines = "".join(blocks("bash")).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.startswith((*SETS_UP, "#"))]


def questions() -> list[str]:
    """Return the commands of the table of questions."""
    rows = re.findall(r"^\| .*\? \|.*\||^\| .*NaN \|.*\|", README.read_text("utf-8"), re.MULTILINE)
    found = [each for row in rows for each in re.findall(r"`(gradscope [^`]+)`", row.split("|")[2])]
    assert len(found) >= 11
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh folder with the samples' data beside it, as after a clone, and ``gradscope``."""
    fresh = tmp_path_factory.mktemp("reader")
    shutil.copytree(TOP / "sample_runs" / "data", fresh / "sample_runs" / "data")
    script = fresh / "bin" / "gradscope"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gradscope "$@"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    np.save(fresh / "my.npy", np.random.default_rng(0).standard_normal((20, 2, 3)))
    return fresh


def environment(folder: Path) -> dict[str, str]:
    paths = [str(folder / "bin"), os.environ["PATH"]]
    return {**os.environ, "PATH": os.pathsep.join(paths), "PYTHONPATH": str(TOP)}


@pytest.mark.slow
def test_the_commands_run_in_order_in_a_fresh_folder(folder: Path) -> None:
    for command in commands():
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=folder,
            env=environment(folder),
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"


@pytest.mark.slow
@pytest.mark.parametrize("command", questions())
def test_the_command_of_a_question_answers(command: str, folder: Path) -> None:
    if "model.pt" in command:
        torch = pytest.importorskip("torch", reason="the example network is made by PyTorch")
        torch.save(torch.nn.RNN(3, 4).state_dict(), folder / "model.pt")
    done = subprocess.run(
        [
            "/bin/sh",
            "-c",
            f"{command} --force" if "--png" in command or "--html" in command else command,
        ],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.slow
def test_the_python_of_the_readme_runs(folder: Path) -> None:
    for block in blocks("python"):
        for module in ("torch", "pandas"):
            if f"import {module}" in block or f"gradscope.{module}" in block:
                pytest.importorskip(module, reason=f"the example needs {module}")
        done = subprocess.run(
            [sys.executable, "-c", block],
            cwd=folder,
            env=environment(folder),
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert done.returncode == 0, f"{block}\n{done.stderr}"
