"""``try``: which change makes a network learn, found by training the promising ones.

First R² of every candidate: where the best explains a fifth of the target and a tenth more than
"nothing", the best three are trained, else every single change, since nothing cheap can tell. Each
is trained with several seeds on the same batches as "nothing", with the person's optimizer and all
of the updates, and judged on held-out sequences. Shorter ones choose wrongly (``make advice``).
"""

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from gradscope.analysis.analyze import analyze, train_network
from gradscope.analysis.prepare import prepare, readout_sources
from gradscope.analysis.settings import Settings
from gradscope.arrays import FloatArray
from gradscope.errors import GradscopeError, SettingError
from gradscope.learning.readout import EXPLAINED, measure_readout
from gradscope.machine import held_threads
from gradscope.names import CellName
from gradscope.progress import tracked
from gradscope.remedy.candidates import Candidate, candidates
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

FEW = 10
"""Updates that are made to learn how long one takes."""

READ = (
    *("key", "held_out_error", "baseline_error", "first_horizon", "horizon"),
    *("first_rate_nats_per_step", "rate_nats_per_step"),
)


class Outcome(StrEnum):
    """What came of a candidate."""

    REFERENCE = "as it is"
    HELPS = "helps"
    NO_HELP = "did not help"
    NOT_TRIED = "not tried"


@dataclass(frozen=True, eq=False, slots=True)
class TrialPlan:
    """Every candidate, "nothing" first, to be trained as ``settings`` say with so many ``seeds``;
    ``told`` says whether R² chose what is trained.
    """

    settings: Settings
    candidates: tuple[Candidate, ...]
    told: bool
    seeds: int = SEEDS

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All trainings, as cells of a sweep."""
        return tuple(cell for each in self.candidates for cell in self.cells_of(each))

    def cells_of(self, candidate: Candidate) -> tuple[Cell, ...]:
        """Return the trainings of a candidate, a seed each; none where it is not trained."""
        if candidate.why:
            return ()
        changed = self.settings.with_changes(candidate.changes)
        return make_plan(Grid(changed.as_dict(), {}, self.seeds)).cells


@dataclass(frozen=True, eq=False, slots=True)
class Tried:
    """What came of a candidate: errors (S,), one of each seed that ended, in parts of the
    baseline's, infinite where training failed; medians over the seeds of horizon (infinite: beyond
    all lags) and rate, nats per step, before and after training.
    """

    candidate: Candidate
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
    def nothing(self) -> Tried:
        """The network as it is."""
        return next(each for each in self.tried if each.outcome is Outcome.REFERENCE)

    @property
    def winner(self) -> Tried | None:
        """The candidate that helps with the smallest mean error; None where none does."""
        return next((each for each in self.tried if each.outcome is Outcome.HELPS), None)


def plan_trial(settings: Settings, seeds: int = SEEDS) -> TrialPlan:
    """Score every candidate and choose what to train.

    Raises SettingError without updates, for a saved run, for fewer than two seeds, or where the
    baseline makes no error.
    """
    if not settings.updates:
        raise SettingError("--updates is 0, but try trains what may help; give --updates N")
    if settings.load is not None:
        raise SettingError(f"{settings.load} is trained already; leave --load out")
    if seeds < FEWEST_SEEDS:
        raise SettingError(f"--seeds is {seeds}; one seed is a coin, choose {FEWEST_SEEDS} or more")
    if settings.weights is None and settings.data is None:
        settings = settings.with_changes({"held_out": max(settings.held_out, HELD_OUT)})
    before = analyze(settings.with_changes({"updates": 0, "floss": 0}), readout=False)
    baseline = before.task_info.baseline
    if baseline is not None and not baseline.error:
        raise SettingError(
            "the baseline's error is 0; no change is better, so choose other targets"
        )
    nothing, *others = (
        _scored(each, settings) for each in tracked(candidates(settings, before), "scores")
    )
    sound = sorted((each for each in others if not each.why), key=_score, reverse=True)
    told = bool(sound) and _score(sound[0]) >= max(EXPLAINED, _score(nothing) + BETTER_BY)
    better = [each for each in sound[:BEST] if _score(each) > _score(nothing)]
    chosen = better if told else [each for each in sound if each.parts == 1]
    why = (
        "not among the best by R²" if told else "R² cannot tell, so single changes are tried alone"
    )
    kept = (each if each.why or each in chosen else replace(each, why=why) for each in others)
    return TrialPlan(settings, (nothing, *kept), told, seeds)


def _score(candidate: Candidate) -> float:
    """Return R², −1 where there is none."""
    return -1.0 if candidate.readout.score is None else candidate.readout.score


def _scored(candidate: Candidate, settings: Settings) -> Candidate:
    try:
        prepared = prepare(settings.with_changes({**candidate.changes, "updates": 0}))
        readout = measure_readout(prepared.network.sizes[1], readout_sources(prepared))
    except GradscopeError as error:
        return replace(candidate, why=str(error))
    return replace(candidate, readout=readout)


def seconds_of(plan: TrialPlan) -> tuple[float, float]:
    """Return the seconds, in this process, that all trainings take but for their updates, and that
    one update of each takes, from trying a few of each kind of cell.
    """
    cells = [cell.settings for cell in plan.cells]
    kinds = {(each.cell, each.floss): each for each in cells}
    took = {kind: _seconds(each) for kind, each in tracked(kinds.items(), "timing", len(kinds))}
    once, each = (sum(took[each.cell, each.floss][i] for each in cells) for i in (0, 1))
    return once, each


def _seconds(settings: Settings) -> tuple[float, float]:
    start, at = time.perf_counter(), list[float]()
    watch = lambda *_: at.append(time.perf_counter() - start)  # noqa: E731 (one line)
    with suppress(GradscopeError):
        prepared = prepare(settings.with_changes({"updates": FEW}))
        analyze(replace(prepared, task=None), readout=False, advise=False)
        at.append(time.perf_counter() - start)
        if prepared.task is not None:
            train_network(prepared, prepared.task, watch)
    stage, *updates = at or [0.0]
    updates = updates or [stage]
    each = (updates[-1] - updates[0]) / max(len(updates) - 1, 1)
    return max(stage + updates[0] - each, 0.0), each


def run_trial(
    plan: TrialPlan, store: Path, *, workers: Workers | None = None, watch: Watch | None = None
) -> Trial:
    """Train what the plan chose, as the cells of a sweep in ``store``, and judge it; parameters and
    errors are those of ``run_sweep``.
    """
    others = sorted(plan.cells[plan.seeds :], key=lambda cell: cell.settings.cell is CellName.ELMAN)
    # The longest first, but after those of "nothing".
    cells = (*plan.cells[: plan.seeds], *others)
    progress = run_sweep(cells, store, workers=workers, watch=watch)
    rows = {row[0]: row[1:] for row in read_rows(store, names=READ).values}
    ended = [[rows.get(cell.key) for cell in plan.cells_of(each)] for each in plan.candidates]
    nothing = _errors(ended[0])
    tried = [_tried(*each, nothing) for each in zip(plan.candidates, ended, strict=True)]
    tried.sort(key=lambda t: (not t.errors.size, np.mean(t.errors) if t.errors.size else 0.0))
    return Trial(plan, tuple(tried), progress)


@held_threads()
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


Row = tuple[Any, ...] | None
"""What is ``READ`` of a training, without its key; None where it did not end."""


def _errors(rows: list[Row]) -> FloatArray:
    """Return the error of each seed (S,) in parts of the baseline's, NaN where it did not end."""
    found = (
        np.nan if row is None else np.inf if row[0] is None else row[0] / row[1] for row in rows
    )
    return np.array([*found], dtype=np.float64)


def _tried(candidate: Candidate, rows: list[Row], nothing: FloatArray) -> Tried:
    errors, ended = _errors(rows), [row for row in rows if row is not None]

    def medians(places: tuple[int, int], missing: float) -> tuple[float, float]:
        known = [
            [missing if row[i] is None else row[i] for i in places]
            for row in ended
            if row[0] is not None
        ]
        before, after = np.median(known, axis=0).tolist() if known else (np.nan, np.nan)
        return before, after

    outcome = Outcome.NOT_TRIED if candidate.why else judged(errors, nothing)
    outcome = outcome if candidate.parts else Outcome.REFERENCE
    known = errors[~np.isnan(errors)]
    return Tried(candidate, outcome, known, medians((2, 3), np.inf), medians((4, 5), -np.inf))


def judged(errors: FloatArray, nothing: FloatArray) -> Outcome:
    """Return whether errors (S,) are better than those of "nothing" (S,) with the same seeds: in
    every seed, and in the mean of their logarithms by more than ``DEVIATIONS`` standard deviations
    of the differences and by ``LEAST``.

    NaN is a seed that did not end; a training that failed, and what is worse than the baseline,
    counts as the baseline's error.
    """
    least = np.finfo(np.float64).tiny
    gained = np.subtract(*(np.log(np.clip(each, least, 1.0)) for each in (nothing, errors)))
    if np.isnan(gained).any():
        return Outcome.NOT_TRIED
    needed = max(DEVIATIONS * float(np.std(gained, ddof=1)), LEAST)
    better = bool((gained > 0.0).all()) and float(np.mean(gained)) > needed
    return Outcome.HELPS if better else Outcome.NO_HELP
