"""Jacobians and their products equal ``torch.func.jacrev`` in float64, for every cell."""

from typing import Any

import numpy as np
import pytest

from gradscope.jacobians.cell_chain import CellChain, cell_chain
from gradscope.model.trajectory import unroll
from tests.drawn_cells import KINDS, drawn

torch = pytest.importorskip("torch", reason="PyTorch is the oracle here")
pytestmark = pytest.mark.torch


@pytest.mark.parametrize("kind", KINDS)
def test_products_are_those_of_jacrev(kind: str) -> None:
    from tests.torch_cells import step_of, tensor

    cell, inputs, first, _ = drawn(kind, n_steps=12)
    weights = {name: tensor(array) for name, array in cell.weights()}
    step = step_of(cell)
    chain = cell_chain(cell, unroll(cell, inputs, first))
    rows = np.repeat(np.eye(chain.state_size)[None], chain.n_sequences, axis=0)
    for t in range(chain.n_steps, 0, -1):
        rows = chain.vjp(rows, t)

    def last_state(state: Any, which: int) -> Any:
        for x in tensor(inputs)[:, which]:
            state = step(x, state, weights)
        return state

    for which in range(chain.n_sequences):
        wanted = torch.func.jacrev(last_state)(tensor(first[which]), which).numpy()
        size = float(np.linalg.norm(wanted, 2))
        np.testing.assert_allclose(rows[which], wanted, rtol=0, atol=1e-10 * size)


@pytest.mark.parametrize("kind", KINDS)
def test_the_jacobian_of_each_step_is_that_of_jacrev(kind: str) -> None:
    from tests.torch_cells import step_of, tensor

    cell, inputs, first, _ = drawn(kind)
    weights = {name: tensor(array) for name, array in cell.weights()}
    trajectory = unroll(cell, inputs, first)
    chain = CellChain(cell.linearize(trajectory.cell_trajectory))
    jacrev = torch.func.jacrev(step_of(cell), argnums=1)

    for t in range(1, chain.n_steps + 1):
        for which in range(chain.n_sequences):
            before = tensor(trajectory.states[t - 1, which])
            wanted = jacrev(tensor(inputs[t - 1, which]), before, weights).numpy()
            np.testing.assert_allclose(chain.jacobian(t)[which], wanted, rtol=0, atol=1e-14)
