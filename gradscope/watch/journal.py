"""The journal of a watched training: its snapshots, changes of verdict, and what went wrong.

Snapshots may use a share of the time since the first step, and a small advance so that the first
one need not wait. If the budget does not cover all sequences of a snapshot, it has fewer; if not
even one, it waits. Events become words in ``watch.page``.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.diagnosis.diagnose import Diagnosis
from gradscope.errors import SettingError
from gradscope.names import Regime
from gradscope.watch.replay import Snapshot

ADVANCE = 0.1
"""Seconds that snapshots may take before the share of the time allows them."""


class Quantity(StrEnum):
    """What is not finite."""

    OUTPUT = "output"
    STATE = "replayed state"
    GRADIENT = "gradient"


class Refusal(StrEnum):
    """Why a module is not watched."""

    PROJECTION = "projection"
    SCRIPTED = "scripted"
    COMPILED = "compiled"
    STATE_REPLACED = "state-replaced"


@dataclass(frozen=True, eq=False, slots=True)
class FirstSeen:
    """The first diagnosis of a layer."""

    step: int
    title: str
    diagnosis: Diagnosis


@dataclass(frozen=True, eq=False, slots=True)
class Alert:
    """The verdict on a layer changed: its regime before, and its diagnosis now."""

    step: int
    title: str
    before: Regime
    diagnosis: Diagnosis


@dataclass(frozen=True, eq=False, slots=True)
class NonFinite:
    """A value was infinite or NaN; ``time_step`` of the sequence, None for a gradient."""

    step: int
    title: str
    quantity: Quantity
    time_step: int | None


@dataclass(frozen=True, eq=False, slots=True)
class NotWatched:
    """A module that is not watched, and why."""

    title: str
    refusal: Refusal


@dataclass(frozen=True, eq=False, slots=True)
class Failure:
    """The watch itself failed at a module; ``error`` is one line."""

    step: int
    title: str
    error: str


Event = FirstSeen | Alert | NonFinite | NotWatched | Failure


@dataclass(slots=True)
class TimeBudget:
    """Snapshots may use ``share`` of the time since the first step (None: no limit)."""

    share: float | None
    clock: Callable[[], float] = time.perf_counter
    spent: float = 0.0
    _start: float | None = None

    def __post_init__(self) -> None:
        if self.share is not None and not 0.0 < self.share < 1.0:
            raise SettingError(
                f"the share of the time is {self.share}; choose a number between 0 and 1, or None "
                "for no limit"
            )

    def start(self) -> None:
        """Start the clock, at the first step."""
        if self._start is None:
            self._start = self.clock()

    @property
    def elapsed(self) -> float:
        """Seconds since the first step."""
        return 0.0 if self._start is None else self.clock() - self._start

    def affords(self, cost: float, most: int) -> int:
        """Return how many sequences, up to ``most``, are affordable at ``cost`` seconds each."""
        if self.share is None:
            return most
        left = self.share * self.elapsed + ADVANCE - self.spent
        return max(min(int(left / cost), most), 0) if cost > 0.0 else most


@dataclass(eq=False, slots=True)
class Journal:
    """Everything a watch has recorded; ``tell`` is called with each event as it happens.

    ``steps`` counts the training steps; ``snapshots`` are in the order taken, ``diagnoses`` holds
    the last of every layer; ``trouble`` holds the first occurrence of everything that was not
    finite, ``trouble_count`` the number of occurrences. ``_costs`` are seconds per sequence of each
    module's last snapshot, ``_waiting`` the step and expected cost of those that did not fit.
    """

    budget: TimeBudget
    tell: Callable[[Event], None]
    steps: int = 0
    diagnoses: dict[str, Diagnosis] = field(default_factory=dict)
    snapshots: list[Snapshot] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    trouble: dict[tuple[str, Quantity], NonFinite] = field(default_factory=dict)
    trouble_count: dict[tuple[str, Quantity], int] = field(default_factory=dict)
    refused: list[NotWatched] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    _norm_steps: list[int] = field(default_factory=list)
    _norms: list[float] = field(default_factory=list)
    _costs: dict[str, float] = field(default_factory=dict)
    _waiting: dict[str, tuple[int, float]] = field(default_factory=dict)

    def affordable(self, name: str, first_guess: float, most: int) -> int:
        """Return how many sequences a snapshot of a module may have now, 0 if it must wait.

        A sequence costs what it did in the module's last snapshot, ``first_guess`` seconds before
        the first. Modules that wait come first, or small ones would use up what a large one needs.
        """
        cost = self._costs.get(name, first_guess)
        asked_lately = [step >= self.steps - 1 for step, _ in self._waiting.values()]
        held = name not in self._waiting and any(asked_lately)
        count = 0 if held else self.budget.affords(cost, most)
        if count:
            self._waiting.pop(name, None)
        elif not held:
            self._waiting[name] = (self.steps, cost)
        return count

    @property
    def unseen(self) -> dict[str, float]:
        """The modules whose first snapshot still waits, and its expected cost per sequence, in
        seconds.
        """
        waiting = self._waiting.items()
        return {name: cost for name, (_, cost) in waiting if name not in self._costs}

    def charge(self, name: str, seconds: float, n_sequences: int) -> None:
        """Charge the budget for a snapshot."""
        self.budget.spent += seconds
        self._costs[name] = seconds / n_sequences

    def record(self, snapshots: Iterable[Snapshot]) -> None:
        """Keep snapshots, and report a verdict that is new or has changed."""
        for each in snapshots:
            step, title, diagnosis = each.step, each.title, each.diagnosis
            if each.bad_step is not None:
                self.not_finite(NonFinite(step, title, Quantity.STATE, each.bad_step))
            self.snapshots.append(each)
            if diagnosis is None:
                continue
            before = self.diagnoses.get(title)
            self.diagnoses[title] = diagnosis
            if before is None:
                self.tell(FirstSeen(step, title, diagnosis))
            elif before.verdict.regime is not diagnosis.verdict.regime:
                self.alerts.append(Alert(step, title, before.verdict.regime, diagnosis))
                self.tell(self.alerts[-1])

    def not_finite(self, found: NonFinite) -> None:
        """Count something that is not finite; report it the first time."""
        key = (found.title, found.quantity)
        self.trouble_count[key] = self.trouble_count.get(key, 0) + 1
        if self.trouble.setdefault(key, found) is found:
            self.tell(found)

    def gradient(self, step: int, norm: float, title: str) -> None:
        """Keep the unclipped gradient norm of a step; ``title`` names the parameter at fault if it
        is not finite.
        """
        self._norm_steps.append(step)
        self._norms.append(norm)
        if not np.isfinite(norm):
            self.not_finite(NonFinite(step, title, Quantity.GRADIENT, None))

    def refuse(self, title: str, refusal: Refusal) -> None:
        """Keep and report why a module is not watched."""
        self.refused.append(NotWatched(title, refusal))
        self.tell(self.refused[-1])

    def fail(self, title: str, error: Exception) -> None:
        """Keep and report that the watch itself failed."""
        line = " ".join(f"{type(error).__name__}: {error}".split())
        self.failures.append(Failure(self.steps, title, line))
        self.tell(self.failures[-1])

    @property
    def gradient_norms(self) -> tuple[IntArray, FloatArray]:
        """Training steps (N,) and the unclipped gradient norm at each (N,)."""
        return np.array(self._norm_steps, dtype=np.int64), np.array(self._norms, dtype=np.float64)
