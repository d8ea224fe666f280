"""The picture of ``report --kind phase``: a phase diagram over two settings, a panel a network.

What vanishes is blue, what explodes orange, with the same ends in every picture; over it lie the
contour of zero growth and the lines at which theory has it.
"""

import math
from collections.abc import Mapping
from itertools import groupby
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from gradscope.arrays import BoolArray, FloatArray
from gradscope.report.figures import pages, style, sweep_axes
from gradscope.report.figures.style import CORRIDOR, INK, RATE_END, TEXT_SIZE, Look
from gradscope.report.figures.sweep_axes import CHARACTER, LARGEST, LINE, bounded, scaled, unscaled
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
FINE_POINTS = 400
"""Points along an axis between which the contour is straight, on logarithmic axes as well."""

RASTER = 80
"""Points along each side of a panel at which room for a word is looked for."""

DASHES: Mapping[str, tuple[int, tuple[float, ...]]] = {
    "bound": (0, (5, 2)),
    "mean field": (0, (1, 1.2)),
}
"""The lines of theories."""

LINES = {
    "": "black: zero growth",
    "bound": "dashed: the bound, below which it must vanish",
    "mean field": "dotted: mean field",
}
"""How each line is read: the measured one, and those of theories by their name."""

NO_THEORY: Mapping[str, GridOfValues] = MappingProxyType({})


def phase_figure(
    field: GridOfValues,
    rate: GridOfValues,
    settings: Mapping[str, Any],
    theories: Mapping[str, GridOfValues] = NO_THEORY,
    lags: GridOfValues | None = None,
) -> "Figure":
    """Return a phase diagram, taller than a slide where it has more than two rows: ``field`` is
    coloured, ``rate`` gives the contour of zero growth, as do ``theories``; ``lags`` are those
    measured, ``settings`` what all cells share.
    """
    columns = min(len(field.panels), PANELS_IN_A_ROW)
    rows = math.ceil(len(field.panels) / columns)
    height = max(pages.PAGE[1], HEAD + ROW * rows)
    far = field.measure == "horizon"
    numbered = far and field.x.places.size * field.y.places.size <= MAX_NUMBERS
    lines = {} if numbered else {"": rate, **theories}
    longest = 0.0 if lags is None else max(float(np.nanmax(e)) for e in lags.panels.values())
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
        measured = None if lags is None else lags.panels[name]
        mesh = _field_panel(axes, field, name, measured)
        style.set_title(axes, style.plain_text(name), rows=bool(theories) and not numbered)
        drawn = [each for word, each in lines.items() if _zero_line(axes, each, name, word)]
        if numbered:
            _write_horizons(axes, field, name, mesh, measured)
        elif not far:
            _name_regions(axes, rate, name, mesh, drawn)
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
    shown, edges = field.panels[name], (_edges(field.x), _edges(field.y))
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
        beyond = np.ma.masked_where(~np.isposinf(shown), shown)
        axes.pcolor(*edges, beyond, hatch="//", alpha=0.0)
    for drawn, axis, limits in zip(
        (axes.xaxis, axes.yaxis), (field.x, field.y), edges, strict=True
    ):
        drawn.axes.set(**{"xlim" if drawn is axes.xaxis else "ylim": limits[[0, -1]]})
        sweep_axes.set_ticks(drawn, axis)
    axes.set_xlabel(sweep_axes.words(field.x), size=TEXT_SIZE, color=INK)
    axes.set_ylabel(sweep_axes.words(field.y), size=TEXT_SIZE, color=INK)
    style.dress_ticks(axes)
    return mesh


def _edges(axis: Axis) -> FloatArray:
    """Return the borders between the values of an axis, half-way on its scale."""
    places = scaled(axis, axis.places)
    middles = (places[1:] + places[:-1]) / 2.0
    first, last = places[0] - middles[0], places[-1] - middles[-1]
    edges = np.concatenate([[places[0] + first], middles, [places[-1] + last]])
    return unscaled(axis, edges)


def _zero_line(axes: "Axes", rate: GridOfValues, name: str, word: str) -> bool:
    """Draw the contour at which a rate is zero to the borders of the panel, that of a theory dashed
    under its ``word``. Returns whether there is one.
    """
    rates = rate.panels[name]
    if not ((rates < 0.0).any() and (rates > 0.0).any()):
        return False
    x, y = _fine_places(rate.x), _fine_places(rate.y)
    values = _between(rate, bounded(rates), x, y)
    of, drawn = (unscaled(rate.x, x), unscaled(rate.y, y), values), {"levels": [0.0]}
    if not word:
        axes.contour(*of, colors=INK, linewidths=CONTOUR_WIDTH, **drawn)
        return True
    # White between the dashes: it is seen on the darkest blue as well.
    axes.contour(*of, colors="white", linewidths=1.6, **drawn)
    line = axes.contour(*of, colors=INK, linewidths=1.2, linestyles=[DASHES[word]], **drawn)
    corners = axes.transData.transform(line.get_paths()[0].vertices)
    shares = axes.transAxes.inverted().transform(corners)
    inside = shares[((shares > -1e-6) & (shares < 1.0 + 1e-6)).all(axis=1)]
    if inside.size:
        across, up = inside[np.argmax(2.0 * inside[:, 1] + inside[:, 0])]
        look: Look = {"offset": (0, 3), "ha": "left" if word == "mean field" else "center"}
        if up < 0.99:  # It ends at the right border.
            look = {"offset": (3, 0), "ha": "left", "va": "center"}
        style.write(axes, word, (across, up), xycoords="axes fraction", **look)
    return True


def _fine_places(axis: Axis) -> FloatArray:
    """Return many points along an axis, on its scale, every value and every border among them."""
    nodes = np.sort(np.r_[scaled(axis, _edges(axis)), scaled(axis, axis.places)])
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
    places = scaled(axis, axis.places)
    return np.stack([np.interp(points, places, row) for row in np.eye(places.size)], axis=1)


def _name_regions(
    axes: "Axes", rate: GridOfValues, name: str, mesh: "QuadMesh", lines: list[GridOfValues]
) -> None:
    """Write in what grows and in what shrinks that it does, nowhere on a line; where there is no
    room, beside it, with an arrow.
    """
    x, y = (np.linspace(*scaled(a, _edges(a)[[0, -1]]), RASTER) for a in (rate.x, rate.y))
    fields = [_between(a, bounded(a.panels[name]), x, y).filled(np.nan) for a in (rate, *lines)]
    # One sign of each field and one colour that is read: neither lines nor shades under a word.
    light = _is_light(mesh, fields[0])
    box, signs = axes.get_window_extent(), np.array([*np.sign(fields), light])
    for sign, words in ((-1.0, "▼ shrinks"), (1.0, "▲ grows")):
        region = np.argwhere(signs[0] == sign)
        wide = np.array([1.6 * LINE / box.height, (len(words) + 1) * CHARACTER / box.width])
        size = np.ceil(wide * axes.figure.dpi * RASTER).astype(int)
        if not region.size or max(size) > RASTER:
            continue
        views = np.lib.stride_tricks.sliding_window_view(signs, tuple(size), axis=(1, 2))
        free = (views.min(axis=(3, 4)) == views.max(axis=(3, 4))).all(axis=0)
        middle = region[np.argmin(np.square(region - region.mean(axis=0)).sum(axis=1))]
        found = np.argwhere(free) + size // 2
        if not found.size:
            continue
        outside = signs[0][tuple(found.T)] != sign
        at = found[np.argmin(np.square(found - middle).sum(axis=1) + 2 * RASTER**2 * outside)]
        color = INK if light[tuple(at)] else "white"
        corner = at - size // 2
        signs[:, corner[0] : corner[0] + size[0], corner[1] : corner[1] + size[1]] = np.nan
        look: Look = {"ha": "center", "va": "center", "weight": "bold", "color": color}
        places = [
            (float(unscaled(rate.x, x[[c]])[0]), float(unscaled(rate.y, y[[r]])[0]))
            for r, c in (at, middle)
        ]
        if np.sign(fields[0][tuple(at)]) != sign:
            arrow: Look = {"arrowstyle": "->", "color": color}
            look |= {"arrowprops": arrow, "xytext": places[0], "textcoords": "data"}
        axes.annotate(words, places[1] if "xytext" in look else places[0], size=TEXT_SIZE, **look)


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
    shown, edges = field.panels[name], scaled(field.x, _edges(field.x))
    light = _is_light(mesh, np.ma.getdata(mesh.get_array()))
    inches = axes.get_window_extent().width / axes.figure.dpi / np.ptp(edges)
    for row, values in enumerate(shown):
        beyond = [
            "∞" if lags is None else f">{each:.0f}"
            for each in (values if lags is None else lags[row])
        ]
        words = [
            "" if np.isnan(each) else more if np.isinf(each) else f"{each:.0f}"
            for each, more in zip(values, beyond, strict=True)
        ]
        for word, run in groupby(range(len(words)), key=words.__getitem__):
            places = [*run]
            first, last = places[0], places[-1]
            width = (edges[last + 1] - edges[first]) * inches
            if word and width > len(word) * CHARACTER:
                look: Look = {"ha": "center", "va": "center", "size": TEXT_SIZE}
                look["color"] = INK if light[row, first] else "white"
                at = unscaled(field.x, (edges[[first]] + edges[[last + 1]]) / 2.0)
                axes.text(float(at[0]), float(field.y.places[row]), word, **look)
