"""The terminal page of ``spectrum``: the largest exponent first, then all values, then theory."""

from collections.abc import Mapping

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gradscope.analysis.details import Spectrum
from gradscope.analysis.results import Analysis
from gradscope.arrays import LN_10
from gradscope.jacobians.singular_values import SingularValues
from gradscope.report.documents.rows import middle
from gradscope.report.figures.panels import PANELS
from gradscope.report.screen import Screen
from gradscope.report.terminal.table import bullets, opening, table_of
from gradscope.report.words import captions
from gradscope.report.words.headline import describe
from gradscope.report.words.numbers import count, interval, level, number, over_steps
from gradscope.report.words.theory import motion_sentences, theory_sentence

MAX_EXPONENTS = 8
"""Exponents shown; the document has all."""


def spectrum_page(analysis: Analysis, screen: Screen) -> RenderableType:
    """Return the page of one network's spectra."""
    spectrum = analysis.details.spectrum
    if spectrum is None:
        return Text("The spectrum was not requested (--spectrum).")
    growth = analysis.last.growth
    within = interval(growth.low, growth.high, " ({} to {} at 95 % confidence)")
    units = {unit.replace("time_constant", "τ"): v for unit, v in analysis.last.rate_per.items()}
    beside = "".join(f", {level(rate)} per {unit}" for unit, rate in units.items())
    theory = [f"measured growth rate: {number(growth.rate)}{within}{beside}"]
    theory += [theory_sentence(each, analysis.settings) for each in spectrum.theory]
    theory.append(PANELS["eigenvalues"].reading(analysis))
    largest = f"Largest Lyapunov exponent: {captions.lyapunov_sentence(analysis)}"
    found, looked_at = spectrum.lyapunov, spectrum.singular.log_values.shape[1]
    of = count(found.exponents.shape[0], "sequence")
    over = f"median of {of}; {over_steps(found.n_steps, found.warm_up)}"
    residual = np.nan if found.sum_rule_residual is None else found.sum_rule_residual
    missed = float(np.fmax.reduce(np.ravel(residual)))
    sum_rule = f"sum rule: Σλ misses the mean of log|det J_t| by {missed:.1e} at most"
    if np.isnan(missed):
        sum_rule = "sum rule: not defined, a direction is dead"
    exponents = f"Lyapunov exponents, nats per step ({over})"
    median = f"median of {looked_at} of {of}; the profile has all"
    values = f"Singular values of ∂h_T/∂h_T−ℓ ({median})"
    return Group(
        *opening(largest, describe(analysis.settings, analysis), screen),
        *bullets("What the state does", motion_sentences(spectrum), screen),
        Text(),
        Text(screen.say(exponents), style="bold"),
        _exponents(spectrum, analysis.settings.steps_per, screen),
        Text(screen.say(sum_rule)),
        Text(),
        Text(screen.say(values), style="bold"),
        _singular_values(spectrum.singular, screen),
        Text(),
        *bullets("Theory and measurement, nats per step", theory, screen),
    )


def _exponents(spectrum: Spectrum, steps_per: Mapping[str, float], screen: Screen) -> Table:
    found = spectrum.lyapunov
    count = found.exponents.shape[1]
    units = [f"per {unit.replace('time_constant', 'τ')}" for unit in steps_per]
    # What theory expects of a wide network stands beside, where W is one of those.
    expected = None if spectrum.against_expected else spectrum.expected
    rows = [
        [
            str(rank + 1),
            number(middle(found.exponents[:, rank])),
            number(middle(found.standard_errors[:, rank])),
            "yes" if found.trusted[:, rank].all() else "no",
            *(number(middle(found.exponents[:, rank]) * many) for many in steps_per.values()),
            *([number(float(expected.exponents[0, rank]))] if expected else []),
        ]
        for rank in range(min(MAX_EXPONENTS, count))
    ]
    if count > MAX_EXPONENTS:
        rows.append(["…", f"{count - MAX_EXPONENTS} more", *[""] * (len(rows[0]) - 2)])
    wide = ("wide network",) if expected else ()
    titles = ("rank", "exponent", "standard error\nof one sequence", "trusted", *units, *wide)
    return table_of(titles, rows, screen, gap=3)


def _singular_values(found: SingularValues, screen: Screen) -> Table:
    columns = (
        found.log_values[:, :, 0] / LN_10,
        found.log_condition / LN_10,
        found.stable_rank,
        found.participation_ratio,
    )
    titles = ("lag", "log10 σ_1", "log10 σ_1/σ_S", "stable rank", "participation ratio")
    rows = [
        [str(lag), *(level(middle(each[place])) for each in columns)]
        for place, lag in enumerate(found.lags)
    ]
    return table_of(titles, rows, screen, gap=3)
