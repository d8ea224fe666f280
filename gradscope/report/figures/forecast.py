"""The picture of ``forecast``: lags against updates, a mark for each answer."""

from collections.abc import Sequence
from typing import Any

from gradscope.analysis.settings import Settings
from gradscope.remedy.forecast import Answer, Expectation
from gradscope.report.figures import pages, style
from gradscope.report.figures.style import BLUE, GREY, VERMILLION
from gradscope.report.terminal.forecast import forecast_about, forecast_answer

MARKS = {
    Answer.YES: ("o", BLUE, "yes"),
    Answer.UNDECIDED: ("d", GREY, "undecided"),
    Answer.NO: ("X", VERMILLION, "no"),
}


def forecast_picture(found: Sequence[Expectation], settings: Settings, suffix: str) -> bytes:
    """Return the answers by lag and number of updates as the bytes of a picture."""
    figure = pages.new_page(forecast_answer(found), forecast_about(settings))
    axes = figure.add_subplot()
    for answer, (marker, color, label) in MARKS.items():
        at = [(n, each.lag) for each in found for n in each.updates if each.answer(n)[0] is answer]
        if at:
            look: dict[str, Any] = {"marker": marker, "color": color, "s": 260, "linewidths": 0.0}
            axes.scatter(*zip(*at, strict=True), label=label, **look)
    style.dress(axes, "updates", "lag (steps back)")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.margins(0.08)
    axes.set_xticks(found[0].updates, [f"{n:,}" for n in found[0].updates])
    axes.set_yticks([each.lag for each in found], [str(each.lag) for each in found])
    axes.minorticks_off()
    style.legend(axes)
    return pages.picture_bytes(figure, suffix, settings.as_dict(), {"command": "forecast"})
