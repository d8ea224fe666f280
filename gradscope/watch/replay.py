"""Snapshots of a recurrent module in training: its forward pass replayed in float64, and judged.

The replay runs our cells on a few sequences that the module was given, layer by layer; the lag
profile of each direction of each layer is taken at the end of its own sequence.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gradscope.analysis.stage import sound_steps
from gradscope.arrays import LN_10, FloatArray, IntArray, counted, quantiles
from gradscope.diagnosis.diagnose import Diagnosis, NetworkMeasures, diagnose
from gradscope.diagnosis.thresholds import Thresholds
from gradscope.diagnosis.verdict import Verdict
from gradscope.diagnosis.write_level import write_level
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.model.stack import Layer, LayerTrajectory, unroll_stack
from gradscope.model.trajectory import last_steps

SLOPE_QUANTILES = (0.05, 0.5, 0.95)


@dataclass(frozen=True, eq=False, slots=True)
class Sample:
    """Inputs, states, weights and outputs of a recurrent module in one forward pass.

    ``step`` is the training step, from 1; ``titles`` name each cell, layer by layer, forward before
    backward. ``sequences`` are (T_i,D) arrays whose lengths may differ, ``initial_states`` (B,S)
    arrays in the order of ``titles``, ``outputs`` (T_i,H) or (T_i,2H) arrays of the module itself,
    to check the replay; none if the weights are newer. ``dropout`` is the probability with which
    values between layers are dropped. ``measure`` takes the snapshots of what has no cells of ours.
    ``required_lag`` is how many steps back the gradient has to reach, None if nobody said so.
    """

    step: int
    titles: Sequence[str]
    layers: Sequence[Layer]
    sequences: Sequence[FloatArray] = ()
    initial_states: Sequence[FloatArray] = ()
    outputs: Sequence[FloatArray] = ()
    dropout: float = 0.0
    measure: "Callable[[Sample, int, Thresholds], list[Snapshot]] | None" = None
    required_lag: int | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Snapshot:
    """The diagnosis of one direction of one layer at one training step.

    ``diagnosis`` is None where the state is not finite from its first step on, its profile NaN at
    lags that a sequence does not have; ``bad_step`` is the step of the sequence at which the state
    overflows or is NaN, None if it never does; ``deviation`` is the largest difference between the
    module's outputs and the replay's, as a part of the largest output, None where dropout between
    layers, newer weights or a state out of range rule the comparison out; ``left_out``: no dropout.
    ``slopes`` are the 5 %, 50 % and 95 % quantiles of φ′ (of a gated cell that of its candidate)
    over steps, sequences and units, ``activation`` is the name of φ, both None of a step that is no
    cell of ours; ``gradient_norm`` is the unclipped norm of the training step, None until it has
    ended; ``cost`` is in seconds.
    """

    step: int
    title: str
    n_sequences: int
    diagnosis: Diagnosis | None
    bad_step: int | None
    deviation: float | None
    dropout: float
    left_out: bool = False
    slopes: tuple[float, ...] | None = None
    activation: str | None = None
    gradient_norm: float | None = None
    cost: float = 0.0

    @property
    def layer(self) -> str:
        """The name of the layer, as in the report."""
        return self.title

    @property
    def verdict(self) -> Verdict | None:
        """What the gradient does; None where the state is not finite from its first step on."""
        return None if self.diagnosis is None else self.diagnosis.verdict

    @property
    def reach(self) -> int | None:
        """The memory horizon in steps; None beyond the lags measured, and where all is NaN."""
        return None if self.verdict is None else self.verdict.horizon

    @property
    def reaches(self) -> bool | None:
        """Whether the gradient arrives from the required lag; None: not known, or none is."""
        return None if self.verdict is None else self.verdict.reaches

    @property
    def rate(self) -> float | None:
        """The growth rate, nats per step; None where the product is exactly zero."""
        return None if self.diagnosis is None else self.diagnosis.growth.rate

    @property
    def interval(self) -> tuple[float, float] | None:
        """What holds the growth rate at 95 % confidence; None of too few sequences and steps."""
        grown = None if self.diagnosis is None else self.diagnosis.growth
        if grown is None or grown.low is None or grown.high is None:
            return None
        return grown.low, grown.high

    @property
    def log10_norms(self) -> FloatArray:
        """log10 σ_max (L,) of the product over each lag from 1 on, the median of the sequences that
        have it; −∞ where the product is exactly zero.
        """
        if self.diagnosis is None:
            return np.empty(0)
        return np.asarray(quantiles(self.diagnosis.norms.log_norms, (0.5,))[0] / LN_10)


def take_snapshots(sample: Sample, max_lag: int, thresholds: Thresholds) -> list[Snapshot]:
    """Replay a sample and diagnose every direction of every layer, in the order of its titles, over
    at most ``max_lag`` steps. ShapeError if the arrays do not belong together.
    """
    if sample.measure is not None:
        return sample.measure(sample, max_lag, thresholds)
    lengths = np.array(list(map(len, sample.sequences)))
    layers, worst = _replay(sample, lengths)
    deviation = worst if np.isfinite(worst) and not sample.dropout else None
    cells = [(cell, n) for layer in sample.layers for n, cell in enumerate(layer.directions)]
    ran = [each for layer in layers for each in (layer.forward, layer.backward) if each]
    snapshots: list[Snapshot] = []
    for title, (cell, backward), whole in zip(sample.titles, cells, ran, strict=True):
        sound = np.minimum(sound_steps(whole), lengths)
        bad = (lengths - sound if backward else sound + 1)[sound < lengths]
        bad_step = int(bad.min()) if bad.size else None
        n_steps = min(max_lag, int(sound.max()))
        diagnosis = slopes = None
        if n_steps:
            trajectory = last_steps(whole, sound, n_steps)
            lowest = len(snapshots) < len(sample.layers[0].directions)
            writing = write_level(cell, trajectory, () if lowest else None)
            slopes = quantiles(trajectory.slopes.ravel(), SLOPE_QUANTILES)
            diagnosis = diagnose(
                cell_chain(cell, trajectory),
                required_lag=sample.required_lag,
                overflow_step=bad_step,
                network=NetworkMeasures(writing=writing, lengths=sound),
                thresholds=thresholds,
            )
        about = (diagnosis, bad_step, deviation, sample.dropout)
        found = Snapshot(sample.step, title, len(sample.sequences), *about)
        of_phi = None if slopes is None else tuple(slopes.tolist())
        snapshots.append(replace(found, slopes=of_phi, activation=cell.activation.name))
    return snapshots


def _replay(sample: Sample, lengths: IntArray) -> tuple[list[LayerTrajectory], float]:
    """Run all sequences through all layers; also return how far the outputs are off, relative."""
    inputs, theirs = map(_padded, (sample.sequences, sample.outputs))
    # Which values the module dropped is not known; the same fraction is dropped here.
    rng, states = np.random.default_rng(sample.step), iter(sample.initial_states)
    layers: list[LayerTrajectory] = []
    for number, layer in enumerate(sample.layers):
        if number and sample.dropout:
            kept = rng.random(inputs.shape) >= sample.dropout
            inputs = inputs * kept / max(1.0 - sample.dropout, np.finfo(np.float64).tiny)
        here = [next(states) for _ in layer.directions]
        layers += unroll_stack([layer], inputs, here, lengths=lengths)
        inputs = layers[-1].hidden
    if not theirs.size:
        return layers, np.nan
    with np.errstate(invalid="ignore"):
        apart = np.abs(inputs - theirs)[counted(lengths, *inputs.shape[:2])]
        return layers, float(apart.max() / (np.abs(theirs).max() or 1.0))


def _padded(arrays: Sequence[FloatArray]) -> FloatArray:
    """Return arrays (T_i,·) side by side, (T,B,·), zeros at their ends."""
    n_steps = max(map(len, arrays), default=0)
    longer = [np.pad(each, ((0, n_steps - len(each)), (0, 0))) for each in arrays]
    return np.stack(longer, axis=1) if longer else np.empty(0)
