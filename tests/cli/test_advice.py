"""Each advice has a command, and its command shows the rate that the advice gave."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest

Call = Callable[..., "CompletedProcess[str]"]

SMALL = ("--hidden", "12", "--steps", "30", "--delay", "20", "--sequences", "8")
UNTRAINED = (*SMALL, "--updates", "0")
SHORT = ("--vanishing", "0.2")


def document(call: Call, *arguments: str) -> Any:
    done = call(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def run_advice(call: Call) -> Callable[..., dict[str, tuple[Any, Any]]]:
    """Return a function that analyzes, runs the command of every advice, and returns each advice
    with the first stage that its command shows, by code.
    """

    def run(*arguments: str) -> dict[str, tuple[Any, Any]]:
        found = {}
        for remedy in document(call, "analyze", *arguments)["remedies"]:
            if remedy["command"] is None:
                assert remedy["command_null_because"]
                continue
            program, *words = shlex.split(remedy["command"])
            assert program == "gradscope"
            found[remedy["code"]] = remedy, document(call, *words)["stages"][0]
        return found

    return run


def assert_rates(found: dict[str, tuple[Any, Any]], *without: str) -> None:
    for code, (remedy, stage) in found.items():
        rate = remedy.get("predicted_rate")
        assert (rate is None) is (code in without)
        if rate is not None:
            assert remedy["predicted_from"] == "measurement"
            # A gated cell is examined over more steps.
            off = 0.02 if code == "gates" else 1e-12
            assert stage["verdict"]["rate_nats_per_step"] == pytest.approx(rate, abs=off)


@pytest.mark.parametrize(
    ("arguments", "codes"),
    [
        (("--gain", "0.9"), {"reduce-saturation", "gates"}),
        (("--init", "uniform", "--gain", "0.8"), {"align-weights", "raise-gain", "gates"}),
        (("--activation", "sigmoid"), {"raise-slope-ceiling", "gates"}),
        (("--activation", "relu"), {"raise-gain", "gates"}),
        (("--activation", "relu", "--gain", "3"), {"lower-gain", "clip"}),
        (("--activation", "identity", "--gain", "2000"), {"check-size"}),
        (("--cell", "lstm"), {"keep-longer"}),
        (("--cell", "gru", "--input-scale", "3"), {"keep-longer"}),
        (("--input-scale", "5000"), {"standardise-inputs"}),
        (("--gain", "50", "--input-scale", "0.5"), {"reduce-saturation"}),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else "",
)
def test_the_command_of_each_advice_shows_the_rate_that_it_gave(
    run_advice: Callable[..., dict[str, tuple[Any, Any]]],
    arguments: tuple[str, ...],
    codes: set[str],
) -> None:
    found = run_advice(*UNTRAINED, *SHORT, *arguments)

    assert codes <= set(found)
    shut = {"standardise-inputs"} if "5000" in arguments else set()
    shut |= {"reduce-saturation"} if "50" in arguments else set()
    assert_rates(found, "clip", "check-size", *shut)
    for code in shut:  # What wrote nothing now writes.
        assert found[code][1]["write_level"] > 0.05


def test_of_a_trained_network_the_rate_is_that_before_training(
    run_advice: Callable[..., dict[str, tuple[Any, Any]]],
) -> None:
    found = run_advice(*SMALL, *SHORT, "--updates", "3", "--gain", "0.9", "--seed", "1")

    assert {"reduce-saturation", "gates"} <= set(found)
    assert {stage["stage"] for _, stage in found.values()} == {"initial"}
    assert "--updates 3" in found["gates"][0]["command"]
    assert_rates(found)


@pytest.mark.parametrize(
    "more",
    [
        ("--burn-in", "0"),
        ("--noise", "0.1"),
        ("--dt", "0.1", "--tau", "0.4"),
        ("--state", "pre", "--leak", "0.5"),
        ("--activation", "sigmoid", "--center-bias"),
        ("--steps", "1", "--delay", "0"),
        ("--gain", "0"),
        ("--gain", "1e80", "--activation", "identity", "--steps", "2", "--delay", "1"),
        ("--clip-value", "0.1", "--gain", "3", "--activation", "relu"),
    ],
    ids=" ".join,
)
def test_every_command_runs_whatever_the_settings(
    run_advice: Callable[..., dict[str, tuple[Any, Any]]], more: tuple[str, ...]
) -> None:
    run_advice(*UNTRAINED, "--vanishing", "0.9", *more)


def test_a_network_from_a_file_gets_the_commands_that_a_flag_can_make(
    call: Call, run_advice: Callable[..., dict[str, tuple[Any, Any]]], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    shapes = {"weight_ih_l0": (12, 2), "bias_ih_l0": (12,), "bias_hh_l0": (12,)}
    arrays: dict[str, Any] = {f"rnn.{n}": rng.normal(size=s) / 4 for n, s in shapes.items()}
    arrays["rnn.weight_hh_l0"] = 0.4 * np.linalg.qr(rng.normal(size=(12, 12)))[0]
    np.savez(tmp_path / "net.npz", **arrays)
    np.save(tmp_path / "x.npy", rng.normal(40.0, 1.0, size=(30, 4, 2)))
    given = ("net.npz", "--activation", "tanh", "--steps", "30")

    noise, data = run_advice(*given), run_advice(*given[:3], "--data", "x.npy")

    assert_rates(noise)
    assert set(noise) == {"raise-gain"}
    assert "--gain" in noise["raise-gain"][0]["command"]
    assert data["standardise-inputs"][1]["write_level"] > 0.05
    assert "--standardise" in data["standardise-inputs"][0]["command"]
    page = call("analyze", *given, "--full").stdout
    assert noise["raise-gain"][0]["command"].split(" --")[-1] in page


def test_a_command_stands_below_its_sentence_as_a_shell_takes_it(call: Call) -> None:
    arguments = ("analyze", *UNTRAINED, *SHORT, "--activation", "sigmoid", "--seed", "123456789")
    commands = [each["command"] for each in document(call, *arguments)["remedies"]]

    page = call(*arguments, "--full").stdout.partition("What to do")[2]

    assert len(commands) > 1
    assert max(map(len, page.splitlines())) <= 80
    # As a shell does, and unlike shlex: a backslash at the end of a line joins it to the next.
    words = page.replace("\\\n", "").split()
    for command in commands:
        wanted = shlex.split(command)
        starts = [i for i, word in enumerate(words) if word == "gradscope"]
        assert wanted in [words[i : i + len(wanted)] for i in starts]
