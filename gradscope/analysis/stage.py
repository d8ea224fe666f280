"""One stage of a study: unroll the network, multiply its Jacobians, judge."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gradscope.analysis.details import first_sequences
from gradscope.analysis.memory import STATES_AT_ONCE
from gradscope.analysis.results import SLOPE_EDGES, GradientSummary, Profile, SlopeSummary, Stage
from gradscope.analysis.settings import Settings
from gradscope.arrays import FloatArray, IntArray, counted, quantiles
from gradscope.data.batch import Batch, Targets, TaskInfo
from gradscope.diagnosis.diagnose import Diagnosis, NetworkMeasures, diagnose
from gradscope.diagnosis.long_run import LongRun, burn_in_steps, long_run
from gradscope.diagnosis.reasons import Reason, ReasonCode
from gradscope.diagnosis.thresholds import Thresholds
from gradscope.diagnosis.verdict import Learned, Verdict
from gradscope.diagnosis.write_level import Writing, write_level
from gradscope.errors import SettingError
from gradscope.jacobians.adjoints import log_adjoint_norms
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.jacobians.parameter_profile import parameter_profile
from gradscope.jacobians.shares import gradient_shares
from gradscope.learning.bptt import backpropagate
from gradscope.learning.losses import error_per_step
from gradscope.model.cells import Cell, largest
from gradscope.model.trajectory import Trajectory, last_steps, picked, unroll
from gradscope.names import CellName, StageName
from gradscope.notebook_repr import CompactRepr

MAX_STATE = 1e150
"""States beyond this are not followed further: their squares leave the range of float64."""

MIN_GATED = 300
"""Steps that the growth rate of a gated cell is taken over at least: what gates keep has exponents
so close to one another that tangents turn among them for hundreds of steps."""

PARAMETER_SEQUENCES, SHARE_SEQUENCES = 4, 2
"""Sequences behind the parameter profile; the depth map, the check that errors reach parameters."""

MAX_WEIGHT, MAX_ENTERING = 1e90, 1e50
"""With weights, inputs and h_0 up to these no step of fewer than 1e9 units reaches that state."""


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class EvaluationBatch(CompactRepr):
    """What a network is examined on: sequences, facts of the problem, h_0 (B,H) (None: zeros)."""

    batch: Batch
    task_info: TaskInfo
    initial_state: FloatArray | None = None


def examine(
    evaluation: EvaluationBatch,
    held_out: EvaluationBatch | None,
    settings: Settings,
    name: StageName,
    params: Cell,
    *,
    error: float | None = None,
    faults: Sequence[Reason] = (),
) -> tuple[Stage, Trajectory]:
    """Return one stage of a study and the trajectory behind it, up to the step before an overflow.

    ``error`` is the mean step error to set against the baseline, but of the initial stage (None:
    measured on ``held_out``, where there are targets). ``faults`` are those of other layers.
    """
    if error is None:
        error = held_out_error(params, held_out)
    trajectory, batch, overflow = _unroll_within_range(evaluation, name, params)
    of, problem = (params, trajectory, batch), evaluation.task_info
    lag = problem.required_lag if settings.required_lag is None else settings.required_lag
    learned = None if name is StageName.INITIAL else learned_by(error, problem)
    diagnosis, writing = judged(
        settings, of, problem.columns, faults, required_lag=lag, learned=learned, overflow=overflow
    )
    gradient, verdict = None, diagnosis.verdict
    if error is not None:
        reached = (params, trajectory, batch.targets)
        norm = backpropagate(*reached).norm if batch.targets.count else None
        gradient = GradientSummary(norm, log_by_step=log_adjoint_norms(*reached))
        if batch.targets.count and verdict.reason(ReasonCode.GRADIENT_FINE):
            places = batch.whole(SHARE_SEQUENCES)
            some = first_sequences(params, trajectory, places), batch.targets.of(places)
            verdict = confirmed(verdict, params, *some, settings.vanishing)
    norms, tolerance = diagnosis.norms, settings.tolerance
    certificate = float(norms.certificate.max())
    few = first_sequences(params, trajectory, batch.whole(PARAMETER_SEQUENCES))
    stage = Stage(
        name=name,
        error=error,
        profile=Profile(norms.lags, norms.log_norms, diagnosis.log_bound, certificate),
        verdict=verdict,
        growth=diagnosis.growth,
        causes=diagnosis.causes,
        gradient=gradient,
        slopes=_summarise_slopes(trajectory, batch),
        writing=writing,
        parameter_profile=parameter_profile(params, few, norms.lags.size, tolerance=tolerance),
        params=params,
        rate_per={unit: verdict.rate * steps for unit, steps in settings.steps_per.items()},
    )
    return stage, trajectory


def judged(
    settings: Settings,
    of: tuple[Cell, Trajectory, Batch],
    columns: tuple[str, ...] | None,
    faults: Sequence[Reason] = (),
    *,
    required_lag: int | None = None,
    learned: Learned | None = None,
    overflow: int | None = None,
) -> tuple[Diagnosis, Writing]:
    """Diagnose a network along its trajectory over a batch, and say how freely it writes (see
    ``write_level`` for ``columns``), the ``faults`` of others among the reasons.

    The sequences of the chain end together, where they are as long as they are: before the first
    step of a shorter one stand steps of the longest, so that numbers are of their size.
    """
    params, trajectory, batch = of
    ends = apart = trajectory
    if batch.lengths is not None:
        inside = counted(batch.lengths, *batch.inputs.shape[:2])
        ends = last_steps(trajectory, batch.lengths, batch.n_steps)
        apart = picked(trajectory, *(each[np.newaxis] for each in np.nonzero(inside)))
    writing = write_level(params, apart, columns)
    writing = replace(writing, reasons=(*writing.reasons, *faults))
    past = None if overflow else past_transient(settings, params, trajectory, batch)
    white_noise = settings.weights is not None and not settings.data
    diagnosis = diagnose(
        cell_chain(params, ends),
        longest_lag(settings, ends.n_steps),
        required_lag=required_lag,
        learned=learned,
        overflow_step=overflow,
        thresholds=thresholds(settings),
        tolerance=settings.tolerance,
        network=NetworkMeasures(past, writing, white_noise, batch.lengths),
    )
    return diagnosis, writing


def _unroll_within_range(
    evaluation: EvaluationBatch, name: StageName, params: Cell
) -> tuple[Trajectory, Batch, int | None]:
    """Return the trajectory up to the step before an overflow, its sequences, and that step."""
    batch, first = evaluation.batch, evaluation.initial_state
    trajectory = unroll(params, batch.inputs, first, batch.noise)
    overflow = first_overflow(trajectory)
    if overflow == 1:
        given = "give smaller inputs, or check the weights and h_0 of the file"
        drawn = "choose a smaller --input-scale or --gain, or smaller inputs"
        remedy = given if name is StageName.GIVEN else drawn
        raise SettingError(f"the {name} network overflows at its first step; {remedy}")
    if overflow is not None:
        batch = batch.first(overflow - 1)
        trajectory = unroll(params, batch.inputs, first, batch.noise)
    return trajectory, batch, overflow


def further_steps(settings: Settings) -> int:
    """Return how many steps follow the examined ones: the burn-in, and for a gated cell as many as
    make ``MIN_GATED``; 0 without a burn-in, and where noise was drawn for the examined ones alone.
    """
    if settings.noise:
        return 0
    burn_in = burn_in_steps(settings.burn_in, settings.leak)
    gated = settings.cell is not CellName.ELMAN
    return burn_in and burn_in + (max(MIN_GATED - settings.steps, 0) if gated else 0)


def past_transient(
    settings: Settings, params: Cell, trajectory: Trajectory, batch: Batch
) -> LongRun | None:
    """Measure the growth rate past the burn-in, or half of all inputs; None: see ``long_run``."""
    inputs, stride = batch.all_inputs, batch.stride
    total, wanted = len(inputs), burn_in_steps(settings.burn_in, settings.leak)
    burn_in = min(wanted, max(total - trajectory.n_steps, total // 2))
    first, noise = trajectory.states[0], trajectory.noise
    drive = (params, inputs, first, burn_in, stride, batch.lengths)
    found = long_run(*drive, noise=noise, max_state=MAX_STATE)
    if found is None or burn_in == wanted:
        return found
    return replace(found, growth=replace(found.growth, short_burn_in=True))


def confirmed(
    verdict: Verdict, params: Cell, trajectory: Trajectory, targets: Targets, threshold: float
) -> Verdict:
    """Return a verdict of "fine" as it is where ∂E/∂θ bears it out: its share at the required lag
    (the longest measured) is, for each error that reaches it, not below this part of the largest.
    """
    lag = verdict.max_lag if verdict.required_lag is None else verdict.required_lag
    lag = min(lag, trajectory.n_steps - 1)
    shares = gradient_shares(params, trajectory, targets, max_lag=lag).log_norms.values()
    reaching = np.maximum(np.cumsum(targets.held.sum(axis=1)[::-1])[::-1][: lag + 1], 1)
    sizes = np.logaddexp.reduce(2.0 * np.stack(list(shares))) / 2.0 - np.log(reaching)
    share = np.exp(sizes[-1] - sizes.max()) if np.isfinite(sizes.max()) else 0.0
    if share >= threshold:
        return verdict
    lost = Reason(ReasonCode.SHARE_LOST, {"lag": lag, "share": float(share)})
    fine = verdict.reason(ReasonCode.GRADIENT_FINE)
    return replace(verdict, reasons=tuple(lost if r is fine else r for r in verdict.reasons))


def held_out_error(params: Cell, held_out: EvaluationBatch | None) -> float | None:
    """Return the mean step error on held-out sequences, infinite where the state overflows."""
    if held_out is None:
        return None
    batch, first = held_out.batch, held_out.initial_state
    at_once = max(STATES_AT_ONCE // (batch.n_steps * params.sizes[1]), 1)
    total = 0.0
    for start in range(0, batch.n_sequences, at_once):
        places = slice(start, start + at_once)
        some, state = batch.of(places), None if first is None else first[places]
        outputs = unroll(params, some.inputs, state, some.noise).outputs
        share = some.targets.count / (batch.targets.count or 1.0)
        total += error_per_step(outputs, some.targets) * some.n_sequences * share
    error = total / batch.n_sequences
    return error if np.isfinite(error) else np.inf


def learned_by(error: float | None, task_info: TaskInfo) -> Learned | None:
    """Set an error beside its baseline; None where there are no targets."""
    if error is None or task_info.baseline is None:
        return None
    return Learned(error, task_info.baseline.error)


def thresholds(settings: Settings) -> Thresholds:
    """Return the verdict's thresholds as the settings have them."""
    asked = ("vanishing", "exploding", "transient_growth", "agreement")
    return Thresholds(**{name: getattr(settings, name) for name in asked})


def longest_lag(settings: Settings, n_steps: int) -> int:
    """Return the longest lag to measure over so many steps."""
    return min(settings.max_lag or n_steps, n_steps)


def sound_steps(trajectory: Trajectory) -> IntArray:
    """Return how many steps of each sequence (B,) come before one that is too large."""
    with np.errstate(invalid="ignore"):
        fits = (np.abs(trajectory.pre_activations) <= MAX_STATE).all(axis=2)
        fits &= (np.abs(trajectory.states[1:]) <= MAX_STATE).all(axis=2)
    return np.where(fits.all(axis=0), trajectory.n_steps, fits.argmin(axis=0))


def first_overflow(trajectory: Trajectory) -> int | None:
    """Return the first step (from 1) whose pre-activation or state is too large, if any is."""
    sound = int(sound_steps(trajectory).min())
    return None if sound == trajectory.n_steps else sound + 1


def takes_first_step(params: Cell, evaluation: EvaluationBatch) -> bool:
    """Say whether a network can be examined at all: it is followed over one step at least."""
    inputs, first = evaluation.batch.inputs[:1], evaluation.initial_state
    entering = max(largest(inputs), 0.0 if first is None else largest(first))
    small = all(largest(each) <= MAX_WEIGHT for _, each in params.weights())
    if small and entering <= MAX_ENTERING:
        return True
    return first_overflow(unroll(params, inputs, first)) is None


def _summarise_slopes(trajectory: Trajectory, batch: Batch) -> SlopeSummary:
    flat = trajectory.slopes.reshape(trajectory.n_steps, -1)
    if batch.lengths is not None:
        own = counted(batch.lengths, *batch.inputs.shape[:2])
        flat = np.where(own[..., np.newaxis], trajectory.slopes, np.nan).reshape(flat.shape)
    p05, median, p95 = quantiles(flat, (0.05, 0.5, 0.95))
    ceiling = trajectory.activation.slope_ceiling
    parts = np.clip(flat / ceiling, 0.0, 1.0)
    counts = np.stack([np.histogram(row, SLOPE_EDGES.size - 1, (0.0, 1.0))[0] for row in parts])
    present = np.count_nonzero(~np.isnan(flat), axis=1)[:, np.newaxis]
    return SlopeSummary(p05, median, p95, ceiling, counts / present)
