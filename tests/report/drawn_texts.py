"""What is written in a figure, and where: texts that cover one another or a curve, or run off the
page.
"""

from itertools import combinations

import numpy as np
from matplotlib.axis import Tick
from matplotlib.figure import Figure
from matplotlib.text import Text

from gradscope.report.figures.pages import place_labels

FEW = 10
"""Points of a curve up to which a text on one of them says nothing of how much is hidden."""

ROUNDING = 1.0
"""Pixels by which two texts may touch."""


def texts_of(figure: Figure) -> list[Text]:
    """Return the texts that are seen, but for the ticks outside of their axis."""
    place_labels(figure)
    figure.canvas.draw()
    hidden = {
        label
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_major_ticks()
        if not _within(tick, sorted(axis.get_view_interval()))
        for label in (tick.label1, tick.label2)
    }
    drawn = [each for each in figure.findobj(Text) if isinstance(each, Text)]
    return [each for each in drawn if each.get_visible() and each.get_text() and each not in hidden]


def _within(tick: Tick, limits: list[float]) -> bool:
    return limits[0] <= float(tick.get_loc()) <= limits[1]


def clashes(figure: Figure) -> list[str]:
    """Return what is wrong with the texts of a figure: "a | b" overlap, "a |" runs off the page."""
    texts = texts_of(figure)
    boxes = [Text.get_window_extent(each).padded(-ROUNDING) for each in texts]
    width, height = figure.canvas.get_width_height()
    found = [
        f"{one.get_text()} | {other.get_text()}"
        for (one, first), (other, second) in combinations(zip(texts, boxes, strict=True), 2)
        if first.overlaps(second)
    ]
    return found + [
        f"{text.get_text()} |"
        for text, box in zip(texts, boxes, strict=True)
        if box.x0 < 0 or box.y0 < 0 or box.x1 > width or box.y1 > height
    ]


def hidden_share(figure: Figure) -> float:
    """Return the greatest share of a curve's points in view that lies under texts of its axes."""
    texts = texts_of(figure)
    worst = 0.0
    for axes in figure.axes:
        boxes = [Text.get_window_extent(each) for each in texts if each.axes is axes]
        for line in axes.lines:
            at = line.get_transform().transform(np.asarray(line.get_xydata(), np.float64))
            seen = [place for place in at if axes.bbox.contains(*place)]
            covered = [place for place in seen if any(box.contains(*place) for box in boxes)]
            if len(seen) > FEW:
                worst = max(worst, len(covered) / len(seen))
    return worst
