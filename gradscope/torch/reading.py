"""What PyTorch's recurrent modules are, and were given, as plain arrays.

A layer's batch may come time first, batch first, without a batch, or packed; its states stand layer
by layer, forward before backward. Everything is copied to float64, since the weights change in
place with the next step of the optimizer. Source: PyTorch 2.13, ``torch.nn.modules.rnn``.
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
from gradscope.watch.schedule import CellStep

LAYERS = (nn.RNN, nn.GRU, nn.LSTM)
CELLS = (nn.RNNCell, nn.GRUCell, nn.LSTMCell)
KINDS = MappingProxyType({"RNN": CellName.ELMAN, "GRU": CellName.GRU, "LSTM": CellName.LSTM})


@dataclass(frozen=True, eq=False, slots=True)
class Call:
    """One call of a layer in training; ``graded`` where a backward pass may follow."""

    module: Any
    inputs: Any
    state: Any
    output: Any
    graded: bool

    @property
    def states(self) -> tuple[Tensor, ...]:
        """The state given: (h,), (h, c) of an LSTM, () for none."""
        if self.state is None:
            return ()
        return self.state if isinstance(self.state, tuple) else (self.state,)


def recurrent_kind(module: nn.Module) -> str | None:
    """Return the class in ``torch.nn`` that a recurrent module is, scripted or not; else None."""
    for each in (*LAYERS, *CELLS):
        if isinstance(module, each) or _scripted_from(module) == each.__name__:
            return str(each.__name__)
    return None


def _scripted_from(module: nn.Module) -> str | None:
    scripted = isinstance(module, torch.jit.ScriptModule)
    return str(module.original_name) if scripted else None


def is_compiled(module: nn.Module) -> bool:
    """Whether calls of this module, and all within, go through ``torch.compile``."""
    in_place = getattr(module, "_compiled_call_impl", None) is not None
    return in_place or "_orig_mod" in dict(module.named_children())


def refusal_of(module: nn.Module) -> Refusal | None:
    """Return why a recurrent module cannot be watched, None where it can."""
    if _scripted_from(module) is not None:
        return Refusal.SCRIPTED
    return Refusal.PROJECTION if getattr(module, "proj_size", 0) else None


def kind_of(module: Any) -> CellName:
    """Return which cell a recurrent module has."""
    name = recurrent_kind(module) or ""
    return KINDS[name.removesuffix("Cell")]


def activation_of(module: Any) -> Activation:
    """Return φ: a gated cell's is tanh."""
    return ACTIVATIONS[ActivationName(getattr(module, "nonlinearity", "tanh"))]


def to_array(tensor: Tensor) -> FloatArray:
    """Return a copy of a tensor in float64."""
    array: FloatArray = np.array(tensor.detach().to("cpu", torch.float64).numpy())
    return array


def layer_weights(module: Any) -> tuple[tuple[LayerWeights, ...], ...]:
    """Return the weights of a layer, direction by direction in each part of the stack."""
    # What the forward pass has just used: to ask a parametrization again might change it.
    flat = [to_array(each) for each in module._flat_weights]  # noqa: SLF001
    each = 4 if module.bias else 2
    cells = [LayerWeights(*flat[i : i + each]) for i in range(0, len(flat), each)]
    width = 2 if module.bidirectional else 1
    return tuple(tuple(cells[i : i + width]) for i in range(0, len(cells), width))


def cell_weights(module: Any) -> LayerWeights:
    """Return the weights of a Cell."""
    names = ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if module.bias else ()))
    return LayerWeights(*(to_array(getattr(module, name)) for name in names))


def cell_step(call: Call, count: int) -> CellStep:
    """Return what a Cell did with the first ``count`` sequences."""
    returned = call.output if isinstance(call.output, tuple) else (call.output,)
    inputs = _rows(call.inputs, count)
    hidden = _rows(returned[0], count)
    if not call.states:
        return CellStep(
            inputs, np.zeros((inputs.shape[0], hidden.shape[1] * len(returned))), hidden
        )
    return CellStep(inputs, np.concatenate([_rows(s, count) for s in call.states], axis=1), hidden)


def _rows(tensor: Tensor, count: int) -> FloatArray:
    """Return the first sequences of a Cell's tensor, with or without a batch."""
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
    """Return max |output| at each time step (N,), where the outputs are: infinite, or no number,
    where one of these is. None where all are known to be finite.
    """
    output = call.output[0]
    if isinstance(output, PackedSequence):
        output = output.data
    output = output.detach()
    # A CPU has the sum at once, and for less than the sizes.
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


def layer_sample(titles: tuple[str, ...], step: int, call: Call, count: int) -> Sample:
    """Return ``count`` sequences of a layer's call with their states, outputs and the weights.

    The longest of a packed batch, else the first.
    """
    module = call.module
    return Sample(
        step=step,
        titles=titles,
        kind=kind_of(module),
        activation=activation_of(module),
        layers=layer_weights(module),
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
