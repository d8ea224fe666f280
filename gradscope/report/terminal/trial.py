"""The page of ``try``: what helps, the ranked candidates, the command to use."""

import math

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from gradscope.learning.readout import EXPLAINED
from gradscope.remedy.trial import BEST, BETTER_BY, DEVIATIONS, LEAST, Outcome, Trial, Tried
from gradscope.report.documents.trial import winner_command
from gradscope.report.screen import Screen
from gradscope.report.terminal.table import bullets, opening, table_of
from gradscope.report.words.cells import model_name
from gradscope.report.words.numbers import count, level, number

TITLES = ("change", "R²", "error", "by seed", "reach", "rate", "outcome")


def trial_page(trial: Trial, screen: Screen, *, explain: bool = False) -> RenderableType:
    """Return the answer, the ranking, the command of the best and, on request, the decision."""
    trained = [each for each in trial.tried if each.errors.size]
    parts = [
        *opening(trial_answer(trial), about(trial), screen),
        table_of(TITLES, map(trial_cells, trained), screen, gap=2, left={"change", "outcome"}),
        Text(),
    ]
    if left := not_tried(trial):
        parts += [*bullets("Not tried", left, screen), Text()]
    command = winner_command(trial)
    if command is not None:
        parts += [Text("Use it", style="bold"), Text(f" {command}", overflow="ignore"), Text()]
    if explain:
        parts += bullets("How it was decided", decision(trial), screen)
    return Group(*parts)


def not_tried(trial: Trial) -> list[str]:
    """Return the candidates without an error, by the reason why."""
    reasons: dict[str, list[str]] = {}
    for each in trial.tried:
        if not each.errors.size:
            why = each.screened.why or "its training did not end"
            reasons.setdefault(why, []).append(each.screened.candidate.name)
    return [f"{'; '.join(names)}: {why}" for why, names in reasons.items()]


def about(trial: Trial) -> str:
    """Return in one line what was tried."""
    settings, seeds = trial.plan.settings, trial.plan.seeds
    what = settings.data or f"{settings.task} task"
    return (
        f"{model_name(settings)}, {settings.hidden} hidden; {what}, {settings.steps} steps; "
        f"{count(seeds, 'seed')}, {count(settings.updates, 'update')} each; errors in parts of the "
        "baseline's"
    )


def trial_answer(trial: Trial) -> str:
    """Return what helps, and how much; or that nothing does."""
    nothing = next(each for each in trial.tried if each.outcome is Outcome.REFERENCE)
    winner = trial.winner
    ended = "" if not trial.progress.interrupted else " of what ended before the interruption"
    if not nothing.errors.size:
        return "Interrupted before anything could be compared"
    as_is = number(float(np.mean(nothing.errors)), 2)
    if winner is None:
        tried = sum(each.errors.size > 0 for each in trial.tried) - 1
        return f"None of {count(tried, 'change')} helps{ended} (error {as_is} as it is)"
    error = number(float(np.mean(winner.errors)), 2)
    return f"{_capital(winner)} helps most{ended}: error {as_is} → {error}"


def _capital(tried: Tried) -> str:
    name = tried.screened.candidate.name
    return name[0].upper() + name[1:]


def trial_cells(tried: Tried) -> list[str]:
    """Return the cells of a candidate under ``TITLES``."""

    def reach(value: float) -> str:
        return "all" if math.isinf(value) else number(value)

    return [
        tried.screened.candidate.name,
        number(tried.screened.readout.score, 2),
        number(float(np.mean(tried.errors)), 2),
        " ".join(number(float(each), 2) for each in tried.errors),
        " → ".join(map(reach, tried.reach)),
        " → ".join(level(float(f"{each:.2g}")) for each in tried.rate),
        str(tried.outcome),
    ]


def decision(trial: Trial) -> list[str]:
    """Return how candidates were chosen, and when one helps."""
    told = trial.plan.told
    by_score = (
        f"The best R² is at least {EXPLAINED:g} and {BETTER_BY:g} above that of the network as it "
        f"is, so the best {BEST} by R² were trained."
        if told
        else f"No R² is at least {EXPLAINED:g} and {BETTER_BY:g} above that of the network as it "
        "is: nothing cheap can tell what helps, so every single change was trained."
    )
    fair = (
        "Each was trained with the seeds, batches, optimizer and number of updates of the network "
        "as it is; errors are those of held-out sequences."
    )
    helps = (
        "A change helps only if its error is smaller with every seed and its logarithm, in the "
        f"mean, by more than {DEVIATIONS:g} standard deviations of the differences between seeds "
        f"(and {LEAST:.0%})."
    )
    return [by_score, fair, helps]
