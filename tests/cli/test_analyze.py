"""``gradscope analyze`` as people and scripts use it."""

import csv
import io
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def parsed(text: str) -> Any:
    """Parse one JSON document; NaN and Infinity are refused."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} in JSON")

    return json.loads(text, parse_constant=refuse)


def test_the_page_goes_to_stdout_and_nothing_to_stderr(shown: Run, small: tuple[str, ...]) -> None:
    done = shown("analyze", *small)

    assert done.returncode == 0
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) <= 24
    assert "WHY" in done.stdout
    assert "What to do" not in done.stdout
    assert "Why" in shown("analyze", *small, "--full").stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize("verdict", [0, 1])
def test_the_exit_code_is_zero_whatever_the_diagnosis(run: Run, verdict: int) -> None:
    settings = (("--activation", "sigmoid"), ("--activation", "identity", "--gain", "3"))[verdict]
    regime = ("vanishing", "exploding")[verdict]

    done = run("analyze", *settings, "--hidden", "4", "--steps", "12", "--updates", "0", "--json")

    assert done.returncode == 0
    assert parsed(done.stdout)["stages"][-1]["verdict"]["regime"] == regime


def test_json_is_one_document_that_opens_with_schema_and_version(
    shown: Run, small: tuple[str, ...]
) -> None:
    done = shown("analyze", *small, "--json")

    document = parsed(done.stdout)
    assert list(document)[:2] == ["schema", "version"]
    assert (document["schema"], document["version"]) == ("gradscope.analysis", 1)
    assert done.stderr == ""
    assert shown("analyze", *small, "--format", "json").stdout == done.stdout


def test_csv_and_markdown_hold_a_row_for_every_stage_and_lag(
    shown: Run, small: tuple[str, ...]
) -> None:
    rows = list(csv.DictReader(io.StringIO(shown("analyze", *small, "--format", "csv").stdout)))
    markdown = shown("analyze", *small, "--format", "md").stdout.splitlines()

    assert [(row["stage"], row["lag"]) for row in rows] == [
        (stage, str(lag)) for stage in ("initial", "trained") for lag in range(1, 7)
    ]
    assert float(rows[0]["log10_p05"]) <= float(rows[0]["log10_median"])
    assert len(markdown) == 2 + len(rows)
    assert markdown[0].startswith("| stage | lag | log10_p05 |")


@pytest.mark.parametrize(
    ("name", "opens_with"), [("a.json", "{"), ("a.csv", "stage,lag"), ("a.md", "| stage")]
)
def test_the_ending_of_the_output_file_chooses_the_format(
    run: Run, small: tuple[str, ...], tmp_path: Path, name: str, opens_with: str
) -> None:
    done = run("analyze", *small, "-o", name)

    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"wrote {name}\n"
    assert (tmp_path / name).read_text().startswith(opens_with)


def test_a_dash_as_output_is_stdout(run: Run, small: tuple[str, ...], tmp_path: Path) -> None:
    done = run("analyze", *small, "--json", "-o", "-")

    assert parsed(done.stdout)["schema"] == "gradscope.analysis"
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_kept_unless_forced(
    run: Run, small: tuple[str, ...], tmp_path: Path
) -> None:
    place = tmp_path / "kept.json"
    place.write_text("mine")

    refused = run("analyze", *small, "-o", place.name)
    assert (refused.returncode, place.read_text()) == (2, "mine")
    assert "--force" in refused.stderr

    forced = run("analyze", *small, "-o", place.name, "--force")
    assert forced.returncode == 0
    assert parsed(place.read_text())["version"] == 1


def test_a_picture_carries_the_settings_that_give_the_same_numbers_again(
    run: Run, small: tuple[str, ...], tmp_path: Path
) -> None:
    first = run("analyze", *small, "--gain", "1.3", "--seed", "5", "--json", "--png", "r.png")
    assert first.stderr == "wrote r.png\n"
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")

    shown = run("show-config", "r.png")
    (tmp_path / "again.toml").write_text(shown.stdout)
    again = run("analyze", "--config", "again.toml", "--json")

    assert again.stdout == first.stdout


@pytest.fixture(scope="module")
def saved(
    program: tuple[str, ...],
    environment: dict[str, str],
    small: tuple[str, ...],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Return a folder with a saved run, run.npz, and its document, run.json."""
    folder = tmp_path_factory.mktemp("saved")
    saving = [*program, "analyze", *small, "--save", "run.npz", "-o", "run.json"]
    subprocess.run(saving, cwd=folder, env=environment, check=True, capture_output=True)
    return folder


def test_a_saved_run_is_plain_numpy_and_gives_its_last_stage_again(run: Run, saved: Path) -> None:
    first = parsed((saved / "run.json").read_text(encoding="utf-8"))
    with np.load(saved / "run.npz", allow_pickle=False) as arrays:
        assert arrays["recurrent_weights"].shape == (4, 4)
        assert arrays["inputs"].shape == (6, 2, 1)
        assert arrays["initial_state"].shape == (2, 4)
        assert json.loads(str(arrays["settings"])) == first["settings"]

    again = parsed(run("analyze", "--load", "run.npz", "--json", cwd=saved).stdout)

    assert [stage["stage"] for stage in again["stages"]] == ["given"]
    assert again["stages"][0]["profile"] == first["stages"][1]["profile"]
    assert again["stages"][0]["gradient"] == first["stages"][1]["gradient"]
    assert again["training"] is None


def test_the_settings_of_a_loaded_run_are_a_config_file_too(
    run: Run, saved: Path, tmp_path: Path
) -> None:
    shutil.copy(saved / "run.npz", tmp_path)
    first = run("analyze", "--load", "run.npz", "--json", "-o", "given.json")
    assert first.returncode == 0
    (tmp_path / "given.toml").write_text(run("show-config", "given.json").stdout)

    again = run("analyze", "--config", "given.toml", "--json")

    assert again.stderr == ""
    assert again.stdout == (tmp_path / "given.json").read_text()


def test_a_loaded_network_can_be_trained_on(run: Run, saved: Path) -> None:
    words = ("--load", "run.npz", "--updates", "3", "--json")

    on = parsed(run("analyze", *words, cwd=saved).stdout)

    assert [stage["stage"] for stage in on["stages"]] == ["given", "trained"]
    assert on["training"]["updates"] == 3


@pytest.mark.parametrize("command", ["analyze", "train"])
def test_fail_on_diverged_ends_with_one_only_where_training_diverged(
    call: Run, command: str
) -> None:
    arguments = (command, "--hidden", "3", "--steps", "12", "--updates", "3", "--json")
    wild = ("--activation", "identity", "--gain", "1e14")

    done = call(*arguments, *wild, "--fail-on", "diverged")

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("failed: --fail-on diverged")
    assert call(*arguments, *wild).returncode == 0
    assert call(*arguments, "--fail-on", "diverged").returncode == 0


def test_a_required_lag_that_was_said_is_the_one_that_is_judged(call: Run) -> None:
    few = ("--hidden", "3", "--steps", "12", "--updates", "0", "--json")

    judged, none, wrong = (
        call("analyze", *few, *more)
        for more in (("--required-lag", "7"), ("--required-lag", "0"), ("--required-lag", "-1"))
    )

    verdicts = [json.loads(each.stdout)["stages"][-1]["verdict"] for each in (judged, none)]
    assert [each["required_lag"] for each in verdicts] == [7, 0]
    assert wrong.stderr == "error: --required-lag is -1; choose 0 or more (at most 10000000)\n"


def test_training_reports_one_error_everywhere(call: Run) -> None:
    arguments = ("--task", "recall", "--hidden", "3", "--steps", "12", "--updates", "1")

    done = call("train", *arguments, "--json")

    (checkpoint,) = json.loads(done.stdout)["checkpoints"]
    assert f"error per step {checkpoint['error_per_step']:.4g}," in done.stderr


@pytest.mark.parametrize(
    ("fail_on", "settings", "code"),
    [
        ("vanishing", ("--activation", "sigmoid"), 1),
        ("exploding", ("--activation", "sigmoid"), 0),
        ("any", ("--activation", "sigmoid"), 1),
        ("exploding", ("--activation", "identity", "--gain", "3"), 1),
        ("vanishing", ("--activation", "identity", "--gain", "3"), 0),
        ("any", ("--activation", "identity", "--init", "identity"), 0),
        ("shut", ("--input-scale", "5000"), 1),
        ("shut", ("--activation", "sigmoid"), 0),
    ],
)
def test_fail_on_ends_with_one_only_where_the_last_stage_shows_it(
    call: Run, fail_on: str, settings: tuple[str, ...], code: int
) -> None:
    sizes = ("--hidden", "4", "--steps", "12", "--updates", "0", "--sequences", "2")

    done = call("analyze", *settings, *sizes, "--fail-on", fail_on, "--json")

    assert done.returncode == code
    assert parsed(done.stdout)["version"] == 1
    assert done.stderr.startswith(f"failed: --fail-on {fail_on}" if code else "")
    assert len(done.stderr.splitlines()) == code


def test_a_comparison_says_which_network_stopped_and_after_what(run: Run) -> None:
    done = run(
        *("compare", "--activation", "relu,tanh", "--steps", "10", "--gain", "1.5", "--updates"),
        *("40", "--hidden", "8", "--learning-rate", "2", "--optimizer", "sgd", "--seeds", "1"),
    )

    assert done.returncode == 0
    assert done.stderr.startswith("warning: relu, 10 steps, seed 0: training stopped at update ")
    assert len(done.stderr.splitlines()) == 1
    assert "after 40 updates" in done.stdout


def test_training_that_overflows_says_so_and_still_shows_the_result(run: Run) -> None:
    done = run(
        *("analyze", "--activation", "softplus", "--optimizer", "sgd", "--learning-rate", "1"),
        *("--hidden", "6", "--steps", "12", "--updates", "3", "--sequences", "2", "--json"),
    )

    training = parsed(done.stdout)["training"]
    assert done.returncode == 0
    assert training["stop"] == "not-finite"
    assert training["non_finite"]["update"] == training["updates"] + 1
    assert done.stderr.startswith("warning: training stopped at update ")
    assert "--learning-rate" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
def test_an_update_that_throws_the_net_out_of_range_is_not_kept(run: Run, cell: str) -> None:
    command = ("analyze", "--cell", cell, "--hidden", "4", "--steps", "6", "--sequences", "2")
    diverging = ("--updates", "3", "--learning-rate", "1e300")

    done = run(*command, *diverging, "--json", "--save", "run.npz", "--png", "run.png")

    found = parsed(done.stdout)
    assert done.returncode == 0
    assert [stage["stage"] for stage in found["stages"]] == ["initial", "trained"]
    assert found["training"]["updates"] == 0
    named = {
        "update": 1,
        "step": 1,
        "factor": "square of a pre-activation or state after the update",
    }
    assert found["training"]["non_finite"] == named
    assert found["stages"][0]["profile"] == found["stages"][1]["profile"]
    assert "no longer finite at step 1; the weights after 0 updates are kept" in done.stderr
    assert run("analyze", "--load", "run.npz").returncode == 0


EXTREMES = [
    ("--gain", "1e100"),
    ("--gain", "1e100", "--activation", "relu"),
    ("--gain", "0"),
    ("--gain", "0", "--updates", "0"),
    ("--input-scale", "0"),
    ("--activation", "relu", "--init", "identity", "--hidden", "6", "--steps", "12"),
    ("--activation", "hard-tanh", "--gain", "30"),
    ("--activation", "sigmoid", "--steps", "1"),
    ("--hidden", "1", "--sequences", "1", "--truncate", "0"),
    ("--clip-norm", "1e-300", "--vanishing", "1e-300", "--exploding", "1e300"),
]


@pytest.mark.parametrize("extreme", EXTREMES, ids=" ".join)
def test_extreme_nets_are_answered_in_finite_numbers_without_a_warning(
    call: Run, small: tuple[str, ...], extreme: tuple[str, ...]
) -> None:
    done = call("analyze", *small, *extreme, "--json")

    assert done.returncode == 0, done.stderr
    parsed(done.stdout)
    assert not any("Warning" in line for line in done.stderr.splitlines())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--panel", "training", "--updates", "0"), "nothing was trained; give --updates N"),
        (("--panel", "theory", "--cell", "gru"), "no theory applies to this cell"),
        (("run.npz", "--panel", "gradient"), "give --readout NAME and --targets FILE"),
        (("--sheet", "--width", "single"), "--width is single"),
    ],
)
def test_a_panel_that_would_be_empty_is_refused(
    call: Run, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    assert call("analyze", "--hidden", "3", "--updates", "0", "--save", "run.npz").returncode == 0

    done = call("analyze", *words, "--steps", "5", "--png", "empty.png")

    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert not (tmp_path / "empty.png").exists()


def test_a_summary_that_cannot_be_written_is_refused_before_anything_is_computed(
    call: Run, tmp_path: Path
) -> None:
    place = tmp_path / "nowhere" / "summary.md"

    done = call("analyze", "--hidden", "4", "--steps", "8", "--summary", str(place))

    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


def test_the_words_of_a_summary_are_no_markup(call: Run, tmp_path: Path) -> None:
    np.savetxt(tmp_path / "a_*b*_<i>.csv", np.sin(np.arange(80.0)), header="x_1", comments="")

    done = call(
        *("analyze", "--data", str(tmp_path / "a_*b*_<i>.csv"), "--hidden", "4", "--steps", "8"),
        *("--updates", "0", "--summary", str(tmp_path / "summary.md")),
    )

    assert done.returncode == 0
    text = (tmp_path / "summary.md").read_text("utf-8")
    assert text.startswith("### ")
    assert r"a\_\*b\*\_\<i\>.csv" in text
