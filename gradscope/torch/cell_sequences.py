"""The sequences of PyTorch's Cells, joined from single calls.

A sequence continues as long as the state that a Cell is given is the state it returned: the same
memory, or the same values in the sequences sampled; and it ends where the next training step begins
(a state carried on detached, as in truncated backpropagation, starts a new sequence).
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gradscope.model.stack import Layer
from gradscope.torch import reading
from gradscope.torch.reading import Call, CellStep, state_size
from gradscope.watch.journal import Refusal
from gradscope.watch.replay import Sample
from gradscope.watch.schedule import Steps


@dataclass(frozen=True, eq=False, slots=True)
class _Sequence:
    """A Cell's unfinished sequence: the last ``steps`` of the first ``n_kept`` sequences. If a
    snapshot of ``n_due`` of them and ``lags`` is due, ``layer`` has the weights at the beginning.
    """

    module: Any
    steps: deque[CellStep]
    n_kept: int
    n_due: int
    lags: int
    layer: Layer | None
    n_steps: int = 0
    returned: tuple[Tensor, ...] = ()

    def goes_on(self, given: tuple[Tensor, ...]) -> bool:
        """Whether the state given is the one returned last."""
        pairs = list(zip(given, self.returned, strict=False))
        if not pairs or any(now.shape != last.shape for now, last in pairs):
            return False
        if all(now.data_ptr() == last.data_ptr() for now, last in pairs):
            return True
        rows = slice(self.n_kept if given[0].ndim == 2 else None)
        return all(torch.equal(now[rows], last[rows].to(now.dtype)) for now, last in pairs)


class CellSequences:
    """Follows each Cell of a model through its sequences; snapshots are taken at their ends."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._sequences: dict[str, _Sequence] = {}

    def __iter__(self) -> Iterator[str]:
        """The Cells that are in a sequence; it may be ended on the way."""
        return iter(tuple(self._sequences))

    def follow(self, name: str, call: Call) -> int | None:
        """Add one call of a Cell, which may begin a training step; return the time step, from 1, or
        None where its state is replaced between steps, so that it cannot be followed.
        """
        steps, sequence = self._steps, self._sequences.get(name)
        goes_on = sequence is not None and sequence.goes_on(call.states)
        if sequence is not None and not goes_on:
            # It broke off after one step, and not to start again from zeros.
            broken = sequence.n_steps == 1 and sequence.layer is not None
            if broken and not steps.backward_seen and any(bool(s.any()) for s in call.states):
                self.forget(name)
                steps.journal.refuse(name, Refusal.STATE_REPLACED)
                return None
            self.finish(name)
        if not goes_on or steps.backward_seen:
            steps.begin(name, graded=call.graded)
        sequence = self._sequences.get(name) or self._start(name, call)
        sequence.steps.append(reading.cell_step(call, sequence.n_kept))
        last = tuple(each.detach() for each in call.returned)
        length = sequence.n_steps + 1
        self._sequences[name] = replace(sequence, n_steps=length, returned=last)
        return length

    def finish(self, name: str) -> None:
        """End a Cell's sequence, and take a snapshot if steps were kept."""
        sequence, steps = self._sequences.pop(name), self._steps
        started, count, lags = perf_counter(), sequence.n_due, sequence.lags
        n_steps, module = len(sequence.steps), sequence.module
        if steps.closing and not count:
            count, lags = steps.due(name, sequence.n_kept, state_size(module), n_steps)
        if not count:
            return
        inputs, states, hidden = (
            np.stack([reading.to_array(each[:count]) for each in kind], axis=1)
            for kind in zip(*sequence.steps, strict=True)
        )
        layer, outputs = sequence.layer or _layer(module), tuple(hidden) if sequence.layer else ()
        sample = Sample(steps.now, (name,), (layer,), tuple(inputs), (states[:, 0],), outputs)
        steps.examine(name, sample, min(lags, n_steps), started)

    def forget(self, name: str) -> None:
        """End a Cell's sequence, if it is in one, without a snapshot."""
        self._sequences.pop(name, None)

    def _start(self, name: str, call: Call) -> _Sequence:
        """Begin a Cell's sequence; keep its weights if a snapshot is due."""
        module, max_lag, (_, available) = call.module, self._steps.max_lag, reading.sizes_of(call)
        count, lags = self._steps.due(name, available, state_size(module), max_lag)
        few, layer = min(available, self._steps.sequences), _layer(module) if count else None
        return _Sequence(module, deque(maxlen=max_lag), few, count, lags, layer)


def _layer(module: Any) -> Layer:
    """Return a Cell's weights as they are now."""
    names = ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if module.bias else ()))
    return Layer(reading.cell_of(module, (getattr(module, each) for each in names)))
