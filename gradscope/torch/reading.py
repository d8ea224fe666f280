"""PyTorch's recurrent modules, and the arguments and results of their calls, as plain arrays.

A layer's batch may be time first, batch first, unbatched, or packed; its states are ordered layer
by layer, forward before backward. Everything is copied to float64, since the next step of the
optimizer changes the weights in place. Source: PyTorch 2.13, ``torch.nn.modules.rnn``.
"""

from dataclasses import dataclass
from math import inf, isfinite
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from gradscope.arrays import FloatArray
from gradscope.model.activations import ACTIVATIONS, Activation
from gradscope.model.stack import LayerWeights
from gradscope.names import ActivationName, CellName
from gradscope.watch.journal import Refusal
from gradscope.watch.replay import Sample

LAYERS = (nn.RNN, nn.GRU, nn.LSTM)
CELLS = (nn.RNNCell, nn.GRUCell, nn.LSTMCell)
CellStep = tuple[FloatArray, FloatArray, FloatArray]
KINDS = MappingProxyType({"RNN": CellName.ELMAN, "GRU": CellName.GRU, "LSTM": CellName.LSTM})


@dataclass(frozen=True, eq=False, slots=True)
class Call:
    """One call of a layer in training; ``graded`` if a backward pass may follow."""

    module: Any
    inputs: Any
    state: Any
    output: Any
    graded: bool

    @property
    def states(self) -> tuple[Tensor, ...]:
        """The initial state: (h,), (h, c) of an LSTM, () for none."""
        if self.state is None:
            return ()
        return self.state if isinstance(self.state, tuple) else (self.state,)


def recurrent_kind(module: nn.Module) -> str | None:
    """Return the name of a recurrent module's class in ``torch.nn``, scripted or not; else None."""
    for each in (*LAYERS, *CELLS):
        if isinstance(module, each) or _scripted_from(module) == each.__name__:
            return str(each.__name__)
    return None


def _scripted_from(module: nn.Module) -> str | None:
    scripted = isinstance(module, torch.jit.ScriptModule)
    return str(module.original_name) if scripted else None


def is_compiled(module: nn.Module) -> bool:
    """Whether calls of this module and all in it go through ``torch.compile``."""
    in_place = getattr(module, "_compiled_call_impl", None) is not None
    return in_place or "_orig_mod" in dict(module.named_children())


def refusal_of(module: nn.Module) -> Refusal | None:
    """Return why a recurrent module cannot be watched, None where it can."""
    if _scripted_from(module) is not None:
        return Refusal.SCRIPTED
    return Refusal.PROJECTION if getattr(module, "proj_size", 0) else None


def kind_of(module: Any) -> CellName:
    """Return the kind of cell of a recurrent module."""
    name = recurrent_kind(module) or ""
    return KINDS[name.removesuffix("Cell")]


def activation_of(module: Any) -> Activation:
    """Return φ, which is tanh for a gated cell."""
    return ACTIVATIONS[ActivationName(getattr(module, "nonlinearity", "tanh"))]


def to_array(tensor: Tensor) -> FloatArray:
    """Return a copy of a tensor in float64."""
    array: FloatArray = np.array(tensor.detach().to("cpu", torch.float64).numpy())
    return array


def cell_step(call: Call, count: int) -> CellStep:
    """Return x_t (B,D), s_{t−1} (B,S) and h_t (B,H) of a Cell's first ``count`` sequences."""
    returned = call.output if isinstance(call.output, tuple) else (call.output,)
    inputs, *results = (_rows(each, count) for each in (call.inputs, *returned))
    states = [_rows(each, count) for each in call.states] or [np.zeros_like(h) for h in results]
    return inputs, np.concatenate(states, axis=1), results[0]


def _rows(tensor: Tensor, count: int) -> FloatArray:
    """Return the first sequences of a Cell's tensor, batched or not."""
    return to_array(tensor[:count] if tensor.ndim == 2 else tensor[None])


def n_sequences(call: Call) -> int:
    """Return how many sequences a call has."""
    if isinstance(call.inputs, PackedSequence):
        return int(call.inputs.batch_sizes[0])
    if call.inputs.ndim == 1 + (recurrent_kind(call.module) in {c.__name__ for c in LAYERS}):
        return 1
    time_first = not getattr(call.module, "batch_first", True)
    return int(call.inputs.shape[1 if time_first else 0])


def output_sizes(call: Call) -> Tensor | None:
    """Return max |output| at each time step (N,), on the outputs' device: infinite or NaN where an
    output is. None if all are known to be finite.
    """
    output = call.output[0]
    if isinstance(output, PackedSequence):
        output = output.data
    output = output.detach()
    # On a CPU the sum is there at once, and cheaper than the sizes.
    if output.device.type == "cpu" and isfinite(output.sum()):
        return None
    others = tuple(dim for dim in range(output.ndim) if dim != _time_axis(call, output))
    sizes: Tensor = torch.linalg.vector_norm(output, ord=inf, dim=others)
    return sizes


def time_steps(call: Call) -> FloatArray:
    """Return the time step, from 1, of each size in ``output_sizes``."""
    output = call.output[0]
    if isinstance(output, PackedSequence):
        return np.repeat(np.arange(1.0, output.batch_sizes.numel() + 1), output.batch_sizes)
    return np.arange(1.0, output.shape[_time_axis(call, output)] + 1)


def _time_axis(call: Call, output: Tensor) -> int:
    return 1 if output.ndim == 3 and call.module.batch_first else 0


def layer_titles(name: str, module: Any) -> tuple[str, ...]:
    """Return a name for each cell of a layer: ``rnn[0]``, ``rnn[0]_reverse``, ``rnn[1]`` and so on;
    the bare name if it has only one.
    """
    endings = ("", "_reverse") if module.bidirectional else ("",)
    parts = [f"{name}[{n}]{ending}" for n in range(module.num_layers) for ending in endings]
    return (name,) if len(parts) == 1 else tuple(parts)


def layer_sample(titles: tuple[str, ...], step: int, call: Call, count: int) -> Sample:
    """Return ``count`` sequences of a layer's call with their states, outputs and the weights.

    The longest of a packed batch, else the first.
    """
    module = call.module
    # As the forward pass has just used them: to evaluate a parametrization again might change them.
    flat = [to_array(each) for each in module._flat_weights]  # noqa: SLF001
    per_cell, directions = 4 if module.bias else 2, 2 if module.bidirectional else 1
    cells = [LayerWeights(*flat[i : i + per_cell]) for i in range(0, len(flat), per_cell)]
    return Sample(
        step=step,
        titles=titles,
        kind=kind_of(module),
        activation=activation_of(module),
        layers=tuple(tuple(cells[i : i + directions]) for i in range(0, len(cells), directions)),
        sequences=_sequences(call.inputs, count, batch_first=module.batch_first),
        initial_states=_initial_states(call, count, len(titles)),
        outputs=_sequences(call.output[0], count, batch_first=module.batch_first),
        dropout=float(module.dropout) if module.num_layers > 1 else 0.0,
    )


def _sequences(batch: Any, count: int, *, batch_first: bool) -> tuple[FloatArray, ...]:
    """Return the first sequences (T_i,·) of a batch."""
    if isinstance(batch, PackedSequence):
        sizes = batch.batch_sizes
        starts = torch.cumsum(sizes, 0) - sizes
        rows = [(starts[sizes > place] + place).to(batch.data.device) for place in range(count)]
        return tuple(to_array(batch.data[row]) for row in rows)
    if batch.ndim == 2:
        return (to_array(batch),)
    first = batch[:count] if batch_first else batch[:, :count].transpose(0, 1)
    return tuple(to_array(first))


def _initial_states(call: Call, count: int, n_cells: int) -> tuple[FloatArray, ...]:
    """Return s_0 (B,S) of every cell for the sequences that ``_sequences`` returns."""
    module, inputs = call.module, call.inputs
    if not call.states:
        size = module.hidden_size * (2 if kind_of(module) is CellName.LSTM else 1)
        return tuple(np.zeros((count, size)) for _ in range(n_cells))
    places: slice | Tensor = slice(count)
    if isinstance(inputs, PackedSequence) and inputs.sorted_indices is not None:
        places = inputs.sorted_indices[:count]
    whole = [each if each.ndim == 3 else each[:, None] for each in call.states]
    return tuple(to_array(torch.cat([each[:, places] for each in whole], dim=2)))
