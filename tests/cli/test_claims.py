"""What the main job must show, in numbers, at its default settings."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]

SUNSPOTS = Path(__file__).parents[2] / "sample_runs" / "data" / "sunspots.csv"


def stages(done: "subprocess.CompletedProcess[str]") -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["stages"]
    return found


def test_sigmoid_vanishes_where_tanh_still_carries(run: Run) -> None:
    median = {}
    for activation in ("sigmoid", "tanh"):
        arguments = ("--activation", activation, "--steps", "100", "--updates", "0", "--json")
        (initial,) = stages(run("analyze", *arguments))
        assert initial["profile"]["lags"][98] == 99
        median[activation] = initial["profile"]["log10_norm"]["median"][98]

    assert median["sigmoid"] < -40.0
    assert median["tanh"] > -15.0


def test_ten_thousand_steps_of_sigmoid_stay_finite(run: Run) -> None:
    sizes = ("--steps", "10000", "--hidden", "8", "--sequences", "1", "--updates", "0", "--json")

    (initial,) = stages(run("analyze", *sizes, "--activation", "sigmoid"))

    median = initial["profile"]["log10_norm"]["median"]
    assert len(median) == 10_000
    assert None not in median
    assert -7000.0 < median[-1] < -5000.0


@pytest.mark.slow
def test_ten_thousand_steps_of_the_default_sequences_end_near_minus_six_thousand(run: Run) -> None:
    sizes = ("--steps", "10000", "--hidden", "64", "--updates", "0", "--json")

    (initial,) = stages(run("analyze", *sizes, "--activation", "sigmoid", timeout=600.0))

    curves = initial["profile"]["log10_norm"]
    assert not any(value is None for curve in curves.values() for value in curve)
    assert -6600.0 < curves["median"][-1] < -5400.0


def test_the_sunspot_series_is_learned_better_than_without_memory(run: Run) -> None:
    arguments = ("--data", str(SUNSPOTS), "--column", "SUNACTIVITY", "--steps", "50", "--json")

    done = run("analyze", *arguments)

    trained = stages(done)[-1]
    problem = json.loads(done.stdout)["problem"]
    baseline, errors = problem["baseline"], np.array(problem["lag_errors"])
    assert baseline["error"] == baseline["memoryless"] == errors[0] < baseline["constant"]
    # The textbooks' autoregression of order 9, among all orders up to 50.
    assert (problem["required_lag"], trained["verdict"]["required_lag"]) == (9, 9)
    assert np.flatnonzero(errors <= 1.05 * errors.min())[0] == 8
    assert errors.size == 50
    assert trained["stage"] == "trained"
    assert trained["error"] < baseline["error"]
    assert "better-than-baseline" in [reason["code"] for reason in trained["verdict"]["reasons"]]
