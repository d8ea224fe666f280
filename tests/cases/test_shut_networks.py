"""Networks that keep their state and write nothing into it are not called fine.

σ_max of the product of Jacobians is 1 where one forget gate is open; ∂E/∂U grows with the inputs.
Neither shows that prices as they are saturate every gate.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradscope.analysis.analyze import analyze
from gradscope.analysis.archive import archive_bytes, load_run
from gradscope.analysis.prepare import prepare
from gradscope.analysis.results import Analysis, Comparison
from gradscope.analysis.settings import Settings
from gradscope.arrays import FloatArray
from gradscope.diagnosis.reasons import ReasonCode
from gradscope.diagnosis.remedies import RemedyCode
from gradscope.learning.bptt import backpropagate
from gradscope.names import Regime
from gradscope.report.documents.analysis import analysis_document
from gradscope.report.words.headline import headline
from gradscope.sweep.changes import changes

HIDDEN, INPUTS, STEPS = 16, 5, 40
NAMES: Mapping[int, str] = {4: "lstm", 3: "gru", 1: "rnn"}


def weights(rng: np.random.Generator, blocks: int, inputs: int, layer: int = 0) -> dict[str, Any]:
    """Draw a layer as PyTorch does, uniform in ±1/√H, under PyTorch's names."""

    def draw(*shape: int) -> FloatArray:
        drawn: FloatArray = rng.uniform(-1.0, 1.0, shape) / np.sqrt(HIDDEN)
        return drawn

    name = NAMES[blocks]
    return {
        f"{name}.weight_ih_l{layer}": draw(blocks * HIDDEN, inputs),
        f"{name}.weight_hh_l{layer}": draw(blocks * HIDDEN, HIDDEN),
        f"{name}.bias_ih_l{layer}": draw(blocks * HIDDEN),
        f"{name}.bias_hh_l{layer}": draw(blocks * HIDDEN),
    }


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Analysis]:
    """Analyze layers of so many blocks on inputs around a mean as large as their spread."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(13)

    def run(
        *layers: int,
        mean: float = 25_000.0,
        bias: float = 0.0,
        readout: bool = False,
        **values: Any,
    ) -> Analysis:
        arrays: dict[str, Any] = {}
        for place, blocks in enumerate(layers):
            arrays |= weights(rng, blocks, HIDDEN if place else INPUTS, place)
            arrays[f"{NAMES[blocks]}.bias_ih_l{place}"] += bias
        if readout:
            arrays |= {"fc.weight": rng.normal(size=(1, HIDDEN)) / 4, "fc.bias": np.zeros(1)}
            values |= {"readout": "fc", "targets": "y.npy"}
            np.save("y.npy", rng.normal(size=(STEPS, 6, 1)))
        np.savez("net.npz", **arrays)
        np.save("x.npy", rng.uniform(0.0, 2.0 * mean, (STEPS, 6, INPUTS)))
        return analyze(prepare({"weights": "net.npz", "data": "x.npy", **values}))

    return run


def codes(analysis: Analysis) -> set[ReasonCode]:
    return {each.code for each in analysis.last.verdict.reasons}


def first_remedy(analysis: Analysis) -> RemedyCode:
    return analysis.remedies[0].code


def by_block(analysis: Analysis) -> dict[str, float]:
    found = backpropagate(analysis.params, analysis.trajectory, analysis.examined.targets).weights
    return {name: float(np.linalg.norm(array)) for name, array in found.items()}


def test_an_lstm_on_prices_writes_nothing_until_they_are_standardised(
    study: Callable[..., Analysis],
) -> None:
    raw = study(4, readout=True)
    mended = analyze(prepare({**raw.settings.as_dict(), "standardise": True}))

    assert raw.last.verdict.regime is Regime.STABLE
    assert raw.last.write_level < 1e-6
    assert raw.last.verdict.shut
    assert headline(raw.last.verdict, 1e-3).startswith("Nothing is written: ")
    assert {ReasonCode.INPUTS_UNSCALED, ReasonCode.UNITS_SATURATED} <= codes(raw)
    assert ReasonCode.GRADIENT_FINE not in codes(raw)
    assert [each.code for each in raw.remedies] == [RemedyCode.STANDARDISE]

    assert mended.last.verdict.regime is Regime.VANISHING
    assert mended.last.write_level > 0.3
    assert not mended.last.writing.reasons
    # Of the gradient, W's part is smaller on prices, and the whole is larger: U's has their scale.
    shut, free = by_block(raw), by_block(mended)
    assert shut["recurrent_weights"] < 0.2 * free["recurrent_weights"]
    assert np.linalg.norm(list(shut.values())) > 10.0 * np.linalg.norm(list(free.values()))


def test_a_network_that_writes_again_is_better_and_nothing_arrives_in_one_that_does_not(
    study: Callable[..., Analysis],
) -> None:
    raw = study(4, required_lag=5)
    mended = analyze(prepare({**raw.settings.as_dict(), "standardise": True}))
    (change,) = changes(Comparison((raw, mended)))

    assert raw.last.verdict.reaches
    assert not {ReasonCode.HORIZON_REACHES, ReasonCode.GRADIENT_FINE} & codes(raw)
    assert ReasonCode.HORIZON_REACHES in codes(mended)
    assert (change.judged_by, change.better, change.worse) == ("write_level", True, False)


@pytest.mark.parametrize(
    ("blocks", "values"), [(3, {}), (1, {"activation": "sigmoid"}), (1, {"activation": "tanh"})]
)
def test_every_cell_is_shut_by_prices(
    study: Callable[..., Analysis], blocks: int, values: dict[str, str]
) -> None:
    found = study(blocks, **values)

    assert found.last.write_level < 1e-6
    assert found.last.verdict.shut
    assert first_remedy(found) is RemedyCode.STANDARDISE


def test_inputs_around_fifty_are_named_before_anything_is_fine(
    study: Callable[..., Analysis],
) -> None:
    found = study(4, mean=50.0)

    assert not found.last.verdict.shut
    assert ReasonCode.INPUTS_UNSCALED in codes(found)
    assert ReasonCode.GRADIENT_FINE not in codes(found)
    assert first_remedy(found) is RemedyCode.STANDARDISE


def test_a_relu_net_of_dead_units_writes_nothing(study: Callable[..., Analysis]) -> None:
    found = study(1, mean=0.5, bias=-100.0, activation="relu")

    assert found.last.write_level == 0.0
    assert {ReasonCode.NOTHING_WRITTEN, ReasonCode.UNITS_DEAD} <= codes(found)
    assert first_remedy(found) is RemedyCode.REVIVE_UNITS


def test_a_net_that_biases_shut_is_told_of_its_weights(study: Callable[..., Analysis]) -> None:
    found = study(4, mean=0.5, bias=60.0)

    assert found.last.verdict.shut
    assert first_remedy(found) is RemedyCode.OPEN_GATES


def test_a_shut_layer_below_the_one_that_is_studied_is_named(
    study: Callable[..., Analysis], tmp_path: Path
) -> None:
    found = study(4, 4)

    assert found.network is not None
    assert found.network.studied != found.network.layers[0].title
    shut = found.last.verdict.reason(ReasonCode.NOTHING_WRITTEN)
    assert shut is not None
    assert shut.numbers["layer"] == found.network.layers[0].title
    assert first_remedy(found) is RemedyCode.STANDARDISE
    assert ReasonCode.GRADIENT_FINE not in codes(found)
    saved = tmp_path / "run.npz"
    saved.write_bytes(archive_bytes(found))
    again = load_run(saved).network
    assert again is not None
    assert [(each.code, dict(each.numbers)) for each in again.faults] == [
        (each.code, dict(each.numbers)) for each in found.network.faults
    ]


@pytest.mark.parametrize("state", ["post", "pre"])
def test_a_drawn_net_with_huge_input_weights_is_shut(state: str) -> None:
    settings = Settings(input_scale=5000.0, state=state, steps=40, updates=0)  # type: ignore[arg-type]

    found = analyze(settings)

    assert found.last.write_level < 1e-6
    assert found.last.verdict.shut
    assert [each.code for each in found.remedies] == [RemedyCode.STANDARDISE]


def test_a_gradient_that_misses_the_error_is_not_fine(tmp_path: Path) -> None:
    # σ_max is 1 at every lag, along unit 0; the error comes from unit 1, which forgets at once.
    file = tmp_path / "net.npz"
    np.savez(
        file,
        **{
            "rnn.weight_ih_l0": np.ones((2, 1)),
            "rnn.weight_hh_l0": np.diag([1.0, 0.0]),
            "fc.weight": np.array([[0.0, 1.0]]),
            "fc.bias": np.zeros(1),
        },  # type: ignore[arg-type]
    )
    rng = np.random.default_rng(1)
    for name, size in (("x.npy", 1), ("y.npy", 1)):
        np.save(tmp_path / name, rng.normal(size=(20, 3, size)))
    values: dict[str, Any] = {
        "weights": str(file),
        "data": str(tmp_path / "x.npy"),
        "activation": "identity",
    }

    carried = analyze(prepare(values))
    missed = analyze(prepare({**values, "readout": "fc", "targets": str(tmp_path / "y.npy")}))

    assert ReasonCode.GRADIENT_FINE in codes(carried)
    lost = missed.last.verdict.reason(ReasonCode.SHARE_LOST)
    assert lost is not None
    assert lost.numbers == {"lag": 19, "share": 0.0}
    assert ReasonCode.GRADIENT_FINE not in codes(missed)


def test_the_document_has_the_write_level_and_the_parameter_profile() -> None:
    found = analyze(Settings(hidden=6, steps=9, updates=0))

    stage = analysis_document(found)["stages"][0]

    assert stage["write_level"] == found.last.write_level
    assert stage["write_level_by_block"] == dict(found.last.writing.by_block)
    profile = stage["parameter_profile"]
    assert profile["lags"] == list(range(9))
    for name in ("norm", "input_weights", "recurrent_weights", "hidden_bias"):
        assert len(profile[f"log10_{name}"]) == 9
    assert profile["sequences"] == 4
    assert profile["log10_recurrent_weights"][-1] is None  # h_0 = 0.
    assert isinstance(profile["null_because"], str)
