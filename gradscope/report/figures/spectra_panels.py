"""The panels of a closer look: all pairs of states, the gradient by lag, and the spectra.

Same looks as ``figures_panels``; each draws what one setting (``--lag-map``, ``--shares``,
``--spectrum``) has brought.
"""

from typing import TYPE_CHECKING

import numpy as np

from gradscope.analysis.details import Spectrum
from gradscope.analysis.results import Analysis
from gradscope.arrays import BoolArray, FloatArray
from gradscope.report.documents.rows import median_map
from gradscope.report.figures.profile_panels import say
from gradscope.report.figures.style import (
    BACKING,
    BLUE,
    GREEN,
    GREY,
    INK,
    LABEL_SIZE,
    TICK_SIZE,
    VERMILLION,
    dress,
    halo,
    legend,
    text_scale,
    typeset,
)
from gradscope.report.words.captions import why_no_shares
from gradscope.report.words.numbers import LN_10, percent, steps
from gradscope.report.words.theory import THEORY_WORDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def map_panel(axes: "Axes", analysis: Analysis) -> None:
    """Draw log10 σ_max(∂h_t/∂h_k) for all pairs of states, the median over sequences."""
    dress(axes, "earlier state k", "later state t")
    found = analysis.details.map
    if found is None:
        return
    axes.grid(visible=False)
    values = median_map(found.log_norms) / LN_10
    finite = values[np.isfinite(values)]
    low, high = (float(np.min(finite)), float(np.max(finite))) if finite.size else (-1.0, 0.0)
    last = float(found.times[-1])
    image = axes.imshow(
        np.where(np.isneginf(values), low, values),
        origin="lower",
        extent=(0.0, last, 0.0, last),
        cmap="viridis",
        vmin=low,
        vmax=max(high, low + 1e-9),
        interpolation="nearest",
        aspect="auto",
    )
    figure = axes.get_figure(root=True)
    if figure is not None:
        bar = figure.colorbar(image, ax=axes, pad=0.02)
        bar.ax.tick_params(labelsize=TICK_SIZE * text_scale(axes), colors=INK)
        bar.set_label(r"$\log_{10}\,\sigma_{\max}$", size=LABEL_SIZE * text_scale(axes), color=INK)
    horizon = analysis.last.verdict.horizon
    if horizon is not None and horizon < last:
        axes.plot(
            [0, last - horizon],
            [horizon, last],
            color="white",
            linestyle="--",
            linewidth=1.6,
        )
        axes.annotate(
            f"dashed: the memory horizon, {steps(horizon)}",
            (0.0, 1.02),
            xycoords="axes fraction",
            size=TICK_SIZE * text_scale(axes),
            color=GREY,
        )


def shares_panel(axes: "Axes", analysis: Analysis) -> None:
    """Draw log10 of each lag's share of the gradient, and what truncation at that lag would err."""
    dress(axes, "lag ℓ (steps back)", r"share $\log_{10}\,\Vert C_\ell\Vert$")
    shares = analysis.details.shares
    if shares is None:
        return
    if np.isneginf(shares.log_partial_norms[-1]):
        say(axes, f"{why_no_shares(analysis)}:\nnothing to split by lag.")
        return
    snapshots = {
        "recurrent_weights": ("W", "-"),
        "input_weights": ("U", "--"),
        "hidden_bias": ("b", ":"),
    }
    for name, (title, style) in snapshots.items():
        logs = shares.log_norms[name] / LN_10
        drawn = np.where(np.isfinite(logs), logs, np.nan)
        axes.plot(shares.lags, drawn, color=BLUE, linestyle=style, linewidth=2.0, label=title)
    other = axes.twinx()
    other.plot(
        shares.lags,
        100.0 * shares.truncation_errors,
        color=VERMILLION,
        linestyle="-.",
        linewidth=2.0,
        label="error if cut",
    )
    other.set_ylim(0.0, 105.0)
    other.set_yticks(range(0, 101, 25))
    other.set_ylabel("error if cut here, %", size=LABEL_SIZE * text_scale(axes), color=INK)
    other.tick_params(labelsize=TICK_SIZE * text_scale(axes), colors=INK, length=3)
    other.spines["top"].set_visible(False)
    _mark_truncation(axes, shares.truncation_length(analysis.settings.truncation_error), analysis)
    legend(axes, [other])


def _mark_truncation(axes: "Axes", length: int | None, analysis: Analysis) -> None:
    if length is None:
        return
    axes.axvline(length, color=GREEN, linestyle="-.", linewidth=1.8)
    low, high = axes.get_xlim()
    across = (length - low) / (high - low)
    side, offset = ("left", 5) if across < 0.4 else ("center", 0) if across < 0.6 else ("right", -5)
    axes.annotate(
        f"{percent(analysis.settings.truncation_error)} error: --truncate {length}",
        (length, axes.get_ylim()[1]),
        xytext=(offset, -4),
        textcoords="offset points",
        ha=side,
        va="top",
        size=TICK_SIZE * text_scale(axes),
        color=INK,
        bbox=dict(BACKING),
    )


def singular_panel(axes: "Axes", analysis: Analysis) -> None:
    """Draw the singular values of P_ℓ by rank, a curve for each lag looked at."""
    dress(axes, "rank i", r"$\log_{10}\,(\sigma_i/\sigma_1)$")
    spectrum = analysis.details.spectrum
    if spectrum is None:
        return
    found = spectrum.singular
    shades = np.linspace(0.85, 0.0, found.lags.size)
    ranks = np.arange(1, found.log_values.shape[2] + 1)
    for lag, values, shade in zip(found.lags, found.log_values, shades, strict=True):
        with np.errstate(invalid="ignore"):
            relative = (values - values[:, :1]) / LN_10
        middle = np.sort(relative, axis=0)[(relative.shape[0] - 1) // 2]
        drawn = np.where(np.isfinite(middle), middle, np.nan)
        axes.plot(ranks, drawn, color=_shade(float(shade)), linewidth=2.0, label=f"{lag}")
    axes.annotate(
        f"dark: lag {found.lags[-1]}; light: lag {found.lags[0]}",
        (0.03, 0.05),
        xycoords="axes fraction",
        ha="left",
        va="bottom",
        size=TICK_SIZE * text_scale(axes),
        color=GREY,
    )


def _shade(lightness: float) -> tuple[float, float, float]:
    """Return blue, mixed with white."""
    red, green, blue = 0.0, 0.28, 0.45
    return tuple(part + (1.0 - part) * lightness for part in (red, green, blue))  # type: ignore[return-value]


def lyapunov_panel(axes: "Axes", analysis: Analysis) -> None:
    """Draw the Lyapunov exponents with their standard errors; hollow where not to be trusted."""
    dress(axes, "rank i", r"$\lambda_i$, nats per step")
    spectrum = analysis.details.spectrum
    if spectrum is None:
        return
    exponents, errors, trusted = _middle_exponents(spectrum)
    ranks = np.arange(1, exponents.size + 1)
    alive = np.isfinite(exponents)
    for shown, face, label in (
        (alive & trusted, BLUE, "trusted"),
        (alive & ~trusted, "white", "below double precision"),
    ):
        if shown.any():
            axes.errorbar(
                ranks[shown],
                exponents[shown],
                yerr=np.where(np.isfinite(errors[shown]), errors[shown], 0.0),
                color=BLUE,
                markerfacecolor=face,
                marker="o",
                markersize=4,
                linestyle="none",
                label=label,
            )
    axes.axhline(0.0, color=INK, linestyle="--", linewidth=1.0)
    legend(axes)


def _middle_exponents(spectrum: Spectrum) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Return exponents, errors and trust of the sequence whose λ_1 is the median."""
    found = spectrum.lyapunov
    first = found.exponents[:, 0]
    middle = int(np.argsort(first)[(first.size - 1) // 2])
    return found.exponents[middle], found.standard_errors[middle], found.trusted[middle]


def eigenvalues_panel(axes: "Axes", analysis: Analysis) -> None:
    """Draw the eigenvalues of W, where there is one, and of sampled J_t in the complex plane, with
    the unit circle.
    """
    dress(axes, "real part", "imaginary part")
    spectrum = analysis.details.spectrum
    if spectrum is None:
        return
    turn = np.linspace(0.0, 2.0 * np.pi, 361)
    axes.plot(np.cos(turn), np.sin(turn), color=INK, linestyle="--", linewidth=1.0, label="|z| = 1")
    here = spectrum.jacobian_eigenvalues.ravel()
    axes.plot(
        here.real,
        here.imag,
        color=VERMILLION,
        marker="x",
        markersize=4,
        linestyle="none",
        label=typeset("J_t"),
    )
    if spectrum.eigenvalues.size:
        axes.plot(
            spectrum.eigenvalues.real,
            spectrum.eigenvalues.imag,
            color=BLUE,
            marker="o",
            markersize=5,
            markerfacecolor="none",
            linestyle="none",
            label="W",
        )
    axes.set_aspect("equal", adjustable="datalim")
    legend(axes)


def theory_panel(axes: "Axes", analysis: Analysis) -> None:
    """Draw each theory's rate beside the measured one; hollow where it does not apply."""
    dress(axes, "nats per step", "")
    spectrum, growth = analysis.details.spectrum, analysis.last.growth
    if spectrum is None:
        return
    known = [each for each in spectrum.theory if each.rate is not None and np.isfinite(each.rate)]
    if not known:
        say(axes, "No theory gives\na finite rate here.")
        return
    for place, each in enumerate(known):
        face = BLUE if each.applies else "white"
        axes.plot(
            np.array([each.rate]),
            [place],
            marker="o",
            markersize=8,
            color=BLUE,
            markerfacecolor=face,
            zorder=4,
        )
        axes.annotate(
            typeset(THEORY_WORDS[each.name]) + ("" if each.applies else " (does not apply)"),
            (0.01, place),
            xycoords=("axes fraction", "data"),
            xytext=(0, 7),
            textcoords="offset points",
            size=TICK_SIZE * text_scale(axes),
            color=INK,
            path_effects=halo(),
        )
    if growth.rate is not None:
        axes.axvline(growth.rate, color=INK, linewidth=2.0, label="measured")
        if growth.low is not None and growth.high is not None:
            axes.axvspan(growth.low, growth.high, color=GREY, alpha=0.25, linewidth=0, label="95 %")
    axes.set_yticks([])
    axes.set_ylim(len(known) - 0.5, -0.5)
    legend(axes)
