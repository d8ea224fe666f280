"""When snapshots are taken: training steps, and the turn of each module.

A training step runs from one backward pass to the next; where no gradient is recorded, from one
call of a module to the next. A snapshot of a module is taken in the first step and then every so
many steps, as soon as the time budget allows it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter

from gradscope.diagnosis.thresholds import Thresholds
from gradscope.errors import SettingError
from gradscope.watch.journal import Journal
from gradscope.watch.replay import Sample, take_snapshots

FIRST_COST = 3e-10
"""Seconds per lag, sequence, cell and S³ that a snapshot is assumed to cost before one was timed
(one BLAS thread, S = 128 and 256: from 1e-10 for an LSTM to 5e-10 for a GRU)."""


@dataclass(eq=False, slots=True)
class Steps:
    """The training steps of a watch, and which module is due for a snapshot.

    A snapshot of ``sequences`` over ``max_lag`` steps is taken ``every`` so many training steps,
    and judged by the thresholds. ``end_last`` is called before a training step begins.
    """

    journal: Journal
    every: int
    max_lag: int
    sequences: int
    thresholds: Thresholds
    end_last: Callable[[], None] = lambda: None
    backward_seen: bool = False
    _called: set[str] = field(default_factory=set)
    _next: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("every", "max_lag", "sequences"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} is {getattr(self, name)}; choose 1 or more")

    @property
    def now(self) -> int:
        """The training step, from 1; 0 before the first."""
        return self.journal.steps

    def begin(self, name: str, *, graded: bool) -> None:
        """Begin a training step if this call of a module is the first after a backward pass, or if
        no gradient is recorded and the module was called before.
        """
        if not self.now or self.backward_seen or (not graded and name in self._called):
            self.end_last()
            self.backward_seen = False
            self._called.clear()
            self.journal.steps += 1
            self.journal.budget.start()
        self._called.add(name)

    def due(
        self, name: str, available: int, state_size: int, n_steps: int, n_cells: int = 1
    ) -> int:
        """Return how many sequences of a call, up to ``available``, a snapshot of the module may
        take now: 0 if it has had its turn, or the time budget does not allow it.
        """
        if self.now < self._next.get(name, 1):
            return 0
        cost = FIRST_COST * n_cells * min(n_steps, self.max_lag) * float(state_size) ** 3
        count = self.journal.affordable(name, cost, min(self.sequences, available))
        if count:
            self._next[name] = self.now + self.every
        return count

    def examine(self, name: str, sample: Sample, started: float) -> None:
        """Take snapshots of a sample, and charge the time since ``started`` (``perf_counter``)."""
        self.journal.record(take_snapshots(sample, self.max_lag, self.thresholds))
        self.journal.charge(name, perf_counter() - started, len(sample.sequences))
