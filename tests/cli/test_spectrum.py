"""``spectrum`` and the closer looks of ``analyze``, as a person runs them."""

import csv
import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_spectrum_answers_with_the_largest_exponent_first(run: Run, small: tuple[str, ...]) -> None:
    done = run("spectrum", *small)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Largest Lyapunov exponent: ")
    assert "mean field" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_the_spectrum_document_holds_every_value(run: Run, small: tuple[str, ...]) -> None:
    document = json.loads(run("spectrum", *small, "--json").stdout)

    assert (document["schema"], document["version"]) == ("gradscope.spectrum", 1)
    assert 0.0 < document["certificate"] <= document["settings"]["tolerance"]
    spectrum = document["spectrum"]
    hidden = document["settings"]["hidden"]
    assert all(len(each) == hidden for each in spectrum["lyapunov"]["exponents_nats_per_step"])
    lags = spectrum["singular_values"]["lags"]
    assert (lags[0], lags[-1]) == (1, document["settings"]["steps"])
    assert len(spectrum["eigenvalues"]) == hidden
    assert [each["name"] for each in spectrum["theory"]] == [
        "bound",
        "spectral-radius",
        "mean-field",
        "newman",
    ]


def test_the_spectrum_table_has_a_row_for_every_singular_value(
    run: Run, small: tuple[str, ...]
) -> None:
    rows = list(csv.DictReader(io.StringIO(run("spectrum", *small, "--format", "csv").stdout)))

    assert {row["rank"] for row in rows} == {"1", "2", "3", "4"}
    assert {row["lag"] for row in rows} >= {"1", "6"}


def test_the_looks_of_analyze_stand_in_page_and_document(
    run: Run, small: tuple[str, ...], tmp_path: Path
) -> None:
    snapshots = ("--lag-map", "--shares", "--spectrum", "--verify")
    done = run("analyze", *small, *snapshots, "--png", "report.png")

    assert done.returncode == 0
    assert "In detail" in done.stdout
    assert "--truncate" in done.stdout
    assert "exact SVD" in done.stdout
    assert (tmp_path / "report.png").exists()
    document = json.loads(run("analyze", *small, *snapshots, "--json").stdout)
    assert document["verification"]["worst_deviation"] < 1e-9
    assert document["map"]["times"] == list(range(7))
    assert document["shares"]["truncation"]["error"] == 0.05
    assert document["spectrum"]["theory"]


@pytest.mark.parametrize("panel", ["profile", "map", "theory"])
def test_a_panel_is_drawn_alone_and_brings_the_look_it_shows(
    run: Run, small: tuple[str, ...], tmp_path: Path, panel: str
) -> None:
    done = run("analyze", *small, "--panel", panel, "--width", "single", "--pdf", "one.pdf")

    assert (done.returncode, done.stderr) == (0, "wrote one.pdf\n")
    assert (tmp_path / "one.pdf").read_bytes().startswith(b"%PDF-")


def test_a_panel_without_a_picture_is_refused(run: Run, small: tuple[str, ...]) -> None:
    done = run("analyze", *small, "--panel", "map")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == ("error: --panel is map, but no picture is requested; add --png FILE\n")


def test_the_html_report_is_written_whole_and_can_be_run_again(
    run: Run, small: tuple[str, ...], tmp_path: Path
) -> None:
    first = run("analyze", *small, "--json", "--html", "report.html")
    again = run("rerun", "report.html", "--json")

    assert first.stderr == "wrote report.html\n"
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    document = json.loads(again.stdout)
    assert document.pop("reproducible")["same_machine_type"] is True
    assert document == json.loads(first.stdout)


def test_the_spectrum_says_which_sequences_and_steps_it_is_of(
    run: Run, small: tuple[str, ...]
) -> None:
    asked = ("spectrum", *small, "--sequences", "5", "--burn-in", "40")
    found = json.loads(run(*asked, "--json").stdout)
    page = " ".join(run(*asked).stdout.split())

    exponents = found["spectrum"]["lyapunov"]
    steps = found["settings"]["steps"]
    assert (exponents["sequences"], exponents["burn_in"], exponents["steps"]) == (5, 40, steps)
    assert len(exponents["exponents_nats_per_step"]) == 5
    rate_from = {"burn_in": 40, "steps": steps, "sequences": 5, "of": 5, "short_burn_in": False}
    assert found["rate_from"] == rate_from
    assert found["spectrum"]["singular_values"]["sequences"] == 3
    assert max(exponents["sum_rule_residual"]) < 1e-9
    assert f"median of 5 sequences; {steps} steps after 40" in page
    assert "median of 3 of 5 sequences; the profile has all" in page
    assert "of one sequence" in page
    assert "sum rule: Σλ" in page
