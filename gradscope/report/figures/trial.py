"""The picture of ``try``: errors of each candidate, seeds as dots, its reach beside them."""

import math

import numpy as np

from gradscope.remedy.trial import Outcome, Trial
from gradscope.report.figures import style
from gradscope.report.figures.style import BLUE, GREY, INK, Look
from gradscope.report.terminal.trial import about, trial_answer
from gradscope.report.words.numbers import number

COLORS = {Outcome.HELPS: BLUE, Outcome.REFERENCE: INK}


def trial_picture(trial: Trial, suffix: str) -> bytes:
    """Return the errors of all that was trained, best at the top, as the bytes of a picture."""
    trained = [each for each in trial.tried if each.errors.size]
    figure = style.new_page(trial_answer(trial), about(trial))
    axes = figure.add_axes((0.26, 0.1, 0.7, 0.76))
    finite = [e for each in trained for e in each.errors if math.isfinite(e)]
    edge = max([*finite, 1.0]) * 1.05
    for place, each in enumerate(trained):
        color = COLORS.get(each.outcome, GREY)
        drawn = np.minimum(each.errors, edge)
        axes.plot(drawn, np.full(drawn.size, place), "o", color=color, markersize=8, alpha=0.55)
        axes.plot(np.mean(drawn), place, "|", color=color, markersize=30, markeredgewidth=3.5)
        reach = " → ".join("all lags" if math.isinf(r) else number(r) for r in each.reach)
        look: Look = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "center"}
        style.write(axes, f"{each.outcome}; reach {reach}", (1.0, place + 0.28), color=GREY, **look)
    nothing = next(each for each in trial.tried if each.outcome is Outcome.REFERENCE)
    if nothing.errors.size:
        axes.axvline(min(float(np.mean(nothing.errors)), edge), color=INK, linewidth=1.0)
    style.dress(axes, "held-out error, in parts of the baseline's (dots: seeds; bars: means)", "")
    axes.set_yticks(range(len(trained)), [each.screened.candidate.name for each in trained])
    axes.set_xlim(0.0, edge * 1.02)
    axes.set_ylim(len(trained) - 0.5, -0.5)
    settings = trial.plan.settings.as_dict()
    return style.picture_bytes(figure, suffix, settings, {"command": "try"})
