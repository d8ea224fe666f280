"""The analysis document, version 1: every promised field, of its promised type, in every stage."""

import json
import math
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]

CASES = {
    "trained": ("--updates", "2"),
    "untrained": ("--updates", "0"),
    "given": ("--load", "run.npz"),
    "exactly zero": ("--gain", "100", "--activation", "hard-tanh", "--updates", "0"),
    "exploding": ("--gain", "1e40", "--activation", "identity", "--updates", "0"),
    "series": ("--data", "series.csv", "--updates", "1"),
}
STAGES = {
    "trained": ["initial", "trained"],
    "untrained": ["initial"],
    "given": ["given"],
    "exactly zero": ["initial"],
    "exploding": ["initial"],
    "series": ["initial", "trained"],
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(
    program: tuple[str, ...],
    environment: dict[str, str],
    small: tuple[str, ...],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Return a folder with a series and a saved run."""
    place = tmp_path_factory.mktemp("documents")
    (place / "series.csv").write_text("\n".join(str(math.sin(t)) for t in range(40)))
    saving = [*program, "analyze", *small, "--save", "run.npz"]
    subprocess.run(saving, cwd=place, env=environment, check=True, capture_output=True)
    return place


@pytest.fixture(scope="module")
def document(
    case: str,
    program: tuple[str, ...],
    environment: dict[str, str],
    small: tuple[str, ...],
    folder: Path,
) -> dict[str, Any]:
    sizes = () if case == "given" else small
    done = subprocess.run(
        [*program, "analyze", *sizes, *CASES[case], "--json"],
        cwd=folder,
        env=environment,
        capture_output=True,
        check=True,
        encoding="utf-8",
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def maybe_number(value: Any) -> bool:
    return value is None or number(value)


def numbers_of_length(values: Any, length: int) -> bool:
    return len(values) == length and all(maybe_number(each) for each in values)


def test_every_promised_field_is_there_with_its_type(document: dict[str, Any], case: str) -> None:
    assert list(document)[:2] == ["schema", "version"]
    assert (document["schema"], document["version"]) == ("gradscope.analysis", 1)
    assert isinstance(document["gradscope"], str)
    assert isinstance(document["settings"]["seed"], int)
    assert set(document["environment"]) >= {"python", "numpy"}
    assert [stage["stage"] for stage in document["stages"]] == STAGES[case]
    for stage in document["stages"]:
        check_profile(stage["profile"])
        check_verdict(stage["verdict"])
        check_causes(stage["causes"])
        check_gradient(stage["gradient"])
    check_training(document["training"], trained="trained" in STAGES[case])


def check_profile(profile: dict[str, Any]) -> None:
    lags = profile["lags"]
    assert lags == list(range(1, len(lags) + 1))
    assert set(profile["log10_norm"]) == {"p05", "median", "p95"}
    for curve in (*profile["log10_norm"].values(), profile["log10_bound"]):
        assert numbers_of_length(curve, len(lags))
    assert number(profile["certificate"])
    holes = any(value is None for curve in profile["log10_norm"].values() for value in curve)
    assert isinstance(profile["null_because"], str) is holes


def check_verdict(verdict: dict[str, Any]) -> None:
    regimes = {"vanishing", "exploding", "stable", "mixed", "transient"}
    assert verdict["regime"] in regimes
    assert maybe_number(verdict["rate_nats_per_step"])
    assert verdict["horizon"] is None or isinstance(verdict["horizon"], int)
    assert verdict["required_lag"] is None or isinstance(verdict["required_lag"], int)
    assert isinstance(verdict["rate_null_because"], str) is (verdict["rate_nats_per_step"] is None)
    assert isinstance(verdict["horizon_null_because"], str) is (verdict["horizon"] is None)
    assert verdict["reasons"]
    for reason in verdict["reasons"]:
        assert isinstance(reason["code"], str)


def check_causes(causes: dict[str, Any]) -> None:
    terms = [causes[name] for name in ("weights", "slope_ceiling", "misalignment", "saturation")]
    if causes["total"] is None:
        assert terms == [None] * 4
        assert isinstance(causes["null_because"], str)
    else:
        assert math.isclose(sum(terms), causes["total"], rel_tol=1e-9, abs_tol=1e-9)


def check_gradient(gradient: dict[str, Any]) -> None:
    assert maybe_number(gradient["norm"])
    assert numbers_of_length(gradient["by_step"], len(gradient["steps"]))
    assert numbers_of_length(gradient["log10_by_step"], len(gradient["steps"]))
    for plain, log10 in zip(gradient["by_step"], gradient["log10_by_step"], strict=True):
        if plain and log10 is not None:
            assert math.isclose(math.log10(plain), log10, rel_tol=1e-6, abs_tol=1e-9)


def check_training(training: dict[str, Any] | None, *, trained: bool) -> None:
    assert (training is not None) is trained
    if training is not None:
        assert training["updates"] == len(training["loss"]) == len(training["gradient_norm"])
        assert number(training["clipped_fraction"])


def test_a_null_always_has_a_reason_beside_it(document: dict[str, Any]) -> None:
    # What is absent by choice (an unset setting, no training, no known lag, no closer look) needs
    # none.
    absent = ("settings", "training", "required_lag", "null_because")
    snapshots = {
        (name,) for name in ("map", "shares", "spectrum", "memory", "verification", "depth")
    }
    for path, siblings in nulls(document):
        if path not in snapshots and not any(name in part for part in path for name in absent):
            assert any(
                key.endswith("null_because") and isinstance(value, str)
                for key, value in siblings.items()
            ), path


def nulls(
    value: Any, path: tuple[str, ...] = (), siblings: dict[str, Any] | None = None
) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Yield where every null stands, with the nearest object around it that is not all curves."""
    if value is None:
        yield path, siblings or {}
    elif isinstance(value, dict):
        around = siblings if siblings and set(value) == {"p05", "median", "p95"} else value
        for key, each in value.items():
            yield from nulls(each, (*path, key), around)
    elif isinstance(value, list):
        for each in value:
            yield from nulls(each, path, siblings)


def test_an_exactly_zero_product_is_null_with_its_reason(
    shown: Run, small: tuple[str, ...]
) -> None:
    done = shown("analyze", *small, *CASES["exactly zero"], "--json")

    stage = json.loads(done.stdout)["stages"][0]
    assert stage["profile"]["log10_norm"]["median"] == [None] * 6
    assert stage["profile"]["null_because"] == "the product is exactly zero"
    assert stage["verdict"]["rate_nats_per_step"] is None
    assert stage["verdict"]["horizon"] == 1
    assert "exactly-zero" in [reason["code"] for reason in stage["verdict"]["reasons"]]
