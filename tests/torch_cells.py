"""Our cells as PyTorch computes them: the second oracle. Import only where torch is."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from gradscope.arrays import FloatArray
from gradscope.model.cells import Cell
from gradscope.model.elman import ElmanParameters
from gradscope.model.gru import GruParameters
from gradscope.model.lstm import LstmParameters
from gradscope.names import ActivationName, StateName

Step = Callable[[Any, Any, dict[str, Any]], Any]

_ACTIVATIONS = {ActivationName.TANH: torch.tanh, ActivationName.SIGMOID: torch.sigmoid}


def tensor(array: FloatArray) -> Any:
    """Return a float64 tensor of an array."""
    return torch.tensor(np.asarray(array), dtype=torch.float64)


def weights_of(cell: Cell) -> dict[str, Any]:
    """Return the weights of a cell as tensors that want a gradient."""
    return {name: tensor(array).requires_grad_() for name, array in cell.weights()}


def step_of(cell: Cell) -> Step:
    """Return F(x, s, weights): one step from state to state, for sequences (B,·)."""
    if isinstance(cell, ElmanParameters):
        return _elman_step(cell)
    if isinstance(cell, GruParameters):
        return _gru_step(cell)
    assert isinstance(cell, LstmParameters)
    return _lstm_step(cell)


def hidden_of(cell: Cell, state: Any) -> Any:
    """Return what the readout sees of a state (…,S)."""
    if isinstance(cell, ElmanParameters) and cell.state is StateName.PRE:
        return _ACTIVATIONS[cell.activation.name](state)
    return state[..., : cell.sizes[1]]


def _elman_step(cell: ElmanParameters) -> Step:
    phi = _ACTIVATIONS[cell.activation.name]
    leak = tensor(np.asarray(cell.leak))

    def step(x: Any, s: Any, w: dict[str, Any]) -> Any:
        driven = x @ w["input_weights"].T + w["hidden_bias"]
        if cell.state is StateName.PRE:
            return (1 - leak) * s + leak * (driven + phi(s) @ w["recurrent_weights"].T)
        return (1 - leak) * s + leak * phi(driven + s @ w["recurrent_weights"].T)

    return step


def _gru_step(cell: GruParameters) -> Step:
    size = cell.state_size

    def step(x: Any, s: Any, w: dict[str, Any]) -> Any:
        driven = x @ w["input_weights"].T + w["hidden_bias"]
        to_reset, to_update, to_candidate = w["recurrent_weights"].split(size)
        reset = torch.sigmoid(driven[..., :size] + s @ to_reset.T)
        update = torch.sigmoid(driven[..., size : 2 * size] + s @ to_update.T)
        if cell.reset_after:
            fed = reset * (s @ to_candidate.T + w["candidate_bias"])
        else:
            fed = (reset * s) @ to_candidate.T
        candidate = torch.tanh(driven[..., 2 * size :] + fed)
        return (1 - update) * candidate + update * s

    return step


def _lstm_step(cell: LstmParameters) -> Step:
    size = cell.hidden_size

    def step(x: Any, s: Any, w: dict[str, Any]) -> Any:
        fed = x @ w["input_weights"].T + w["hidden_bias"] + s[..., :size] @ w["recurrent_weights"].T
        entry, forget, candidate, output = fed.split(size, dim=-1)
        after = torch.sigmoid(forget) * s[..., size:]
        after = after + torch.sigmoid(entry) * torch.tanh(candidate)
        return torch.cat([torch.sigmoid(output) * torch.tanh(after), after], dim=-1)

    return step
