"""The picture of ``compare``: networks side by side, by lag and by length.

One legend for the whole page names the networks, however many; the lengths are named once, above
the ends of their curves.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gradscope.analysis.results import Analysis, Comparison
from gradscope.arrays import FloatArray
from gradscope.report.figures.profile_panels import drawable, say
from gradscope.report.figures.style import (
    GREY,
    INK,
    LAG,
    SIGMA_MAX,
    SLIDE,
    Look,
    dress,
    height_of_rows,
    legend,
    new_page,
    page_legend,
    picture_bytes,
    set_round_ticks,
    write,
)
from gradscope.report.figures.sweep_axes import fits, gap_for, inches_along, line_style
from gradscope.report.words.cells import short_name
from gradscope.report.words.headline import comparison_headline
from gradscope.report.words.numbers import fraction

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS_TOP = 1.575
"""Inches from the page's upper edge to the panels, below one row of the legend."""

LENGTHS_ACROSS = 9
"""Names of lengths that fit side by side above a panel."""

UPPER_EDGE, HEADROOM = 0.95, 1.12
"""Where on the height of a panel what is infinite stands, and what that height grows by for it."""


def comparison_picture(comparison: Comparison, suffix: str) -> bytes:
    """Return the picture of ``compare`` as the bytes of a ``.png``, ``.svg`` or ``.pdf``."""
    every = [each.settings for each in comparison.analyses]
    made_by = {
        "command": "compare",
        "cell": list(dict.fromkeys(str(each.cell) for each in every)),
        "activation": list(dict.fromkeys(str(each.activation) for each in every)),
        "steps": list(dict.fromkeys(each.steps for each in every)),
    }
    return picture_bytes(comparison_figure(comparison), suffix, every[0].as_dict(), made_by)


def comparison_figure(comparison: Comparison) -> "Figure":
    """Return profiles by lag, horizon and error by length."""
    first = comparison.analyses[0]
    lengths = ", ".join(dict.fromkeys(str(a.settings.steps) for a in comparison.analyses))
    subtitle = (
        f"{first.settings.hidden} hidden units, {first.settings.init} init; lengths {lengths}; "
        f"{first.settings.updates} updates; seed {first.settings.seed}"
    )
    figure = new_page(comparison_headline(comparison), subtitle)
    top = PANELS_TOP + height_of_rows(len(_by_network(comparison)) + 1)
    margins: Look = {"left": 0.065, "right": 0.97, "top": 1.0 - top / SLIDE[1], "bottom": 0.085}
    grid = figure.add_gridspec(2, 5, hspace=0.58, wspace=0.9, **margins)
    profiles = figure.add_subplot(grid[:, :3])
    _profiles_panel(profiles, comparison)
    _horizons_panel(figure.add_subplot(grid[0, 3:]), comparison)
    _errors_panel(figure.add_subplot(grid[1, 3:]), comparison)
    page_legend(figure, *profiles.get_legend_handles_labels())
    return figure


def _by_network(comparison: Comparison) -> dict[str, list[Analysis]]:
    """Return the analyses of each network from the shortest to the longest sequence."""
    groups: dict[str, list[Analysis]] = {}
    for analysis in comparison.analyses:
        groups.setdefault(short_name(analysis.settings), []).append(analysis)
    for analyses in groups.values():
        analyses.sort(key=lambda analysis: analysis.settings.steps)
    return groups


def _profiles_panel(axes: "Axes", comparison: Comparison) -> None:
    title = "How much of the gradient arrives, by lag; one curve per length"
    dress(axes, LAG, f"{SIGMA_MAX}, median", title)
    for name, analyses in _by_network(comparison).items():
        look: Look = {**line_style(name)._asdict(), "linewidth": 2, "markersize": 7}
        for analysis in analyses:
            profile, label = analysis.last.profile, name if analysis is analyses[-1] else None
            axes.plot(profile.lags, drawable(profile.median), markevery=[-1], label=label, **look)
    if all(np.isneginf(analysis.last.profile.median).all() for analysis in comparison.analyses):
        say(axes, "Every product is exactly zero.")
        return
    vanishing = comparison.analyses[0].settings.vanishing
    dashed: Look = {"color": INK, "linestyle": (0, (6, 4)), "linewidth": 1.0}
    label = f"vanished: below {fraction(vanishing)}"
    axes.axhline(float(np.log10(vanishing)), label=label, **dashed)
    _name_ends(axes, comparison)


def _name_ends(axes: "Axes", comparison: Comparison) -> None:
    """Name the lengths above the lags where their curves end, the longest first, the others where
    they fit.
    """
    profiles = [analysis.last.profile for analysis in comparison.analyses]
    ends = {int(each.lags[-1]) for each in profiles if np.isfinite(each.median[-1])}
    reached = sorted(ends & set(_lengths(comparison.analyses)), reverse=True)
    low, high = axes.get_xlim()
    for length in (reached[each] for each in fits(reached, (high - low) / LENGTHS_ACROSS)):
        look: Look = {"xycoords": ("data", "axes fraction"), "ha": "center", "color": GREY}
        write(axes, f"T = {length}", (length, 1.0), (0, 4), **look)


def _horizons_panel(axes: "Axes", comparison: Comparison) -> None:
    dress(axes, "sequence length T", "lag (steps)", "Memory horizon (hollow: beyond the lags)")
    groups = _by_network(comparison)
    for name, analyses in groups.items():
        style, lengths = line_style(name)._asdict(), np.array(_lengths(analyses))
        verdicts = [analysis.last.verdict for analysis in analyses]
        reached = np.array([each.horizon or each.max_lag for each in verdicts])
        beyond = np.array([each.horizon is None for each in verdicts])
        axes.plot(lengths, reached, linewidth=2, **style)
        hollow: Look = {**style, "linestyle": "none", "markerfacecolor": "white", "markersize": 8}
        axes.plot(lengths[beyond], reached[beyond], **hollow)
    needed = [(a.settings.steps, a.last.verdict.required_lag) for a in next(iter(groups.values()))]
    if all(lag is not None for _, lag in needed):
        look: Look = {"color": GREY, "linestyle": ":", "linewidth": 2}
        axes.plot(*zip(*needed, strict=True), label="needed", **look)
    axes.set_xscale("log")
    axes.set_yscale("log")
    set_round_ticks(axes.yaxis, axes.get_ylim())
    _tick_lengths(axes, comparison)
    legend(axes)


def _errors_panel(axes: "Axes", comparison: Comparison) -> None:
    """Draw each error in units of its baseline's; what is infinite hollow at the upper edge."""
    dress(axes, "sequence length T", "error / baseline", "Error against the baseline")
    overflows = np.isinf(_ratios(comparison.analyses))
    if overflows.all():
        say(axes, "The error is infinite:\nthe state overflows.")
        return
    axes.axhline(1.0, color=GREY, linestyle=":", linewidth=2, label="nothing learned")
    for name, analyses in _by_network(comparison).items():
        style = line_style(name)._asdict()
        lengths, ratios = np.array(_lengths(analyses)), _ratios(analyses)
        infinite = np.isinf(ratios)
        axes.plot(lengths, np.where(infinite, np.nan, ratios), linewidth=2, **style)
        if infinite.any():
            edge = np.full(infinite.sum(), UPPER_EDGE)
            hollow: Look = {**style, "linestyle": "none", "fillstyle": "none"}
            hollow |= {"transform": axes.get_xaxis_transform(), "label": "hollow: infinite"}
            axes.plot(lengths[infinite], edge, **hollow)
    legend(axes)
    axes.set_xscale("log")
    axes.set_ylim(0.0, axes.get_ylim()[1] * (HEADROOM if overflows.any() else 1.0))
    _tick_lengths(axes, comparison)


def _lengths(analyses: Sequence[Analysis]) -> list[int]:
    return [analysis.settings.steps for analysis in analyses]


def _ratios(analyses: Sequence[Analysis]) -> FloatArray:
    ratios = [analysis.relative_error for analysis in analyses]
    return np.array([np.nan if ratio is None else ratio for ratio in ratios])


def _tick_lengths(axes: "Axes", comparison: Comparison) -> None:
    """Name the lengths that were run, and no others: the longest first, the others where they
    fit.
    """
    lengths = sorted(set(_lengths(comparison.analyses)), reverse=True)
    gap = gap_for(axes.xaxis, map(str, lengths))
    named = [lengths[each] for each in fits(inches_along(axes.xaxis, lengths), gap)]
    axes.set_xticks(named, [str(length) for length in named])
    axes.minorticks_off()
