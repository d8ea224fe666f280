"""The sequences of PyTorch's Cells, joined from single calls.

A Cell is called step by step. Its sequence continues as long as the state it is given is the state
it returned: the same memory, or the same values in the sequences sampled. Otherwise it ends, as it
does where the next training step begins (a state carried on detached, as in truncated
backpropagation, starts a new sequence).
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from time import perf_counter

import torch
from torch import Tensor

from gradscope.torch.reading import (
    Call,
    activation_of,
    cell_step,
    cell_weights,
    kind_of,
    n_sequences,
)
from gradscope.watch.journal import Refusal
from gradscope.watch.schedule import CellSteps, Steps


@dataclass(frozen=True, eq=False, slots=True)
class _Sequence:
    """A Cell's unfinished sequence: its length, the state returned last, and the steps kept."""

    n_steps: int = 0
    returned: tuple[Tensor, ...] = ()
    kept: CellSteps | None = None
    n_kept: int = 1

    def goes_on(self, given: tuple[Tensor, ...]) -> bool:
        """Whether the state given is the one returned last."""
        pairs = list(zip(given, self.returned, strict=False))
        if not pairs or any(now.shape != last.shape for now, last in pairs):
            return False
        if all(now.data_ptr() == last.data_ptr() for now, last in pairs):
            return True
        rows = slice(self.n_kept if given[0].ndim == 2 else None)
        same = (torch.equal(now[rows], last[rows].to(now.dtype)) for now, last in pairs)
        return all(same)


class CellSequences:
    """Follows each Cell of a model through its sequences; snapshots are taken at their ends."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._sequences: dict[str, _Sequence] = {}

    def names(self) -> tuple[str, ...]:
        """Return the Cells that are in a sequence."""
        return tuple(self._sequences)

    def follow(
        self, name: str, call: Call, end_step: Callable[[], None]
    ) -> tuple[int, Tensor] | None:
        """Add one call of a Cell, which may begin a training step: ``end_step`` ends the last.

        Returns the time step (from 1) and the largest output in magnitude; None for a Cell that
        cannot be followed, because its state is replaced between steps (see the journal).
        """
        steps, sequence = self._steps, self._sequences.get(name)
        goes_on = sequence is not None and sequence.goes_on(call.states)
        if sequence is not None and not goes_on:
            # It broke off after one step, and not to start again from zeros.
            broken = sequence.n_steps == 1 and sequence.kept is not None
            if broken and not steps.backward_seen and any(bool(s.any()) for s in call.states):
                self.forget(name)
                steps.journal.refuse(name, Refusal.STATE_REPLACED)
                return None
            self.finish(name)
        if not goes_on or steps.backward_seen:
            steps.begin(name, graded=call.graded, end_last=end_step)
        sequence = self._sequences.get(name) or self._start(name, call)
        if sequence.kept is not None:
            sequence.kept.steps.append(cell_step(call, sequence.n_kept))
        returned = call.output if isinstance(call.output, tuple) else (call.output,)
        last = tuple(each.detach() for each in returned)
        length = sequence.n_steps + 1
        self._sequences[name] = _Sequence(length, last, sequence.kept, sequence.n_kept)
        return length, torch.linalg.vector_norm(last[0], ord=inf)

    def finish(self, name: str) -> None:
        """End a Cell's sequence, and take a snapshot if steps were kept."""
        kept = self._sequences.pop(name).kept
        if kept is not None:
            self._steps.examine(name, kept.sample(), perf_counter())

    def forget(self, name: str) -> None:
        """End a Cell's sequence, if it is in one, without a snapshot."""
        self._sequences.pop(name, None)

    def _start(self, name: str, call: Call) -> _Sequence:
        """Begin a Cell's sequence; keep its steps if a snapshot is due."""
        steps, module = self._steps, call.module
        guess = steps.guess(kind_of(module), module.hidden_size, steps.limits.max_lag)
        count = steps.due(name, guess, n_sequences(call))
        if not count:
            return _Sequence()
        kept = CellSteps(
            title=name,
            step=steps.now,
            kind=kind_of(module),
            activation=activation_of(module),
            weights=cell_weights(module),
            steps=deque(maxlen=steps.limits.max_lag),
        )
        return _Sequence(kept=kept, n_kept=count)
