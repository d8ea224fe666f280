"""The journal of a watched training: its snapshots, changes of verdict, and what went wrong.

The first snapshot of a module has one sequence and leaves time for the last; both have fewer lags
where they must, those between fewer sequences. Where not even one is affordable, they wait.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.diagnosis.diagnose import Diagnosis
from gradscope.errors import SettingError
from gradscope.names import Regime
from gradscope.watch.replay import Snapshot

ADVANCE = 0.2
"""Seconds that snapshots may take before the share of the time allows them."""


class Quantity(StrEnum):
    """What is not finite."""

    INPUT = "input"
    INITIAL_STATE = "initial state"
    OUTPUT = "output"
    STATE = "replayed state"
    GRADIENT = "gradient"


class Refusal(StrEnum):
    """Why a module is not watched."""

    SCRIPTED = "scripted"
    UNSEEN = "unseen"
    STATE_REPLACED = "state-replaced"


class NewVerdict(NamedTuple):
    """The first diagnosis of a layer, or one whose regime is no longer that of ``before``."""

    step: int
    title: str
    diagnosis: Diagnosis
    before: Regime | None


class NonFinite(NamedTuple):
    """A value was infinite or NaN, at ``time_step`` of ``sequence``; None where it has none."""

    step: int
    title: str
    quantity: Quantity
    time_step: int | None
    sequence: int | None = None


class Finding(StrEnum):
    """What a layer is given that says nothing, or too much."""

    STATE_CARRIED = "state-carried-with-its-graph"
    ONE_STEP = "sequences-of-one-step"


class Found(NamedTuple):
    """A finding in a call, about some of its sequences."""

    step: int
    title: str
    finding: Finding
    of_them: int
    sequences: int


class NotWatched(NamedTuple):
    """A module that is not watched, and why."""

    title: str
    refusal: Refusal


class Failure(NamedTuple):
    """The watch itself failed at a module; ``error`` is one line."""

    step: int
    title: str
    error: str


Event = NewVerdict | NonFinite | Found | NotWatched | Failure


@dataclass(slots=True)
class TimeBudget:
    """The ``share`` of the time that snapshots may use, and the seconds that were taken."""

    share: float | None
    clock: Callable[[], float] = time.perf_counter
    spent: float = 0.0
    hooks: float = 0.0
    _start: float | None = None

    def __post_init__(self) -> None:
        given = self.share
        if given is not None and not (isinstance(given, int | float) and 0.0 < given < 1.0):
            remedy = "choose a number between 0 and 1, or None for no limit"
            raise SettingError(f"the share of the time is {given!r}; {remedy}")

    def start(self) -> None:
        """Start the clock, at the first step."""
        if self._start is None:
            self._start = self.clock()

    @property
    def elapsed(self) -> float:
        """Seconds since the first step."""
        return 0.0 if self._start is None else self.clock() - self._start

    @property
    def limit(self) -> float:
        """The seconds that snapshots may have taken by now."""
        return np.inf if self.share is None else self.share * self.elapsed + ADVANCE


@dataclass(eq=False, slots=True)
class Journal:
    """Everything a watch has recorded; ``tell`` is called with each event as it happens.

    ``steps`` counts the steps of the optimizer, or passes until one has ``optimized``; ``every`` so
    many, a snapshot of each of ``n_modules`` is due. ``losses`` has steps and their errors,
    ``diagnoses`` has the last of every layer, ``trouble`` the first occurrence of what was not
    finite, ``findings`` of each finding, ``looks`` the steps at which each module had a snapshot,
    ``_costs`` the seconds per sequence and lag in its last, ``_waiting`` the step and expected cost
    of those that did not fit.
    """

    budget: TimeBudget
    tell: Callable[[Event], None]
    every: int = 1
    steps: int = 0
    optimized: bool = False
    n_modules: int = 1
    n_waits: int = 0
    looks: dict[str, list[int]] = field(default_factory=dict)
    diagnoses: dict[str, Diagnosis] = field(default_factory=dict)
    snapshots: list[Snapshot] = field(default_factory=list)
    alerts: list[NewVerdict] = field(default_factory=list)
    trouble: dict[tuple[str, Quantity], NonFinite] = field(default_factory=dict)
    trouble_count: Counter[tuple[str, Quantity]] = field(default_factory=Counter)
    findings: dict[tuple[str, Finding], Found] = field(default_factory=dict)
    refused: list[NotWatched] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    losses: list[tuple[int, float]] = field(default_factory=list)
    _norms: list[tuple[int, float]] = field(default_factory=list)
    _costs: dict[str, float] = field(default_factory=dict)
    _waiting: dict[str, tuple[int, float]] = field(default_factory=dict)

    def affordable(
        self, name: str, guess: float, most: int, lags: int, *, last: bool = False
    ) -> tuple[int, int]:
        """Return how many sequences (0: it must wait) and lags a module's snapshot may have now.

        Each of them costs what it did in the module's last snapshot, ``guess`` seconds before the
        first. Modules that wait come first, or small ones would use up what a large one needs.
        """
        asked_lately = [step >= self.steps - 1 for step, _ in self._waiting.values()]
        if name not in self._waiting and any(asked_lately) and not last:
            return 0, lags
        if self.budget.share is None:
            return most, lags
        cost, first = self._costs.get(name, guess), name not in self._costs
        left = self.budget.limit - self.budget.spent
        if first or last:
            # A part, since short snapshots cost more than theirs, and more are to come.
            most, left = 1 if first else most, left / self.n_modules / (4 if first else 2)
            lags = max(min(lags, int(left / cost)), int(not first))
        else:
            # What the last snapshots will need.
            left -= sum(self._costs.values()) * lags
        count = min(int(left / (cost * lags)), most) if lags else 0
        count = max(count, int(last and not first))
        if count:
            self._waiting.pop(name, None)
        else:
            self._waiting[name] = (self.steps, cost)
            self.n_waits += 1
        return count, lags

    @property
    def unseen(self) -> dict[str, float]:
        """The modules whose first snapshot waits, and the expected seconds of a single lag."""
        waiting = self._waiting.items()
        return {name: cost for name, (_, cost) in waiting if name not in self._costs}

    def charge(self, name: str, seconds: float, n_products: int) -> None:
        """Charge the budget for a snapshot of so many sequences times lags."""
        self.budget.spent += seconds
        self._costs[name] = seconds / n_products
        self.looks.setdefault(name, []).append(self.steps)

    def count_steps(self) -> None:
        """Count steps of the optimizer from now on: all passes so far belong to the first."""
        self.optimized, self.steps = True, 1
        self.looks = {name: [1] for name in self.looks}
        self.snapshots = [replace(each, step=1) for each in self.snapshots]
        self.alerts = [each._replace(step=1) for each in self.alerts]
        self.trouble = {key: each._replace(step=1) for key, each in self.trouble.items()}
        self.losses = [(1, loss) for _, loss in self.losses[-1:]]
        self._norms.clear()

    def record(self, snapshots: Iterable[Snapshot]) -> None:
        """Keep snapshots, and report a verdict that is new or has changed."""
        for each in snapshots:
            step, title, diagnosis = each.step, each.title, each.diagnosis
            if each.bad_step is not None:
                self.not_finite(NonFinite(step, title, Quantity.STATE, each.bad_step))
            self.snapshots.append(each)
            if diagnosis is None:
                continue
            last = self.diagnoses.get(title)
            self.diagnoses[title] = diagnosis
            before = None if last is None else last.verdict.regime
            if before is not diagnosis.verdict.regime:
                event = NewVerdict(step, title, diagnosis, before)
                self.alerts += [event] if before is not None else []
                self.tell(event)

    def not_finite(self, found: NonFinite) -> None:
        """Count something that is not finite; report it the first time."""
        key = (found.title, found.quantity)
        self.trouble_count[key] += 1
        if self.trouble.setdefault(key, found) is found:
            self.tell(found)

    def find(self, title: str, finding: Finding, of_them: int, sequences: int) -> None:
        """Keep a finding about so many sequences of a call; report it the first time."""
        found = Found(self.steps, title, finding, of_them, sequences)
        if self.findings.setdefault((title, finding), found) is found:
            self.tell(found)

    def gradient(self, step: int, norm: float, title: str) -> None:
        """Keep a step's unclipped gradient norm; ``title`` is of a parameter that is not finite."""
        self._norms.append((step, norm))
        for place in range(len(self.snapshots) - 1, -1, -1):
            if self.snapshots[place].step != step:
                break
            self.snapshots[place] = replace(self.snapshots[place], gradient_norm=norm)
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
        return columns_of(self._norms)


def columns_of(pairs: Sequence[tuple[int, float]]) -> tuple[IntArray, FloatArray]:
    """Return steps (N,) and the numbers at them (N,)."""
    steps, numbers = zip(*pairs, strict=True) if pairs else ((), ())
    return np.array(steps, dtype=np.int64), np.array(numbers, dtype=np.float64)
