"""The journal of a watched training: what was seen, when the verdict changed, what went wrong.

The cost is bounded by a purse: of all the time that has gone by since the first step, looks may
take a share, and a small advance so that the first one need not wait. A look that the purse cannot
pay with all its sequences takes fewer; where not even one can be paid, it waits. Nothing here knows
of PyTorch, and events become words in ``watch.page``.
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
"""Seconds that looks may take before the share of the time allows them."""


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
    """The verdict on a layer changed: which regime it had before, and what is seen now."""

    step: int
    title: str
    before: Regime
    diagnosis: Diagnosis


@dataclass(frozen=True, eq=False, slots=True)
class NonFinite:
    """A number was infinite or none: at which training step, where, at which step of the sequence
    (None for a gradient).
    """

    step: int
    title: str
    quantity: Quantity
    time_step: int | None


@dataclass(frozen=True, eq=False, slots=True)
class NotWatched:
    """A module is passed over, and why."""

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
    """What looks may cost: ``share`` of the time since the first step (None: no limit)."""

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
        """Begin to count, at the first step."""
        if self._start is None:
            self._start = self.clock()

    @property
    def elapsed(self) -> float:
        """Seconds since the first step."""
        return 0.0 if self._start is None else self.clock() - self._start

    def affords(self, price: float, most: int) -> int:
        """Return how many sequences, up to ``most``, can be paid at this price in seconds each."""
        if self.share is None:
            return most
        left = self.share * self.elapsed + ADVANCE - self.spent
        return max(min(int(left / price), most), 0) if price > 0.0 else most


@dataclass(frozen=True, eq=False, slots=True)
class NormSummary:
    """Quantiles of the unclipped gradient norm over the steps at which it was finite."""

    steps: int
    half: float
    nine_in_ten: float
    largest: float
    largest_step: int


@dataclass(frozen=True, eq=False, slots=True)
class Waiting:
    """A look that the purse could not pay when it was last asked, at a training step; its price for
    each sequence, in seconds.
    """

    step: int
    price: float


@dataclass(eq=False, slots=True)
class Journal:
    """Everything a watch has seen; ``tell`` is called with each event as it happens.

    ``steps`` counts the training steps; ``snapshots`` are in the order taken, ``diagnoses`` holds
    the last of every layer; ``trouble`` holds of everything that was not finite the first time,
    ``trouble_count`` how often it happened.
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
    _prices: dict[str, float] = field(default_factory=dict)
    _waiting: dict[str, Waiting] = field(default_factory=dict)

    def affordable(self, name: str, first_guess: float, most: int) -> int:
        """Return how many sequences a look at a module may have now, 0 where it must wait.

        A sequence costs what it did in the module's last look, ``first_guess`` seconds before the
        first. Modules that wait are served before others, or small ones would use up what the
        large one needs.
        """
        price = self._prices.get(name, first_guess)
        asked_lately = [each.step >= self.steps - 1 for each in self._waiting.values()]
        held = name not in self._waiting and any(asked_lately)
        count = 0 if held else self.budget.affords(price, most)
        if count:
            self._waiting.pop(name, None)
        elif not held:
            self._waiting[name] = Waiting(self.steps, price)
        return count

    @property
    def unseen(self) -> dict[str, float]:
        """The modules whose first look still waits, and what it is thought to cost for each
        sequence, in seconds.
        """
        waiting = self._waiting.items()
        return {name: each.price for name, each in waiting if name not in self._prices}

    def charge(self, name: str, seconds: float, n_sequences: int) -> None:
        """Pay for a look."""
        self.budget.spent += seconds
        self._prices[name] = seconds / n_sequences

    def record(self, snapshots: Iterable[Snapshot]) -> None:
        """Keep looks, and tell where a verdict is new or has changed."""
        for look in snapshots:
            if look.bad_step is not None:
                self.not_finite(NonFinite(look.step, look.title, Quantity.STATE, look.bad_step))
            self.snapshots.append(look)
            if look.diagnosis is None:
                continue
            before = self.diagnoses.get(look.title)
            self.diagnoses[look.title] = look.diagnosis
            if before is None:
                self.tell(FirstSeen(look.step, look.title, look.diagnosis))
            elif before.verdict.regime is not look.diagnosis.verdict.regime:
                regime = before.verdict.regime
                self.alerts.append(Alert(look.step, look.title, regime, look.diagnosis))
                self.tell(self.alerts[-1])

    def not_finite(self, found: NonFinite) -> None:
        """Count something that is not finite; the first time it is told."""
        key = (found.title, found.quantity)
        self.trouble_count[key] = self.trouble_count.get(key, 0) + 1
        if self.trouble.setdefault(key, found) is found:
            self.tell(found)

    def gradient(self, step: int, norm: float, title: str) -> None:
        """Keep the unclipped gradient norm of a step; ``title`` names the parameter to blame where
        it is not finite.
        """
        self._norm_steps.append(step)
        self._norms.append(norm)
        if not np.isfinite(norm):
            self.not_finite(NonFinite(step, title, Quantity.GRADIENT, None))

    def refuse(self, title: str, refusal: Refusal) -> None:
        """Say why a module is passed over."""
        self.refused.append(NotWatched(title, refusal))
        self.tell(self.refused[-1])

    def fail(self, title: str, error: Exception) -> None:
        """Keep and tell that the watch itself failed."""
        line = " ".join(f"{type(error).__name__}: {error}".split())
        self.failures.append(Failure(self.steps, title, line))
        self.tell(self.failures[-1])

    @property
    def gradient_norms(self) -> tuple[IntArray, FloatArray]:
        """Training steps (N,) and the unclipped gradient norm at each (N,)."""
        return np.array(self._norm_steps, dtype=np.int64), np.array(self._norms, dtype=np.float64)

    @property
    def norm_summary(self) -> NormSummary | None:
        """How large the unclipped gradient norm was; None where there was no finite one."""
        at, norms = self.gradient_norms
        at, norms = at[np.isfinite(norms)], norms[np.isfinite(norms)]
        if not norms.size:
            return None
        half, nine = (float(each) for each in np.quantile(norms, [0.5, 0.9]))
        top = int(np.argmax(norms))
        return NormSummary(norms.size, half, nine, float(norms[top]), int(at[top]))
