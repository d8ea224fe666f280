"""The panels that reports are made of: each draws one question's answer onto one axes.

Norms are drawn as log10, lags and steps as they are. The last stage is solid and blue, the stage
before it dashed and grey, the bound dotted.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.report.figures_style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    LABEL_SIZE,
    ORANGE,
    TICK_SIZE,
    VERMILLION,
    dress,
    legend,
    text_scale,
)
from gradscope.report.words import LN_10, fraction, number, stage_title, steps
from gradscope.study.results import Analysis, Stage

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEW_POINTS = 12
"""Curves with no more points than this show each of them."""

CAUSE_NAMES = ("weights", "slope ceiling γ", "misalignment", "saturation", "growth rate")

LARGEST_RISE = 0.5
"""The bound may stretch the axis of a profile by this many times the measured span."""

STAGE_LOOKS = (
    {"color": GREY, "linestyle": "--", "linewidth": 1.8},
    {"color": BLUE, "linestyle": "-", "linewidth": 2.6},
)


def profile_panel(axes: "Axes", analysis: Analysis) -> None:
    """Draw log10 σ_max by lag: median, band over sequences, bound, threshold, horizon, need."""
    dress(
        axes,
        "How much of the gradient arrives, by lag",
        "lag ℓ (steps back)",
        r"$\log_{10}\,\sigma_{\max}(\partial h_T/\partial h_{T-\ell})$",
    )
    for stage, look in _looks(analysis):
        profile = stage.profile
        axes.plot(
            profile.lags,
            _drawable(profile.median),
            label=stage_title(stage.name, analysis.training),
            marker="o" if profile.lags.size <= FEW_POINTS else None,
            **look,
        )
    last = analysis.last.profile
    low, high = _drawable(last.quantile(0.05)), _drawable(last.quantile(0.95))
    axes.fill_between(
        last.lags, low, high, color=BLUE, alpha=0.18, linewidth=0, label="5 % to 95 %"
    )
    axes.plot(
        last.lags,
        last.log_bound / LN_10,
        color=VERMILLION,
        linestyle=":",
        linewidth=2.4,
        label=r"bound $(\gamma\,\sigma_{\max}(W))^\ell$",
    )
    _limit_rise(axes, analysis)
    _mark_lags(axes, analysis)
    legend(axes)


def _looks(analysis: Analysis) -> list[tuple[Stage, dict[str, Any]]]:
    """Return the stages, each with the look of its curve."""
    looks = STAGE_LOOKS[-len(analysis.stages) :]
    return [(stage, dict(look)) for stage, look in zip(analysis.stages, looks, strict=True)]


def _drawable(nats: FloatArray) -> FloatArray:
    """Return log10 values, NaN (a gap) where the product is exactly zero."""
    values: FloatArray = np.where(np.isfinite(nats), nats, np.nan) / LN_10
    return values


def _limit_rise(axes: "Axes", analysis: Analysis) -> None:
    """Keep the measured curves large: the bound may run out of the picture."""
    curves = [_drawable(s.profile.quantile(q)) for s in analysis.stages for q in (0.05, 0.95)]
    measured = np.concatenate([*curves, [0.0]])
    threshold = np.log10(analysis.settings.vanishing)
    low = min(float(np.nanmin(measured)), threshold if np.nanmin(measured) < threshold / 3 else 0)
    high = float(np.nanmax(measured))
    span = max(high - low, 0.5)
    bound = analysis.last.profile.log_bound / LN_10
    top = min(max(high, float(np.max(bound))), high + LARGEST_RISE * span)
    axes.set_ylim(low - 0.06 * span, top + 0.08 * (top - low) + 0.02 * span)
    axes.set_xlim(0, analysis.last.profile.lags[-1] * 1.01 + 0.5)


def _mark_lags(axes: "Axes", analysis: Analysis) -> None:
    """Mark the threshold, the memory horizon and the lag that the task needs."""
    verdict, threshold = analysis.last.verdict, analysis.settings.vanishing
    axes.axhline(np.log10(threshold), color=INK, linestyle=(0, (6, 4)), linewidth=1.0)
    top = axes.get_ylim()[1]
    for lag, text, color in (
        (verdict.horizon, "memory horizon", GREEN),
        (verdict.required_lag, "the task needs", ORANGE),
    ):
        if lag is None or lag > analysis.last.profile.lags[-1]:
            continue
        axes.axvline(lag, color=color, linestyle="-." if color == GREEN else "-", linewidth=2.0)
        right = lag < 0.75 * axes.get_xlim()[1]
        axes.annotate(
            f"{text}: {steps(lag)}",
            (lag, top),
            xytext=(5 if right else -5, -4 if color == GREEN else -22),
            textcoords="offset points",
            ha="left" if right else "right",
            va="top",
            size=TICK_SIZE * text_scale(axes),
            color=INK,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5},
        )
    if axes.get_ylim()[0] < np.log10(threshold):
        axes.annotate(
            f"{fraction(threshold)}: vanished",
            (axes.get_xlim()[1], np.log10(threshold)),
            xytext=(-2, 3),
            textcoords="offset points",
            ha="right",
            size=(TICK_SIZE - 1) * text_scale(axes),
            color=GREY,
        )


def causes_panel(axes: "Axes", analysis: Analysis) -> None:
    """Draw the waterfall from 0 through the four causes to the growth rate, nats a step."""
    dress(axes, "Why: what makes the growth rate", "nats a step", "")
    causes = analysis.last.causes
    if causes.total is None:
        _say(axes, "The product is exactly zero:\nthere is no rate to explain.")
        return
    terms = (causes.weights, causes.slope_ceiling, causes.misalignment, causes.saturation)
    parts = np.array([term or 0.0 for term in terms])
    ends = np.cumsum(parts)
    starts = ends - parts
    rising = parts >= 0
    bars = axes.barh(range(4), parts, left=starts, color=np.where(rising, BLUE, VERMILLION))
    for bar, rises in zip(bars, rising, strict=True):
        bar.set(hatch="" if rises else "//", edgecolor="white")
    axes.barh(4, causes.total, color=INK)
    axes.vlines(ends, np.arange(4) + 0.4, np.arange(4) + 0.6, color=GREY, linewidth=1.0)
    axes.axvline(0.0, color=GREY, linewidth=1.0)
    _label_bars(axes, np.append(starts, 0.0), np.append(parts, causes.total))
    axes.set_yticks(range(5), CAUSE_NAMES)
    axes.invert_yaxis()
    axes.locator_params(axis="x", nbins=5)
    axes.grid(visible=False, axis="y")


def _label_bars(axes: "Axes", starts: FloatArray, sizes: FloatArray) -> None:
    """Write each bar's number beyond its right end, and make room for it."""
    rights = np.maximum(starts, starts + sizes)
    low, high = min(0.0, float(np.min(np.minimum(starts, starts + sizes)))), float(np.max(rights))
    span = max(high - low, 0.05)
    axes.set_xlim(low - 0.04 * span, max(high, 0.0) + 0.3 * span)
    for place, (right, size) in enumerate(zip(rights, sizes, strict=True)):
        axes.annotate(
            f"{size:+.3f}".replace("-", "−"),
            (right, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            size=TICK_SIZE * text_scale(axes),
            color=INK,
        )


def gradient_panel(axes: "Axes", analysis: Analysis) -> None:
    """Draw log10 ‖∂E/∂h_t‖ by time step."""
    dress(
        axes,
        "Gradient norm by time step",
        "time step t",
        r"$\log_{10}\,\Vert\partial E/\partial h_t\Vert$",
    )
    for stage, look in _looks(analysis):
        values = _drawable(stage.gradient.log_by_step)
        axes.plot(
            np.arange(values.size),
            values,
            label=stage_title(stage.name, analysis.training),
            marker="o" if values.size <= FEW_POINTS else None,
            **look,
        )
    legend(axes)


def slopes_panel(axes: "Axes", analysis: Analysis) -> None:
    """Draw the slopes φ′(a_t) over time: median and band over sequences and units, and γ."""
    dress(axes, "Saturation: slopes over time", "time step t", r"slope $\varphi'(a_t)$")
    slopes = analysis.last.slopes
    when = np.arange(1, slopes.median.size + 1)
    axes.fill_between(
        when, slopes.p05, slopes.p95, color=BLUE, alpha=0.18, linewidth=0, label="5 % to 95 %"
    )
    marker = "o" if when.size <= FEW_POINTS else None
    axes.plot(when, slopes.median, color=BLUE, linewidth=2.2, marker=marker, label="median unit")
    axes.axhline(slopes.ceiling, color=VERMILLION, linestyle=":", linewidth=2.4)
    axes.annotate(
        f"slope ceiling γ = {number(slopes.ceiling)}",
        (when[-1], slopes.ceiling),
        xytext=(0, 3),
        textcoords="offset points",
        ha="right",
        size=TICK_SIZE * text_scale(axes),
        color=INK,
    )
    axes.set_ylim(0.0, 1.16 * slopes.ceiling)
    legend(axes)


def training_panel(axes: "Axes", analysis: Analysis) -> None:
    """Draw the error a step and the unclipped gradient norm over the updates, both logarithmic."""
    history = analysis.training
    if history is None or not history.updates:
        dress(axes, "Training", "", "")
        _say(axes, "Training stopped before\nthe first update was made.")
        return
    dress(axes, "Training", "update", "error a step")
    updates = np.arange(1, history.updates + 1)
    axes.plot(updates, history.error_per_step, color=BLUE, linewidth=2.0, label="error")
    axes.axhline(
        analysis.facts.baseline.error, color=INK, linestyle="--", linewidth=1.3, label="baseline"
    )
    _log_if_wide(axes, history.error_per_step)
    other = axes.twinx()
    other.plot(
        updates,
        history.gradient_norm,
        color=VERMILLION,
        linewidth=0.8,
        label="gradient norm",
    )
    other.set_ylabel("gradient norm, unclipped", size=LABEL_SIZE * text_scale(axes), color=INK)
    _log_if_wide(other, history.gradient_norm)
    other.tick_params(labelsize=TICK_SIZE * text_scale(axes), colors=INK, length=3)
    for side in ("top", "left"):
        other.spines[side].set_visible(False)
    other.spines["right"].set_color(GREY)
    axes.set_zorder(other.get_zorder() + 1)
    axes.patch.set_visible(False)
    axes.grid(visible=False)  # It would cut through the curve of the axes behind.
    legend(axes, [other])


def _log_if_wide(axes: "Axes", values: FloatArray) -> None:
    """Use a logarithmic axis where the values span more than one power of ten."""
    positive = values[values > 0.0]
    if positive.size and positive.max() > 10.0 * positive.min():
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0.0)


def _say(axes: "Axes", text: str) -> None:
    """Write a sentence where there is nothing to draw."""
    axes.text(
        0.5,
        0.5,
        text,
        ha="center",
        va="center",
        size=(TICK_SIZE + 1) * text_scale(axes),
        color=GREY,
        transform=axes.transAxes,
    )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
