"""The pictures of ``analyze`` and ``compare``: the answer in words, then the panels that show it.

Made for a slide (16 to 9). What each panel draws lives in ``figures_panels``, the common look and
the file formats in ``figures_style``.
"""

from collections.abc import Mapping
from textwrap import fill
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from gradscope.names import ActivationName, CellName, ColumnWidth, PanelName
from gradscope.report.cell_words import short_name
from gradscope.report.figures_panels import say
from gradscope.report.figures_style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    SLIDE,
    TICK_SIZE,
    VERMILLION,
    dress,
    fit_panel,
    legend,
    new_page,
    new_panel,
    picture_bytes,
    set_round_ticks,
)
from gradscope.report.panels import PANELS
from gradscope.report.readings import lyapunov_sentence
from gradscope.report.words import LN_10, comparison_headline, describe, headline
from gradscope.study.results import Analysis, Comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WORDS_ACROSS = 36
"""Characters in a line of what a panel says where it has nothing to draw."""

TOP_PANELS = (PanelName.PROFILE, PanelName.CAUSES)
"""What stands in the first row of a report: whether and why."""

ALONE_ONLY = (PanelName.SATURATION,)
"""What a report leaves to its own page: the slopes over time are there in short."""

EXTRA_ROW = 3.5
"""Inches that each further row of panels adds to the slide."""

ACTIVATION_LOOKS: Mapping[ActivationName, tuple[str, str, str]] = MappingProxyType(
    {
        ActivationName.TANH: (BLUE, "-", "o"),
        ActivationName.SIGMOID: (VERMILLION, "--", "s"),
        ActivationName.RELU: (GREEN, "-.", "^"),
        ActivationName.IDENTITY: (INK, ":", "D"),
        ActivationName.HARD_TANH: (ORANGE, (0, (5, 1, 1, 1)), "v"),  # type: ignore[dict-item]
        ActivationName.SOFTPLUS: ("#CC79A7", (0, (1, 1)), "P"),  # type: ignore[dict-item]
    }
)
"""Colour, line and marker of a vanilla RNN by its activation."""

CELL_LOOKS: Mapping[CellName, tuple[str, str, str]] = MappingProxyType(
    {CellName.GRU: (GREEN, "-.", "P"), CellName.LSTM: (ORANGE, "--", "X")}
)
"""The same of a gated cell with tanh."""

DARK_CELLS: Mapping[CellName, str] = MappingProxyType(
    {CellName.GRU: "#00513a", CellName.LSTM: "#7d5600"}
)
"""Its colour with any other activation, whose line and marker it takes."""

MOST_LEGENDS = 4
"""Networks up to which a small panel names them too."""


def network_look(name: str) -> tuple[str, str, str]:
    """Return colour, line and marker of a network by its ``names.network_name``; of anything else,
    such as all networks together, a plain one.
    """
    first, _, second = name.partition(" ")
    if first in list(CellName):
        if not second:
            return CELL_LOOKS.get(CellName(first), (BLUE, "-", "o"))
        return DARK_CELLS[CellName(first)], *ACTIVATION_LOOKS[ActivationName(second)][1:]
    known = first in list(ActivationName)
    return ACTIVATION_LOOKS[ActivationName(first)] if known else (BLUE, "-", "o")


def analysis_picture(analysis: Analysis, suffix: str) -> bytes:
    """Return the report of one analysis as the bytes of a ``.png``, ``.svg`` or ``.pdf``."""
    others = (name for name in PANELS if name not in (*TOP_PANELS, *ALONE_ONLY))
    below = [name for name in others if PANELS[name].shown(analysis)]
    rows = [below[place : place + 3] for place in range(0, len(below), 3)]
    height = SLIDE[1] + EXTRA_ROW * (len(rows) - 1)
    figure = new_page(
        headline(analysis.last.verdict, analysis.settings.vanishing),
        describe(analysis.settings, analysis),
        (SLIDE[0], height),
    )
    grid = figure.add_gridspec(
        1 + len(rows),
        6,
        left=0.065,
        right=0.945,
        top=1.0 - 1.575 / height,
        bottom=0.64 / height,
        hspace=0.58,
        wspace=1.35,
    )
    for name, columns in zip(TOP_PANELS, (slice(0, 4), slice(4, 6)), strict=True):
        PANELS[name].draw(figure.add_subplot(grid[0, columns]), analysis)
    for row, names in enumerate(rows, 1):
        width = 6 // len(names)
        for place, name in enumerate(names):
            columns = slice(width * place, width * (place + 1))
            PANELS[name].draw(figure.add_subplot(grid[row, columns]), analysis)
    return picture_bytes(figure, suffix, analysis.settings.as_dict())


def spectrum_picture(analysis: Analysis, suffix: str) -> bytes:
    """Return the picture of ``spectrum``: exponents, singular values, eigenvalues, theory."""
    figure = new_page(
        f"Largest Lyapunov exponent: {lyapunov_sentence(analysis)}",
        describe(analysis.settings, analysis),
    )
    grid = figure.add_gridspec(
        2, 2, left=0.065, right=0.965, top=0.79, bottom=0.085, hspace=0.58, wspace=0.46
    )
    named = (PanelName.LYAPUNOV, PanelName.SINGULAR, PanelName.EIGENVALUES, PanelName.THEORY)
    for place, name in enumerate(name for name in named if PANELS[name].shown(analysis)):
        PANELS[name].draw(figure.add_subplot(grid[divmod(place, 2)]), analysis)
    made_by = {"command": "spectrum"}
    return picture_bytes(figure, suffix, analysis.settings.as_dict(), made_by)


def panel_picture(
    analysis: Analysis, name: PanelName, suffix: str, width: ColumnWidth = ColumnWidth.DOUBLE
) -> bytes:
    """Return one panel alone, for a column of a paper whose caption is its title.

    ``name`` as in ``panels.PANELS``. Where the analysis has nothing that it could show, it says so.
    """
    figure, axes = new_panel(width)
    panel = PANELS[name]
    if panel.shown(analysis):
        panel.draw(axes, analysis)
    else:
        say(axes, fill(panel.reading(analysis), WORDS_ACROSS))
    fit_panel(axes)
    made_by = {"command": "analyze", "panel": str(name), "width": str(width)}
    return picture_bytes(figure, suffix, analysis.settings.as_dict(), made_by)


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
    figure = new_page(
        comparison_headline(comparison),
        subtitle,
    )
    grid = figure.add_gridspec(
        2, 5, left=0.065, right=0.97, top=0.79, bottom=0.085, hspace=0.58, wspace=0.9
    )
    _profiles_panel(figure.add_subplot(grid[:, :3]), comparison)
    _horizons_panel(figure.add_subplot(grid[0, 3:]), comparison)
    _errors_panel(figure.add_subplot(grid[1, 3:]), comparison)
    return figure


def _by_network(comparison: Comparison) -> dict[str, list[Analysis]]:
    groups: dict[str, list[Analysis]] = {}
    for analysis in comparison.analyses:
        groups.setdefault(short_name(analysis.settings), []).append(analysis)
    return groups


def _profiles_panel(axes: "Axes", comparison: Comparison) -> None:
    dress(
        axes,
        "How much of the gradient arrives, by lag; one curve a length",
        "lag ℓ (steps back)",
        r"$\log_{10}\,\sigma_{\max}(\partial h_T/\partial h_{T-\ell})$, median",
    )
    longest = max(analysis.settings.steps for analysis in comparison.analyses)
    for name, analyses in _by_network(comparison).items():
        color, style, marker = network_look(name)
        for place, analysis in enumerate(analyses):
            profile = analysis.last.profile
            values = np.where(np.isfinite(profile.median), profile.median, np.nan) / LN_10
            label = name if place == len(analyses) - 1 else None
            axes.plot(profile.lags, values, color=color, linestyle=style, linewidth=2, label=label)
            axes.plot(profile.lags[-1:], values[-1:], color=color, marker=marker, markersize=7)
            if 8 * analysis.settings.steps < longest:
                continue
            axes.annotate(
                f"T = {analysis.settings.steps}",
                (profile.lags[-1], values[-1]),
                xytext=(7, 4),
                textcoords="offset points",
                size=TICK_SIZE,
                color=color,
            )
    threshold = float(np.log10(comparison.analyses[0].settings.vanishing))
    axes.axhline(threshold, color=INK, linestyle=(0, (6, 4)), linewidth=1.0)
    axes.annotate(
        "vanished",
        (axes.get_xlim()[1], threshold),
        xytext=(-2, 3),
        textcoords="offset points",
        ha="right",
        size=TICK_SIZE,
        color=GREY,
    )
    legend(axes)


def _horizons_panel(axes: "Axes", comparison: Comparison) -> None:
    dress(axes, "Memory horizon (hollow: beyond T)", "sequence length T", "lag (steps)")
    groups = _by_network(comparison)
    for name, analyses in groups.items():
        color, style, marker = network_look(name)
        lengths = [analysis.settings.steps for analysis in analyses]
        reached = [a.last.verdict.horizon or a.last.verdict.max_lag for a in analyses]
        beyond = [a.last.verdict.horizon is None for a in analyses]
        axes.plot(
            lengths,
            reached,
            color=color,
            linestyle=style,
            marker=marker,
            linewidth=2,
            label=name,
        )
        axes.plot(
            [n for n, open_end in zip(lengths, beyond, strict=True) if open_end],
            [n for n, open_end in zip(reached, beyond, strict=True) if open_end],
            color=color,
            marker=marker,
            markerfacecolor="white",
            linestyle="none",
            markersize=8,
        )
    needed = [(a.settings.steps, a.facts.required_lag) for a in next(iter(groups.values()))]
    if all(lag is not None for _, lag in needed):
        axes.plot(
            *zip(*needed, strict=True),
            color=GREY,
            linestyle=":",
            linewidth=2,
            label="needed by the task" if len(groups) < 3 else "needed",
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    set_round_ticks(axes.yaxis, axes.get_ylim())
    _tick_lengths(axes, comparison)
    if len(groups) <= MOST_LEGENDS:
        legend(axes)


def _errors_panel(axes: "Axes", comparison: Comparison) -> None:
    dress(axes, "Error against the baseline", "sequence length T", "error / baseline")
    for name, analyses in _by_network(comparison).items():
        color, style, marker = network_look(name)
        lengths = [analysis.settings.steps for analysis in analyses]
        ratios = [analysis.relative_error or 0.0 for analysis in analyses]
        axes.plot(lengths, ratios, color=color, linestyle=style, marker=marker, linewidth=2)
    axes.axhline(1.0, color=GREY, linestyle=":", linewidth=2, label="nothing learned")
    legend(axes)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0.0)
    _tick_lengths(axes, comparison)


def _tick_lengths(axes: "Axes", comparison: Comparison) -> None:
    """Name the lengths that were run, and no others."""
    lengths = sorted({analysis.settings.steps for analysis in comparison.analyses})
    axes.set_xticks(lengths, [str(length) for length in lengths])
    axes.minorticks_off()
