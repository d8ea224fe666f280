"""The panels that show what happened over time: gradient, slopes, training."""

from typing import TYPE_CHECKING

import numpy as np

from gradscope.analysis.results import SLOPE_EDGES, Analysis
from gradscope.arrays import FloatArray, IntArray
from gradscope.report.figures import style
from gradscope.report.figures.profile_panels import FEW_POINTS, draw_stage, drawable, say
from gradscope.report.figures.style import BLUE, GREY, INK, VERMILLION, Look
from gradscope.report.words.numbers import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_SLOPE = 1.0
"""Slopes are drawn up to that of tanh, whatever the activation, so that pictures compare."""

END_OF_AXIS = 1e250
"""Beyond it the ticks of matplotlib's logarithmic axis leave the range of floats."""

HEADROOM = 1.05
"""What the height of a linear axis grows by, so that its edge cuts no marker."""

WIDE_SPAN = 100.0
"""Values whose ends lie this factor apart have enough powers of ten between them for ticks."""


def gradient_panel(axes: "Axes", analysis: Analysis) -> None:
    """Draw log10 ‖∂E/∂h_t‖ by time step."""
    style.dress(axes, "time step t", r"$\log_{10}\,\Vert\partial E/\partial h_t\Vert$")
    curves = [
        (stage, drawable(stage.gradient.log_by_step))
        for stage in analysis.stages
        if stage.gradient is not None
    ]
    if not any(np.isfinite(values).any() for _, values in curves):
        say(axes, "No error reaches\nany of these states.")
        return
    for stage, values in curves:
        draw_stage(axes, analysis, stage, np.arange(values.size), values)
    style.legend(axes)


def slopes_panel(axes: "Axes", analysis: Analysis) -> None:
    """Draw the slopes φ′(a_t) over time: median and band over sequences and units, and γ."""
    style.dress(axes, "time step t", r"slope $\varphi'(a_t)$")
    slopes = analysis.last.slopes
    when = np.arange(1, slopes.median.size + 1)
    style.draw_band(axes, when, slopes.p05, slopes.p95)
    marker = "o" if when.size <= FEW_POINTS else None
    axes.plot(when, slopes.median, color=BLUE, linewidth=2.2, marker=marker, label="median unit")
    _mark_ceiling(axes, slopes.ceiling, when[-1])
    axes.set_ylim(0.0, 1.16 * slopes.ceiling)
    style.legend(axes)


def _mark_ceiling(axes: "Axes", ceiling: float, last: int) -> None:
    axes.axhline(ceiling, color=VERMILLION, linestyle=":", linewidth=2.4)
    style.write(axes, f"slope ceiling γ = {number(ceiling)}", (last, ceiling), (0, 3), ha="right")


def saturation_panel(axes: "Axes", analysis: Analysis) -> None:
    """Draw the spread of all slopes at every step, and over all steps at the right."""
    style.dress(axes, "time step t", r"slope $\varphi'(a_t)$")
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
    style.dress_ticks(beside, style.text_scale(axes))
    beside.spines["right"].set_visible(False)
    style.write_above(
        axes, f"dark: up to {slopes.histogram.max():.0%} of the units; right: all steps"
    )


def training_panel(axes: "Axes", analysis: Analysis) -> None:
    """Draw the error per step and the unclipped gradient norm over the updates, on log axes."""
    history = analysis.training
    if history is None or not history.updates:
        style.dress(axes, "", "")
        say(axes, "Training stopped before\nthe first update was made.")
        return
    style.dress(axes, "update", "error per step")
    updates = np.arange(1, history.updates + 1)
    marker = "o" if history.updates <= FEW_POINTS else None
    if history.updates <= FEW_POINTS:
        axes.set_xticks(updates)
    look: Look = {"color": BLUE, "linewidth": 2.0, "marker": marker}
    axes.plot(updates, history.error_per_step, label="error", **look)
    baseline = analysis.task_info.baseline
    if baseline is not None:
        axes.axhline(baseline.error, color=INK, linestyle="--", linewidth=1.3, label="baseline")
    _log_if_wide(axes, history.error_per_step)
    other = _norms_behind(axes, updates, history.gradient_norm, marker)
    if history.clipped_fraction:
        text = f"{history.clipped_fraction:.0%} of the updates clipped"
        style.write(axes, text, (0.98, 0.96), xycoords="axes fraction", ha="right", va="top")
    style.legend(axes, [other])


def _norms_behind(axes: "Axes", updates: IntArray, norms: FloatArray, marker: str | None) -> "Axes":
    """Draw the unclipped gradient norm behind the errors, on a second axis, and return it."""
    other = style.second_axis(axes, "gradient norm, unclipped")
    look: Look = {"color": VERMILLION, "linewidth": 0.8, "marker": marker}
    other.plot(updates, norms, label="gradient norm", **look)
    _log_if_wide(other, norms)
    other.spines["left"].set_visible(False)
    other.spines["right"].set_color(GREY)
    axes.set_zorder(other.get_zorder() + 1)
    axes.patch.set_visible(False)
    axes.grid(visible=False)  # It would cut through the curve of the axes behind.
    return other


def _log_if_wide(axes: "Axes", values: FloatArray) -> None:
    """Use a logarithmic axis where the values span more than one power of ten."""
    from matplotlib.ticker import LogLocator, NullFormatter

    positive = values[values > 0.0]
    if positive.size and positive.max() > 10.0 * positive.min():
        if positive.max() > END_OF_AXIS:
            axes.set_ylim(positive.min() / 10.0, END_OF_AXIS)
        axes.set_yscale("log")
        if positive.max() < WIDE_SPAN * positive.min():
            # As "2 × 10⁰" they would push the label of the axis off the page.
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(0.0, HEADROOM * axes.get_ylim()[1])
