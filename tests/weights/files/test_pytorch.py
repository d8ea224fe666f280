"""Checkpoints that PyTorch wrote are read without it, and compute what PyTorch computes."""

import re
import warnings
import zipfile
from argparse import Namespace
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradscope.errors import WeightsError
from gradscope.names import CellName
from gradscope.weights.layers.recurrent_layer import Direction, Unknown
from gradscope.weights.load import load_weights
from gradscope.weights.readers import read_file
from tests.weights.replay import replay_stack

torch = pytest.importorskip("torch", reason="PyTorch writes the files and is the oracle")
pytestmark = pytest.mark.torch

KINDS = {"RNN": CellName.ELMAN, "GRU": CellName.GRU, "LSTM": CellName.LSTM}


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def network(kind: str, **options: Any) -> Any:
    torch.manual_seed(0)
    return getattr(torch.nn, kind)(3, 5, **options)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("bias", [True, False])
def test_replayed_layers_give_pytorchs_output(
    tmp_path: Path, kind: str, depth: int, twice: bool, bias: bool
) -> None:
    net = network(kind, num_layers=depth, bidirectional=twice, bias=bias).double()
    inputs = torch.randn(7, 2, 3, dtype=torch.float64)

    layers = load_weights(saved(tmp_path / "net.pt", net.state_dict())).layers

    assert [each.cell for each in layers] == [KINDS[kind]] * depth * (1 + twice)
    assert all((each.input_bias is not None) is bias for each in layers)
    states = replay_stack(layers, inputs.numpy())
    np.testing.assert_allclose(states, net(inputs)[0].detach().numpy(), rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_cells_without_a_layer_number_are_layers(tmp_path: Path, kind: str) -> None:
    cell = network(f"{kind}Cell").double()
    inputs = torch.randn(2, 3, dtype=torch.float64)

    (layer,) = load_weights(saved(tmp_path / "cell.pt", cell.state_dict())).layers

    state = cell(inputs)
    state = state[0] if kind == "LSTM" else state
    states = replay_stack([layer], inputs.numpy()[None])
    np.testing.assert_allclose(states[0], state.detach().numpy(), rtol=0, atol=1e-14)


def test_a_relu_rnn_is_that_of_pytorch_once_the_activation_is_given(tmp_path: Path) -> None:
    net = network("RNN", nonlinearity="relu").double()
    inputs = torch.randn(4, 2, 3, dtype=torch.float64)

    (layer,) = load_weights(saved(tmp_path / "net.pt", net.state_dict())).layers

    assert layer.unknown == (Unknown.ACTIVATION,)
    states = replay_stack([layer], inputs.numpy(), activation="relu")
    np.testing.assert_allclose(states, net(inputs)[0].detach().numpy(), rtol=0, atol=1e-14)


@pytest.mark.parametrize("number_type", ["float16", "bfloat16", "float32", "float64"])
def test_every_number_type_is_read_exactly(tmp_path: Path, number_type: str) -> None:
    state = network("LSTM").to(getattr(torch, number_type)).state_dict()

    file = read_file(saved(tmp_path / "net.pt", state))

    assert set(file.stored_as.values()) == {number_type}
    for name, tensor in state.items():
        np.testing.assert_array_equal(file.arrays[name], tensor.double().numpy())


@pytest.mark.parametrize("number_type", ["int64", "int32", "int16", "int8", "uint8", "bool"])
def test_integers_beside_the_weights_are_read(tmp_path: Path, number_type: str) -> None:
    tensor = torch.tensor([[1, 0], [0, 1]], dtype=getattr(torch, number_type))

    file = read_file(saved(tmp_path / "net.pt", {"steps": tensor}))

    np.testing.assert_array_equal(file.arrays["steps"], [[1, 0], [0, 1]])


def test_strided_and_shared_tensors_are_read_as_pytorch_sees_them(tmp_path: Path) -> None:
    base = torch.arange(60, dtype=torch.float64).reshape(3, 4, 5)
    tensors = {
        "whole": base,
        "turned": base.permute(2, 0, 1),
        "every other": base[:, ::2, 1::3],
        "row": base[1, 2],
        "one": base[2, 3, 4],
        "none": base[:0],
    }

    file = read_file(saved(tmp_path / "net.pt", tensors))

    for name, tensor in tensors.items():
        np.testing.assert_array_equal(file.arrays[name], tensor.numpy())


def test_a_training_checkpoint_is_read_past_all_that_is_no_weight(tmp_path: Path) -> None:
    net = network("GRU")
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.zeros(2, 1, 3))[0].sum().backward()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 2])
    content = {
        "epoch": 3,
        "model_state_dict": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "arguments": Namespace(path=Path("runs"), rate=0.1),
        "best": np.float64(0.25),
        "history": np.zeros(3),
        "counts": Counter("abca"),
        "where": torch.device("cpu"),
        "what": torch.float32,
        "shape": torch.Size([1, 2]),
        "nothing": (None, True, {"a", "b"}, b"bytes", -1, 2**40),
    }

    found = load_weights(saved(tmp_path / "run.pth", content))

    (layer,) = found.layers
    assert layer.title == "model_state_dict[0]"
    assert found.file.arrays["optimizer.state.0.exp_avg"].shape == (15, 3)
    np.testing.assert_array_equal(layer.recurrent_weights, net.weight_hh_l0.detach().numpy())


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "module._orig_mod."])
def test_what_wrappers_put_before_the_names_is_taken_off(tmp_path: Path, wrapper: str) -> None:
    state = {
        f"{wrapper}encoder.{name}": value for name, value in network("RNN").state_dict().items()
    }

    (layer,) = load_weights(saved(tmp_path / "net.pt", OrderedDict(state))).layers

    assert layer.name == "encoder"


def test_wrapped_and_bare_names_side_by_side_stay_apart(tmp_path: Path) -> None:
    first, second = network("RNN").state_dict(), network("RNN").state_dict()
    state = {
        **{f"rnn.{n}": v for n, v in first.items()},
        **{f"module.rnn.{n}": v for n, v in second.items()},
    }

    layers = load_weights(saved(tmp_path / "net.pt", state)).layers

    assert [each.name for each in layers] == ["rnn", "module.rnn"]


def test_parameters_are_read_as_their_tensors(tmp_path: Path) -> None:
    parameters = dict(network("LSTM").named_parameters())

    (layer,) = load_weights(saved(tmp_path / "net.pt", {"net": parameters})).layers

    np.testing.assert_array_equal(layer.input_weights, parameters["weight_ih_l0"].detach().numpy())


def test_a_parameter_with_attributes_is_read_as_its_tensor(tmp_path: Path) -> None:
    parameter = torch.nn.Parameter(torch.eye(2))
    parameter.note = "mine"

    file = read_file(saved(tmp_path / "net.pt", {"W": parameter}))

    np.testing.assert_array_equal(file.arrays["W"], np.eye(2))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol_is_read(tmp_path: Path, protocol: int) -> None:
    net = network("GRU")
    torch.save(net.state_dict(), tmp_path / "net.pt", pickle_protocol=protocol)

    (layer,) = load_weights(tmp_path / "net.pt").layers

    np.testing.assert_array_equal(layer.recurrent_weights, net.weight_hh_l0.detach().numpy())


def test_numbers_of_the_other_byte_order_are_turned(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.pt", {"W": torch.tensor([[1.0, 2.5], [-3.0, 4.0]])})
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["net/byteorder"] = b"big"
    members["net/data/0"] = np.frombuffer(members["net/data/0"], "<f4").astype(">f4").tobytes()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)

    np.testing.assert_array_equal(read_file(path).arrays["W"], [[1.0, 2.5], [-3.0, 4.0]])


def test_output_layers_that_fit_the_state_are_listed(tmp_path: Path) -> None:
    parts = {"rnn": network("LSTM", bidirectional=True), "head": torch.nn.Linear(10, 2)}
    parts |= {"side": torch.nn.Linear(5, 1, bias=False), "other": torch.nn.Linear(4, 2)}
    parts |= {"embedding": torch.nn.Embedding(9, 5)}
    net = torch.nn.ModuleDict(parts)

    found = load_weights(saved(tmp_path / "net.pt", net.state_dict()))

    assert [each.name for each in found.readouts] == ["head", "side"]
    assert found.readouts[0].output_weights.shape == (2, 10)
    assert found.readouts[1].output_bias is None
    assert [each.direction for each in found.layers] == [Direction.FORWARD, Direction.BACKWARD]


def test_projections_are_refused_with_the_reason(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.pt", network("LSTM", proj_size=2).state_dict())

    with pytest.raises(WeightsError, match=r"'weight_hr_l0' is a projection \(proj_size\)"):
        load_weights(path)


def test_parametrized_weights_are_refused_with_the_remedy(tmp_path: Path) -> None:
    net = network("RNN")
    torch.nn.utils.parametrizations.orthogonal(net, "weight_hh_l0")
    path = saved(tmp_path / "net.pt", net.state_dict())

    with pytest.raises(WeightsError, match=r"parametrization, .*remove_parametrizations"):
        load_weights(path)


def test_a_parametrized_output_layer_is_no_hindrance(tmp_path: Path) -> None:
    head = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(5, 2))
    net = torch.nn.ModuleDict({"rnn": network("RNN"), "head": head})

    assert len(load_weights(saved(tmp_path / "net.pt", net.state_dict())).layers) == 1


def test_a_quantised_network_is_refused_with_the_reason(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch has deprecated it; people still have such files
        tensor = torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 0, torch.qint8)
    path = saved(tmp_path / "net.pt", {"weight_hh_l0": tensor})

    with pytest.raises(WeightsError, match="quantised"):
        load_weights(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"W": torch.zeros(2, dtype=torch.complex64)}, "asks for 'torch.ComplexFloatStorage'"),
        ({"W": torch.ones(3, 3).to_sparse()}, "asks for 'torch.serialization._get_layout'"),
        ({"W": torch.arange(3.0).expand(1000, 3)}, "asks for 3000 entries"),
        ({"W": torch.zeros(2).to(torch.float8_e4m3fn)}, "float8_e4m3fn"),
    ],
)
def test_what_is_no_plain_tensor_is_refused(tmp_path: Path, content: Any, words: str) -> None:
    with pytest.raises(WeightsError) as caught:
        read_file(saved(tmp_path / "net.pt", content))

    assert words in str(caught.value)
    assert "save" in str(caught.value)


OLD = {"_use_new_zipfile_serialization": False}


@pytest.mark.parametrize("options", [{}, OLD], ids=["zip", "before 1.6"])
@pytest.mark.parametrize("content", ["state dict", "checkpoint"])
def test_whatever_holds_the_weights_gives_those_of_the_state_dict(
    tmp_path: Path, content: str, options: dict[str, Any]
) -> None:
    parts = {"lstm": network("LSTM", num_layers=2, bidirectional=True), "rnn": network("RNN")}
    parts["inside"] = torch.nn.Sequential(network("GRUCell"), torch.nn.Linear(5, 5))
    state = torch.nn.ModuleDict(parts).state_dict()
    checkpoint = {"net": state, "epoch": 3, "options": Namespace(rate=0.1)}
    torch.save(state if content == "state dict" else checkpoint, tmp_path / "net.pt", **options)

    found = load_weights(tmp_path / "net.pt")

    prefix = "net." if content == "checkpoint" else ""
    for name, tensor in state.items():
        np.testing.assert_array_equal(found.file.arrays[f"{prefix}{name}"], tensor.numpy())
    assert len(found.file.arrays) == len(state)
    assert len(found.layers) == 6


@pytest.mark.parametrize("options", [{}, OLD], ids=["zip", "before 1.6"])
@pytest.mark.filterwarnings("ignore::UserWarning")  # No source of a class that a file defines
def test_a_whole_model_is_refused_and_the_remedy_works(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    model = torch.nn.Sequential(network("LSTM"))
    torch.save(model, tmp_path / "net.pt", **options)

    with pytest.raises(WeightsError, match="which is no tensor") as caught:
        load_weights(tmp_path / "net.pt")

    line = str(caught.value)
    assert len(line) - len(str(tmp_path)) <= 300
    shown = re.search(r"net = (torch\.load\(.*?\)), of a model net\.state_dict\(\)", line)
    assert shown
    read = shown[1].replace("FILE", str(tmp_path / "net.pt"))
    torch.save(eval(read, {"torch": torch}).state_dict(), tmp_path / "weights.pt")  # noqa: S307
    (layer,) = load_weights(tmp_path / "weights.pt").layers
    np.testing.assert_array_equal(layer.recurrent_weights, model[0].weight_hh_l0.detach().numpy())


@pytest.mark.parametrize(
    "number_type", ["float16", "bfloat16", "float32", "float64", "int64", "uint8", "bool"]
)
def test_tied_and_strided_tensors_of_the_old_format_are_read(
    tmp_path: Path, number_type: str
) -> None:
    base = torch.arange(60).reshape(3, 4, 5).to(getattr(torch, number_type))
    tensors = {"whole": base, "turned": base.permute(2, 0, 1), "part": base[1:, ::2, 1::3],
               "tied": base, "other": base.flatten()[:7].clone(), "one": base[2, 3, 4]}  # fmt: skip
    torch.save(tensors, tmp_path / "old.pt", **OLD)

    file = read_file(tmp_path / "old.pt")

    for name, tensor in tensors.items():
        np.testing.assert_array_equal(file.arrays[name], tensor.double().numpy())
        assert file.stored_as[name] == number_type


def test_the_old_format_is_little_endian_whatever_machine_it_names(tmp_path: Path) -> None:
    path, state = tmp_path / "old.pt", network("GRU").state_dict()
    torch.save(state, path, **OLD)
    raw = path.read_bytes()
    assert raw.count(b"little_endianq\x02\x88") == 1
    path.write_bytes(raw.replace(b"little_endianq\x02\x88", b"little_endianq\x02\x89"))

    (layer,) = load_weights(path).layers

    theirs = torch.load(path)["weight_hh_l0"]
    np.testing.assert_array_equal(theirs.numpy(), state["weight_hh_l0"].numpy())
    np.testing.assert_array_equal(layer.recurrent_weights, theirs.numpy())


def test_a_view_of_a_storage_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "old.pt"
    torch.save({"W": torch.arange(6.0)[:4].reshape(2, 2)}, path, **OLD)
    raw = path.read_bytes()
    (end,) = [match.start() for match in re.finditer(rb"K\x06NtQ?", raw)]
    view = b"(X\x01\x00\x00\x00vK\x02K\x04t"  # (key, start, count)
    path.write_bytes(raw[: end + 2] + view + raw[end + 3 :])

    with pytest.raises(WeightsError, match="refers to a part of a storage"):
        read_file(path)


def test_an_old_file_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    torch.save({"W": torch.ones(3, 3)}, tmp_path / "old.pt", **OLD)
    whole = (tmp_path / "old.pt").read_bytes()

    for size in range(16, len(whole), 5):
        (tmp_path / "old.pt").write_bytes(whole[:size])
        with pytest.raises(WeightsError):
            read_file(tmp_path / "old.pt")


def test_a_torchscript_archive_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch has deprecated it; people still have such files
        torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "net.pt"))

    with pytest.raises(WeightsError, match="TorchScript"):
        read_file(tmp_path / "net.pt")
