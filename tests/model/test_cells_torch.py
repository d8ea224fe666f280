"""States and outputs equal those of ``torch.nn.RNN``, ``GRU`` and ``LSTM`` in float64."""

from typing import Any

import numpy as np
import pytest

from gradscope.model.activations import ACTIVATIONS
from gradscope.model.cells import Cell
from gradscope.model.elman import ElmanParameters
from gradscope.model.gru import GruParameters
from gradscope.model.lstm import LstmParameters
from gradscope.model.trajectory import unroll
from gradscope.names import ActivationName

torch = pytest.importorskip("torch", reason="PyTorch is the oracle here")
pytestmark = pytest.mark.torch

D, H, T, B = 3, 6, 40, 4


def taken_from(layer: Any, readout: Any) -> dict[str, Any]:
    """Return the weights of a torch layer; its two biases stand under b_i and b_h."""
    found = {
        "input_weights": layer.weight_ih_l0,
        "recurrent_weights": layer.weight_hh_l0,
        "b_i": layer.bias_ih_l0,
        "b_h": layer.bias_hh_l0,
        "output_weights": readout.weight,
        "output_bias": readout.bias,
    }
    return {name: each.detach().numpy().copy() for name, each in found.items()}


def summed(found: dict[str, Any]) -> dict[str, Any]:
    """Add the two biases, as a cell without a reset gate may."""
    bias = found.pop("b_i") + found.pop("b_h")
    return {**found, "hidden_bias": bias}


def compare(layer: Any, cell: Cell, readout: Any, state: Any) -> None:
    inputs = torch.randn(T, B, D, dtype=torch.float64)
    hidden, _ = layer(inputs, state)
    first = torch.cat(state, dim=2)[0] if isinstance(state, tuple) else state[0]

    found = unroll(cell, inputs.numpy(), first.numpy())

    np.testing.assert_allclose(found.hidden[1:], hidden.detach().numpy(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.outputs, readout(hidden).detach().numpy(), rtol=0, atol=1e-12)


def parts(kind: Any, **options: Any) -> tuple[Any, Any]:
    torch.manual_seed(0)
    layer = kind(D, H, dtype=torch.float64, **options)
    for weight in layer.parameters():
        torch.nn.init.normal_(weight, std=0.7)
    return layer, torch.nn.Linear(H, 2, dtype=torch.float64)


def state() -> Any:
    return torch.randn(1, B, H, dtype=torch.float64)


@pytest.mark.parametrize("name", [ActivationName.TANH, ActivationName.RELU])
def test_the_vanilla_rnn_is_that_of_torch(name: ActivationName) -> None:
    layer, readout = parts(torch.nn.RNN, nonlinearity=str(name))
    if name is ActivationName.RELU:
        with torch.no_grad():
            layer.weight_hh_l0 *= 0.3
    weights = summed(taken_from(layer, readout))

    compare(layer, ElmanParameters(**weights, activation=ACTIVATIONS[name]), readout, state())


def test_the_gru_is_that_of_torch() -> None:
    layer, readout = parts(torch.nn.GRU)
    found = taken_from(layer, readout)
    first, second = found.pop("b_i"), found.pop("b_h")
    bias = first.copy()
    bias[: 2 * H] += second[: 2 * H]
    cell = GruParameters(**found, hidden_bias=bias, candidate_bias=second[2 * H :])

    compare(layer, cell, readout, state())


def test_the_lstm_is_that_of_torch() -> None:
    layer, readout = parts(torch.nn.LSTM)

    cell = LstmParameters(**summed(taken_from(layer, readout)))

    compare(layer, cell, readout, (state(), state()))


def test_the_lstm_keeps_the_cell_state_of_torch() -> None:
    layer, readout = parts(torch.nn.LSTM)
    cell = LstmParameters(**summed(taken_from(layer, readout)))
    inputs = torch.randn(T, B, D, dtype=torch.float64)
    _, (_, last) = layer(inputs)

    found = unroll(cell, inputs.numpy()).states[-1, :, H:]

    np.testing.assert_allclose(found, last[0].detach().numpy(), rtol=0, atol=1e-12)
