"""``gradscope try`` and ``gradscope forecast`` as people type them."""

import csv
import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradscope.analysis.analyze import analyze
from gradscope.analysis.prepare import prepare
from gradscope.remedy import trial
from gradscope.report.provenance.records import read_document
from gradscope.sweep.cell import run_cell

Call = Callable[..., subprocess.CompletedProcess[str]]
SMALL = ("--hidden", "8", "--steps", "12", "--delay", "6", "--sequences", "4", "--seeds", "2")
TRY = ("try", *SMALL, "--updates", "10", "--workers", "1")
"""Smaller inputs help here."""

LITTLE = (*TRY, "--batch", "2", "--learning-rate", "1e-9")
"""Nothing helps that learns nothing."""


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def error_of(done: subprocess.CompletedProcess[str]) -> str:
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith("error: ")
    return done.stderr


def test_the_page_has_the_winner_its_command_and_what_was_not_tried(
    call: Call, tmp_path: Path
) -> None:
    done = call(*TRY, "--html", "try.html", "--png", "try.png", "--svg", "try.svg")

    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("Inputs × 0.1 helps")
    assert "--input-scale 0.1" in done.stdout
    assert "not among the best" in done.stdout
    assert (tmp_path / "try.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "try.html").read_text("utf-8")
    assert 'data-figure="trial"' in page
    assert "--input-scale 0.1" in page
    for name in ("try.html", "try.png"):
        assert read_document(tmp_path / name)["made_by"] == {"command": "try", "seeds": 2}
        again = error_of(call("rerun", name))
        assert all(each in again for each in ("gradscope try ", "--updates 10", "--seeds 2"))
    assert len(call(*TRY, "--explain").stdout.splitlines()) > len(lines)


def test_the_document_ranks_every_candidate_and_resumes(call: Call) -> None:
    found = document(call(*TRY, "--json"))
    again = document(call(*TRY, "--json"))

    assert (found["schema"], found["version"]) == ("gradscope.trial", 1)
    assert found["candidates"] == again["candidates"]
    trained = [each for each in found["candidates"] if each["relative_errors"]]
    means = [np.mean(each["relative_errors"]) for each in trained]
    assert means == sorted(means)
    assert [each["outcome"] for each in trained].count("as it is") == 1
    assert all(each["why"] for each in found["candidates"] if not each["relative_errors"])
    assert found["winner"] == trained[0]["command"]
    assert trained[0]["changes"] == {"input_scale": 0.1}


def test_the_command_of_the_winner_and_apply_give_its_error(call: Call, tmp_path: Path) -> None:
    found = document(call(*TRY, "--json", "--apply", "won.npz"))

    best = found["candidates"][0]["relative_errors"][0]
    kept = analyze(prepare({"load": str(tmp_path / "won.npz")}))
    again = document(call(*found["winner"].split()[1:], "--json"))
    assert kept.relative_error == best
    stage = again["stages"][-1]
    assert stage["error"] / again["problem"]["baseline"]["error"] == pytest.approx(best)


def test_nothing_helps_and_nothing_is_applied(call: Call, tmp_path: Path) -> None:
    found = document(call(*LITTLE, "--json"))
    assert found["winner"] is None
    assert {each["outcome"] for each in found["candidates"]} <= {
        "as it is",
        "did not help",
        "not tried",
    }

    done = call(*LITTLE, "--apply", "won.npz")
    assert done.returncode == 2
    assert not (tmp_path / "won.npz").exists()


def test_the_table_has_a_row_for_each_candidate_and_seed(call: Call) -> None:
    rows = [*csv.DictReader(io.StringIO(call(*TRY, "--format", "csv").stdout))]

    nothing = [row for row in rows if row["change"] == "nothing"]
    assert len(nothing) == 2
    assert all(float(row["relative_error"]) > 0.0 for row in nothing)
    assert all(not row["relative_error"] for row in rows if row["outcome"] == "not tried")


def test_a_budget_is_updates_or_minutes(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    assert document(call(*TRY, "--budget", "3", "--json"))["settings"]["updates"] == 3
    monkeypatch.setattr(trial, "seconds_of", lambda _plan: (60.0, 12.0))
    for text in ("2min", "2 minutes", "2.0m"):
        done = call(*TRY, "--budget", text, "--json")
        assert document(done)["settings"]["updates"] == 5
        assert "5 updates take about 120 s" in done.stderr
    assert "0.5 minutes" in error_of(call(*TRY, "--budget", "0.5min"))


@pytest.mark.parametrize(
    "words",
    [
        *(("--budget", text) for text in ("soon", "1.5", "-3", "10h", "")),
        *(("--seeds", "1"), ("--updates", "0"), ("--budget", "0"), ("--png", "try.txt")),
        ("net.npz",),
    ],
)
def test_what_cannot_be_tried_is_one_line(call: Call, words: tuple[str, ...]) -> None:
    error_of(call(*TRY, *words))


@pytest.mark.parametrize(
    ("words", "named"),
    [(("--budget", "0"), "--budget"), (("--workers", "-1"), "-1"), (("--store", "x.npy"), "x.npy")],
)
def test_what_is_wrong_is_named_before_anything_is_scored(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], named: str
) -> None:
    monkeypatch.setattr(trial, "plan_trial", None)
    (tmp_path / "x.npy").write_text("no store")
    assert named in error_of(call(*TRY, *words))


@pytest.mark.parametrize("words", [("--lags", "3,0"), ("--budgets", "0")])
def test_a_forecast_names_the_option_and_the_value(call: Call, words: tuple[str, ...]) -> None:
    assert f"{words[0]} has 0" in error_of(call("forecast", *words))


def test_what_was_interrupted_in_minutes_names_its_updates(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_cell: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(trial, "seconds_of", lambda _plan: (60.0, 12.0))
    monkeypatch.setattr("gradscope.sweep.run.run_cell", interrupted)
    done = call(*TRY, "--budget", "2min")
    assert done.returncode == 130
    assert "--budget 5 " in done.stderr.splitlines()[-1]
    assert "--budget" not in call(*TRY).stderr


def test_ctrl_c_keeps_what_ended(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def interrupting(cell: Any) -> Any:
        ran.append(cell.key)
        if len(ran) == 4:
            raise KeyboardInterrupt
        return run_cell(cell)

    monkeypatch.setattr("gradscope.sweep.run.run_cell", interrupting)
    done = call(*TRY, "--json")
    assert done.returncode == 130
    found = json.loads(done.stdout)
    assert found["interrupted"] is True
    assert sum(len(each["relative_errors"]) for each in found["candidates"]) == 3

    whole = document(call(*TRY, "--json"))
    assert len(ran) == len(set(ran)) + 1
    assert sum(len(each["relative_errors"]) for each in whole["candidates"]) == len(set(ran))


@pytest.mark.slow
def test_one_worker_and_two_give_the_same_bits(call: Call) -> None:
    one, two = (
        document(call(*TRY, "--workers", count, "--store", f"{count}.db", "--json"))["candidates"]
        for count in ("1", "2")
    )
    assert one == two


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, ...]:
    """Return what names a network, and sequences whose last input it is to keep."""
    rng = np.random.default_rng(1)
    weights = {
        "rnn.weight_ih_l0": rng.normal(size=(4, 3)),
        "rnn.weight_hh_l0": 0.5 * rng.normal(size=(4, 4)),
        "fc.weight": rng.normal(size=(1, 4)),
    }
    np.savez(tmp_path / "net.npz", **weights)  # type: ignore[arg-type]
    inputs = rng.normal(size=(8, 20, 3))
    np.save(tmp_path / "x.npy", inputs)
    np.save(tmp_path / "y.npy", inputs[..., :1])
    given = ("net.npz", "--activation", "tanh", "--data", "x.npy", "--readout", "fc")
    return (*given, "--targets", "y.npy", "--updates", "4", "--seeds", "2", "--workers", "1")


@pytest.mark.parametrize("start", ["given", "scratch"])
def test_a_network_from_a_file_is_tried_from_its_weights_or_new_ones(
    call: Call, files: tuple[str, ...], start: str
) -> None:
    found = document(call("try", *files, "--from", start, "--json"))

    assert found["settings"]["start"] == start
    names = {each["change"] for each in found["candidates"]}
    assert "Ω" in names
    assert ("inputs × 0.1" in names) is (start == "scratch")
    assert any(each["relative_errors"] for each in found["candidates"])


def test_from_scratch_is_usual_for_a_file(call: Call, files: tuple[str, ...]) -> None:
    assert document(call("try", *files, "--json"))["settings"]["start"] == "scratch"


def test_a_gated_cell_that_is_drawn_anew_is_tried_with_biases_that_keep_longer(
    call: Call, files: tuple[str, ...], tmp_path: Path
) -> None:
    with np.load(tmp_path / "net.npz") as arrays:
        gates = {"lstm" + n[3:]: np.tile(arrays[n], (4, 1)) for n in arrays.files if n[0] == "r"}
        np.savez(tmp_path / "net.npz", **gates, **{"fc.weight": arrays["fc.weight"]})  # type: ignore[arg-type]
    given = [each for each in files if each not in ("--activation", "tanh")]
    found = document(call("try", *given, "--json"))

    keep = [each for each in found["candidates"] if {*each["changes"]} == {"forget_bias", "chrono"}]
    assert [each["outcome"] != "not tried" for each in keep] == [True, True]


FORECAST = ("forecast", "--hidden", "8", "--sequences", "4", "--batch", "8")


def test_a_forecast_answers_for_every_lag_and_number_of_updates(call: Call, tmp_path: Path) -> None:
    asked = (*FORECAST, "--lags", "2,40", "--budgets", "50,1000", "--png", "forecast.png")
    page = call(*asked)
    found = document(call(*asked, "--force", "--json"))
    rows = [*csv.DictReader(io.StringIO(call(*asked, "--force", "--format", "csv").stdout))]

    assert (found["schema"], found["version"]) == ("gradscope.forecast", 1)
    assert [each["lag"] for each in found["lags"]] == [2, 40]
    near, far = (each["answers"] for each in found["lags"])
    assert [each["answer"] for each in near] == ["undecided", "yes"]
    assert near[1]["promised_relative_error"] < 1.0
    assert far[0]["answer"] == "no"
    assert far[0]["promised_relative_error"] is None
    wanted = [each["answer"] for lag in (near, far) for each in lag]
    assert [row["answer"] for row in rows] == wanted
    assert page.returncode == 0
    assert len(page.stdout.splitlines()) <= 24
    assert (tmp_path / "forecast.png").read_bytes().startswith(b"\x89PNG")
    again = error_of(call("rerun", "forecast.png"))
    assert all(
        each in again for each in ("gradscope forecast ", "--lags 2,40", "--budgets 50,1000")
    )


def test_lags_are_a_list_or_a_range_each_once(call: Call) -> None:
    found = document(call(*FORECAST, "--lags", "log:2:8:3", "--budgets", "9,9", "--json"))

    assert [(each["lag"], len(each["answers"])) for each in found["lags"]] == [
        (2, 1),
        (4, 1),
        (8, 1),
    ]


@pytest.mark.parametrize(
    "words", [("--lags", "0"), ("--lags", "soon"), ("--budgets", "0"), ("--task", "sine")]
)
def test_what_cannot_be_forecast_is_one_line(call: Call, words: tuple[str, ...]) -> None:
    error_of(call(*FORECAST, *words))
