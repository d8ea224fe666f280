"""Results as columns and rows, for CSV and Markdown; the order of columns is a promise."""

from collections.abc import Iterable, Sequence
from typing import Any

from gradscope.report.export import finite, numbers
from gradscope.report.words import LN_10, QUANTILES
from gradscope.study.check import CheckRow
from gradscope.study.checkpoints import Checkpoint
from gradscope.study.results import Analysis, Comparison

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
            analysis.facts.baseline and analysis.facts.baseline.error,
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
