"""When snapshots are taken: in the first training step, every so many after it, and at the end.

A training step ends with the optimizer's step (those of several after one backward pass are one);
until an optimizer has stepped, with a backward pass; without a gradient, with a module's next call.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np

from gradscope.diagnosis.thresholds import Thresholds
from gradscope.errors import SettingError
from gradscope.watch.journal import Journal
from gradscope.watch.replay import Sample, take_snapshots

FIRST_COST, FIRST_OVERHEAD = 3e-10, 5e-4
"""Seconds per lag, sequence and cell, with S³ and without, that a snapshot is assumed to cost until
one was timed (one BLAS thread, S = 128 and 256: from 1e-10 for an LSTM to 5e-10 for a GRU)."""


@dataclass(eq=False, slots=True)
class Steps:
    """The training steps of a watch, and which module is due for a snapshot: of ``sequences`` over
    ``max_lag`` steps, at least ``required_lag``, to which the gradient should reach, ``every`` so
    many training steps, judged by the thresholds. ``end_last`` is called before a training step
    begins, ``before_backward`` before its first gradient is there; ``closing`` says that there is
    no other.
    """

    journal: Journal
    every: int
    max_lag: int
    sequences: int
    thresholds: Thresholds
    required_lag: int | None = None
    end_last: Callable[[], None] = lambda: None
    before_backward: Callable[[], None] = lambda: None
    backward_seen: bool = False
    stepped: bool = False
    closing: bool = False
    _called: set[str] = field(default_factory=set)
    _next: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        needed = () if self.required_lag is None else ("required_lag",)
        for name in ("every", "max_lag", "sequences", *needed):
            value = getattr(self, name)
            if isinstance(value, bool) or not hasattr(value, "__index__") or value < 1:
                raise SettingError(f"{name} is {value!r}; choose a whole number, 1 or more")
        self.max_lag = max(self.max_lag, self.required_lag or 0)

    @property
    def now(self) -> int:
        """The training step, from 1; 0 before the first."""
        return self.journal.steps

    def begin(self, name: str, *, graded: bool) -> None:
        """Begin a training step if the last has ended; without a gradient, at each second call."""
        ended = self.stepped if self.journal.optimized else self.backward_seen
        if not self.now or ended or (not graded and name in self._called):
            self.end_last()
            self.backward_seen = self.stepped = False
            self._called.clear()
            self.journal.steps += 1
            self.journal.budget.start()
        self._called.add(name)

    def end(self) -> None:
        """End a training step: the optimizer has stepped."""
        self.stepped = True
        if not self.journal.optimized:
            self.journal.count_steps()
            self._next = dict.fromkeys(self._next, 1 + self.every)

    def due(
        self, name: str, available: int, state_size: int, n_steps: int, n_cells: int = 1
    ) -> tuple[int, int]:
        """Return how many sequences of a call, up to ``available``, and how many lags a snapshot of
        the module may have now: no sequence if it has had its turn, or must wait.
        """
        had_its_turn = self.now < self._next.get(name, 1)
        if self.now in self.journal.looks.get(name, ()) if self.closing else had_its_turn:
            return 0, 0
        cost = n_cells * (FIRST_OVERHEAD + FIRST_COST * float(state_size) ** 3)
        most = min(self.sequences, available), min(n_steps, self.max_lag)
        count, lags = self.journal.affordable(name, cost, *most, last=self.closing)
        if count:
            self._next[name] = self.now + self.every
        return count, lags

    def examine(self, name: str, sample: Sample, lags: int, started: float) -> None:
        """Take snapshots of a sample, and charge the time since ``started`` (``perf_counter``)."""
        if not all(np.isfinite(each).all() for each in sample.sequences):
            # Such inputs say nothing about the network; the next call may.
            self._next[name] = self.now + 1
            return
        asked = replace(sample, required_lag=self.required_lag)
        found = take_snapshots(asked, lags, self.thresholds)
        cost = perf_counter() - started
        self.journal.record(replace(each, cost=cost / len(found)) for each in found)
        self.journal.charge(name, perf_counter() - started, len(sample.sequences) * lags)
