"""Results as documents: plain values under field names that people's scripts rest on.

Norms of products are given as log10. A null has its reason beside it.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradscope.analysis.check import CheckRow
from gradscope.analysis.checkpoints import Checkpoint
from gradscope.analysis.results import (
    Analysis,
    Comparison,
    GradientSummary,
    ImportedLayer,
    Profile,
    Stage,
)
from gradscope.diagnosis.growth import terms_of
from gradscope.diagnosis.reasons import Reason
from gradscope.learning.history import History
from gradscope.report.documents.details import details_document, rate_document
from gradscope.report.documents.rows import (
    CELL_COLUMNS,
    CHECK_COLUMNS,
    CHECKPOINT_COLUMNS,
    check_rows,
    checkpoint_rows,
    comparison_rows,
)
from gradscope.report.formats import Document, finite, head, numbers
from gradscope.report.terminal.layers import NOT_DRIVEN, layer_verdict
from gradscope.report.words.headline import QUANTILES
from gradscope.report.words.numbers import LN_10


def network_document(analysis: Analysis) -> Document:
    """Return file, layer, kind and sizes of a network from a file; nothing for another."""
    settings = analysis.settings
    if settings.weights is None:
        return {}
    inputs, hidden, outputs = analysis.params.sizes
    network = analysis.network
    return {
        "network": {
            "file": settings.weights,
            "layer": settings.layer,
            "kind": str(settings.cell),
            "input_size": inputs,
            "hidden_size": hidden,
            "state_size": analysis.params.state_size,
            "output_size": outputs,
            "readout": settings.readout,
            "inputs": settings.data,
            "noise_scale": None if settings.data is not None else settings.noise_scale,
            "initial_state": "file" if analysis.trajectory.states[0].any() else "zeros",
            "layers": network and [_layer(each, analysis) for each in network.layers],
        }
    }


def _layer(given: ImportedLayer, analysis: Analysis) -> Document:
    verdict = layer_verdict(given, analysis)
    return {
        "layer": given.title,
        "kind": str(given.cell),
        "direction": given.direction,
        "input_size": given.input_size,
        "hidden_size": given.hidden_size,
        "regime": None if verdict is None else str(verdict.regime),
        "rate_nats_per_step": None if verdict is None else finite(verdict.rate),
        "horizon": None if verdict is None else verdict.horizon,
        "null_because": NOT_DRIVEN if verdict is None else None,
    }


WHY_NULL: Mapping[str, str] = {
    "error": "it overflows",
    "bound_rate_nats_per_step": "W is zero",
    "horizon": "the median profile stays above the threshold at all lags measured",
    "expected_horizon": "the profile does not fall",
    "norm": "no update was finished to choose it by",
}
NO_TARGETS = "there are no targets (--readout NAME --targets FILE)"
SMALLEST = float(np.log(np.finfo(np.float64).tiny))


def analysis_document(analysis: Analysis) -> Document:
    """Return the analysis document, version 1."""
    return {
        **head("analysis", analysis.settings.as_dict()),
        "problem": _problem(analysis),
        **network_document(analysis),
        "stages": [_stage(stage) for stage in analysis.stages],
        "training": None if analysis.training is None else _training(analysis.training),
        "remedies": [
            {"code": str(each.code), **_explained(each.numbers)} for each in analysis.remedies
        ],
        **details_document(analysis),
    }


def comparison_document(comparison: Comparison) -> Document:
    """Return the comparison: its cells in a row each, and every analysis whole."""
    first = comparison.analyses[0].settings
    shared = {k: v for k, v in first.as_dict().items() if k not in ("cell", "activation", "steps")}
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


def _problem(analysis: Analysis) -> Document:
    task_info = analysis.task_info
    return {
        "description": task_info.description,
        "error": str(task_info.error),
        "required_lag": task_info.required_lag,
        "baseline": None
        if task_info.baseline is None
        else {"error": task_info.baseline.error, "meaning": task_info.baseline.meaning},
    }


def _stage(stage: Stage) -> Document:
    causes = stage.causes
    return {
        "stage": str(stage.name),
        **_error(stage),
        "profile": _profile(stage.profile),
        "verdict": _verdict(stage),
        "causes": {
            **terms_of(causes),
            "total": causes.total,
            "null_because": "the product is exactly zero" if causes.total is None else None,
        },
        "gradient": None if stage.gradient is None else _gradient(stage.gradient),
        **({"gradient_null_because": NO_TARGETS} if stage.gradient is None else {}),
        **_per_time_constant(stage),
        "slopes": {
            "p05": numbers(stage.slopes.p05),
            "median": numbers(stage.slopes.median),
            "p95": numbers(stage.slopes.p95),
            "ceiling": stage.slopes.ceiling,
        },
    }


def _error(stage: Stage) -> Document:
    if stage.error is None:
        return {"error": None, "error_null_because": NO_TARGETS}
    return _explained({"error": finite(stage.error)})


def _per_time_constant(stage: Stage) -> Document:
    rate = stage.rate_per_time_constant
    return {} if rate is None else {"rate_nats_per_time_constant": finite(rate)}


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
        **rate_document(stage),
        "horizon": verdict.horizon,
        "horizon_null_because": unreached if verdict.horizon is None else None,
        "required_lag": verdict.required_lag,
        "max_lag": verdict.max_lag,
        "reasons": [_reason(reason) for reason in verdict.reasons],
    }


def _reason(reason: Reason) -> Document:
    return {"code": str(reason.code), **_explained(reason.numbers)}


def _explained(values: Mapping[str, Any]) -> Document:
    """Return values with, beside each null, why there is no number."""
    why = {
        f"{name}_null_because": WHY_NULL[name]
        for name, value in values.items()
        if value is None and name in WHY_NULL
    }
    return {**values, **why}


def _why_no_norm(norm: float | None) -> str | None:
    if norm is None:
        return "no step that was reached has a target"
    return None if math.isfinite(norm) else "it overflows"


def _gradient(gradient: GradientSummary) -> Document:
    log_by_step = gradient.log_by_step
    plain = np.exp(np.minimum(log_by_step, -SMALLEST))
    held = np.isneginf(log_by_step) | (np.abs(log_by_step) < -SMALLEST)
    return {
        "norm": finite(gradient.norm),
        "norm_null_because": _why_no_norm(gradient.norm),
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
