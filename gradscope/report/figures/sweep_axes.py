"""What the pictures of several networks have in common: settings as axes, measures in words, the
style of each network's curve, and the line that says what all cells share.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.model.activations import ACTIVATIONS, LineStyle
from gradscope.names import CellName
from gradscope.report.figures.style import BLUE, GREEN, ORANGE, TICK_SIZE, plain_text
from gradscope.sweep.grid import describe
from gradscope.sweep.summary import Axis

if TYPE_CHECKING:
    from matplotlib.axis import Axis as MatplotlibAxis

PLAIN = LineStyle(BLUE, "-", "o")

CELL_STYLES: Mapping[str, tuple[LineStyle, str]] = {
    CellName.GRU: (LineStyle(GREEN, "-.", "P"), "#00513a"),
    CellName.LSTM: (LineStyle(ORANGE, "--", "X"), "#7d5600"),
}
"""The style of a gated cell with tanh, and its colour with the line and marker of another φ."""

POINTS_PER_INCH = 72.0

CHARACTER, LINE = 0.64 * TICK_SIZE / POINTS_PER_INCH, 1.4 * TICK_SIZE / POINTS_PER_INCH
"""Inches: as wide as a digit of Matplotlib's font is at the size of ticks, as high as a line."""


def fits(places: Sequence[float], gap: float) -> list[int]:
    """Return which of these places to name, the first ones first, none nearer than ``gap`` to
    another.

    >>> fits([0.0, 1.0, 2.0, 4.5, 5.0], 2.0)
    [0, 2, 3]
    """
    kept: list[int] = []
    for index, place in enumerate(places):
        if all(abs(place - places[other]) >= gap for other in kept):
            kept.append(index)
    return kept


def width_of(labels: Iterable[str]) -> float:
    """Return the inches that the longest of these labels is wide."""
    return CHARACTER * max(map(len, labels), default=0)


def gap_for(drawn: "MatplotlibAxis", labels: Iterable[str]) -> float:
    """Return the inches that a label and the gap to the next take along an axis."""
    return width_of(labels) + CHARACTER if lies(drawn) else LINE


def inches_along(drawn: "MatplotlibAxis", places: Sequence[float] | FloatArray) -> list[float]:
    """Return where these places stand along an axis, on its scale and between its limits."""
    box, dpi = drawn.axes.get_window_extent(), drawn.axes.figure.dpi
    scale = drawn.get_transform()
    low, high = scale.transform(np.asarray(drawn.get_view_interval()))
    shares: FloatArray = (scale.transform(np.asarray(places, np.float64)) - low) / (high - low)
    inches: list[float] = (shares * (box.width if lies(drawn) else box.height) / dpi).tolist()
    return inches


def lies(drawn: "MatplotlibAxis") -> bool:
    """Whether an axis is the horizontal one."""
    return drawn is drawn.axes.xaxis


WIDE = 20.0
"""Values of an axis whose ends lie this factor apart are drawn on a logarithmic axis."""

MAX_TICKS = 13

SECOND_LINE = 18.0
"""Points from the ticks down to labels that stand on the second line."""

AXIS_WORDS: Mapping[str, str] = {
    "gain": "gain, the factor on W",
    "input_scale": "input scale, the factor on U",
    "steps": "sequence length T, steps",
    "hidden": "hidden units H",
    "updates": "training updates",
    "learning_rate": "learning rate",
    "delay": "delay of the task, steps",
}

MEASURE_WORDS: Mapping[str, str] = {
    "rate_nats_per_step": "growth rate, nats per step",
    "horizon": "memory horizon, steps",
    "lyapunov_exponent": "largest Lyapunov exponent, nats per step",
}

SUBTITLE_SETTINGS = (
    *("weights", "load", "activation", "hidden", "init", "gain", "steps", "task", "data"),
    "updates",
)
"""Shared settings that the line below the title names."""

DRAWN_ALONE = ("init", "task", "updates")
"""Those that mean nothing for a network from a file."""

MAX_NAMED = 3
"""Networks up to which a title names them."""


def line_style(network: str) -> LineStyle:
    """Return the look of a network by its ``names.network_name``; a plain one of anything else."""
    styles = {str(name): each.line_style for name, each in ACTIVATIONS.items()}
    cell, _, activation = network.partition(" ")
    style, dark = CELL_STYLES.get(cell, (PLAIN, BLUE))
    if cell in CELL_STYLES and activation in styles:
        return styles[activation]._replace(color=dark)
    return styles.get(network, style)


def named(networks: Collection[str], joined: str) -> str:
    """Return the names of networks, or of many their number."""
    return joined.join(networks) if len(networks) <= MAX_NAMED else f"{len(networks)} networks"


def subtitle(opening: str, settings: Mapping[str, Any]) -> str:
    """Return what the picture shows, then the settings that all cells share."""
    # Those that differ, as the names of several files do, are not among them.
    from_file = any(settings.get(name, "files") for name in ("weights", "load"))
    unused = DRAWN_ALONE if from_file else ("task",) if settings.get("data") else ()
    known = {
        name: settings[name]
        for name in SUBTITLE_SETTINGS
        if settings.get(name) is not None and name not in unused
    }
    shared = ", ".join(
        f"{name} {describe({name: known[name]}).partition('=')[2]}" for name in known
    )
    return "; ".join(part for part in (opening.strip("; "), shared) if part)


def words(axis: Axis) -> str:
    """Return what stands beside an axis."""
    return AXIS_WORDS.get(axis.name, axis.name.replace("_", " "))


def is_wide(axis: Axis) -> bool:
    """Whether an axis is drawn on a logarithmic scale."""
    places = axis.places
    return axis.numeric and bool(places[0] > 0.0 and places[-1] / places[0] >= WIDE)


def set_ticks(drawn: "MatplotlibAxis", axis: Axis) -> None:
    """Set the scale of an axis and put ticks at its values, where they fit, words on two lines."""
    if is_wide(axis):
        drawn.axes.set(**{"xscale" if lies(drawn) else "yscale": "log"})
    every = math.ceil(len(axis.values) / MAX_TICKS)
    places, labels = axis.places[::every], tick_labels(axis)[::every]
    inches, gap = inches_along(drawn, places), gap_for(drawn, labels)
    kept = fits(inches, gap)
    two_lines = len(kept) < len(labels) and lies(drawn) and not axis.numeric
    if two_lines:
        kept = fits(inches, gap / 2.0)
    drawn.set_ticks(places[kept].tolist(), [labels[each] for each in kept])
    drawn.set_ticks([], minor=True)
    if two_lines:
        for tick in drawn.get_major_ticks()[1::2]:
            tick.set_pad(SECOND_LINE)


def tick_labels(axis: Axis) -> list[str]:
    """Return the values of an axis as its ticks have them."""
    return [f"{each:.4g}" if axis.numeric else plain_text(str(each)) for each in axis.values]
