"""The gradient of every weight of every cell equals PyTorch's; truncated it equals the sum of what
PyTorch lets through at each lag.
"""

from typing import Any

import numpy as np
import pytest

from gradscope.learning.bptt import backpropagate
from gradscope.model.trajectory import unroll
from tests.drawn_cells import KINDS, drawn

torch = pytest.importorskip("torch", reason="PyTorch is the oracle here")
pytestmark = pytest.mark.torch


class Oracle:
    """The same network in PyTorch, one state after the other."""

    def __init__(self, kind: str) -> None:
        from tests.torch_cells import hidden_of, step_of, tensor, weights_of

        cell, inputs, first, self.targets = drawn(kind)
        self.weights = weights_of(cell)
        self._cell, self._step, self._hidden = cell, step_of(cell), hidden_of
        self._inputs = tensor(inputs)
        self._wanted = tensor(self.targets.values)
        self.states = [tensor(first).requires_grad_()]
        for x in self._inputs:
            self.states.append(self._step(x, self.states[-1], self.weights))

    def error(self, step: int, reach: int | None = None) -> Any:
        """Return E_t, cut off from all that lies more than ``reach`` lags before it."""
        state = self.states[step]
        if reach is not None:
            begin = max(step - 1 - reach, 0)
            state = self.states[begin].detach()
            for x in self._inputs[begin:step]:
                state = self._step(x, state, self.weights)
        hidden = self._hidden(self._cell, state)
        shown = hidden @ self.weights["output_weights"].T + self.weights["output_bias"]
        return torch.mean((shown - self._wanted[step - 1]) ** 2)

    def total(self, reach: int | None = None) -> Any:
        """Return Σ E_t over the steps that have a target."""
        steps = range(1, len(self.states))
        return sum(self.error(step, reach) for step in steps if self.targets.at_step[step - 1])


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_of_every_weight_is_that_of_torch(kind: str) -> None:
    cell, inputs, first, targets = drawn(kind)
    oracle = Oracle(kind)
    oracle.total().backward()

    found = backpropagate(cell, unroll(cell, inputs, first), targets).weights

    assert set(found) == set(oracle.weights)
    for name, weight in oracle.weights.items():
        np.testing.assert_allclose(found[name], weight.grad.numpy(), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_the_adjoint_of_every_state_is_that_of_torch(kind: str) -> None:
    cell, inputs, first, targets = drawn(kind)
    oracle = Oracle(kind)
    wanted = torch.autograd.grad(oracle.total(), oracle.states)

    found = backpropagate(cell, unroll(cell, inputs, first), targets).hidden_adjoints

    for step, slope in enumerate(wanted):
        np.testing.assert_allclose(found[step], slope.numpy(), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("reach", [0, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_gradient_is_what_torch_sends_over_so_many_lags(kind: str, reach: int) -> None:
    cell, inputs, first, targets = drawn(kind)
    oracle = Oracle(kind)
    oracle.total(reach).backward()

    found = backpropagate(cell, unroll(cell, inputs, first), targets, truncation=reach).weights

    for name, weight in oracle.weights.items():
        np.testing.assert_allclose(found[name], weight.grad.numpy(), rtol=1e-10, atol=1e-13)
