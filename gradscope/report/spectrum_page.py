"""The terminal page of ``spectrum``: the largest exponent first, then all values, then theory."""

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gradscope.jacobians.lyapunov import LyapunovSpectrum
from gradscope.report.readings import eigenvalues_reading, lyapunov_reading, singular_reading
from gradscope.report.theory_words import theory_cells
from gradscope.report.words import LN_10, describe, number, pace
from gradscope.study.closer import Spectrum
from gradscope.study.results import Analysis

MOST_EXPONENTS = 8
"""Exponents shown; the document has all."""


def spectrum_page(analysis: Analysis) -> RenderableType:
    """Return the page of one network's spectra."""
    spectrum = analysis.closer.spectrum
    if spectrum is None:
        return Text("The spectrum was not asked for (--spectrum).")
    first = float(np.median(spectrum.lyapunov.exponents[:, 0]))
    return Group(
        Text(f"Largest Lyapunov exponent: {number(first)} nats a step, {pace(first)}.", "bold"),
        Text(describe(analysis.settings, analysis), style="dim"),
        Text(),
        Text("Lyapunov exponents, nats a step (median over sequences)", style="bold"),
        _exponents(spectrum.lyapunov),
        Text(lyapunov_reading(analysis)),
        Text(),
        Text("Singular values of ∂h_T/∂h_T−ℓ (median over sequences)", style="bold"),
        _singular_values(spectrum),
        Text(singular_reading(analysis)),
        Text(),
        Text("Theory beside measurement, nats a step", style="bold"),
        _theory(analysis, spectrum),
        Text(eigenvalues_reading(analysis)),
    )


def _columns(*titles: str, left: int = 1) -> Table:
    """Return an empty table; all but the first columns are numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, title in enumerate(titles):
        table.add_column(title, justify="left" if place < left else "right")
    return table


def _exponents(found: LyapunovSpectrum) -> Table:
    table = _columns("i", "λ_i", "± one standard error", "")
    for rank in range(min(MOST_EXPONENTS, found.exponents.shape[1])):
        trusted = bool(found.trusted[:, rank].all())
        table.add_row(
            str(rank + 1),
            number(float(np.median(found.exponents[:, rank]))),
            number(float(np.median(found.standard_errors[:, rank]))),
            "" if trusted else "below double precision",
        )
    more = found.exponents.shape[1] - MOST_EXPONENTS
    if more > 0:
        table.add_row("…", f"{more} more", "", "")
    return table


def _singular_values(spectrum: Spectrum) -> Table:
    found = spectrum.singular
    table = _columns(
        "lag", "log10 σ_1", "log10 σ_1/σ_S", "stable rank", "directions that share", left=0
    )
    for place, lag in enumerate(found.lags.tolist()):
        row = (
            found.log_values[place, :, 0] / LN_10,
            found.log_condition[place] / LN_10,
            found.stable_rank[place],
            found.participation_ratio[place],
        )
        table.add_row(str(lag), *(number(_middle(values)) for values in row))
    return table


def _middle(values: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> float:
    """Return the median as an order statistic: infinities make no NaN."""
    return float(np.sort(values)[(values.size - 1) // 2])


def _theory(analysis: Analysis, spectrum: Spectrum) -> Table:
    table = _columns("", "rate", "depth", "", "source", left=1)
    for place in (3, 4):
        table.columns[place].justify = "left"
    growth = analysis.last.growth
    width = "" if growth.low is None else f"{number(growth.low)} … {number(growth.high)} (95 %)"
    table.add_row("measured growth rate", number(growth.rate), "", width, "")
    for prediction in spectrum.theory:
        table.add_row(*theory_cells(prediction))
    return table
