"""The page of ``forecast``: which lags will be learned, then what that rests on."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from gradscope.analysis.settings import Settings
from gradscope.arrays import plain
from gradscope.remedy.forecast import (
    FEW_UPDATES,
    SLACK,
    UPDATES_PER_SIGNAL,
    Answer,
    Expectation,
    Ground,
)
from gradscope.report.screen import Screen
from gradscope.report.terminal.table import bullets, opening, table_of
from gradscope.report.words.cells import model_name
from gradscope.report.words.numbers import number, steps

WORDS = {
    Ground.READOUT: (
        "yes: a linear readout of the untrained state explains a fifth of the target or more (R²); "
        f"in 60 of 60 trainings of recall the error was at most 1 − R² + {SLACK:g} of the "
        "baseline's."
    ),
    Ground.HORIZON: (
        "no: the lag lies beyond the memory horizon at 1/1000; right in 58 of 60 trainings of "
        "recall."
    ),
    Ground.SIGNAL: (
        f"no: fewer updates than {UPDATES_PER_SIGNAL:g}/SNR², so the noise of a batch drowns what "
        "the targets add to its gradient; right in 96 of 100 trainings of recall."
    ),
    Ground.NOTHING: "?: undecided; none of these applies; it may be learned or not.",
}
SHORT = {Answer.YES: "yes", Answer.NO: "no", Answer.UNDECIDED: "?"}


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
            *(SHORT[each.answer(n)[0]] for n in updates),
        ]
        for each in found
    ]
    grounds = {each.answer(n)[1] for each in found for n in updates}
    said = [WORDS[ground] for ground in Ground if ground in grounds]
    if any(each.up_to for each in found):
        said.append(
            "Many sequences need less than the lag: beyond "
            f"{FEW_UPDATES} updates the answer is never no."
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
        if lags:
            span = (
                f"a lag of {steps(lags[0])}" if len(lags) == 1 else f"lags {lags[0]} to {lags[-1]}"
            )
            said.append(f"{verb} {span}")
    promised = [each.promised_error(updates) or 0.0 for each in found]
    if any(promised):
        said[0] += f" to an error of at most {number(max(promised), 2)} of the baseline's"
    return f"In {updates:,} updates it {', '.join(said)}"
