"""Results as columns and rows; the order of columns is a promise, and infinities stay."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from gradscope.analysis.check import CheckRow
from gradscope.analysis.checkpoints import Checkpoint
from gradscope.analysis.details import Memory, Spectrum
from gradscope.analysis.fields import QUANTILES, Field, stage_fields
from gradscope.analysis.results import SLOPE_EDGES, Analysis, Comparison, Stage
from gradscope.arrays import LN_10, FloatArray, IntArray, plain, quantiles
from gradscope.diagnosis.growth import terms_of
from gradscope.jacobians.lag_map import LagMap
from gradscope.jacobians.shares import GradientShares
from gradscope.jacobians.stack_chain import DepthMap

Rows = tuple[tuple[str, ...], list[list[Any]]]
Column = np.ndarray[Any, Any]

PROFILE_FIELDS = {
    "lag": "profile.lags",
    **{f"log10_{name}": f"profile.log10_norm.{name}" for name in QUANTILES},
    "log10_bound": "profile.log10_bound",
}

CELL_FIELDS = {
    "stage": "stage",
    "regime": "verdict.regime",
    "rate_nats_per_step": "verdict.rate_nats_per_step",
    "horizon": "verdict.horizon",
    "required_lag": "verdict.required_lag",
    "log10_norm_at_last_lag": "profile.log10_norm.median",
    "error": "error",
}
"""The field of a stage that each of these columns shows; for a curve, its last entry."""

TIME_FIELDS = {
    f"rate_nats_per_{unit}": f"verdict.rate_nats_per_{unit}" for unit in ("second", "time_constant")
}
CELL_COLUMNS = (
    *("activation", "steps", *CELL_FIELDS, "baseline", "cell"),
    *(*TIME_FIELDS, "seed", "file", "write_level"),
)
MEDIAN_COLUMNS = (
    *("cell", "activation", "steps", "file", "seeds", "stage"),
    *("rate_nats_per_step", "horizon", "error"),
)
SHARED = ("recurrent_weights", "input_weights", "hidden_bias")
SHARE_COLUMNS = (
    *("lag", *(f"log10_share_{name}" for name in SHARED)),
    *("log10_partial_sum", "cancellation", "truncation_error"),
)


def _fields_of(stage: Stage, columns: Mapping[str, str]) -> list[Field]:
    found = {field.name: field for field in stage_fields(stage)}
    return [found.get(name, Field(name, None)) for name in columns.values()]


def profile_rows(analysis: Analysis) -> Rows:
    """Return one row per stage and lag."""
    rows = by_stage(analysis, lambda s: (each.value for each in _fields_of(s, PROFILE_FIELDS)))
    return ("stage", *PROFILE_FIELDS), rows


def parameters_rows(analysis: Analysis) -> Rows:
    """Return one row per stage and lag: log10 of the norm for all parameters and for each array."""

    def curves(stage: Stage) -> Iterable[Column]:
        return stage.parameter_profile.lags, *stage.parameter_profile.log10_medians.values()

    names = analysis.last.parameter_profile.log_norms
    return ("stage", "lag", *(f"log10_{name}" for name in names)), by_stage(analysis, curves)


def comparison_rows(comparison: Comparison) -> Rows:
    """Return one row per network, length, seed and stage, in the order of ``CELL_COLUMNS``."""
    return CELL_COLUMNS, [
        [
            str(analysis.settings.activation),
            analysis.settings.steps,
            *(field.last for field in _fields_of(stage, CELL_FIELDS)),
            analysis.task_info.baseline and analysis.task_info.baseline.error,
            str(analysis.settings.cell),
            *(field.last for field in _fields_of(stage, TIME_FIELDS)),
            analysis.settings.seed,
            file_of(analysis),
            stage.write_level,
        ]
        for analysis in comparison.analyses
        for stage in analysis.stages
    ]


def median_rows(comparison: Comparison) -> Rows:
    """Return medians over the seeds, a row per network, length and stage: ``MEDIAN_COLUMNS``."""
    rows: list[list[Any]] = []
    for group in comparison.groups:
        of = group[0].settings
        for stages in zip(*(analysis.stages for analysis in group), strict=True):
            row = [str(of.cell), str(of.activation), of.steps, file_of(group[0]), len(group)]
            row += [str(stages[0].name), middle([each.verdict.rate for each in stages])]
            errors = [each.error for each in stages if each.error is not None]
            rows.append([*row, median_reach(stages), middle(errors) if errors else None])
    return MEDIAN_COLUMNS, rows


def file_of(analysis: Analysis) -> str | None:
    """Return the file of weights, or the saved run, that a network comes from."""
    return analysis.settings.load or analysis.settings.weights


def comparison_made_by(comparison: Comparison) -> dict[str, Any]:
    """Return what ``made_by`` says of a comparison: its files, or the axes of its cells."""
    every = [each.settings for each in comparison.analyses]
    if file_of(comparison.analyses[0]) is not None:
        return {"command": "compare", "files": [file_of(each) for each in comparison.analyses]}
    axes = {
        name: list(dict.fromkeys(getattr(each, name) for each in every))
        for name in ("cell", "activation", "steps")
    }
    return {"command": "compare", **axes, "seeds": len({each.seed for each in every})}


def median_reach(stages: Iterable[Stage]) -> float:
    """Return the median memory horizon in steps, ∞ where it lies beyond the lags measured."""
    return middle([math.inf if s.verdict.horizon is None else s.verdict.horizon for s in stages])


def checkpoint_rows(analysis: Analysis, checkpoints: Sequence[Checkpoint]) -> Rows:
    """Return one row per checkpoint."""
    targets = analysis.training.target_steps if analysis.training else 1
    return ("update", "error_per_step", "gradient_norm", "horizon"), [
        [each.update, each.loss / targets, each.gradient_norm, each.horizon] for each in checkpoints
    ]


def check_rows(rows: Iterable[CheckRow]) -> Rows:
    """Return one row per check."""
    columns = ("quantity", "against", "deviation", "tolerance", "passed")
    return columns, [[getattr(row, name) for name in columns] for row in rows]


def median_map(log_norms: FloatArray) -> FloatArray:
    """Return the median over sequences (A,A); −inf makes no NaN."""
    found: FloatArray = quantiles(log_norms, (0.5,))[0]
    return found


def middle(values: FloatArray | Sequence[float]) -> float:
    """Return the median; infinities make no NaN."""
    return float(quantiles(np.asarray(values, np.float64), (0.5,))[0])


def map_rows(found: LagMap) -> Rows:
    """Return one row per pair t > k: log10 σ_max(∂h_t/∂h_k), the median over sequences."""
    times, middle = found.times, median_map(found.log_norms) / LN_10
    later, earlier = np.tril_indices(times.size, -1)
    return table_rows(later=times[later], earlier=times[earlier], log10_norm=middle[later, earlier])


def depth_rows(depth: DepthMap) -> Rows:
    """Return one row per layer and lag: log10 σ_max(∂h^top_T/∂s^l_{T−ℓ}), the median."""
    layer, lag = np.indices(depth.log_norms.shape[:2])
    titles = np.array(depth.layers, object)[layer]
    return table_rows(layer=titles, lag=lag, log10_norm=median_map(depth.log_norms) / LN_10)


def shared_by(shares: GradientShares) -> tuple[str, ...]:
    """Return the names of the arrays that have shares: ``SHARED``, or a step's own parameters."""
    return SHARED if set(SHARED) <= set(shares.log_norms) else tuple(shares.log_norms)


def share_columns(shares: GradientShares) -> dict[str, FloatArray | IntArray]:
    """Return the norms of the shares, of their partial sum, and what is lost, each by lag."""
    each = {f"log10_share_{n}": shares.log_norms[n] / LN_10 for n in shared_by(shares)}
    names = SHARE_COLUMNS[0], *each, *SHARE_COLUMNS[-3:]
    whole = shares.log_partial_norms / LN_10, shares.cancellation, shares.truncation_errors
    return dict(zip(names, (shares.lags, *each.values(), *whole), strict=True))


def shares_rows(shares: GradientShares) -> Rows:
    """Return one row per lag; of networks in the order of ``SHARE_COLUMNS``."""
    columns = share_columns(shares)
    return tuple(columns), transposed(columns.values())


def memory_rows(memory: Memory) -> Rows:
    """Return one row per delay."""
    return table_rows(delay=memory.delays, r_squared=memory.explained)


def sensitivity_rows(memory: Memory) -> Rows:
    """Return one row per number of last steps: E‖∂s_T/∂θ‖² for all of θ and by array."""
    return table_rows(last_steps=memory.delays + 1, **memory.sensitivity)


def table_rows(**columns: Column) -> Rows:
    """Return arrays of one shape as the columns of rows."""
    return tuple(columns), transposed(each.ravel() for each in columns.values())


def transposed(columns: Iterable[Column]) -> list[list[Any]]:
    """Return columns (n,) as n rows."""
    return [list(row) for row in zip(*(each.tolist() for each in columns), strict=True)]


def by_stage(analysis: Analysis, columns: Callable[[Stage], Iterable[Column]]) -> list[list[Any]]:
    """Return the rows of every stage, its name before each."""
    return [[str(s.name), *row] for s in analysis.stages for row in transposed(columns(s))]


def singular_rows(spectrum: Spectrum) -> Rows:
    """Return one row per lag, sequence and rank: log10 σ_i."""
    values = spectrum.singular.log_values / LN_10
    place, sequence, rank = np.indices(values.shape)
    where = {"lag": spectrum.singular.lags[place], "sequence": sequence + 1, "rank": rank + 1}
    return table_rows(**where, log10_singular_value=values)


def lyapunov_rows(spectrum: Spectrum) -> Rows:
    """Return one row per sequence and rank: λ_i in nats per step, its error, whether trusted."""
    found = spectrum.lyapunov
    sequence, rank = np.indices(found.exponents.shape) + 1
    return table_rows(
        sequence=sequence,
        rank=rank,
        exponent_nats_per_step=found.exponents,
        standard_error=found.standard_errors,
        trusted=found.trusted,
    )


def eigenvalues_rows(spectrum: Spectrum) -> Rows:
    """Return one row per eigenvalue of W and of the sampled Jacobians."""
    sampled = zip(spectrum.sampled_steps.tolist(), spectrum.jacobian_eigenvalues, strict=True)
    groups = [("W", None, spectrum.eigenvalues), *(("J_t", *each) for each in sampled)]
    rows = [[of, step, z.real, z.imag] for of, step, values in groups for z in values.tolist()]
    return ("of", "step", "real", "imaginary"), rows


def theory_rows(spectrum: Spectrum) -> Rows:
    """Return one row per theory: its rate in nats per step, whether it applies, its source."""
    columns = ("theory", "rate_nats_per_step", "depth_scale", "applies", "source")
    rows = [[str(t.name), t.rate, t.depth_scale, t.applies, t.source] for t in spectrum.theory]
    return columns, rows


def causes_rows(analysis: Analysis) -> Rows:
    """Return one row per stage, in nats per step."""
    names = (*terms_of(analysis.last.causes), "total")
    rows = [[str(s.name), *terms_of(s.causes).values(), s.causes.total] for s in analysis.stages]
    return ("stage", *(f"{name}_nats_per_step" for name in names)), rows


def gradient_rows(analysis: Analysis) -> Rows:
    """Return one row per stage and time step."""
    rows = [
        [str(stage.name), step, value]
        for stage in analysis.stages
        if stage.gradient is not None
        for step, value in enumerate(plain(stage.gradient.log_by_step / LN_10))
    ]
    return ("stage", "step", "log10_norm"), rows


def slopes_rows(analysis: Analysis) -> Rows:
    """Return one row per stage and time step: quantiles over units and sequences."""
    when = np.arange(1, analysis.last.slopes.median.size + 1)
    rows = by_stage(analysis, lambda s: (when, s.slopes.p05, s.slopes.median, s.slopes.p95))
    return ("stage", "step", "p05", "median", "p95"), rows


def saturation_rows(analysis: Analysis) -> Rows:
    """Return one row per time step: the fraction of slopes in each bin."""
    slopes = analysis.last.slopes
    columns = tuple(f"up_to_{edge:.2f}_of_ceiling" for edge in SLOPE_EDGES[1:])
    rows = [[step, *row] for step, row in enumerate(slopes.histogram.tolist(), 1)]
    return ("step", *columns), rows


def training_rows(analysis: Analysis) -> Rows:
    """Return one row per update; ``horizon`` where it was measured, −1 where beyond the lags."""
    columns, history = ("update", "error_per_step", "gradient_norm", "clipped"), analysis.history
    if history is None:
        return (*columns, "horizon"), []
    updates = np.arange(1, history.updates + 1)
    measured = {} if history.reach is None else dict(history.reach.tolist())
    horizons = np.array([measured.get(each) for each in updates.tolist()], object)
    curves = (getattr(history, name) for name in columns[1:])
    return (*columns, "horizon"), transposed((updates, *curves, horizons))
