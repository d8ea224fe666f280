"""The sequences that PyTorch's Cells are in the middle of.

A Cell is called step by step. Its sequence goes on as long as the state it is given is the state it
returned: the same memory, or the same numbers in the sequences looked at. It ends where that is not
so, and where the next training step begins (a state carried on detached, as truncated
backpropagation does, starts a new sequence from there).
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

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
from gradscope.watch.schedule import CellSteps, Steps, clock


@dataclass(frozen=True, eq=False, slots=True)
class _Course:
    """Where a Cell's sequence is: steps so far, the state returned last, and what is kept of it."""

    n_steps: int = 0
    returned: tuple[Tensor, ...] = ()
    kept: CellSteps | None = None
    n_kept: int = 1

    def goes_on(self, given: tuple[Tensor, ...]) -> bool:
        """Whether a state given is the one returned last."""
        pairs = list(zip(given, self.returned, strict=False))
        if not pairs or any(now.shape != last.shape for now, last in pairs):
            return False
        if all(now.data_ptr() == last.data_ptr() for now, last in pairs):
            return True
        rows = slice(self.n_kept if given[0].ndim == 2 else None)
        same = (torch.equal(now[rows], last[rows].to(now.dtype)) for now, last in pairs)
        return all(same)


class CellCourses:
    """Follows each Cell of a model through its sequences, and has them examined as they end."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._courses: dict[str, _Course] = {}

    def names(self) -> tuple[str, ...]:
        """Return the Cells that are in a sequence."""
        return tuple(self._courses)

    def follow(
        self, name: str, call: Call, end_step: Callable[[], None]
    ) -> tuple[int, Tensor] | None:
        """Take one call of a Cell, which may begin a training step: ``end_step`` ends the last.

        Returns the time step (from 1) and the largest output in magnitude; None for a Cell that
        cannot be followed, because its state is replaced between steps (told in the journal).
        """
        steps, cell_trajectory = self._steps, self._courses.get(name)
        goes_on = cell_trajectory is not None and cell_trajectory.goes_on(call.states)
        if cell_trajectory is not None and not goes_on:
            if self._is_replaced(cell_trajectory, call):
                self.forget(name)
                steps.journal.refuse(name, Refusal.STATE_REPLACED)
                return None
            self.finish(name)
        if not goes_on or steps.backward_seen:
            steps.begin(name, graded=call.graded, end_last=end_step)
        cell_trajectory = self._courses.get(name) or self._start(name, call)
        if cell_trajectory.kept is not None:
            cell_trajectory.kept.steps.append(cell_step(call, cell_trajectory.n_kept))
        returned = call.output if isinstance(call.output, tuple) else (call.output,)
        last = tuple(each.detach() for each in returned)
        self._courses[name] = _Course(
            cell_trajectory.n_steps + 1, last, cell_trajectory.kept, cell_trajectory.n_kept
        )
        return cell_trajectory.n_steps + 1, torch.linalg.vector_norm(last[0], ord=inf)

    def finish(self, name: str) -> None:
        """End a Cell's sequence, and look at what was kept of it."""
        cell_trajectory = self._courses.pop(name)
        if cell_trajectory.kept is not None:
            self._steps.examine(name, cell_trajectory.kept.sample(), clock())

    def forget(self, name: str) -> None:
        """End a Cell's sequence without a look, if it is in one."""
        self._courses.pop(name, None)

    def _is_replaced(self, cell_trajectory: _Course, call: Call) -> bool:
        """Whether a sequence broke off after one step, and not to start again from zeros."""
        if cell_trajectory.n_steps > 1 or cell_trajectory.kept is None or self._steps.backward_seen:
            return False
        return any(bool(state.any()) for state in call.states)

    def _start(self, name: str, call: Call) -> _Course:
        """Begin a Cell's sequence; keep its steps where it is due."""
        steps, module = self._steps, call.module
        guess = steps.guess(kind_of(module), module.hidden_size, steps.limits.max_lag)
        count = steps.due(name, guess, n_sequences(call))
        if not count:
            return _Course()
        kept = CellSteps(
            title=name,
            step=steps.now,
            kind=kind_of(module),
            activation=activation_of(module),
            weights=cell_weights(module),
            steps=deque(maxlen=steps.limits.max_lag),
        )
        return _Course(kept=kept, n_kept=count)
