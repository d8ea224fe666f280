"""The lag profile as text, all on one scale, so that any two can be compared: a row is as high as
the way from 1 to a threshold, and the corridor between the thresholds always in view.

A character holds 2 × 4 braille dots (Unicode 2800 to 28FF) or one ASCII mark.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from gradscope.analysis.results import Analysis
from gradscope.arrays import LN_10, FloatArray
from gradscope.diagnosis.reasons import ReasonCode
from gradscope.report.screen import Screen
from gradscope.report.words.headline import look
from gradscope.report.words.numbers import fraction, number, power_of_ten

FARTHEST = 3
"""Rows between that of 1 and the last: by default a view ends at 1e−9 or 1e9."""

DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""The bit of each dot, by row and column within a cell (Unicode chapter 21.1)."""

_DRAWN = np.c_[np.arange(256)[:, None] & DOTS.sum(axis=1), np.ones(256)] > 0
MARKS = (
    np.array([*"'**. "])[_DRAWN.argmax(axis=1)],
    np.array([" ", *map(chr, range(0x2801, 0x2900))]),
)
"""The mark of each set of dots: in ASCII by the first of its rows, in braille."""


def profile_plot(
    analysis: Analysis, screen: Screen, width: int, farthest: int = FARTHEST
) -> list[Text]:
    """Return the last stage's median profile by lag in lines no longer than ``width``, with marks
    where it leaves the corridor and where it is needed; at most ``farthest`` rows below that of 1.
    """
    stage, settings = analysis.last, analysis.settings
    verdict, lags, median = stage.verdict, stage.profile.lags, stage.profile.median
    ends = np.log([settings.vanishing, settings.exploding])
    rows = median / np.where(median < 0.0, -ends[0], ends[1])
    low = -int(np.clip(np.ceil(-rows.min(initial=0.0)), 1, farthest))
    high = int(np.clip(np.ceil(rows.max(initial=0.0)), 1, FARTHEST))
    names = {row: power_of_ten(row * abs(ends[int(row > 0)]) / LN_10) for row in (low, 0, high)}
    names |= {1: number(settings.exploding), -1: fraction(settings.vanishing)}
    names = {row: screen.say(name) for row, name in names.items()}
    gutter = max(map(len, names.values()))
    columns = max(width - gutter - 2, 20)
    at = np.linspace(1.0, lags.size, 2 * columns)
    curve = np.interp(at, lags, np.clip(rows, low - 1.0, high + 1.0))
    canvas = _cells(4.0 * (high - curve) + 1.6, high - low + 1, unicode=screen.unicode)
    canvas[:, lags.size if lags.size == 1 else columns :] = " "
    for edge in (high - 1, high + 1):
        canvas[edge][canvas[edge] == " "] = "╌"

    above, needed = verdict.reason(ReasonCode.ABOVE_THRESHOLD), verdict.required_lag
    marks: list[tuple[Any, str, int | None]] = [
        (verdict.horizon, "reaches {}", high + 1),
        (above and above.numbers["lag"], f"above {number(settings.exploding)} at {{}}", high - 1),
        (needed, f"needed: {{}}{' →' * ((needed or 0) > lags.size)}", None),
        (lags.size, "{}", None),
        (1, "{}", None),
    ]
    rule, under = ["─"] * columns, " " * columns
    for lag, text, row in marks:
        if lag:
            column = round((min(lag, lags.size) - 1) / max(lags.size - 1, 1) * (columns - 1))
            rule[column] = "┬"
            under = _written(under, screen.say(text.format(lag)), column)
            if row is not None:
                canvas[row, column] = "●"
            elif text == "needed: {}":
                canvas[np.isin(canvas[:, column], [" ", "╌"]), column] = "┆"
    lines = []
    for place, cells in enumerate(canvas):
        axis = screen.say(f"{names.get(high - place, ''):>{gutter}} ┤"), "dim"
        drawn = Text(screen.say("".join(cells)))
        drawn.highlight_regex(r"[\u2801-\u28ff●o*'.]+", look(verdict).terminal)
        drawn.highlight_regex("[╌-]+", "dim")
        lines.append(Text.assemble(axis, drawn))
    below = f"{'':{gutter}} └{''.join(rule)}", f"{'':{gutter}}  {under}"
    return [*lines, *(Text(screen.say(each.rstrip()), "dim") for each in below)]


def _cells(heights: FloatArray, rows: int, *, unicode: bool) -> NDArray[np.str_]:
    """Return a curve, whose heights (2 columns) count dots from the top, as characters."""
    between = (heights[1:] + heights[:-1]) / 2.0
    ends = np.stack([np.r_[heights[0], between], heights, np.r_[between, heights[-1]]])
    dots = np.zeros((4 * rows, heights.size), dtype=np.bool_)
    for column, (first, last) in enumerate(np.rint([ends.min(axis=0), ends.max(axis=0)]).T):
        dots[max(int(first), 0) : max(int(last) + 1, 0), column] = True
    bits = np.einsum("rict,it->rc", dots.reshape(rows, 4, -1, 2), DOTS)
    cells: NDArray[np.str_] = MARKS[unicode][bits]
    return cells


def _written(line: str, text: str, column: int) -> str:
    """Return a line with a text around a column, moved by its length at most to where there is room
    for it; without room the line as it was.
    """
    wanted, last = column - len(text) // 2, len(line) - len(text)
    starts = range(max(wanted - len(text), 0), min(wanted + len(text), last) + 1)
    free = [at for at in starts if not line[max(at - 2, 0) : at + len(text) + 2].strip()]
    if not free:
        return line
    start = min(free, key=lambda at: abs(at - wanted))
    return line[:start] + text + line[start + len(text) :]
