"""One and two layers, one and both directions: states and transports are those of PyTorch."""

from typing import Any

import numpy as np
import pytest

from gradscope.arrays import FloatArray
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.model.activations import RELU, TANH
from gradscope.model.cells import Cell
from gradscope.model.stack import Layer, LayerWeights, cell_without_readout, unroll_stack
from gradscope.model.trajectory import Trajectory
from gradscope.names import CellName

torch = pytest.importorskip("torch", reason="PyTorch is the oracle here")
pytestmark = pytest.mark.torch

D, H, T, B = 3, 4, 15, 2
KINDS = {
    "tanh": (CellName.ELMAN, "RNN", {"nonlinearity": "tanh"}),
    "relu": (CellName.ELMAN, "RNN", {"nonlinearity": "relu"}),
    "gru": (CellName.GRU, "GRU", {}),
    "lstm": (CellName.LSTM, "LSTM", {}),
}


def both(kind: str, n_layers: int, n_directions: int) -> tuple[Any, list[Layer]]:
    """Return the torch module and our layers with the same weights."""
    name, made, options = KINDS[kind]
    torch.manual_seed(3)
    module = getattr(torch.nn, made)(
        D, H, n_layers, bidirectional=n_directions == 2, dtype=torch.float64, **options
    )

    def cell(suffix: str) -> Cell:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        arrays = (getattr(module, f"{each}_{suffix}").detach().numpy() for each in names)
        activation = RELU if kind == "relu" else TANH
        return cell_without_readout(name, LayerWeights(*arrays), activation=activation)

    endings = ("", "_reverse")[:n_directions]
    return module, [Layer(*(cell(f"l{n}{end}") for end in endings)) for n in range(n_layers)]


def split(stacked: FloatArray, kind: str) -> list[FloatArray]:
    """Return (N,B,S) as N states, as the library takes them."""
    return list(stacked if kind == "lstm" else stacked[..., :H])


@pytest.mark.parametrize("n_directions", [1, 2])
@pytest.mark.parametrize("n_layers", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_a_stack_is_that_of_torch(kind: str, n_layers: int, n_directions: int) -> None:
    module, layers = both(kind, n_layers, n_directions)
    inputs = torch.randn(T, B, D, dtype=torch.float64)
    first = 0.3 * torch.randn(n_layers * n_directions, B, 2 * H, dtype=torch.float64)
    given = (first[..., :H].contiguous(), first[..., H:].contiguous())
    top, last = module(inputs, given if kind == "lstm" else given[0])
    ends = torch.cat(last, dim=2) if kind == "lstm" else last

    found = unroll_stack(layers, inputs.numpy(), split(first.numpy(), kind))

    np.testing.assert_allclose(found[-1].hidden, top.detach().numpy(), rtol=0, atol=1e-12)
    for trajectory, end in zip(every(found), ends.detach().numpy(), strict=True):
        np.testing.assert_allclose(trajectory.states[-1], end, rtol=0, atol=1e-12)


def every(found: Any) -> list[Trajectory]:
    pairs = [(each.forward, each.backward) for each in found]
    return [trajectory for pair in pairs for trajectory in pair if trajectory is not None]


@pytest.mark.parametrize("n_directions", [1, 2])
@pytest.mark.parametrize("n_layers", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_the_transport_of_every_direction_is_that_of_jacrev(
    kind: str, n_layers: int, n_directions: int
) -> None:
    module, layers = both(kind, n_layers, n_directions)
    inputs = torch.randn(T, 1, D, dtype=torch.float64)
    first = 0.3 * torch.randn(n_layers * n_directions, 1, 2 * H, dtype=torch.float64)
    found = every(unroll_stack(layers, inputs.numpy(), split(first.numpy(), kind)))
    cells = [cell for layer in layers for cell in layer.directions]

    for which, (cell, trajectory) in enumerate(zip(cells, found, strict=True)):
        wanted = torch_transport(module, inputs, first, which, kind)
        chain = cell_chain(cell, trajectory)
        rows = np.eye(chain.state_size)[None]
        for step in range(T, 0, -1):
            rows = chain.vjp(rows, step)
        size = float(np.linalg.norm(wanted, 2))
        np.testing.assert_allclose(rows[0], wanted, rtol=0, atol=1e-10 * size)


def torch_transport(module: Any, inputs: Any, first: Any, which: int, kind: str) -> FloatArray:
    """Return ∂s_T/∂s_0 of one direction of one layer, all else held."""
    width = 2 * H if kind == "lstm" else H

    def ending(state: Any) -> Any:
        start = first.clone()
        start[which, 0, :width] = state
        hidden, cells = start[..., :H].contiguous(), start[..., H:].contiguous()
        _, last = module(inputs, (hidden, cells) if kind == "lstm" else hidden)
        return torch.cat(last, dim=2)[which, 0] if kind == "lstm" else last[which, 0]

    found = torch.autograd.functional.jacobian(ending, first[which, 0, :width])
    transport: FloatArray = found.numpy()
    return transport
