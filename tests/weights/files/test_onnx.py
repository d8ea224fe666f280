"""ONNX graphs give the layers that ONNX's own evaluator computes; other equations are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradscope.arrays import FloatArray
from gradscope.errors import WeightsError
from gradscope.weights.layers.recurrent_layer import Direction
from gradscope.weights.load import load_weights, look_into
from tests.weights.replay import replay_stack

onnx = pytest.importorskip("onnx", reason="onnx writes the files and is the oracle")
pytest.importorskip("onnx.reference", reason="the oracle")
helper, numpy_helper = onnx.helper, onnx.numpy_helper

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
D, H = 3, 5


def constants(kind: str, sides: int = 1, width: int = D, seed: int = 0) -> dict[str, FloatArray]:
    rng, rows = np.random.default_rng(seed), GATES[kind] * H
    shapes = {"W": (sides, rows, width), "R": (sides, rows, H), "B": (sides, 2 * rows)}
    return {f"{name}{seed}": rng.normal(size=shape) / 2 for name, shape in shapes.items()}


def model(nodes: list[Any], arrays: dict[str, Any], output: str = "Y") -> Any:
    double = onnx.TensorProto.DOUBLE
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("X", double, None)],
        [helper.make_tensor_value_info(output, double, None)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)


def cell(kind: str, inputs: list[str], output: str = "Y", **attributes: Any) -> Any:
    return helper.make_node(kind, inputs, [output], name=f"{kind}/{output}", hidden_size=H,
                            **attributes)  # fmt: skip


def saved(path: Path, graph: Any) -> Path:
    path.write_bytes(graph.SerializeToString())
    return path


def evaluated(graph: Any, inputs: FloatArray) -> FloatArray:
    (found,) = onnx.reference.ReferenceEvaluator(graph).run(None, {"X": inputs})
    return np.asarray(found)


INPUTS = np.random.default_rng(1).normal(size=(6, 2, D))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("RNN", {}),
        ("GRU", {}),
        ("GRU", {"linear_before_reset": 1}),
        ("LSTM", {}),
        ("LSTM", {"layout": 1}),
    ],
)
def test_replayed_layers_give_what_onnx_evaluates(
    tmp_path: Path, kind: str, options: dict[str, Any], direction: str, bias: bool
) -> None:
    sides = 1 + (direction == "bidirectional")
    arrays = constants(kind, sides)
    names = ["X", "W0", "R0", *(["B0"] if bias else [])]
    graph = model([cell(kind, names, direction=direction, **options)], arrays)

    layers = load_weights(saved(tmp_path / "net.onnx", graph)).layers

    batch_first = options.get("layout")
    given = INPUTS.swapaxes(0, 1) if batch_first else INPUTS
    expected = evaluated(graph, given)
    expected = expected.swapaxes(0, 1) if batch_first else expected.swapaxes(1, 2)
    states = replay_stack(layers, INPUTS)
    np.testing.assert_allclose(states, expected.reshape(states.shape), rtol=0, atol=1e-14)
    assert [each.direction is Direction.BACKWARD for each in layers] == {
        "forward": [False], "reverse": [True], "bidirectional": [False, True],
    }[direction]  # fmt: skip
    assert all(not each.unknown for each in layers)
    assert {each.reset_after for each in layers} == {
        bool(options.get("linear_before_reset")) if kind == "GRU" else None
    }


def test_nodes_that_feed_each_other_are_a_stack(tmp_path: Path) -> None:
    arrays = constants("LSTM", 2) | constants("LSTM", 1, 2 * H, seed=1)
    arrays["sizes"] = np.array([0, 0, -1])
    nodes = [
        cell("LSTM", ["X", "W0", "R0", "B0"], "low", direction="bidirectional"),
        helper.make_node("Transpose", ["low"], ["turned"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["turned", "sizes"], ["flat"]),
        cell("LSTM", ["flat", "W1", "R1", "B1"]),
    ]
    graph = model(nodes, arrays)

    layers = load_weights(saved(tmp_path / "net.onnx", graph)).layers

    assert [each.title for each in layers] == [
        "LSTM/low[0]", "LSTM/low[0]_reverse", "LSTM/low[1]",
    ]  # fmt: skip
    expected = evaluated(graph, INPUTS)[:, 0]
    np.testing.assert_allclose(replay_stack(layers, INPUTS), expected, rtol=0, atol=1e-14)


def test_a_second_reader_of_a_layer_is_a_stack_of_its_own(tmp_path: Path) -> None:
    arrays = constants("RNN") | constants("RNN", 1, H, seed=1)
    arrays["axes"] = np.array([1])
    nodes = [
        cell("RNN", ["X", "W0", "R0"], "low"),
        helper.make_node("Squeeze", ["low", "axes"], ["flat"]),
        cell("RNN", ["flat", "W1", "R1"]),
        cell("RNN", ["flat", "W1", "R1"], "other"),
    ]

    layers = load_weights(saved(tmp_path / "net.onnx", model(nodes, arrays))).layers

    assert [each.title for each in layers] == ["RNN/low[0]", "RNN/low[1]", "RNN/other[0]"]


def test_weights_through_constant_and_identity_are_read(tmp_path: Path) -> None:
    arrays = constants("GRU")
    nodes = [
        helper.make_node("Constant", [], ["W"], value=numpy_helper.from_array(arrays.pop("W0"))),
        helper.make_node("Identity", ["R0"], ["R"]),
        cell("GRU", ["X", "W", "R", "B0"]),
    ]
    graph = model(nodes, arrays)

    found = load_weights(saved(tmp_path / "net.onnx", graph))

    expected = evaluated(graph, INPUTS)[:, 0]
    np.testing.assert_allclose(replay_stack(found.layers, INPUTS), expected, rtol=0, atol=1e-14)
    assert len(found.file.arrays) == 4


def test_a_transposed_weight_is_not_taken_for_the_weight(tmp_path: Path) -> None:
    arrays = constants("RNN") | {"T": np.eye(H)[None]}
    nodes = [
        helper.make_node("Transpose", ["T"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("Identity", ["turned"], ["R"]),
        cell("RNN", ["X", "W0", "R"]),
    ]

    with pytest.raises(WeightsError, match="'R' is computed in the graph"):
        look_into(saved(tmp_path / "net.onnx", model(nodes, arrays)))


@pytest.mark.parametrize("number_type", ["float16", "bfloat16", "float32"])
def test_narrow_numbers_are_read_exactly(tmp_path: Path, number_type: str) -> None:
    code = onnx.TensorProto.DataType.Value(number_type.upper().replace("FLOAT32", "FLOAT"))
    narrow = {
        name: array.astype(helper.tensor_dtype_to_np_dtype(code))
        for name, array in constants("RNN").items()
    }

    (layer,) = load_weights(
        saved(tmp_path / "net.onnx", model([cell("RNN", ["X", "W0", "R0"])], narrow))
    ).layers

    np.testing.assert_array_equal(layer.recurrent_weights, narrow["R0"][0].astype(np.float64))


def test_hard_sigmoid_gates_are_stated(tmp_path: Path) -> None:
    functions = ["HardSigmoid", "Tanh", "Tanh"]
    scales: dict[str, Any] = {"activation_alpha": [0.2], "activation_beta": [0.5]}
    node = cell("LSTM", ["X", "W0", "R0"], activations=functions, **scales)

    (layer,) = look_into(saved(tmp_path / "net.onnx", model([node], constants("LSTM")))).layers

    assert (layer.gate_activation, layer.activation) == ("hard-sigmoid-0.2", "tanh")


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("LSTM", {"clip": 3.0}, "clipped"),
        ("LSTM", {"input_forget": 1}, "coupled"),
        ("LSTM", {"activations": ["Sigmoid", "Tanh", "Relu"]}, "two functions"),
        ("RNN", {"activations": ["Elu"], "activation_alpha": [0.2]}, "constants of their own"),
        ("GRU", {"activations": ["HardSigmoid", "Tanh"], "activation_alpha": [0.3]}, "constants"),
        ("LSTM", {"inputs": ["", "", "", "P"]}, "peepholes"),
        ("LSTM", {"inputs": ["", "", "S"]}, "constant c_0"),
        ("GRU", {"inputs": ["", "S"]}, "constant h_0"),
        ("LSTM", {"inputs": ["", "", "", "dynamic"]}, "computed in the graph"),
        ("RNN", {"activations": ["Tanh", "Relu"]}, "in reverse"),
    ],
)
def test_other_equations_are_refused_by_name(
    tmp_path: Path, kind: str, options: dict[str, Any], words: str
) -> None:
    arrays = constants(kind) | {"P": np.ones((1, 3 * H)), "S": np.ones((1, 2, H))}
    inputs = ["X", "W0", "R0", "B0", *options.pop("inputs", [])]
    graph = model([cell(kind, inputs, **options)], arrays)

    with pytest.raises(WeightsError, match=words) as caught:
        look_into(saved(tmp_path / "net.onnx", graph))
    assert str(caught.value).count("\n") == 0
    assert len(str(caught.value)) - len(str(tmp_path)) <= 300


def test_peepholes_and_states_of_zero_change_nothing(tmp_path: Path) -> None:
    arrays = constants("LSTM") | {"P": np.zeros((1, 3 * H)), "S": np.zeros((1, 2, H))}
    graph = model([cell("LSTM", ["X", "W0", "R0", "B0", "", "S", "S", "P"])], arrays)

    layers = load_weights(saved(tmp_path / "net.onnx", graph)).layers

    expected = evaluated(graph, INPUTS)[:, 0]
    np.testing.assert_allclose(replay_stack(layers, INPUTS), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("holder", ["If", "Loop", "Scan", "function"])
def test_a_layer_within_another_node_is_refused_by_name(tmp_path: Path, holder: str) -> None:
    arrays = constants("LSTM")
    inner = model([cell("LSTM", ["X", "W0", "R0"])], arrays).graph
    outer = model([helper.make_node("Identity", ["X"], ["Y"])], {})
    if holder == "function":
        opsets = [helper.make_opsetid("", 22)]
        outer.functions.append(
            helper.make_function("d", "f", ["X", "W0", "R0"], ["Y"], inner.node, opsets)
        )
    else:
        names = {"If": ["then_branch", "else_branch"], "Loop": ["body"], "Scan": ["body"]}
        graphs = dict.fromkeys(names[holder], inner)
        outer.graph.node.append(helper.make_node(holder, ["X"], ["Z"], **graphs))

    with pytest.raises(WeightsError, match=f"'LSTM', within .*{holder}"):
        look_into(saved(tmp_path / "net.onnx", outer))


def test_quantised_nodes_are_refused_by_name(tmp_path: Path) -> None:
    node = helper.make_node("DynamicQuantizeLSTM", ["X"], ["Y"], domain="com.microsoft")

    with pytest.raises(WeightsError, match="'DynamicQuantizeLSTM'"):
        look_into(saved(tmp_path / "net.onnx", model([node], {})))


@pytest.mark.parametrize("location", ["outside.bin", "../outside.bin", "/etc/passwd"])
def test_numbers_in_another_file_are_refused_and_it_is_not_opened(
    tmp_path: Path, location: str
) -> None:
    graph = model([cell("RNN", ["X", "W0", "R0"])], constants("RNN"))
    (tmp_path / "outside.bin").write_bytes(bytes(8 * H * H))
    tensor = next(each for each in graph.graph.initializer if each.name == "R0")
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location

    with pytest.raises(WeightsError, match="'R0' is kept in another file, which is not opened"):
        look_into(saved(tmp_path / "net.onnx", graph))


def varint(number: int) -> bytes:
    low, high = number & 127, number >> 7
    return bytes([low | 128]) + varint(high) if high else bytes([low])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


@pytest.mark.parametrize("number", [1, 5, 11])
def test_empty_messages_are_counted_before_they_are_made(tmp_path: Path, number: int) -> None:
    many = field(number, b"") * 400_000  # Nodes, tensors, inputs
    raw = b"\x08\x0a" + field(7, many)
    (tmp_path / "net.onnx").write_bytes(raw)

    with pytest.raises(WeightsError, match="the graph"):
        look_into(tmp_path / "net.onnx")


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("LSTM", {"num_layers": 2, "bidirectional": True}),
        ("LSTM", {"num_layers": 2, "dropout": 0.5, "bias": False}),
        ("GRU", {"num_layers": 2, "batch_first": True}),
        ("RNN", {"nonlinearity": "relu"}),
    ],
)
@pytest.mark.filterwarnings("ignore")  # Of an exporter that PyTorch is about to replace
@pytest.mark.torch
def test_an_export_of_pytorchs_has_the_layers_of_its_state_dict(
    tmp_path: Path, kind: str, options: dict[str, Any]
) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch writes the files")
    torch.manual_seed(0)
    net = getattr(torch.nn, kind)(D, H, **options).eval()
    torch.save(torch.nn.ModuleDict({"rnn": net}).state_dict(), tmp_path / "net.pt")
    path = tmp_path / "net.onnx"
    torch.onnx.export(net, (torch.zeros(4, 2, D),), path, dynamo=False)

    found, expected = load_weights(path).layers, load_weights(tmp_path / "net.pt").layers

    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours.layer, ours.direction) == (theirs.layer, theirs.direction)
        for name in ("input_weights", "recurrent_weights", "input_bias", "recurrent_bias"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    assert {each.activation for each in found} == {options.get("nonlinearity", "tanh")}
