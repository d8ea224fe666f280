"""What the pictures of several networks have in common: settings as axes, measures in words, the
style of each network's curve, and the line that says what all cells share.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.model.activations import ACTIVATIONS, LineStyle
from gradscope.names import CellName
from gradscope.report.figures import style
from gradscope.report.figures.style import (
    BLUE,
    GREEN,
    ORANGE,
    POINTS_PER_INCH,
    TEXT_SIZE,
    Look,
    plain_text,
)
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

LARGEST = 1e6
"""Stands for infinity where matplotlib wants a number."""

CHARACTER, LINE = 0.64 * TEXT_SIZE / POINTS_PER_INCH, 1.4 * TEXT_SIZE / POINTS_PER_INCH
"""Inches: as wide as a digit of Matplotlib's font is at the size of ticks, as high as a line."""


WIDE = 20.0
"""Values of an axis whose ends lie this factor apart are drawn on a logarithmic axis."""

MAX_TICKS, ROUND = 13, 4
"""Of an axis of numbers, and the characters of one of them."""

INSIDE = 0.9
"""Part of the place of an axes that constrained layout leaves it, about."""

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

MAX_NAMED, LONGEST_TITLE = 3, 135
"""Networks up to which a title names them, and its characters, on two lines."""


def line_style(network: str) -> LineStyle:
    """Return the look of a network by its ``names.network_name``; a plain one of anything else."""
    styles = {str(name): each.line_style for name, each in ACTIVATIONS.items()}
    activation, _, cell = network.lower().rpartition(" ")
    style, dark = CELL_STYLES.get(cell, (PLAIN, BLUE))
    if cell in CELL_STYLES and activation in styles:
        return styles[activation]._replace(color=dark)
    return styles.get(network, style)


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


def scaled(axis: Axis, values: FloatArray) -> FloatArray:
    """Return values of an axis on its scale."""
    return np.log(values) if is_wide(axis) else values


def unscaled(axis: Axis, values: FloatArray) -> FloatArray:
    """Return values of an axis from places on its scale."""
    return np.exp(values) if is_wide(axis) else values


def bounded(rates: FloatArray) -> FloatArray:
    """Return rates with the smallest finite one for −∞; none shrinks: less the largest."""
    finite = rates[np.isfinite(rates)].clip(-LARGEST, LARGEST)
    smallest = finite.min(initial=LARGEST)
    low = smallest if smallest < 0.0 else -finite.max(initial=0.001)
    return np.clip(rates, low, LARGEST)


def turning(axis: Axis, rates: FloatArray) -> tuple[float, str]:
    """Return in words where along an axis (n,) growth rates (m,n) change sign, in every row of
    them, and how far apart that is, in parts of the axis; 2 where only a count of places is true.
    """
    known, name = rates[~np.isnan(rates)], axis.name.replace("_", " ")
    if not (known > 0.0).any():
        until = f" up to {name} {axis.values[-1]:.4g}" if axis.numeric else ""
        return 0.0, "never grows" + until if known.size == rates.size else "grows nowhere"
    if (known > 0.0).all() and known.size == rates.size:
        return 0.0, "grows everywhere"
    places, values, grows = scaled(axis, axis.places), bounded(rates), rates > 0.0
    row, at = np.nonzero(grows[:, 1:] != grows[:, :-1])
    low, high = values[row, at], values[row, at + 1]
    crossed = places[at] + (places[at + 1] - places[at]) * low / (low - high)
    begins, ends, rises = grows[:, 0].any(), grows[:, -1].any(), high > low
    verb = "grows only at" if not begins and not ends else ""
    if rises.all() and not begins:
        verb = "turns at"
    elif not rises.any() and not ends and grows.any(axis=1).all():
        verb = "stops growing at"
    simple = axis.numeric and known.size == rates.size and np.bincount(row, minlength=1).max() <= 2
    if not verb or not simple:
        return 2.0, f"grows at {(known > 0.0).sum()} of {rates.size} places"
    span = unscaled(axis, np.array([crossed.min(), crossed.max()]))
    words = " to ".join(dict.fromkeys(f"{each:.3g}" for each in span))
    some = " or never" if verb == "turns at" and not grows.any(axis=1).all() else ""
    return float(np.ptp(crossed) / np.ptp(places)), f"{verb} {name} {words}{some}"


def finding(
    measure: str, panels: Mapping[str, FloatArray], *axes: Axis, medians: object, lags: float = 0.0
) -> str:
    """Return what fields (y,x) of a measure show, over the axis x, or y where that says more;
    whether they are ``medians``, and the most ``lags`` that were measured (0: not known).
    """
    every = np.concatenate([each.ravel() for each in panels.values()])
    if np.isnan(every).all():
        return "No cell has a result"
    if measure == "horizon":
        said = [f"of {name} reaches {_span(each, lags)}" for name, each in panels.items()]
        many = f"of {len(panels)} networks reaches {_span(every, lags)}"
    else:
        along = [
            [turning(axis, rates if first else rates.T) for rates in panels.values()]
            for first, axis in zip((True, False), axes, strict=False)
        ]
        best = min(along, key=lambda found: sum(cost for cost, _ in found))
        said = [f"of {name} {text}" for name, (_, text) in zip(panels, best, strict=True)]
        grow = [name for name, each in panels.items() if (each > 0.0).any()]
        many = f"grows somewhere in {len(grow)} of {len(panels)} networks"
        many += f": {', '.join(grow)}" if 0 < len(grow) <= MAX_NAMED else ""
    by = "By the largest Lyapunov exponent " * (measure == "lyapunov_exponent")
    start = f"{by}the {'median ' if medians else ''}gradient "
    shown = "; that ".join(said)
    text = start + (shown if len(start + shown) <= LONGEST_TITLE else many)
    return text[0].upper() + text[1:]


def _span(horizons: FloatArray, lags: float) -> str:
    """Return the least and the greatest of horizons, infinite beyond so many lags (0: unknown)."""
    ends = [np.nanmin(horizons), np.nanmax(horizons)]
    most = f"more than {lags:.0f}" if lags else "all"
    words = [f"{each:.4g}" if np.isfinite(each) else most for each in ends]
    return f"{' to '.join(dict.fromkeys(words))} steps{' measured' * ('all' in words)}"


def set_ticks(drawn: "MatplotlibAxis", axis: Axis) -> None:
    """Set the scale of an axis and put ticks at round numbers; of words at each, upright where they
    do not fit side by side.
    """
    from matplotlib.ticker import MaxNLocator

    box, labels = drawn.axes.get_window_extent(), tick_labels(axis)
    lies, ends = drawn is drawn.axes.xaxis, (float(axis.places[0]), float(axis.places[-1]))
    inches = INSIDE * (box.width if lies else box.height) / drawn.axes.figure.dpi
    longest = ROUND if axis.numeric else max(map(len, labels))
    fit = max(1, int(inches / (CHARACTER * (longest + 1) if lies else LINE)))
    if is_wide(axis):
        drawn.axes.set(**{"xscale" if lies else "yscale": "log"})
        style.set_round_ticks(drawn, ends, float(np.log10(ends[1] / ends[0])) / fit)
    elif axis.numeric:
        locator = MaxNLocator(min(fit, MAX_TICKS), steps=[1, 2, 5, 10])
        ticks = np.asarray(locator.tick_values(*ends), dtype=np.float64)
        ticks = ticks[(ticks >= ends[0]) & (ticks <= ends[1])]
        drawn.set_ticks(ticks, [f"{each:.4g}" for each in ticks])
    else:
        upright: Look = {"rotation": 90} if lies and len(labels) > fit else {}
        drawn.set_ticks(axis.places, labels, **upright)
    drawn.set_ticks([], minor=True)


def tick_labels(axis: Axis) -> list[str]:
    """Return the values of an axis as its ticks have them."""
    gated = (CellName.GRU, CellName.LSTM)
    words = [each.upper() if each in gated else str(each) for each in axis.values]
    return [f"{e:.4g}" for e in axis.places] if axis.numeric else list(map(plain_text, words))
