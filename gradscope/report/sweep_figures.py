"""The pictures of ``report``: a phase diagram over two settings, and quantiles over one.

A phase diagram has a panel for each network. Vanishing is blue and exploding orange, and since
grey prints cannot tell the two, what explodes is hatched too and the contour of zero growth drawn.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.report.figures_style import (
    BLUE,
    FAINT,
    GREY,
    INK,
    LABEL_SIZE,
    TICK_SIZE,
    dress,
    legend,
    new_page,
    picture_bytes,
    set_round_ticks,
)
from gradscope.report.network_looks import network_look
from gradscope.study.aggregate import Axis, Fan, Field
from gradscope.study.grid import describe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis as MatplotlibAxis
    from matplotlib.collections import QuadMesh
    from matplotlib.colorbar import Colorbar
    from matplotlib.colors import Colormap, Normalize

WIDE = 20.0
"""Values of an axis whose ends lie this factor apart are drawn on a logarithmic axis."""

PANELS_IN_A_ROW = 3
MOST_TICKS = 13
MOST_NUMBERS = 120
"""Places of a panel up to which each is given its number."""

MOST_STRETCH = 4.0
"""How much wider one side of the colours of growth may be than the other: beyond, a rate of nearly
nothing would be painted like the fastest of the other side.
"""

CONTOUR_WIDTH = 2.6
LARGEST = 1e6
"""Stands for infinity where matplotlib wants a number."""

AXIS_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "gain": "gain, the factor on W",
        "input_scale": "input scale, the factor on U",
        "steps": "sequence length T, steps",
        "hidden": "hidden units H",
        "updates": "training updates",
        "learning_rate": "learning rate",
        "delay": "delay of the task, steps",
    }
)

MEASURE_WORDS: Mapping[str, str] = MappingProxyType(
    {"rate_nats_per_step": "growth rate, nats a step", "horizon": "memory horizon, steps"}
)

MEASURE_BEYOND: Mapping[str, str] = MappingProxyType(
    {"rate_nats_per_step": "exactly zero", "horizon": "beyond the lags"}
)
"""What a median means that is infinite."""

NO_STORE: Mapping[str, Any] = MappingProxyType({"command": "report"})
"""What a picture says of what made it where no store is named: ``rerun`` refuses it."""

TOLD_SETTINGS = ("activation", "hidden", "init", "gain", "steps", "task", "data", "updates")
"""Shared settings that the line below the title names."""


def phase_picture(
    field: Field,
    rate: Field,
    settings: Mapping[str, Any],
    suffix: str,
    made_by: Mapping[str, Any] = NO_STORE,
) -> bytes:
    """Return a phase diagram as the bytes of a ``.png``, ``.svg`` or ``.pdf``.

    Parameters
    ----------
    field : Field
        What is coloured: the growth rate or the horizon.
    rate : Field
        The growth rate over the same axes, for the contour of zero.
    settings : mapping
        What all cells share; written into the file's metadata.
    suffix : str
        The format.
    made_by : mapping
        The command to draw it again; see ``sources.StoreSource``.
    """
    figure = new_page(_phase_title(field), _subtitle(_median_over(field), settings))
    columns = min(len(field.panels), PANELS_IN_A_ROW)
    rows = math.ceil(len(field.panels) / columns)
    grid = figure.add_gridspec(
        rows, columns, left=0.075, right=0.875, top=0.82, bottom=0.1, hspace=0.55, wspace=0.1
    )
    look = _horizon_look(field) if field.measure == "horizon" else _rate_look(field)
    for place, name in enumerate(field.panels):
        row, column = divmod(place, columns)
        axes = figure.add_subplot(grid[row, column])
        mesh = _field_panel(axes, field, rate, name, look)
        if column:
            axes.set_ylabel("")
            axes.tick_params(labelleft=False)
        if place + columns < len(field.panels):
            axes.set_xlabel("")
    bar = figure.add_axes((0.9, 0.1, 0.016, 0.72))
    _color_bar(figure.colorbar(mesh, cax=bar), field)
    return picture_bytes(figure, suffix, settings, made_by)


def _phase_title(field: Field) -> str:
    x, y = (axis.name.replace("_", " ") for axis in (field.x, field.y))
    many = len(field.panels)
    who = " and ".join(field.panels) if many < 4 else f"{many} networks"
    far = field.measure == "horizon"
    what = "How far back the gradient reaches" if far else "Where the gradient vanishes or explodes"
    return f"{what}: {who} over {x} and {y}"


def _median_over(field: Field) -> str:
    far = field.measure == "horizon"
    hatched = "∞: beyond the lags measured; " if far else "hatched: it grows; "
    over = " and ".join(word.replace("_", " ") for word in field.mixed)
    empty = any(np.isnan(values).any() for values in field.panels.values())
    grey = "grey: no result; " if empty else ""
    return f"black line: zero growth; {hatched}{grey}" + (f"median over {over}" if over else "")


def _subtitle(opening: str, settings: Mapping[str, Any]) -> str:
    told = {
        name: settings[name]
        for name in TOLD_SETTINGS
        if settings.get(name) is not None and not (name == "task" and settings.get("data"))
    }
    shared = ", ".join(f"{name} {describe({name: told[name]}).partition('=')[2]}" for name in told)
    return "; ".join(part for part in (opening.strip("; "), shared) if part)


def _rate_look(field: Field) -> "tuple[Colormap, Normalize]":
    """Return colours that meet in white at zero: deep blue is fast vanishing, orange exploding.

    The blues go far darker than the oranges, so that grey prints keep the order of both.
    """
    from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm

    stops = (0.0, 0.2, 0.4, 0.5, 0.75, 1.0)
    shades = ("#08263f", BLUE, "#bcd9ea", "#ffffff", "#f6c98a", "#e08a1e")
    colors = LinearSegmentedColormap.from_list("growth", list(zip(stops, shades, strict=True)))
    values = _finite(field)
    low, high = values.min(initial=-1e-3), values.max(initial=1e-3)
    low, high = min(low, -high / MOST_STRETCH), max(high, -low / MOST_STRETCH)
    return colors.with_extremes(bad=FAINT), TwoSlopeNorm(0.0, vmin=low, vmax=high)


def _horizon_look(field: Field) -> "tuple[Colormap, Normalize]":
    """Return colours whose lightness rises with the horizon; beyond the lags measured is white."""
    import matplotlib as mpl
    from matplotlib.colors import LogNorm

    colors = mpl.colormaps["viridis"].with_extremes(bad=FAINT, over="white")
    values = _finite(field)
    low = float(values.min()) if values.size else 1.0
    high = float(values.max()) if values.size else 10.0
    return colors, LogNorm(low, max(high, 2.0 * low))


def _finite(field: Field) -> FloatArray:
    values = np.concatenate([panel.ravel() for panel in field.panels.values()])
    finite: FloatArray = values[np.isfinite(values)]
    return finite


def _color_bar(scale: "Colorbar", field: Field) -> None:
    scale.set_label(MEASURE_WORDS[field.measure], size=LABEL_SIZE, color=INK)
    if field.measure == "horizon":
        set_round_ticks(scale.ax.yaxis, scale.ax.get_ylim())
    else:
        scale.ax.axhline(0.0, color=INK, linewidth=CONTOUR_WIDTH)
    scale.ax.tick_params(labelsize=TICK_SIZE, colors=INK)


def _field_panel(
    axes: "Axes", field: Field, rate: Field, name: str, look: "tuple[Colormap, Normalize]"
) -> "QuadMesh":
    """Draw one network: a coloured place for each combination, zero growth as a contour."""
    colors, norm = look
    values = np.ma.masked_invalid(np.clip(field.panels[name], -LARGEST, LARGEST))
    mesh = axes.pcolormesh(
        _edges(field.x), _edges(field.y), values, cmap=colors, norm=norm, rasterized=True
    )
    _scale(axes, field)
    _mark_zero(axes, rate, name, hatched=field.measure != "horizon")
    if field.measure == "horizon":
        _write_horizons(axes, field, name, mesh)
    axes.set_title(
        f"{name}{_everywhere(rate.panels[name])}",
        loc="left",
        size=LABEL_SIZE + (1 if len(field.panels) < PANELS_IN_A_ROW else -1.5),
        weight="bold",
        color=INK,
        pad=8,
    )
    axes.set_xlabel(_words(field.x), size=LABEL_SIZE, color=INK)
    axes.set_ylabel(_words(field.y), size=LABEL_SIZE, color=INK)
    axes.tick_params(labelsize=TICK_SIZE, colors=INK, length=3)
    return mesh


def _everywhere(rates: FloatArray) -> str:
    known = rates[~np.isnan(rates)]
    if known.size and (known < 0.0).all():
        return ": shrinks everywhere"
    return ": grows everywhere" if known.size and (known > 0.0).all() else ""


def _words(axis: Axis) -> str:
    return AXIS_WORDS.get(axis.name, axis.name.replace("_", " "))


def _is_wide(axis: Axis) -> bool:
    places = axis.places
    return axis.numeric and bool(places[0] > 0.0 and places[-1] / places[0] >= WIDE)


def _edges(axis: Axis) -> FloatArray:
    """Return the borders between the values of an axis, half-way on its scale."""
    places = np.log(axis.places) if _is_wide(axis) else axis.places
    middles = (places[1:] + places[:-1]) / 2.0
    first, last = places[0] - middles[0], places[-1] - middles[-1]
    edges = np.concatenate([[places[0] + first], middles, [places[-1] + last]])
    scaled: FloatArray = np.exp(edges) if _is_wide(axis) else edges
    return scaled


def _scale(axes: "Axes", field: Field) -> None:
    """Set the scale and the ticks of both axes: every value where there are few."""
    if _is_wide(field.x):
        axes.set_xscale("log")
    if _is_wide(field.y):
        axes.set_yscale("log")
    for axis, drawn in ((field.x, axes.xaxis), (field.y, axes.yaxis)):
        _set_ticks(drawn, axis)


def _set_ticks(drawn: "MatplotlibAxis", axis: Axis) -> None:
    """Put a tick at every value, or at every second, third … of many."""
    every = math.ceil(len(axis.values) / MOST_TICKS)
    labels = [f"{each:.4g}" if axis.numeric else str(each) for each in axis.values[::every]]
    drawn.set_ticks(axis.places[::every].tolist(), labels)
    drawn.set_ticks([], minor=True)


def _mark_zero(axes: "Axes", rate: Field, name: str, *, hatched: bool) -> None:
    """Draw the contour of zero growth to the borders of the panel, and hatch what grows."""
    values = np.pad(np.clip(rate.panels[name], -LARGEST, LARGEST), 1, mode="edge")
    if not ((values < 0.0).any() and (values > 0.0).any()):
        return
    x, y = (np.r_[_edges(each)[0], each.places, _edges(each)[-1]] for each in (rate.x, rate.y))
    masked = np.ma.masked_invalid(values)
    axes.contour(x, y, masked, levels=[0.0], colors=INK, linewidths=CONTOUR_WIDTH)
    if hatched:
        area = axes.contourf(x, y, masked, levels=[0.0, 2.0 * LARGEST], colors="none", hatches="/")
        area.set_edgecolor(GREY)
        area.set_linewidth(0.0)


def _write_horizons(axes: "Axes", field: Field, name: str, mesh: "QuadMesh") -> None:
    """Write the horizon of every place, where there is room; ∞ is beyond the lags measured."""
    if field.panels[name].size > MOST_NUMBERS:
        return
    for (row, column), value in np.ndenumerate(field.panels[name]):
        if np.isnan(value):
            continue
        red, green, blue, _ = mesh.to_rgba(np.array([min(float(value), LARGEST)]))[0]
        light = np.isinf(value) or 0.3 * red + 0.59 * green + 0.11 * blue > 0.6
        axes.text(
            float(field.x.places[column]),
            float(field.y.places[row]),
            "∞" if np.isinf(value) else f"{value:.0f}",
            ha="center",
            va="center",
            color=INK if light else "white",
            size=TICK_SIZE,
        )


def fan_picture(
    fan: Fan, settings: Mapping[str, Any], suffix: str, made_by: Mapping[str, Any] = NO_STORE
) -> bytes:
    """Return the quantiles of a measure over one setting as the bytes of a picture; what each
    argument is as in ``phase_picture``.
    """
    what = MEASURE_WORDS[fan.measure].partition(",")[0]
    title = (
        f"{what.capitalize()} against {_words(fan.x).partition(',')[0]}: {', '.join(fan.curves)}"
    )
    over = " and ".join(word.replace("_", " ") for word in fan.mixed)
    bands = f"line: median over {over}; bands: 50 % and 90 % of cells" if over else ""
    if any(np.isinf(curve[2]).any() for curve in fan.curves.values()):
        bands += f"; at the edge: {MEASURE_BEYOND[fan.measure]}"
    figure = new_page(title, _subtitle(bands, settings))
    axes = figure.add_axes((0.085, 0.1, 0.88, 0.74))
    for name, curve in fan.curves.items():
        _fan(axes, fan.x, name, curve)
    dress(axes, "", _words(fan.x), MEASURE_WORDS[fan.measure])
    if _is_wide(fan.x):
        axes.set_xscale("log")
    _set_ticks(axes.xaxis, fan.x)
    if fan.measure == "horizon":
        axes.set_yscale("log")
        axes.margins(y=0.08)
        set_round_ticks(axes.yaxis, axes.get_ylim())
    else:
        axes.margins(y=0.08)
        axes.axhline(0.0, color=INK, linewidth=1.2)
    legend(axes)
    return picture_bytes(figure, suffix, settings, made_by)


def _fan(axes: "Axes", x: Axis, name: str, curve: FloatArray) -> None:
    color, style, marker = network_look(name)
    drawn = np.where(np.isfinite(curve), curve, np.nan)
    for low, high, alpha in ((0, 4, 0.15), (1, 3, 0.25)):
        axes.fill_between(x.places, drawn[low], drawn[high], color=color, alpha=alpha, linewidth=0)
    axes.plot(
        x.places, drawn[2], color=color, marker=marker, linestyle=style, linewidth=2.2, label=name
    )
    for beyond, edge in ((np.isposinf(curve[2]), 0.985), (np.isneginf(curve[2]), 0.015)):
        axes.plot(
            x.places[beyond],
            np.full(int(beyond.sum()), edge),
            color=color,
            marker=marker,
            linestyle="",
            fillstyle="none",
            transform=axes.get_xaxis_transform(),
        )
