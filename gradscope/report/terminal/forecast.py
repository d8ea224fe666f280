"""The page of ``forecast``: which lags will be learned, then what that rests on."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from gradscope.analysis.settings import Settings
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
        f"training reached at most 1 − R² + {SLACK:g} of the baseline's error in {{readout}}."
    ),
    Ground.HORIZON: "no: the lag lies beyond the memory horizon at 1/1000; right in {horizon}.",
    Ground.SIGNAL: (
        f"no: fewer updates than {UPDATES_PER_SIGNAL:g}/SNR², so the noise of a batch drowns what "
        "the targets add to its gradient; right in {signal}."
    ),
    Ground.NOTHING: "?: undecided; none of these applies; it may be learned or not.",
}
HIT_RATES = {
    "readout": "98 of 100 trainings of recall",
    "horizon": "97 of 100",
    "signal": "96 of 100",
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
            number(each.squared_signal, 2),
            *(SHORT[each.answer(n)[0]] for n in updates),
        ]
        for each in found
    ]
    grounds = {each.answer(n)[1] for each in found for n in updates}
    said = [WORDS[ground].format(**HIT_RATES) for ground in Ground if ground in grounds]
    if any(each.up_to for each in found):
        said.append(
            f"Many sequences need less than the lag: beyond {FEW_UPDATES} updates there is no “no”."
        )
    about = f"{model_name(settings)}, {settings.hidden} hidden; {settings.task} task, seed "
    if settings.data is not None:
        about = about.replace(f"{settings.task} task", settings.data)
    return Group(
        *opening(forecast_answer(found), f"{about}{settings.seed}", screen),
        Text(screen.say("answers by number of updates"), style="dim"),
        table_of(titles, rows, screen, gap=2),
        Text(),
        *bullets("What it rests on", said, screen),
    )


def forecast_answer(found: Sequence[Expectation]) -> str:
    """Return which lags will be learned in the largest number of updates."""
    updates = max(found[0].updates)
    lags = {
        answer: [each.lag for each in found if each.answer(updates)[0] is answer]
        for answer in Answer
    }
    promised = [each.promised_error(updates) for each in found]
    worst = max((each for each in promised if each is not None), default=None)
    learned, hardly, open_ = lags[Answer.YES], lags[Answer.NO], lags[Answer.UNDECIDED]
    said = [
        f"learns {_listed(learned)} to an error of at most {number(worst, 2)} of the baseline's"
        if learned
        else "",
        f"hardly learns {_listed(hardly)}" if hardly else "",
        f"is undecided on {_listed(open_)}" if open_ else "",
    ]
    return f"In {updates:,} updates it {', '.join(each for each in said if each)}"


def _listed(lags: Sequence[int]) -> str:
    if len(lags) == 1:
        return f"a lag of {steps(lags[0])}"
    return f"lags {min(lags)} to {max(lags)}"
