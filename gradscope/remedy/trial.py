"""``try``: which change makes a network learn, found by training the promising ones.

First R² of every candidate: where the best explains a fifth of the target and a tenth more than
"nothing", the best three are trained, else every single change, since nothing cheap can tell. Each
is trained with several seeds on the same batches as "nothing", with the person's optimizer and all
of the updates, and judged on held-out sequences. Shorter ones choose wrongly (``make advice``).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from gradscope.analysis.analyze import analyze
from gradscope.analysis.prepare import prepare, readout_sources
from gradscope.analysis.settings import Settings
from gradscope.arrays import FloatArray
from gradscope.errors import GradscopeError, SettingError
from gradscope.learning.readout import EXPLAINED, Readout, measure_readout
from gradscope.names import CellName
from gradscope.remedy.candidates import Candidate, candidates
from gradscope.sweep.cell import Status, run_cell
from gradscope.sweep.executors import Workers
from gradscope.sweep.grid import Cell, Grid, make_plan
from gradscope.sweep.query import read_rows
from gradscope.sweep.run import Progress, Watch, run_sweep

BEST = 3
"""Candidates that are trained where R² can tell."""

BETTER_BY = 0.1
"""R² by which the best must exceed "nothing"."""

SEEDS, FEWEST_SEEDS = 3, 2
HELD_OUT = 1024
"""Held-out sequences behind each error."""

DEVIATIONS = 2.0
"""Standard deviations of the paired differences of log error that their mean must exceed."""

LEAST = 0.02
"""Part of the error by which a change must lower it to be a help (convention)."""

FEW = (1, 11)
"""Updates that are made to learn how long one takes."""


Result = dict[str, Any] | None
"""A row of the store, None where the training did not end."""


class Outcome(StrEnum):
    """What came of a candidate."""

    REFERENCE = "as it is"
    HELPS = "helps"
    NO_HELP = "did not help"
    NOT_TRIED = "not tried"


@dataclass(frozen=True, eq=False, slots=True)
class Screened:
    """A candidate before training: its R², and why it is not trained, "" where it is."""

    candidate: Candidate
    readout: Readout
    why: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class TrialPlan:
    """Every candidate, "nothing" first, to be trained as ``settings`` say with so many ``seeds``;
    ``told`` says whether R² chose what is trained.
    """

    settings: Settings
    screened: tuple[Screened, ...]
    told: bool
    seeds: int = SEEDS

    @property
    def more_held_out(self) -> Mapping[str, int]:
        """The change that makes errors those of ``HELD_OUT`` fresh sequences, of a task alone."""
        drawn = self.settings.weights is None and self.settings.data is None
        return {"held_out": max(self.settings.held_out, HELD_OUT)} if drawn else {}

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All trainings, as cells of a sweep."""
        return tuple(cell for each in self.screened for cell in self.cells_of(each))

    def cells_of(self, screened: Screened) -> tuple[Cell, ...]:
        """Return the trainings of a candidate, a seed each; none where it is not trained."""
        if screened.why:
            return ()
        changed = self.settings.with_changes({**self.more_held_out, **screened.candidate.changes})
        grid = Grid(changed.as_dict(), {}, self.seeds)
        return make_plan(grid).cells


@dataclass(frozen=True, eq=False, slots=True)
class Tried:
    """What came of a candidate: errors (S,), one of each seed that ended, in parts of the
    baseline's, infinite where training failed; medians over the seeds of horizon (infinite: beyond
    all lags) and rate, nats per step, before and after training.
    """

    screened: Screened
    outcome: Outcome
    errors: FloatArray
    reach: tuple[float, float]
    rate: tuple[float, float]


@dataclass(frozen=True, eq=False, slots=True)
class Trial:
    """What helped: every candidate, by mean error where it was trained; ``progress`` of the
    trainings, which says whether they were interrupted.
    """

    plan: TrialPlan
    tried: tuple[Tried, ...]
    progress: Progress

    @property
    def winner(self) -> Tried | None:
        """The candidate that helps with the smallest mean error; None where none does."""
        return next((each for each in self.tried if each.outcome is Outcome.HELPS), None)


def plan_trial(
    settings: Settings, seeds: int = SEEDS, ended: Callable[[], None] = lambda: None
) -> TrialPlan:
    """Score every candidate and choose which to train with how many ``seeds``; ``ended`` is called
    after each. SettingError where nothing is trained (no updates), or there are fewer than two
    seeds.
    """
    if not settings.updates:
        raise SettingError("--updates is 0, but try trains what may help; give --updates N")
    if seeds < FEWEST_SEEDS:
        raise SettingError(f"--seeds is {seeds}; one seed is a coin, choose {FEWEST_SEEDS} or more")
    before = analyze(settings.with_changes({"updates": 0, "floss": 0}), readout=False)
    found = [_screened(each, settings, ended) for each in candidates(before)]
    sound = sorted((each for each in found[1:] if not each.why), key=_score, reverse=True)
    told = bool(sound) and _score(sound[0]) >= max(EXPLAINED, _score(found[0]) + BETTER_BY)
    better = [each for each in sound[:BEST] if _score(each) > _score(found[0])]
    chosen = better if told else [each for each in sound if each.candidate.parts == 1]
    reason = "its R² is smaller" if told else "R² cannot tell, so single changes are tried alone"
    kept = (
        each if each.why or each in (found[0], *chosen) else replace(each, why=reason)
        for each in found
    )
    return TrialPlan(settings, tuple(kept), told, seeds)


def _score(screened: Screened) -> float:
    """Return R², −1 where there is none."""
    return -1.0 if screened.readout.score is None else screened.readout.score


def _screened(candidate: Candidate, settings: Settings, ended: Callable[[], None]) -> Screened:
    try:
        prepared = prepare(settings.with_changes({**candidate.changes, "updates": 0}))
        readout = measure_readout(prepared.network.sizes[1], readout_sources(prepared))
    except GradscopeError as error:
        return Screened(candidate, Readout(None, str(error)), str(error))
    finally:
        ended()
    return Screened(candidate, readout)


def seconds_per_training(plan: TrialPlan, updates: int) -> float:
    """Return the seconds that all trainings of so many updates take in this process, from trying a
    few updates of each kind of cell.
    """
    took: dict[CellName, tuple[float, float]] = {}
    total = 0.0
    for cell in plan.cells:
        kind = cell.settings.cell
        if kind not in took:
            timed = []
            for few in FEW:
                start = time.perf_counter()
                run_cell(replace(cell, settings=cell.settings.with_changes({"updates": few})))
                timed.append(time.perf_counter() - start)
            each = max(timed[1] - timed[0], 0.0) / (FEW[1] - FEW[0])
            took[kind] = (timed[0] - FEW[0] * each, each)
        once, each = took[kind]
        total += once + updates * each
    return total


def run_trial(
    plan: TrialPlan, store: Path, *, workers: Workers | None = None, watch: Watch | None = None
) -> Trial:
    """Train what the plan chose, as the cells of a sweep in ``store``, and judge it; parameters and
    errors are those of ``run_sweep``.
    """
    progress = run_sweep(plan.cells, store, workers=workers, watch=watch)
    rows = read_rows(store, curves=False)
    results = dict(zip(rows.column("key"), rows.values, strict=True))
    ended = [
        [
            dict(zip(rows.columns, results[c.key], strict=True)) if c.key in results else None
            for c in plan.cells_of(each)
        ]
        for each in plan.screened
    ]
    nothing = _errors(ended[0])
    tried = [_tried(*each, nothing) for each in zip(plan.screened, ended, strict=True)]
    tried.sort(key=lambda t: (not t.errors.size, np.mean(t.errors) if t.errors.size else 0.0))
    return Trial(plan, tuple(tried), progress)


def try_remedies(
    settings: Settings,
    *,
    seeds: int = SEEDS,
    store: Path | None = None,
    workers: Workers | None = None,
) -> Trial:
    """Find which change makes a network learn its task or series: ``plan_trial``, then
    ``run_trial``, in a temporary store where none is named.
    """
    plan = plan_trial(settings, seeds)
    with TemporaryDirectory() as folder:
        return run_trial(plan, store or Path(folder) / "try.db", workers=workers)


def _errors(results: Sequence[Result]) -> FloatArray:
    """Return the error of each seed (S,) in parts of the baseline's, NaN where it did not end."""

    def error(result: Result) -> float:
        if result is None:
            return np.nan
        known = result["status"] == Status.DONE and result["held_out_error"] is not None
        return result["held_out_error"] / result["baseline_error"] if known else np.inf

    return np.array([error(each) for each in results])


def _tried(screened: Screened, results: Sequence[Result], nothing: FloatArray) -> Tried:
    errors, ended = _errors(results), [each for each in results if each is not None]

    def median(name: str, missing: float) -> float:
        known = [missing if each[name] is None else float(each[name]) for each in ended]
        return float(np.median(known)) if known else np.nan

    outcome = Outcome.NOT_TRIED if screened.why else judged(errors, nothing)
    return Tried(
        screened=screened,
        outcome=outcome if screened.candidate.parts else Outcome.REFERENCE,
        errors=errors[~np.isnan(errors)],
        reach=(median("first_horizon", np.inf), median("horizon", np.inf)),
        rate=(median("first_rate_nats_per_step", -np.inf), median("rate_nats_per_step", -np.inf)),
    )


def judged(errors: FloatArray, nothing: FloatArray) -> Outcome:
    """Return whether errors (S,) are better than those of "nothing" (S,) with the same seeds: in
    every seed, and in the mean of their logarithms by more than ``DEVIATIONS`` standard deviations
    of the differences and by ``LEAST``.

    NaN is a seed that did not end; a training that failed, and what is worse than the baseline,
    counts as the baseline's error.
    """
    with np.errstate(divide="ignore"):
        gained = np.log(np.minimum(nothing, 1.0)) - np.log(np.minimum(errors, 1.0))
    if np.isnan(gained).any():
        return Outcome.NOT_TRIED
    needed = max(DEVIATIONS * float(np.std(gained, ddof=1)), LEAST)
    better = bool((gained > 0.0).all()) and float(np.mean(gained)) > needed
    return Outcome.HELPS if better else Outcome.NO_HELP
