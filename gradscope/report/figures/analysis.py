"""The pictures of an analysis: the hero, the page that it leads, all panels, one alone."""

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np

from gradscope.analysis.results import Analysis
from gradscope.arrays import FloatArray, quantiles
from gradscope.diagnosis.reasons import ReasonCode
from gradscope.diagnosis.thresholds import Thresholds
from gradscope.jacobians.lag_norms import LagNorms
from gradscope.names import ColumnWidth
from gradscope.report.figures import pages, style
from gradscope.report.figures.panels import HERO, PANELS, REPORT, Band, Panel, View
from gradscope.report.figures.profile_panels import (
    causes_panel,
    draw_curve,
    hero_profile,
    strip,
)
from gradscope.report.figures.style import BLUE, GREY, Look
from gradscope.report.figures.time_panels import training_panel
from gradscope.report.provenance.recipe import command_line
from gradscope.report.words.captions import lyapunov_sentence
from gradscope.report.words.cells import CAUSE_LABELS
from gradscope.report.words.headline import answer, describe, horizon
from gradscope.report.words.numbers import count, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec


def profile_picture(
    norms: LagNorms, threshold: float, log_bound: FloatArray | None = None
) -> bytes:
    """Return a lag profile as the bytes of a PNG, in the corridor from the ``threshold`` of σ_max
    below which it has vanished; with ``log_bound`` (L,) in nats where there is one.
    """
    about = f"{norms.lags.size} lags, {norms.log_norms.shape[1]} sequences"
    figure = pages.new_page("Gradient that arrives, by lag", about)
    axes = figure.add_subplot()
    style.dress(axes, style.LAG, style.SIGMA_MAX)
    style.show_corridor(axes, threshold, Thresholds().exploding)
    axes.set_xlim(0.0, float(norms.lags[-1]))
    look: Look = {"color": BLUE, "linewidth": 2.2}
    draw_curve(axes, norms.lags, quantiles(norms.log_norms, (0.5,))[0], "median", look, to=True)
    if log_bound is not None and np.isfinite(log_bound).all():
        draw_curve(axes, norms.lags, log_bound, "bound", {"color": GREY, "linestyle": ":"})
    return pages.picture_bytes(figure, ".png", {}, pages.BY_HAND)


WORDS_ACROSS = 36
"""Characters in a line of what a panel says where it has nothing to draw."""

HERO_SIZE, SMALL_ROW, STACKED, SPECTRUM_ROW = (7.2, 3.6), 2.1, 0.8, 2.3
"""Inches: the hero, what a row of small panels adds to its height and what causes below the profile
do, a row of panels of a spectrum."""

CARD = (1200, 630)
"""Dots: what web pages show of a link."""

SMALL_PANELS = ("gradient", "slopes", "training")
"""What a report of one page has below the hero, where the analysis has it."""

WIDER = 1.35
"""Width of the training, of which each half has a margin of its own, in that of other panels."""

A4, ACROSS = (8.27, 11.69), 3
"""Inches; panels side by side on it."""


def analysis_picture(
    analysis: Analysis,
    suffix: str,
    panel: str = "",
    view: View = REPORT,
    command: str = "analyze",
) -> bytes:
    """Return one ``panel`` of an analysis, or else what a ``view`` shows of it, by default the page
    that a ``command`` draws, as the bytes of a ``.png``, ``.svg`` or ``.pdf``.
    """
    made_by = {"command": command}
    if panel:
        made_by |= {"panel": panel, "width": str(view.width)}
        hero = panel == HERO
        figure = hero_figure(analysis) if hero else panel_figure(analysis, panel, view.width)
    elif view.sheet:
        figure, made_by["sheet"] = sheet_figure(analysis), "all"
    elif view.card:
        figure, made_by["card"] = hero_figure(analysis, card=True), "web"
    else:
        pages_of = {"train": training_figure, "spectrum": spectrum_figure}
        figure = pages_of.get(command, analysis_figure)(analysis)
    return pages.picture_bytes(figure, suffix, analysis.settings.as_dict(), made_by)


def analysis_figure(analysis: Analysis) -> "Figure":
    """Return the report of one page: the hero, and below it at most three small panels; in a single
    column, and where there are none, the hero alone.
    """
    names = [name for name in SMALL_PANELS if PANELS[name].shown(analysis)]
    if pages.is_narrow() or not names:
        return hero_figure(analysis)
    figure = _page(analysis, (HERO_SIZE[0], HERO_SIZE[1] + SMALL_ROW))
    grid = figure.add_gridspec(2, 1, height_ratios=(HERO_SIZE[1] - 0.6, SMALL_ROW))
    _draw_hero(figure, grid[0], analysis)
    widths = [WIDER if name == "training" else 1.0 for name in names]
    row = grid[1].subgridspec(1, len(names), width_ratios=widths)
    for place, name in enumerate(names):
        PANELS[name].draw(figure.add_subplot(row[place]), analysis)
    return figure


def hero_figure(analysis: Analysis, *, card: bool = False) -> "Figure":
    """Return the answer in one picture: the network over time, how much arrives, and why; as a
    ``card`` of the size in which web pages show a link, the command at its foot.
    """
    tall = HERO_SIZE[1] + STACKED * pages.is_narrow()
    shape = HERO_SIZE[0], HERO_SIZE[0] * CARD[1] / CARD[0] if card else tall
    figure = _page(analysis, shape, foot=card)
    if card:
        figure.set_dpi(CARD[0] / HERO_SIZE[0])
    _draw_hero(figure, figure.add_gridspec(1, 1)[0], analysis)
    return figure


def training_figure(analysis: Analysis) -> "Figure":
    """Return how the error went in training, over the reach."""
    first, last, history = analysis.stages[0], analysis.last, analysis.training
    baseline, needed, title = analysis.task_info.baseline, last.verdict.required_lag, ""
    if history is not None and baseline is not None and first.error and last.error is not None:
        errors = " to ".join(number(each / baseline.error, 2) for each in (first.error, last.error))
        title = f"In {count(history.updates, 'update')} the error goes from {errors} of the "
        title += f"baseline's; the gradient reaches {horizon(last)} steps"
        title += f", {needed} are needed" * (needed is not None)
    figure = _page(analysis, HERO_SIZE, title)
    training_panel(figure.add_subplot(), analysis)
    return figure


def sheet_figure(analysis: Analysis) -> "Figure":
    """Return every panel that an analysis has on a page of A4: whether, why, and in depth."""
    figure = _page(analysis, A4)
    shown = [each for each in PANELS.values() if each.shown(analysis)]
    bands = {band: found for band in Band if (found := [e for e in shown if e.band is band])}
    rows = {band: _in_rows(found) for band, found in bands.items()}
    grid = figure.add_gridspec(len(rows), 1, height_ratios=list(map(len, rows.values())))
    for at, (band, lines) in enumerate(rows.items()):
        part = figure.add_subfigure(grid[at])
        part.suptitle(str(band), x=0.01, ha="left", size=style.TITLE_SIZE, color=GREY)
        places = part.add_gridspec(len(lines), 1)
        for place, line in enumerate(lines):
            widths = [panel.across for panel in line]
            row = places[place].subgridspec(1, len(line), width_ratios=widths)
            for column, panel in enumerate(line):
                panel.draw(part.add_subplot(row[column]), analysis)
    return figure


def _in_rows(panels: Sequence[Panel]) -> list[list[Panel]]:
    """Return panels in rows of at most ``ACROSS`` columns, each row filled by what it has."""
    rows: list[list[Panel]] = [[]]
    for panel in panels:
        if sum(each.across for each in rows[-1]) + panel.across > ACROSS:
            rows.append([])
        rows[-1].append(panel)
    return rows


def _page(
    analysis: Analysis, size: tuple[float, float], title: str = "", *, foot: bool = False
) -> "Figure":
    words = title or answer(analysis), describe(analysis.settings, analysis)
    return pages.new_page(*words, size, command_line(analysis.settings) if foot else "")


def _draw_hero(figure: "Figure", place: "SubplotSpec", analysis: Analysis) -> None:
    grid = place.subgridspec(2, 2, height_ratios=(1, 4.2), width_ratios=(2.2, 1))
    causes = grid[:, 1]
    if pages.is_narrow():
        grid = place.subgridspec(3, 1, height_ratios=(1, 4.2, 2.5))
        causes = grid[2, 0]
    profile, why = figure.add_subplot(grid[1, 0]), figure.add_subplot(causes)
    hero_profile(profile, analysis)
    strip(figure.add_subplot(grid[0, 0], sharex=profile), analysis)
    causes_panel(why, analysis)
    main = analysis.last.verdict.reason(ReasonCode.MAIN_CAUSE)
    cause = main and CAUSE_LABELS.get(str(main.numbers["cause"]), str(main.numbers["cause"]))
    style.set_title(why, f"Why: mainly {cause}" if cause else "Why")
    style.set_title(profile, f"Gradient that arrives, {style.SIGMA_MAX}")
    profile.set_ylabel("")


def spectrum_figure(analysis: Analysis) -> "Figure":
    """Return exponents, singular values, eigenvalues and theory."""
    named = ("lyapunov", "singular", "eigenvalues", "theory")
    names, columns = [each for each in named if PANELS[each].shown(analysis)], 2
    if pages.is_narrow():
        columns = 1
    rows = -(-len(names) // columns)
    title = f"Largest Lyapunov exponent: {lyapunov_sentence(analysis)}"
    figure = _page(analysis, (HERO_SIZE[0], 0.8 + SPECTRUM_ROW * rows), title)
    grid = figure.add_gridspec(rows, columns)
    for place, name in enumerate(names):
        PANELS[name].draw(figure.add_subplot(grid[divmod(place, columns)]), analysis)
    return figure


def panel_figure(analysis: Analysis, name: str, width: ColumnWidth) -> "Figure":
    """Return one panel alone, for a column of a paper whose caption is its title; it says so where
    the analysis has nothing that it could show.
    """
    figure, axes = pages.new_panel(width)
    panel = PANELS[name]
    if panel.shown(analysis):
        panel.draw(axes, analysis)
    else:
        style.say(axes, fill(panel.reading(analysis), WORDS_ACROSS))
    axes.set_title("", loc="left")
    return figure
