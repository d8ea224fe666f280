"""Every sample says today what it said when it was written."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

SAMPLES = Path(__file__).parents[1] / "sample_runs"
NAMES = sorted(path.parent.name for path in SAMPLES.glob("*/command"))

LOOSE = 1e-3
"""Training magnifies the last digit, in which BLAS libraries differ."""


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


@pytest.mark.parametrize("name", [name for name in NAMES if name != "phase-diagram"])
def test_a_sample_replays_to_the_same_verdicts_and_numbers(
    name: str, maker: ModuleType, tmp_path: Path
) -> None:
    stored = json.loads((SAMPLES / name / "run.json").read_text(encoding="utf-8"))

    again = replay(maker.commands()[name], tmp_path)

    assert again["settings"] == stored["settings"]
    assert len(analyses(again)) == len(analyses(stored))
    for now, then in zip(analyses(again), analyses(stored), strict=True):
        assert now["settings"] == then["settings"]
        for stage, before in zip(now["stages"], then["stages"], strict=True):
            assert_same_stage(stage, before)
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")


def assert_same_stage(now: dict[str, Any], then: dict[str, Any]) -> None:
    tolerance = LOOSE if now["stage"] == "trained" else 1e-9
    assert now["verdict"]["regime"] == then["verdict"]["regime"]
    assert now["verdict"]["horizon"] == then["verdict"]["horizon"]
    for level, curve in then["profile"]["log10_norm"].items():
        np.testing.assert_allclose(
            now["profile"]["log10_norm"][level], curve, rtol=tolerance, atol=tolerance
        )
    for cause, size in then["causes"].items():
        if isinstance(size, float):
            assert now["causes"][cause] == pytest.approx(size, rel=tolerance, abs=tolerance)
    assert now["error"] == pytest.approx(then["error"], rel=tolerance)


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
