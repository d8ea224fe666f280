"""The panels of σ_max by lag and of the causes, and what other panels draw their curves with."""

from typing import TYPE_CHECKING

import numpy as np

from gradscope.analysis.results import Analysis, Stage
from gradscope.arrays import LN_10, FloatArray, IntArray
from gradscope.diagnosis.growth import terms_of
from gradscope.report.documents.rows import middle
from gradscope.report.figures import style
from gradscope.report.figures.style import BLUE, GREEN, GREY, INK, ORANGE, VERMILLION, Look
from gradscope.report.words.cells import CAUSE_LABELS, has_textbook_bound
from gradscope.report.words.headline import stage_title
from gradscope.report.words.numbers import fraction, steps

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEW_POINTS = 12
"""Curves with no more points than this show each of them."""

MAX_RISE = 0.5
"""The bound may stretch the axis of a profile by this many times the measured span."""


def profile_panel(axes: "Axes", analysis: Analysis) -> None:
    """Draw log10 σ_max by lag: median, band over sequences, bound, threshold, horizon, need."""
    style.dress(axes, style.LAG, style.SIGMA_MAX)
    for stage in analysis.stages:
        draw_stage(axes, analysis, stage, stage.profile.lags, drawable(stage.profile.median))
    last = analysis.last.profile
    style.draw_band(axes, last.lags, drawable(last.quantile(0.05)), drawable(last.quantile(0.95)))
    formula = r" $(\gamma\,\sigma_{\max}(W))^\ell$" if has_textbook_bound(analysis.settings) else ""
    dotted: Look = {"color": VERMILLION, "linestyle": ":", "linewidth": 2.4}
    axes.plot(last.lags, last.log_bound / LN_10, label=f"bound{formula}", **dotted)
    _draw_lyapunov_slope(axes, analysis)
    _limit_rise(axes, analysis)
    _mark_lags(axes, analysis)
    style.legend(axes)


def parameters_panel(axes: "Axes", analysis: Analysis) -> None:
    """Draw log10 ‖(∂h_T/∂h_k) ∂⁺h_k/∂θ‖ by lag T − k, for all of θ and for b, beside σ_max."""
    style.dress(axes, style.LAG, r"$\log_{10}$ of the norm")
    parameters, profile = analysis.last.parameter_profile, analysis.last.profile
    curves = parameters.log10_medians
    for lags, curve, label, color, line in (
        (parameters.lags, curves["norm"], "U, W and b", BLUE, "-"),
        (parameters.lags, curves["hidden_bias"], "b alone", ORANGE, "--"),
        (profile.lags, profile.median / LN_10, style.SIGMA_MAX, GREY, ":"),
    ):
        axes.plot(lags, np.where(np.isfinite(curve), curve, np.nan), line, color=color, label=label)
    style.legend(axes)


def draw_stage(
    axes: "Axes", analysis: Analysis, stage: Stage, x: IntArray, values: FloatArray
) -> None:
    """Draw the curve of one stage: the last blue, the one before it dashed and grey."""
    look: Look = {"color": GREY, "linestyle": "--", "linewidth": 1.8}
    if stage is analysis.last:
        look = {"color": BLUE, "linestyle": "-", "linewidth": 2.6}
    marker = "o" if values.size <= FEW_POINTS else None
    axes.plot(x, values, label=stage_title(stage.name, analysis.training), marker=marker, **look)


def drawable(nats: FloatArray) -> FloatArray:
    """Return log10 values, NaN (a gap) where the product is exactly zero."""
    values: FloatArray = np.where(np.isfinite(nats), nats, np.nan) / LN_10
    return values


def _draw_lyapunov_slope(axes: "Axes", analysis: Analysis) -> None:
    """Draw the slope that the largest Lyapunov exponent gives, through the end of the median."""
    spectrum, profile = analysis.details.spectrum, analysis.last.profile
    if spectrum is None or not np.isfinite(profile.median[-1]):
        return
    largest = middle(spectrum.lyapunov.exponents[:, 0])
    if np.isfinite(largest):
        line = profile.median[-1] + largest * (profile.lags - profile.lags[-1])
        look: Look = {"color": ORANGE, "linestyle": (0, (8, 2, 1, 2)), "linewidth": 1.4}
        axes.plot(profile.lags, line / LN_10, label=f"slope {style.typeset('λ_1')}", **look)


def _limit_rise(axes: "Axes", analysis: Analysis) -> None:
    """Keep the measured curves large: the bound may run out of the picture."""
    curves = [drawable(s.profile.quantile(q)) for s in analysis.stages for q in (0.05, 0.95)]
    measured = np.concatenate([*curves, [0.0]])
    threshold = np.log10(analysis.settings.vanishing)
    low = min(float(np.nanmin(measured)), threshold if np.nanmin(measured) < threshold / 3 else 0)
    high = float(np.nanmax(measured))
    span = max(high - low, 0.5)
    bound = analysis.last.profile.log_bound / LN_10
    top = min(max(high, float(np.max(bound))), high + MAX_RISE * span)
    axes.set_ylim(low - 0.06 * span, top + 0.08 * (top - low) + 0.02 * span)
    axes.set_xlim(0, analysis.last.profile.lags[-1] * 1.01 + 0.5)


def _mark_lags(axes: "Axes", analysis: Analysis) -> None:
    """Mark the threshold, the memory horizon and the lag that the task needs."""
    verdict, threshold = analysis.last.verdict, analysis.settings.vanishing
    axes.axhline(np.log10(threshold), color=INK, linestyle=(0, (6, 4)), linewidth=1.0)
    top = axes.get_ylim()[1]
    for lag, text, color in (
        (verdict.horizon, "memory horizon", GREEN),
        (verdict.required_lag, "needed", ORANGE),
    ):
        if lag is None or lag > analysis.last.profile.lags[-1]:
            continue
        axes.axvline(lag, color=color, linestyle="-." if color == GREEN else "-", linewidth=2.0)
        right = lag < 0.75 * axes.get_xlim()[1]
        offset = 5 if right else -5, -4 if color == GREEN else -22
        side = "left" if right else "right"
        shown = f"{text}: {steps(lag)}"
        style.write(axes, shown, (lag, top), offset, ha=side, va="top", bbox=dict(style.BACKING))
    if axes.get_ylim()[0] < np.log10(threshold):
        text, at = f"{fraction(threshold)}: vanished", (axes.get_xlim()[1], np.log10(threshold))
        small = (style.TICK_SIZE - 1) * style.text_scale(axes)
        look: Look = {"ha": "right", "size": small, "color": GREY, "path_effects": style.halo()}
        style.write(axes, text, at, (-2, 3), **look)


def causes_panel(axes: "Axes", analysis: Analysis) -> None:
    """Draw the waterfall from 0 through the causes to the growth rate, nats per step."""
    style.dress(axes, "nats per step", "")
    causes = analysis.last.causes
    if causes.total is None:
        say(axes, "The product is exactly zero:\nthere is no rate to explain.")
        return
    terms = terms_of(causes)
    parts = np.array([term or 0.0 for term in terms.values()])
    ends = np.cumsum(parts)
    starts = ends - parts
    rising = parts >= 0
    places = np.arange(parts.size)
    bars = axes.barh(places, parts, left=starts, color=np.where(rising, BLUE, VERMILLION))
    for bar, rises in zip(bars, rising, strict=True):
        bar.set(hatch="" if rises else "//", edgecolor="white")
    axes.barh(parts.size, causes.total, color=INK)
    axes.vlines(ends, places + 0.4, places + 0.6, color=GREY, linewidth=1.0)
    axes.axvline(0.0, color=GREY, linewidth=1.0)
    _label_bars(axes, np.append(starts, 0.0), np.append(parts, causes.total))
    axes.set_yticks(range(parts.size + 1), [*(CAUSE_LABELS[name] for name in terms), "growth rate"])
    axes.invert_yaxis()
    axes.locator_params(axis="x", nbins=5)
    axes.grid(visible=False, axis="y")


def _label_bars(axes: "Axes", starts: FloatArray, sizes: FloatArray) -> None:
    """Write each bar's number beyond its right end, which widens the axis."""
    rights = np.maximum(starts, starts + sizes)
    low, high = min(0.0, float(np.min(np.minimum(starts, starts + sizes)))), float(np.max(rights))
    span = max(high - low, 0.05)
    axes.set_xlim(low - 0.04 * span, max(high, 0.0) + 0.3 * span)
    for place, (right, size) in enumerate(zip(rights, sizes, strict=True)):
        style.write(axes, f"{size:+.3f}".replace("-", "−"), (right, place), (4, 0), va="center")


def say(axes: "Axes", text: str) -> None:
    """Write a sentence where there is nothing to draw."""
    size = (style.TICK_SIZE + 1) * style.text_scale(axes)
    look: Look = {"ha": "center", "va": "center", "size": size, "color": GREY}
    axes.text(0.5, 0.5, text, transform=axes.transAxes, **look)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
