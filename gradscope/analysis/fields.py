"""An analysis as one list of named values, from which documents, rows and stores are made.

A field has the dotted name it has in the analysis document (``stages.trained.verdict.horizon``),
its value, the unit of the value, and why the value may be null. Values keep their infinities (an
exactly zero product is −inf) until ``plain`` makes them null. Norms of products are log10.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradscope.analysis.results import Analysis, GradientSummary, Stage
from gradscope.arrays import LN_10, plain, quantiles
from gradscope.data.batch import TaskInfo
from gradscope.diagnosis.growth import terms_of
from gradscope.learning.history import BEYOND, History
from gradscope.learning.readout import Readout

QUANTILES: Mapping[str, float] = {"p05": 0.05, "median": 0.5, "p95": 0.95}
"""Over the sequences, by the names they have in documents."""

NOT_KNOWN = "not known of a step of your own"
ZERO_PRODUCT = "the product is exactly zero"
ZERO_CHANGE = "the product, or what the weights multiply, is exactly zero"
RATE_FROM = ("burn_in", "steps", "sequences", "of", "short_burn_in")
"""What the growth rate was taken over: fields of ``GrowthRate``."""

OVERFLOWS = "it overflows"
NO_TARGETS = "there are no targets (--readout NAME --targets FILE)"
UNKNOWN_LAG = "no task or series says so, or too few rows (or too many columns) to fit a predictor"
NOT_FITTED = "too few samples, too many inputs, or classes, to fit a linear readout"

SMALLEST = float(np.log(np.finfo(np.float64).tiny))
"""Natural logarithm of the smallest normal number."""

RATE, LOG10, STEPS = "nats per step", "log10", "steps"


@dataclass(frozen=True, eq=False, slots=True)
class Field:
    """One value of an analysis.

    ``value`` is a number, word or array in ``unit`` ("" where there is none); ``why_null`` says
    why there may be no number, None where there is one.
    """

    name: str
    value: Any
    unit: str = ""
    why_null: str | None = None

    @property
    def last(self) -> Any:
        """The value, of a curve its last entry; None where there is no finite number."""
        if not isinstance(self.value, np.ndarray):
            return plain(self.value)
        return plain(float(self.value[-1])) if self.value.size else None


def nested(fields: Iterable[Field], reasons: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return plain values as nested objects, by their dotted names.

    ``reasons`` names, for each field whose reason belongs in the document, the field that holds
    it: null where no value is. Where several share a name, it follows the last of them.
    """
    document: dict[str, Any] = {}
    for field in fields:
        value = plain(field.value)
        group, name = _place(document, field.name)
        group[name] = value
        if field.why_null is not None and reasons and field.name in reasons:
            group, name = _place(document, reasons[field.name])
            group[name] = group.pop(name, None) or (field.why_null if _has_null(value) else None)
    return document


def _place(document: dict[str, Any], dotted: str) -> tuple[dict[str, Any], str]:
    """Return the object that a dotted name belongs to, and its name there."""
    *groups, name = dotted.split(".")
    for group in groups:
        document = document.setdefault(group, {})
    return document, name


def _has_null(value: Any) -> bool:
    return value is None or (isinstance(value, list) and any(map(_has_null, value)))


def fields(analysis: Analysis) -> Iterator[Field]:
    """Yield every value of an analysis under its dotted name."""
    yield from _below("problem", task_fields(analysis.task_info))
    for stage in analysis.stages:
        yield from _below(f"stages.{stage.name}", stage_fields(stage))
    if analysis.training is None:
        yield Field("training", None)
    else:
        yield from _below("training", training_fields(analysis.training))
    yield from readout_fields(analysis.readout)
    if analysis.details.spectrum is not None:
        found = analysis.details.spectrum.lyapunov
        for name, each in (("", found.exponents), ("_error", found.standard_errors)):
            medians = quantiles(each.T, (0.5,))[0]
            yield Field(f"lyapunov{name}", medians, RATE, "a direction is dead, or too few steps")
            yield Field(f"lyapunov{name}_largest", float(medians[0]), RATE, ZERO_PRODUCT)


def _below(group: str, members: Iterable[Field]) -> Iterator[Field]:
    return (Field(f"{group}.{m.name}", m.value, m.unit, m.why_null) for m in members)


def readout_fields(readout: Readout | None) -> Iterator[Field]:
    """Yield what a linear readout of the first stage's state explains."""
    found = readout or Readout(None, NO_TARGETS)
    yield Field("readout.score", found.score, "", found.why_null or NO_TARGETS)


def task_fields(task_info: TaskInfo) -> Iterator[Field]:
    """Yield what is known of the task."""
    yield Field("description", task_info.description)
    yield Field("error", task_info.error)
    yield Field("required_lag", task_info.required_lag, STEPS, UNKNOWN_LAG)
    yield Field("lag_errors", task_info.lag_errors, "", UNKNOWN_LAG)
    if task_info.baseline is None:
        yield Field("baseline", None)
    else:
        for name in ("error", "meaning", "constant"):
            yield Field(f"baseline.{name}", getattr(task_info.baseline, name))
        yield Field("baseline.memoryless", task_info.baseline.memoryless, "", NOT_FITTED)


def stage_fields(stage: Stage) -> Iterator[Field]:
    """Yield the values of one stage, without its reasons."""
    yield Field("stage", stage.name)
    no_error = NO_TARGETS if stage.error is None else OVERFLOWS
    known = stage.error is not None and math.isfinite(stage.error)
    yield Field("error", stage.error, "", None if known else no_error)
    profile, of_parameters = stage.profile, stage.parameter_profile
    yield Field("profile.lags", profile.lags, STEPS)
    for name, curve in zip(QUANTILES, profile.quantiles(list(QUANTILES.values())), strict=True):
        yield Field(f"profile.log10_norm.{name}", curve / LN_10, LOG10, ZERO_PRODUCT)
    bound = profile.log_bound / LN_10
    no_bound = NOT_KNOWN if np.isnan(bound).all() else "the bound is exactly zero"
    yield Field("profile.log10_bound", bound, LOG10, no_bound)
    yield Field("profile.certificate", profile.certificate)
    yield Field("write_level", stage.write_level, "", NOT_KNOWN)
    for name, level in stage.writing.by_block.items():
        yield Field(f"write_level_by_block.{name}", level)
    if of_parameters.lags.size:
        yield Field("parameter_profile.lags", of_parameters.lags, STEPS)
        yield Field("parameter_profile.sequences", of_parameters.log_norms["norm"].shape[1])
        for name, curve in of_parameters.log10_medians.items():
            yield Field(f"parameter_profile.log10_{name}", curve, LOG10, ZERO_CHANGE)
    yield from _below("verdict", _verdict_fields(stage))
    for name, rate in terms_of(stage.causes).items():
        yield Field(f"causes.{name}", rate, RATE)
    yield Field("causes.total", stage.causes.total, RATE, ZERO_PRODUCT)
    if stage.gradient is None:
        yield Field("gradient", None, "", NO_TARGETS)
    else:
        yield from _below("gradient", _gradient_fields(stage.gradient))
    if stage.rate_per_time_constant is not None:
        yield Field("rate_nats_per_time_constant", stage.rate_per_time_constant, "nats per τ")
    for name in (*QUANTILES, "ceiling"):
        yield Field(f"slopes.{name}", getattr(stage.slopes, name), "", NOT_KNOWN)


def _verdict_fields(stage: Stage) -> Iterator[Field]:
    verdict, growth = stage.verdict, stage.growth
    yield Field("regime", verdict.regime)
    yield Field("rate_nats_per_step", verdict.rate, RATE, ZERO_PRODUCT)
    for unit, each in stage.rate_per.items():
        yield Field(f"rate_nats_per_{unit}", each, f"nats per {unit}", ZERO_PRODUCT)
    interval = None if growth.low is None else [growth.low, growth.high]
    no_interval = ZERO_PRODUCT if growth.rate is None else "too few sequences and steps"
    yield Field("rate_interval_95", interval, RATE, no_interval)
    yield Field("marginal", verdict.marginal, "", no_interval)
    for name in RATE_FROM:
        yield Field(f"rate_from.{name}", getattr(growth, name))
    if growth.tail is None:
        yield Field("rate_between", None)
    else:
        log10_norms = [each / LN_10 for each in growth.tail.log_norms]
        yield Field("rate_between.lags", growth.tail.lags, STEPS)
        yield Field("rate_between.log10_norm", log10_norms, LOG10)
        yield Field("rate_between.sequences", growth.tail.sequences)
        yield Field("rate_between.of", growth.tail.of)
    unreached = f"the median profile stays above the threshold at all {verdict.max_lag} lags"
    yield Field("horizon", verdict.horizon, STEPS, unreached)
    yield Field("required_lag", verdict.required_lag, STEPS)
    yield Field("max_lag", verdict.max_lag, STEPS)


def _gradient_fields(gradient: GradientSummary) -> Iterator[Field]:
    log_by_step = gradient.log_by_step
    no_norm = "no step that was reached has a target" if gradient.norm is None else OVERFLOWS
    yield Field("norm", gradient.norm, "", no_norm)
    yield Field("steps", np.arange(log_by_step.size), STEPS)
    # NaN where the number is too large, or denormal and inexact.
    held = np.isneginf(log_by_step) | (np.abs(log_by_step) < -SMALLEST)
    by_step = np.where(held, np.exp(np.minimum(log_by_step, -SMALLEST)), np.nan)
    yield Field("by_step", by_step, "", "outside float64; see log10_by_step")
    yield Field("log10_by_step", log_by_step / LN_10, LOG10, "no error reaches the state")


def training_fields(history: History) -> Iterator[Field]:
    """Yield the values of training, one entry per update in each curve."""
    yield Field("updates", history.updates)
    yield Field("stop", history.stop)
    if history.non_finite is None:
        yield Field("non_finite", None)
    else:
        yield Field("non_finite.update", history.non_finite.update)
        yield Field("non_finite.step", history.non_finite.step, STEPS)
        yield Field("non_finite.factor", history.non_finite.factor)
    yield Field("loss", history.loss, "", OVERFLOWS)
    for name in ("error_per_step", "gradient_norm", "clipped_fraction"):
        yield Field(name, getattr(history, name))
    if history.reach is not None:
        yield Field("horizon_updates", history.reach[:, 0])
        horizons = [None if each == BEYOND else each for each in history.reach[:, 1].tolist()]
        yield Field("horizon", horizons, STEPS, "the median profile stays above the threshold")
    penalties = {"omega": (history.omega, ""), "flossed_rms_exponent": (history.flossed, RATE)}
    yield from (Field(n, *each, OVERFLOWS) for n, each in penalties.items() if each[0] is not None)
