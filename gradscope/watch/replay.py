"""One look at a recurrent module in training: what it saw, replayed in float64, and judged.

A sample is what a forward pass of somebody else's module was given: a few sequences with their
initial states, and the weights as they stood. The replay goes through them with our cells, layer by
layer; the lag profile of each direction of each layer is taken at the end of its own sequence. Of
sequences that differ in length the last steps are set side by side, as many as the shortest has.
Which steps are looked at, and what becomes of it, lives in ``watch_journal``; hooks and tensors in
``gradscope.torch``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradscope.analysis.stage import first_overflow
from gradscope.arrays import FloatArray
from gradscope.diagnosis.diagnose import Diagnosis, diagnose
from gradscope.diagnosis.verdict import Thresholds
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.model.activations import Activation
from gradscope.model.cells import Cell, CellTrajectory
from gradscope.model.stack import Layer, LayerWeights, cell_without_readout, unroll_stack
from gradscope.model.trajectory import Trajectory
from gradscope.names import CellName


@dataclass(frozen=True, eq=False, slots=True)
class Sample:
    """What a recurrent module was given, and gave, in one forward pass.

    Parameters
    ----------
    step : int
        The training step, from 1.
    titles : tuple of str
        A name for each cell, layer by layer, forward before backward.
    kind, activation : CellName, Activation
        Which cell, and φ.
    layers : tuple of tuples of LayerWeights
        One or two directions of each layer.
    sequences : tuple of (T_i,D) arrays
        x_t of each sequence; lengths may differ.
    initial_states : tuple of (B,S) arrays
        s_0 of every cell, in the order of ``titles``.
    outputs : tuple of (T_i,H) or (T_i,2H) arrays
        What the module itself made of them, to hold the replay against.
    dropout : float
        Probability with which numbers between layers are dropped.
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
    """What was seen of one direction of one layer at one training step.

    ``diagnosis`` is None where the state is not finite from its first step on; ``bad_step`` is the
    step of the sequence at which it is too large to go on, or not a number, None where there is
    none; ``deviation`` is the largest difference between the module's outputs and the replay's,
    None where dropout between layers or a state out of range forbids to compare.
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
    """One cell's course over sequences of one length: ``sound`` steps can be followed."""

    trajectory: Trajectory
    sound: int
    backward: bool

    @property
    def bad_step(self) -> int | None:
        """The first step of the sequence, as its reader counts, that cannot be followed."""
        if self.sound == self.trajectory.n_steps:
            return None
        return self.trajectory.n_steps - self.sound if self.backward else self.sound + 1

    def end(self, n_steps: int) -> CellTrajectory:
        """Return the last steps of the course that can be followed."""
        cell_trajectory, last = self.trajectory.cell_trajectory, self.sound
        steps, states = slice(last - n_steps, last), slice(last - n_steps, last + 1)
        return CellTrajectory(
            cell_trajectory.inputs[steps],
            cell_trajectory.states[states],
            cell_trajectory.hidden[states],
            cell_trajectory.pre_activations[steps],
            cell_trajectory.candidates[steps],
        )


def look(
    sample: Sample,
    *,
    max_lag: int = 200,
    tolerance: float = 1e-6,
    thresholds: Thresholds | None = None,
) -> tuple[Snapshot, ...]:
    """Replay a sample and judge every direction of every layer.

    Parameters
    ----------
    sample : Sample
        What the module saw.
    max_lag : int
        Longest lag, in steps; fewer where the shortest sequence has fewer.
    tolerance : float
        Largest relative error of σ_max.
    thresholds : Thresholds, optional
        Where the verdict draws its lines.

    Returns
    -------
    tuple of Look
        In the order of ``sample.titles``.

    Raises
    ------
    ShapeError
        If the arrays of the sample do not belong together.
    """
    layers = _layers(sample)
    groups = _same_length(sample.sequences)
    replays = [_replay(sample, layers, group) for group in groups]
    deviation = _deviation(sample, groups, replays)
    snapshots = []
    for which, (title, cell) in enumerate(zip(sample.titles, _cells(layers), strict=True)):
        runs = [replay[which] for replay in replays]
        bad = [run.bad_step for run in runs if run.bad_step is not None]
        bad_step = min(bad, default=None)
        n_steps = min(max_lag, *(run.sound for run in runs))
        diagnosis = None
        if n_steps:
            cell_trajectory = _side_by_side([run.end(n_steps) for run in runs])
            outputs = np.zeros((*cell_trajectory.inputs.shape[:2], 0))
            diagnosis = diagnose(
                cell_chain(cell, Trajectory(cell_trajectory, outputs, cell.activation)),
                overflow_step=bad_step,
                thresholds=thresholds,
                tolerance=tolerance,
            )
        count = len(sample.sequences)
        snapshots.append(
            Snapshot(sample.step, title, count, diagnosis, bad_step, deviation, sample.dropout)
        )
    return tuple(snapshots)


def _layers(sample: Sample) -> tuple[Layer, ...]:
    def cell(weights: LayerWeights) -> Cell:
        return cell_without_readout(sample.kind, weights, activation=sample.activation)

    return tuple(Layer(*(cell(weights) for weights in pair)) for pair in sample.layers)


def _cells(layers: Sequence[Layer]) -> list[Cell]:
    return [cell for layer in layers for cell in layer.directions]


def _same_length(sequences: Sequence[FloatArray]) -> list[list[int]]:
    """Return the sequences' places, those of one length together."""
    groups: dict[int, list[int]] = {}
    for place, sequence in enumerate(sequences):
        groups.setdefault(sequence.shape[0], []).append(place)
    return list(groups.values())


def _replay(sample: Sample, layers: Sequence[Layer], group: Sequence[int]) -> list[_Run]:
    """Run sequences of one length through all layers."""
    seen = np.stack([sample.sequences[place] for place in group], axis=1)
    states = [state[list(group)] for state in sample.initial_states]
    # Which numbers the module dropped is not known; as many others are dropped here.
    rng = np.random.default_rng(sample.step)
    runs: list[_Run] = []
    for number, layer in enumerate(layers):
        if number and sample.dropout:
            kept = rng.random(seen.shape) >= sample.dropout
            seen = seen * kept / max(1.0 - sample.dropout, np.finfo(np.float64).tiny)
        here = states[len(runs) : len(runs) + len(layer.directions)]
        (found,) = unroll_stack([layer], seen, here)
        seen = found.hidden
        for trajectory in (found.forward, found.backward):
            if trajectory is not None:
                overflow = first_overflow(trajectory)
                sound = trajectory.n_steps if overflow is None else overflow - 1
                runs.append(_Run(trajectory, sound, trajectory is found.backward))
    return runs


def _side_by_side(trajectories: Sequence[CellTrajectory]) -> CellTrajectory:
    """Return courses of equally many steps as one of all their sequences."""
    if len(trajectories) == 1:
        return trajectories[0]

    def joined(name: str) -> FloatArray:
        return np.concatenate(
            [getattr(cell_trajectory, name) for cell_trajectory in trajectories], axis=1
        )

    return CellTrajectory(
        joined("inputs"),
        joined("states"),
        joined("hidden"),
        joined("pre_activations"),
        joined("candidates"),
    )


def _deviation(
    sample: Sample, groups: Sequence[Sequence[int]], replays: Sequence[Sequence[_Run]]
) -> float | None:
    """Return how far the top layer's outputs are from the module's own."""
    if sample.dropout and len(sample.layers) > 1:
        return None
    worst = 0.0
    for group, runs in zip(groups, replays, strict=True):
        top = runs[-len(sample.layers[-1]) :]
        halves = [
            run.trajectory.hidden[:0:-1] if run.backward else run.trajectory.hidden[1:]
            for run in top
        ]
        ours = np.concatenate(halves, axis=2)
        theirs = np.stack([sample.outputs[place] for place in group], axis=1)
        if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
            return None
        worst = max(worst, float(np.abs(ours - theirs).max()))
    return worst
