"""The pictures of ``analyze`` and ``spectrum``, made for a slide (16 to 9)."""

from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np

from gradscope.analysis.results import Analysis
from gradscope.arrays import LN_10, FloatArray, quantiles
from gradscope.jacobians.lag_norms import LagNorms
from gradscope.names import ColumnWidth
from gradscope.report.figures import pages, style
from gradscope.report.figures.panels import PANELS
from gradscope.report.figures.profile_panels import (
    causes_panel,
    drawable,
    hero_profile,
    say,
    strip,
)
from gradscope.report.figures.style import BLUE, INK, VERMILLION, Look
from gradscope.report.words.captions import lyapunov_sentence
from gradscope.report.words.headline import answer, describe
from gradscope.report.words.numbers import fraction

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec

NOTEBOOK = {"command": "notebook"}
"""Made by hand: no settings tell how, so ``rerun`` refuses it."""


def profile_picture(
    norms: LagNorms, threshold: float, log_bound: FloatArray | None = None
) -> bytes:
    """Return a lag profile as the bytes of a PNG, with a line at the ``threshold`` of σ_max below
    which it has vanished, and ``log_bound`` (L,) in nats where there is one.
    """
    n_sequences = norms.log_norms.shape[1]
    about = f"{norms.lags.size} lags, {n_sequences} sequences; dashed: {fraction(threshold)}"
    figure = pages.new_page("How much of the gradient arrives, by lag", about)
    axes = figure.add_subplot()
    style.dress(axes, style.LAG, style.SIGMA_MAX)
    low, median, high = map(drawable, quantiles(norms.log_norms, (0.05, 0.5, 0.95)))
    axes.plot(norms.lags, median, color=BLUE, linewidth=2.4, label="median")
    style.draw_band(axes, norms.lags, low, high)
    if log_bound is not None and np.isfinite(log_bound).all():
        look: Look = {"color": VERMILLION, "linestyle": ":", "linewidth": 2.0}
        axes.plot(norms.lags, log_bound / LN_10, label="bound", **look)
    axes.axhline(float(np.log10(threshold)), color=INK, linestyle=(0, (6, 4)), linewidth=1.0)
    style.legend(axes)
    return pages.picture_bytes(figure, ".png", {}, NOTEBOOK)


WORDS_ACROSS = 36
"""Characters in a line of what a panel says where it has nothing to draw."""

HERO, SMALL_ROW = (7.2, 3.6), 2.1
"""Inches: the hero, and what a row of small panels adds to its height."""

SMALL_PANELS = ("gradient", "slopes", "training")
"""What a report of one page has below the hero, where the analysis has it."""

WIDER = 1.35
"""Width of the training, of which each half has a margin of its own, in that of other panels."""

A4 = (8.27, 11.69)
"""Inches."""


def analysis_picture(analysis: Analysis, suffix: str) -> bytes:
    """Return the report of one analysis as the bytes of a ``.png``, ``.svg`` or ``.pdf``."""
    return pages.picture_bytes(analysis_figure(analysis), suffix, analysis.settings.as_dict())


def analysis_figure(analysis: Analysis) -> "Figure":
    """Return the report of one page: the hero, and below it at most three small panels."""
    names = [name for name in SMALL_PANELS if PANELS[name].shown(analysis)]
    figure = _hero_page(analysis, HERO[1] + SMALL_ROW)
    heights = {"height_ratios": (HERO[1] - 0.6, SMALL_ROW)}
    hero, row = figure.add_gridspec(2, 1, **heights)
    _draw_hero(figure, hero, analysis)
    widths = [WIDER if name == "training" else 1.0 for name in names]
    for place, name in zip(row.subgridspec(1, len(names), width_ratios=widths), names, strict=True):
        PANELS[name].draw(figure.add_subplot(place), analysis)
    return figure


def hero_figure(analysis: Analysis, height: float = HERO[1]) -> "Figure":
    """Return the answer in one picture: the network over time, how much arrives, and why."""
    figure = _hero_page(analysis, height)
    _draw_hero(figure, figure.add_gridspec(1, 1)[0], analysis)
    return figure


def _hero_page(analysis: Analysis, height: float) -> "Figure":
    about = describe(analysis.settings, analysis)
    return pages.new_page(answer(analysis), about, (HERO[0], height))


def _draw_hero(figure: "Figure", place: "SubplotSpec", analysis: Analysis) -> None:
    grid = place.subgridspec(2, 2, height_ratios=(1, 4.2), width_ratios=(2.2, 1))
    profile, why = figure.add_subplot(grid[1, 0]), figure.add_subplot(grid[:, 1])
    hero_profile(profile, analysis)
    strip(figure.add_subplot(grid[0, 0], sharex=profile), analysis)
    causes_panel(why, analysis)
    style.set_title(why, "Why")
    style.set_title(profile, f"Gradient that arrives, {style.SIGMA_MAX}")
    profile.set_ylabel("")


def spectrum_picture(analysis: Analysis, suffix: str) -> bytes:
    """Return the picture of ``spectrum``: exponents, singular values, eigenvalues, theory."""
    figure = pages.new_page(
        f"Largest Lyapunov exponent: {lyapunov_sentence(analysis)}",
        describe(analysis.settings, analysis),
    )
    grid = figure.add_gridspec(2, 2)
    named = ("lyapunov", "singular", "eigenvalues", "theory")
    for place, name in enumerate(name for name in named if PANELS[name].shown(analysis)):
        PANELS[name].draw(figure.add_subplot(grid[divmod(place, 2)]), analysis)
    return pages.picture_bytes(figure, suffix, analysis.settings.as_dict(), {"command": "spectrum"})


def panel_picture(
    analysis: Analysis, name: str, suffix: str, width: ColumnWidth = ColumnWidth.DOUBLE
) -> bytes:
    """Return one panel alone, for a column of a paper whose caption is its title.

    ``name`` as in ``panels.PANELS``. Where the analysis has nothing that it could show, it says so.
    """
    made_by = {"command": "analyze", "panel": name, "width": str(width)}
    figure = panel_figure(analysis, name, width)
    return pages.picture_bytes(figure, suffix, analysis.settings.as_dict(), made_by)


def panel_figure(analysis: Analysis, name: str, width: ColumnWidth) -> "Figure":
    """Return one panel alone; see ``panel_picture``."""
    figure, axes = pages.new_panel(width)
    panel = PANELS[name]
    if panel.shown(analysis):
        panel.draw(axes, analysis)
    else:
        say(axes, fill(panel.reading(analysis), WORDS_ACROSS))
    axes.set_title("", loc="left")
    return figure
