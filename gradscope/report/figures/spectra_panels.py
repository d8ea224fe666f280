"""The panels of what ``--lag-map``, ``--shares`` and ``--spectrum`` measure."""

from typing import TYPE_CHECKING

import numpy as np

from gradscope.analysis.details import Memory, Spectrum
from gradscope.analysis.results import Analysis
from gradscope.arrays import LN_10, plain
from gradscope.jacobians.lag_map import LagMap
from gradscope.jacobians.shares import GradientShares
from gradscope.jacobians.stack_chain import DepthMap
from gradscope.report.documents.rows import SHARED, median_map, shared_by
from gradscope.report.figures import style
from gradscope.report.figures.style import BLUE, GREEN, GREY, INK, VERMILLION, Look
from gradscope.report.words.captions import why_no_shares
from gradscope.report.words.numbers import number, percent, steps
from gradscope.report.words.theory import theory_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DARK_BLUE = np.array([0.0, 0.28, 0.45])
"""Red, green and blue."""


def map_panel(axes: "Axes", analysis: Analysis, found: LagMap) -> None:
    """Draw log10 σ_max(∂h_t/∂h_k) for all pairs of states, the median over sequences."""
    style.dress(axes, "earlier state k", "later state t")
    axes.grid(visible=False)
    values = median_map(found.log_norms) / LN_10
    last = float(found.times[-1])
    colors, norm = style.growth_colors(style.CORRIDOR)
    look: Look = {"extent": (0.0, last, 0.0, last), "cmap": colors.with_extremes(bad="none")}
    look |= {"origin": "lower", "interpolation": "nearest", "aspect": "auto", "norm": norm}
    image = axes.imshow(np.where(np.isneginf(values), -style.CORRIDOR, values), **look)
    figure = axes.get_figure(root=False)
    if figure is not None:  # No state is later than itself: this corner is empty.
        key = axes.inset_axes((0.5, 0.16, 0.44, 0.05))
        look = {"orientation": "horizontal", "extend": "both"}
        bar = figure.colorbar(image, cax=key, **look)
        marks = (-style.CORRIDOR, 0.0, style.CORRIDOR)
        bar.set_ticks(marks, labels=[style.power(each) for each in marks])
        key.tick_params(labelsize=style.TEXT_SIZE, colors=INK, length=2, width=0.6)
        bar.outline.set(color=GREY, linewidth=0.6)
    horizon = analysis.last.verdict.horizon
    if horizon is not None and horizon < last:
        ends = [0, last - horizon], [horizon, last]
        axes.plot(*ends, color=VERMILLION, linestyle="--", linewidth=1.2)
        style.write_above(axes, f"dashed: the memory horizon, {steps(horizon)}")


def depth_panel(axes: "Axes", _: Analysis, depth: DepthMap) -> None:
    """Draw log10 σ_max(∂h^top_T/∂s^l_{T−ℓ}) for every layer and lag, the median over sequences."""
    style.dress(axes, style.LAG, "")
    axes.grid(visible=False)
    colors, norm = style.growth_colors(style.CORRIDOR)
    values = np.maximum(median_map(depth.log_norms) / LN_10, -style.CORRIDOR)
    look: Look = {"origin": "lower", "interpolation": "nearest", "aspect": "auto", "norm": norm}
    image = axes.imshow(values, cmap=colors, **look)
    shown = slice(None, None, 1 + len(depth.layers) // 13)
    names = [style.plain_text(each) for each in depth.layers[shown]]
    axes.set_yticks(range(len(depth.layers))[shown], names)
    marks = (-style.CORRIDOR, 0.0, style.CORRIDOR)
    style.color_bar(image, [axes], "", {each: style.power(each) for each in marks})


def shares_panel(axes: "Axes", analysis: Analysis, shares: GradientShares) -> None:
    """Draw log10 of each lag's share of the gradient, and what truncation at that lag would err."""
    style.dress(axes, style.LAG, r"$\Vert C_\ell\Vert$")
    if np.isneginf(shares.log_partial_norms[-1]):
        style.say(axes, f"{why_no_shares(analysis)}:\nnothing to split by lag.")
        return
    titles = dict(zip(SHARED, "WUb", strict=True))
    largest = sorted(shared_by(shares), key=lambda name: -shares.log_norms[name].max())[:3]
    names = SHARED if largest[0] in titles else largest
    for name, line in zip(names, ("-", "--", ":"), strict=False):
        title = titles.get(name, name)
        drawn = style.drawable(shares.log_norms[name])
        axes.plot(shares.lags, drawn, color=BLUE, linestyle=line, linewidth=1.5, label=title)
    other = style.axes_below(axes, "cut error")
    errors = 100.0 * shares.truncation_errors
    look: Look = {"color": VERMILLION, "linestyle": "-.", "linewidth": 1.5}
    other.plot(shares.lags, errors, label="error if cut", **look)
    other.set_ylim(0.0, 105.0)
    other.set_yticks((0, 50, 100), ("0 %", "50 %", "100 %"))
    style.show_powers(axes.yaxis, 3)
    _mark_truncation(other, shares.truncation_length(analysis.settings.truncation_error), analysis)
    style.legend(axes)


def memory_panel(axes: "Axes", analysis: Analysis, memory: Memory) -> None:
    """Draw R² of past inputs by delay, beside the lag that is needed."""
    style.dress(axes, "delay d (steps)", r"$R^2$ of $x_{t-d}$ from $h_t$")
    axes.fill_between(memory.delays, memory.explained, color=BLUE, alpha=0.25, linewidth=0.0)
    axes.plot(memory.delays, memory.explained, color=BLUE, linewidth=1.8)
    axes.set_ylim(0.0, max(1.0, float(memory.explained.max())) * 1.02)
    required = analysis.last.verdict.required_lag
    if required is not None and required <= memory.delays[-1]:
        axes.axvline(required, color=VERMILLION, linewidth=1.2)
        style.label(axes, f"needed: {required}", (required, 0.6), color=VERMILLION)
    style.write_above(axes, f"sum {number(plain(memory.capacity))}, of {memory.units} units")


def sensitivity_panel(axes: "Axes", _: Analysis, memory: Memory) -> None:
    """Draw log10 of the mean ‖∂s_T/∂θ‖² by how many last steps θ changes at, and that of half."""
    style.dress(axes, "last steps", r"mean $\Vert\partial h_T/\partial\theta\Vert^2$")
    with np.errstate(divide="ignore"):
        curve = style.drawable(np.log(memory.sensitivity["norm"]))
    axes.plot(memory.delays + 1, curve, color=BLUE, linewidth=1.8)
    style.label(axes, "of U, W and b", (float(memory.delays[-1]), float(curve[-1])), color=BLUE)
    half = memory.steps_for_half
    axes.axvline(half, color=GREEN, linestyle="-.", linewidth=1.5)
    middle = float(np.mean(axes.get_ylim()))
    style.label(axes, f"half from the last {steps(half)}", (half, middle), color=GREEN)
    style.show_powers(axes.yaxis)


def _mark_truncation(axes: "Axes", length: int | None, analysis: Analysis) -> None:
    if length is None:
        return
    axes.axvline(length, color=GREEN, linestyle="-.", linewidth=1.8)
    flagged = f"--truncate {length}" if analysis.settings.cell else f"cut at {length}"
    text = f"{flagged}: {percent(analysis.settings.truncation_error)}"
    style.label(axes, text, (length, 60.0), color=GREEN)


def singular_panel(axes: "Axes", _: Analysis, spectrum: Spectrum) -> None:
    """Draw the singular values of P_ℓ by rank, a curve for each lag looked at."""
    style.dress(axes, "rank i", r"$\sigma_i/\sigma_1$")
    found = spectrum.singular
    # Blue, mixed with white: the longer the lag, the darker.
    lightness = np.linspace(0.85, 0.0, found.lags.size)[:, None]
    shades = DARK_BLUE + (1.0 - DARK_BLUE) * lightness
    ranks = np.arange(1, found.log_values.shape[2] + 1)
    for lag, values, shade in zip(found.lags, found.log_values, shades, strict=True):
        with np.errstate(invalid="ignore"):
            relative = (values - values[:, :1]) / LN_10
        middle = np.sort(relative, axis=0)[(relative.shape[0] - 1) // 2]
        drawn = np.where(np.isfinite(middle), middle, np.nan)
        axes.plot(ranks, drawn, color=tuple(shade), linewidth=1.5)
        known = np.flatnonzero(np.isfinite(drawn))
        if lag in found.lags[[0, -1]] and known.size:
            at = known[(known.size - 1) * 3 // 4]
            style.label(axes, f"lag {lag}", (float(ranks[at]), float(drawn[at])), color=INK)
    axes.margins(y=0.15)
    axes.locator_params(axis="x", integer=True)
    style.show_powers(axes.yaxis)


def lyapunov_panel(axes: "Axes", _: Analysis, spectrum: Spectrum) -> None:
    """Draw the Lyapunov exponents with their standard errors; hollow where not to be trusted."""
    style.dress(axes, "rank i", r"$\lambda_i$, nats per step")
    found = spectrum.lyapunov
    # Of the sequence whose λ_1 is the median.
    middle = int(np.argsort(found.exponents[:, 0])[(found.exponents.shape[0] - 1) // 2])
    exponents, errors = found.exponents[middle], found.standard_errors[middle]
    trusted = found.trusted[middle]
    ranks = np.arange(1, exponents.size + 1)
    alive = np.isfinite(exponents)
    for shown, face, label in (
        (alive & trusted, BLUE, "trusted"),
        (alive & ~trusted, "white", "below double precision"),
    ):
        if shown.any():
            look: Look = {"color": BLUE, "markerfacecolor": face, "marker": "o", "markersize": 4}
            look |= {"yerr": np.nan_to_num(errors[shown], posinf=0.0), "linestyle": "none"}
            axes.errorbar(ranks[shown], exponents[shown], label=label, **look)
    if spectrum.expected is not None and spectrum.against_expected is None:
        expected = spectrum.expected.exponents[0]
        finite = np.isfinite(expected)
        dashed: Look = {"color": VERMILLION, "linestyle": "-.", "linewidth": 1.5}
        axes.plot(ranks[finite], expected[finite], label="wide network", **dashed)
    axes.axhline(0.0, color=INK, linestyle="--", linewidth=1.0)
    axes.locator_params(axis="x", integer=True)
    if len(axes.get_legend_handles_labels()[0]) > 1:
        style.legend(axes)


def eigenvalues_panel(axes: "Axes", _: Analysis, spectrum: Spectrum) -> None:
    """Draw eigenvalues of W, where there is one, and of sampled J_t, with the unit circle."""
    style.dress(axes, "real part", "imaginary part")
    turn = np.linspace(0.0, 2.0 * np.pi, 361)
    axes.plot(np.cos(turn), np.sin(turn), color=INK, linestyle="--", linewidth=1.0, label="|z| = 1")
    here, ours = spectrum.jacobian_eigenvalues.ravel(), spectrum.eigenvalues
    axes.plot(here.real, here.imag, "x", color=VERMILLION, markersize=4, label=style.typeset("J_t"))
    if ours.size:
        look: Look = {"color": BLUE, "markersize": 5, "markerfacecolor": "none"}
        axes.plot(ours.real, ours.imag, "o", label="W", **look)
    axes.set_aspect("equal", adjustable="box", anchor="W")
    style.legend(axes)


def theory_panel(axes: "Axes", analysis: Analysis, spectrum: Spectrum) -> None:
    """Draw each theory's rate above the measured one; hollow where it does not apply."""
    style.dress(axes, "nats per step", "")
    axes.locator_params(axis="x", nbins=4)
    growth = analysis.last.growth
    known = [each for each in spectrum.theory if each.rate is not None and np.isfinite(each.rate)]
    if not known:
        style.say(axes, "No theory gives\na finite rate here.")
        return
    for place, each in enumerate(known):
        face, color = (BLUE, BLUE) if each.applies else ("white", GREY)
        axes.plot(each.rate or 0.0, place, "o", color=BLUE, markersize=5, markerfacecolor=face)
        words = style.typeset(theory_words(each.name, analysis.settings))
        style.label(axes, words, (each.rate or 0.0, place), color=color)
    if growth.rate is not None:
        ends = growth.rate if growth.low is None else growth.low, growth.high or growth.rate
        axes.plot(ends, (len(known),) * 2, color=INK, linewidth=1.5)
        axes.plot(growth.rate, len(known), "s", color=INK, markersize=5)
        look: Look = {"color": INK, "weight": "bold"}
        style.label(axes, "measured", (growth.rate, len(known)), **look)
    if not all(each.applies for each in known):
        style.write_above(axes, "hollow: does not apply here")
    axes.set_yticks([])
    axes.set_ylim(len(known) + 0.5, -0.5)
    axes.margins(x=0.1)
