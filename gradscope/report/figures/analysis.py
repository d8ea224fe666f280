"""The pictures of ``analyze`` and ``spectrum``, made for a slide (16 to 9)."""

from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np

from gradscope.analysis.results import Analysis
from gradscope.arrays import LN_10, FloatArray, quantiles
from gradscope.jacobians.lag_norms import LagNorms
from gradscope.names import ColumnWidth
from gradscope.report.figures import style
from gradscope.report.figures.panels import PANELS
from gradscope.report.figures.profile_panels import drawable, say
from gradscope.report.figures.style import BLUE, INK, SLIDE, VERMILLION, Look
from gradscope.report.words.captions import lyapunov_sentence
from gradscope.report.words.headline import answer, describe
from gradscope.report.words.numbers import fraction

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HALF_SLIDE = (8.0, 4.5)
"""Inches."""

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
    figure = style.new_page("How much of the gradient arrives, by lag", about, HALF_SLIDE)
    axes = figure.add_axes((0.11, 0.13, 0.85, 0.68))
    style.dress(axes, style.LAG, style.SIGMA_MAX)
    low, median, high = map(drawable, quantiles(norms.log_norms, (0.05, 0.5, 0.95)))
    axes.plot(norms.lags, median, color=BLUE, linewidth=2.4, label="median")
    style.draw_band(axes, norms.lags, low, high)
    if log_bound is not None and np.isfinite(log_bound).all():
        look: Look = {"color": VERMILLION, "linestyle": ":", "linewidth": 2.0}
        axes.plot(norms.lags, log_bound / LN_10, label="bound", **look)
    axes.axhline(float(np.log10(threshold)), color=INK, linestyle=(0, (6, 4)), linewidth=1.0)
    style.legend(axes)
    return style.picture_bytes(figure, ".png", {}, NOTEBOOK)


WORDS_ACROSS = 36
"""Characters in a line of what a panel says where it has nothing to draw."""

TOP_PANELS = ("profile", "causes")
"""What stands in the first row of a report: whether and why."""

ALONE_ONLY = ("saturation", "parameters")
"""What a report leaves to its own page: slopes over time and profile are there in short."""

EXTRA_ROW = 3.5
"""Inches that each further row of panels adds to the slide."""


def analysis_picture(analysis: Analysis, suffix: str) -> bytes:
    """Return the report of one analysis as the bytes of a ``.png``, ``.svg`` or ``.pdf``."""
    return style.picture_bytes(analysis_figure(analysis), suffix, analysis.settings.as_dict())


def analysis_figure(analysis: Analysis) -> "Figure":
    """Return the report of one analysis: whether and why, then every panel that it has."""
    others = (name for name in PANELS if name not in (*TOP_PANELS, *ALONE_ONLY))
    below = [name for name in others if PANELS[name].shown(analysis)]
    rows = [below[place : place + 3] for place in range(0, len(below), 3)]
    height = SLIDE[1] + EXTRA_ROW * (len(rows) - 1)
    figure = style.new_page(
        answer(analysis), describe(analysis.settings, analysis), (SLIDE[0], height)
    )
    margins: Look = {"top": 1.0 - 1.575 / height, "bottom": 0.64 / height}
    margins |= {"left": 0.065, "right": 0.945, "hspace": 0.58, "wspace": 1.35}
    grid = figure.add_gridspec(1 + len(rows), 6, **margins)
    for name, columns in zip(TOP_PANELS, (slice(0, 4), slice(4, 6)), strict=True):
        PANELS[name].draw(figure.add_subplot(grid[0, columns]), analysis)
    for row, names in enumerate(rows, 1):
        width = 6 // len(names)
        for place, name in enumerate(names):
            columns = slice(width * place, width * (place + 1))
            PANELS[name].draw(figure.add_subplot(grid[row, columns]), analysis)
    return figure


def spectrum_picture(analysis: Analysis, suffix: str) -> bytes:
    """Return the picture of ``spectrum``: exponents, singular values, eigenvalues, theory."""
    figure = style.new_page(
        f"Largest Lyapunov exponent: {lyapunov_sentence(analysis)}",
        describe(analysis.settings, analysis),
    )
    margins: Look = {"left": 0.065, "right": 0.965, "top": 0.79, "bottom": 0.085}
    grid = figure.add_gridspec(2, 2, hspace=0.58, wspace=0.46, **margins)
    named = ("lyapunov", "singular", "eigenvalues", "theory")
    for place, name in enumerate(name for name in named if PANELS[name].shown(analysis)):
        PANELS[name].draw(figure.add_subplot(grid[divmod(place, 2)]), analysis)
    return style.picture_bytes(figure, suffix, analysis.settings.as_dict(), {"command": "spectrum"})


def panel_picture(
    analysis: Analysis, name: str, suffix: str, width: ColumnWidth = ColumnWidth.DOUBLE
) -> bytes:
    """Return one panel alone, for a column of a paper whose caption is its title.

    ``name`` as in ``panels.PANELS``. Where the analysis has nothing that it could show, it says so.
    """
    made_by = {"command": "analyze", "panel": name, "width": str(width)}
    figure = panel_figure(analysis, name, width)
    return style.picture_bytes(figure, suffix, analysis.settings.as_dict(), made_by)


def panel_figure(analysis: Analysis, name: str, width: ColumnWidth) -> "Figure":
    """Return one panel alone; see ``panel_picture``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    size, dots, panel = style.PANEL_SIZES[width], style.PANEL_DOTS_PER_INCH, PANELS[name]
    figure = Figure(size, dots, facecolor="white", layout="tight")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if panel.shown(analysis):
        panel.draw(axes, analysis)
    else:
        say(axes, fill(panel.reading(analysis), WORDS_ACROSS))
    axes.set_title("", loc="left")  # The caption is its title.
    for line in axes.lines:  # Lines are no thicker than the text is small.
        line.set_linewidth(line.get_linewidth() * style.text_scale(axes))
    return figure
