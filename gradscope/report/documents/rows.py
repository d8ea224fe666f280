"""Results as columns and rows, for CSV and Markdown; the order of columns is a promise."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from gradscope.analysis.check import CheckRow
from gradscope.analysis.checkpoints import Checkpoint
from gradscope.analysis.results import Analysis, Comparison
from gradscope.arrays import FloatArray
from gradscope.report.formats import finite, numbers
from gradscope.report.words.headline import QUANTILES
from gradscope.report.words.numbers import LN_10

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
    found = analysis.details.map
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
    shares = analysis.details.shares
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
    spectrum = analysis.details.spectrum
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
    spectrum = analysis.details.spectrum
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
    spectrum = analysis.details.spectrum
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
    spectrum = analysis.details.spectrum
    if spectrum is None:
        return columns, []
    rows: list[list[Any]] = [
        [str(each.name), finite(each.rate), finite(each.depth_scale), each.applies, each.source]
        for each in spectrum.theory
    ]
    return columns, rows


PROFILE_COLUMNS = ("stage", "lag", "log10_p05", "log10_median", "log10_p95", "log10_bound")
CELL_COLUMNS = (
    "activation",
    "steps",
    "stage",
    "regime",
    "rate_nats_per_step",
    "horizon",
    "required_lag",
    "log10_norm_at_last_lag",
    "error",
    "baseline",
    "cell",
)
CHECKPOINT_COLUMNS = ("update", "error_per_step", "gradient_norm", "horizon")
CHECK_COLUMNS = ("quantity", "against", "deviation", "tolerance", "passed")


def profile_rows(analysis: Analysis) -> list[list[Any]]:
    """Return one row per stage and lag, in the order of ``PROFILE_COLUMNS``."""
    rows = []
    for stage in analysis.stages:
        profile = stage.profile
        curves = [profile.quantile(level) for level in QUANTILES.values()]
        columns = [numbers(curve / LN_10) for curve in (*curves, profile.log_bound)]
        for lag, *values in zip(profile.lags.tolist(), *columns, strict=True):
            rows.append([str(stage.name), lag, *values])
    return rows


def profile_table(analysis: Analysis) -> Rows:
    """Return the profile of every stage with its columns."""
    return PROFILE_COLUMNS, profile_rows(analysis)


def comparison_rows(comparison: Comparison) -> list[list[Any]]:
    """Return one row per activation, length and stage, in the order of ``CELL_COLUMNS``."""
    return [
        [
            str(analysis.settings.activation),
            analysis.settings.steps,
            str(stage.name),
            str(stage.verdict.regime),
            finite(stage.verdict.rate),
            stage.verdict.horizon,
            stage.verdict.required_lag,
            finite(float(stage.profile.median[-1]) / LN_10),
            finite(stage.error),
            analysis.task_info.baseline and analysis.task_info.baseline.error,
            str(analysis.settings.cell),
        ]
        for analysis in comparison.analyses
        for stage in analysis.stages
    ]


def checkpoint_rows(analysis: Analysis, checkpoints: Sequence[Checkpoint]) -> list[list[Any]]:
    """Return one row per checkpoint, in the order of ``CHECKPOINT_COLUMNS``."""
    targets = analysis.training.target_steps if analysis.training else 1
    return [
        [each.update, finite(each.loss / targets), finite(each.gradient_norm), each.horizon]
        for each in checkpoints
    ]


def check_rows(rows: Iterable[CheckRow]) -> list[list[Any]]:
    """Return one row per check, in the order of ``CHECK_COLUMNS``."""
    return [
        [row.quantity, row.against, finite(row.deviation), row.tolerance, row.passed]
        for row in rows
    ]
