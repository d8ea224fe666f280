"""What is written in a figure, and where: texts that cover one another or run off the page."""

from itertools import combinations

from matplotlib.axis import Tick
from matplotlib.figure import Figure
from matplotlib.text import Text

ROUNDING = 1.0
"""Pixels by which two texts may touch."""


def texts_of(figure: Figure) -> list[Text]:
    """Return the texts that are seen, but for the ticks outside of their axis."""
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
    boxes = [each.get_window_extent().padded(-ROUNDING) for each in texts]
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
