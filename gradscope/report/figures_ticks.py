"""Which of many texts have room along an axis, and how much room a text takes."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.report.figures_style import TICK_SIZE

if TYPE_CHECKING:
    from matplotlib.axis import Axis

POINTS_PER_INCH = 72.0

CHARACTER, LINE = 0.64 * TICK_SIZE / POINTS_PER_INCH, 1.4 * TICK_SIZE / POINTS_PER_INCH
"""Inches: as wide as a digit of Matplotlib's font is at the size of ticks, as high as a line."""


def with_room(places: Sequence[float], room: float) -> list[int]:
    """Return which of these places to name, the first ones first, none nearer than ``room`` to
    another.

    >>> with_room([0.0, 1.0, 2.0, 4.5, 5.0], 2.0)
    [0, 2, 3]
    """
    kept: list[int] = []
    for index, place in enumerate(places):
        if all(abs(place - places[other]) >= room for other in kept):
            kept.append(index)
    return kept


def width_of(labels: Iterable[str]) -> float:
    """Return the inches that the longest of these labels is wide."""
    return CHARACTER * max(map(len, labels), default=0)


def room_for(drawn: "Axis", labels: Iterable[str]) -> float:
    """Return the inches from one of these labels to the next along a horizontal or vertical axis:
    a character more than they are wide, or a line.
    """
    return width_of(labels) + CHARACTER if lies(drawn) else LINE


def inches_along(drawn: "Axis", places: Sequence[float] | FloatArray) -> list[float]:
    """Return where these places stand along an axis, on its scale and between its limits."""
    box, dpi = drawn.axes.get_window_extent(), drawn.axes.figure.dpi
    scale = drawn.get_transform()
    low, high = scale.transform(np.asarray(drawn.get_view_interval()))
    shares: FloatArray = (scale.transform(np.asarray(places, np.float64)) - low) / (high - low)
    inches: list[float] = (shares * (box.width if lies(drawn) else box.height) / dpi).tolist()
    return inches


def lies(drawn: "Axis") -> bool:
    """Whether an axis is the horizontal one."""
    return drawn is drawn.axes.xaxis
