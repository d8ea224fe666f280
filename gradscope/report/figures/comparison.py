"""The picture of ``compare``: networks side by side, by lag and by length, or by file.

One legend names all networks. Of several seeds the median is drawn, and each thin or as a dot.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gradscope.analysis.results import Analysis, Comparison, Stage
from gradscope.arrays import FloatArray, quantiles
from gradscope.model.activations import ACTIVATIONS
from gradscope.report.documents.rows import file_of, median_reach, middle
from gradscope.report.figures import pages, style
from gradscope.report.figures.profile_panels import drawable, say
from gradscope.report.figures.style import GREY, INK, Look
from gradscope.report.figures.sweep_axes import fits, gap_for, inches_along, line_style
from gradscope.report.words.cells import short_name
from gradscope.report.words.headline import comparison_headline, seeds_of
from gradscope.report.words.numbers import fraction

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_NAME = 11
"""Last letters of a file's name in the legend, which numbers the files."""

LENGTHS_ACROSS = 9
"""Names of lengths that fit side by side above a panel."""

UPPER_EDGE, HEADROOM = 0.95, 1.12
"""Where on the height of a panel what is infinite stands, and what that height grows by for it."""


class _Network(NamedTuple):
    """A network, where its lengths (or its file) stand across, and analyses at each, by seed."""

    name: str
    look: Look
    places: FloatArray
    groups: list[tuple[Analysis, ...]]


def comparison_picture(comparison: Comparison, suffix: str) -> bytes:
    """Return the picture of ``compare`` as the bytes of a ``.png``, ``.svg`` or ``.pdf``."""
    every = [each.settings for each in comparison.analyses]
    made_by: dict[str, Any] = {"command": "compare"}
    if file_of(comparison.analyses[0]) is None:
        for name in ("cell", "activation", "steps"):
            made_by[name] = list(dict.fromkeys(each.as_dict()[name] for each in every))
        made_by["seeds"] = len({each.seed for each in every})
    else:
        made_by["files"] = [file_of(each) for each in comparison.analyses]
    return pages.picture_bytes(comparison_figure(comparison), suffix, every[0].as_dict(), made_by)


def comparison_figure(comparison: Comparison) -> "Figure":
    """Return profiles by lag, horizon and error by length or by file."""
    first, networks = comparison.analyses[0], _networks(comparison)
    lengths = ", ".join(dict.fromkeys(str(a.settings.steps) for a in comparison.analyses))
    subtitle = (
        f"{first.settings.hidden} hidden units, {first.settings.init} init; lengths {lengths}; "
        f"{first.settings.updates} updates; {seeds_of(comparison)}"
    )
    if file_of(first) is not None:
        subtitle = first.task_info.description
    elif max(map(len, comparison.groups)) > 1:
        subtitle += " (thin lines and dots), lines: median"
    figure = pages.new_page(comparison_headline(comparison), subtitle)
    grid = figure.add_gridspec(2, 5)
    profiles = figure.add_subplot(grid[:, :3])
    _profiles_panel(profiles, comparison, networks)
    for row, draw in enumerate((_horizons_panel, _errors_panel)):
        draw(figure.add_subplot(grid[row, 3:]), comparison, networks)
    pages.page_legend(figure, *profiles.get_legend_handles_labels())
    return figure


def _networks(comparison: Comparison) -> list[_Network]:
    """Return the networks, each from the shortest to the longest sequence."""
    by_name: dict[str, list[tuple[Analysis, ...]]] = {}
    for group in comparison.groups:
        by_name.setdefault(short_name(group[0].settings), []).append(group)
    styles, networks = [each.line_style for each in ACTIVATIONS.values()], []
    for number, (name, groups) in enumerate(by_name.items()):
        groups.sort(key=lambda group: group[0].settings.steps)
        shown, line, places = name, line_style(name), [group[0].settings.steps for group in groups]
        if file_of(groups[0][0]) is not None:
            line, places = styles[number % len(styles)], [number + 1]
            shown = style.plain_text(f"{number + 1}: {Path(name).name[-MAX_NAME:]}")
        networks.append(_Network(shown, line._asdict(), np.array(places, np.float64), groups))
    return networks


def _profiles_panel(axes: "Axes", comparison: Comparison, networks: list[_Network]) -> None:
    each = "length" if file_of(comparison.analyses[0]) is None else "file"
    title = f"How much of the gradient arrives, by lag; one curve per {each}"
    style.dress(axes, style.LAG, f"{style.SIGMA_MAX}, median", title)
    for name, look, _, groups in networks:
        for group in groups:
            profiles = [each.last.profile for each in group]
            lags = min((each.lags for each in profiles), key=len)
            norms = np.stack([each.median[: lags.size] for each in profiles], axis=1)
            if len(group) > 1:
                thin: Look = {"color": look["color"], "linewidth": 0.6, "alpha": 0.4}
                axes.plot(lags, drawable(norms), **thin)
            thick: Look = {**look, "linewidth": 2, "markersize": 7}
            label = name if group is groups[-1] else None
            median = drawable(quantiles(norms, (0.5,))[0])
            axes.plot(lags, median, markevery=[-1], label=label, **thick)
    if all(np.isneginf(analysis.last.profile.median).all() for analysis in comparison.analyses):
        say(axes, "Every product is exactly zero.")
        return
    vanishing = comparison.analyses[0].settings.vanishing
    dashed: Look = {"color": INK, "linestyle": (0, (6, 4)), "linewidth": 1.0}
    label = f"vanished: below {fraction(vanishing)}"
    axes.axhline(float(np.log10(vanishing)), label=label, **dashed)
    _name_ends(axes, comparison)


def _name_ends(axes: "Axes", comparison: Comparison) -> None:
    """Name the lengths above the ends of their curves, the longest first, where they fit."""
    profiles = [analysis.last.profile for analysis in comparison.analyses]
    ends = {int(each.lags[-1]) for each in profiles if np.isfinite(each.median[-1])}
    reached = sorted(ends & {each.settings.steps for each in comparison.analyses}, reverse=True)
    low, high = axes.get_xlim()
    for length in (reached[each] for each in fits(reached, (high - low) / LENGTHS_ACROSS)):
        look: Look = {"xycoords": ("data", "axes fraction"), "ha": "center", "color": GREY}
        style.write(axes, f"T = {length}", (length, 1.0), (0, 4), **look)


def _horizons_panel(axes: "Axes", comparison: Comparison, networks: list[_Network]) -> None:
    style.dress(axes, "", "lag (steps)", "Memory horizon (hollow: beyond the lags)")
    for name, look, places, groups in networks:
        afters = [[each.last for each in group] for group in groups]
        if len(groups[0][0].stages) > 1:
            dotted: Look = {"color": look["color"], "linestyle": (0, (1, 2)), "linewidth": 1.4}
            label = "before training" if name == networks[0].name else None
            befores = [_reached([each.stages[0] for each in group]) for group in groups]
            axes.plot(places, befores, label=label, **dotted)
        reached = np.array([_reached(each) for each in afters])
        beyond = np.isinf([median_reach(each) for each in afters])
        axes.plot(places, reached, linewidth=2, **look)
        hollow: Look = {**look, "linestyle": "none", "markerfacecolor": "white", "markersize": 8}
        axes.plot(places[beyond], reached[beyond], **hollow)
        _dots(axes, look, places, [[_reached([stage]) for stage in each] for each in afters])
    first = networks[0].groups
    needed = [(group[0].settings.steps, group[0].last.verdict.required_lag) for group in first]
    if file_of(comparison.analyses[0]) is None and all(lag is not None for _, lag in needed):
        alone = "_" if len(needed) == 1 else None
        grey: Look = {"color": GREY, "linestyle": ":", "linewidth": 2, "marker": alone}
        axes.plot(*zip(*needed, strict=True), label="needed", **grey)
    axes.set_yscale("log")
    style.set_round_ticks(axes.yaxis, axes.get_ylim())
    _tick_places(axes, comparison, networks)
    style.legend(axes)


def _reached(stages: Sequence[Stage]) -> float:
    """Return the median horizon, of one beyond the lags measured the last of them."""
    return min(median_reach(stages), float(stages[0].verdict.max_lag))


def _dots(axes: "Axes", look: Look, places: FloatArray, values: list[list[float]]) -> None:
    """Draw the value of each seed, where there are several."""
    for place, each in zip(places, values, strict=True):
        if len(each) > 1:
            dots: Look = {"color": look["color"], "s": 12, "alpha": 0.5, "linewidths": 0}
            axes.scatter([place] * len(each), each, **dots)


def _errors_panel(axes: "Axes", comparison: Comparison, networks: list[_Network]) -> None:
    """Draw each error in units of its baseline's; what is infinite hollow at the upper edge."""
    style.dress(axes, "", "error / baseline", "Error against the baseline")
    overflows = np.isinf([each.relative_error or 0.0 for each in comparison.analyses])
    if overflows.all():
        say(axes, "The error is infinite:\nthe state overflows.")
        return
    if all(each.relative_error is None for each in comparison.analyses):
        say(axes, "There are no targets,\nso no error.")
        return
    axes.axhline(1.0, color=GREY, linestyle=":", linewidth=2, label="nothing learned")
    for _, look, places, groups in networks:
        every = [
            [np.nan if each.relative_error is None else each.relative_error for each in group]
            for group in groups
        ]
        ratios = np.array([middle(each) for each in every])
        infinite = np.isinf(ratios)
        axes.plot(places, np.where(infinite, np.nan, ratios), linewidth=2, **look)
        _dots(axes, look, places, [[e for e in each if np.isfinite(e)] for each in every])
        if infinite.any():
            edge = np.full(infinite.sum(), UPPER_EDGE)
            hollow: Look = {**look, "linestyle": "none", "fillstyle": "none"}
            hollow |= {"transform": axes.get_xaxis_transform(), "label": "hollow: infinite"}
            axes.plot(places[infinite], edge, **hollow)
    style.legend(axes)
    axes.set_ylim(0.0, axes.get_ylim()[1] * (HEADROOM if overflows.any() else 1.0))
    _tick_places(axes, comparison, networks)


def _tick_places(axes: "Axes", comparison: Comparison, networks: list[_Network]) -> None:
    """Name the lengths that were run, where they fit, the longest first; or number the files."""
    places = sorted({each for it in networks for each in it.places.tolist()}, reverse=True)
    if file_of(comparison.analyses[0]) is None:
        axes.set_xlabel("sequence length T")
        axes.set_xscale("log")
    else:
        axes.set_xlabel("file, in the order of the legend")
        axes.set_xlim(0.5, max(places) + 0.5)
    labels = [f"{each:.0f}" for each in places]
    kept = fits(inches_along(axes.xaxis, places), gap_for(axes.xaxis, labels))
    axes.set_xticks([places[each] for each in kept], [labels[each] for each in kept])
    axes.minorticks_off()
