"""Snapshots of a recurrent module in training: its forward pass replayed in float64, and judged.

The replay runs our cells on a few sequences that the module was given, layer by layer; the lag
profile of each direction of each layer is taken at the end of its own sequence. If sequences differ
in length, each counts at the lags that it has. ``watch.schedule`` decides which steps are sampled,
``watch.journal`` keeps the snapshots; hooks and tensors are in ``gradscope.torch``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from gradscope.analysis.stage import first_overflow
from gradscope.arrays import FloatArray
from gradscope.diagnosis.diagnose import Diagnosis, NetworkMeasures, diagnose
from gradscope.diagnosis.thresholds import Thresholds
from gradscope.diagnosis.write_level import write_level
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.model.cells import CellTrajectory
from gradscope.model.stack import Layer, unroll_stack
from gradscope.model.trajectory import Trajectory


@dataclass(frozen=True, eq=False, slots=True)
class Sample:
    """Inputs, states, weights and outputs of a recurrent module in one forward pass.

    ``step`` is the training step, from 1; ``titles`` name each cell, layer by layer, forward before
    backward. ``sequences`` are (T_i,D) arrays whose lengths may differ, ``initial_states`` (B,S)
    arrays in the order of ``titles``, ``outputs`` (T_i,H) or (T_i,2H) arrays of the module itself,
    to check the replay; none if the weights are newer. ``dropout`` is the probability with which
    values between layers are dropped.
    """

    step: int
    titles: Sequence[str]
    layers: Sequence[Layer]
    sequences: Sequence[FloatArray] = ()
    initial_states: Sequence[FloatArray] = ()
    outputs: Sequence[FloatArray] = ()
    dropout: float = 0.0


@dataclass(frozen=True, eq=False, slots=True)
class Snapshot:
    """The diagnosis of one direction of one layer at one training step.

    ``diagnosis`` is None where the state is not finite from its first step on, its profile NaN at
    lags that a sequence does not have; ``bad_step`` is the step of the sequence at which the state
    overflows or is NaN, None if it never does; ``deviation`` is the largest difference between the
    module's outputs and the replay's, as a part of the largest output, None where dropout between
    layers, newer weights or a state out of range rule the comparison out.
    """

    step: int
    title: str
    n_sequences: int
    diagnosis: Diagnosis | None
    bad_step: int | None
    deviation: float | None
    dropout: float


class _Run(NamedTuple):
    """One cell over sequences of one length: its first ``sound`` steps are finite; ``bad_step`` is
    the first that is not, counted forward along the sequence.
    """

    trajectory: Trajectory
    sound: int
    bad_step: int | None


def take_snapshots(sample: Sample, max_lag: int, thresholds: Thresholds) -> list[Snapshot]:
    """Replay a sample and diagnose every direction of every layer, in the order of its titles, over
    at most ``max_lag`` steps. ShapeError if the arrays do not belong together.
    """
    groups: dict[int, list[int]] = {}
    for place, sequence in enumerate(sample.sequences):
        groups.setdefault(len(sequence), []).append(place)
    replays, differences = zip(*(_replay(sample, each) for each in groups.values()), strict=True)
    worst = float(np.max(differences))
    deviation = worst if np.isfinite(worst) and not sample.dropout else None
    cells = [cell for layer in sample.layers for cell in layer.directions]
    snapshots: list[Snapshot] = []
    for title, cell, runs in zip(sample.titles, cells, zip(*replays, strict=True), strict=True):
        bad_step = min((run.bad_step for run in runs if run.bad_step is not None), default=None)
        counts = [run.trajectory.n_sequences for run in runs]
        lengths = np.repeat([run.sound for run in runs], counts)
        n_steps = min(max_lag, int(lengths.max()))
        diagnosis = None
        if n_steps:
            ends = _ends(runs, n_steps)
            readout = np.zeros((*ends.inputs.shape[:2], 0))
            trajectory = Trajectory(ends, readout, cell.activation)
            lowest = len(snapshots) < len(sample.layers[0].directions)
            writing = write_level(cell, trajectory, () if lowest else None)
            diagnosis = diagnose(
                cell_chain(cell, trajectory),
                overflow_step=bad_step,
                network=NetworkMeasures(writing=writing, lengths=lengths),
                thresholds=thresholds,
            )
        about = (diagnosis, bad_step, deviation, sample.dropout)
        snapshots.append(Snapshot(sample.step, title, len(sample.sequences), *about))
    return snapshots


def _replay(sample: Sample, group: list[int]) -> tuple[list[_Run], float]:
    """Run sequences of one length through all layers; return the runs, and the largest relative
    difference of the top layer's outputs to the module's.
    """
    inputs, theirs = (
        np.stack([arrays[place] for place in group], axis=1) if arrays else np.array(np.nan)
        for arrays in (sample.sequences, sample.outputs)
    )
    states = [state[group] for state in sample.initial_states]
    # Which values the module dropped is not known; the same fraction is dropped here.
    rng = np.random.default_rng(sample.step)
    runs: list[_Run] = []
    for number, layer in enumerate(sample.layers):
        if number and sample.dropout:
            kept = rng.random(inputs.shape) >= sample.dropout
            inputs = inputs * kept / max(1.0 - sample.dropout, np.finfo(np.float64).tiny)
        here = states[len(runs) : len(runs) + len(layer.directions)]
        (found,) = unroll_stack([layer], inputs, here)
        inputs = found.hidden
        for trajectory in filter(None, (found.forward, found.backward)):
            bad_step = first_overflow(trajectory)
            sound = trajectory.n_steps if bad_step is None else bad_step - 1
            if bad_step is not None and trajectory is found.backward:
                bad_step = trajectory.n_steps - sound
            runs.append(_Run(trajectory, sound, bad_step))
    with np.errstate(invalid="ignore"):
        return runs, float(np.abs(inputs - theirs).max() / (np.abs(theirs).max() or 1.0))


def _ends(runs: Sequence[_Run], n_steps: int) -> CellTrajectory:
    """Return the last ``n_steps`` sound steps of all, shorter ones led by those of the longest."""
    arrays, longest = {}, max(runs, key=lambda run: run.sound)
    for name in (each.name for each in fields(CellTrajectory)):
        # States have one entry more than there are steps, s_0.
        more = 1 if name in ("states", "hidden") else 0
        whole = getattr(longest.trajectory.cell_trajectory, name)[longest.sound - n_steps :, :1]
        parts = []
        for run in runs:
            start = max(run.sound - n_steps, 0)
            own = getattr(run.trajectory.cell_trajectory, name)[start : run.sound + more]
            before = whole[: n_steps - (run.sound - start)]
            parts.append(np.concatenate([np.repeat(before, own.shape[1], axis=1), own]))
        arrays[name] = np.concatenate(parts, axis=1)
    return CellTrajectory(**arrays)
