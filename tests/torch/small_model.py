"""A small model with a recurrent layer, for tests of the watch."""

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is what the hook watches")

D, H = 2, 6


def small_model(kind: str, seed: int, **options: Any) -> Any:
    """Return a layer ``rnn`` (D to H units) and its readout ``out``, in float64."""
    torch.manual_seed(seed)
    rnn = getattr(torch.nn, kind)(D, H, dtype=torch.float64, **options)
    return torch.nn.ModuleDict({"rnn": rnn, "out": torch.nn.Linear(H, 1, dtype=torch.float64)})
