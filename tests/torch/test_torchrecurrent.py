"""Chains of the cells of torchrecurrent against ``torch.func.jacrev``, in float64."""

import copy
import itertools

import numpy as np
import pytest

from gradscope.jacobians.lag_norms import lag_norms
from tests.torch.step_jacobians import jacobians_by_jacrev
from tests.torch.torchrecurrent_cells import CELLS, cell_and_state, torch

pytestmark = pytest.mark.torch

T, B = 6, 2


def test_all_cells_are_here() -> None:
    assert len(CELLS) >= 41


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("dense", [True, False])
def test_jacobians_are_those_of_jacrev(name: str, dense: bool) -> None:
    from gradscope.torch import chain

    cell, state = cell_and_state(name, B)
    inputs = torch.randn(T, B, cell.input_size)

    found = chain(lambda state, x: cell(x, state), state, inputs, dense=dense)

    double = copy.deepcopy(cell).double()
    wide = torch.utils._pytree.tree_map(lambda each: each.double(), state)
    wanted = jacobians_by_jacrev(lambda state, x: double(x, state), wide, inputs.double())
    made = np.stack([found.jacobian(t) for t in range(1, T + 1)])
    assert np.abs(wanted).max() > 0.01
    np.testing.assert_allclose(made, wanted, rtol=0.0, atol=1e-12 * np.abs(wanted).max())

    some = np.random.default_rng(1).standard_normal((B, 3, found.state_size))
    np.testing.assert_allclose(found.vjp(some, T), some @ wanted[-1], rtol=1e-11, atol=1e-13)
    forward = some @ wanted[-1].swapaxes(1, 2)
    np.testing.assert_allclose(found.jvp(some, T), forward, rtol=1e-11, atol=1e-13)

    products = list(itertools.accumulate(wanted[::-1], np.matmul))
    norms = np.linalg.norm(products, 2, axis=(2, 3))
    np.testing.assert_allclose(np.exp(lag_norms(found).log_norms), norms, rtol=2e-6, atol=1e-300)


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_is_studied_as_the_module_that_it_is(name: str) -> None:
    from gradscope.torch import chain, study

    cell, state = cell_and_state(name, B)
    inputs = torch.randn(T, B, cell.input_size)

    found = study(cell, state, inputs).last.profile

    wanted = lag_norms(chain(lambda state, x: cell(x, state), state, inputs))
    np.testing.assert_allclose(found.log_norms, wanted.log_norms, atol=1e-5)
