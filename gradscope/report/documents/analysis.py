"""Results as documents: plain values under field names that people's scripts rest on.

Names and values of an analysis come from ``analysis.fields``; norms of products are log10. A null
has its reason beside it.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from gradscope.analysis import fields
from gradscope.analysis.check import CheckRow
from gradscope.analysis.checkpoints import Checkpoint
from gradscope.analysis.details import Spectrum
from gradscope.analysis.results import Analysis, Comparison, ImportedLayer, Stage
from gradscope.analysis.settings import Settings
from gradscope.arrays import LN_10, ComplexArray, plain
from gradscope.diagnosis.motion import STEPS_ALONE, Motion
from gradscope.jacobians.lag_map import LagMap
from gradscope.jacobians.shares import GradientShares
from gradscope.report.documents import rows as tables
from gradscope.report.formats import Document, head
from gradscope.report.terminal.analysis import NOT_DRIVEN, layer_verdict
from gradscope.report.words.theory import objection_sentence
from gradscope.sweep.changes import changes

_ALONE = ("error", "verdict.horizon", "gradient")
_OF_PROBLEM = ("required_lag", "lag_errors", "baseline.memoryless")
_OF_GRADIENT = ("gradient.norm", "gradient.by_step", "gradient.log10_by_step")

REASON_NAMES: Mapping[str, str] = MappingProxyType(
    {
        **{name: f"{name}_null_because" for name in (*_ALONE, *_OF_PROBLEM, *_OF_GRADIENT)},
        **{f"profile.log10_norm.{name}": "profile.null_because" for name in fields.QUANTILES},
        "profile.log10_bound": "profile.null_because",
        "verdict.rate_nats_per_step": "verdict.rate_null_because",
        "verdict.rate_interval_95": "verdict.rate_interval_null_because",
        "verdict.marginal": "verdict.marginal_null_because",
        "causes.total": "causes.null_because",
        **{
            f"parameter_profile.log10_{name}": "parameter_profile.null_because"
            for name in ("norm", *tables.SHARED, "candidate_bias")
        },
    }
)
"""Where a stage's document says why a field is null."""

WHY_NULL: Mapping[str, str] = MappingProxyType(
    {
        "error": fields.OVERFLOWS,
        "bound_rate_nats_per_step": "W is zero",
        "horizon": "the median profile stays above the threshold at all lags measured",
        "expected_horizon": "the profile does not fall measurably",
        "expected_explosion": "the profile does not rise measurably",
        "horizon_before": "the median profile stayed above the threshold at all lags measured",
        "log10_norm_before": fields.ZERO_PRODUCT,
        "norm": "no update was finished to choose it by",
    }
)
"""Why a number of a reason or of a remedy may be null."""


def analysis_document(analysis: Analysis) -> Document:
    """Return the analysis document, version 1."""
    return {
        **head("analysis", analysis.settings.as_dict()),
        "problem": fields.nested(fields.task_fields(analysis.task_info), REASON_NAMES),
        **_network(analysis),
        "stages": [_stage(stage) for stage in analysis.stages],
        "training": _training(analysis),
        "remedies": [_explained(str(each.code), each.numbers) for each in analysis.remedies],
        **details_document(analysis),
    }


def comparison_document(comparison: Comparison) -> Document:
    """Return the comparison: a row for each cell, medians over the seeds, every analysis whole."""
    first = comparison.analyses[0].settings
    shared = {k: v for k, v in first.as_dict().items() if k not in ("cell", "activation", "steps")}
    return {
        **head("comparison", shared),
        "interrupted": comparison.interrupted,
        "cells": _objects(tables.CELL_COLUMNS, tables.comparison_rows(comparison)),
        "medians": _objects(tables.MEDIAN_COLUMNS, tables.median_rows(comparison)),
        "changes": [
            {
                "file": tables.file_of(each.analysis),
                **{
                    name: {"change": v, "within_95": within}
                    for name, (v, within) in each.of.items()
                },
                "null_because": "a horizon lies beyond the lags, or there are too few sequences",
                **{name: getattr(each, name) for name in ("judged_by", "better", "worse")},
            }
            for each in (changes(comparison) if tables.file_of(comparison.analyses[0]) else ())
        ],
        "analyses": [analysis_document(each) for each in comparison.analyses],
    }


def training_document(analysis: Analysis, checkpoints: Sequence[Checkpoint]) -> Document:
    """Return how training went, with its checkpoints."""
    return {
        **head("training", analysis.settings.as_dict()),
        "problem": fields.nested(fields.task_fields(analysis.task_info), REASON_NAMES),
        "error": {str(stage.name): plain(stage.error) for stage in analysis.stages},
        "checkpoints": _objects(
            tables.CHECKPOINT_COLUMNS, tables.checkpoint_rows(analysis, checkpoints)
        ),
        "verdict": _stage(analysis.last)["verdict"],
        "training": _training(analysis),
    }


def spectrum_document(analysis: Analysis) -> Document:
    """Return the last stage's spectrum, its growth rate, and the certificate of its profile."""
    stage = _stage(analysis.last)
    rate = {name: each for name, each in stage["verdict"].items() if name.startswith("rate_")}
    return {
        **head("spectrum", analysis.settings.as_dict()),
        "stage": stage["stage"],
        **rate,
        "certificate": stage["profile"]["certificate"],
        "spectrum": details_document(analysis)["spectrum"],
    }


def check_document(rows: Sequence[CheckRow], settings: Mapping[str, Any]) -> Document:
    """Return the checks, each with its deviation and tolerance."""
    return {
        **head("check", settings),
        "passed": all(row.passed for row in rows),
        "checks": _objects(tables.CHECK_COLUMNS, tables.check_rows(rows)),
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


def _layer(layer: ImportedLayer, analysis: Analysis) -> Document:
    verdict = layer_verdict(layer, analysis)
    return {
        "layer": layer.title,
        "kind": str(layer.cell),
        "direction": layer.direction,
        "input_size": layer.input_size,
        "hidden_size": layer.hidden_size,
        "regime": verdict and str(verdict.regime),
        "rate_nats_per_step": verdict and plain(verdict.rate),
        "horizon": verdict and verdict.horizon,
        "null_because": NOT_DRIVEN if verdict is None else None,
    }


def _stage(stage: Stage) -> Document:
    document = fields.nested(fields.stage_fields(stage), REASON_NAMES)
    reasons = [_explained(str(each.code), each.numbers) for each in stage.verdict.reasons]
    document["verdict"]["reasons"] = reasons
    return document


def _training(analysis: Analysis) -> Document | None:
    return fields.nested(fields.training_fields(analysis.training)) if analysis.training else None


def _explained(code: str, values: Mapping[str, Any]) -> Document:
    """Return a code and its numbers with, beside each null, why there is no number."""
    why = {
        f"{name}_null_because": WHY_NULL[name]
        for name, value in values.items()
        if value is None and name in WHY_NULL
    }
    return {"code": code, **values, **why}


def details_document(analysis: Analysis) -> Document:
    """Return map, shares, spectrum and verification of the last stage, null where not asked for."""
    details, allowed = analysis.details, analysis.settings.truncation_error
    checked = details.verification
    document: Document = plain(
        {
            "map": details.map and _map(details.map),
            "shares": details.shares and _shares(details.shares, allowed),
            "spectrum": details.spectrum and _spectrum(details.spectrum, analysis.settings),
            "verification": checked
            and {
                "lags": checked.lags,
                "worst_deviation": checked.worst,
                "swept_lag": checked.swept_lag,
                "swept_lag_null_because": None if checked.swept_lag else "too much work",
            },
        }
    )
    return document


def _map(found: LagMap) -> Document:
    middle = tables.median_map(found.log_norms) / LN_10
    return {
        "times": found.times,
        "log10_norm_median": [row[: place + 1] for place, row in enumerate(middle)],
        "rows": "one per later state, from the earliest state to itself",
        "null_because": fields.ZERO_PRODUCT if found.times.size > 1 else None,
        "certificate": float(found.certificate.max()),
    }


def _shares(shares: GradientShares, allowed: float) -> Document:
    length = shares.truncation_length(allowed)
    return {
        **dict(zip(tables.SHARE_COLUMNS, tables.share_columns(shares), strict=True)),
        "null_because": "nothing arrives at that lag",
        "truncation": {
            "error": allowed,
            "length": length,
            "null_because": "no lag here keeps the error so small" if length is None else None,
        },
    }


def _spectrum(spectrum: Spectrum, settings: Settings) -> Document:
    singular, lyapunov = spectrum.singular, spectrum.lyapunov
    stays, none = spectrum.motion.on_attractor, [None] * lyapunov.exponents.shape[0]
    return {
        "singular_values": {
            "lags": singular.lags,
            "sequences": singular.log_values.shape[1],
            "log10_values": singular.log_values / LN_10,
            "log10_condition": singular.log_condition / LN_10,
            "stable_rank": singular.stable_rank,
            "participation_ratio": singular.participation_ratio,
            "null_because": "zero, or too far below the others for double precision",
        },
        "lyapunov": {
            "sequences": lyapunov.exponents.shape[0],
            "burn_in": lyapunov.warm_up,
            "steps": lyapunov.n_steps,
            "exponents_nats_per_step": lyapunov.exponents,
            **{
                f"exponents_nats_per_{unit}": lyapunov.exponents * count
                for unit, count in settings.steps_per.items()
            },
            "standard_errors": lyapunov.standard_errors,
            "trusted": lyapunov.trusted,
            "sum_rule_residual": lyapunov.sum_rule_residual,
            "kaplan_yorke_dimension": lyapunov.kaplan_yorke_dimension if stays else none,
            "entropy_rate_nats_per_step": lyapunov.entropy_rate if stays else none,
            "null_because": "a direction is dead, there is too little to tell, or the state stays "
            "at a point that it would leave, or grows without bound",
        },
        "motion": _motion(spectrum.motion),
        "alone": {"steps": STEPS_ALONE // 2, **_motion(spectrum.alone)},
        "wide_network": spectrum.expected
        and {
            "exponents_nats_per_step": spectrum.expected.exponents[0],
            "kaplan_yorke_dimension": spectrum.expected.kaplan_yorke_dimension[0],
            "entropy_rate_nats_per_step": spectrum.expected.entropy_rate[0],
            "applies": spectrum.against_expected is None,
            "objection": objection_sentence(spectrum.against_expected) or None,
            "null_because": "units of slope 0 kill the direction",
        },
        "eigenvalues": _complex(spectrum.eigenvalues),
        "jacobian_eigenvalues": {
            "steps": spectrum.sampled_steps,
            "values": [_complex(each) for each in spectrum.jacobian_eigenvalues],
        },
        "theory": [
            {
                "name": each.name,
                "rate_nats_per_step": each.rate,
                "depth_scale": each.depth_scale,
                "correlation": each.correlation,
                "correlation_depth": each.correlation_depth,
                "applies": each.applies,
                "objection": objection_sentence(each.objection) or None,
                "source": each.source,
            }
            for each in spectrum.theory
        ],
    }


def _motion(motion: Motion) -> Document:
    return {
        "what": motion.code,
        "exponent_nats_per_step": motion.exponent,
        "standard_error": motion.standard_error,
        "period": motion.period,
        "null_because": "no cycle, no batches of steps to tell an error from, or a dead direction",
    }


def _complex(values: ComplexArray) -> list[Any]:
    """Return complex numbers as pairs of real and imaginary part."""
    return [[value.real, value.imag] for value in values.tolist()]
