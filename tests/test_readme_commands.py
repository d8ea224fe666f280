"""Every command and every piece of Python in the README runs, in order, in a fresh folder."""

import importlib.util
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.readme import README, TOP

SETS_UP = ("make ", "pip install")
"""Commands that set up an environment; CI runs them by themselves."""

WITHOUT_TORCH = importlib.util.find_spec("torch") is None


def examples() -> list[tuple[str, str]]:
    """Return in order what a reader may run, with its language: lines of shell and Python."""
    text = README.read_text(encoding="utf-8")
    found = []
    for language, block in re.findall(
        r"^```(bash|python)\n(.*?)^```", text, re.MULTILINE | re.DOTALL
    ):
        lines = block.replace("\\\n", " ").splitlines() if language == "bash" else [block]
        found += [(language, each) for each in lines if not each.startswith((*SETS_UP, "#"))]
    return found


def questions() -> list[str]:
    """Return the commands of the table of questions."""
    rows = re.findall(r"^\| .*\? \|.*\||^\| .*NaN \|.*\|", README.read_text("utf-8"), re.MULTILINE)
    found = [each for row in rows for each in re.findall(r"`(gradscope [^`]+)`", row.split("|")[2])]
    assert len(found) >= 13
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
    return fresh


def run(arguments: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    paths = [str(folder / "bin"), os.environ["PATH"]]
    return subprocess.run(
        arguments,
        cwd=folder,
        env={**os.environ, "PATH": os.pathsep.join(paths), "PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


@pytest.mark.slow
def test_everything_a_reader_may_type_runs_in_order(folder: Path) -> None:
    for language, text in examples():
        if WITHOUT_TORCH and ("torch" in text or "model.pt" in text):
            continue
        shell = ["/bin/sh", "-c"] if language == "bash" else [sys.executable, "-c"]
        done = run([*shell, text], folder)
        assert done.returncode == 0, f"{text}\n{done.stderr}"


@pytest.mark.slow
@pytest.mark.parametrize("command", questions())
def test_the_command_of_a_question_answers(command: str, folder: Path) -> None:
    if "model.pt" in command:
        torch = pytest.importorskip("torch", reason="the example network is made by PyTorch")
        torch.save(torch.nn.LSTM(3, 4).state_dict(), folder / "model.pt")
        np.save(folder / "my.npy", np.random.default_rng(0).standard_normal((20, 2, 3)))
    writes = "--png" in command or "--html" in command

    done = run(["/bin/sh", "-c", f"{command} --force" if writes else command], folder)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
