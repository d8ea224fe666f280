"""The cells of torchrecurrent, small and drawn with a seed, each with its state of zeros."""

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the cells are PyTorch's modules")
torchrecurrent = pytest.importorskip(
    "torchrecurrent", reason="torchrecurrent is not installed: pip install '.[cells]'"
)
tree = torch.utils._pytree

D, H = 3, 4

CELLS = sorted(name for name in vars(torchrecurrent) if name.endswith("Cell"))

SIZES = {"IntersectionRNNCell": (H, H)}
"""Input and state of the cells that do not take D and H."""

APART = frozenset({"IntersectionRNNCell", "MCLSTMCell", "TLSTMCell"})
"""The cells that return an output and, apart from it, the next state."""


def cell_and_state(name: str, n_sequences: int, seed: int = 3) -> tuple[Any, Any]:
    """Return a cell in float32 and the nest of zeros (B,…) that it starts from.

    Biases are drawn too: torchrecurrent sets them to zero, where some cells have kinks.
    """
    torch.manual_seed(seed)
    cell = getattr(torchrecurrent, name)(*SIZES.get(name, (D, H)))
    with torch.no_grad():
        for each in cell.parameters():
            each.add_(torch.randn(each.shape), alpha=0.1)
    found = cell(torch.zeros(n_sequences, cell.input_size))
    return cell, tree.tree_map(torch.zeros_like, found[1] if name in APART else found)
