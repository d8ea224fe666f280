"""From a file that Keras wrote to an analysis: its states and Jacobians are Keras's."""

import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradscope.analysis.analyze import analyze
from gradscope.analysis.imported.resolve import settings_of_weights
from gradscope.analysis.imported.stack import ImportedStack
from gradscope.analysis.prepare import prepare
from gradscope.analysis.settings import Settings
from gradscope.arrays import FloatArray
from gradscope.errors import DataError
from gradscope.frameworks import parity
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.names import CellName
from gradscope.weights.layers.to_cell import cell_of
from tests.present import present

pytest.importorskip("h5py", reason="Keras files are HDF5")
FLOAT32 = 1e-6
"""What the rounding of Keras's float32 products leaves of a deviation."""

INPUTS = np.random.default_rng(0).normal(size=(7, 2, 3))
pytestmark = [
    pytest.mark.torch,
    # Keras and the deprecated parts of others that it uses are not what is tested here.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def keras() -> Iterator[Any]:
    """Import Keras on top of PyTorch; its own warnings are not ours."""
    pytest.importorskip("torch", reason="Keras runs on PyTorch here")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setitem(os.environ, "KERAS_BACKEND", "torch")
        warnings.simplefilter("ignore")
        yield pytest.importorskip("keras", reason="Keras writes the files and is the oracle")


LAYERS: dict[str, dict[str, Any]] = {
    "SimpleRNN": {"activation": "relu"},
    "GRU": {},
    "GRU before": {"reset_after": False},
    "LSTM": {},
}


def settings_and_layer(keras: Any, name: str, folder: Path) -> tuple[Settings, Any]:
    """Save a model of random weights and its inputs; return their settings and Keras's layer."""
    keras.utils.set_random_seed(1)
    layer = getattr(keras.layers, name.split(maxsplit=1)[0])(
        5, return_sequences=True, **LAYERS[name]
    )
    model = keras.Sequential([keras.Input((None, 3)), layer, keras.layers.Dense(2)])
    rng = np.random.default_rng(2)
    model.set_weights([rng.normal(scale=0.5, size=w.shape) for w in model.get_weights()])
    model.save(folder / "net.keras")
    np.save(folder / "x.npy", INPUTS)
    values = {"weights": str(folder / "net.keras"), "data": str(folder / "x.npy")}
    return settings_of_weights(values), layer


@pytest.mark.parametrize("name", LAYERS)
def test_a_keras_file_says_all_and_its_states_and_jacobians_are_those_of_keras(
    keras: Any, name: str, tmp_path: Path
) -> None:
    from gradscope.frameworks.keras import can_compute, parity_rows

    settings, layer = settings_and_layer(keras, name, tmp_path)

    stack = present(prepare(settings, keep_stack=True).stack)
    analysis = analyze(settings)

    expected = keras.ops.convert_to_numpy(layer(INPUTS.swapaxes(0, 1))).swapaxes(0, 1)
    np.testing.assert_allclose(analysis.trajectory.hidden[1:], expected, rtol=0, atol=1e-5)
    assert (settings.cell is CellName.ELMAN) == (name == "SimpleRNN")
    assert can_compute(stack.spec)
    states, jacobians = parity_rows(stack)
    assert states.passed
    assert jacobians.passed
    assert jacobians.deviation < FLOAT32
    assert jacobians.against == f"{name.split(maxsplit=1)[0]}Cell on torch"
    stack.trajectories[stack.studied.title].hidden[3] += 1e-3
    states, _ = parity_rows(stack)
    assert not states.passed


BENT: dict[str, Callable[[FloatArray], FloatArray]] = {
    "transposed": lambda jacobian: jacobian.swapaxes(1, 2),
    "units in another order": lambda jacobian: np.roll(jacobian, 1, axis=(1, 2)),
    "of the other sequence": lambda jacobian: jacobian[::-1],
    "wrong in the second sequence": lambda jacobian: jacobian * [[[1.0]], [[1.0001]]],
}


@pytest.mark.parametrize("how", BENT)
@pytest.mark.parametrize("name", LAYERS)
def test_a_wrong_jacobian_fails_its_own_row(
    keras: Any, name: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = present(prepare(settings_and_layer(keras, name, tmp_path)[0], keep_stack=True).stack)

    assert passed_with(stack, BENT[how], monkeypatch) == [True, False]


def test_a_jacobian_of_memory_before_hidden_state_fails(
    keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = present(prepare(settings_and_layer(keras, "LSTM", tmp_path)[0], keep_stack=True).stack)

    def of_c_and_h(jacobian: FloatArray) -> FloatArray:
        return np.roll(jacobian, 5, axis=(1, 2))

    assert passed_with(stack, of_c_and_h, monkeypatch) == [True, False]


def passed_with(
    stack: ImportedStack, bend: Callable[[FloatArray], FloatArray], monkeypatch: pytest.MonkeyPatch
) -> list[bool]:
    """Return whether states and Jacobians pass where every Jacobian of ours is a bent one."""
    from gradscope.frameworks.keras import parity_rows

    def bent_chain(*arguments: Any) -> Any:
        right = cell_chain(*arguments)
        return SimpleNamespace(jacobian=lambda step: bend(right.jacobian(step)))

    monkeypatch.setattr(parity, "cell_chain", bent_chain)
    return [row.passed for row in parity_rows(stack)]


@pytest.mark.parametrize("name", ["GRU", "GRU before", "LSTM"])
def test_gates_in_another_order_fail(keras: Any, name: str, tmp_path: Path) -> None:
    from gradscope.frameworks.keras import parity_rows

    stack = present(prepare(settings_and_layer(keras, name, tmp_path)[0], keep_stack=True).stack)
    first, second, *rest = np.split(stack.studied.recurrent_weights, len(stack.studied.gates))
    other = replace(stack.studied, recurrent_weights=np.concatenate([second, first, *rest]))

    ours_wrong = parity_rows(replace(stack, params=cell_of(other, stack.spec)))
    theirs_wrong = parity_rows(replace(stack, studied=other))

    assert [row.passed for row in ours_wrong] == [True, False]
    assert [row.passed for row in theirs_wrong] == [False, False]


@pytest.mark.parametrize("functional", [False, True])
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_layers_of_a_model_that_feed_one_another_are_one_stack(
    keras: Any, functional: bool, suffix: str, tmp_path: Path
) -> None:
    keras.utils.set_random_seed(3)
    made = [
        keras.layers.GRU(6, return_sequences=True, name="low"),
        keras.layers.Dropout(0.5),
        keras.layers.LSTM(5, return_sequences=True, name="middle"),
        keras.layers.SimpleRNN(4, return_sequences=True, name="top"),
    ]
    first = keras.Input((None, 3))
    model = keras.Sequential([first, *made, keras.layers.Dense(1)])
    if functional:
        outputs = first
        for layer in made:
            outputs = layer(outputs)
        model = keras.Model(first, keras.layers.Dense(1)(outputs))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(tmp_path / f"net{suffix}")
    np.save(tmp_path / "x.npy", INPUTS)
    values = {"weights": str(tmp_path / f"net{suffix}"), "data": str(tmp_path / "x.npy")}

    analysis = analyze(settings_of_weights(values))

    outputs = keras.ops.convert_to_tensor(INPUTS.swapaxes(0, 1))
    for layer in made:
        outputs = layer(outputs)
    expected = keras.ops.convert_to_numpy(outputs).swapaxes(0, 1)
    np.testing.assert_allclose(analysis.trajectory.hidden[1:], expected, rtol=0, atol=1e-5)
    network = present(analysis.network)
    assert [each.title for each in network.layers] == ["low[0]", "middle[1]", "top[2]"]
    assert all(each.verdict is not None for each in network.layers[:2])


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_both_directions_of_a_layer_feed_the_next_as_keras_has_it(
    keras: Any, suffix: str, tmp_path: Path
) -> None:
    keras.utils.set_random_seed(4)
    L = keras.layers
    made = [
        L.Bidirectional(L.LSTM(4, return_sequences=True, name="a"), name="low"),
        L.Bidirectional(L.GRU(3, return_sequences=True, name="b"), name="middle"),
        L.SimpleRNN(5, return_sequences=True, name="top"),
    ]
    model = keras.Sequential([keras.Input((None, 3)), *made, L.Dense(1, name="head")])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(tmp_path / f"net{suffix}")
    np.save(tmp_path / "x.npy", INPUTS)
    values = {"weights": str(tmp_path / f"net{suffix}"), "data": str(tmp_path / "x.npy")}

    analysis = analyze(settings_of_weights({**values, "readout": "head"}))

    expected = keras.ops.convert_to_numpy(model(INPUTS.swapaxes(0, 1))).swapaxes(0, 1)
    np.testing.assert_allclose(analysis.trajectory.outputs, expected, rtol=0, atol=1e-5)
    layers = present(analysis.network).layers
    assert [each.title for each in layers] == [
        "forward_a[0]",
        "backward_a[0]_reverse",
        "forward_b[1]",
        "backward_b[1]_reverse",
        "top[2]",
    ]
    assert all(each.verdict is not None for each in layers[:4])
    for lower in layers[:4]:
        studied = analyze(settings_of_weights({**values, "layer": lower.title}))
        assert studied.last.verdict.rate == present(lower.verdict).rate


@pytest.mark.parametrize("ending", [".keras", ".weights.h5", ".h5"])
def test_token_ids_go_through_the_embedding_and_masked_ones_are_refused(
    keras: Any, ending: str, tmp_path: Path
) -> None:
    ids = np.random.default_rng(3).integers(1, 11, size=(4, 9))
    lengths = np.array([3, 9, 5, 1])
    ids[np.arange(9) >= lengths[:, None]] = 0
    np.save(tmp_path / "ids.npy", ids)
    np.save(tmp_path / "lengths.npy", lengths)
    model = keras.Sequential(
        [
            keras.Input((9,), dtype="int32"),
            keras.layers.Embedding(11, 3, mask_zero=True, name="tokens"),
            keras.layers.LSTM(5),
        ]
    )
    file = tmp_path / f"net{ending}"
    (model.save_weights if ending == ".weights.h5" else model.save)(file)
    values = {"weights": str(file), "data": str(tmp_path / "ids.npy"), "batch_first": True}
    if ending == ".weights.h5":
        values |= {"activation": "tanh", "gate_activation": "sigmoid"}

    ragged = {**values, "sequence_lengths": str(tmp_path / "lengths.npy")}
    ran = analyze(prepare(ragged)).trajectory

    theirs = np.asarray(keras.ops.convert_to_numpy(model(ids)))
    np.testing.assert_allclose(ran.hidden[lengths, np.arange(4)], theirs, atol=FLOAT32)
    if ending != ".weights.h5":  # Weights alone do not say whether 0 is masked.
        with pytest.raises(DataError, match="mask_zero"):
            prepare(values)
        np.save(tmp_path / "ids.npy", ids[:, ::-1])  # As many zeros, in front
        with pytest.raises(DataError, match="mask_zero"):
            prepare(ragged)
