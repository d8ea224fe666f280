"""PyTorch's recurrent modules, and the arguments and results of their calls, as plain arrays.

A layer's batch may be time first, batch first, unbatched, or packed; its states are ordered layer
by layer, forward before backward. Everything is copied to float64, since the next step of the
optimizer changes the weights in place. Source: PyTorch 2.13, ``torch.nn.modules.rnn``.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence
from torch.utils import _pytree as pytree

from gradscope.arrays import FloatArray
from gradscope.model.activations import ACTIVATIONS
from gradscope.model.cells import Cell
from gradscope.model.stack import Layer, LayerWeights, cell_without_readout
from gradscope.names import CellName
from gradscope.watch.journal import Finding, Journal, NonFinite, Quantity
from gradscope.watch.replay import Sample

LAYERS = (nn.RNN, nn.GRU, nn.LSTM)
CELLS = (nn.RNNCell, nn.GRUCell, nn.LSTMCell)
KINDS = {"RNN": CellName.ELMAN, "GRU": CellName.GRU, "LSTM": CellName.LSTM}


def detached(value: Any) -> Any:
    """Return a tensor, a packed batch or a tuple of them without its graph; None as it is."""
    if isinstance(value, PackedSequence):
        return value._replace(data=value.data.detach())
    if isinstance(value, tuple):
        return tuple(map(detached, value))
    return None if value is None else value.detach()


@dataclass(frozen=True, eq=False, slots=True)
class Call:
    """One call in training; ``graded`` if a backward pass may follow, ``attached`` if the state may
    bring a gradient along. Of a step that is no Cell inputs, state and output are nests.
    """

    module: Any
    inputs: Any
    state: Any
    output: Any
    graded: bool
    attached: bool = True

    @property
    def states(self) -> tuple[Tensor, ...]:
        """The initial state: (h,), (h, c) of an LSTM, () for none."""
        return () if self.state is None else tuple(pytree.tree_leaves(self.state))

    @property
    def returned(self) -> tuple[Tensor, ...]:
        """What a Cell returned: (h,), (h, c) of an LSTM; a layer its outputs and last state."""
        return tuple(pytree.tree_leaves(self.output))


def call_of(module: nn.Module, given: Any, named: Any, output: Any, *, graded: bool) -> Call:
    """Return a call of one of PyTorch's recurrent modules, of a Cell as one of a batch."""
    values = dict(zip(("input", "hx"), given, strict=False)) | named
    inputs, state, result = map(detached, (values["input"], values.get("hx"), output))
    if isinstance(module, CELLS):
        state = pytree.tree_map(torch.zeros_like, result) if state is None else state
        inputs, state, result = pytree.tree_map(torch.atleast_2d, (inputs, state, result))
    first = pytree.tree_leaves(values.get("hx"))
    attached = any(isinstance(each, Tensor) and each.grad_fn is not None for each in first)
    return Call(module, inputs, state, result, graded, attached or isinstance(module, CELLS))


def recurrent_kind(module: nn.Module) -> str | None:
    """Return the name of a recurrent module's class in ``torch.nn``, scripted or not; else None."""
    scripted = module.original_name if isinstance(module, torch.jit.ScriptModule) else None
    names = {each.__name__ for each in (*LAYERS, *CELLS) if isinstance(module, each)} | {scripted}
    return next((each.__name__ for each in (*LAYERS, *CELLS) if each.__name__ in names), None)


def findings(call: Call, last: Call | None) -> dict[Finding, tuple[int, int]]:
    """Return what a layer's call is given that says nothing, or too much, with of how many of its
    sequences that is so; ``last`` is its last call, if that was in another training step.
    """
    found, sequences = {}, sizes_of(call)[1]
    if isinstance(call.inputs, PackedSequence):
        at_second = int(call.inputs.batch_sizes[1:2].sum())
        if 0 < at_second < sequences:
            found[Finding.ONE_STEP] = sequences - at_second, sequences
    if last is not None and last.output is not None and call.attached and call.states:
        ends = pytree.tree_leaves(last.output[1])
        if ends[0].data_ptr() == call.states[0].data_ptr():
            found[Finding.STATE_CARRIED] = sequences, sequences
    return found


def kind_of(module: Any) -> CellName:
    """Return the kind of cell of a recurrent module."""
    return KINDS[(recurrent_kind(module) or "").removesuffix("Cell")]


def state_size(module: Any) -> int:
    """Return S, the units of h (of its projection), and of c in an LSTM."""
    shown = int(getattr(module, "proj_size", 0) or module.hidden_size)
    return shown + (int(module.hidden_size) if kind_of(module) is CellName.LSTM else 0)


def cell_of(module: Any, arrays: Iterable[Tensor]) -> Cell:
    """Return our cell of one direction of one layer, with its weights in PyTorch's order."""
    weights = LayerWeights(*map(to_array, arrays))
    name = getattr(module, "nonlinearity", "tanh")
    phi = next(each for each in ACTIVATIONS.values() if each.torch_name == name)
    return cell_without_readout(kind_of(module), weights, activation=phi)


def to_array(tensor: Tensor) -> FloatArray:
    """Return a copy of a tensor in float64."""
    return np.array(tensor.detach().to("cpu", torch.float64).numpy())


def sizes_of(call: Call) -> tuple[int, int]:
    """Return how many time steps and how many sequences a layer's call has."""
    if isinstance(call.inputs, PackedSequence):
        return len(call.inputs.batch_sizes), int(call.inputs.batch_sizes[0])
    shape = call.inputs.shape[:-1]
    n_steps, n_sequences = shape if len(shape) == 2 else (*shape, 1)
    turned = len(shape) == 2 and call.module.batch_first
    return (n_sequences, n_steps) if turned else (n_steps, n_sequences)


def not_finite(call: Call) -> dict[Quantity, Tensor]:
    """Return where inputs (T,B), initial states (1,B) and outputs (T,B) are infinite or NaN, as
    flags on their device, causes first; nothing of what is known to be finite.
    """
    found, cell = {}, isinstance(call.module, CELLS)
    states = () if cell or not call.states else (call.states[0],)
    kinds = (Quantity.INPUT, *(Quantity.INITIAL_STATE for _ in states), Quantity.OUTPUT)
    for kind, batch in zip(kinds, (call.inputs, *states, call.returned[0]), strict=True):
        packed = isinstance(batch, PackedSequence)
        values = batch.data if packed else batch
        # On a CPU the sum is there at once, and cheaper.
        if values.device.type == "cpu" and isfinite(values.sum()):
            continue
        bad = ~torch.isfinite(torch.linalg.vector_norm(values, ord=inf, dim=-1, keepdim=True))
        if packed:
            bad, _ = pad_packed_sequence(batch._replace(data=bad))
        elif bad.ndim == 3 and kind is not Quantity.INITIAL_STATE and call.module.batch_first:
            bad = bad.transpose(0, 1)
        alone = bad.ndim < (2 if cell else 3)
        bad = bad.reshape(-1, 1 if alone else bad.shape[-2])
        found[kind] = bad.any(0, keepdim=True) if kind is Quantity.INITIAL_STATE else bad
    return found


def read_bad(
    journal: Journal, name: str, step: int, time_step: int, found: dict[Quantity, Tensor]
) -> None:
    """Report the first cause of what is not finite; what follows from it goes unsaid."""
    caused = journal.trouble.get((name, Quantity.INPUT))
    for quantity, bad in found.items():
        if quantity is Quantity.OUTPUT and caused is not None and caused.step == step:
            return
        for at, sequence in bad.nonzero()[:1].tolist():
            at_step = None if quantity is Quantity.INITIAL_STATE else time_step + at
            journal.not_finite(NonFinite(step, name, quantity, at_step, sequence + 1))
            return


def layer_titles(name: str, module: Any) -> tuple[str, ...]:
    """Return the names of a layer's cells: ``rnn[0]``, ``rnn[0]_reverse`` …, or only ``rnn``."""
    endings = ("", "_reverse") if module.bidirectional else ("",)
    parts = tuple(f"{name}[{n}]{ending}" for n in range(module.num_layers) for ending in endings)
    return parts if len(parts) > 1 else (name,)


def layer_sample(titles: tuple[str, ...], step: int, call: Call, count: int) -> Sample:
    """Return ``count`` sequences of a layer's call with their states, outputs (where the call still
    has them) and the weights: the longest of a packed batch, else the first.
    """
    module = call.module
    # As the forward pass has just used them: to evaluate a parametrization again might change them.
    flat = module._flat_weights  # noqa: SLF001
    per_cell, directions = 4 if module.bias else 2, 2 if module.bidirectional else 1
    starts = () if module.proj_size else range(0, len(flat), per_cell)
    cells = [cell_of(module, flat[i : i + per_cell]) for i in starts]
    states: list[FloatArray] = [np.zeros((count, state_size(module))) for _ in titles]
    if call.states:
        # In the order in which ``_sequences`` takes the sequences.
        order = getattr(call.inputs, "sorted_indices", None)
        places = slice(count) if order is None else order[:count]
        whole = [each if each.ndim == 3 else each[:, None] for each in call.states]
        states = list(map(to_array, torch.cat([each[:, places] for each in whole], dim=2)))
    layers = [Layer(*cells[i : i + directions]) for i in range(0, len(cells), directions)]
    sequences, outputs = (
        _sequences(batch, count, batch_first=module.batch_first)
        for batch in (call.inputs, call.output and call.output[0])
    )
    dropout = float(module.dropout) if module.num_layers > 1 else 0.0
    return Sample(step, titles, layers, sequences, states, outputs, dropout)


def _sequences(batch: Any, count: int, *, batch_first: bool) -> tuple[FloatArray, ...]:
    """Return the first sequences (T_i,·) of a batch, none of None."""
    if batch is None:
        return ()
    if isinstance(batch, PackedSequence):
        sizes = batch.batch_sizes
        starts = torch.cumsum(sizes, 0) - sizes
        rows = [(starts[sizes > place] + place).to(batch.data.device) for place in range(count)]
        return tuple(to_array(batch.data[row]) for row in rows)
    if batch.ndim == 2:
        return (to_array(batch),)
    first = batch[:count] if batch_first else batch[:, :count].transpose(0, 1)
    return tuple(to_array(first))
