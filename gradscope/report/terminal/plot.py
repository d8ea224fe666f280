"""The lag profile as text: a braille canvas, or plain ASCII where the terminal shows nothing else.

A character holds 2 × 4 braille dots (Unicode 2800 to 28FF) or one ASCII mark.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from gradscope.analysis.results import Analysis
from gradscope.arrays import LN_10, FloatArray
from gradscope.report.screen import Screen, to_ascii
from gradscope.report.words.numbers import fraction, level, steps

ROWS = 12
"""Height in character rows: with table and verdict, a page fits a screen of 50."""

GUTTER = 10
"""Columns left of the canvas, for the labels of the axis."""

WIDEST = 120
"""Most columns of the canvas: a longer line is harder to read, not more exact."""

BRAILLE = 0x2800
DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""The bit of each dot, by row and column within a cell (Unicode chapter 21.1)."""

CURVES: Mapping[str, tuple[str, int, int]] = MappingProxyType(
    {"threshold": ("-", 12, 6), "bound": (".", 4, 1), "median": ("*", 1, 1)}
)
"""The ASCII mark of each curve, and how many dots of how many columns are drawn in braille; later
ones on top."""


@dataclass(frozen=True, eq=False, slots=True)
class _View:
    """What part of the plane is drawn: lags 1 … ``n_lags``, log10 values ``low`` … ``high``."""

    n_lags: int
    low: float
    high: float

    def heights(self, values: FloatArray, rows: int) -> FloatArray:
        """Return rows counted from the top (float); NaN where a value lies outside the view."""
        slack = 1e-9 * (self.high - self.low)
        inside = (values >= self.low - slack) & (values <= self.high + slack)
        scaled = (self.high - values) / (self.high - self.low) * (rows - 1)
        heights: FloatArray = np.where(inside, scaled, np.nan)
        return heights


def profile_plot(analysis: Analysis, screen: Screen) -> str:
    """Return the last stage's profile by lag as lines of text, none wider than the screen."""
    stage, settings = analysis.last, analysis.settings
    columns = max(min(screen.width - GUTTER - 2, WIDEST), 20)
    threshold = float(np.log10(settings.vanishing))
    curves = {
        "threshold": np.full(stage.profile.lags.size, threshold),
        "bound": stage.profile.log_bound / LN_10,
        "median": stage.profile.median / LN_10,
    }
    view = _view(curves["median"], threshold)
    canvas = (_braille if screen.unicode else _ascii)(curves, view, columns)
    title = "log10 σ_max(∂h_T/∂h_T−ℓ) against the lag ℓ"
    lines_of = {
        "median": ("solid", "median"),
        "bound": ("dotted", "the bound"),
        "threshold": ("dashed", fraction(settings.vanishing)),
    }
    legend = "; ".join(
        f"{line if screen.unicode else CURVES[name][0]}: {what}"
        for name, (line, what) in lines_of.items()
        if np.isfinite(view.heights(curves[name], ROWS)).any()
    )
    lines = [title, *_framed(canvas, view), *_lag_axis(view, columns, stage.verdict.horizon)]
    text = "\n".join([*lines, " " * GUTTER + legend])
    return text if screen.unicode else to_ascii(text)


def _view(median: FloatArray, threshold: float) -> _View:
    """Return a view with the whole median, 0, and the threshold where the median comes near it."""
    finite = median[np.isfinite(median)]
    low, high = float(np.min(finite, initial=0.0)), float(np.max(finite, initial=0.0))
    if low < threshold / 2 or finite.size < median.size:
        low = min(low, threshold)
    if high - low < 0.1:
        low, high = low - 0.05, high + 0.05
    return _View(median.size, low, high)


def _sampled(view: _View, values: FloatArray, columns: int) -> FloatArray:
    """Return the curve at evenly spaced lags, one per column."""
    at = np.linspace(1.0, view.n_lags, columns)
    if not np.isneginf(values).any():
        sampled: FloatArray = np.interp(at, np.arange(1, view.n_lags + 1), values)
        return sampled
    nearest: FloatArray = values[np.rint(at).astype(np.int64) - 1]
    return nearest


def _braille(curves: Mapping[str, FloatArray], view: _View, columns: int) -> list[str]:
    dots = np.zeros((4 * ROWS, 2 * columns), dtype=np.bool_)
    for name, (_, period, drawn) in CURVES.items():
        heights = view.heights(_sampled(view, curves[name], 2 * columns), 4 * ROWS)
        before = np.concatenate([heights[:1], heights[:-1]])
        # A solid line has no gaps: each of its columns reaches halfway to the one before.
        alone = np.isnan(before) | (period > 1)
        ends = np.where(alone, heights, (heights + before) / 2)
        within = np.arange(2 * columns) % period < drawn
        for column in np.flatnonzero(within & ~np.isnan(heights)):
            start, stop = sorted((round(heights[column]), round(ends[column])))
            dots[start : stop + 1, column] = True
    bits = np.einsum("rict,it->rc", dots.reshape(ROWS, 4, columns, 2), DOTS)
    return ["".join(chr(BRAILLE + int(bit)) for bit in row) for row in bits]


def _ascii(curves: Mapping[str, FloatArray], view: _View, columns: int) -> list[str]:
    canvas = np.full((ROWS, columns), " ")
    for name, (mark, _, _) in CURVES.items():
        heights = view.heights(_sampled(view, curves[name], columns), ROWS)
        for column in np.flatnonzero(~np.isnan(heights)):
            canvas[round(heights[column]), column] = mark
    return ["".join(row) for row in canvas]


def _framed(canvas: list[str], view: _View) -> list[str]:
    """Put the axis beside the canvas: a number at the top, the middle and the bottom."""
    labels = {0: view.high, ROWS // 2: (view.high + view.low) / 2, ROWS - 1: view.low}
    if view.low < 0.0 < view.high:
        zero = round(view.high / (view.high - view.low) * (ROWS - 1))
        labels = {row: value for row, value in labels.items() if abs(row - zero) > 1}
        labels[zero] = 0.0
    return [
        f"{level(labels[row]) if row in labels else '':>{GUTTER - 2}} |{line}"
        for row, line in enumerate(canvas)
    ]


def _lag_axis(view: _View, columns: int, horizon: int | None) -> list[str]:
    """Return the axis of lags, with a mark where the horizon lies."""
    rule = ["-"] * columns
    last = str(view.n_lags)
    ends = "1" + " " * max(columns - 1 - len(last), 1) + last
    if horizon is not None:
        place = round((horizon - 1) / max(view.n_lags - 1, 1) * (columns - 1))
        rule[place] = "^"
        text = f"horizon: {steps(horizon)}"
        start = min(max(place - len(text) // 2, 2), columns - len(last) - len(text) - 1)
        if start > 1:
            ends = ends[:start] + text + ends[start + len(text) :]
    return [" " * (GUTTER - 1) + "+" + "".join(rule), " " * GUTTER + ends]
