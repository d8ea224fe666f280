"""What a document says of its own reproducibility."""

from typing import Any

import pytest

from gradscope.analysis.analyze import analyze
from gradscope.analysis.results import Comparison
from gradscope.analysis.settings import Settings
from gradscope.report.documents.analysis import analysis_document, comparison_document
from gradscope.report.provenance.reproducible import reproducible

SMALL = Settings(hidden=4, steps=6, sequences=2, updates=0)
GROWING = SMALL.with_changes({"activation": "identity", "gain": 30.0, "steps": 40})


@pytest.fixture(scope="module")
def documents() -> dict[str, Any]:
    found: dict[str, Any] = {
        name: {**analysis_document(analyze(settings)), "environment": environment("Haswell")}
        for name, settings in (("small", SMALL), ("growing", GROWING))
    }
    both = Comparison((analyze(SMALL), analyze(GROWING)))
    found["both"] = {**comparison_document(both), "environment": environment("Haswell")}
    return found


def environment(kernel: str | None) -> dict[str, Any]:
    return {"numpy": "2", "simd": [], "blas": "x", "kernel": kernel, "threads": 1, "platform": "y"}


@pytest.mark.parametrize("name", ["small", "growing", "both"])
def test_one_type_of_machine_gives_the_same_bits(documents: dict[str, Any], name: str) -> None:
    found = reproducible(environment("Haswell"), documents[name], "0.1.0")

    assert (found["same_machine_type"], found["relative_tolerance"]) == (True, 0.0)


@pytest.mark.parametrize("made", [environment("Nehalem"), environment(None), {}])
@pytest.mark.parametrize(
    ("name", "tolerance"), [("small", 1e-6), ("growing", None), ("both", None)]
)
def test_another_machine_gives_a_tolerance_or_says_that_there_is_none(
    documents: dict[str, Any], made: dict[str, Any], name: str, tolerance: float | None
) -> None:
    found = reproducible(made, documents[name], "0.1.0")

    assert (found["same_machine_type"], found["relative_tolerance"]) == (False, tolerance)
    assert found["because"]


def test_training_makes_the_tolerance_wider(documents: dict[str, Any]) -> None:
    trained = {**documents["small"], "settings": {**documents["small"]["settings"], "updates": 999}}

    found = reproducible({}, trained, "0.1.0")

    assert found["relative_tolerance"] == pytest.approx(
        10 * 2.0**-53 * 4 * (6 + 300) * 1000**2, rel=0.5
    )


def test_nothing_is_promised_of_another_version(documents: dict[str, Any]) -> None:
    found = reproducible(environment("Haswell"), documents["small"], "0.0.1")

    assert found["relative_tolerance"] is None
    assert "0.0.1" in found["because"]


def test_a_run_without_targets_has_no_gradient_and_still_a_tolerance(
    documents: dict[str, Any],
) -> None:
    (stage,) = documents["small"]["stages"]
    untargeted = {**documents["small"], "stages": [{**stage, "gradient": None}]}

    assert reproducible({}, untargeted, "0.1.0")["relative_tolerance"] == 1e-6
