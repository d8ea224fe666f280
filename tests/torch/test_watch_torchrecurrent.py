"""A watch sees the cells of torchrecurrent in a loop, by their calls alone."""

import pytest

from tests.present import present
from tests.torch.torchrecurrent_cells import APART, CELLS, cell_and_state, torch

pytestmark = pytest.mark.torch

T, B = 5, 2


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("name", CELLS)
def test_a_cell_in_a_loop_is_watched(name: str, given: bool) -> None:
    from gradscope.torch import watch

    cell, zeros = cell_and_state(name, B)
    optimizer = torch.optim.SGD(cell.parameters(), lr=1e-3)
    with watch(cell, share=None) as watching:
        found, state = None, zeros if given else None
        for x in torch.randn(T, B, cell.input_size):
            found = cell(x, state)
            state = found[1] if name in APART else found
        sum(each.sum() for each in torch.utils._pytree.tree_leaves(found)).backward()
        optimizer.step()

    (snapshot,) = watching.journal.snapshots
    assert (watching.journal.failures, watching.journal.refused) == ([], [])
    assert present(snapshot.diagnosis).norms.lags.size == (T if given else T - 1)
    # The training is in float32, whose rounding grows over the steps.
    assert present(snapshot.deviation) < 1e-4
