"""The panels that show what happened over time: gradient, slopes, training."""

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from gradscope.analysis.results import SLOPE_EDGES, Analysis
from gradscope.arrays import FloatArray, IntArray, quantiles
from gradscope.learning.history import BEYOND
from gradscope.report.figures import style
from gradscope.report.figures.profile_panels import (
    FEW_POINTS,
    MOST_POINTS,
    stage_names,
)
from gradscope.report.figures.style import BLUE, GREEN, GREY, INK, PALE, VERMILLION, Look
from gradscope.report.words.numbers import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TIME = "time step t   (← gradient)"
"""Label of an axis of time."""

MOST_STEPS = 100
"""Places to which a course of more than ``MOST_POINTS`` steps is brought."""

SMOOTHED = 20
"""Parts of a training, over each of which the error is averaged."""

COLORS = (BLUE, GREEN, INK, "#CC79A7")
"""Of layers beside one another."""

MAX_SLOPE = 1.0
"""Slopes are drawn up to that of tanh, whatever the activation, so that pictures compare."""

HEADROOM = 1.05
"""What the height of a linear axis grows by, so that its edge cuts no marker."""


def gradient_panel(axes: "Axes", analysis: Analysis) -> None:
    """Draw log10 ‖∂E/∂h_t‖ by time step."""
    style.dress(axes, TIME, r"$\Vert\partial E/\partial h_t\Vert$")
    gradients = (each.gradient for each in analysis.stages if each.gradient is not None)
    curves = [style.drawable(each.log_by_step) for each in gradients]
    if not any(np.isfinite(values).any() for values in curves):
        style.say(axes, "No error reaches\nany of these states.")
        return
    for stage, words in stage_names(analysis, curves):
        now = stage is analysis.last
        when, values = _coarse(curves[-1 if now else 0])
        look: Look = {"color": BLUE if now else PALE, "linewidth": 1.8 if now else 1.2}
        look |= {"marker": "o" if values.size <= FEW_POINTS else None, "markersize": 3}
        axes.plot(when, values, **look)
        known = np.flatnonzero(np.isfinite(values))
        if known.size and words:
            at = known[known.size // 3]
            place = float(when[at]), float(values[at])
            style.label(axes, words, place, color=BLUE if now else GREY)
    style.show_powers(axes.yaxis)
    axes.set_xlim(0.0, curves[0].size - 1.0)
    axes.locator_params(axis="x", integer=True)


def _coarse(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return times and values by time step; of many steps medians over so many neighbours."""
    wide = -(-values.size // MOST_STEPS) if values.size > MOST_POINTS else 1
    parts = values[: values.size // wide * wide].reshape(-1, wide)
    times = np.arange(len(parts), dtype=np.float64) * wide + (wide - 1) / 2.0
    return times.astype(np.float64), quantiles(parts, (0.5,))[0]


def slopes_panel(axes: "Axes", analysis: Analysis) -> None:
    """Draw the slopes φ′(a_t) over time: median and band over sequences and units, and γ."""
    style.dress(axes, TIME, r"slope $\varphi'(a_t)$")
    slopes = analysis.last.slopes
    low, median, high = (_coarse(each)[1] for each in (slopes.p05, slopes.median, slopes.p95))
    last, when = slopes.median.size, _coarse(slopes.median)[0] + 1
    axes.fill_between(when, low, high, color=BLUE, alpha=0.18, linewidth=0.0)
    marker = "o" if when.size <= FEW_POINTS else None
    axes.plot(when, median, color=BLUE, linewidth=1.8, marker=marker, markersize=3)
    at = when.size // 4
    style.label(axes, "median unit", (float(when[at]), float(median[at])), color=BLUE)
    axes.set(xlim=(0.0, last), ylim=(0.0, 1.3 * max(slopes.ceiling, MAX_SLOPE)))
    axes.set_yticks((0.0, 0.5, 1.0))
    _mark_ceiling(axes, slopes.ceiling, last)
    axes.locator_params(axis="x", integer=True)


def _mark_ceiling(axes: "Axes", ceiling: float, last: int) -> None:
    axes.axhline(ceiling, color=INK, linestyle=":", linewidth=1.2)
    style.label(axes, f"ceiling γ = {number(ceiling)}", (last, ceiling), color=INK)


def saturation_panel(axes: "Axes", analysis: Analysis) -> None:
    """Draw the spread of all slopes at every step, and over all steps at the right."""
    style.dress(axes, TIME, r"slope $\varphi'(a_t)$")
    slopes = analysis.last.slopes
    ceiling, top = slopes.ceiling, max(slopes.ceiling, MAX_SLOPE)
    n_steps = slopes.histogram.shape[0]
    axes.grid(visible=False)
    look: Look = {"origin": "lower", "interpolation": "nearest", "aspect": "auto", "cmap": "Blues"}
    extent = 0.5, n_steps + 0.5, 0.0, ceiling
    axes.imshow(slopes.histogram.T, extent=extent, vmin=0.0, **look)
    axes.set_ylim(0.0, top)
    if ceiling < top:
        _mark_ceiling(axes, ceiling, n_steps)
    beside = axes.inset_axes((1.02, 0.0, 0.2, 1.0))
    overall = slopes.histogram.mean(axis=0)
    height = ceiling * SLOPE_EDGES[1]
    beside.barh(ceiling * SLOPE_EDGES[:-1], overall, height=height, align="edge", color=BLUE)
    beside.set_ylim(0.0, top)
    beside.set_yticks([])
    beside.set_xticks([float(overall.max())], [f"{overall.max():.0%}"])
    style.dress_ticks(beside)
    beside.spines["right"].set_visible(False)
    style.write_above(axes, f"dark: up to {slopes.histogram.max():.0%} of the units")


def training_panel(axes: "Axes", analysis: Analysis) -> None:
    """Draw the error per step by update, raw pale and smoothed bold, over the reach by update with
    the lag that is needed.
    """
    history = analysis.history
    if history is None or not history.updates:
        style.dress(axes, "", "")
        style.say(axes, "Training stopped before\nthe first update was made.")
        return
    style.dress(axes, "update", "error")
    errors, updates = history.error_per_step, np.arange(1, history.updates + 1)
    baseline, verdict = analysis.task_info.baseline, analysis.last.verdict
    draw_course(axes, updates, errors, None if baseline is None else baseline.error)
    if history.clipped_fraction:
        place = history.updates / 2.0, axes.get_ylim()[1]
        text = f"{history.clipped_fraction:.0%} of the updates clipped"
        style.label(axes, text, place, color=GREY)
    if history.reach is not None:
        reach = history.reach
        if analysis.training is not None:
            before = analysis.stages[0].verdict.horizon
            reach = np.concatenate([[[0, BEYOND if before is None else before]], reach])
        draw_reach(axes, {"": reach}, verdict.max_lag, verdict.required_lag)


def draw_course(
    axes: "Axes", updates: IntArray, values: FloatArray, baseline: float | None = None
) -> None:
    """Draw values by update, raw pale and smoothed bold, few of them point by point, beside their
    ``baseline``; by powers of ten where they span more than one.
    """
    few = updates.size <= FEW_POINTS
    wide = 1 if few else max(updates.size // SMOOTHED, 1)
    smooth = np.convolve(values, np.full(wide, 1.0 / wide), "valid")
    by_powers = values.min() > 0.0 and values.max() > 10.0 * values.min()
    scale = np.log10 if by_powers else np.asarray
    axes.plot(updates, scale(values), color=PALE, linewidth=0.8)
    look: Look = {"color": BLUE, "linewidth": 1.8, "marker": "o" if few else None, "markersize": 3}
    axes.plot(updates[wide // 2 :][: smooth.size], scale(smooth), label="error", **look)
    if baseline is not None and (baseline > 0.0 or not by_powers):
        place = float(updates[-1]), float(scale(baseline))
        axes.axhline(place[1], color=INK, linestyle="--", linewidth=1.0)
        style.label(axes, "baseline", place, color=INK)
    if by_powers:
        style.show_powers(axes.yaxis)
    else:
        axes.set_ylim(0.0, HEADROOM * axes.get_ylim()[1])
    if few:
        axes.set_xticks(updates)


def draw_reach(
    axes: "Axes", reaches: Mapping[str, IntArray], far: int, needed: int | None = None
) -> None:
    """Draw below an axes the horizon by update, (n,2), of each name, beside what is ``needed``; one
    beyond the lags hollow, at the last of them, ``far``.
    """
    other = style.axes_below(axes, "reach")
    for (name, reach), color in zip(reaches.items(), itertools.cycle(COLORS)):
        beyond = reach[:, 1] == BEYOND
        steps = np.where(beyond, far, reach[:, 1])
        look: Look = {"color": color, "clip_on": False, "markersize": 4}
        other.plot(reach[:, 0], steps, linewidth=1.2, **look)
        for which, face in ((~beyond, color), (beyond, "white")):
            if which.any():
                other.plot(reach[which, 0], steps[which], "o", markerfacecolor=face, **look)
        words = f"beyond {far}" if beyond.any() else ""
        at = np.flatnonzero(beyond)[-1] if beyond.any() else -1
        if text := ", ".join(filter(None, (name, words))):
            style.label(other, text, (float(reach[at, 0]), float(steps[at])), color=color)
    other.set_ylim(0.0, 1.1 * max(far, needed or 0))
    if needed is not None:
        other.axhline(needed, color=VERMILLION, linewidth=1.2)
        right = other.get_xlim()[1]
        style.label(other, f"needed: {needed}", (right, needed), color=VERMILLION)
