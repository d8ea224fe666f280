"""The pages of ``forecast``, which lags will be learned, and of ``try``, what helps."""

import math
from collections.abc import Sequence
from itertools import groupby

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from gradscope.analysis.settings import Settings
from gradscope.arrays import plain
from gradscope.learning.readout import EXPLAINED
from gradscope.remedy.forecast import (
    FEW_UPDATES,
    PROMISED_FROM,
    SLACK,
    UPDATES_PER_SIGNAL,
    Answer,
    Expectation,
    Ground,
)
from gradscope.remedy.trial import BEST, BETTER_BY, DEVIATIONS, LEAST, Trial, Tried
from gradscope.report.documents.remedy import winner_command
from gradscope.report.screen import Screen
from gradscope.report.terminal.table import bullets, opening, table_of
from gradscope.report.words.cells import model_name
from gradscope.report.words.numbers import count, level, number, steps

WORDS = {
    Ground.READOUT: (
        f"yes: in {PROMISED_FROM} updates or more, where a linear readout of the untrained state "
        "explains a fifth of the target (R²) and every sequence needs the lag; "
        f"in 59 of 60 trainings of recall the error was at most 1 − R² + {SLACK:g} of the "
        "baseline's."
    ),
    Ground.HORIZON: (
        "no: the lag lies beyond the memory horizon at 1/1000; right in 58 of 60 trainings of "
        "recall."
    ),
    Ground.SIGNAL: (
        f"no: fewer updates than {UPDATES_PER_SIGNAL:g}/SNR², so the noise of a batch drowns what "
        "the targets add to its gradient; right in 55 of 60 trainings of recall."
    ),
    Ground.NOTHING: (
        "?: undecided; nothing speaks for yes or for no, or both have a ground; it may be learned."
    ),
}


def forecast_page(
    found: Sequence[Expectation], settings: Settings, screen: Screen
) -> RenderableType:
    """Return the answer, the table of lags, and what the answers rest on."""
    updates = found[0].updates
    titles = ("lag", "horizon", "R²", "SNR²", *(f"{n:,}" for n in updates))
    rows = [
        [
            str(each.lag),
            f">{each.steps}" if each.horizon is None else str(each.horizon),
            number(each.readout.score, 2),
            number(plain(each.squared_signal), 2),
            *(each.answer(n)[0].replace(Answer.UNDECIDED, "?") for n in updates),
        ]
        for each in found
    ]
    grounds = {each.answer(n)[1] for each in found for n in updates}
    said = [WORDS[ground] for ground in Ground if ground in grounds]
    if any(each.up_to for each in found):
        said.append(
            "Many sequences need less than the lag: beyond "
            f"{FEW_UPDATES} updates the answer is never no, and it is never yes."
        )
    about = f"{forecast_about(settings)}; answers by number of updates"
    table = table_of(titles, rows, screen, gap=2)
    head = opening(forecast_answer(found), about, screen)
    return Group(*head, table, Text(), *bullets("What it rests on", said, screen))


def forecast_about(settings: Settings) -> str:
    """Return in one line what was asked about."""
    task = settings.data or f"{settings.task} task"
    return f"{model_name(settings)}, {settings.hidden} hidden; {task}; before any training"


def forecast_answer(found: Sequence[Expectation]) -> str:
    """Return which lags will be learned in the largest number of updates."""
    updates, said = max(found[0].updates), []
    words = {Answer.YES: "learns", Answer.NO: "hardly learns", Answer.UNDECIDED: "is undecided on"}
    for answer, verb in words.items():
        lags = [each.lag for each in found if each.answer(updates)[0] is answer]
        if len(lags) == 1:
            said.append(f"{verb} a lag of {steps(lags[0])}")
        elif lags:
            said.append(f"{verb} lags {_spans(lags, [each.lag for each in found])}")
    promised = [each.promised_error(updates) or 0.0 for each in found]
    if any(promised):
        said[0] += f" to an error of at most {number(max(promised), 2)} of the baseline's"
    return f"In {updates:,} updates it {', '.join(said)}"


def _spans(lags: Sequence[int], among: Sequence[int]) -> str:
    """Return lags as spans, each of neighbours among those that were asked about."""
    places = [among.index(lag) for lag in lags]
    by_shift = groupby(enumerate(places), lambda numbered: numbered[1] - numbered[0])
    runs = [[place for _, place in run] for _, run in by_shift]
    ends = [dict.fromkeys((str(among[run[0]]), str(among[run[-1]]))) for run in runs]
    return " and ".join(" to ".join(each) for each in ends)


TITLES = ("change", "R²", "error", "by seed", "reach", "rate", "outcome")


def trial_page(trial: Trial, screen: Screen, *, explain: bool = False) -> RenderableType:
    """Return the answer, the ranking, the command of the best and, on request, the decision."""
    parts = [*opening(trial_answer(trial), trial_about(trial), screen)]
    parts += [table_of(TITLES, trial_table(trial), screen, gap=1, left={"change", "outcome"})]
    unknown = trial.nothing.candidate.readout
    if unknown.score is None:
        parts += [Text(f"No R²: {unknown.why_null}.")]
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
    each = f"{count(trial.plan.seeds, 'seed')}, {count(settings.updates, 'update')} each"
    about = forecast_about(settings).removesuffix("; before any training")
    return f"{about}, {settings.steps} steps; {each}"


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
            " → ".join(level(None if math.isnan(rate) else round(rate, 2)) for rate in each.rate),
            str(each.outcome),
        ]
        for each in trial.tried
        if each.errors.size
    ]


def reach_words(tried: Tried) -> str:
    """Return the memory horizon before and after training."""
    return " → ".join("all" if math.isinf(each) else number(plain(each)) for each in tried.reach)


def decision(trial: Trial) -> list[str]:
    """Return how candidates were chosen, and when one helps."""
    best = f"at least {EXPLAINED:g} and {BETTER_BY:g} above that of the network as it is"
    chosen = f"No R² is {best}: nothing cheap can tell what helps; single changes are trained."
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
