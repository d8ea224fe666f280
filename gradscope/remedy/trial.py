"""``try``: which change makes a network learn, found by training the promising ones.

First R² of every candidate: where the best explains a fifth of the target and a tenth more than
"nothing", the best three are trained, else every single change, since nothing cheap can tell. Each
is trained with several seeds on the same batches as "nothing", with the person's optimizer and all
of the updates, and judged on held-out sequences. Shorter ones choose wrongly (``make advice``).
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from gradscope.analysis.analyze import analyze
from gradscope.analysis.prepare import prepare, readout_sources
from gradscope.analysis.settings import Settings
from gradscope.arrays import FloatArray
from gradscope.errors import GradscopeError, SettingError
from gradscope.learning.readout import EXPLAINED, Readout, measure_readout
from gradscope.remedy.candidates import Candidate, candidates
from gradscope.sweep.cell import Status
from gradscope.sweep.executors import Workers
from gradscope.sweep.grid import Cell, Grid, Plan, make_plan
from gradscope.sweep.query import Rows, read_rows
from gradscope.sweep.run import Progress, Watch, run_sweep

BEST = 3
"""Candidates that are trained where R² can tell."""

BETTER_BY = 0.1
"""R² by which the best must exceed "nothing"."""

SEEDS = 3
HELD_OUT = 1024
"""Held-out sequences behind each error."""

DEVIATIONS = 2.0
"""Standard deviations of the paired differences by which the mean must lie below "nothing"."""

LEAST = 0.01
"""Part of the baseline's error below which a difference is no help (convention)."""

MEASURED = ("horizon", "rate_nats_per_step", "first_horizon", "first_rate_nats_per_step")


class Outcome(StrEnum):
    """What came of a candidate."""

    REFERENCE = "as it is"
    HELPS = "helps"
    NO_HELP = "did not help"
    NOT_TRIED = "not tried"


@dataclass(frozen=True, eq=False, slots=True)
class Screened:
    """A candidate before training: its R², and the ``cells`` to train, a seed each; none where it
    will not be tried, for the reason ``why``.
    """

    candidate: Candidate
    readout: Readout
    cells: tuple[Cell, ...] = ()
    why: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class TrialPlan:
    """Every candidate, "nothing" first; ``told`` says whether R² chose what is trained."""

    settings: Settings
    screened: tuple[Screened, ...]
    told: bool

    @property
    def plan(self) -> Plan:
        """All cells to train, as those of a sweep."""
        return Plan(tuple(cell for each in self.screened for cell in each.cells))


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
    settings: Settings, seeds: int = SEEDS, screened: Callable[[], None] = lambda: None
) -> TrialPlan:
    """Score every candidate and choose which to train with how many ``seeds``; ``screened`` is
    called after each. SettingError where nothing is trained (no updates), or there are no targets.
    """
    if not settings.updates:
        raise SettingError("--updates is 0, but try trains what may help; give --updates N")
    asked = settings.with_changes({"held_out": max(settings.held_out, HELD_OUT)})
    before = analyze(asked.with_changes({"updates": 0}), readout=False)
    found = [_screened(each, asked, seeds, screened) for each in candidates(before)]
    ranked = sorted(found[1:], key=_score, reverse=True)
    told = bool(ranked) and _score(ranked[0]) >= max(EXPLAINED, _score(found[0]) + BETTER_BY)
    better = [each for each in ranked[:BEST] if _score(each) > _score(found[0])]
    single = [each for each in found[1:] if each.candidate.parts == 1]
    chosen = [found[0], *(better if told else single)]
    reason = "its R² is smaller" if told else "only single changes are tried where R² cannot tell"
    kept = [
        each if each in chosen else Screened(each.candidate, each.readout, (), each.why or reason)
        for each in found
    ]
    return TrialPlan(asked, tuple(kept), told)


def _score(screened: Screened) -> float:
    """Return R², −1 where there is none."""
    return -1.0 if screened.readout.score is None else screened.readout.score


def _screened(
    candidate: Candidate, settings: Settings, seeds: int, ended: Callable[[], None]
) -> Screened:
    try:
        changed = settings.with_changes(candidate.changes)
        cells = make_plan(Grid(changed.as_dict() | {"seed": settings.seed}, {}, seeds)).cells
        prepared = prepare(changed.with_changes({"updates": 0}))
        readout = measure_readout(prepared.network.sizes[1], readout_sources(prepared))
    except GradscopeError as error:
        return Screened(candidate, Readout(None, str(error)), (), str(error))
    finally:
        ended()
    return Screened(candidate, readout, cells)


def run_trial(
    plan: TrialPlan, store: Path, *, workers: Workers | None = None, watch: Watch | None = None
) -> Trial:
    """Train what the plan chose, as the cells of a sweep in ``store``, and judge it; parameters and
    errors are those of ``run_sweep``.
    """
    progress = run_sweep(plan.plan.cells, store, workers=workers, watch=watch)
    rows = read_rows(store, curves=False)
    places = {key: place for place, key in enumerate(rows.column("key"))}
    nothing = _errors(plan.screened[0], rows, places)
    tried = [_tried(each, nothing, rows, places) for each in plan.screened]
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


def _errors(screened: Screened, rows: Rows, places: dict[str, int]) -> FloatArray:
    """Return the error of each seed (S,) in parts of the baseline's, NaN where it did not end."""
    errors = np.full(len(screened.cells), np.nan)
    for number, cell in enumerate(screened.cells):
        if (place := places.get(cell.key)) is None:
            continue
        done = rows.column("status")[place] == Status.DONE
        error, baseline = (rows.column(n)[place] for n in ("held_out_error", "baseline_error"))
        errors[number] = error / baseline if done and error is not None and baseline else np.inf
    return errors


def _tried(screened: Screened, nothing: FloatArray, rows: Rows, places: dict[str, int]) -> Tried:
    errors = _errors(screened, rows, places)
    ended = [places[cell.key] for cell in screened.cells if cell.key in places]

    def median(name: str, missing: float) -> float:
        values = [rows.column(name)[place] for place in ended]
        known = [missing if value is None else float(value) for value in values]
        return float(np.median(known)) if known else np.nan

    outcome = judged(errors, nothing) if screened.cells else Outcome.NOT_TRIED
    return Tried(
        screened=screened,
        outcome=outcome if screened.candidate.parts else Outcome.REFERENCE,
        errors=errors[~np.isnan(errors)],
        reach=(median("first_horizon", np.inf), median("horizon", np.inf)),
        rate=(median("first_rate_nats_per_step", -np.inf), median("rate_nats_per_step", -np.inf)),
    )


def judged(errors: FloatArray, nothing: FloatArray) -> Outcome:
    """Return whether errors (S,) are better than those of "nothing" (S,) with the same seeds: in
    every seed, and in the mean by more than ``DEVIATIONS`` standard deviations of the differences
    and by ``LEAST``. NaN is a seed that did not end; an infinite error is worse than any other.
    """
    most = np.nanmax(np.where(np.isinf(nothing), 1.0, nothing), initial=1.0)
    both = np.minimum(nothing, most) - np.minimum(errors, most)
    if errors.size < 2 or np.isnan(both).any() or not (both > 0.0).all():
        return Outcome.NOT_TRIED if np.isnan(both).any() else Outcome.NO_HELP
    needed = max(DEVIATIONS * float(np.std(both, ddof=1)), LEAST)
    return Outcome.HELPS if float(np.mean(both)) > needed else Outcome.NO_HELP
