"""The page of ``try``: what helps, the ranked candidates, the command to use."""

import math

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from gradscope.learning.readout import EXPLAINED
from gradscope.remedy.trial import BEST, BETTER_BY, DEVIATIONS, LEAST, Trial, Tried
from gradscope.report.documents.trial import winner_command
from gradscope.report.screen import Screen
from gradscope.report.terminal.table import bullets, opening, table_of
from gradscope.report.words.cells import model_name
from gradscope.report.words.numbers import count, level, number

TITLES = ("change", "R²", "error", "by seed", "reach", "rate", "outcome")


def trial_page(trial: Trial, screen: Screen, *, explain: bool = False) -> RenderableType:
    """Return the answer, the ranking, the command of the best and, on request, the decision."""
    parts = [*opening(trial_answer(trial), trial_about(trial), screen)]
    parts += [table_of(TITLES, trial_table(trial), screen, gap=1, left={"change", "outcome"})]
    if (command := winner_command(trial)) is not None:
        use = ["Use it, or save the trained network by --apply FILE:"]
        parts += [Text(), *bullets("What to do", use, screen, [command])]
    if left := not_tried(trial):
        parts += [Text(), *bullets("Not tried", left, screen)]
    if explain:
        parts += [Text(), *bullets("How it was decided", decision(trial), screen)]
    return Group(*parts)


def not_tried(trial: Trial) -> list[str]:
    """Return the candidates without an error, by the reason why."""
    reasons: dict[str, list[str]] = {}
    for each in trial.tried:
        if not each.errors.size:
            why = each.candidate.why or "its training did not end"
            reasons.setdefault(why, []).append(each.candidate.name)
    return [f"{'; '.join(names)}: {why}." for why, names in reasons.items()]


def trial_about(trial: Trial) -> str:
    """Return in one line what was tried."""
    settings = trial.plan.settings
    what = settings.data or f"{settings.task} task"
    return (
        f"{model_name(settings)}, {settings.hidden} hidden; {what}, {settings.steps} steps; "
        f"{count(trial.plan.seeds, 'seed')}, {count(settings.updates, 'update')} each"
    )


def trial_answer(trial: Trial) -> str:
    """Return what helps, and how much; or that nothing does."""
    winner, ended = trial.winner, "" if not trial.progress.interrupted else " of what ended"
    if not trial.nothing.errors.size:
        return "Interrupted before anything could be compared"
    as_is = f"error {number(float(np.mean(trial.nothing.errors)), 2)}"
    if winner is None:
        tried = sum(each.errors.size > 0 for each in trial.tried) - 1
        return f"None of {count(tried, 'change')}{ended} helps: {as_is} of the baseline's as it is"
    name, error = winner.candidate.name, number(float(np.mean(winner.errors)), 2)
    return f"{name[0].upper()}{name[1:]} helps most{ended}: {as_is} → {error} of the baseline's"


def trial_table(trial: Trial) -> list[list[str]]:
    """Return a row under ``TITLES`` for each candidate that was trained."""
    return [
        [
            each.candidate.name,
            number(each.candidate.readout.score, 2),
            number(float(np.mean(each.errors)), 2),
            " ".join(number(float(error), 2) for error in each.errors),
            reach_words(each),
            " → ".join(level(round(rate, 2)) for rate in each.rate),
            str(each.outcome),
        ]
        for each in trial.tried
        if each.errors.size
    ]


def reach_words(tried: Tried) -> str:
    """Return the memory horizon before and after training."""
    return " → ".join("all" if math.isinf(each) else number(each) for each in tried.reach)


def decision(trial: Trial) -> list[str]:
    """Return how candidates were chosen, and when one helps."""
    best = f"at least {EXPLAINED:g} and {BETTER_BY:g} above that of the network as it is"
    chosen = f"No R² is {best}: nothing cheap can tell what helps; every single change was trained."
    if trial.plan.told:
        chosen = f"The best R² is {best}, so the best by R², {BEST} at the most, were trained."
    fair = (
        "Each was trained with the seeds, batches, optimizer and number of updates of the network "
        "as it is; errors are those of held-out sequences, in parts of the baseline's."
    )
    helps = (
        "A change helps only if its error is smaller with every seed and its logarithm, in the "
        f"mean, by more than {DEVIATIONS:g} standard deviations of the differences between seeds "
        f"(and {LEAST:.0%})."
    )
    return [chosen, fair, helps]
