"""The picture of ``report --kind phase``: a phase diagram over two settings, a panel a network.

Vanishing is blue and exploding orange; for grey prints it is hatched too.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.report.figures import pages, style, sweep_axes
from gradscope.report.figures.style import BLUE, FAINT, GREY, INK, TEXT_SIZE, Look
from gradscope.sweep.summary import Axis, GridOfValues

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure

PANELS_IN_A_ROW = 3
ROW, HEAD = 1.9, 1.0
"""Inches: from row to row of panels, and above and below all of them."""

MAX_NUMBERS = 120
"""Places of a panel up to which each is given its number."""

MAX_STRETCH = 4.0
"""How much wider one side of the colours may be: beyond, a slow rate would look like a fast one."""

CONTOUR_WIDTH = 2.6
FINE_POINTS = 400
"""Points along an axis between which the contour is straight, on logarithmic axes as well."""

LARGEST = 1e6
"""Stands for infinity where matplotlib wants a number."""


def phase_figure(field: GridOfValues, rate: GridOfValues, settings: Mapping[str, Any]) -> "Figure":
    """Return a phase diagram, taller than a slide where it has more than two rows: ``field`` is
    coloured, ``rate`` gives the contour of zero growth, ``settings`` are what all cells share.
    """
    columns = min(len(field.panels), PANELS_IN_A_ROW)
    rows = math.ceil(len(field.panels) / columns)
    height = max(pages.PAGE[1], HEAD + ROW * rows)
    about = sweep_axes.subtitle(_median_over(field), settings)
    x, y = (axis.name.replace("_", " ") for axis in (field.x, field.y))
    far = field.measure == "horizon"
    what = "How far back the gradient reaches" if far else "Where the gradient vanishes or explodes"
    if field.measure == "lyapunov_exponent":
        what = "Largest Lyapunov exponent"
    title = f"{what}: {sweep_axes.named(field.panels, ' and ')} over {x} and {y}"
    figure = pages.new_page(title, about, (pages.PAGE[0], height))
    grid = figure.add_gridspec(rows, columns)
    look = _horizon_look(field) if far else _rate_look(field)
    for place, name in enumerate(field.panels):
        row, column = divmod(place, columns)
        axes = figure.add_subplot(grid[row, column])
        mesh = _field_panel(axes, field, rate, name, look)
        if rows > 1:
            axes.set_ylabel(sweep_axes.words(field.y).partition(",")[0])
        if column:
            axes.set_ylabel("")
            axes.tick_params(labelleft=False)
        if place + columns < len(field.panels):
            axes.set_xlabel("")
    scale = figure.colorbar(mesh, ax=figure.axes, aspect=30)
    bar = scale.ax
    scale.set_label(sweep_axes.MEASURE_WORDS[field.measure], size=TEXT_SIZE, color=INK)
    if far:
        style.set_round_ticks(bar.yaxis, bar.get_ylim())
    else:
        bar.axhline(0.0, color=INK, linewidth=CONTOUR_WIDTH)
    bar.tick_params(labelsize=TEXT_SIZE, colors=INK)
    return figure


def _median_over(field: GridOfValues) -> str:
    far = field.measure == "horizon"
    hatched = "∞: beyond the lags measured; " if far else "hatched: it grows; "
    over = " and ".join(word.replace("_", " ") for word in field.mixed)
    empty = any(np.isnan(values).any() for values in field.panels.values())
    grey = "grey: no result; " if empty else ""
    return f"black line: zero growth; {hatched}{grey}" + (f"median over {over}" if over else "")


def _rate_look(field: GridOfValues) -> "tuple[Colormap, Normalize]":
    """Return colours that meet in white at zero: deep blue is fast vanishing, orange exploding.

    The blues go far darker than the oranges, so that grey prints keep the order of both.
    """
    from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm

    stops = (0.0, 0.2, 0.4, 0.5, 0.75, 1.0)
    shades = ("#08263f", BLUE, "#bcd9ea", "#ffffff", "#f6c98a", "#e08a1e")
    colors = LinearSegmentedColormap.from_list("growth", list(zip(stops, shades, strict=True)))
    values = _finite(field)
    low, high = values.min(initial=-1e-3), values.max(initial=1e-3)
    low, high = min(low, -high / MAX_STRETCH), max(high, -low / MAX_STRETCH)
    return colors.with_extremes(bad=FAINT), TwoSlopeNorm(0.0, vmin=low, vmax=high)


def _horizon_look(field: GridOfValues) -> "tuple[Colormap, Normalize]":
    """Return colours whose lightness rises with the horizon; beyond the lags measured is white."""
    import matplotlib as mpl
    from matplotlib.colors import LogNorm

    colors = mpl.colormaps["viridis"].with_extremes(bad=FAINT, over="white")
    values = _finite(field)
    low, high = (float(values.min()), float(values.max())) if values.size else (1.0, 10.0)
    return colors, LogNorm(low, max(high, 2.0 * low))


def _finite(field: GridOfValues) -> FloatArray:
    values = np.concatenate([panel.ravel() for panel in field.panels.values()])
    finite: FloatArray = values[np.isfinite(values)]
    return finite


def _field_panel(
    axes: "Axes",
    field: GridOfValues,
    rate: GridOfValues,
    name: str,
    look: "tuple[Colormap, Normalize]",
) -> "QuadMesh":
    """Draw one network: a coloured place for each combination, zero growth as a contour."""
    colors, norm = look
    values = np.ma.masked_invalid(np.clip(field.panels[name], -LARGEST, LARGEST))
    mesh = axes.pcolormesh(
        _edges(field.x), _edges(field.y), values, cmap=colors, norm=norm, rasterized=True
    )
    sweep_axes.set_ticks(axes.xaxis, field.x)
    sweep_axes.set_ticks(axes.yaxis, field.y)
    _mark_zero(axes, rate, name, hatched=field.measure != "horizon")
    if field.measure == "horizon":
        _write_horizons(axes, field, name, mesh)
    rates = rate.panels[name]  # NaN in a place without a result: then nothing holds everywhere.
    shrinks = ": shrinks everywhere" if (rates < 0.0).all() else ""
    title = name + (": grows everywhere" if (rates > 0.0).all() else shrinks)
    axes.set_title(
        style.plain_text(title), loc="left", size=TEXT_SIZE, weight="bold", color=INK, pad=8
    )
    axes.set_xlabel(sweep_axes.words(field.x), size=TEXT_SIZE, color=INK)
    axes.set_ylabel(sweep_axes.words(field.y), size=TEXT_SIZE, color=INK)
    axes.tick_params(labelsize=TEXT_SIZE, colors=INK, length=3)
    return mesh


def _edges(axis: Axis) -> FloatArray:
    """Return the borders between the values of an axis, half-way on its scale."""
    places = _scaled(axis, axis.places)
    middles = (places[1:] + places[:-1]) / 2.0
    first, last = places[0] - middles[0], places[-1] - middles[-1]
    edges = np.concatenate([[places[0] + first], middles, [places[-1] + last]])
    return _unscaled(axis, edges)


def _scaled(axis: Axis, values: FloatArray) -> FloatArray:
    return np.log(values) if sweep_axes.is_wide(axis) else values


def _unscaled(axis: Axis, values: FloatArray) -> FloatArray:
    return np.exp(values) if sweep_axes.is_wide(axis) else values


def _mark_zero(axes: "Axes", rate: GridOfValues, name: str, *, hatched: bool) -> None:
    """Draw the contour of zero growth to the borders of the panel, and hatch what grows."""
    rates = rate.panels[name]
    if not ((rates < 0.0).any() and (rates > 0.0).any()):
        return
    x, y = _fine_places(rate.x), _fine_places(rate.y)
    values = _between(rate, _bounded(rates), x, y)
    x, y = _unscaled(rate.x, x), _unscaled(rate.y, y)
    axes.contour(x, y, values, levels=[0.0], colors=INK, linewidths=CONTOUR_WIDTH)
    if hatched:
        area = axes.contourf(x, y, values, levels=[0.0, 2.0 * LARGEST], colors="none", hatches="/")
        area.set_edgecolor(GREY)
        area.set_linewidth(0.0)


def _bounded(rates: FloatArray) -> FloatArray:
    """Return rates with the smallest finite one for −∞; none shrinks: less the largest."""
    finite = rates[np.isfinite(rates)].clip(-LARGEST, LARGEST)
    smallest = finite.min(initial=LARGEST)
    low = smallest if smallest < 0.0 else -finite.max(initial=0.001)
    return np.clip(rates, low, LARGEST)


def _fine_places(axis: Axis) -> FloatArray:
    """Return many points along an axis, on its scale, every value and every border among them."""
    nodes = np.sort(np.r_[_scaled(axis, _edges(axis)), _scaled(axis, axis.places)])
    pieces = math.ceil(FINE_POINTS / nodes.size)
    at = np.arange((nodes.size - 1) * pieces + 1) / pieces
    fine: FloatArray = np.interp(at, np.arange(nodes.size), nodes)
    return fine


def _between(field: GridOfValues, values: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
    """Return (y,x) values at points of both axes, linear between the nearest four known ones on the
    scales of the axes; masked in the places that have none.
    """
    missing = np.isnan(values)
    across, up = _weights(field.x, x), _weights(field.y, y)
    empty = missing[np.ix_(up.argmax(axis=1), across.argmax(axis=1))]
    shares = up @ ~missing @ across.T
    sums = up @ np.where(missing, 0.0, values) @ across.T
    found: FloatArray = np.ma.array(sums / np.where(empty, 1.0, shares), mask=empty)
    return found


def _weights(axis: Axis, points: FloatArray) -> FloatArray:
    """Return (points, values): the share of each value of an axis in each of the points."""
    places = _scaled(axis, axis.places)
    return np.stack([np.interp(points, places, row) for row in np.eye(places.size)], axis=1)


def _write_horizons(axes: "Axes", field: GridOfValues, name: str, mesh: "QuadMesh") -> None:
    """Write the horizon of every place, where the numbers fit; ∞ is beyond the lags measured."""
    if field.panels[name].size > MAX_NUMBERS:
        return
    for (row, column), value in np.ndenumerate(field.panels[name]):
        if np.isnan(value):
            continue
        red, green, blue, _ = mesh.to_rgba(np.array([min(float(value), LARGEST)]))[0]
        light = np.isinf(value) or 0.3 * red + 0.59 * green + 0.11 * blue > 0.6
        color = INK if light else "white"
        look: Look = {"ha": "center", "va": "center", "size": TEXT_SIZE, "color": color}
        shown = "∞" if np.isinf(value) else f"{value:.0f}"
        axes.text(float(field.x.places[column]), float(field.y.places[row]), shown, **look)
