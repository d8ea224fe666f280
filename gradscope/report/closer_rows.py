"""The numbers of a closer look as columns and rows: behind each panel, in CSV and Markdown."""

from typing import Any

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.report.export import finite, numbers
from gradscope.report.words import LN_10
from gradscope.study.results import Analysis

Rows = tuple[tuple[str, ...], list[list[Any]]]

SHARE_COLUMNS = (
    "lag",
    "log10_share_recurrent_weights",
    "log10_share_input_weights",
    "log10_share_hidden_bias",
    "log10_partial_sum",
    "cancellation",
    "truncation_error",
)


def median_map(log_norms: FloatArray) -> FloatArray:
    """Return the median over sequences (A,A), an order statistic, so that −inf makes no NaN."""
    middle: FloatArray = np.sort(log_norms, axis=2)[:, :, (log_norms.shape[2] - 1) // 2]
    return middle


def middle(values: FloatArray) -> float:
    """Return the median as an order statistic: infinities make no NaN."""
    return float(np.sort(values)[(values.size - 1) // 2])


def map_rows(analysis: Analysis) -> Rows:
    """Return one row per pair t > k: log10 σ_max(∂h_t/∂h_k), the median over sequences."""
    columns = ("later", "earlier", "log10_norm")
    found = analysis.closer.map
    if found is None:
        return columns, []
    middle = median_map(found.log_norms) / LN_10
    times = found.times.tolist()
    rows = [
        [t, k, value]
        for i, t in enumerate(times)
        for k, value in zip(times[:i], numbers(middle[i, :i]), strict=True)
    ]
    return columns, rows


def share_rows(analysis: Analysis) -> Rows:
    """Return one row per lag: the norms of the shares, of their partial sum, and what is lost."""
    shares = analysis.closer.shares
    if shares is None:
        return SHARE_COLUMNS, []
    logs = [
        shares.log_norms["recurrent_weights"],
        shares.log_norms["input_weights"],
        shares.log_norms["hidden_bias"],
        shares.log_partial_norms,
    ]
    columns = [numbers(each / LN_10) for each in logs]
    columns += [numbers(shares.cancellation), numbers(shares.truncation_errors)]
    rows = [list(row) for row in zip(shares.lags.tolist(), *columns, strict=True)]
    return SHARE_COLUMNS, rows


def singular_rows(analysis: Analysis) -> Rows:
    """Return one row per lag, sequence and rank: log10 σ_i."""
    columns = ("lag", "sequence", "rank", "log10_singular_value")
    spectrum = analysis.closer.spectrum
    if spectrum is None:
        return columns, []
    found = spectrum.singular
    rows = [
        [lag, sequence, rank, value]
        for lag, of_lag in zip(found.lags.tolist(), found.log_values / LN_10, strict=True)
        for sequence, values in enumerate(of_lag, 1)
        for rank, value in enumerate(numbers(values), 1)
    ]
    return columns, rows


def lyapunov_rows(analysis: Analysis) -> Rows:
    """Return one row per sequence and rank: λ_i in nats per step, its error, whether trusted."""
    columns = ("sequence", "rank", "exponent_nats_per_step", "standard_error", "trusted")
    spectrum = analysis.closer.spectrum
    if spectrum is None:
        return columns, []
    found = spectrum.lyapunov
    rows = [
        [sequence, rank, *row]
        for sequence, (values, errors, trusted) in enumerate(
            zip(found.exponents, found.standard_errors, found.trusted, strict=True), 1
        )
        for rank, row in enumerate(
            zip(numbers(values), numbers(errors), trusted.tolist(), strict=True), 1
        )
    ]
    return columns, rows


def eigenvalue_rows(analysis: Analysis) -> Rows:
    """Return one row per eigenvalue of W and of the sampled Jacobians."""
    columns = ("of", "step", "real", "imaginary")
    spectrum = analysis.closer.spectrum
    if spectrum is None:
        return columns, []
    rows: list[list[Any]] = [["W", None, z.real, z.imag] for z in spectrum.eigenvalues.tolist()]
    for step, values in zip(
        spectrum.sampled_steps.tolist(), spectrum.jacobian_eigenvalues.tolist(), strict=True
    ):
        rows += [["J_t", step, z.real, z.imag] for z in values]
    return columns, rows


def theory_rows(analysis: Analysis) -> Rows:
    """Return one row per theory: its rate in nats per step, whether it applies, its source."""
    columns = ("theory", "rate_nats_per_step", "depth_scale", "applies", "source")
    spectrum = analysis.closer.spectrum
    if spectrum is None:
        return columns, []
    rows: list[list[Any]] = [
        [str(each.name), finite(each.rate), finite(each.depth_scale), each.applies, each.source]
        for each in spectrum.theory
    ]
    return columns, rows
