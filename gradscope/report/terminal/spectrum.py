"""The terminal page of ``spectrum``: the largest exponent first, then all values, then theory."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gradscope.analysis.details import Spectrum
from gradscope.analysis.results import Analysis
from gradscope.jacobians.lyapunov import LyapunovSpectrum
from gradscope.report.documents.rows import middle
from gradscope.report.screen import Screen
from gradscope.report.terminal.table import add_row, bullets, columns_of
from gradscope.report.words.captions import (
    eigenvalues_caption,
    lyapunov_caption,
    lyapunov_sentence,
    singular_caption,
)
from gradscope.report.words.headline import describe
from gradscope.report.words.numbers import LN_10, level, number
from gradscope.report.words.theory import theory_sentence

MAX_EXPONENTS = 8
"""Exponents shown; the document has all."""


def spectrum_page(analysis: Analysis, screen: Screen) -> RenderableType:
    """Return the page of one network's spectra."""
    spectrum = analysis.details.spectrum
    if spectrum is None:
        return Text("The spectrum was not asked for (--spectrum).")
    theory = [_measured(analysis), *(theory_sentence(each) for each in spectrum.theory)]
    parts: list[RenderableType] = [
        Text(
            screen.say(f"Largest Lyapunov exponent: {lyapunov_sentence(analysis)}."),
            style="bold",
        ),
        Text(screen.say(describe(analysis.settings, analysis)), style="dim"),
        Text(),
        Text("Lyapunov exponents, nats per step (median over sequences)", style="bold"),
        _exponents(spectrum.lyapunov, screen),
        Text(),
        Text(screen.say("Singular values of ∂h_T/∂h_T−ℓ (median over sequences)"), style="bold"),
        _singular_values(spectrum, screen),
        Text(),
        *bullets("Theory beside measurement, nats per step", theory, screen),
        Text(),
        *bullets(
            "How to read it",
            [
                lyapunov_caption(analysis),
                singular_caption(analysis),
                eigenvalues_caption(analysis),
            ],
            screen,
        ),
    ]
    return Group(*parts)


def _measured(analysis: Analysis) -> str:
    growth = analysis.last.growth
    interval = (
        f" ({number(growth.low)} to {number(growth.high)} at 95 %)"
        if growth.low is not None and growth.high is not None
        else ""
    )
    return f"measured growth rate: {number(growth.rate)}{interval}"


def _exponents(found: LyapunovSpectrum, screen: Screen) -> Table:
    table = columns_of(("rank", "exponent", "standard error", "trusted"), screen, gap=3)
    for rank in range(min(MAX_EXPONENTS, found.exponents.shape[1])):
        trusted = "yes" if found.trusted[:, rank].all() else "no"
        values = (found.exponents[:, rank], found.standard_errors[:, rank])
        add_row(table, [str(rank + 1), *(number(middle(v)) for v in values), trusted], screen)
    more = found.exponents.shape[1] - MAX_EXPONENTS
    if more > 0:
        add_row(table, ["…", f"{more} more", "", ""], screen)
    return table


def _singular_values(spectrum: Spectrum, screen: Screen) -> Table:
    found = spectrum.singular
    titles = ("lag", "log10 σ_1", "log10 σ_1/σ_S", "stable rank", "participation ratio")
    table = columns_of(titles, screen, gap=3)
    for place, lag in enumerate(found.lags.tolist()):
        row = (
            found.log_values[place, :, 0] / LN_10,
            found.log_condition[place] / LN_10,
            found.stable_rank[place],
            found.participation_ratio[place],
        )
        add_row(table, [str(lag), *(level(middle(values)) for values in row)], screen)
    return table
