"""What one cell of a sweep comes to: the numbers of its analysis as plain columns, or its failure.

``run_cell`` is what a worker runs. It answers every mistake of a cell with an outcome, so that what
still escapes from a worker is a matter of the worker.
"""

import math
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import numpy as np

from gradscope import __version__
from gradscope.analysis.analyze import analyze
from gradscope.analysis.results import Analysis, Stage
from gradscope.arrays import FloatArray
from gradscope.diagnosis.growth import terms_of
from gradscope.errors import GradscopeError
from gradscope.learning.history import Stop
from gradscope.machine import environment
from gradscope.sweep.grid import ALGORITHM_VERSION, Cell

LN_10 = math.log(10.0)

Numbers = Mapping[str, Any]


class Status(StrEnum):
    """How a cell ended."""

    DONE = "done"
    FAILED = "failed"


SCALARS: Mapping[str, str] = MappingProxyType(
    {
        "stage": "TEXT",
        "regime": "TEXT",
        "rate_nats_per_step": "REAL",
        "horizon": "INTEGER",
        "required_lag": "INTEGER",
        "lags": "INTEGER",
        "log10_norm": "REAL",
        "log10_bound": "REAL",
        "certificate": "REAL",
        "cause_weights": "REAL",
        "cause_slope_ceiling": "REAL",
        "cause_misalignment": "REAL",
        "cause_saturation": "REAL",
        "cause_direct": "REAL",
        "cause_recurrent_weights": "REAL",
        "cause_candidate_saturation": "REAL",
        "cause_closed_gates": "REAL",
        "cause_gate_slopes": "REAL",
        "gradient_norm": "REAL",
        "held_out_error": "REAL",
        "baseline_error": "REAL",
        "first_stage": "TEXT",
        "first_regime": "TEXT",
        "first_rate_nats_per_step": "REAL",
        "first_horizon": "INTEGER",
        "first_held_out_error": "REAL",
        "training_stop": "TEXT",
        "training_updates": "INTEGER",
        "training_loss": "REAL",
        "clipped_fraction": "REAL",
        "null_because": "TEXT",
    }
)
"""Results that are one number or word each, and their SQL types."""

CURVES = (
    "log10_norm_p05",
    "log10_norm_median",
    "log10_norm_p95",
    "first_log10_norm_median",
    "log10_gradient_by_step",
    "loss_curve",
    "gradient_norm_curve",
)
"""Results that are arrays: little-endian float64, one after the other; −inf is an exact zero."""

REASONS: Mapping[str, str] = MappingProxyType(
    {
        "rate_nats_per_step": "the product is exactly zero",
        "log10_norm": "the product is exactly zero",
        "log10_bound": "the bound is exactly zero",
        "gradient_norm": "it overflows",
        "held_out_error": "the state overflows on the held-out sequences",
        "first_rate_nats_per_step": "the product is exactly zero",
        "first_held_out_error": "the state overflows on the held-out sequences",
        "training_loss": "it overflows",
    }
)
"""Why a number that belongs there may be missing."""


@dataclass(frozen=True, eq=False, slots=True)
class Outcome:
    """What became of a cell.

    ``numbers`` holds the columns of ``SCALARS`` and ``CURVES`` (empty for a failure), ``error`` one
    line and ``trace`` the traceback of an unexpected failure, ``duration`` is in seconds,
    ``gradscope``, ``environment`` and ``algorithm`` are the versions and the machine of the worker.
    """

    cell: Cell
    status: Status
    numbers: Numbers = field(default_factory=dict)
    error: str | None = None
    trace: str | None = None
    duration: float = 0.0
    finished_at: str = field(
        default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds")
    )
    gradscope: str = __version__
    environment: Mapping[str, Any] = field(default_factory=environment)
    algorithm: int = ALGORITHM_VERSION


def run_cell(cell: Cell) -> Outcome:
    """Analyze one cell. A failure of any kind is an outcome too; only an interruption is not."""
    start = time.perf_counter()
    try:
        analysis = analyze(cell.settings)
        numbers = flatten(analysis)
    except GradscopeError as error:
        return failure(cell, str(error), duration=time.perf_counter() - start)
    except Exception as error:  # noqa: BLE001 (one bad cell must not end a sweep of thousands)
        text = f"{type(error).__name__}: {error}"
        took = time.perf_counter() - start
        return failure(cell, text, trace=traceback.format_exc(), duration=took)
    training, took = analysis.training, time.perf_counter() - start
    if training is not None and training.stop is Stop.INTERRUPTED:
        raise KeyboardInterrupt
    if training is not None and training.non_finite is not None and not training.updates:
        text = (
            f"training stopped at update 1: the {training.non_finite.factor} is no longer finite; "
            "choose a smaller --learning-rate, or --clip-norm"
        )
        return failure(cell, text, duration=took)
    return Outcome(cell, Status.DONE, numbers, duration=took)


def failure(cell: Cell, error: str, *, trace: str | None = None, duration: float = 0.0) -> Outcome:
    """Return the outcome of a cell that failed."""
    line = " ".join(error.split()).replace("\0", "")
    return Outcome(cell, Status.FAILED, error=line, trace=trace, duration=duration)


def flatten(analysis: Analysis) -> dict[str, Any]:
    """Return the numbers of an analysis in the order of ``SCALARS`` and ``CURVES``; None where
    there is none.
    """
    last = _stage_numbers(analysis.last)
    first = last if len(analysis.stages) == 1 else _stage_numbers(analysis.stages[0])
    found = {
        **last,
        **{f"first_{name}": value for name, value in first.items()},
        **_training_numbers(analysis),
        "baseline_error": analysis.task_info.baseline and analysis.task_info.baseline.error,
    }
    scalars = {name: _finite(found.get(name)) for name in SCALARS}
    missing = [
        f"{name}: {why}"
        for name, why in REASONS.items()
        if found.get(name) is not None and scalars[name] is None
    ]
    scalars["null_because"] = "; ".join(missing) or None
    curves = {name: found.get(name) for name in CURVES}
    return scalars | {
        name: None if curve is None else np.ascontiguousarray(curve, dtype="<f8").tobytes()
        for name, curve in curves.items()
    }


def _stage_numbers(stage: Stage) -> dict[str, Any]:
    verdict, profile, causes = stage.verdict, stage.profile, stage.causes
    p05, median, p95 = profile.quantiles((0.05, 0.5, 0.95)) / LN_10
    return {
        "stage": str(stage.name),
        "regime": str(verdict.regime),
        "rate_nats_per_step": verdict.rate,
        "horizon": verdict.horizon,
        "required_lag": verdict.required_lag,
        "lags": verdict.max_lag,
        "log10_norm": float(median[-1]),
        "log10_bound": float(profile.log_bound[-1]) / LN_10,
        "certificate": profile.certificate,
        **{f"cause_{name}": nats for name, nats in terms_of(causes).items()},
        "gradient_norm": stage.gradient and stage.gradient.norm,
        "held_out_error": stage.error,
        "log10_norm_p05": p05,
        "log10_norm_median": median,
        "log10_norm_p95": p95,
        "log10_gradient_by_step": stage.gradient and stage.gradient.log_by_step / LN_10,
    }


def _training_numbers(analysis: Analysis) -> dict[str, Any]:
    history = analysis.training
    if history is None:
        return {}
    return {
        "training_stop": str(history.stop),
        "training_updates": history.updates,
        "training_loss": float(history.loss[-1]) if history.loss.size else None,
        "clipped_fraction": history.clipped_fraction,
        "loss_curve": history.loss,
        "gradient_norm_curve": history.gradient_norm,
    }


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def curve_from_blob(blob: bytes) -> FloatArray:
    """Return a stored curve as an array."""
    curve: FloatArray = np.frombuffer(blob, dtype="<f8").astype(np.float64)
    return curve
