"""PyTorch's names in any file are layers; what only looks so is refused with the reason."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradscope
from gradscope.analysis.imported.resolve import import_stack
from gradscope.errors import WeightsError
from gradscope.names import CellName
from gradscope.weights.layers.recurrent_layer import GATES, Unknown
from gradscope.weights.load import load_weights, look_into


def saved(path: Path, arrays: dict[str, Any]) -> Path:
    np.savez(path, **arrays)
    return path


def layer_arrays(gates: int, suffix: str = "", prefix: str = "", inputs: int = 2) -> dict[str, Any]:
    return {
        f"{prefix}weight_ih{suffix}": np.ones((gates * 3, inputs)),
        f"{prefix}weight_hh{suffix}": np.arange(gates * 9.0).reshape(gates * 3, 3),
    }


@pytest.mark.parametrize(
    ("gates", "cell", "kind"),
    [(1, CellName.ELMAN, "rnn"), (3, CellName.GRU, "gru"), (4, CellName.LSTM, "lstm")],
)
def test_the_shape_tells_the_kind(tmp_path: Path, gates: int, cell: CellName, kind: str) -> None:
    (layer,) = load_weights(saved(tmp_path / "net.npz", layer_arrays(gates, "_l0"))).layers

    assert (layer.cell, layer.kind) == (cell, kind)
    assert (layer.input_size, layer.hidden_size) == (2, 3)
    assert layer.n_parameters == gates * 15
    assert layer.input_bias is None
    assert layer.unknown == ((Unknown.ACTIVATION,) if gates == 1 else ())


def test_gates_are_blocks_of_rows_from_the_top(tmp_path: Path) -> None:
    (layer,) = load_weights(saved(tmp_path / "net.npz", layer_arrays(4, "_l0"))).layers

    assert GATES[CellName.LSTM] == ("i", "f", "g", "o")
    np.testing.assert_array_equal(layer.gate("f"), np.arange(9.0, 18.0).reshape(3, 3))


def test_layers_stand_from_the_input_up_however_the_file_has_them(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {}
    for suffix in ("_l10", "_l2", "_l0_reverse", "_l0", "_l2_reverse", "_l10_reverse"):
        arrays |= layer_arrays(1, suffix, "b.")
    arrays |= layer_arrays(1, "_l0", "a.")

    layers = load_weights(saved(tmp_path / "net.npz", arrays)).layers

    titles = ["b[0]", "b[0]_reverse", "b[2]", "b[2]_reverse", "b[10]", "b[10]_reverse", "a[0]"]
    assert [each.title for each in layers] == titles


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (
            {"weight_hh_l0": np.eye(3)},
            "'weight_hh_l0' has no weight_ih_l0 beside it",
        ),
        (
            {"weight_ih": np.ones((6, 2)), "weight_hh": np.ones((6, 3))},
            "'weight_hh' has shape (6, 3), but (G·H,H) with G = 1",
        ),
        (
            {"weight_ih": np.ones((6, 2)), "weight_hh": np.ones(6)},
            "'weight_hh' has shape (6,)",
        ),
        (
            {"weight_ih": np.ones((0, 2)), "weight_hh": np.ones((0, 0))},
            "'weight_hh' has shape (0, 0)",
        ),
        (
            layer_arrays(1, "_l0") | {"weight_ih_l0": np.ones((4, 2))},
            "shape (4, 2), but (3, 2) is needed",
        ),
        (
            layer_arrays(3, "_l0") | {"bias_hh_l0": np.ones(3)},
            "recurrent bias of 'gru[0]' has shape (3,), but (9,) is needed",
        ),
        (
            layer_arrays(1, "_l0") | {"weight_ih_l0": np.full((3, 2), np.inf)},
            "inf at [0, 0] is not finite",
        ),
        (
            layer_arrays(1, "_l0") | {"weight_hh_l0": np.diag([1.0, 2.0, -1e308])},
            "recurrent weights of 'rnn[0]': -1e+308 at [2, 2] is beyond 1e+290",
        ),
        (
            layer_arrays(1, "_l0") | {"weight_hh_l0": np.eye(3, dtype="i1")},
            "is quantised (int8)",
        ),
        (layer_arrays(4, "_l0") | {"weight_hr_l0": np.ones((1, 3))}, "is a projection (proj_size)"),
        ({"a.parametrizations.weight_hh_l0.original": np.eye(3)}, "is a parametrization"),
        ({"weight_hh_l0_v": np.eye(3), "weight_hh_l0_g": np.ones(3)}, "is a parametrization"),
        ({"rnn.weight_hh_l0_raw": np.eye(3)}, "is a parametrization"),
    ],
)
def test_what_is_no_plain_layer_is_refused(
    tmp_path: Path, arrays: dict[str, Any], words: str
) -> None:
    path = saved(tmp_path / "net.npz", arrays)

    with pytest.raises(WeightsError) as caught:
        load_weights(path)

    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).count(str(path)) == 1


def test_parametrized_weights_can_still_be_named_by_hand(tmp_path: Path) -> None:
    arrays = {"rnn.weight_hh_l0_raw": np.eye(3), "rnn.weight_ih_l0": np.ones((3, 2))}
    mapping = {"W": "rnn.weight_hh_l0_raw", "U": "rnn.weight_ih_l0"}

    (layer,) = load_weights(saved(tmp_path / "net.npz", arrays), mapping).layers

    assert layer.hidden_size == 3


def test_a_file_without_a_layer_can_be_looked_into(tmp_path: Path) -> None:
    found = look_into(saved(tmp_path / "net.npz", {"fc.weight": np.ones((2, 3))}))

    assert found.layers == ()
    assert set(found.file.arrays) == {"fc.weight"}


ANOTHER = {
    "layernorm_i.weight": np.ones(12),
    "ln_ih.bias": np.ones(12),
    "bn_hh.running_mean": np.ones(3),
    "gamma": np.ones(12),
    "weight_ci": np.ones(3),
    "weight_co": np.ones((1, 3)),
    "weight_hr": np.ones((2, 3)),
    "attention.weight": np.ones((3, 3)),
    "alpha": np.array(0.1),
}


@pytest.mark.parametrize("name", ANOTHER)
@pytest.mark.parametrize("suffix", ["", "_l0", "_l1_reverse"])
def test_a_cell_that_holds_more_than_a_plain_one_is_refused_by_name(
    tmp_path: Path, name: str, suffix: str
) -> None:
    arrays = layer_arrays(4, suffix, "net.cell.") | {f"net.cell.{name}": ANOTHER[name]}

    with pytest.raises(WeightsError, match=rf"is no plain LSTM: .*net\.cell\.{name}") as caught:
        load_weights(saved(tmp_path / "net.npz", arrays))

    assert "gradscope.lag_norms(gradscope.DenseChain(J))" in str(caught.value)


def test_an_array_of_a_long_name_is_told_by_its_end(tmp_path: Path) -> None:
    prefix = "\x1b[2J".join("encoder") + "." + 20 * "x" + ".cell."
    arrays = layer_arrays(1, "", prefix) | {f"{prefix}leaky_gate": np.ones(3)}

    with pytest.raises(WeightsError, match=r"it also holds '…[x]*.cell.leaky_gate'"):
        load_weights(saved(tmp_path / "net.npz", arrays))


@pytest.mark.parametrize("name", list(ANOTHER)[:6])
def test_at_the_top_of_a_file_a_cells_own_arrays_are_told_by_name_and_size(
    tmp_path: Path, name: str
) -> None:
    arrays = layer_arrays(4) | {name: ANOTHER[name]}

    with pytest.raises(WeightsError, match=f"no plain LSTM: it also holds '{name}'"):
        load_weights(saved(tmp_path / "net.npz", arrays))


@pytest.mark.parametrize("above", ["", "net."])
@pytest.mark.parametrize(
    "name", ["ln_ih.bias", "norm_h.weight", "peephole.weight_ci", "peep_f", "weight_co"]
)
def test_what_normalises_gates_or_is_a_peephole_is_refused_beside_the_cell_too(
    tmp_path: Path, above: str, name: str
) -> None:
    size = 12 if "n" in name[:2] else 3
    others = {f"{above}{name}": np.ones(size), "fc.weight": np.ones((2, 3))}

    with pytest.raises(WeightsError, match=rf"no plain LSTM: it also holds '{above}{name}'"):
        load_weights(saved(tmp_path / "net.npz", layer_arrays(4, "", f"{above}cell.") | others))


@pytest.mark.parametrize(
    "others",
    [
        {"fc.weight": np.ones((12, 3)), "bn1.weight": np.ones(12)},
        {"head.norm.inner.weight": np.ones(12)},
        {"norm.weight": np.ones(3), "weight_conv.bias": np.ones(8)},
    ],
)
def test_what_normalises_another_layer_is_no_cause_for_refusal(
    tmp_path: Path, others: dict[str, Any]
) -> None:
    found = load_weights(saved(tmp_path / "net.npz", layer_arrays(4, "_l0", "rnn.") | others))

    assert len(found.layers) == 1


@pytest.mark.parametrize("prefix", ["", "net.cell."])
def test_what_other_layers_hold_is_no_cause_for_refusal(tmp_path: Path, prefix: str) -> None:
    others = {
        "fc.weight": np.ones((3, 3)), "fc.bias": np.ones(3), "embedding.weight": np.ones((9, 2)),
        "V": np.ones((1, 3)), "train_loss": np.ones(100), "epoch": np.array(7),
    }  # fmt: skip
    beside = {"net.norm.weight": np.ones(3), "net.gamma": np.ones(3), "net.alpha": np.array(0.5)}
    arrays = layer_arrays(4, "", prefix) | others | (beside if prefix else {})

    (layer,) = load_weights(saved(tmp_path / "net.npz", arrays)).layers

    assert layer.initial_state is None


@pytest.mark.parametrize("prefix", ["", "net.cell."])
def test_a_leak_in_a_vanilla_cell_is_asked_for_and_no_cause_for_refusal(
    tmp_path: Path, prefix: str
) -> None:
    arrays = layer_arrays(1, "", prefix) | {f"{prefix}alpha": np.full(3, 0.5)}

    (layer,) = load_weights(saved(tmp_path / "net.npz", arrays)).layers

    assert Unknown.LEAK in layer.unknown


def test_every_cell_of_a_file_is_looked_at(tmp_path: Path) -> None:
    arrays = layer_arrays(3, "_l0", "encoder.") | layer_arrays(1, "", "decoder.cell.")
    assert len(load_weights(saved(tmp_path / "plain.npz", arrays)).layers) == 2
    arrays["decoder.cell.ln.weight"] = np.ones(3)

    with pytest.raises(WeightsError, match=r"'decoder\.cell' is no plain RNN"):
        load_weights(saved(tmp_path / "net.npz", arrays))


@pytest.mark.torch
def test_the_way_that_the_refusal_names_gives_the_products_of_the_cell_itself() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch differentiates the cell")
    torch.manual_seed(0)
    cell, norm = torch.nn.LSTMCell(2, 3, dtype=torch.float64), torch.nn.LayerNorm(12).double()

    def step(x: Any, state: Any) -> Any:
        a = norm(cell.weight_ih @ x + cell.weight_hh @ state[:3])
        i, f, g, o = a.split(3)
        c = f.sigmoid() * state[3:] + i.sigmoid() * g.tanh()
        return torch.cat([o.sigmoid() * c.tanh(), c])

    inputs, states = torch.randn(8, 2, dtype=torch.float64), [torch.zeros(6, dtype=torch.float64)]
    for x in inputs:
        states.append(step(x, states[-1]).detach())
    jacrev = torch.func.jacrev(step, argnums=1)
    factors = np.array(
        [[jacrev(x, s).detach().numpy()] for x, s in zip(inputs, states, strict=False)]
    )

    profile = gradscope.lag_norms(gradscope.DenseChain(factors))

    product = np.linalg.multi_dot(list(factors[::-1, 0]))
    np.testing.assert_allclose(profile.log_norms[-1, 0], np.log(np.linalg.norm(product, 2)))


H0, C0 = np.array([0.1, 0.2, 0.3]), np.array([-1.0, -2.0, -3.0])


@pytest.mark.parametrize("level", ["", "net.", "net.rnn."])
@pytest.mark.parametrize("names", [("h0", "c0"), ("init_hidden", "cell_init"), ("h_0", "c_0")])
@pytest.mark.parametrize("shape", [(3,), (1, 3), (1, 1, 3)])
def test_a_learned_initial_state_in_or_beside_the_layer_is_used(
    tmp_path: Path, level: str, names: tuple[str, str], shape: tuple[int, ...]
) -> None:
    base = "rnn." if level == "" else "net.rnn."
    states = {level + names[0]: H0.reshape(shape), level + names[1]: C0.reshape(shape)}
    path = saved(tmp_path / "net.npz", layer_arrays(4, "_l0", base) | states)

    (layer,) = load_weights(path).layers

    np.testing.assert_array_equal(layer.initial_state, [*H0, *C0])


def test_each_cell_of_a_module_starts_from_its_own_state(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {"rnn.h0": np.arange(12.0).reshape(4, 1, 3)}
    for suffix, inputs in {"_l0": 2, "_l0_reverse": 2, "_l1": 6, "_l1_reverse": 6}.items():
        arrays |= layer_arrays(3, suffix, "rnn.", inputs)

    layers = load_weights(saved(tmp_path / "net.npz", arrays)).layers

    # PyTorch: (L·D,N,H), layer by layer, forward before backward.
    titles = ["rnn[0]", "rnn[0]_reverse", "rnn[1]", "rnn[1]_reverse"]
    assert [each.title for each in layers] == titles
    for number, layer in enumerate(layers):
        np.testing.assert_array_equal(layer.initial_state, arrays["rnn.h0"][number, 0])


@pytest.mark.parametrize(
    "arrays",
    [
        layer_arrays(3, "_l0", "a.") | {"h0": np.ones((1, 8, 3))},
        layer_arrays(3, "_l0", "a.") | layer_arrays(3, "_l0", "b.") | {"h0": np.ones((1, 1, 3))},
        layer_arrays(4, "_l0", "a.") | {"a.c0": np.ones(4)},
    ],
    ids=["one for each sequence", "of one of two layers", "of another size"],
)
def test_a_state_that_is_not_clearly_the_layers_is_refused(
    tmp_path: Path, arrays: dict[str, Any]
) -> None:
    with pytest.raises(WeightsError, match="is not clearly h_0"):
        load_weights(saved(tmp_path / "net.npz", arrays))


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_a_network_with_a_learned_state_does_what_pytorch_does(tmp_path: Path, kind: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    torch.manual_seed(0)
    net = torch.nn.Module()
    net.rnn = getattr(torch.nn, kind)(2, 3, 2, bidirectional=True, dtype=torch.float64)
    for name in ("h0", "c0") if kind == "LSTM" else ("h0",):
        net.register_parameter(name, torch.nn.Parameter(torch.randn(4, 1, 3).double()))
    torch.save(net.state_dict(), tmp_path / "net.pt")
    inputs = np.random.default_rng(0).normal(size=(5, 2, 2))
    np.save(tmp_path / "x.npy", inputs)

    values = {"weights": str(tmp_path / "net.pt"), "data": str(tmp_path / "x.npy")}
    stack = import_stack(values | ({"activation": "tanh"} if kind == "RNN" else {}))

    states = net.h0, getattr(net, "c0", net.h0)
    first = [each.detach().expand(4, 2, 3).contiguous() for each in states]
    wanted = net.rnn(torch.tensor(inputs), tuple(first) if kind == "LSTM" else first[0])[0]
    forward, backward = (stack.trajectories[f"rnn[1]{end}"].hidden for end in ("", "_reverse"))
    found = np.concatenate([forward[1:], backward[:0:-1]], axis=2)
    np.testing.assert_allclose(found, wanted.detach().numpy(), rtol=1e-12)


@pytest.mark.torch
@pytest.mark.parametrize("wrapped", ["weight_norm", "spectral_norm", "prune"])
def test_reparametrized_cells_that_pytorch_wrote_are_refused(tmp_path: Path, wrapped: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch writes the file")
    cell = torch.nn.LSTMCell(2, 3)
    if wrapped == "prune":
        importlib.import_module("torch.nn.utils.prune").l1_unstructured(cell, "weight_hh", 0.5)
    else:
        getattr(torch.nn.utils.parametrizations, wrapped)(cell, "weight_hh")
    torch.save(cell.state_dict(), tmp_path / "cell.pt")

    with pytest.raises(WeightsError, match="is a parametrization"):
        load_weights(tmp_path / "cell.pt")
