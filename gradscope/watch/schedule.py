"""When snapshots are taken: training steps, and the turn of each module.

A training step ends with the optimizer's step, or those of several after one backward pass. Before
any optimizer has stepped, steps are counted in backward passes, and before those in calls of a
module. A snapshot of a module is taken in the first step, then every so many steps as soon as the
time budget allows it, and at the end.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from gradscope.diagnosis.verdict import Thresholds
from gradscope.errors import SettingError
from gradscope.watch.journal import Journal, Unit
from gradscope.watch.replay import Sample, take_snapshots

FIRST_COST, FIRST_OVERHEAD = 3e-10, 5e-4
"""Seconds per lag, sequence and cell, times S³ and alone, that a snapshot is assumed to cost before
one was timed (one BLAS thread, S = 128 and 256: from 1e-10 for an LSTM to 5e-10 for a GRU)."""


@dataclass(eq=False, slots=True)
class Steps:
    """The training steps of a watch, and which module is due for a snapshot.

    A snapshot of ``sequences`` over ``max_lag`` steps is taken ``every`` so many training steps,
    and judged by the thresholds. ``end_last`` is called before a training step begins;
    ``backward_seen`` and ``stepped`` say what there was since, ``closing`` that it was the last.
    """

    journal: Journal
    every: int
    max_lag: int
    sequences: int
    thresholds: Thresholds
    end_last: Callable[[], None] = lambda: None
    backward_seen: bool = False
    stepped: bool = False
    closing: bool = False
    _graded: bool = False
    _called: set[str] = field(default_factory=set)
    _next: dict[str, int] = field(default_factory=dict)
    _taken: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("every", "max_lag", "sequences"):
            value = getattr(self, name)
            if isinstance(value, bool) or not hasattr(value, "__index__") or value < 1:
                raise SettingError(f"{name} is {value!r}; choose a whole number, 1 or more")

    @property
    def now(self) -> int:
        """The training step, from 1; 0 before the first."""
        return self.journal.steps

    @property
    def ended(self) -> bool:
        """Whether the last training step is over, so that the next call begins another."""
        return self.stepped if self.journal.unit is Unit.STEP else self.backward_seen

    def saw(self, unit: Unit) -> None:
        """Note a backward pass, or a step of the optimizer; count in these from now on."""
        self.backward_seen, self.stepped = True, unit is Unit.STEP
        if list(Unit).index(unit) > list(Unit).index(self.journal.unit):
            self.journal.recount(unit)
            self._next = dict.fromkeys(self._next, 1 + self.every)
            self._taken.clear()

    def begin(self, name: str, *, graded: bool) -> None:
        """Begin a training step if the last has ended, or if there was no backward pass yet and
        this module was called before. Calls without a gradient before the first with one are no
        part of the training.
        """
        if graded and not self._graded:
            self._graded = True
            self.journal.forget()
            self._next.clear()
        again = self.journal.unit is Unit.FORWARD and name in self._called
        if not self.now or self.ended or again:
            self.end_last()
            self.backward_seen = self.stepped = False
            self._called.clear()
            self.journal.steps += 1
            self.journal.budget.start()
        self._called.add(name)

    def due(
        self, name: str, available: int, state_size: int, n_steps: int, n_cells: int = 1
    ) -> tuple[int, int]:
        """Return how many sequences of a call, up to ``available``, and how many lags a snapshot of
        the module may take now: no sequence if it has had its turn, or has to wait for time.
        """
        if not self.closing and self.now < self._next.get(name, 1):
            return 0, 0
        cost = n_cells * (FIRST_OVERHEAD + FIRST_COST * float(state_size) ** 3)
        most, lags = min(self.sequences, available), min(n_steps, self.max_lag)
        count, lags = self.journal.affordable(name, cost, most, lags, last=self.closing)
        if (self.now, count, lags) <= self._taken.get(name, ()) or not count:
            return 0, lags
        self._next[name], self._taken[name] = self.now + self.every, (self.now, count, lags)
        return count, lags

    def examine(self, name: str, sample: Sample, lags: int, started: float) -> None:
        """Take snapshots of a sample, and charge the time since ``started`` (``perf_counter``)."""
        if not all(np.isfinite(each).all() for each in sample.sequences):
            # What a network makes of such inputs says nothing about it: the next call, then.
            self._next[name] = self.now + 1
            return
        self.journal.record(take_snapshots(sample, lags, self.thresholds))
        self.journal.charge(name, perf_counter() - started, len(sample.sequences) * lags)
