"""The pictures of ``forecast``, a mark for each answer, and of ``try``, errors by candidate."""

from collections.abc import Sequence

import numpy as np

from gradscope.analysis.settings import Settings
from gradscope.remedy.forecast import Answer, Expectation
from gradscope.remedy.trial import Outcome, Trial
from gradscope.report.documents.remedy import forecast_made_by, trial_made_by
from gradscope.report.figures import pages, style
from gradscope.report.figures.style import GREEN, GREY, INK, VERMILLION, Look
from gradscope.report.terminal.remedy import (
    forecast_about,
    forecast_answer,
    reach_words,
    trial_about,
    trial_answer,
)

ANSWERS = {Answer.YES: (GREEN, "yes"), Answer.UNDECIDED: (GREY, "?"), Answer.NO: (VERMILLION, "no")}


def forecast_picture(found: Sequence[Expectation], settings: Settings, suffix: str) -> bytes:
    """Return the answers by lag and number of updates as the bytes of a picture."""
    figure = pages.new_page(forecast_answer(found), forecast_about(settings))
    axes = figure.add_subplot()
    for row, each in enumerate(found):
        for column, updates in enumerate(each.updates):
            color, word = ANSWERS[each.answer(updates)[0]]
            axes.barh(row, 0.94, 0.9, left=column - 0.47, color=color, alpha=0.25, linewidth=0.0)
            middle: Look = {"ha": "center", "va": "center", "weight": "bold", "color": color}
            style.write(axes, word, (column, row), **middle)
    style.dress(axes, "updates", "lag (steps back)")
    axes.set_xticks(range(len(found[0].updates)), [f"{n:,}" for n in found[0].updates])
    axes.set_yticks(range(len(found)), [str(each.lag) for each in found])
    axes.set(xlim=(-0.5, len(found[0].updates) - 0.5), ylim=(-0.5, len(found) - 0.5))
    return pages.picture_bytes(figure, suffix, settings.as_dict(), forecast_made_by(found))


COLORS = dict.fromkeys(Outcome, GREY) | {Outcome.HELPS: GREEN, Outcome.REFERENCE: INK}


def trial_picture(trial: Trial, suffix: str) -> bytes:
    """Return the errors of all that was trained, best at the top, as the bytes of a picture."""
    trained = [each for each in trial.tried if each.errors.size]
    figure = pages.new_page(trial_answer(trial), trial_about(trial))
    axes = figure.add_subplot()
    every = np.concatenate([np.ones(1), *(each.errors for each in trained)])
    edge = 1.05 * float(np.max(every[np.isfinite(every)]))
    for place, each in enumerate(trained):
        color, drawn = COLORS[each.outcome], np.minimum(each.errors, edge)
        aside = place + np.linspace(-0.2, 0.2, drawn.size) * (drawn.size > 1)
        axes.plot(drawn, aside, "o", color=color, markersize=3.2)
        axes.vlines(np.mean(drawn), place - 0.3, place + 0.3, color=color, linewidth=2.6)
        side: Look = {"xycoords": ("axes fraction", "data"), "va": "center", "ha": "right"}
        style.write(axes, f"reach {reach_words(each)}", (1.0, place), (70, 0), color=GREY, **side)
    axes.axvline(1.0, color=GREY, linewidth=0.8, linestyle=":")
    top: Look = {"xycoords": ("data", "axes fraction"), "ha": "right", "color": GREY}
    style.write(axes, "baseline", (1.0, 1.0), (0, 3), **top)
    if trial.nothing.errors.size:
        axes.axvline(
            float(np.mean(np.minimum(trial.nothing.errors, edge))), color=INK, linewidth=0.8
        )
    style.dress(axes, "error / baseline's (dots: seeds; bars: means)", "")
    words = [f"{each.candidate.name}\n{each.outcome}" for each in trained]
    axes.set_yticks(range(len(trained)), words)
    axes.set_xlim(0.0, edge * 1.02)
    axes.set_ylim(len(trained) - 0.5, -0.5)
    settings = trial.plan.settings.as_dict()
    return pages.picture_bytes(figure, suffix, settings, trial_made_by(trial))
