"""What one cell of a sweep comes to: the numbers of its analysis as plain columns, or its failure.

``run_cell`` is what a worker runs. It answers every mistake of a cell with an outcome, so that what
still escapes from a worker is a matter of the worker.
"""

import json
import math
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import numpy as np

from gradscope import __version__
from gradscope.analysis.analyze import analyze
from gradscope.analysis.fields import Field, fields
from gradscope.analysis.results import Analysis
from gradscope.analysis.settings import SETTINGS, setting_kinds
from gradscope.arrays import FloatArray
from gradscope.errors import GradscopeError
from gradscope.learning.history import Stop
from gradscope.machine import environment
from gradscope.names import Regime
from gradscope.sweep.grid import ADDED_SETTINGS, ALGORITHM_VERSION, Cell


class Status(StrEnum):
    """How a cell ended."""

    DONE = "done"
    FAILED = "failed"


NO_ERROR = dict.fromkeys(
    ("held_out_error", "first_held_out_error"), "the state overflows on the held-out sequences"
)
"""Why numbers are missing of which a sweep knows more than their field."""

CAUSES = (
    *("weights", "slope_ceiling", "misalignment", "saturation"),
    *("direct", "recurrent_weights", "candidate_saturation", "closed_gates", "gate_slopes"),
)
"""Causes of a vanilla RNN, then those of gated cells."""

COLUMNS: Mapping[str, tuple[str, str]] = {
    "stage": ("TEXT", "last.stage"),
    "regime": ("TEXT", "last.verdict.regime"),
    "rate_nats_per_step": ("REAL", "last.verdict.rate_nats_per_step"),
    "horizon": ("INTEGER", "last.verdict.horizon"),
    "required_lag": ("INTEGER", "last.verdict.required_lag"),
    "lags": ("INTEGER", "last.verdict.max_lag"),
    "log10_norm": ("REAL", "last.profile.log10_norm.median"),
    "log10_bound": ("REAL", "last.profile.log10_bound"),
    "certificate": ("REAL", "last.profile.certificate"),
    "write_level": ("REAL", "last.write_level"),
    **{f"cause_{name}": ("REAL", f"last.causes.{name}") for name in CAUSES},
    "gradient_norm": ("REAL", "last.gradient.norm"),
    "held_out_error": ("REAL", "last.error"),
    "baseline_error": ("REAL", "problem.baseline.error"),
    "first_stage": ("TEXT", "first.stage"),
    "first_regime": ("TEXT", "first.verdict.regime"),
    "first_rate_nats_per_step": ("REAL", "first.verdict.rate_nats_per_step"),
    "first_write_level": ("REAL", "first.write_level"),
    "first_horizon": ("INTEGER", "first.verdict.horizon"),
    "first_held_out_error": ("REAL", "first.error"),
    "training_stop": ("TEXT", "training.stop"),
    "training_updates": ("INTEGER", "training.updates"),
    "training_loss": ("REAL", "training.loss"),
    "clipped_fraction": ("REAL", "training.clipped_fraction"),
    "lyapunov_exponent": ("REAL", "lyapunov_largest"),
    "lyapunov_standard_error": ("REAL", "lyapunov_error_largest"),
    "rate_nats_per_second": ("REAL", "last.verdict.rate_nats_per_second"),
    "rate_nats_per_time_constant": ("REAL", "last.verdict.rate_nats_per_time_constant"),
}
"""Results that are one number or word each: the SQL type of its column, and the field of
``analysis.fields`` (``last.`` and ``first.`` are those stages; of a curve it is the last entry)."""

SCALARS = {name: kind for name, (kind, _) in COLUMNS.items()} | {"null_because": "TEXT"}
"""The SQL types of ``COLUMNS``, and of why numbers that belong there are missing."""

CURVES: Mapping[str, str] = {
    "log10_norm_p05": "last.profile.log10_norm.p05",
    "log10_norm_median": "last.profile.log10_norm.median",
    "log10_norm_p95": "last.profile.log10_norm.p95",
    "first_log10_norm_median": "first.profile.log10_norm.median",
    "log10_gradient_by_step": "last.gradient.log10_by_step",
    "loss_curve": "training.loss",
    "gradient_norm_curve": "training.gradient_norm",
    "lyapunov_exponents": "lyapunov",
}
"""Results that are arrays, each with its field: little-endian float64; −inf is an exact zero."""

HEAD = {"key": "TEXT PRIMARY KEY NOT NULL", "status": "TEXT NOT NULL", "error": "TEXT"}
TAIL = {"attempts": "INTEGER NOT NULL", "duration_seconds": "REAL NOT NULL"}
TAIL |= dict.fromkeys(("finished_at", "gradscope"), "TEXT NOT NULL") | {"algorithm": "INTEGER"}
TAIL |= dict.fromkeys(("python", "numpy"), "TEXT NOT NULL") | {"traceback": "TEXT"}
_SQL_TYPES = {int: "INTEGER", float: "REAL", bool: "INTEGER"}


def setting_columns() -> dict[str, str]:
    """Return a column for every setting (``required_lag`` is a result), with its SQL type."""
    return {
        name: _SQL_TYPES.get(getattr(kind, "__args__", (kind,))[0], "TEXT")
        for name, kind in setting_kinds().items()
        if name not in SCALARS
    }


def columns() -> dict[str, str]:
    """Return all columns of ``cells`` in order, with their SQL types."""
    return {**HEAD, **setting_columns(), **SCALARS, **TAIL, **dict.fromkeys(CURVES, "BLOB")}


_TYPES = {"TEXT": str, "INTEGER": int, "REAL": float, "BLOB": bytes}
KINDS = {name: _TYPES[kind.split()[0]] for name, kind in columns().items()} | {"environment": str}
OPTIONAL = {*ADDED_SETTINGS, *(name for name, each in SETTINGS.items() if each.optional)}
NEEDED = {n for n, kind in (HEAD | TAIL).items() if "NOT" in kind} | {*setting_columns()} - OPTIONAL
JSON: Mapping[str, type] = {"environment": dict} | {
    name: list for name, s in SETTINGS.items() if s.per_unit or s.kind == tuple[str, ...]
}
WORDS = {"status": [*Status], "regime": [*Regime], "first_regime": [*Regime]}


def fits(name: str, value: Any) -> bool:
    """Whether a column of a store holds what a sweep may have written there."""
    if value is None:
        return name not in NEEDED
    if name in JSON and isinstance(value, str):
        try:
            return isinstance(json.loads(value), JSON[name])
        except (ValueError, RecursionError):
            return False
    if type(value) is not KINDS[name] or (isinstance(value, bytes) and len(value) % 8):
        return False
    return math.isfinite(value) if isinstance(value, float) else value in WORDS.get(name, (value,))


@dataclass(frozen=True, eq=False, slots=True)
class Outcome:
    """What became of a cell: ``numbers`` has ``SCALARS`` and ``CURVES`` (empty for a failure),
    ``error`` one line, ``trace`` an unexpected failure's; ``duration`` is in seconds.
    """

    cell: Cell
    status: Status
    numbers: Mapping[str, Any] = field(default_factory=dict)
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
        analysis = analyze(cell.settings, readout=False, advise=False)
        outcome = Outcome(cell, Status.DONE, flatten(analysis))
    except GradscopeError as error:
        outcome = failure(cell, str(error))
    except Exception as error:  # noqa: BLE001 (one bad cell must not end a sweep of thousands)
        outcome = failure(cell, f"{type(error).__name__}: {error}", traceback.format_exc())
    else:
        training = analysis.training
        if training is not None and training.stop is Stop.INTERRUPTED:
            raise KeyboardInterrupt
        if training is not None and training.non_finite is not None and not training.updates:
            bad = training.non_finite
            text = f"training stopped at update {bad.update}: the {bad.factor} is no longer "
            text += "finite; choose a smaller --learning-rate, or --clip-norm"
            outcome = failure(cell, text)
    return replace(outcome, duration=time.perf_counter() - start)


def failure(cell: Cell, error: str, trace: str | None = None) -> Outcome:
    """Return the outcome of a cell that failed."""
    line = " ".join(error.split()).replace("\0", "")
    return Outcome(cell, Status.FAILED, error=line, trace=trace)


def flatten(analysis: Analysis) -> dict[str, Any]:
    """Return the ``SCALARS`` and ``CURVES`` of an analysis in their order, None where missing."""
    found = {each.name: each for each in fields(analysis)}
    stages = {"first": analysis.stages[0].name, "last": analysis.last.name}

    def field(place: str) -> Field:
        group, _, name = place.partition(".")
        place = f"stages.{stages[group]}.{name}" if group in stages else place
        return found.get(place, Field(place, None))

    numbers: dict[str, Any] = {}
    missing = []
    for name, (_, place) in COLUMNS.items():
        source = field(place)
        numbers[name] = source.last
        why = NO_ERROR.get(name, source.why_null)
        # What was never measured, and the loss of a training without updates, needs no reason.
        measured = source.value is not None and np.size(source.value) > 0
        if why is not None and measured and numbers[name] is None:
            missing.append(f"{name}: {why}")
    numbers["null_because"] = "; ".join(missing) or None
    for name, place in CURVES.items():
        curve = field(place).value
        numbers[name] = None if curve is None else np.asarray(curve, dtype="<f8").tobytes()
    return numbers


def curve_from_blob(blob: bytes) -> FloatArray:
    """Return a stored curve as an array."""
    return np.frombuffer(blob, dtype="<f8").astype(np.float64)
