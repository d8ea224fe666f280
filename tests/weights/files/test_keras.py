"""Models that Keras wrote are read without it, and compute what Keras computes."""

import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradscope.names import CellName
from gradscope.weights.layers.recurrent_layer import Direction, RecurrentLayer, Unknown
from gradscope.weights.load import load_weights
from tests.weights.replay import replay, replay_stack

h5py = pytest.importorskip("h5py", reason="Keras files are HDF5")
pytestmark = pytest.mark.filterwarnings(
    # Keras and the deprecated parts of others that it uses are not what is tested here.
    "ignore:__array__ implementation:DeprecationWarning"
)
KERAS_ROUNDING = 1e-6
"""On PyTorch, Keras takes some of its steps in float32; a wrong gate is off by 0.1."""
INPUTS = np.random.default_rng(0).normal(size=(7, 2, 3))


@pytest.fixture(scope="module")
def keras() -> Iterator[Any]:
    """Import Keras on top of PyTorch; its own warnings are not ours."""
    pytest.importorskip("torch", reason="Keras runs on PyTorch here")
    before = os.environ.get("KERAS_BACKEND")
    os.environ["KERAS_BACKEND"] = "torch"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = pytest.importorskip("keras", reason="Keras writes the files and is the oracle")
        module.config.set_floatx("float64")
        yield module
        module.config.set_floatx("float32")
    if before is None:
        del os.environ["KERAS_BACKEND"]
    else:
        os.environ["KERAS_BACKEND"] = before


def model_of(keras: Any, *layers: Any) -> Any:
    """Build a model whose weights, biases too, are random."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((None, 3)), *layers])
    rng = np.random.default_rng(2)
    model.set_weights([rng.normal(scale=0.5, size=w.shape) for w in model.get_weights()])
    return model


def states_of(model: Any) -> Any:
    """Return Keras's output (T,B,H) on the inputs, from its (B,T,H)."""
    output = model(INPUTS.transpose(1, 0, 2))
    return np.asarray(output.detach().cpu().numpy()).transpose(1, 0, 2)


LAYERS: dict[str, Callable[[Any], Any]] = {
    "tanh": lambda L: L.SimpleRNN(5, return_sequences=True),
    "relu": lambda L: L.SimpleRNN(5, activation="relu", return_sequences=True),
    "no bias": lambda L: L.SimpleRNN(5, use_bias=False, return_sequences=True),
    "gru": lambda L: L.GRU(5, return_sequences=True),
    "gru without bias": lambda L: L.GRU(5, use_bias=False, return_sequences=True),
    "gru reset before": lambda L: L.GRU(5, reset_after=False, return_sequences=True),
    "lstm": lambda L: L.LSTM(5, return_sequences=True),
    "lstm of relu": lambda L: L.LSTM(5, activation="relu", return_sequences=True),
    "cell": lambda L: L.RNN(L.GRUCell(5), return_sequences=True),
    # Of these Keras keeps the state of a random generator within the cell.
    "dropout": lambda L: L.LSTM(5, dropout=0.2, recurrent_dropout=0.3, return_sequences=True),
}


@pytest.mark.torch
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_a_replayed_layer_gives_keras_output(
    tmp_path: Path, keras: Any, layer: str, ending: str
) -> None:
    model = model_of(keras, LAYERS[layer](keras.layers))
    model.save(tmp_path / f"net{ending}")

    (found,) = load_weights(tmp_path / f"net{ending}").layers

    assert found.unknown == ()
    assert found.input_weights.shape == (len(found.gates) * 5, 3)
    np.testing.assert_allclose(replay(found, INPUTS), states_of(model), rtol=0, atol=KERAS_ROUNDING)


@pytest.mark.torch
@pytest.mark.parametrize("ending", [".keras", ".h5"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_both_directions_are_told_apart(
    tmp_path: Path, keras: Any, ending: str, wrapped: bool
) -> None:
    L = keras.layers
    inner = L.GRU(4, return_sequences=True)
    inner = L.RNN(L.LSTMCell(4), return_sequences=True) if wrapped else inner
    model = model_of(keras, L.Bidirectional(inner), L.Dense(2, name="head"))
    model.save(tmp_path / f"net{ending}")

    found = load_weights(tmp_path / f"net{ending}")

    assert [each.direction for each in found.layers] == [Direction.FORWARD, Direction.BACKWARD]
    head = found.readouts[0]
    assert head.output_bias is not None
    states = replay_stack(found.layers, INPUTS)
    outputs = states @ head.output_weights.T + head.output_bias
    np.testing.assert_allclose(outputs, states_of(model), rtol=0, atol=KERAS_ROUNDING)


@pytest.mark.torch
@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_a_model_of_many_layers_is_read_in_its_order(
    tmp_path: Path, keras: Any, ending: str
) -> None:
    L = keras.layers
    inner = keras.Sequential([L.GRU(3, return_sequences=True)], name="inner")
    stack = L.RNN([L.LSTMCell(3), L.GRUCell(2)], return_sequences=True)
    last = L.SimpleRNN(5, go_backwards=True, return_sequences=True, activation="sigmoid")
    model = model_of(keras, L.LSTM(4, return_sequences=True, name="first"), inner, stack, last)
    model.save(tmp_path / f"net{ending}")

    layers = load_weights(tmp_path / f"net{ending}").layers

    kinds = [CellName.LSTM, CellName.GRU, CellName.LSTM, CellName.GRU, CellName.ELMAN]
    assert [each.cell for each in layers] == kinds
    assert [each.layer for each in layers] == [0, 0, 0, 1, 0]
    assert layers[0].name == "first"
    states = INPUTS
    for each in layers:
        states = replay(each, states)
    # Keras leaves the outputs of a layer that goes backwards in the order of its steps.
    np.testing.assert_allclose(states[::-1], states_of(model), rtol=0, atol=KERAS_ROUNDING)


@pytest.mark.torch
def test_weights_without_a_configuration_ask_for_what_only_it_says(
    tmp_path: Path, keras: Any
) -> None:
    L = keras.layers
    layers = (L.SimpleRNN(4, return_sequences=True), L.GRU(5, use_bias=False))
    model_of(keras, *layers).save_weights(tmp_path / "net.weights.h5")

    gru, rnn = load_weights(tmp_path / "net.weights.h5").layers

    assert rnn.unknown == (Unknown.ACTIVATION,)
    assert gru.unknown == (Unknown.ACTIVATION, Unknown.GATE_ACTIVATION, Unknown.RESET_AFTER)


@pytest.mark.torch
def test_a_model_of_its_own_class_is_read_under_its_attributes_names(
    tmp_path: Path, keras: Any
) -> None:
    class Own(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.encoder = keras.layers.GRU(4)
            self.head = keras.layers.Dense(2)

        def call(self, inputs: Any) -> Any:
            return self.head(self.encoder(inputs))

    model = Own()
    model(np.zeros((1, 2, 3)))
    model.save(tmp_path / "net.keras")

    found = load_weights(tmp_path / "net.keras")

    (layer,) = found.layers
    assert (layer.name, layer.reset_after) == ("encoder", True)
    assert layer.activation is None
    assert found.readouts[0].output_weights.shape == (2, 4)


def config_of(*layers: tuple[str, dict[str, Any]]) -> str:
    """Return a Sequential's configuration as the text in a legacy file."""
    import json

    nodes = [{"class_name": name, "config": values} for name, values in layers]
    return json.dumps({"class_name": "Sequential", "config": {"name": "m", "layers": nodes}})


def legacy(path: Path, config: str | None, arrays: dict[str, Any]) -> RecurrentLayer:
    """Write a file to the layout that Keras 2 published; return its first layer."""
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[f"model_weights/{name}"] = array
        if config is not None:
            file.attrs["model_config"] = config
    return load_weights(path).layers[0]


def test_names_of_keras_2_with_their_colon_are_read(tmp_path: Path) -> None:
    said = {"name": "lstm", "units": 2, "activation": "tanh", "recurrent_activation": "sigmoid"}
    kernel = np.arange(24.0).reshape(3, 8)
    arrays = {
        "lstm/lstm/lstm_cell_5/kernel:0": kernel,
        "lstm/lstm/lstm_cell_5/recurrent_kernel:0": np.zeros((2, 8)),
        "lstm/lstm/lstm_cell_5/bias:0": np.zeros(8),
    }

    layer = legacy(tmp_path / "net.h5", config_of(("LSTM", said)), arrays)

    assert (layer.name, layer.cell, layer.unknown) == ("lstm", CellName.LSTM, ())
    np.testing.assert_array_equal(layer.input_weights, kernel.T)


def test_a_bidirectional_of_keras_2_says_one_half_and_means_both(tmp_path: Path) -> None:
    inner = {"class_name": "SimpleRNN", "config": {"name": "rnn", "activation": "relu"}}
    config = config_of(
        ("Bidirectional", {"name": "twice", "layer": inner}),
        ("SimpleRNN", {"name": "rnn", "activation": "tanh"}),
    )
    arrays = {}
    for half in ("twice/twice/backward_rnn", "twice/twice/forward_rnn", "rnn/rnn"):
        arrays[f"{half}/simple_rnn_cell/kernel:0"] = np.zeros((3, 2))
        arrays[f"{half}/simple_rnn_cell/recurrent_kernel:0"] = np.eye(2)
    legacy(tmp_path / "net.h5", config, arrays)

    layers = load_weights(tmp_path / "net.h5").layers

    found = [(each.direction, each.activation) for each in layers]
    assert found == [
        (Direction.FORWARD, "relu"),
        (Direction.BACKWARD, "relu"),
        (Direction.FORWARD, "tanh"),
    ]


@pytest.mark.parametrize(("bias", "reset_after"), [((2, 6), True), ((6,), False)])
def test_the_shape_of_a_grus_bias_tells_its_convention(
    tmp_path: Path, bias: tuple[int, ...], reset_after: bool
) -> None:
    arrays = {
        "gru/gru/kernel:0": np.zeros((3, 6)),
        "gru/gru/recurrent_kernel:0": np.zeros((2, 6)),
        "gru/gru/bias:0": np.zeros(bias),
    }

    assert legacy(tmp_path / "net.h5", None, arrays).reset_after is reset_after


@pytest.mark.parametrize("container", ["layers", "_layer_checkpoint_dependencies"])
def test_numbered_variables_without_names_find_their_configuration_by_place(
    tmp_path: Path, container: str
) -> None:
    # As Keras 3.0 and TensorFlow 2.12 wrote it, before groups carried names.
    import json
    import zipfile
    from io import BytesIO

    said = [("GRU", {"name": "a"}), ("SimpleRNN", {"name": "b"}), ("SimpleRNN", {"name": "c"})]
    functions = ["tanh", "relu", "sigmoid"]
    nodes = [
        {"class_name": word, "config": {**values, "activation": function}}
        for (word, values), function in zip(said, functions, strict=True)
    ]
    buffer = BytesIO()
    with h5py.File(buffer, "w") as file:
        for place, gates in (("gru", 3), ("simple_rnn", 1), ("simple_rnn_1", 1)):
            file[f"{container}/{place}/cell/vars/0"] = np.zeros((2, 2 * gates))
            file[f"{container}/{place}/cell/vars/1"] = np.zeros((2, 2 * gates))
    with zipfile.ZipFile(tmp_path / "net.keras", "w") as archive:
        config = {"class_name": "Sequential", "config": {"layers": nodes}}
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", buffer.getvalue())

    layers = load_weights(tmp_path / "net.keras").layers

    assert [(each.name, each.activation) for each in layers] == [
        ("a", "tanh"),
        ("b", "relu"),
        ("c", "sigmoid"),
    ]
