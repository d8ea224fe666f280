"""The pictures of ``forecast``, a mark for each answer, and of ``try``, errors by candidate."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradscope.analysis.settings import Settings
from gradscope.remedy.forecast import Answer, Expectation
from gradscope.remedy.trial import Outcome, Trial
from gradscope.report.documents.remedy import forecast_made_by, trial_made_by
from gradscope.report.figures import style
from gradscope.report.figures.style import BLUE, GREY, INK, VERMILLION
from gradscope.report.terminal.remedy import (
    forecast_about,
    forecast_answer,
    reach_words,
    trial_about,
    trial_answer,
)

MARKS = {
    Answer.YES: ("o", BLUE, "yes"),
    Answer.UNDECIDED: ("d", GREY, "undecided"),
    Answer.NO: ("X", VERMILLION, "no"),
}


def forecast_picture(found: Sequence[Expectation], settings: Settings, suffix: str) -> bytes:
    """Return the answers by lag and number of updates as the bytes of a picture."""
    figure = style.new_page(forecast_answer(found), forecast_about(settings))
    axes = figure.add_axes((0.085, 0.1, 0.88, 0.72))
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
    return style.picture_bytes(figure, suffix, settings.as_dict(), forecast_made_by(found))


COLORS = dict.fromkeys(Outcome, GREY) | {Outcome.HELPS: BLUE, Outcome.REFERENCE: INK}


def trial_picture(trial: Trial, suffix: str) -> bytes:
    """Return the errors of all that was trained, best at the top, as the bytes of a picture."""
    trained = [each for each in trial.tried if each.errors.size]
    figure = style.new_page(trial_answer(trial), trial_about(trial))
    axes = figure.add_axes((0.26, 0.1, 0.7, 0.78))
    every = np.concatenate([np.ones(1), *(each.errors for each in trained)])
    edge = 1.05 * float(np.max(every[np.isfinite(every)]))
    for place, each in enumerate(trained):
        color, drawn = COLORS[each.outcome], np.minimum(each.errors, edge)
        axes.plot(drawn, np.full(drawn.size, place), "o", color=color, markersize=8, alpha=0.55)
        axes.plot(np.mean(drawn), place, "|", color=color, markersize=30, markeredgewidth=3.5)
    if trial.nothing.errors.size:
        axes.axvline(float(np.mean(np.minimum(trial.nothing.errors, edge))), color=INK)
    style.dress(axes, "held-out error, in parts of the baseline's (dots: seeds; bars: means)", "")
    words = [f"{t.candidate.name}\n{t.outcome}; reach {reach_words(t)}" for t in trained]
    axes.set_yticks(range(len(trained)), words)
    axes.set_xlim(0.0, edge * 1.02)
    axes.set_ylim(len(trained) - 0.5, -0.5)
    settings = trial.plan.settings.as_dict()
    return style.picture_bytes(figure, suffix, settings, trial_made_by(trial))
