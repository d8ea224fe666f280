"""PyTorch's recurrent modules, and the arguments and results of their calls, as plain arrays.

A layer's batch may be time first, batch first, unbatched, or packed; its states are ordered layer
by layer, forward before backward. Everything is copied to float64, since the next step of the
optimizer changes the weights in place. Source: PyTorch 2.13, ``torch.nn.modules.rnn``.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import inf, isfinite
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from gradscope.arrays import FloatArray
from gradscope.model.activations import ACTIVATIONS
from gradscope.model.cells import Cell
from gradscope.model.stack import Layer, LayerWeights, cell_without_readout
from gradscope.names import CellName
from gradscope.watch.journal import Quantity, Refusal
from gradscope.watch.replay import Sample

LAYERS = (nn.RNN, nn.GRU, nn.LSTM)
CELLS = (nn.RNNCell, nn.GRUCell, nn.LSTMCell)
CellStep = tuple[Tensor, Tensor, Tensor]
KINDS = {"RNN": CellName.ELMAN, "GRU": CellName.GRU, "LSTM": CellName.LSTM}


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

    @property
    def returned(self) -> tuple[Tensor, ...]:
        """What a Cell returned: (h,), (h, c) of an LSTM; of a layer its outputs and last state."""
        return self.output if isinstance(self.output, tuple) else (self.output,)


def recurrent_kind(module: nn.Module) -> str | None:
    """Return the name of a recurrent module's class in ``torch.nn``, scripted or not; else None."""
    scripted = isinstance(module, torch.jit.ScriptModule)
    scripted_from = module.original_name if scripted else None
    for each in (*LAYERS, *CELLS):
        if isinstance(module, each) or scripted_from == each.__name__:
            return str(each.__name__)
    return None


def is_compiled(module: nn.Module) -> bool:
    """Whether calls of this module and all in it go through ``torch.compile``."""
    in_place = getattr(module, "_compiled_call_impl", None) is not None
    return in_place or "_orig_mod" in dict(module.named_children())


def refusal_of(module: nn.Module) -> Refusal | None:
    """Return why a recurrent module cannot be watched, None where it can."""
    if isinstance(module, torch.jit.ScriptModule):
        return Refusal.SCRIPTED
    return Refusal.PROJECTION if getattr(module, "proj_size", 0) else None


def kind_of(module: Any) -> CellName:
    """Return the kind of cell of a recurrent module."""
    return KINDS[(recurrent_kind(module) or "").removesuffix("Cell")]


def state_size(module: Any) -> int:
    """Return S, the units of h, and of c in an LSTM."""
    return int(module.hidden_size) * (2 if kind_of(module) is CellName.LSTM else 1)


def cell_of(module: Any, arrays: Iterable[Tensor]) -> Cell:
    """Return our cell of one direction of one layer, with its weights in PyTorch's order."""
    weights = LayerWeights(*map(to_array, arrays))
    name = getattr(module, "nonlinearity", "tanh")
    phi = next(each for each in ACTIVATIONS.values() if each.torch_name == name)
    return cell_without_readout(kind_of(module), weights, activation=phi)


def to_array(tensor: Tensor) -> FloatArray:
    """Return a copy of a tensor in float64."""
    array: FloatArray = np.array(tensor.detach().to("cpu", torch.float64).numpy())
    return array


def cell_step(call: Call, count: int) -> CellStep:
    """Return x_t (B,D), s_{t−1} (B,S) and h_t (B,H) of a Cell's first ``count`` sequences, copied on
    their device.
    """
    inputs, states, results = (
        [(each[:count] if each.ndim == 2 else each[None]).detach().clone() for each in tensors]
        for tensors in ((call.inputs,), call.states, call.returned)
    )
    before = states or [torch.zeros_like(each) for each in results]
    return inputs[0], torch.cat(before, dim=1), results[0]


def sizes_of(call: Call) -> tuple[int, int]:
    """Return how many time steps, 1 of a Cell, and sequences a call has."""
    if isinstance(call.inputs, PackedSequence):
        return len(call.inputs.batch_sizes), int(call.inputs.batch_sizes[0])
    shape = tuple(call.inputs.shape[:-1])
    if isinstance(call.module, CELLS):
        return (1, *shape, 1)[:2]
    if len(shape) == 1:
        return shape[0], 1
    return shape[::-1] if call.module.batch_first else shape


def not_finite(call: Call, begins: bool = True) -> dict[Quantity | None, Tensor]:
    """Return where (T,B) inputs, initial states (1,B) and outputs are infinite or NaN, causes first,
    on their device; without those known to be finite. A state that was bad before a Cell's call,
    which ``begins`` no sequence, has no name.
    """
    cell = isinstance(call.module, CELLS)
    output = call.returned[0]
    carried = Quantity.INITIAL_STATE if begins else None
    batches = [(Quantity.INPUT, call.inputs), *((carried, each) for each in call.states)]
    found: dict[Quantity | None, Tensor] = {}
    for quantity, batch in (*batches, (Quantity.OUTPUT, output)):
        packed = isinstance(batch, PackedSequence)
        values = (batch.data if packed else batch).detach()
        # On a CPU the sum is there at once, and cheaper.
        if values.device.type == "cpu" and isfinite(values.sum()):
            continue
        bad = ~torch.isfinite(torch.linalg.vector_norm(values, ord=inf, dim=-1))
        if packed:
            bad = _padded(bad, batch)
        elif quantity in {Quantity.INPUT, Quantity.OUTPUT} and not cell:
            bad = bad[:, None] if bad.ndim == 1 else bad
            bad = bad.T if call.module.batch_first and values.ndim == 3 else bad
        else:
            bad = bad.reshape(-1, bad.shape[-1] if bad.ndim else 1).any(0, keepdim=True)
        found[quantity] = bad | found[quantity] if quantity in found else bad
    return found


def _padded(rows: Tensor, batch: PackedSequence) -> Tensor:
    """Return a flag for each row of a packed batch as (T,B), sequences in the order given."""
    sizes = batch.batch_sizes
    times = torch.repeat_interleave(torch.arange(len(sizes)), sizes)
    places = torch.arange(len(times)) - (torch.cumsum(sizes, 0) - sizes)[times]
    padded = rows.new_zeros(len(sizes), int(sizes[0]))
    padded[times.to(rows.device), places.to(rows.device)] = rows
    return padded if batch.unsorted_indices is None else padded[:, batch.unsorted_indices]


def layer_titles(name: str, module: Any) -> tuple[str, ...]:
    """Return the names of a layer's cells: ``rnn[0]``, ``rnn[0]_reverse`` …, or only ``rnn``."""
    endings = ("", "_reverse") if module.bidirectional else ("",)
    parts = [f"{name}[{n}]{ending}" for n in range(module.num_layers) for ending in endings]
    return (name,) if len(parts) == 1 else tuple(parts)


def first_sequences(call: Call, count: int) -> Call:
    """Return the call with its first ``count`` sequences alone, the longest of a packed batch,
    copied on their device.
    """

    def first(batch: Any) -> Any:
        if isinstance(batch, PackedSequence):
            rows = torch.cat([_rows(batch, place) for place in range(count)]).sort()[0]
            return PackedSequence(batch.data.detach()[rows], batch.batch_sizes.clamp(max=count))
        if batch.ndim == 2:
            return batch.detach().clone()
        few = batch[:count] if call.module.batch_first else batch[:, :count]
        return few.detach().clone()

    # States are in the order of the batch, a packed one's sequences by length.
    order = getattr(call.inputs, "sorted_indices", None)
    places = slice(count) if order is None else order[:count]
    states = [each if each.ndim == 3 else each[:, None] for each in call.states]
    return replace(
        call,
        inputs=first(call.inputs),
        state=tuple(each.detach()[:, places].clone() for each in states),
        output=(first(call.output[0]),),
    )


def layer_sample(titles: tuple[str, ...], step: int, call: Call, *, current: bool = True) -> Sample:
    """Return the sequences of a layer's call with their states, outputs and the weights; without
    ``current`` the weights are no longer those of the call, and the outputs are left out.
    """
    module, count = call.module, sizes_of(call)[1]
    # As the forward pass has just used them: to evaluate a parametrization again might change them.
    flat = module._flat_weights  # noqa: SLF001
    per_cell, directions = 4 if module.bias else 2, 2 if module.bidirectional else 1
    cells = [cell_of(module, flat[i : i + per_cell]) for i in range(0, len(flat), per_cell)]
    states: list[FloatArray] = [np.zeros((count, state_size(module))) for _ in titles]
    if call.states:
        states = list(map(to_array, torch.cat(call.states, dim=2)))
    return Sample(
        step=step,
        titles=titles,
        layers=[Layer(*cells[i : i + directions]) for i in range(0, len(cells), directions)],
        sequences=_sequences(call.inputs, batch_first=module.batch_first),
        initial_states=states,
        outputs=_sequences(call.output[0], batch_first=module.batch_first) if current else (),
        dropout=float(module.dropout) if module.num_layers > 1 else 0.0,
    )


def _sequences(batch: Any, *, batch_first: bool) -> tuple[FloatArray, ...]:
    """Return the sequences (T_i,·) of a batch."""
    if isinstance(batch, PackedSequence):
        count = int(batch.batch_sizes[0])
        return tuple(to_array(batch.data[_rows(batch, place)]) for place in range(count))
    if batch.ndim == 2:
        return (to_array(batch),)
    return tuple(to_array(batch if batch_first else batch.transpose(0, 1)))


def _rows(batch: PackedSequence, place: int) -> Tensor:
    """Return the rows of one sequence in a packed batch, the longest at place 0."""
    sizes = batch.batch_sizes
    starts = torch.cumsum(sizes, 0) - sizes
    return (starts[sizes > place] + place).to(batch.data.device)
