"""When snapshots are taken: training steps, and the turn of each module.

A training step runs from one backward pass to the next; where no gradient is recorded, from one
call of a module to the next. A snapshot of a module is taken in the first step and then every so
many steps, as soon as the time budget allows it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter

from gradscope.diagnosis.verdict import Thresholds
from gradscope.errors import SettingError
from gradscope.names import CellName
from gradscope.watch.journal import Journal
from gradscope.watch.replay import Sample, take_snapshots

FIRST_COST = 3e-10
"""Seconds per lag, sequence, cell and S³ that a snapshot is assumed to cost before one was timed
(one BLAS thread, S = 128 and 256: from 1e-10 for an LSTM to 5e-10 for a GRU)."""


@dataclass(frozen=True, eq=False, slots=True)
class Limits:
    """How often snapshots are taken and of how much.

    ``every`` in training steps, ``max_lag`` in steps of the sequence, ``sequences`` per snapshot,
    and the thresholds of the verdict.
    """

    every: int
    max_lag: int
    sequences: int
    thresholds: Thresholds = field(default_factory=Thresholds)

    def __post_init__(self) -> None:
        for name in ("every", "max_lag", "sequences"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} is {getattr(self, name)}; choose 1 or more")


@dataclass(eq=False, slots=True)
class Steps:
    """The training steps of a watch, and which module is due for a snapshot."""

    journal: Journal
    limits: Limits
    backward_seen: bool = False
    _called: set[str] = field(default_factory=set)
    _next: dict[str, int] = field(default_factory=dict)

    @property
    def now(self) -> int:
        """The training step, from 1; 0 before the first."""
        return self.journal.steps

    def begin(self, name: str, *, graded: bool, end_last: Callable[[], None]) -> None:
        """Begin a training step if this call of a module is the first after a backward pass, or if
        no gradient is recorded and the module was called before.
        """
        if not self.now or self.backward_seen or (not graded and name in self._called):
            end_last()
            self.backward_seen = False
            self._called.clear()
            self.journal.steps += 1
            self.journal.budget.start()
        self._called.add(name)

    def has_turn(self, name: str) -> bool:
        """Whether a snapshot of a module is due in this step, if the time budget allows it."""
        return self.now >= self._next.get(name, 1)

    def due(self, name: str, guess: float, available: int) -> int:
        """Return how many sequences of a call the snapshot may take, 0 for no snapshot."""
        if not self.has_turn(name):
            return 0
        count = self.journal.affordable(name, guess, min(self.limits.sequences, available))
        if count:
            self._next[name] = self.now + self.limits.every
        return count

    def guess(self, kind: CellName, hidden: int, n_steps: int, n_cells: int = 1) -> float:
        """Return the expected cost of a snapshot per sequence, in seconds."""
        state = hidden * (2 if kind is CellName.LSTM else 1)
        return FIRST_COST * n_cells * min(n_steps, self.limits.max_lag) * float(state) ** 3

    def examine(self, name: str, sample: Sample, started: float) -> None:
        """Take snapshots of a sample, and charge the time since ``started`` (``perf_counter``)."""
        lag, thresholds = self.limits.max_lag, self.limits.thresholds
        self.journal.record(take_snapshots(sample, max_lag=lag, thresholds=thresholds))
        self.journal.charge(name, perf_counter() - started, len(sample.sequences))
