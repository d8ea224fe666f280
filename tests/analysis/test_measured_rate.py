"""The growth rate of a network under other settings, on the same sequences."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradscope.analysis.analyze import analyze, measured_rate
from gradscope.analysis.prepare import Prepared, prepare
from gradscope.analysis.settings import Settings
from gradscope.diagnosis.remedies import Measure
from gradscope.names import ActivationName, CellName

SMALL: dict[str, Any] = {"hidden": 12, "steps": 30, "sequences": 4, "updates": 0}


def test_an_orthogonal_linear_network_grows_by_its_gain() -> None:
    measure = measured_rate(prepare(Settings(**SMALL, activation=ActivationName.SIGMOID)))
    linear = {"activation": "identity", "init": "orthogonal"}

    for gain in (0.3, 1.0, 1.4):
        assert measure(**linear, gain=gain) == pytest.approx(np.log(gain), abs=1e-12)
    # With inputs that hardly move it, a tanh is linear, and a sigmoid at rest at ½ has slope 1/4.
    still = {"init": "orthogonal", "input_scale": 1e-6}
    assert measure(activation="tanh", gain=0.8, **still) == pytest.approx(np.log(0.8), abs=1e-9)
    quarter = measure(center_bias=True, gain=0.8, **still)
    assert quarter == pytest.approx(np.log(0.2), abs=1e-9)


def test_what_cannot_go_on_is_infinite_and_what_died_is_minus_infinity() -> None:
    measure = measured_rate(prepare(Settings(**SMALL)))

    assert measure(activation="identity", gain=1e50) == np.inf
    assert measure(gain=0.0) == -np.inf


@pytest.mark.parametrize(
    "changes",
    [
        {"init": "gaussian", "gain": 1.2},
        {"activation": "relu"},
        {"input_scale": 0.1},
        {"leak": 0.3, "gain": 0.9},
    ],
)
def test_it_is_the_rate_that_an_analysis_with_these_settings_finds(changes: Any) -> None:
    settings = Settings(**SMALL, seed=3)

    measured = measured_rate(prepare(settings))(**changes)

    found = analyze(settings.with_changes(changes))
    assert measured == pytest.approx(found.last.verdict.rate, abs=1e-12)


def test_a_trained_network_is_measured_as_it_was_before() -> None:
    settings = Settings(**{**SMALL, "updates": 2})

    found = analyze(settings)

    assert measured_rate(prepare(settings))() == found.stages[0].verdict.rate


@pytest.mark.parametrize("cell", [CellName.ELMAN, CellName.GRU])
def test_of_a_network_from_a_file_w_is_scaled(tmp_path: Path, cell: CellName) -> None:
    name, blocks = {CellName.ELMAN: ("rnn", 1), CellName.GRU: ("gru", 3)}[cell]
    rng, file = np.random.default_rng(0), tmp_path / "net.npz"
    shapes = {"weight_ih_l0": (2,), "weight_hh_l0": (6,), "bias_ih_l0": (), "bias_hh_l0": ()}
    of_file: dict[str, Any] = {
        f"{name}.{k}": rng.normal(size=(6 * blocks, *s)) / 3 for k, s in shapes.items()
    }
    np.savez(file, **of_file)
    asked = {"weights": str(file), "activation": "tanh", "steps": 20, "gain": 0.8}

    measured = measured_rate(prepare(asked))(gain=1.2)

    assert measured == pytest.approx(analyze(prepare({**asked, "gain": 1.2})).last.verdict.rate)
    assert measured != pytest.approx(analyze(prepare(asked)).last.verdict.rate)


def test_without_advice_nothing_is_measured() -> None:
    settings = Settings(**{**SMALL, "activation": "sigmoid"})

    assert analyze(settings).remedies
    assert analyze(settings, advise=False).remedies == ()


@pytest.mark.parametrize(
    ("changes", "is_known"),
    [({}, True), ({"cell": "gru"}, True), ({"burn_in": 0}, False), ({"load": "run"}, False)],
)
def test_a_rate_is_not_measured_again_where_it_would_be_the_same(
    changes: Any, is_known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, given = Settings(**SMALL), list[float | None]()

    def spied(prepared: Prepared, known: float | None = None) -> Measure:
        given.append(known)
        return measured_rate(prepared, known)

    monkeypatch.setattr("gradscope.analysis.analyze.measured_rate", spied)
    # A loaded run has been trained: as it was drawn it grows otherwise.
    load = changes.get("load")
    prepared = prepare(settings.with_changes({} if load else changes))
    analyze(replace(prepared, resolved=prepared.resolved.with_changes({"load": load})))

    assert given == [measured_rate(prepared)() if is_known else None]
