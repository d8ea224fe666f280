"""Every sample says today what it said when it was written, on every machine.

Numbers are compared within the tolerance that a sample's own growth justifies (as ``rerun`` states
it). Where rounding is amplified beyond comparison (``exploding``) only what is no digit of the
trajectory is: field names, settings, shapes, regimes, lags, and the bound.
"""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from gradscope.diagnosis.long_run import burn_in_steps
from gradscope.diagnosis.rounding import amplified_rounding, largest_rise, relative_tolerance

SAMPLES = Path(__file__).parents[1] / "sample_runs"
NAMES = sorted(path.parent.name for path in SAMPLES.glob("*/command"))


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_samples", SAMPLES / "make_samples.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def replay(lines: list[list[str]], folder: Path) -> dict[str, Any]:
    """Run a sample's commands, their files redirected into another folder; return the document."""
    for words in lines:
        subprocess.run(
            [sys.executable, "-m", "gradscope", *(redirected(word, folder) for word in words[1:])],
            cwd=SAMPLES.parent,
            check=True,
            capture_output=True,
        )
    document: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return document


def redirected(word: str, folder: Path) -> str:
    """Return a file that a sample writes as one in another folder; other words as they are."""
    written = word.startswith("sample_runs/") and not word.endswith(".csv")
    return str(folder / Path(word).name) if written else word


def analyses(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the analyses of a document, one or many."""
    several: list[dict[str, Any]] = document.get("analyses", [document])
    return several


def test_there_are_samples_of_every_kind_that_the_readme_names() -> None:
    assert set(NAMES) >= {
        "tanh-100",
        "sigmoid-100",
        "exploding",
        "lengths",
        "phase-diagram",
        "sunspots",
    }


LONG = pytest.param("lengths", marks=pytest.mark.slow)
QUICK = sorted({*NAMES} - {"lengths", "phase-diagram"})


@pytest.mark.parametrize("name", [*QUICK, LONG])
def test_a_sample_replays_to_the_same_verdicts_and_numbers(
    name: str, maker: ModuleType, tmp_path: Path
) -> None:
    stored = json.loads((SAMPLES / name / "run.json").read_text(encoding="utf-8"))

    again = replay(maker.commands()[name], tmp_path)

    assert again.keys() == stored.keys()
    assert again["settings"] == stored["settings"]
    assert len(analyses(again)) == len(analyses(stored))
    for now, then in zip(analyses(again), analyses(stored), strict=True):
        assert now["settings"] == then["settings"]
        for stage, before in zip(now["stages"], then["stages"], strict=True):
            assert_same_trajectory_facts(stage, before)
            tolerance = tolerance_of(then, before["stage"])
            if tolerance is not None:
                assert_same_numbers(stage, before, tolerance)
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")


def tolerance_of(run: dict[str, Any], stage: str) -> float | None:
    """Return the relative tolerance of a stage; None where rounding is amplified beyond that."""
    settings, trained = run["settings"], stage == "trained"
    stages = run["stages"] if trained else run["stages"][:1]
    rounding = amplified_rounding(
        (each["verdict"]["rate_nats_per_step"] for each in stages),
        steps=settings["steps"] + burn_in_steps(settings["burn_in"], settings["leak"]),
        width=settings["hidden"],
        updates=settings["updates"] if trained else 0,
        rise=max(largest_rise(each["gradient"]["log10_by_step"]) for each in stages) * np.log(10.0),
    )
    return relative_tolerance(rounding, settings["tolerance"])


def assert_same_trajectory_facts(now: dict[str, Any], then: dict[str, Any]) -> None:
    """Compare what does not depend on the last digits of a trajectory."""
    assert shape_of(now) == shape_of(then)
    for name in ("regime", "required_lag", "max_lag"):
        assert now["verdict"][name] == then["verdict"][name]
    if now["stage"] == "initial":
        bound, before = (each["profile"]["log10_bound"] for each in (now, then))
        # Of an orthogonal W it is 0 but for rounding.
        np.testing.assert_allclose(bound, before, rtol=1e-9, atol=1e-12)


def shape_of(value: Any) -> Any:
    """Return a document with its numbers left out, and lists of numbers as their lengths."""
    if isinstance(value, dict):
        # Reasons are the words of a verdict, and come and go with its numbers.
        return {name: shape_of(each) for name, each in value.items() if name != "reasons"}
    if isinstance(value, list):
        return len(value)
    return None


def assert_same_numbers(now: dict[str, Any], then: dict[str, Any], tolerance: float) -> None:
    assert now["verdict"]["horizon"] == then["verdict"]["horizon"]
    for level, curve in then["profile"]["log10_norm"].items():
        np.testing.assert_allclose(
            now["profile"]["log10_norm"][level], curve, rtol=tolerance, atol=tolerance
        )
    for cause, size in then["causes"].items():
        if isinstance(size, float):
            assert now["causes"][cause] == pytest.approx(size, rel=tolerance, abs=tolerance)
    assert now["error"] == pytest.approx(then["error"], rel=tolerance)


def test_the_chaotic_sample_is_the_one_whose_numbers_cannot_be_compared() -> None:
    beyond = set()
    for name in NAMES:
        document = json.loads((SAMPLES / name / "run.json").read_text(encoding="utf-8"))
        runs = analyses(document) if name != "phase-diagram" else []
        stages = [(run, stage["stage"]) for run in runs for stage in run["stages"]]
        if any(tolerance_of(*each) is None for each in stages):
            beyond.add(name)

    assert beyond == {"exploding"}


@pytest.mark.slow
def test_the_phase_diagram_replays_to_the_same_groups(maker: ModuleType, tmp_path: Path) -> None:
    stored = json.loads((SAMPLES / "phase-diagram" / "run.json").read_text(encoding="utf-8"))

    again = replay(maker.commands()["phase-diagram"], tmp_path)

    assert again["cells"] == stored["cells"] == 468
    for now, then in zip(again["groups"], stored["groups"], strict=True):
        assert now.keys() == then.keys()
        for name, value in then.items():
            same = pytest.approx(value, rel=1e-6) if isinstance(value, float) else value
            assert now[name] == same
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")


def test_the_table_of_samples_is_that_of_their_documents(maker: ModuleType) -> None:
    assert (SAMPLES / "README.md").read_text(encoding="utf-8") == maker.table()
