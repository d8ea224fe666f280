"""Results as documents: JSON whose field names are a promise, CSV with a stable column order,
Markdown.

JSON holds finite numbers only; where there is none the field is null and a field beside it says
why. Norms of products are given as log10.
"""

import csv
import io
import json
import math
import platform
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

import gradscope
from gradscope.arrays import FloatArray
from gradscope.diagnosis.reasons import Reason
from gradscope.learning.history import History
from gradscope.report.words import LN_10
from gradscope.study.check import CheckRow
from gradscope.study.checkpoints import Checkpoint
from gradscope.study.results import Analysis, Comparison, GradientSummary, Profile, Stage

Document = dict[str, Any]
QUANTILES: Mapping[str, float] = {"p05": 0.05, "median": 0.5, "p95": 0.95}
SMALLEST = float(np.log(np.finfo(np.float64).tiny))


def to_json(document: Mapping[str, Any]) -> str:
    """Return a document as JSON text; NaN and infinity are errors here, not output."""
    return json.dumps(document, allow_nan=False, indent=1) + "\n"


def to_jsonl(documents: Iterable[Mapping[str, Any]]) -> str:
    """Return documents as JSON Lines: one line each, whatever their texts hold."""
    lines = (json.dumps(each, allow_nan=False, separators=(",", ":")) for each in documents)
    return "".join(f"{line}\n" for line in lines)


def finite(value: float | None) -> float | None:
    """Return a number, None for one that JSON cannot hold."""
    return value if value is not None and math.isfinite(value) else None


def numbers(array: FloatArray) -> list[float | None]:
    """Return an array as a list, None where JSON cannot hold the number."""
    return [finite(each) for each in array.tolist()]


def analysis_document(analysis: Analysis) -> Document:
    """Return the analysis document, version 1."""
    return {
        **head("analysis", analysis.settings.as_dict()),
        "problem": _problem(analysis),
        "stages": [_stage(stage) for stage in analysis.stages],
        "training": None if analysis.training is None else _training(analysis.training),
        "remedies": [{"code": str(each.code), **each.numbers} for each in analysis.remedies],
    }


def comparison_document(comparison: Comparison) -> Document:
    """Return the comparison: its cells in a row each, and every analysis whole."""
    first = comparison.analyses[0].settings
    shared = {k: v for k, v in first.as_dict().items() if k not in ("activation", "steps")}
    return {
        **head("comparison", shared),
        "interrupted": comparison.interrupted,
        "cells": [dict(zip(CELL_COLUMNS, row, strict=True)) for row in comparison_rows(comparison)],
        "analyses": [analysis_document(each) for each in comparison.analyses],
    }


def training_document(analysis: Analysis, checkpoints: Sequence[Checkpoint]) -> Document:
    """Return the course of training with its checkpoints."""
    return {
        **head("training", analysis.settings.as_dict()),
        "problem": _problem(analysis),
        "error": {str(stage.name): finite(stage.error) for stage in analysis.stages},
        "checkpoints": [
            dict(zip(CHECKPOINT_COLUMNS, row, strict=True))
            for row in checkpoint_rows(analysis, checkpoints)
        ],
        "verdict": _verdict(analysis.last),
        "training": None if analysis.training is None else _training(analysis.training),
    }


def check_document(rows: Sequence[CheckRow], settings: Mapping[str, Any]) -> Document:
    """Return the checks, each with its deviation and tolerance."""
    return {
        **head("check", settings),
        "passed": all(row.passed for row in rows),
        "checks": [dict(zip(CHECK_COLUMNS, row, strict=True)) for row in check_rows(rows)],
    }


def head(kind: str, settings: Mapping[str, Any]) -> Document:
    """Return what every document opens with: schema, versions, settings, environment."""
    return {
        "schema": f"gradscope.{kind}",
        "version": 1,
        "gradscope": gradscope.__version__,
        "settings": dict(settings),
        "environment": {"python": platform.python_version(), "numpy": np.__version__},
    }


def _problem(analysis: Analysis) -> Document:
    facts = analysis.facts
    return {
        "description": facts.description,
        "error": str(facts.error),
        "required_lag": facts.required_lag,
        "baseline": {"error": facts.baseline.error, "meaning": facts.baseline.meaning},
    }


def _stage(stage: Stage) -> Document:
    causes = stage.causes
    return {
        "stage": str(stage.name),
        "error": finite(stage.error),
        "profile": _profile(stage.profile),
        "verdict": _verdict(stage),
        "causes": {
            "weights": causes.weights,
            "slope_ceiling": causes.slope_ceiling,
            "misalignment": causes.misalignment,
            "saturation": causes.saturation,
            "total": causes.total,
            "null_because": "the product is exactly zero" if causes.total is None else None,
        },
        "gradient": _gradient(stage.gradient),
        "slopes": {
            "p05": numbers(stage.slopes.p05),
            "median": numbers(stage.slopes.median),
            "p95": numbers(stage.slopes.p95),
            "ceiling": stage.slopes.ceiling,
        },
    }


def _profile(profile: Profile) -> Document:
    levels = {name: profile.quantile(level) / LN_10 for name, level in QUANTILES.items()}
    zero = any(np.isneginf(each).any() for each in levels.values())
    return {
        "lags": profile.lags.tolist(),
        "log10_norm": {name: numbers(each) for name, each in levels.items()},
        "log10_bound": numbers(profile.log_bound / LN_10),
        "null_because": "the product is exactly zero" if zero else None,
        "certificate": profile.certificate,
    }


def _verdict(stage: Stage) -> Document:
    verdict = stage.verdict
    unreached = f"the median profile stays above the threshold at all {verdict.max_lag} lags"
    return {
        "regime": str(verdict.regime),
        "rate_nats_per_step": finite(verdict.rate),
        "rate_null_because": None if math.isfinite(verdict.rate) else "the product is exactly zero",
        "horizon": verdict.horizon,
        "horizon_null_because": unreached if verdict.horizon is None else None,
        "required_lag": verdict.required_lag,
        "max_lag": verdict.max_lag,
        "reasons": [_reason(reason) for reason in verdict.reasons],
    }


def _reason(reason: Reason) -> Document:
    return {"code": str(reason.code), **reason.numbers}


def _gradient(gradient: GradientSummary) -> Document:
    log_by_step = gradient.log_by_step
    plain = np.exp(np.minimum(log_by_step, -SMALLEST))
    held = np.isneginf(log_by_step) | (np.abs(log_by_step) < -SMALLEST)
    return {
        "norm": finite(gradient.norm),
        "norm_null_because": None if math.isfinite(gradient.norm) else "it overflows",
        "steps": list(range(log_by_step.size)),
        "by_step": [v if ok else None for v, ok in zip(plain.tolist(), held, strict=True)],
        "by_step_null_because": None if held.all() else "outside float64; see log10_by_step",
        "log10_by_step": numbers(log_by_step / LN_10),
        "log10_by_step_null_because": (
            "no error reaches the state" if np.isneginf(log_by_step).any() else None
        ),
    }


def _training(history: History) -> Document:
    bad = history.non_finite
    return {
        "updates": history.updates,
        "stop": str(history.stop),
        "non_finite": None
        if bad is None
        else {"update": bad.update, "step": bad.step, "factor": bad.factor},
        "loss": numbers(history.loss),
        "error_per_step": numbers(history.error_per_step),
        "gradient_norm": numbers(history.gradient_norm),
        "clipped_fraction": history.clipped_fraction,
    }


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
)
CHECKPOINT_COLUMNS = ("update", "error_per_step", "gradient_norm", "horizon")
CHECK_COLUMNS = ("quantity", "against", "deviation", "tolerance", "passed")


def profile_rows(analysis: Analysis) -> list[list[Any]]:
    """Return one row per stage and lag, in the order of ``PROFILE_COLUMNS``."""
    rows = []
    for stage in analysis.stages:
        document = _profile(stage.profile)
        curves = [*document["log10_norm"].values(), document["log10_bound"]]
        for lag, *values in zip(document["lags"], *curves, strict=True):
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
            analysis.facts.baseline.error,
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


def to_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as CSV; a missing number is an empty cell."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return buffer.getvalue()


def to_markdown(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as a Markdown table; a missing number is an empty cell."""
    lines = [f"| {' | '.join(columns)} |", f"| {' | '.join('---' for _ in columns)} |"]
    for row in rows:
        cells = ["" if v is None else f"{v:.6g}" if isinstance(v, float) else str(v) for v in row]
        escaped = " | ".join(cell.replace("|", r"\|") for cell in cells)
        lines.append(f"| {escaped} |")
    return "\n".join(lines) + "\n"
