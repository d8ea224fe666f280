"""A watch sees whatever has a state and a step: cells of others, loops, compiled and projected."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradscope.arrays import FloatArray
from gradscope.watch.journal import Quantity, Refusal
from tests.present import present
from tests.torch.small_model import D, H
from tests.torch.step_jacobians import jacobians_by_jacrev

torch = pytest.importorskip("torch", reason="PyTorch is what the hook watches")
pytestmark = pytest.mark.torch

T, B = 10, 3


def batch(n_steps: int = T) -> Any:
    return torch.randn(n_steps, B, D, dtype=torch.float64)


def zeros() -> Any:
    return torch.zeros(B, H, dtype=torch.float64)


def linear(n: int, m: int) -> Any:
    return torch.nn.Linear(n, m, dtype=torch.float64)


class Elman(torch.nn.Module):
    """A cell of one's own, with what ``between`` makes of its state."""

    def __init__(self, between: Callable[[Any], Any] = lambda h: h) -> None:
        super().__init__()
        self.u, self.w, self.between = linear(D, H), linear(H, H), between

    def forward(self, x: Any, h: Any) -> Any:
        return torch.tanh(self.u(x) + self.w(self.between(h)))


class NormedLSTM(torch.nn.Module):
    """An LSTM's cell, and a LayerNorm on what it returns; it returns an output too."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = torch.nn.LSTMCell(D, H, dtype=torch.float64)
        self.norm = torch.nn.LayerNorm(H, dtype=torch.float64)

    def forward(self, x: Any, state: Any) -> Any:
        h, c = self.cell(x, state)
        return 2.0 * h, (self.norm(h), c)


class Loop(torch.nn.Module):
    """A model that calls a cell in a loop, the state first where it is a step."""

    def __init__(self, cell: Any) -> None:
        super().__init__()
        self.cell, self.out = cell, linear(H, 1)

    def forward(self, xs: Any) -> Any:
        pair = isinstance(self.cell, NormedLSTM | torch.nn.LSTMCell)
        state: Any = (zeros(), zeros()) if pair else zeros()
        for x in xs:
            found = self.cell(x, state)
            state = found[1] if isinstance(self.cell, NormedLSTM) else found
        return self.out(state[0] if pair else state)


def train(net: Any, call: Any = None, steps: int = 1, **options: Any) -> Any:
    """Return the journal of a watched training."""
    from gradscope.torch import watch

    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with watch(net if call is None else call, share=None, **options) as watching:
        for _ in range(steps):
            optimizer.zero_grad()
            (call or net)(batch()).square().sum().backward()
            optimizer.step()
    assert watching.report()
    return watching.journal


def profile(jacobians: FloatArray) -> FloatArray:
    """Return log σ_max of the products of Jacobians (T,B,S,S) by lag, (T,B)."""
    product, found = np.eye(jacobians.shape[-1])[None], []
    for factor in jacobians[::-1]:
        product = product @ factor
        found.append(np.log(np.linalg.norm(product, 2, axis=(1, 2))))
    return np.array(found)


def norms(snapshot: Any) -> FloatArray:
    return np.asarray(present(snapshot.diagnosis).norms.log_norms)


@pytest.mark.parametrize("make", [Elman, NormedLSTM])
def test_a_cell_of_ones_own_is_found_by_its_call_and_measured_as_by_jacrev(make: Any) -> None:
    torch.manual_seed(1)
    net = Loop(make())
    seen = list[Any]()
    net.register_forward_hook(lambda _, given, __: seen.append(given[0]))
    before = {name: each.clone() for name, each in net.state_dict().items()}

    journal = train(net, sequences=2)

    # Looked at before the optimizer's step, though it was told at the end.
    net.load_state_dict(before)
    state = (zeros()[:2], zeros()[:2]) if make is NormedLSTM else zeros()[:2]
    wanted = jacobians_by_jacrev(lambda s, x: net.cell(x, s), state, seen[0][:, :2])
    (snapshot,) = journal.snapshots
    assert (snapshot.title, snapshot.n_sequences, journal.failures) == ("cell", 2, [])
    assert present(snapshot.deviation) < 1e-12
    np.testing.assert_allclose(norms(snapshot), profile(wanted), rtol=0, atol=1e-10)
