"""Files of Keras 1 and 2: cuDNN's layers in their own layout, and gates of a hard sigmoid."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import autograd.numpy as anp  # type: ignore[import-untyped]
import numpy as np
import pytest
from autograd import jacobian
from rich.console import Console

import gradscope
from gradscope.analysis.archive import archive_bytes
from gradscope.analysis.inspect import inspect
from gradscope.arrays import FloatArray
from gradscope.errors import WeightsError
from gradscope.model.cells import Cell
from gradscope.model.trajectory import unroll
from gradscope.names import CellName
from gradscope.report.documents.inspection import inspection_document
from gradscope.report.screen import Screen
from gradscope.report.terminal.inspection import analyze_command, inspection_page
from gradscope.weights.layers.recurrent_layer import Direction, Unknown
from gradscope.weights.layers.to_cell import cell_of, resolve_spec
from gradscope.weights.load import load_weights

h5py = pytest.importorskip("h5py", reason="Keras files are HDF5")

UNITS, INPUTS, STEPS = 4, 3, 6
GATES = {"GRU": 3, "LSTM": 4}
Arrays = dict[str, FloatArray]


def drawn(kind: str, *, biases: int = 2, seed: int = 0) -> Arrays:
    rng, columns = np.random.default_rng(seed), UNITS * GATES[kind]
    shapes: dict[str, tuple[int, ...]] = {
        "kernel": (INPUTS, columns),
        "recurrent_kernel": (UNITS, columns),
    }
    shapes["bias"] = (biases * columns,)
    return {name: rng.normal(scale=0.7, size=shape) for name, shape in shapes.items()}


def written(
    path: Path,
    arrays: Arrays,
    node: Any = None,
    version: str | None = "2.1.5",
    group: str = "rnn_1",
) -> Path:
    """Write a file as Keras 2 does; only the weights where there is no ``node``."""
    with h5py.File(path, "w") as file:
        if version is not None:
            file.attrs["keras_version"] = version
        if node is not None:
            model = {"class_name": "Sequential", "config": [node]}
            file.attrs["model_config"] = json.dumps(model)
        place = f"{'model_weights/' if node else ''}rnn_1/{group}"
        for name, array in arrays.items():
            file[f"{place}/{name}:0"] = array
    return path


def configured(class_name: str, **values: Any) -> Any:
    return {"class_name": class_name, "config": {"name": "rnn_1", "units": UNITS, **values}}


def cell_in(path: Path, **choices: Any) -> Cell:
    (layer,) = load_weights(path).layers
    return cell_of(layer, resolve_spec(layer, choices))


def jacobians(cell: Cell, inputs: FloatArray) -> FloatArray:
    """Return J_t (T,S,S) along the trajectory from zero."""
    trajectory = unroll(cell, inputs[:, None]).cell_trajectory
    eye, linear = np.eye(cell.state_size), cell.linearize(trajectory)
    steps = range(len(inputs))
    return np.array([linear.jvp(eye[None], (t, slice(None), None))[0].T for t in steps])


def logistic(a: Any) -> Any:
    return 1.0 / (1.0 + anp.exp(-a))


def cudnn_step(kind: str, arrays: Arrays, x: FloatArray, state: Any, gate: Any = logistic) -> Any:
    """Take cuDNN's step: gate by gate it is handed flat numbers, which are W (H,D) and R (H,H) row
    by row (NVIDIA, "cuDNN API", cudnnRNNMode_t). Keras's order is i, f, c, o and z, r, h.
    """
    count = GATES[kind]
    flat = {name: np.hsplit(arrays[name], count) for name in ("kernel", "recurrent_kernel")}
    w = [np.reshape(each.ravel(), (UNITS, INPUTS)) for each in flat["kernel"]]
    r = [np.reshape(each.ravel(), (UNITS, UNITS)) for each in flat["recurrent_kernel"]]
    b = np.split(arrays["bias"], 2 * count)
    h = state[:UNITS]
    from_x = [w[k] @ x + b[k] for k in range(count)]
    from_h = [anp.dot(r[k], h) + b[count + k] for k in range(count)]
    if kind == "LSTM":
        i, f, o = (gate(from_x[k] + from_h[k]) for k in (0, 1, 3))
        c = f * state[UNITS:] + i * anp.tanh(from_x[2] + from_h[2])
        return anp.concatenate([o * anp.tanh(c), c])
    z, reset = (gate(from_x[k] + from_h[k]) for k in (0, 1))
    return (1.0 - z) * anp.tanh(from_x[2] + reset * from_h[2]) + z * h


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("whole", [True, False], ids=["with config", "weights only"])
def test_cudnn_layers_have_the_jacobians_of_their_own_equations(
    tmp_path: Path, kind: str, whole: bool
) -> None:
    arrays = drawn(kind)
    node = configured(f"CuDNN{kind}", return_sequences=True) if whole else None
    inputs = np.random.default_rng(1).normal(size=(STEPS, INPUTS))

    cell = cell_in(written(tmp_path / "net.h5", arrays, node))

    found, states = jacobians(cell, inputs), [np.zeros(cell.state_size)]
    for t, x in enumerate(inputs):
        wanted = jacobian(lambda s, x=x: cudnn_step(kind, arrays, x, s))(states[-1])
        np.testing.assert_allclose(found[t], wanted, rtol=1e-12, atol=1e-14)
        states.append(cudnn_step(kind, arrays, x, states[-1]))
    ours = unroll(cell, inputs[:, None]).states[:, 0]
    np.testing.assert_allclose(ours, states, rtol=1e-12, atol=1e-14)


@pytest.fixture
def keras() -> Iterator[Any]:
    pytest.importorskip("torch", reason="Keras runs on PyTorch here")
    module = pytest.importorskip("keras", reason="Keras is the oracle")
    before = module.config.floatx()
    module.config.set_floatx("float64")
    yield module
    module.config.set_floatx(before)


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("kind", GATES)
def test_cudnn_layers_compute_what_keras_computes_once_it_has_converted_them(
    tmp_path: Path, keras: Any, kind: str
) -> None:
    # The conversion is that of Keras 2.3 itself, engine/saving.py, _convert_rnn_weights.
    arrays, count = drawn(kind), GATES[kind]
    kernels = [each.T.reshape(each.shape, order="F") for each in np.hsplit(arrays["kernel"], count)]
    recurrent = [each.T for each in np.hsplit(arrays["recurrent_kernel"], count)]
    bias = arrays["bias"].reshape(2, -1)
    layer = getattr(keras.layers, kind)(UNITS, return_sequences=True)
    layer.build((None, None, INPUTS))
    bias = bias.sum(axis=0) if kind == "LSTM" else bias
    layer.set_weights([np.hstack(kernels), np.hstack(recurrent), bias])
    inputs = np.random.default_rng(1).normal(size=(STEPS, 2, INPUTS))

    cell = cell_in(written(tmp_path / "net.h5", arrays, configured(f"CuDNN{kind}")))

    wanted = layer(inputs.transpose(1, 0, 2)).detach().cpu().numpy().transpose(1, 0, 2)
    np.testing.assert_allclose(unroll(cell, inputs).hidden[1:], wanted, rtol=0, atol=1e-6)


def test_both_directions_of_a_cudnn_layer_are_read(tmp_path: Path) -> None:
    node = {
        "class_name": "Bidirectional",
        "config": {"name": "both", "layer": configured("CuDNNLSTM"), "merge_mode": "concat"},
    }
    with h5py.File(tmp_path / "net.h5", "w") as file:
        file.attrs["keras_version"] = "2.1.5"
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": [node]})
        for half, seed in (("forward_rnn_1", 0), ("backward_rnn_1", 1)):
            for name, array in drawn("LSTM", seed=seed).items():
                file[f"model_weights/both/both/{half}/{name}:0"] = array

    layers = load_weights(tmp_path / "net.h5").layers

    assert [each.direction for each in layers] == [Direction.FORWARD, Direction.BACKWARD]
    assert all(each.gate_activation == "sigmoid" and not each.unknown for each in layers)
    forward, backward = layers
    assert not np.array_equal(forward.input_weights, backward.input_weights)


@pytest.mark.parametrize("bias", [None, np.zeros(4 * UNITS), np.zeros((2, 4 * UNITS))])
def test_a_cudnn_layer_without_its_two_biases_is_refused(tmp_path: Path, bias: Any) -> None:
    # Nothing would say in which of two layouts its kernels are.
    arrays = drawn("LSTM")
    arrays = {name: each for name, each in arrays.items() if name != "bias"}
    arrays |= {} if bias is None else {"bias": bias}

    with pytest.raises(WeightsError, match="the bias of 'rnn_1' has shape"):
        load_weights(written(tmp_path / "net.h5", arrays, configured("CuDNNLSTM")))


HARD: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "1.2.2": ("hard-sigmoid-0.2", lambda a: anp.clip(0.2 * a + 0.5, 0.0, 1.0)),
    "2.1.5": ("hard-sigmoid-0.2", lambda a: anp.clip(0.2 * a + 0.5, 0.0, 1.0)),
    "2.4.0-tf": ("hard-sigmoid-0.2", lambda a: anp.clip(0.2 * a + 0.5, 0.0, 1.0)),
    "3.3.3": ("hard-sigmoid", lambda a: anp.clip(a + 3.0, 0.0, 6.0) / 6.0),
}


@pytest.mark.parametrize("version", HARD)
def test_a_hard_sigmoid_is_that_of_the_version_that_wrote_the_file(
    tmp_path: Path, version: str
) -> None:
    name, gate = HARD[version]
    arrays = drawn("LSTM", biases=1)
    node = configured("LSTM", activation="tanh", recurrent_activation="hard_sigmoid")
    inputs = 4.0 * np.random.default_rng(1).normal(size=(STEPS, INPUTS))

    path = written(tmp_path / "net.h5", arrays, node, version)

    cell, (layer,) = cell_in(path), load_weights(path).layers
    assert layer.gate_activation == name
    kernel, recurrent, bias = arrays.values()
    found, state = jacobians(cell, inputs), np.zeros(2 * UNITS)

    def step(state: Any, x: FloatArray) -> Any:
        a = anp.split(x @ kernel + anp.dot(state[:UNITS], recurrent) + bias, 4)
        c = gate(a[1]) * state[UNITS:] + gate(a[0]) * anp.tanh(a[2])
        return anp.concatenate([gate(a[3]) * anp.tanh(c), c])

    for t, x in enumerate(inputs):
        np.testing.assert_allclose(found[t], jacobian(step)(state, x), rtol=1e-12, atol=1e-14)
        state = step(state, x)
    assert (found == 0.0).any()  # A gate was beyond its corner.


@pytest.mark.parametrize("version", [None, "", "unknown"])
def test_without_a_version_the_hard_sigmoid_is_asked_for(
    tmp_path: Path, version: str | None
) -> None:
    node = configured("GRU", activation="softsign", recurrent_activation="hard_sigmoid")
    path = written(tmp_path / "net.h5", drawn("GRU", biases=1), node, version)

    (layer,) = load_weights(path).layers

    assert layer.unknown == (Unknown.GATE_ACTIVATION,)
    with pytest.raises(WeightsError, match=r"\(sigmoid, hard-sigmoid.*--gate-activation NAME"):
        cell_in(path)
    assert cell_in(path, gate_activation="hard-sigmoid-0.2").activation.name == "softsign"


@pytest.mark.parametrize(
    ("word", "ours"),
    [("elu", "elu"), ("selu", "selu"), ("swish", "silu"), ("softsign", "softsign")],
)
def test_functions_of_keras_2_have_our_words(tmp_path: Path, word: str, ours: str) -> None:
    node = configured("LSTM", activation=word, recurrent_activation="sigmoid")

    (layer,) = load_weights(written(tmp_path / "n.h5", drawn("LSTM", biases=1), node)).layers

    assert (layer.activation, layer.foreign) == (ours, "")


def with_another(path: Path, kind: str, name: str) -> Path:
    written(path, drawn(kind, biases=1), group="cell")
    with h5py.File(path, "a") as file:
        file[f"rnn_1/cell/{name}:0"] = np.ones(UNITS)
    return path


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("name", ["norm/gamma", "gamma", "input_gate_peephole_weights"])
def test_a_cell_that_holds_more_than_a_plain_one_is_refused_by_name(
    tmp_path: Path, kind: str, name: str
) -> None:
    path = with_another(tmp_path / "net.h5", kind, name)

    with pytest.raises(
        WeightsError, match=f"no plain {kind}: it also holds '.*{name.partition('/')[0]}"
    ) as caught:
        load_weights(path)

    assert "DenseChain" in str(caught.value)


def test_a_dense_layer_beside_a_cell_is_no_cause_for_refusal(tmp_path: Path) -> None:
    path = written(tmp_path / "net.h5", drawn("GRU", biases=1))
    with h5py.File(path, "a") as file:
        file["dense_1/dense_1/kernel:0"] = np.ones((UNITS, 2))
        file["norm_1/norm_1/gamma:0"] = np.ones(UNITS)

    found = load_weights(path)

    assert [each.cell for each in found.layers] == [CellName.GRU]
    assert len(found.readouts) == 1


@pytest.mark.parametrize("kind", GATES)
def test_a_run_saves_its_gates_and_is_the_same_again(tmp_path: Path, kind: str) -> None:
    node = configured(kind, activation="elu", recurrent_activation="hard_sigmoid")
    path = written(tmp_path / "net.h5", drawn(kind, biases=1), node)
    values = {"weights": str(path), "steps": 12, "sequences": 2}
    analysis = gradscope.analyze(gradscope.settings_of_weights(values))
    (tmp_path / "run.npz").write_bytes(archive_bytes(analysis))

    run = gradscope.load_run(tmp_path / "run.npz")

    states = unroll(run.params, run.evaluation.batch.inputs, run.evaluation.initial_state).states
    np.testing.assert_array_equal(states, analysis.trajectory.states)
    (again,) = load_weights(tmp_path / "run.npz").layers
    assert (again.activation, again.gate_activation) == ("elu", "hard-sigmoid-0.2")


@pytest.mark.parametrize(("word", "command"), [("mish", None), ("selu", "--data FILE")])
def test_inspect_prints_no_command_that_analyze_refuses(
    tmp_path: Path, word: str, command: str | None
) -> None:
    node = configured("LSTM", activation=word, recurrent_activation="sigmoid")
    path = written(tmp_path / "net.h5", drawn("LSTM", biases=1), node)

    inspection = inspect(path)

    found = analyze_command(inspection)
    assert found == (command and f"gradscope analyze {path} {command}")
    console = Console(file=io.StringIO(), width=100)
    console.print(inspection_page(inspection, Screen(100, unicode=True)))
    page = console.file.getvalue()  # type: ignore[attr-defined]
    assert ("is not analyzed: gradscope has no 'mish'" in page) is (command is None)
    assert ("To analyze it" in page) is (command is not None)
    assert inspection_document(inspection)["command"] == found
    settings = {"weights": str(path), "steps": 5, "sequences": 1}
    if command is None:
        with pytest.raises(WeightsError, match="'mish', which gradscope does not have"):
            gradscope.settings_of_weights(settings)
    else:
        gradscope.settings_of_weights(settings)


def test_inspect_prints_the_command_of_the_layer_that_can_be_analysed(tmp_path: Path) -> None:
    path = tmp_path / "net.h5"
    nodes = [
        {"class_name": "LSTM", "config": {"name": name, "activation": word}}
        for name, word in (("low", "mish"), ("high", "relu"))
    ]
    with h5py.File(path, "w") as file:
        model = {"class_name": "Sequential", "config": nodes}
        file.attrs["model_config"] = json.dumps(model)
        for name in ("low", "high"):
            for role, array in drawn("LSTM", biases=1).items():
                file[f"model_weights/{name}/{name}/{role}:0"] = array

    command = analyze_command(inspect(path))

    options = "--layer high --data FILE --gate-activation NAME"
    assert command == f"gradscope analyze {path} {options}"
