"""The picture of ``compare``: how far back each network reaches, and how far it must.

One row for each network and length, or for each file: a bar to the median horizon, a dot for each
seed, a tick at the lag that is needed, and the numbers beside them.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gradscope.analysis.results import Analysis, Comparison
from gradscope.names import Regime
from gradscope.report.documents.rows import comparison_made_by, file_of, median_reach, middle
from gradscope.report.figures import pages, style
from gradscope.report.figures.profile_panels import strip
from gradscope.report.figures.style import FAINT, GREY, INK, VERMILLION, Look
from gradscope.report.words.cells import short_name
from gradscope.report.words.headline import (
    REGIME_LOOKS,
    common_regime,
    comparison_headline,
    horizon,
    seeds_of,
)
from gradscope.report.words.numbers import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_NAME = 24
"""Last letters of a file's name that stand beside its row."""

MAX_ROWS = 100
"""Rows that are drawn."""

ROW, HEAD, STRIP, APART = 0.17, 1.25, 0.55, 0.5
"""Inches: from row to row, above and below all of them, of the strip; rows between networks."""

BAR, TICK = 0.62, 0.42
"""Height of a bar, and of a tick to both sides of its row, in rows."""

COLUMNS = {"reach": 60.0, "needed": 102.0, "error": 142.0}
"""Points from the axes to the right end of each column of numbers."""

Group = tuple[Analysis, ...]
"""The seeds of one network at one length."""


def comparison_picture(comparison: Comparison, suffix: str) -> bytes:
    """Return the picture of ``compare`` as the bytes of a ``.png``, ``.svg`` or ``.pdf``."""
    settings, made_by = comparison.analyses[0].settings.as_dict(), comparison_made_by(comparison)
    return pages.picture_bytes(comparison_figure(comparison), suffix, settings, made_by)


def comparison_figure(comparison: Comparison) -> "Figure":
    """Return how far each network reaches at each length, or each file."""
    rows, shown = _rows(comparison), 1 if pages.is_narrow() else len(COLUMNS)
    names = [short_name(group[0].settings) for group in rows]
    # Rows of one network stand together.
    news = np.array([name not in names[:place] for place, name in enumerate(names)])
    places = np.arange(len(rows)) + APART * (np.cumsum(news) - 1) * (not news.all())
    heights = STRIP, ROW * (float(places[-1]) + 1.0)
    size = pages.PAGE[0], HEAD + sum(heights)
    figure = pages.new_page(comparison_headline(comparison), _about(comparison, rows), size)
    grid = figure.add_gridspec(2, 1, height_ratios=heights)
    axes = figure.add_subplot(grid[1])
    style.dress(axes, style.LAG, "")
    axes.set_xlim(0.0, 1.01 * max(each.last.verdict.max_lag for group in rows for each in group))
    axes.locator_params(axis="x", integer=True)
    # What reaches furthest over the longest sequences and does not explode, its first seed.
    sound = [
        group
        for group in rows
        if common_regime([each.last for each in group]) is not Regime.EXPLODING
    ] or rows
    best = max(
        sound or rows, key=lambda g: (g[0].settings.steps, median_reach([e.last for e in g]))
    )
    above = figure.add_subplot(grid[0], sharex=axes)
    strip(above, best[0])
    _write_name(above, 0.0, short_name(best[0].settings), f"T = {best[0].settings.steps}")
    several = len({group[0].settings.steps for group in rows}) > 1
    for place, group, name, new in zip(places.tolist(), rows, names, news, strict=True):
        _draw_row(axes, place, group)
        _write_numbers(axes, place, group, shown)
        length = f"T = {group[0].settings.steps}" if several else ""
        _write_name(axes, place, name if new else "", length)
    for word, right in list(COLUMNS.items())[:shown]:
        top: Look = {"xycoords": "axes fraction", "ha": "right", "color": GREY}
        style.write(axes, word, (1.0, 1.0), (right, 3), **top)
    axes.set_ylim(places[-1] + 0.5, -0.5)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    return figure


def _rows(comparison: Comparison) -> list[Group]:
    """Return the groups by network, each from the shortest to the longest sequence."""
    names = list(dict.fromkeys(short_name(each.settings) for each in comparison.analyses))
    order = lambda g: (names.index(short_name(g[0].settings)), g[0].settings.steps)  # noqa: E731
    return sorted(comparison.groups, key=order)[:MAX_ROWS]


def _about(comparison: Comparison, rows: Sequence[Group]) -> str:
    """Return how the rows are read, and what all share."""
    first, many = comparison.analyses[0], max(map(len, rows)) > 1
    settings, left_out = first.settings, len(comparison.groups) - len(rows)
    beyond = any(each.last.verdict.horizon is None for group in rows for each in group)
    read = "bar: median reach, dots: seeds" if many else "bar: reach"
    read += ", hollow: beyond the lags measured" * beyond
    read += ", grey: before training" * (len(first.stages) > 1)
    shared = f"{settings.hidden} hidden units, {settings.init} init; {settings.updates} updates"
    shared += f"; {seeds_of(comparison)}"
    shared = shared if file_of(first) is None else first.task_info.description
    return f"{read}; {shared}" + (f"; {left_out} more rows are not drawn" if left_out else "")


def _draw_row(axes: "Axes", place: float, group: Group) -> None:
    """Draw what was measured, the bar and its seeds, what is needed, what was before training."""
    verdicts = [each.last.verdict for each in group]
    color = REGIME_LOOKS[common_regime([each.last for each in group])].color
    lags, needed = max(each.max_lag for each in verdicts), verdicts[0].required_lag
    reach = min(median_reach([each.last for each in group]), float(lags))
    axes.plot((0, lags), (place, place), color=FAINT, linewidth=0.8, zorder=0.5)
    if needed is not None:
        if reach < needed:
            missing: Look = {"color": VERMILLION, "alpha": 0.12, "linewidth": 0.0}
            axes.barh(place, needed - reach, BAR, left=reach, **missing)
        axes.vlines(needed, place - TICK, place + TICK, color=INK, linewidth=1.6, zorder=4)
    axes.barh(place, reach, BAR, color=color, alpha=0.35, linewidth=0.0)
    if len(group[0].stages) > 1:
        before = min(median_reach([each.stages[0] for each in group]), float(lags))
        axes.vlines(before, place - TICK, place + TICK, color=style.PALE, linewidth=1.6)
    if len(group) > 1:
        axes.vlines(reach, place - TICK, place + TICK, color=color, linewidth=2.6, zorder=3)
    spread = np.linspace(-0.24, 0.24, len(verdicts)) if len(verdicts) > 1 else (0.0,)
    for each, aside in zip(verdicts, spread, strict=True):
        shade = REGIME_LOOKS[each.regime].color
        face = "white" if each.horizon is None else shade
        look: Look = {"color": shade, "markersize": 3.2, "markeredgewidth": 0.9, "zorder": 5}
        dot = each.horizon or each.max_lag
        axes.plot(dot, place + aside, "o", markerfacecolor=face, clip_on=False, **look)


def _write_name(axes: "Axes", place: float, name: str, length: str) -> None:
    side: Look = {"xycoords": ("axes fraction", "data"), "va": "center", "ha": "right"}
    name = style.plain_text(Path(name).name[-MAX_NAME:])
    style.write(axes, length, (0.0, place), (-6, 0), color=GREY, **side)
    style.write(axes, name, (0.0, place), (-56 if length else -6, 0), weight="bold", **side)


def _write_numbers(axes: "Axes", place: float, group: Group, shown: int) -> None:
    """Write under the first of ``COLUMNS`` the median reach, what is needed, the error in parts of
    the baseline's.
    """
    last, needed = [each.last for each in group], group[0].last.verdict.required_lag
    look, reach = REGIME_LOOKS[common_regime(last)], horizon(*last)
    errors = [math.nan if e.relative_error is None else e.relative_error for e in group]
    error = "–" if np.isnan(errors).any() else number(middle(errors), 2)
    numbers = f"{look.symbol} {reach}", "–" if needed is None else str(needed), error
    for text, right in list(zip(numbers, COLUMNS.values(), strict=True))[:shown]:
        side: Look = {"xycoords": ("axes fraction", "data"), "va": "center", "ha": "right"}
        side |= {"weight": "bold", "color": look.color} if text is numbers[0] else {}
        style.write(axes, text, (1.0, place), (right, 0), **side)
