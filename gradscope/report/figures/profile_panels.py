"""The panels of σ_max by lag and of the causes, and the unrolled strip above the profile."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gradscope.analysis.results import Analysis, Stage
from gradscope.arrays import LN_10, FloatArray, IntArray, quantiles
from gradscope.diagnosis.growth import terms_of
from gradscope.diagnosis.reasons import ReasonCode
from gradscope.names import Regime
from gradscope.report.documents.rows import middle
from gradscope.report.figures import style
from gradscope.report.figures.style import BLUE, GREY, INK, PALE, VERMILLION, Look
from gradscope.report.words.cells import CAUSE_LABELS, has_textbook_bound
from gradscope.report.words.headline import REGIME_LOOKS, stage_title
from gradscope.report.words.numbers import number, steps

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEW_POINTS = 12
"""Curves with no more points than this show each of them."""

MOST_POINTS, MOST_STATES = 500, 18
"""Points of a curve of a profile, and states of the strip, that are drawn."""

NAMED = 0.75
"""Part of a curve at which its name stands, where it does not leave the view."""

TIMES_SHOWN, FEWEST_LAGS = 4, 50
"""A profile is shown to this many times the lag that matters, and at least to this lag."""

SEQUENCES_DRAWN = 12
"""Sequences that are drawn each where they disagree."""

FAR = 400.0
"""Powers of ten beyond every view, where an exact zero is drawn."""

FAINTEST = 0.12
"""Opacity of what is lost."""

SAME = 0.25
"""Powers of ten by which curves differ that cannot be told apart."""

SMALLEST = 0.005
"""Nats per step below which a cause is 0.00 and is left out."""


def profile_panel(axes: "Axes", analysis: Analysis) -> None:
    """Draw the profile with what bounds it: the bound by lag, and the slope that λ_1 gives."""
    hero_profile(axes, analysis)
    last, spectrum = analysis.last.profile, analysis.details.spectrum
    formula = r" $(\gamma\,\sigma_{\max}(W))^\ell$" if has_textbook_bound(analysis.settings) else ""
    dotted: Look = {"color": GREY, "linestyle": ":", "linewidth": 1.2}
    if not np.isnan(last.log_bound).all():
        draw_curve(axes, last.lags, last.log_bound, f"bound{formula}", dotted)
    if spectrum is not None and np.isfinite(last.median[-1]):
        largest = middle(spectrum.lyapunov.exponents[:, 0])
        if np.isfinite(largest):
            dashed: Look = {"color": INK, "linestyle": (0, (8, 2, 1, 2)), "linewidth": 1.0}
            words = f"slope {style.typeset('λ_1')}"
            draw_curve(axes, last.lags, largest * last.lags.astype(np.float64), words, dashed)


def hero_profile(axes: "Axes", analysis: Analysis) -> None:
    """Draw how much of the gradient arrives by lag: before training pale, then the median with its
    band, a dot where it leaves the corridor, and what of the way to the needed lag is missing.
    """
    settings, last, verdict = analysis.settings, analysis.last.profile, analysis.last.verdict
    style.dress(axes, style.LAG, style.SIGMA_MAX)
    style.show_corridor(axes, settings.vanishing, settings.exploding)
    axes.set_xlim(0.0, _last_lag(analysis))
    for words, height in (("too large", 0.88), ("lost", -0.88)):
        place = axes.get_xlim()[1], height * axes.get_ylim()[1]
        style.label(axes, words, place, color=GREY)
    axes.locator_params(axis="x", integer=True)
    color = REGIME_LOOKS[verdict.regime].color
    _mark_reach(axes, analysis, color)
    if verdict.regime is Regime.MIXED:
        thin: Look = {"color": color, "linewidth": 0.5, "alpha": 0.5}
        axes.plot(*_drawn(axes, last.lags, last.log_norms[:, :SEQUENCES_DRAWN]), **thin)
    at, edges = _drawn(axes, last.lags, quantiles(last.log_norms, (0.05, 0.95)).T)
    axes.fill_between(at, *edges.T, color=color, alpha=0.18, linewidth=0.0)
    seen = [_drawn(axes, e.profile.lags, e.profile.median)[1] for e in analysis.stages]
    for stage, words in stage_names(analysis, seen, axes.get_ylim()[1]):
        now, gone = stage is analysis.last, stage.verdict.horizon
        name = words if now or gone is None else f"{words}: {steps(gone)}"
        look: Look = {"color": color if now else PALE, "linewidth": 2.2 if now else 1.4}
        draw_curve(axes, stage.profile.lags, stage.profile.median, name, look, to=now)


def stage_names(
    analysis: Analysis, curves: Sequence[FloatArray], end: float = FAR
) -> list[tuple[Stage, str]]:
    """Return which stages are drawn and the name of each curve, none for a single stage; two that
    hardly differ up to ``end``, log10, are drawn as one.
    """
    stages, last = analysis.stages, analysis.last
    if len(stages) == 1:
        return [(last, "")]
    titles = [stage_title(each.name, analysis.training) for each in stages]
    first, second = (np.clip(each, -end, end) for each in curves)
    if np.abs(first - second).max(initial=0.0) < SAME:
        return [(last, f"before and {titles[-1]}")]
    return list(zip(reversed(stages), reversed(titles), strict=True))


def _drawn(axes: "Axes", lags: IntArray, nats: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return lags from 0 on, where σ_max is 1, and log10 values of curves (L,…) over them, not too
    many.
    """
    end = min(lags.size, int(axes.get_xlim()[1]))
    at = np.unique(np.linspace(0, end, min(end, MOST_POINTS) + 1).astype(np.int64))
    start = np.zeros((1, *nats.shape[1:]))
    return at, _in_view(axes, np.concatenate([start, nats])[at])


def _in_view(axes: "Axes", nats: FloatArray) -> FloatArray:
    """Return log10 values; an exact zero lies just below the view."""
    values: FloatArray = np.where(np.isneginf(nats), 1.05 * LN_10 * axes.get_ylim()[0], nats)
    return np.clip(values / LN_10, -FAR, FAR)


def draw_curve(
    axes: "Axes", lags: IntArray, nats: FloatArray, name: str, look: Look, *, to: bool = False
) -> None:
    """Draw a curve, named where it ends or leaves the view; if it leaves, with where it goes."""
    at, values = _drawn(axes, lags, nats)
    axes.plot(at, values, **look)
    seen = int(np.argmax(np.append(np.abs(values), np.inf) > axes.get_ylim()[1])) - 1
    zeros = np.flatnonzero(np.isneginf(nats))
    if seen + 1 == values.size:
        seen = int(NAMED * seen)
    elif to and zeros.size:
        name += f"\nexactly 0 from lag {lags[zeros[0]]}"
    elif to and np.isfinite(nats[-1]):
        name += f"\n{style.power(round(nats[-1] / LN_10))} at lag {lags[-1]}"
    place = float(at[seen]), float(values[seen])
    if name:
        color = GREY if look["color"] == PALE else look["color"]
        style.label(axes, name.strip(), place, color=color)


def _last_lag(analysis: Analysis) -> int:
    """Return the lag to which a profile is shown: beyond what matters there is nothing to see."""
    left, lags = _leaves(analysis)[0], int(analysis.last.profile.lags[-1])
    matters = max(left or lags, analysis.last.verdict.required_lag or 0)
    return min(lags, max(TIMES_SHOWN * matters, FEWEST_LAGS))


def _leaves(analysis: Analysis) -> tuple[int | None, float, bool]:
    """Return the lag at which the median leaves the corridor, None where it stays, log10 of the
    edge that it crosses, and whether that is before the lag that is needed.
    """
    verdict, settings = analysis.last.verdict, analysis.settings
    left, edge = verdict.horizon, float(np.log10(settings.vanishing))
    if verdict.regime is Regime.EXPLODING:
        above = verdict.reason(ReasonCode.ABOVE_THRESHOLD)
        left, edge = None, float(np.log10(settings.exploding))
        if above is not None and above.numbers["lag"] is not None:
            left = int(str(above.numbers["lag"]))
    return left, edge, left is not None and left < (verdict.required_lag or 0)


def _mark_reach(axes: "Axes", analysis: Analysis, color: str) -> None:
    """Mark where the median leaves the corridor, the needed lag, and what is missing between."""
    left, edge, missing = _leaves(analysis)
    last, needed = analysis.last.profile, analysis.last.verdict.required_lag
    words = "gone" if edge < 0.0 else "too large"
    bold: Look = {"color": color, "weight": "bold"}
    dot: Look = {"color": color, "markersize": 6, "zorder": 5, "clip_on": False}
    if left is not None:
        before, after = _in_view(axes, np.append(0.0, last.median)[left - 1 : left + 1])
        place = left - 1 + float(np.clip((edge - before) / (after - before), 0.0, 1.0)), edge
        axes.plot(*place, "o", markerfacecolor="white", markeredgewidth=1.6, **dot)
        style.label(axes, f"{words} after {steps(left)}", place, **bold)
    if needed is None:
        return
    if missing and left is not None:
        far = min(needed, _last_lag(analysis))
        axes.axvspan(left, far, color=VERMILLION, alpha=0.09, linewidth=0.0, zorder=0.3)
        place = (left + far) / 2.0, 0.78 * axes.get_ylim()[1]
        if edge < 0.0:
            text = f"{steps(needed - left)}\nout of reach"
            style.label(axes, text, place, color=VERMILLION, weight="bold", ma="center")
    if 0 < needed <= last.lags[-1]:
        axes.axvline(needed, color=VERMILLION if missing else INK, linewidth=1.2)
        value = float(last.median[needed - 1]) / LN_10
        if left is None and np.isfinite(value):
            axes.plot(needed, value, "o", **dot)
            text = f"× {number(10.0**value, 2)} after {steps(needed)}"
            style.label(axes, text, (needed, value), **bold)


def strip(axes: "Axes", analysis: Analysis) -> None:
    """Draw the network unrolled over the lags of the profile below: the error enters at the newest
    state, arrows run back in time and fade as σ_max does; the input that is needed has a flag.
    """
    last, needed, settings = analysis.last, analysis.last.verdict.required_lag, analysis.settings
    end = _last_lag(analysis)
    apart = max(1.0, end / (MOST_STATES - 1))
    if needed and needed <= end:
        apart = needed / max(1, round(needed / apart))
    states = np.unique(np.arange(0.0, end + 0.5, apart).round().astype(np.int64))
    nats = np.append(0.0, last.profile.median)[states]
    draw_states(axes, states, nats, settings.vanishing, settings.exploding)
    enter(axes, 0.0, 15, "error enters here; gradient flows back →", INK)
    if needed is not None and needed <= end:
        color = VERMILLION if _leaves(analysis)[2] else INK
        enter(axes, float(needed), -15, f"needed: {steps(needed)} back", color)


def draw_states(
    axes: "Axes", lags: IntArray, nats: FloatArray, vanishing: float, exploding: float
) -> None:
    """Draw states so many steps back, and arrows back in time that fade as σ_max, in nats, does."""
    axes.set_axis_off()
    axes.set_ylim(-1.0, 1.0)
    values = np.nan_to_num(nats / LN_10, neginf=-FAR, posinf=FAR)
    opacity = np.where(
        values < 0.0, np.clip(1.0 - values / np.log10(vanishing), FAINTEST, 1.0), 1.0
    )
    colors = np.where(values > np.log10(exploding), VERMILLION, INK).tolist()
    head: Look = {"arrowstyle": "-|>,head_width=0.15,head_length=0.25", "shrinkA": 3.2}
    for place in range(1, lags.size):
        look = {"shrinkB": 3.2, "color": colors[place], "alpha": float(opacity[place])}
        ends = (float(lags[place]), 0.0), (float(lags[place - 1]), 0.0)
        axes.annotate("", *ends, arrowprops={**head, **look}, annotation_clip=False)
    shades = list(zip(colors, opacity.tolist(), strict=True))
    axes.scatter(lags, 0 * lags, s=26, c=shades, clip_on=False, linewidths=0.0)


def enter(axes: "Axes", lag: float, points: float, text: str, color: str) -> None:
    """Draw what enters a state of the strip, from so many points above or below it."""
    arrow: Look = {"arrowstyle": "-|>,head_width=0.2,head_length=0.3", "color": color}
    look: Look = {"xytext": (0, points), "textcoords": "offset points", "annotation_clip": False}
    axes.annotate("", (lag, 0.0), arrowprops={**arrow, "shrinkA": 0.0, "shrinkB": 4.0}, **look)
    right = lag <= 0.5 * axes.get_xlim()[1]
    side: Look = {"ha": "left" if right else "right", "va": "center", "annotation_clip": False}
    style.write(axes, text, (lag, 0.0), (5 if right else -5, points * 0.8), color=color, **side)


def causes_panel(axes: "Axes", analysis: Analysis) -> None:
    """Draw the waterfall from 0 through the causes to the growth rate in nats per step, the main
    one bold: what grows is orange, what shrinks blue, what is nothing left out.
    """
    style.dress(axes, "← shrinks   nats per step   grows →", "")
    causes, growth = analysis.last.causes, analysis.last.growth
    if causes.total is None:
        style.say(axes, "The product is exactly zero:\nthere is no rate to explain.")
        return
    if not terms_of(causes):
        grows = f"{causes.total:+.3g} nats per step".replace("-", "−")
        style.say(axes, f"The state is one part:\nit grows by {grows}.")
        return
    parts = {n: p for n, p in terms_of(causes).items() if p is not None and abs(p) >= SMALLEST}
    sizes = np.array([*parts.values(), causes.total])
    ends = np.append(np.cumsum(sizes[:-1]), causes.total)
    starts, places = ends - sizes, np.arange(sizes.size)
    colors = [VERMILLION if size > 0.0 else BLUE for size in sizes[:-1]]
    axes.barh(places, sizes, left=starts, color=[*colors, INK], height=0.62)
    axes.vlines(ends[:-1], places[:-1] + 0.31, places[1:] - 0.31, color=GREY, linewidth=0.6)
    axes.axvline(0.0, color=GREY, linewidth=0.6)
    if growth.low is not None and growth.high is not None:
        axes.plot((growth.low, growth.high), places[[-1, -1]], color=PALE, linewidth=1.2)
    main = analysis.last.verdict.reason(ReasonCode.MAIN_CAUSE)
    for place, (name, size) in enumerate(zip((*parts, "growth rate"), sizes, strict=True)):
        look: Look = {"xycoords": ("axes fraction", "data"), "va": "center", "ha": "right"}
        look["weight"] = "bold" if main is not None and name == main.numbers["cause"] else "normal"
        style.write(axes, CAUSE_LABELS.get(name, name), (0.0, place), (-4, 0), **look)
        shown = f"{size:+.2f}".replace("-", "−")
        look |= {"ha": "left", "color": (*colors, INK)[place]}
        style.write(axes, shown, (1.0, place), (4, 0), **look)
    axes.set_ylim(places[-1] + 0.6, -0.5)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.margins(x=0.03)
    axes.set_xticks([])


def parameters_panel(axes: "Axes", analysis: Analysis) -> None:
    """Draw log10 ‖(∂h_T/∂h_k) ∂⁺h_k/∂θ‖ by lag T − k, for all of θ and for b, beside σ_max."""
    style.dress(axes, style.LAG, "norm")
    parameters, profile = analysis.last.parameter_profile, analysis.last.profile
    curves = parameters.log10_medians
    for lags, curve, words, color, line, part in (
        (parameters.lags, curves["norm"], "U, W and b", BLUE, "-", 0.3),
        (parameters.lags, curves["hidden_bias"], "b alone", INK, "--", 0.6),
        (profile.lags, profile.median / LN_10, style.SIGMA_MAX, GREY, ":", 0.9),
    ):
        axes.plot(lags, np.where(np.isfinite(curve), curve, np.nan), line, color=color)
        known = np.flatnonzero(np.isfinite(curve))
        if known.size:
            at = known[int(part * (known.size - 1))]
            style.label(axes, words, (float(lags[at]), float(curve[at])), color=color)
    style.show_powers(axes.yaxis)
