"""What a trajectory does: it rests, cycles, follows its inputs, moves chaotically or runs away.

The sign of the largest exponent alone does not say. Chaos needs a trajectory that stays bounded and
keeps moving: h = 0 at an unstable point has the same positive exponents, and so has a state that
grows without end. Under inputs that vary in time the exponent tells whether the state is a function
of the inputs alone (a stable response: the echo state property) or depends on where it started.
Sources: Ott (2002), Chaos in Dynamical Systems, chapter 4; Engelken, Wolf & Abbott (2023),
arXiv:2006.02427, for driven networks.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from gradscope.arrays import FloatArray, quantiles
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.jacobians.lyapunov import ERRORS_APART, LyapunovSpectrum, lyapunov_exponents
from gradscope.model.cells import Cell
from gradscope.model.trajectory import Trajectory, unroll
from gradscope.notebook_repr import CompactRepr

STEPS_ALONE, SEQUENCES_ALONE, START = 2000, 3, 1e-2
"""Steps of a network left to itself, half left out; its starts, and their standard deviation."""

MAX_PERIOD = 64
"""Longest cycle looked for, in steps."""

MAX_STATE = 1e100
"""A state that has grown beyond is not followed further."""

ROUNDING = 1e-9
"""Nats per step up to which an exponent is 0 however small its standard error is."""

EXACT, CONVERGING = 1e-9, 1e-3
"""Distance, in parts of the largest state, at which a state counts as reached again: at an unstable
point rounding drives it away; at a stable one it need only be told from other periods."""


class MotionCode(StrEnum):
    """What the state does."""

    FIXED_POINT = "fixed-point"
    UNSTABLE_FIXED_POINT = "unstable-fixed-point"
    CYCLE = "cycle"
    UNSTABLE_CYCLE = "unstable-cycle"
    CHAOS = "chaos"
    STABLE_RESPONSE = "stable-response"
    UNSTABLE_RESPONSE = "unstable-response"
    DIVERGES = "diverges"
    UNDECIDED = "undecided"


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Motion(CompactRepr):
    """What the state does, the ``period`` in steps of a cycle, and the largest exponent with its
    standard error, nats per step, medians over sequences.
    """

    code: MotionCode
    exponent: float
    standard_error: float
    period: int | None = None

    @property
    def on_attractor(self) -> bool:
        """Whether dimension and entropy rate mean anything: not at unstable rest, nor diverging."""
        left = (MotionCode.UNSTABLE_FIXED_POINT, MotionCode.UNSTABLE_CYCLE, MotionCode.DIVERGES)
        return self.code not in left


UNKNOWN = Motion(MotionCode.UNDECIDED, np.nan, np.nan)
"""That of a network which cannot be run on."""


def motion_of(trajectory: Trajectory, spectrum: LyapunovSpectrum) -> Motion:
    """Return what a trajectory does, given its exponents."""
    exponent, error = (
        float(quantiles(each[:, 0], (0.5,))[0])
        for each in (spectrum.exponents, spectrum.standard_errors)
    )
    beyond = max(ERRORS_APART * error, ROUNDING)
    unstable, stable = exponent > beyond, exponent < -beyond
    states, inputs = trajectory.states, trajectory.inputs
    driven = trajectory.noise is not None or bool((inputs != inputs[:1]).any())
    period = _period(states, CONVERGING if stable and not driven else EXACT)
    code = MotionCode.UNDECIDED
    if period == 1:
        code = MotionCode.UNSTABLE_FIXED_POINT if unstable else MotionCode.FIXED_POINT
    elif unstable and _growth(states) >= 0.5 * exponent:
        # A state that grows as perturbations do, and that φ does not hold.
        held = np.abs(trajectory.activation.value(np.array([MAX_STATE]))).max() <= 1.0
        code = MotionCode.UNDECIDED if held else MotionCode.DIVERGES
    elif driven:
        code = MotionCode.UNSTABLE_RESPONSE if unstable else code
        code = MotionCode.STABLE_RESPONSE if stable else code
    elif period is not None:
        code = MotionCode.UNSTABLE_CYCLE if unstable else MotionCode.CYCLE
    elif unstable:
        code = MotionCode.CHAOS
    cycles = code in (MotionCode.CYCLE, MotionCode.UNSTABLE_CYCLE)
    return Motion(code, exponent, error, period if cycles else None)


def motion_alone(params: Cell, rng: np.random.Generator) -> Motion:
    """Return what a network does without inputs, from small random starts, past its transient."""
    inputs = np.zeros((STEPS_ALONE, SEQUENCES_ALONE, params.sizes[0]))
    start = START * rng.standard_normal((SEQUENCES_ALONE, params.state_size))
    whole = unroll(params, inputs, start)
    with np.errstate(invalid="ignore"):
        within = (np.abs(whole.states) <= MAX_STATE).all(axis=(1, 2))
    n_steps = STEPS_ALONE if within.all() else max(1, int(np.argmin(within)) - 1)
    half = n_steps // 2
    later = unroll(params, inputs[half:n_steps], whole.states[half])
    found = motion_of(later, lyapunov_exponents(cell_chain(params, later), count=1))
    if n_steps == STEPS_ALONE:
        return found
    return Motion(MotionCode.DIVERGES, found.exponent, found.standard_error)


def _growth(states: FloatArray) -> float:
    """Return the growth of the largest entry, second to last quarter, nats per step, median."""
    quarter = states.shape[0] // 4
    with np.errstate(divide="ignore", invalid="ignore"):
        early, late = (
            np.log(np.abs(part).max(axis=(0, 2), initial=0.0))
            for part in (states[quarter : 2 * quarter + 1], states[3 * quarter :])
        )
        growth: FloatArray = np.nan_to_num((late - early) / max(2 * quarter, 1), posinf=0.0)
    return float(np.median(growth))


def _period(states: FloatArray, tolerance: float) -> int | None:
    """Return the least period, in steps, of all sequences in the second half, to ``MAX_PERIOD``."""
    later = states[states.shape[0] // 2 :]
    allowed = tolerance * float(np.abs(states).max())
    for period in range(1, min(MAX_PERIOD, (later.shape[0] - 1) // 2) + 1):
        if np.abs(later[period:] - later[:-period]).max() <= allowed:
            return period
    return None
