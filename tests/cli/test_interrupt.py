"""Ctrl-C: exit code 130, one line, and what was finished is kept.

A test waits for a line on stderr: Python is asked to report its imports, and a program around the
command to report how long the sequences are that it trains on.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sweeping import PATIENCE

SIZES = ("--hidden", "8", "--steps", "20", "--sequences", "2")
ENDLESS = (*SIZES, "--updates", "1000000")
TOP = Path(__file__).parents[2]
READY = "gradscope.analysis.analyze"
"""The import after which a command begins to compute."""

TRAINING = """\
import sys
import gradscope.learning.training as training
from gradscope.__main__ import main

backpropagate, calls = training.backpropagate, {}

def reporting(params, trajectory, *arguments, **options):
    gradients = backpropagate(params, trajectory, *arguments, **options)
    calls[trajectory.n_steps] = calls.get(trajectory.n_steps, 0) + 1
    if calls[trajectory.n_steps] == 3:
        print(f"training on {trajectory.n_steps} steps", file=sys.stderr, flush=True)
    return gradients

training.backpropagate = reporting
main()
"""
"""The command, with a line on stderr at the third update on sequences of each length."""


class Interrupted:
    """A command that is interrupted once stderr has shown a word, and what it left behind."""

    def __init__(
        self,
        arguments: list[str],
        variables: dict[str, str],
        folder: Path,
        *,
        word: str,
    ) -> None:
        with subprocess.Popen(
            arguments,
            cwd=folder,
            env={**variables, "PYTHONPROFILEIMPORTTIME": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        ) as process:
            assert process.stderr is not None
            shown = next(line for line in process.stderr if word in line)
            process.send_signal(signal.SIGINT)
            self.stdout, rest = process.communicate(timeout=PATIENCE)
        self.code = process.returncode
        lines = [shown, *rest.splitlines()]
        markers = ("import time:", "training on ")
        self.notes = [line for line in lines if not line.startswith(markers)]


@pytest.fixture(scope="module")
def reporting_program() -> tuple[str, ...]:
    """Return what starts gradscope and tells of its training; see ``TRAINING``."""
    return (sys.executable, "-W", "error", "-c", TRAINING)


def test_training_keeps_what_was_learned(
    program: tuple[str, ...], environment: dict[str, str], tmp_path: Path
) -> None:
    arguments = [*program, "train", *ENDLESS, "--json", "--save", "kept.npz"]

    done = Interrupted(arguments, environment, tmp_path, word="update 1:")

    document = json.loads(done.stdout)
    assert done.code == 130
    assert document["training"]["stop"] == "interrupted"
    assert 1 <= document["training"]["updates"] < 1_000_000
    assert done.notes[-1].startswith("warning: interrupted after ")
    loading = [*program, "analyze", "--load", "kept.npz", "--json"]
    again = subprocess.run(
        loading, cwd=tmp_path, env=environment, capture_output=True, check=True, encoding="utf-8"
    )
    rate = json.loads(again.stdout)["stages"][0]["verdict"]["rate_nats_per_step"]
    assert rate == document["verdict"]["rate_nats_per_step"]


def test_an_interrupted_analysis_shows_the_stages_it_has(
    reporting_program: tuple[str, ...], environment: dict[str, str], tmp_path: Path
) -> None:
    arguments = [*reporting_program, "analyze", *ENDLESS, "--json"]

    done = Interrupted(arguments, environment, tmp_path, word="training on 20 steps")

    document = json.loads(done.stdout)
    assert done.code == 130
    assert [stage["stage"] for stage in document["stages"]] == ["initial", "trained"]
    assert len(done.notes) == 1
    assert done.notes[0].startswith("warning: interrupted after ")


def test_an_interrupted_comparison_shows_the_finished_cells(
    reporting_program: tuple[str, ...], environment: dict[str, str], tmp_path: Path
) -> None:
    sizes = ("--hidden", "8", "--updates", "500", "--sequences", "2", "--steps", "2,2000")
    one = ("--activation", "tanh", "--seeds", "1", "--workers", "1")
    arguments = [*reporting_program, "compare", *sizes, *one, "--json"]

    done = Interrupted(arguments, environment, tmp_path, word="training on 2000 steps")

    document = json.loads(done.stdout)
    assert done.code == 130
    assert document["interrupted"] is True
    assert {cell["steps"] for cell in document["cells"]} == {2}
    assert done.notes == ["interrupted after 1 of 2 networks"]


@pytest.mark.parametrize("word", ["gradscope.errors", "numpy.linalg", READY])
def test_an_interrupt_at_any_moment_is_exit_code_130_without_a_traceback(
    program: tuple[str, ...], environment: dict[str, str], tmp_path: Path, word: str
) -> None:
    arguments = [*program, "analyze", *ENDLESS, "--format", "csv", "-o", "out.csv"]

    done = Interrupted(arguments, environment, tmp_path, word=word)

    assert done.code == 130
    assert any("interrupted" in line for line in done.notes)
    assert not any("Traceback" in line or "Exception" in line for line in done.notes)
    assert not list(tmp_path.glob(".*"))


LOSING = {
    # What dataclasses do: Python marks an interrupt within as unhandled, and ends by the signal.
    "import": "exec('os.kill(os.getpid(), signal.SIGINT)')",
    "finaliser": (
        "class Last:\n"
        "    def __del__(self):\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        time.sleep(0)\n"
        "def lose():\n"
        "    Last()\n"
    ),
    "callback": (
        "class Known: pass\n"
        "def lose():\n"
        "    known = Known()\n"
        "    weakref.finalize(known, os.kill, os.getpid(), signal.SIGINT)\n"
        "    del known\n"
    ),
}


@pytest.mark.parametrize("moment", LOSING)
def test_an_interrupt_that_python_would_lose_is_heard_a_moment_later(
    tmp_path: Path, moment: str
) -> None:
    module = f"import os, signal, time, weakref\nlose = int\n{LOSING[moment]}\nwhole = True\n"
    (tmp_path / "interrupting.py").write_text(module)
    script = (
        "from gradscope.cli.interrupts import hold_interrupts_that_would_be_lost\n"
        "import time\n"
        "hold_interrupts_that_would_be_lost()\n"
        "try:\n"
        "    import interrupting\n"
        "    interrupting.lose()\n"
        "    time.sleep(3600)\n"
        "except KeyboardInterrupt:\n"
        "    print('whole' if interrupting.whole else 'half')\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TOP), str(tmp_path)])},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "whole\n", "")
