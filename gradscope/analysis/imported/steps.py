"""The analysis of a step of somebody's own: what ``analyze`` finds of a network, of any step."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from gradscope.analysis.details import first_sequences, measure_details
from gradscope.analysis.imported.stack import baseline_of
from gradscope.analysis.results import (
    SLOPE_EDGES,
    Analysis,
    GradientSummary,
    Profile,
    SlopeSummary,
    Stage,
)
from gradscope.analysis.setting_values import Group
from gradscope.analysis.settings import Settings, settings_of
from gradscope.analysis.stage import (
    SHARE_SEQUENCES,
    confirmed,
    learned_by,
    longest_lag,
    thresholds,
)
from gradscope.arrays import as_float64
from gradscope.data.batch import Batch, Targets, TaskInfo
from gradscope.diagnosis.diagnose import NetworkMeasures, diagnose
from gradscope.diagnosis.reasons import ReasonCode
from gradscope.diagnosis.write_level import Writing
from gradscope.errors import SettingError, ShapeError
from gradscope.jacobians.adjoints import log_adjoint_norms
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.jacobians.parameter_profile import ParameterProfile
from gradscope.jacobians.step_chain import DENSE_ENTRIES
from gradscope.learning.bptt import backpropagate
from gradscope.learning.losses import error_per_step
from gradscope.model.cells import Cell
from gradscope.model.step_cell import StepCell, StepTrajectory
from gradscope.model.steps import Steps
from gradscope.model.trajectory import unroll
from gradscope.names import ErrorName, StageName

ASKED = ("weights", "data", *settings_of(Group.JUDGING), *settings_of(Group.DETAILS))
"""Settings that a study may be given; the first two say what it is of."""

ALWAYS_DENSE = 256
"""Up to this S Jacobians are made at once where many products of them are asked for (measured)."""

NONE = np.empty(0)
NO_SLOPES = SlopeSummary(NONE, NONE, NONE, np.nan, np.empty((0, SLOPE_EDGES.size - 1)))
NO_PROFILE = ParameterProfile(np.arange(0), {"norm": np.empty((0, 0))})
NO_WRITING = Writing(np.nan, {}, ())


def study_steps(
    steps: Steps,
    targets: Any = None,
    /,
    *,
    known: Cell | None = None,
    dense: bool | None = None,
    **asked: Any,
) -> Analysis:
    """Return the analysis of steps; ``asked`` has settings, of which ``weights`` is what they are
    called; a cell that is ``known`` to be the same has causes and a bound. See
    ``gradscope.torch.study``.
    """
    params = StepCell.of(steps)
    (n_steps, n_sequences, size), start = steps.states[1:].shape, steps.states[0]
    wanted = _targets(targets, steps)
    settings = _settings(steps, asked, to_targets=targets is not None)
    if dense is None and (settings.map or settings.spectrum) and size <= ALWAYS_DENSE:
        dense = n_steps * n_sequences * size**2 <= DENSE_ENTRIES
    trajectory = StepTrajectory.along(steps, dense)
    batch = Batch(steps.inputs, wanted)
    error = baseline = gradient = None
    if targets is not None:
        error, baseline = error_per_step(steps.shown[1:], wanted), baseline_of(wanted, steps.inputs)
    described = ", ".join((f"inputs of shape {steps.inputs.shape}", *sorted(steps.changed)))
    problem = TaskInfo(described, wanted.error, settings.required_lag, baseline, None)
    of = (params, trajectory) if known is None else (known, unroll(known, steps.inputs, start))
    # A larger token id, or class, is not more of anything.
    amounts = steps.inputs if steps.continuous else steps.inputs[..., :0]
    diagnosis = diagnose(
        cell_chain(*of),
        longest_lag(settings, n_steps),
        required_lag=settings.required_lag,
        learned=learned_by(error, problem),
        thresholds=thresholds(settings),
        tolerance=settings.tolerance,
        network=NetworkMeasures(blocks=steps.blocks, inputs=amounts),
    )
    norms, verdict = diagnosis.norms, diagnosis.verdict
    if error is not None:
        found = backpropagate(params, trajectory, wanted) if steps.parameters else None
        adjoints = log_adjoint_norms(params, trajectory, wanted)
        gradient = GradientSummary(None if found is None else found.norm, adjoints)
        if found is not None and verdict.reason(ReasonCode.GRADIENT_FINE):
            some = slice(SHARE_SEQUENCES)
            shown = first_sequences(params, trajectory, some), wanted.of(some)
            verdict = confirmed(verdict, params, *shown, settings.vanishing)
    stage = Stage(
        name=StageName.GIVEN,
        error=error,
        profile=Profile(
            norms.lags, norms.log_norms, diagnosis.log_bound, float(norms.certificate.max())
        ),
        verdict=verdict,
        growth=diagnosis.growth,
        causes=diagnosis.causes,
        gradient=gradient,
        slopes=NO_SLOPES,
        writing=NO_WRITING,
        parameter_profile=NO_PROFILE,
        params=params,
    )
    details = measure_details(params, trajectory, batch, norms.log_norms, settings)
    made = (params, trajectory, batch, (), details)
    return Analysis(settings, problem, (stage,), None, *made)


def _settings(steps: Steps, asked: Mapping[str, Any], *, to_targets: bool) -> Settings:
    """Return the settings of a study; SettingError for what it cannot be asked."""
    if wrong := asked.keys() - {*ASKED}:
        raise SettingError(f"{min(wrong)} is no setting of a study; leave it out")
    of_error = {"readout": "readout", "targets": "targets"} if to_targets else {}
    sizes = dict(zip(("steps", "sequences", "hidden"), steps.states[1:].shape, strict=True))
    named = {"cell": None, "updates": 0, "data": "inputs", **sizes, **of_error}
    settings = Settings.from_dict({**named, **asked}, "study")
    if settings.memory:
        raise SettingError("memory is not measured of a step of your own; leave it out")
    if settings.shares and not steps.parameters:
        raise SettingError("shares are of a gradient by parameters; give parameters=")
    return settings


def _targets(given: Any, steps: Steps) -> Targets:
    """Return targets (T,B,O), NaN where there is none, or classes (T,B) as whole numbers, −100 for
    none; ShapeError if they do not fit what is read.
    """
    n_steps, n_sequences, width = steps.shown[1:].shape
    if given is None:
        return Targets(np.zeros((n_steps, n_sequences, width)), np.zeros(n_steps, dtype=np.bool_))
    if not width:
        raise SettingError("targets are given without readout; give readout=, a function of state")
    values = np.asarray(given)
    classes = values.dtype.kind in "iu" and values.shape == (n_steps, n_sequences)
    if not classes and values.shape != (n_steps, n_sequences, width):
        wanted = (n_steps, n_sequences, width)
        fault = f"targets have shape {values.shape}, but what is read {wanted}"
        raise ShapeError(f"{fault}; give the same, or whole numbers of classes {wanted[:2]}")
    if classes:
        known, held = np.arange(max(width, 2)), values >= 0
        if (values[held] > known[-1]).any() or not held.any():
            raise ShapeError(
                f"targets hold classes up to {values.max()}, but {width} numbers are read; give "
                f"classes 0 to {known[-1]}, or a negative one for none"
            )
        one_hot = as_float64(values[..., None] == known[-width:])
        return Targets(one_hot, held, ErrorName.CROSS_ENTROPY)
    held = ~np.isnan(values).any(axis=2)
    if not held.any():
        raise ShapeError("targets hold no number, NaN alone; give one of at least one step")
    return Targets(as_float64(np.where(held[..., None], values, 0.0)), held)
