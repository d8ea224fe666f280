"""PyTorch's names in any file are layers; what only looks so is refused with the reason."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

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
            "holds 'weight_hh_l0' without the weight_ih_l0 beside it",
        ),
        (
            {"weight_ih": np.ones((6, 2)), "weight_hh": np.ones((6, 3))},
            "'weight_hh' has shape (6, 3), but (G·H, H) with G = 1",
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
            "shape (4, 2), but a rnn layer of 3 units needs (3, 2)",
        ),
        (
            layer_arrays(3, "_l0") | {"bias_hh_l0": np.ones(3)},
            "recurrent bias of 'gru', layer 0: shape (3,), but a gru layer of 3 units needs (9,)",
        ),
        (
            layer_arrays(1, "_l0") | {"weight_ih_l0": np.full((3, 2), np.inf)},
            "inf at [0, 0] is not finite",
        ),
        (
            layer_arrays(1, "_l0") | {"weight_hh_l0": np.diag([1.0, 2.0, -1e308])},
            "recurrent weights of 'rnn', layer 0: 1e+308 is beyond 1e+290",
        ),
        (
            layer_arrays(1, "_l0") | {"weight_hh_l0": np.eye(3, dtype="i1")},
            "is stored as int8: the weights are quantised",
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
