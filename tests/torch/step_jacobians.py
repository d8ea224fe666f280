"""Jacobians of a step of PyTorch by ``torch.func``: what chains are checked against."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradscope.arrays import FloatArray

torch = pytest.importorskip("torch", reason="PyTorch is the oracle here")
tree = torch.utils._pytree


def state_of(found: Any, like: Any) -> Any:
    """Return the next state in a step's result: all of it, or the second of a pair."""
    same = tree.tree_flatten(found)[1] == tree.tree_flatten(like)[1]
    return found if same else found[1]


def jacobians_by_jacrev(step: Callable[[Any, Any], Any], state: Any, inputs: Any) -> FloatArray:
    """Return ∂s_t/∂s_{t−1} (T,B,S,S) of a state (B,…) and inputs (T,B,…), sequence by sequence."""
    leaves, spec = tree.tree_flatten(state)
    sizes = [each[0].numel() for each in leaves]

    def flat(vector: Any, x: Any) -> Any:
        parts = zip(vector.split(sizes), leaves, strict=True)
        given = tree.tree_unflatten([part.reshape(1, *of.shape[1:]) for part, of in parts], spec)
        after = tree.tree_leaves(state_of(step(given, x[None]), state))
        return torch.cat([each.reshape(-1) for each in after])

    found, jacobian = [], torch.func.vmap(torch.func.jacrev(flat))
    for x in inputs:
        rows = torch.cat([each.flatten(1) for each in tree.tree_leaves(state)], dim=1)
        found.append(jacobian(rows, x))
        state = state_of(step(state, x), state)
    return np.asarray(torch.stack(found).detach().numpy())
