"""The picture of ``try``: errors of each candidate, seeds as dots, its reach beside its name."""

import numpy as np

from gradscope.remedy.trial import Outcome, Trial
from gradscope.report.figures import pages, style
from gradscope.report.figures.style import BLUE, GREY, INK
from gradscope.report.terminal.trial import reach_words, trial_about, trial_answer

COLORS = dict.fromkeys(Outcome, GREY) | {Outcome.HELPS: BLUE, Outcome.REFERENCE: INK}


def trial_picture(trial: Trial, suffix: str) -> bytes:
    """Return the errors of all that was trained, best at the top, as the bytes of a picture."""
    trained = [each for each in trial.tried if each.errors.size]
    figure = pages.new_page(trial_answer(trial), trial_about(trial))
    axes = figure.add_subplot()
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
    return pages.picture_bytes(figure, suffix, settings, {"command": "try"})
