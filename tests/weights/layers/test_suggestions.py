"""What ``inspect`` suggests is complete, runs, and is the network that its author has."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradscope.analysis.analyze import analyze
from gradscope.arrays import FloatArray
from gradscope.weights.layers.manual_names import suggested
from gradscope.weights.readers import read_file
from tests.suggestions import run_suggestion

RNG = np.random.default_rng(3)
H, D = 6, 2
W, U, V = RNG.normal(size=(H, H)) / 2, RNG.normal(size=(H, D)), RNG.normal(size=(3, H))
B, B2, C = RNG.normal(size=H), RNG.normal(size=H), RNG.normal(size=3)
INPUTS = RNG.normal(size=(9, 1, D))

MADE: dict[str, dict[str, Any]] = {
    "two Linears with a bias each": {
        "rnn.i2h.weight": U, "rnn.i2h.bias": B, "rnn.h2h.weight": W, "rnn.h2h.bias": B2,
        "rnn.h2o.weight": V, "rnn.h2o.bias": C,
    },
    "NeuralRNN's CTRNN": {
        "h0": np.zeros(H), "input2h.weight": U, "input2h.bias": B, "h2h.weight": W,
        "h2h.bias": B2, "readout_layer.weight": V, "readout_layer.bias": C,
    },
    "one Linear on [x, h]": {
        "i2h.weight": np.hstack([U, W]), "i2h.bias": B, "i2o.weight": RNG.normal(size=(3, D + H)),
    },
    "one Linear and nothing else": {"cell.weight": np.hstack([U, W]), "cell.bias": B},
    "rows, as in TensorFlow": {"W_out": V.T, "W_in": U.T, "W_hh": W.T, "b": B[None]},
    "letters of MATLAB": {"A": RNG.normal(size=(H, H)), "B": U.T, "W": W.T, "h": B[:, None]},
    "min-char-rnn": {"Wxh": U, "Whh": W, "Why": V, "bh": B[:, None], "by": C[:, None]},
    "reservoirpy": {"W": W, "Win": U, "bias": B[:, None], "Wout": V.T},
    "as many inputs as units": {"i2h": RNG.normal(size=(H, H)), "h2h": W, "bias": B},
    "no bias": {"i2h": U, "h2h": W, "out": V},
    "a bias of the outputs of the size of the state": {"i2h": U, "h2h": W, "out_bias": B},
}  # fmt: skip


def saved(path: Path, arrays: dict[str, Any]) -> Path:
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("kind", MADE)
def test_a_suggestion_is_the_network_that_its_author_has(tmp_path: Path, kind: str) -> None:
    arrays = MADE[kind]
    path = saved(tmp_path / "net.npz", arrays)
    inputs = INPUTS if kind != "as many inputs as units" else RNG.normal(size=(9, 1, H))
    np.save(tmp_path / "x.npy", inputs)
    driven = U if inputs is INPUTS else arrays["i2h"]
    bias = {"two Linears with a bias each": B + B2, "NeuralRNN's CTRNN": B + B2}.get(kind, B)
    bias = 0 * B if kind in ("no bias", list(MADE)[-1]) else bias

    prepared = run_suggestion(path, data=str(tmp_path / "x.npy"), leak=0.5, steps=9, sequences=1)

    assert prepared is not None
    found = analyze(prepared)
    states: list[FloatArray] = [np.zeros(H)]
    product = np.eye(H)
    for x in inputs[:, 0]:
        h = np.tanh(W @ states[-1] + driven @ x + bias)
        product = (np.eye(H) / 2 + 0.5 * (1 - h**2)[:, None] * W) @ product
        states.append(0.5 * states[-1] + 0.5 * h)
    np.testing.assert_allclose(found.trajectory.states[:, 0], states, rtol=0, atol=1e-13)
    number = found.last.profile.log_norms[-1, 0]
    assert number == pytest.approx(np.log(np.linalg.norm(product, 2)), abs=1e-9)


@pytest.mark.parametrize(
    "arrays",
    [
        {"h2h": W},
        {"h2h": W, "out.weight": V},
        {"m": U, "n": U, "wi": U},
        {"i2h": U},
        {"a": np.ones((2, 5)), "b": np.ones((3, 7))},
        {"h2h": np.full((H, H), np.nan), "i2h": U},
        {"h2h": np.zeros((0, 0)), "i2h": U},
        {"\x1bh2h": W, "i2h": U},
        {"W": np.array(1.0), "U": np.array(1.0)},
    ],
)
def test_nothing_is_suggested_where_no_arrays_fit(tmp_path: Path, arrays: dict[str, Any]) -> None:
    assert suggested(read_file(saved(tmp_path / "net.npz", arrays))) == ()


ODD: list[Callable[[str], str]] = [
    str, "a b.{}".format, "it's.{}".format, "a-b.{}".format, "π.{}".format, "0.{}".format,
]  # fmt: skip


@pytest.mark.parametrize("spell", ODD)
@pytest.mark.parametrize("turn", [False, True])
def test_odd_names_can_be_typed(tmp_path: Path, spell: Callable[[str], str], turn: bool) -> None:
    arrays = {"h2h": W.T, "i2h": U.T} if turn else {"i2h": np.hstack([U, W])}
    path = saved(tmp_path / "net.npz", {spell(name): array for name, array in arrays.items()})

    prepared = run_suggestion(path)

    assert prepared is not None
    np.testing.assert_array_equal(prepared.network.recurrent_weights, W)
