"""The picture of ``report --kind phase``: a phase diagram over two settings, a panel a network.

What vanishes is blue, what explodes orange, with the same ends in every picture; over it lie the
contour of zero growth and the lines at which theory has it.
"""

import math
from collections.abc import Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from gradscope.arrays import BoolArray, FloatArray, IntArray
from gradscope.report.figures import pages, style, sweep_axes
from gradscope.report.figures.style import CORRIDOR, INK, RATE_END, TEXT_SIZE, Look
from gradscope.report.figures.sweep_axes import CHARACTER, LARGEST, bounded, scaled, unscaled
from gradscope.report.words.numbers import number
from gradscope.sweep.summary import Axis, GridOfValues

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import Figure

PANELS_IN_A_ROW = 3
ROW, HEAD = 1.9, 1.0
"""Inches: from row to row of panels, and above and below all of them."""

MAX_NUMBERS = 120
"""Places of a panel up to which each is given its number."""

CONTOUR_WIDTH = 2.2
NEXT_TO = 1e-6
"""Of the distance between words on an axis."""

ON_LIGHT, ON_DARK = "#111111", "#fefefe"
"""Colours over a map, which is the same on a dark slide, so that they stay as they are."""

DASHES = {"": "-", "bound": (0, (5, 2)), "mean field": (0, (1, 1.2))}
LINES = {
    "": "black: zero growth",
    "bound": "dashed: the bound, below which it must vanish",
    "mean field": "dotted: mean field",
}
"""The line of what was measured and of each theory, and how it is read."""


def phase_figure(
    field: GridOfValues,
    rate: GridOfValues,
    settings: Mapping[str, Any],
    theories: Mapping[str, GridOfValues] | None = None,
    lags: GridOfValues | None = None,
) -> "Figure":
    """Return a phase diagram, taller than a slide where it has more than two rows: ``field`` is
    coloured, ``rate`` gives the contour of zero growth, as do ``theories``; ``lags`` are those
    measured, ``settings`` what all cells share.
    """
    columns = 1 if pages.is_narrow() else min(len(field.panels), PANELS_IN_A_ROW)
    rows = math.ceil(len(field.panels) / columns)
    height = max(pages.PAGE[1], HEAD + ROW * rows)
    far = field.measure == "horizon"
    numbered = far and field.x.places.size * field.y.places.size <= MAX_NUMBERS
    lines = {} if numbered else {"": rate, **(theories or {})}
    longest = (
        0.0 if lags is None else max(float(np.nan_to_num(e).max()) for e in lags.panels.values())
    )
    title = sweep_axes.finding(
        field.measure, field.panels, field.x, field.y, medians=field.mixed, lags=longest
    )
    about = sweep_axes.subtitle(_how_to_read(field, lines), settings)
    figure = pages.new_page(title, about, (pages.PAGE[0], height))
    grid = figure.add_gridspec(rows, columns)
    panels = []
    for place, name in enumerate(field.panels):
        row, column = divmod(place, columns)
        axes = figure.add_subplot(grid[row, column])
        panels.append(axes)
        mesh = _field_panel(axes, field, name, None if lags is None else lags.panels[name])
        style.set_title(axes, style.plain_text(name), rows=bool(theories) and not numbered)
        for word, each in lines.items():
            _zero_line(axes, each, name, word)
        if rows > 1:
            axes.set_ylabel(sweep_axes.words(field.y).partition(",")[0])
        if column:
            axes.set_ylabel("")
            axes.tick_params(labelleft=False)
        if place + columns < len(field.panels):
            axes.set_xlabel("")
    ends = {-RATE_END: f"−{RATE_END}", 0.0: "0", RATE_END: f"+{RATE_END}"}
    words = f"← vanishing   {sweep_axes.MEASURE_WORDS[field.measure]}   exploding →"
    if far:
        ends = {float(k): f"{10**k}" for k in range(int(CORRIDOR) + 1)}
        words = sweep_axes.MEASURE_WORDS[field.measure]
    style.color_bar(mesh, panels, words, ends)
    figure.draw_without_rendering()  # It gives the panels their widths.
    for axes, name in zip(panels, field.panels, strict=True):
        if numbered:
            measured = None if lags is None else lags.panels[name]
            _write_horizons(axes, field, name, mesh, measured)
        elif not far:
            _name_regions(axes, lines, name, mesh)
    return figure


def _how_to_read(field: GridOfValues, lines: Mapping[str, GridOfValues]) -> str:
    read = [text for word, text in LINES.items() if word in lines]
    if any(np.isposinf(values).any() for values in field.panels.values()):
        read += [f"{'hatched' if lines else '>'}: beyond the lags measured"]
    if any(np.isnan(values).any() for values in field.panels.values()):
        read += ["grey: no result"]
    if field.mixed:
        read += [f"median over {' and '.join(each.replace('_', ' ') for each in field.mixed)}"]
    return "; ".join(read)


def _field_panel(
    axes: "Axes", field: GridOfValues, name: str, lags: FloatArray | None
) -> "QuadMesh":
    """Draw one network: a coloured place for each combination, of horizons with its number."""
    from matplotlib.colors import ListedColormap, Normalize

    colors, norm = style.growth_colors(RATE_END)
    shown = field.panels[name]
    edges = [unscaled(*each) for each in _scaled_edges(field)]
    values = np.clip(shown, -LARGEST, LARGEST)
    if field.measure == "horizon":
        # The blue half, from lost to white: 1 to 1000 steps. Beyond the lags it is these or more.
        colors = ListedColormap(colors(np.linspace(0.0, 0.5, 256))).with_extremes(bad=style.FAINT)
        norm = Normalize(0.0, CORRIDOR)
        reached = np.where(np.isinf(shown), LARGEST if lags is None else lags, shown)
        values = np.log10(np.maximum(reached, 1.0))
    values = np.ma.masked_invalid(values)
    mesh = axes.pcolormesh(*edges, values, cmap=colors, norm=norm, rasterized=True)
    if shown.size > MAX_NUMBERS and np.isposinf(shown).any():
        beyond = np.ma.masked_where(~np.isposinf(shown), np.ones(shown.shape))
        axes.pcolor(*edges, beyond, hatch="/", cmap=ListedColormap(["none"]), linewidth=0.0)
    axes.set(xlim=edges[0][[0, -1]], ylim=edges[1][[0, -1]])
    sweep_axes.set_ticks(axes.xaxis, field.x)
    sweep_axes.set_ticks(axes.yaxis, field.y)
    axes.set_xlabel(sweep_axes.words(field.x), size=TEXT_SIZE, color=INK)
    axes.set_ylabel(sweep_axes.words(field.y), size=TEXT_SIZE, color=INK)
    style.dress_ticks(axes)
    return mesh


def _zero_line(axes: "Axes", rate: GridOfValues, name: str, word: str) -> None:
    """Draw where a rate, linear between its places on the scales of the axes (but for words), is
    zero, up to the borders of the panel; that of a theory dashed under its ``word``.
    """
    rates, ends = rate.panels[name], np.zeros((0, 2))
    if not ((rates < 0.0).any() and (rates > 0.0).any()):
        return
    (x, across), (y, up) = (_nodes(*each) for each in _scaled_edges(rate))
    found = axes.contour(x, y, bounded(rates)[np.ix_(up, across)], levels=[0.0])
    for each in found.get_paths()[0].to_polygons(closed_only=False):
        here, there = np.asarray(each, dtype=np.float64).T
        at = unscaled(rate.x, here), unscaled(rate.y, there)
        if word:
            # White between the dashes: it is seen on the darkest blue as well.
            axes.plot(*at, color=ON_DARK, linewidth=1.6)
        look: Look = {"linestyle": DASHES[word], "linewidth": 1.2 if word else CONTOUR_WIDTH}
        axes.plot(*at, color=ON_LIGHT, **look)
        ends = np.r_[ends, axes.transAxes.inverted().transform(axes.transData.transform(np.c_[at]))]
    found.remove()
    inside = ends[((ends > -1e-6) & (ends < 1.0 + 1e-6)).all(axis=1) & (ends > 0.99).any(axis=1)]
    if inside.size and word:
        right, top = inside[np.argmax(2.0 * inside[:, 1] + inside[:, 0])]
        side: Look = {"offset": (0, 3), "ha": "left" if word == "mean field" else "center"}
        if top < 0.99:  # It ends at the right border.
            side = {"offset": (3, 0), "ha": "left", "va": "center"}
        style.write(axes, word, (right, top), xycoords="axes fraction", **side)


def _nodes(axis: Axis, edges: FloatArray) -> tuple[FloatArray, IntArray]:
    """Return where a field is known on the scale of an axis, its borders included, and the number
    of the value there; between words it is that of the nearer.
    """
    n = axis.places.size
    if axis.numeric:
        places = np.r_[edges[0], scaled(axis, axis.places), edges[-1]]
        return places, np.clip(np.arange(-1, n + 1), 0, n - 1)
    return np.sort(np.r_[edges[:-1], edges[1:] - NEXT_TO]), np.repeat(np.arange(n), 2)


def _scaled_edges(field: GridOfValues) -> list[tuple[Axis, FloatArray]]:
    """Return both axes, each with the borders between its values, half-way on its scale."""
    found = []
    for axis in (field.x, field.y):
        places = scaled(axis, axis.places)
        middles = (places[1:] + places[:-1]) / 2.0
        ends = 2.0 * places[[0, -1]] - middles[[0, -1]]
        found.append((axis, np.r_[ends[0], middles, ends[1]]))
    return found


def _name_regions(
    axes: "Axes", lines: Mapping[str, GridOfValues], name: str, mesh: "QuadMesh"
) -> None:
    """Write in what grows and in what shrinks that it does, where no line is, if there is room."""
    rate = lines[""]
    rates, width = rate.panels[name], _inches_of(axes, rate)
    light, signs = _is_light(mesh, bounded(rates)), np.empty((len(lines), *rates.shape), bool)
    for line, each in enumerate(lines.values()):  # A theory has places of its own.
        pairs = ((each.y, rate.y), (each.x, rate.x))
        near = [np.abs(a.places[:, None] - b.places).argmin(axis=0) for a, b in pairs]
        signs[line] = each.panels[name][np.ix_(*near)] > 0.0
    known = np.flatnonzero(~np.isnan(rates).any(axis=1)).tolist()
    for words, grows, color in (("▼ shrinks", 0, style.BLUE), ("▲ grows", 1, style.VERMILLION)):
        room, at, shade = CHARACTER * (len(words) + 2), (0.0, 0.0), ""
        for row in sorted(known, key=lambda row: abs(2 * row - len(rates))):
            changes = np.flatnonzero(np.diff(signs[:, row]).any(axis=0)) + 1
            for run in np.split(np.arange(width.size), changes):
                if signs[0, row, run[0]] == grows and width[run].sum() > 1.001 * room:
                    room, at = width[run].sum(), (rate.x.places[run].mean(), rate.y.places[row])
                    shade = color if light[row, run[run.size // 2]] else ON_DARK
        if shade:
            look: Look = {"weight": "bold", "ha": "center", "va": "center"}
            style.write(axes, words, at, color=shade, **look)


def _inches_of(axes: "Axes", field: GridOfValues) -> FloatArray:
    """Return how wide each value of the x axis is drawn."""
    edges = _scaled_edges(field)[0][1]
    inches = axes.get_window_extent().width / axes.figure.dpi
    width: FloatArray = inches * np.diff(edges) / np.ptp(edges)
    return width


def _is_light(mesh: "QuadMesh", values: FloatArray) -> BoolArray:
    """Whether a dark text is read on what has these values."""
    light: BoolArray = mesh.to_rgba(values)[..., :3] @ np.array([0.3, 0.59, 0.11]) > 0.55
    return light


def _write_horizons(
    axes: "Axes", field: GridOfValues, name: str, mesh: "QuadMesh", lags: FloatArray | None
) -> None:
    """Write the horizons, neighbours that are the same once, where there is room; beyond the lags
    measured, that it is more than these.
    """
    shown, width = field.panels[name], _inches_of(axes, field)
    edges = _scaled_edges(field)[0][1]
    light = _is_light(mesh, np.asarray(mesh.get_array(), dtype=np.float64))
    for row, values in enumerate(shown):
        measured = np.full(values.size, np.inf) if lags is None else lags[row]
        many = zip(values, measured, strict=True)
        words = [
            f">{number(most, 9)}" if np.isinf(each) else number(each, 9) for each, most in many
        ]
        for word, run in groupby(range(len(words)), key=words.__getitem__):
            places = [*run]
            if width[places].sum() > len(word) * CHARACTER and not np.isnan(values[places[0]]):
                look: Look = {"ha": "center", "va": "center", "size": TEXT_SIZE}
                look["color"] = ON_LIGHT if light[row, places[0]] else ON_DARK
                at = unscaled(field.x, edges[[places[0], places[-1] + 1]].mean(keepdims=True))
                axes.text(float(at[0]), float(field.y.places[row]), word, **look)
