"""What a network will learn, before it is trained: for each lag and number of updates yes, no, or
undecided.

No, where the lag lies beyond the memory horizon at 1/1000, or where fewer updates than
``UPDATES_PER_SIGNAL`` / SNR² are made, SNR² at its upper bound. Yes, where a linear readout of the
untrained state explains a fifth of the target: training reaches about what it explains. Where they
contradict each other either may come true, and the answer is undecided. Where many sequences need
less than the lag, neither holds so often: no promise, and no "no" beyond ``FEW_UPDATES``. ``make
advice`` measures how often each answer is right.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

from gradscope.analysis.analyze import analyze
from gradscope.analysis.network import Streams, with_noise
from gradscope.analysis.prepare import prepare
from gradscope.analysis.settings import Settings
from gradscope.data.tasks import TASKS
from gradscope.errors import SettingError
from gradscope.learning.readout import EXPLAINED, Readout, signal_to_noise
from gradscope.machine import held_threads
from gradscope.names import ErrorName, TaskName
from gradscope.progress import tracked

UPDATES_PER_SIGNAL = 3.0
FEW_UPDATES = 400
PROMISED_FROM = 200
"""Updates from which on what is explained is promised: the fewest of the trainings behind it."""

SLACK = 0.1
"""By how much the error may exceed what R² leaves, in parts of the baseline's."""

VANISHED = 1e-3
BATCHES = 32
"""Batches behind the signal-to-noise ratio."""


class Answer(StrEnum):
    """Whether a lag will be learned."""

    YES = "yes"
    NO = "no"
    UNDECIDED = "undecided"


class Ground(StrEnum):
    """What an answer rests on."""

    READOUT = "readout"
    HORIZON = "horizon"
    SIGNAL = "signal"
    NOTHING = "nothing"


@dataclass(frozen=True, eq=False, slots=True)
class Expectation:
    """What is known of one lag, and the answer for each number of ``updates``.

    ``horizon`` is the memory horizon at 1/1000, None beyond ``steps``; ``squared_signal`` the upper
    bound of SNR², None where the horizon answers already; ``up_to``: many sequences need less. R²
    promises something where it is not so, and the ``error`` is squared.
    """

    lag: int
    steps: int
    horizon: int | None
    readout: Readout
    squared_signal: float | None
    up_to: bool
    error: ErrorName
    updates: tuple[int, ...]

    def answer(self, updates: int) -> tuple[Answer, Ground]:
        """Return the answer for so many updates, and what it rests on."""
        denied, signal = Ground.NOTHING, self.squared_signal
        if not self.up_to or updates <= FEW_UPDATES:
            if self.horizon is not None and self.lag > self.horizon:
                denied = Ground.HORIZON
            elif signal is not None and updates * signal < UPDATES_PER_SIGNAL:
                denied = Ground.SIGNAL
        score, squared = self.readout.score, self.error is ErrorName.SQUARED
        promised = not self.up_to and squared and score is not None and score >= EXPLAINED
        if denied is not Ground.NOTHING and not promised:
            return Answer.NO, denied
        if promised and denied is Ground.NOTHING and updates >= PROMISED_FROM:
            return Answer.YES, Ground.READOUT
        return Answer.UNDECIDED, Ground.NOTHING

    def promised_error(self, updates: int) -> float | None:
        """Return the error that R² promises at most, in parts of the baseline's; None for none."""
        if self.readout.score is None or self.answer(updates)[0] is not Answer.YES:
            return None
        return 1.0 - self.readout.score + SLACK


@held_threads()
def forecast(
    settings: Settings, lags: Sequence[int], budgets: Sequence[int]
) -> tuple[Expectation, ...]:
    """Return what to expect of a drawn network at each lag (steps, 1 or more) after each number of
    updates.

    The task is set up so that it needs that lag: recall over twice as many steps, the others over
    as many as that takes; a series keeps its data, and the lag is taken as what it needs. Raises
    SettingError for a network from a file, a lag below 1, or a task of another lag.
    """
    if settings.weights is not None or settings.load is not None:
        raise SettingError("a forecast is about a network before training; leave the file out")
    if min(lags, default=1) < 1 or min(budgets, default=1) < 1:
        raise SettingError("lags and updates are counted from 1")
    every = [settings_for(settings, lag) for lag in lags]
    return tuple(_expectation(each, tuple(budgets)) for each in tracked(every, "lags"))


def settings_for(settings: Settings, lag: int) -> Settings:
    """Return the settings that ask for a lag."""
    changes: dict[str, Any] = {"updates": 0, "required_lag": lag, "vanishing": VANISHED}
    if settings.data is not None:
        changes["steps"] = max(settings.steps, lag + 1)
    elif settings.task is TaskName.RECALL:
        changes |= {"steps": 2 * lag, "delay": lag}
    else:
        shortest, make = TASKS[settings.task]
        some = range(max(lag, shortest), 2 * lag + 40)
        fewest = next((n for n in some if (make(n).task_info.required_lag or 0) >= lag), None)
        if fewest is None:
            fault = f"--lags has {lag}, but the {settings.task} task never needs that"
            raise SettingError(f"{fault}; choose --task recall")
        changes["steps"] = fewest
    return settings.with_changes(changes)


def _expectation(settings: Settings, budgets: tuple[int, ...]) -> Expectation:
    prepared = prepare(settings)
    analysis = analyze(prepared, advise=False)
    lag, horizon, problem = (
        settings.required_lag or 0,
        analysis.last.verdict.horizon,
        prepared.problem,
    )
    squared = None
    if problem is not None and (horizon is None or lag <= horizon):
        streams, network = Streams.from_seed(settings.seed), prepared.network
        noisy = partial(with_noise, settings.noise, streams.training_noise, network)
        drawn = (problem.draw(streams.training, max(settings.batch, 2)) for _ in range(BATCHES))
        squared = signal_to_noise(network, [*map(noisy, drawn)])[1]
    readout = analysis.readout or Readout(None, "there are no targets")
    of = (lag, settings.steps, horizon, readout, squared)
    return Expectation(*of, analysis.task_info.lag_is_longest, analysis.task_info.error, budgets)
