"""When a watch looks: training steps, the turn of each module, and what a Cell's sequence left.

A training step runs from one backward pass to the next; where no gradient is recorded, from one
call of a module to the next. A module is looked at in the first step and then every so many steps,
as soon as the purse allows it.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.diagnosis.verdict import Thresholds
from gradscope.errors import SettingError
from gradscope.model.activations import Activation
from gradscope.model.stack import LayerWeights
from gradscope.names import CellName
from gradscope.watch.journal import Journal
from gradscope.watch.replay import Sample, look

FIRST_PRICE = 3e-10
"""Seconds a look costs for each lag, sequence, cell and S³ until one was timed (one BLAS thread, S
= 128 and 256: from 1e-10 for an LSTM to 5e-10 for a GRU)."""


@dataclass(frozen=True, eq=False, slots=True)
class Limits:
    """How often and how far a watch looks.

    ``every`` in training steps, ``max_lag`` in steps of the sequence, ``sequences`` in a look, and
    where the verdict draws its lines.
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
    """The training steps of a watch, and whose turn it is to be looked at."""

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
        """Begin a training step where this call of a module is the first after a backward pass, or
        where no gradient is recorded and the module was called before.
        """
        if not self.now or self.backward_seen or (not graded and name in self._called):
            end_last()
            self.backward_seen = False
            self._called.clear()
            self.journal.steps += 1
            self.journal.budget.start()
        self._called.add(name)

    def has_turn(self, name: str) -> bool:
        """Whether a module may be looked at in this step, if the purse allows it."""
        return self.now >= self._next.get(name, 1)

    def due(self, name: str, guess: float, available: int) -> int:
        """Return how many sequences of a call are looked at, 0 for no look."""
        if not self.has_turn(name):
            return 0
        count = self.journal.affordable(name, guess, min(self.limits.sequences, available))
        if count:
            self._next[name] = self.now + self.limits.every
        return count

    def guess(self, kind: CellName, hidden: int, n_steps: int, n_cells: int = 1) -> float:
        """Return what a look is thought to cost for each sequence, in seconds."""
        state = hidden * (2 if kind is CellName.LSTM else 1)
        return FIRST_PRICE * n_cells * min(n_steps, self.limits.max_lag) * float(state) ** 3

    def examine(self, name: str, sample: Sample, started: float) -> None:
        """Look at a sample, and pay for the time since ``started`` (``clock()``)."""
        limits = self.limits
        self.journal.record(look(sample, max_lag=limits.max_lag, thresholds=limits.thresholds))
        self.journal.charge(name, clock() - started, len(sample.sequences))


def clock() -> float:
    """Return the time by which looks are paid, in seconds."""
    return time.perf_counter()


@dataclass(frozen=True, eq=False, slots=True)
class CellStep:
    """What a Cell was given and returned in one step: x_t (B,D), s_{t−1} (B,S), h_t (B,H)."""

    inputs: FloatArray
    state: FloatArray
    hidden: FloatArray


@dataclass(frozen=True, eq=False, slots=True)
class CellSteps:
    """The last steps of a Cell's sequences, kept one by one while it is looked at, and its weights
    as they stood when they began.
    """

    title: str
    step: int
    kind: CellName
    activation: Activation
    weights: LayerWeights
    steps: deque[CellStep]

    def sample(self) -> Sample:
        """Return them as a sample of one layer."""
        return Sample(
            step=self.step,
            titles=(self.title,),
            kind=self.kind,
            activation=self.activation,
            layers=((self.weights,),),
            sequences=tuple(np.stack([each.inputs for each in self.steps], axis=1)),
            initial_states=(self.steps[0].state,),
            outputs=tuple(np.stack([each.hidden for each in self.steps], axis=1)),
        )
