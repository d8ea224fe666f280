"""Every command and every piece of Python in the README runs, in order, in a fresh folder."""

import importlib.util
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

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


def questions() -> list[tuple[str, str]]:
    """Return the questions of the table, each with its command."""
    rows = re.findall(r"^\| .*\? \|.*\||^\| .*NaN \|.*\|", README.read_text("utf-8"), re.MULTILINE)
    found = [
        (row.split("|")[1].strip(), each)
        for row in rows
        for each in re.findall(r"`(gradscope [^`]+)`", row.split("|")[2])
    ]
    assert len(found) >= 13
    return found


def reasons(document: Any) -> dict[str, Any]:
    """Return the reasons of the last stage's verdict by their codes."""
    return {each["code"]: each for each in document["stages"][-1]["verdict"]["reasons"]}


def sizes(document: Any, activation: str) -> list[float]:
    """Return log10 σ_max before training at the last lag, by length."""
    cells = [c for c in document["cells"] if c["activation"] == activation]
    return [c["log10_norm_at_last_lag"] for c in cells if c["stage"] == "initial"]


def shrinks_below_its_bound(document: Any) -> bool:
    rate = document["stages"][-1]["verdict"]["rate_nats_per_step"]
    bound = reasons(document)["bound-allows-exploding"]["bound_rate_nats_per_step"]
    return bool(rate < 0.0 < bound)


def far_shares_stay_small(document: Any) -> bool:
    share = document["shares"]["log10_share_recurrent_weights"]
    required = document["problem"]["required_lag"]
    clipped = document["training"]["clipped_fraction"]
    return bool(clipped > 0.0 and share[required] < share[0] - 3.0)


def largest_exponent_is_positive(document: Any) -> bool:
    found = document["spectrum"]["lyapunov"]
    firsts = zip(found["exponents_nats_per_step"], found["standard_errors"], strict=True)
    return all(exponents[0] > 2.0 * errors[0] for exponents, errors in firsts)


ANSWERS: Mapping[str, Callable[[Any], bool]] = {
    "Why do RNN gradients vanish or explode?": lambda d: all(
        tanh > sigmoid for tanh, sigmoid in zip(sizes(d, "tanh"), sizes(d, "sigmoid"), strict=True)
    ),
    "Does ‖W‖ > 1 guarantee explosion?": shrinks_below_its_bound,
    "How do I get ∂h_{t+1}/∂h_t out of `nn.RNN`?": lambda d: d["passed"] and len(d["checks"]) > 1,
    "How do I see the gradient per time step?": lambda d: (
        [len(row) for row in d["map"]["log10_norm_median"]] == list(range(1, 102))
        and len(d["stages"][-1]["gradient"]["log10_by_step"]) == 101
    ),
    "The loss is NaN: which step, which factor?": lambda d: (
        d["training"]["non_finite"]["step"] >= 1 and d["training"]["non_finite"]["factor"] != ""
    ),
    "Which clipping value?": lambda d: (
        len(d["training"]["gradient_norm"]) == 200 and d["training"]["clipped_fraction"] == 0.0
    ),
    "Why not just clip instead of an LSTM?": far_shares_stay_small,
    "Why tanh and not sigmoid or ReLU?": lambda d: (
        max(d["stages"][-1]["slopes"]["p95"]) <= d["stages"][-1]["slopes"]["ceiling"] == 0.25
    ),
    "Can an LSTM still explode?": lambda d: (
        d["stages"][-1]["verdict"]["regime"] == "exploding"
        and {"direct", "closed_gates", "gate_slopes"} <= set(d["stages"][-1]["causes"])
    ),
    "How long must truncated BPTT be?": lambda d: d["shares"]["truncation"]["length"] >= 1,
    "It predicts a constant: is it the gradient?": lambda d: "gradient-fine" in reasons(d),
    "States grow with t and go NaN": lambda d: reasons(d)["state-overflows"]["step"] > 100,
    "Is my network sick, or is it fine?": lambda d: "main-cause" in reasons(d),
    "Is it chaos, a cycle, a fixed point?": largest_exponent_is_positive,
}
"""What the document of each command must say."""


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
@pytest.mark.parametrize(("question", "command"), questions())
def test_the_command_of_a_question_answers(question: str, command: str, folder: Path) -> None:
    if "model.pt" in command:
        torch = pytest.importorskip("torch", reason="the example network is made by PyTorch")
        torch.save(torch.nn.LSTM(3, 4).state_dict(), folder / "model.pt")
        np.save(folder / "my.npy", np.random.default_rng(0).standard_normal((20, 2, 3)))
    writes = "--png" in command or "--html" in command

    command = f"{command} --json --force" if writes else f"{command} --json"
    done = run(["/bin/sh", "-c", command], folder)

    assert done.returncode == 0, done.stderr
    assert ANSWERS[question](json.loads(done.stdout)), done.stdout[:2000]
