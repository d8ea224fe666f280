"""The sequences of PyTorch's Cells and of other steps, joined from single calls.

A sequence continues as long as the state that is given is the state returned: the same memory, or
the same values in the sequences sampled; and it ends where the next training step begins (a state
carried on detached, as in truncated backpropagation, starts a new sequence).
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from gradscope.model.stack import Layer
from gradscope.torch import reading
from gradscope.torch.custom_steps import CustomStep, step_sample, undisturbed
from gradscope.torch.reading import Call
from gradscope.watch.journal import Refusal
from gradscope.watch.replay import Sample
from gradscope.watch.schedule import Steps


@dataclass(frozen=True, eq=False, slots=True)
class _Sequence:
    """An unfinished sequence: inputs and states of the last ``calls`` of the first ``n_kept``."""

    module: Any
    owner: nn.Module
    calls: deque[tuple[Any, Any]]
    n_kept: int
    n_steps: int = 0
    returned: Any = ()

    def goes_on(self, given: tuple[Tensor, ...]) -> bool:
        """Whether the state given is the one returned last."""
        few, pairs = self.n_kept, list(zip(given, pytree.tree_leaves(self.returned), strict=False))
        if any(now.shape != last.shape for now, last in pairs):
            return False
        if all(now.data_ptr() == last.data_ptr() for now, last in pairs):
            return True
        return all(torch.equal(now[:few], last[:few].to(now.dtype)) for now, last in pairs)


class CellSequences:
    """Follows Cells and steps through their sequences; ``measuring`` calls them for a snapshot."""

    def __init__(self, steps: Steps) -> None:
        self._steps, self.measuring = steps, False
        self._sequences: dict[str, _Sequence] = {}
        self._joined: set[str] = set()

    def __iter__(self) -> Iterator[str]:
        """What is in a sequence, modules before those within them; it may be ended on the way."""
        return reversed(tuple(self._sequences))

    def follow(self, name: str, call: Call) -> int | None:
        """Add one call, which may begin a training step; return the time step, from 1, or None
        where the state is replaced between steps, so that it cannot be followed.
        """
        steps, sequence = self._steps, self._sequences.get(name)
        goes_on = sequence is not None and call.attached and sequence.goes_on(call.states)
        guessed = isinstance(call.module, CustomStep) and not call.module.sure
        if goes_on and name not in self._joined:
            self._joined.add(name)
            owners = [each.owner for each in self._sequences.values() if each.n_steps > 1]
            if guessed and any(each in owners for each in call.module.owner.modules()):
                # A module within it is followed already.
                self.forget(name)
                return None
        if sequence is not None and not goes_on:
            # It broke off after one step, and not to start again from zeros.
            broken = name not in self._joined and (guessed or not steps.backward_seen)
            if broken and any(bool(each.any()) for each in call.states):
                self.forget(name)
                if not guessed:
                    steps.journal.refuse(name, Refusal.STATE_REPLACED)
                return None
            self.finish(name)
        if not goes_on or steps.backward_seen:
            steps.begin(name, graded=call.graded)
        few = min(steps.sequences, len(call.states[0]))
        owner = getattr(call.module, "owner", call.module)
        new = _Sequence(call.module, owner, deque(maxlen=steps.max_lag), few)
        sequence = self._sequences.get(name, new)
        few, part = sequence.n_kept, (call.inputs, call.state)
        sequence.calls.append(pytree.tree_map(lambda each: each[:few].clone(), part))
        length = sequence.n_steps + 1
        self._sequences[name] = replace(sequence, n_steps=length, returned=call.output)
        return length

    def look(self, name: str) -> None:
        """Take a snapshot, with the weights as they are, if one is due."""
        sequence, steps, started = self._sequences[name], self._steps, perf_counter()
        module, n_steps = sequence.module, len(sequence.calls)
        custom = isinstance(module, CustomStep)
        if custom and n_steps < 2:
            return
        size = sum(each[0].numel() for each in pytree.tree_leaves(sequence.returned))
        # Another step's is assumed to cost as much as two of a Cell.
        count, lags = steps.due(name, sequence.n_kept, size, n_steps, 2 if custom else 1)
        if not count:
            return
        calls = [*list(sequence.calls)[-lags:], (sequence.calls[-1][0], sequence.returned)]
        inputs, states = pytree.tree_map(lambda *t: torch.stack([x[:count] for x in t]), *calls)
        make, self.measuring = step_sample if custom else _cell_sample, True
        with undisturbed(sequence.owner):
            sample = make(steps.now, name, module, inputs, states, sequence.n_steps - lags + 1)
            # After a backward pass the weights may be newer.
            outputs = () if steps.backward_seen else sample.outputs
            steps.examine(name, replace(sample, outputs=outputs), lags, started)
        self.measuring = False

    def finish(self, name: str) -> None:
        """End a sequence, and take a snapshot if one is due."""
        self.look(name)
        self.forget(name)

    def forget(self, name: str) -> None:
        """End a sequence, if there is one, without a snapshot."""
        self._sequences.pop(name, None)


def _cell_sample(now: int, title: str, cell: Any, inputs: Tensor, states: Any, _: int) -> Sample:
    """Return what ``step_sample`` does, of one of PyTorch's Cells."""
    names = ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if cell.bias else ()))
    layer = Layer(reading.cell_of(cell, (getattr(cell, each) for each in names)))
    leaves = pytree.tree_leaves(states)
    first = reading.to_array(torch.cat([each[0] for each in leaves], dim=1))
    rows = inputs[:-1], leaves[0][1:]
    given, shown = (reading.to_array(each.swapaxes(0, 1)) for each in rows)
    return Sample(now, (title,), (layer,), tuple(given), (first,), tuple(shown))
