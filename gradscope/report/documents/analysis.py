"""Results as documents; names and values come from ``analysis.fields``, norms are log10."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from gradscope.analysis import fields
from gradscope.analysis.check import CheckRow
from gradscope.analysis.checkpoints import Checkpoint
from gradscope.analysis.results import Analysis, Comparison, ImportedLayer, Stage
from gradscope.arrays import plain
from gradscope.diagnosis.reasons import Reason
from gradscope.diagnosis.remedies import Remedy
from gradscope.report.documents import rows as tables
from gradscope.report.documents.details import details_document
from gradscope.report.formats import Document, head, named
from gradscope.report.terminal.analysis import NOT_DRIVEN, layer_verdict
from gradscope.report.words.remedies import remedy_command
from gradscope.sweep.changes import Change, changes

_BESIDE_ITSELF = (
    *("error", "verdict.horizon", "required_lag", "lag_errors", "baseline.memoryless"),
    *("gradient", "gradient.norm", "gradient.by_step", "gradient.log10_by_step"),
)

REASON_NAMES: Mapping[str, str] = {
    **{name: f"{name}_null_because" for name in _BESIDE_ITSELF},
    **{f"profile.log10_norm.{name}": "profile.null_because" for name in fields.QUANTILES},
    "profile.log10_bound": "profile.null_because",
    "write_level": "write_level_null_because",
    "slopes.ceiling": "slopes.null_because",
    "verdict.rate_nats_per_step": "verdict.rate_null_because",
    "verdict.rate_interval_95": "verdict.rate_interval_null_because",
    "verdict.marginal": "verdict.marginal_null_because",
    "readout.score": "readout.null_because",
    "causes.total": "causes.null_because",
    **{
        f"parameter_profile.log10_{name}": "parameter_profile.null_because"
        for name in ("norm", *tables.SHARED, "candidate_bias")
    },
}
"""Where a stage's document says why a field is null."""

WHY_NULL: Mapping[str, str] = {
    "error": fields.OVERFLOWS,
    "bound_rate_nats_per_step": "W is zero",
    "horizon": "the median profile stays above the threshold at all lags measured",
    "expected_horizon": "the profile does not fall measurably",
    "expected_explosion": "the profile does not rise measurably",
    "horizon_before": "the median profile stayed above the threshold at all lags measured",
    "log10_norm_before": fields.ZERO_PRODUCT,
    "norm": "no update was finished to choose it by",
    "predicted_rate": "the other terms add up to more than 0: saturation would grow",
    "command": "no setting makes this change",
}
"""Why a number of a reason or of a remedy may be null."""


def analysis_document(analysis: Analysis) -> Document:
    """Return the analysis document, version 1."""
    settings = analysis.settings
    return {
        **head("analysis", settings.as_dict()),
        "problem": fields.nested(fields.task_fields(analysis.task_info), REASON_NAMES),
        **_network(analysis),
        "stages": [_stage(stage) for stage in analysis.stages],
        "training": _training(analysis),
        **fields.nested(fields.readout_fields(analysis.readout), REASON_NAMES),
        "remedies": [
            _explained(replace(each, numbers={**each.numbers, "command": command}))
            for each in analysis.remedies
            for command in [remedy_command(each, settings)]
        ],
        **details_document(analysis),
    }


def comparison_document(comparison: Comparison) -> Document:
    """Return the comparison: a row for each cell, medians over the seeds, every analysis whole."""
    first = comparison.analyses[0].settings
    shared = {k: v for k, v in first.as_dict().items() if k not in ("cell", "activation", "steps")}
    return {
        **head("comparison", shared),
        "interrupted": comparison.interrupted,
        "cells": _objects(*tables.comparison_rows(comparison)),
        "medians": _objects(*tables.median_rows(comparison)),
        "changes": (
            [_change(each) for each in changes(comparison)]
            if tables.file_of(comparison.analyses[0])
            else []
        ),
        "analyses": [analysis_document(each) for each in comparison.analyses],
    }


def _change(change: Change) -> Document:
    of = {name: {"change": v, "within_95": within} for name, (v, within) in change.of.items()}
    return {
        "file": tables.file_of(change.analysis),
        **of,
        "null_because": "a horizon lies beyond the lags, or there are too few sequences",
        **named(change, "judged_by", "better", "worse"),
    }


def training_document(analysis: Analysis, checkpoints: Sequence[Checkpoint]) -> Document:
    """Return how training went, with its checkpoints."""
    return {
        **head("training", analysis.settings.as_dict()),
        "problem": fields.nested(fields.task_fields(analysis.task_info), REASON_NAMES),
        "error": {str(stage.name): plain(stage.error) for stage in analysis.stages},
        "checkpoints": _objects(*tables.checkpoint_rows(analysis, checkpoints)),
        "verdict": _stage(analysis.last)["verdict"],
        "training": _training(analysis),
    }


def spectrum_document(analysis: Analysis) -> Document:
    """Return the last stage's spectrum, its growth rate, and the certificate of its profile."""
    stage = _stage(analysis.last)
    return {
        **head("spectrum", analysis.settings.as_dict()),
        "stage": stage["stage"],
        **{name: each for name, each in stage["verdict"].items() if name.startswith("rate_")},
        "certificate": stage["profile"]["certificate"],
        "spectrum": details_document(analysis)["spectrum"],
    }


def check_document(rows: Sequence[CheckRow], settings: Mapping[str, Any]) -> Document:
    """Return the checks, each with its deviation and tolerance."""
    return {
        **head("check", settings),
        "passed": all(row.passed for row in rows),
        "checks": _objects(*tables.check_rows(rows)),
    }


def _objects(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[Document]:
    return [dict(zip(columns, plain(row), strict=True)) for row in rows]


def _network(analysis: Analysis) -> Document:
    """Return file, layer, kind and sizes of an imported network; nothing for another."""
    settings = analysis.settings
    if settings.weights is None:
        return {}
    inputs, hidden, outputs = analysis.params.sizes
    network = analysis.network
    return {
        "network": {
            **named(settings, "layer", "readout", "embedding", file="weights", inputs="data"),
            "kind": str(settings.cell or "step"),
            "input_size": inputs,
            "hidden_size": hidden,
            "state_size": analysis.params.state_size,
            "output_size": outputs,
            "noise_scale": None if settings.data is not None else settings.noise_scale,
            "initial_state": "file" if analysis.trajectory.states[0].any() else "zeros",
            "layers": network and [_layer(each, analysis) for each in network.layers],
        }
    }


def _layer(layer: ImportedLayer, analysis: Analysis) -> Document:
    verdict = layer_verdict(layer, analysis)
    zero = fields.ZERO_PRODUCT if verdict and plain(verdict.rate) is None else None
    return {
        "layer": layer.title,
        "kind": str(layer.cell),
        **named(layer, "direction", "input_size", "hidden_size"),
        "regime": verdict and str(verdict.regime),
        "rate_nats_per_step": verdict and plain(verdict.rate),
        "horizon": verdict and verdict.horizon,
        "null_because": NOT_DRIVEN if verdict is None else zero,
    }


def _stage(stage: Stage) -> Document:
    document = fields.nested(fields.stage_fields(stage), REASON_NAMES)
    document["verdict"]["reasons"] = [_explained(each) for each in stage.verdict.reasons]
    return document


def _training(analysis: Analysis) -> Document | None:
    return fields.nested(fields.training_fields(analysis.training)) if analysis.training else None


def _explained(said: Reason | Remedy) -> Document:
    """Return a code and its numbers with, beside each null, why there is no number."""
    why = {
        f"{name}_null_because": WHY_NULL[name]
        for name, value in said.numbers.items()
        if value is None and name in WHY_NULL
    }
    return {"code": str(said.code), **said.numbers, **why}
