"""Further measurements of the last network of a study, each made only on request (``ASKED``), since
it costs more than the profile itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from gradscope.analysis.settings import Settings
from gradscope.arrays import ComplexArray, FloatArray, IntArray
from gradscope.data.batch import Batch
from gradscope.diagnosis.motion import UNKNOWN, Motion, motion_alone, motion_of
from gradscope.diagnosis.theory import Objection, Prediction, expected_exponents, predictions
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.jacobians.lag_map import LagMap, lag_map
from gradscope.jacobians.lag_norms import LagNorms
from gradscope.jacobians.lyapunov import LyapunovSpectrum, lyapunov_exponents
from gradscope.jacobians.parameter_profile import sensitivity
from gradscope.jacobians.reference import Verification, verify_lag_norms
from gradscope.jacobians.shares import GradientShares, gradient_shares
from gradscope.jacobians.singular_values import SingularValues, singular_values
from gradscope.jacobians.stack_chain import DepthMap
from gradscope.learning.readout import memory_function
from gradscope.model.cells import Cell
from gradscope.model.elman import ElmanParameters
from gradscope.model.step_cell import StepTrajectory
from gradscope.model.trajectory import Trajectory, unroll
from gradscope.names import Regime
from gradscope.notebook_repr import CompactRepr

MAP_TIMES = 200
"""States of the heat map along each side at the most: more than its pixels show."""

MAP_SEQUENCES = 4
"""Sequences behind the heat map's median."""

SPECTRUM_LAGS, LONGEST_SPECTRUM_LAG = 8, 1000
"""Lags at which all singular values are taken, spread evenly on a logarithmic scale, and the
longest of them: the cost is three (S,S) factorizations per step, lag and sequence."""

SPECTRUM_SEQUENCES = 3
"""Sequences whose singular values are taken; Lyapunov exponents are those of all."""

TURNING_STEPS = 100
"""Steps before the end of the burn-in in which a frame turns into the Lyapunov directions."""

SAMPLED_JACOBIANS = 8
"""Steps of the first sequence whose Jacobian's eigenvalues are taken."""

MEMORY_DELAYS, PRICE_SEQUENCES = 200, 16
"""Delays of the memory function and last steps of its price at most, and sequences behind that."""

SHARP, FAR = 100.0, 10
"""Factor of the sensitivity over that to the last step, and steps for half of it, from which on a
state is sharp by memory: those of h_t = λ h_{t−1} + x_t under white noise at λ = .93 and .91."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Memory(CompactRepr):
    """The memory function R² (L,) of ``delays`` (L,) in steps, of independent inputs with the means
    and variances of the network's own, the sum over its D inputs; ``units`` is H. The price:
    ``sensitivity``, E‖∂s_T/∂θ‖² (L,), θ changed at the last ``delays`` + 1 steps.
    """

    delays: IntArray
    explained: FloatArray
    units: int
    sensitivity: Mapping[str, FloatArray]

    @property
    def steps_for_half(self) -> int:
        """How many last steps give half of the sensitivity."""
        found = self.sensitivity["norm"]
        return int(np.argmax(2.0 * found >= found[-1])) + 1

    def sharp(self, regime: Regime) -> bool:
        """Whether memory makes the state sensitive, not a gradient that explodes or grows first."""
        first, last = self.sensitivity["norm"][[0, -1]]
        far = self.steps_for_half >= FAR and regime in {Regime.STABLE, Regime.VANISHING}
        return far and bool(last >= SHARP * first > 0.0)

    @property
    def capacity(self) -> float:
        """The sum over the delays: at most H (Jaeger 2001)."""
        return float(self.explained.sum())


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Spectrum(CompactRepr):
    """Everything about a network's Jacobians that is a spectrum.

    ``singular`` at chosen lags, ``lyapunov`` exponents, the ``motion`` of the state under the
    inputs and ``alone``, without any, ``eigenvalues`` (H,) of W, those of J_t at ``sampled_steps``
    (n,) of the first sequence (n,S), and what ``theory`` predicts. ``expected`` are the exponents
    that a wide network has with these slopes, None with a leak or gates, ``against_expected`` what
    speaks against W being Gaussian. For a gated cell, whose W has a block for every gate, the
    eigenvalues of W and the theories are empty.
    """

    singular: SingularValues
    lyapunov: LyapunovSpectrum
    motion: Motion
    alone: Motion
    eigenvalues: ComplexArray
    sampled_steps: IntArray
    jacobian_eigenvalues: ComplexArray
    theory: tuple[Prediction, ...]
    expected: LyapunovSpectrum | None = field(repr=False)
    against_expected: Objection | None = field(repr=False)


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Details(CompactRepr):
    """Further measurements; None where not asked for, ``depth`` where there is no stack."""

    map: LagMap | None = None
    shares: GradientShares | None = None
    spectrum: Spectrum | None = None
    memory: Memory | None = None
    verification: Verification | None = None
    depth: DepthMap | None = None


NO_DETAILS = Details()
ASKED = ("map", "shares", "spectrum", "memory", "verify")
"""The settings that ask for a measurement."""


def measure_details(
    params: Cell,
    trajectory: Trajectory,
    examined: Batch,
    log_norms: FloatArray,
    settings: Settings,
    progress: Progress | None = None,
    *,
    burn_in: int = 0,
) -> Details:
    """Make the measurements that the settings ask for, on the trajectory over the examined
    sequences; ``log_norms`` (L,B) is the lag profile in nats, ``burn_in`` that of the growth rate.
    """
    if not any(getattr(settings, name) for name in ASKED):
        return NO_DETAILS
    shares = gradient_shares(params, trajectory, examined.targets) if settings.shares else None
    if examined.lengths is not None:  # All else is measured on the sequences of T steps.
        places = examined.whole()
        trajectory = first_sequences(params, trajectory, places)
        examined, log_norms = examined.of(places), log_norms[:, places]
    of, mapped, verification = (params, trajectory), None, None
    if settings.map:
        some = cell_chain(params, first_sequences(*of, slice(MAP_SEQUENCES)))
        times = _spread(np.linspace(0, some.n_steps, min(MAP_TIMES, some.n_steps + 1)))
        mapped = lag_map(some, tolerance=settings.tolerance, times=times, progress=progress)
    if settings.verify:
        lags = np.arange(1, log_norms.shape[0] + 1)
        measured = LagNorms(lags, log_norms, np.zeros_like(log_norms))
        verification = verify_lag_norms(cell_chain(*of), measured)
    return Details(
        map=mapped,
        shares=shares,
        spectrum=_spectrum(*of, examined, burn_in, settings.seed) if settings.spectrum else None,
        memory=_memory(*of, examined, settings) if settings.memory else None,
        verification=verification,
    )


def _memory(params: Cell, trajectory: Trajectory, examined: Batch, settings: Settings) -> Memory:
    delays, own = np.arange(min(examined.n_steps, MEMORY_DELAYS)), examined.inputs
    rng, law = np.random.default_rng(settings.seed), (own.mean(axis=(0, 1)), own.std(axis=(0, 1)))
    explained = memory_function(params, delays.size, rng, *law).sum(axis=1)
    some = first_sequences(params, trajectory, slice(PRICE_SEQUENCES))
    return Memory(delays, explained, params.sizes[1], sensitivity(params, some, delays.size))


def first_sequences(params: Cell, trajectory: Trajectory, places: slice | IntArray) -> Trajectory:
    """Return the trajectory over some of the sequences alone."""
    if isinstance(trajectory, StepTrajectory):
        return trajectory.of(places)
    first, noise = trajectory.states[0, places], trajectory.noise
    some_noise = None if noise is None else noise[:, places]
    return unroll(params, trajectory.inputs[:, places], first, some_noise)


def _spectrum(
    params: Cell, trajectory: Trajectory, examined: Batch, burn_in: int, seed: int
) -> Spectrum:
    some = first_sequences(params, trajectory, slice(SPECTRUM_SEQUENCES))
    chain = cell_chain(params, some)
    lags = _spread(np.geomspace(1, min(chain.n_steps, LONGEST_SPECTRUM_LAG), SPECTRUM_LAGS))
    steps = _spread(np.linspace(1, chain.n_steps, min(SAMPLED_JACOBIANS, chain.n_steps)))
    settled, turning = trajectory, None
    stepped = isinstance(trajectory, StepTrajectory)
    if burn_in:  # From shortly before its end on.
        inputs, start = examined.all_inputs, max(burn_in - TURNING_STEPS, 0)
        before, after = (None, None) if (xi := examined.noise) is None else (xi[:start], xi[start:])
        state = unroll(params, inputs[:start], trajectory.states[0], before).states[-1]
        settled, turning = unroll(params, inputs[start:], state, after), burn_in - start
    lyapunov = lyapunov_exponents(cell_chain(params, settled), warm_up=turning)
    weights: FloatArray = np.empty((0, 0))
    theory: tuple[Prediction, ...] = ()
    expected, against = None, None
    if isinstance(params, ElmanParameters):
        weights = params.recurrent_weights
        if isinstance(params.leak, float):
            theory = predictions(params, trajectory)
            expected, against = expected_exponents(params, trajectory)
    return Spectrum(
        singular=singular_values(chain, lags),
        lyapunov=replace(lyapunov, warm_up=burn_in) if burn_in else lyapunov,
        motion=motion_of(settled, lyapunov),
        alone=UNKNOWN if stepped else motion_alone(params, np.random.default_rng(seed)),
        eigenvalues=_eigenvalues(weights),
        sampled_steps=steps,
        jacobian_eigenvalues=np.stack([_eigenvalues(chain.jacobian(int(t))[0]) for t in steps]),
        theory=theory,
        expected=expected,
        against_expected=against,
    )


def _spread(places: FloatArray) -> IntArray:
    """Return places rounded to whole numbers, each once."""
    return np.unique(np.rint(places).astype(np.int64))


def _eigenvalues(matrix: FloatArray) -> ComplexArray:
    """Return eigenvalues, largest modulus first."""
    values = np.linalg.eigvals(matrix).astype(np.complex128)
    return values[np.argsort(-np.abs(values), kind="stable")]
