"""Snapshots of a recurrent module in training: its forward pass replayed in float64, and judged.

A sample holds a few sequences that a module was given, their initial states, and the weights at
that step. The replay runs our cells on them, layer by layer; the lag profile of each direction of
each layer is taken at the end of its own sequence. If sequences differ in length, their last steps
are aligned, as many as the shortest has. ``watch.schedule`` decides which steps are sampled,
``watch.journal`` keeps the snapshots; hooks and tensors are in ``gradscope.torch``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from gradscope.analysis.stage import first_overflow
from gradscope.arrays import FloatArray
from gradscope.diagnosis.diagnose import Diagnosis, diagnose
from gradscope.diagnosis.verdict import Thresholds
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.model.activations import Activation
from gradscope.model.cells import CellTrajectory
from gradscope.model.stack import Layer, LayerWeights, cell_without_readout, unroll_stack
from gradscope.model.trajectory import Trajectory
from gradscope.names import CellName


@dataclass(frozen=True, eq=False, slots=True)
class Sample:
    """Inputs, states, weights and outputs of a recurrent module in one forward pass.

    ``step`` is the training step, from 1; ``titles`` name each cell, layer by layer, forward before
    backward; ``layers`` hold one or two directions each. ``sequences`` are (T_i,D) arrays whose
    lengths may differ, ``initial_states`` (B,S) arrays in the order of ``titles``, ``outputs``
    (T_i,H) or (T_i,2H) arrays of the module itself, to check the replay. ``dropout`` is the
    probability with which values between layers are dropped.
    """

    step: int
    titles: tuple[str, ...]
    kind: CellName
    activation: Activation
    layers: tuple[tuple[LayerWeights, ...], ...]
    sequences: tuple[FloatArray, ...]
    initial_states: tuple[FloatArray, ...]
    outputs: tuple[FloatArray, ...]
    dropout: float = 0.0


@dataclass(frozen=True, eq=False, slots=True)
class Snapshot:
    """The diagnosis of one direction of one layer at one training step.

    ``diagnosis`` is None where the state is not finite from its first step on; ``bad_step`` is the
    step of the sequence at which the state overflows or is NaN, None if it never does;
    ``deviation`` is the largest difference between the module's outputs and the replay's, None
    where dropout between layers or a state out of range rules the comparison out.
    """

    step: int
    title: str
    n_sequences: int
    diagnosis: Diagnosis | None
    bad_step: int | None
    deviation: float | None
    dropout: float


@dataclass(frozen=True, eq=False, slots=True)
class _Run:
    """The trajectory of one cell over sequences of one length; its first ``sound`` steps are
    finite.
    """

    trajectory: Trajectory
    sound: int
    backward: bool

    @property
    def bad_step(self) -> int | None:
        """The first step that is not finite, counted forward along the sequence."""
        if self.sound == self.trajectory.n_steps:
            return None
        return self.trajectory.n_steps - self.sound if self.backward else self.sound + 1

    def end(self, n_steps: int) -> CellTrajectory:
        """Return the last ``n_steps`` sound steps."""
        cell_trajectory, last = self.trajectory.cell_trajectory, self.sound
        steps, states = slice(last - n_steps, last), slice(last - n_steps, last + 1)
        return CellTrajectory(
            cell_trajectory.inputs[steps],
            cell_trajectory.states[states],
            cell_trajectory.hidden[states],
            cell_trajectory.pre_activations[steps],
            cell_trajectory.candidates[steps],
        )


def take_snapshots(
    sample: Sample,
    *,
    max_lag: int = 200,
    tolerance: float = 1e-6,
    thresholds: Thresholds | None = None,
) -> tuple[Snapshot, ...]:
    """Replay a sample and diagnose every direction of every layer.

    Parameters
    ----------
    sample : Sample
        What the module was given.
    max_lag : int
        Longest lag, in steps; fewer where the shortest sequence has fewer.
    tolerance : float
        Largest relative error of σ_max.
    thresholds : Thresholds, optional
        The thresholds of the verdict.

    Returns
    -------
    tuple of Snapshot
        In the order of ``sample.titles``.

    Raises
    ------
    ShapeError
        If the arrays of the sample do not belong together.
    """
    layers = [
        Layer(
            *(
                cell_without_readout(sample.kind, weights, activation=sample.activation)
                for weights in directions
            )
        )
        for directions in sample.layers
    ]
    groups: dict[int, list[int]] = {}
    for place, sequence in enumerate(sample.sequences):
        groups.setdefault(sequence.shape[0], []).append(place)
    replays, outputs = zip(
        *(_replay(sample, layers, each) for each in groups.values()), strict=True
    )
    deviation = _deviation(sample, list(groups.values()), outputs)
    cells = [cell for layer in layers for cell in layer.directions]
    snapshots = []
    for title, cell, runs in zip(sample.titles, cells, zip(*replays, strict=True), strict=True):
        bad_step = min((run.bad_step for run in runs if run.bad_step is not None), default=None)
        n_steps = min(max_lag, *(run.sound for run in runs))
        diagnosis = None
        if n_steps:
            cell_trajectory = _joined([run.end(n_steps) for run in runs])
            readout = np.zeros((*cell_trajectory.inputs.shape[:2], 0))
            diagnosis = diagnose(
                cell_chain(cell, Trajectory(cell_trajectory, readout, cell.activation)),
                overflow_step=bad_step,
                thresholds=thresholds,
                tolerance=tolerance,
            )
        count = len(sample.sequences)
        snapshots.append(
            Snapshot(sample.step, title, count, diagnosis, bad_step, deviation, sample.dropout)
        )
    return tuple(snapshots)


def _replay(
    sample: Sample, layers: Sequence[Layer], group: Sequence[int]
) -> tuple[list[_Run], FloatArray]:
    """Run sequences of one length through all layers; return runs and the top layer's outputs."""
    inputs = np.stack([sample.sequences[place] for place in group], axis=1)
    states = [state[list(group)] for state in sample.initial_states]
    # Which values the module dropped is not known; the same fraction is dropped here.
    rng = np.random.default_rng(sample.step)
    runs: list[_Run] = []
    for number, layer in enumerate(layers):
        if number and sample.dropout:
            kept = rng.random(inputs.shape) >= sample.dropout
            inputs = inputs * kept / max(1.0 - sample.dropout, np.finfo(np.float64).tiny)
        here = states[len(runs) : len(runs) + len(layer.directions)]
        (found,) = unroll_stack([layer], inputs, here)
        inputs = found.hidden
        for trajectory in (found.forward, found.backward):
            if trajectory is not None:
                overflow = first_overflow(trajectory)
                sound = trajectory.n_steps if overflow is None else overflow - 1
                runs.append(_Run(trajectory, sound, trajectory is found.backward))
    return runs, inputs


def _joined(trajectories: Sequence[CellTrajectory]) -> CellTrajectory:
    """Return trajectories of equal length as one trajectory of all their sequences."""
    names = [each.name for each in fields(CellTrajectory)]
    arrays = ([getattr(each, name) for each in trajectories] for name in names)
    return CellTrajectory(*(np.concatenate(each, axis=1) for each in arrays))


def _deviation(
    sample: Sample, groups: Sequence[Sequence[int]], outputs: Sequence[FloatArray]
) -> float | None:
    """Return the largest difference between the top layer's outputs and the module's."""
    if sample.dropout and len(sample.layers) > 1:
        return None
    worst = 0.0
    for group, ours in zip(groups, outputs, strict=True):
        theirs = np.stack([sample.outputs[place] for place in group], axis=1)
        if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
            return None
        worst = max(worst, float(np.abs(ours - theirs).max()))
    return worst
