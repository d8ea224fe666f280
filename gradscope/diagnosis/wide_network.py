"""The whole Lyapunov spectrum that a wide network with these slopes has, if its W is Gaussian.

The exponent of rank u = i/H is

    λ(u) = ln σ_w + ½ ln(u/a),        ⟨a φ′²/(1 + a φ′²)⟩ = u,

the mean over the units of one step: W and diag(φ′) are free of each other; over the steps logs of
S-transforms add up. Where every φ′ is 1 it is ln σ_w + ½ ln(1 − u) (Newman 1986); at u → 0 it is ½
log χ of the mean field. Source: Tucci (2010), arXiv:0808.3000, for products of free matrices.
"""

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.diagnosis.theory import Objection, objection_to_moments, objection_to_randomness
from gradscope.jacobians.lyapunov import LyapunovSpectrum
from gradscope.model.elman import ElmanParameters
from gradscope.model.trajectory import Trajectory

HALVINGS = 50
"""Of the interval of log a: 760 nats become 1e-12."""

MAX_ENTRIES, MIN_ROWS = 2**20, 4
"""Slopes times ranks at a time, and steps at the least, of which exponents are predicted."""


def expected_exponents(
    params: ElmanParameters, trajectory: Trajectory
) -> tuple[LyapunovSpectrum | None, Objection | None]:
    """Return the Lyapunov exponents that a wide network of Gaussian W has with the slopes of the
    second half, None with a leak; and why W is not as good as Gaussian, if it is not.
    """
    weights, slopes = params.recurrent_weights, trajectory.slopes[trajectory.n_steps // 2 :]
    if np.any(params.leak != 1.0) or not weights.any():
        return None, None
    size = weights.shape[0]
    rows, most = slopes.reshape(-1, size), max(MIN_ROWS, MAX_ENTRIES // size**2)
    scale = 2.0 ** np.frexp(np.abs(weights).max())[1]  # The square of a small weight is zero
    gain = float(scale * np.sqrt(size * np.mean(np.square(weights / scale))))
    exponents = wide_exponents(rows[:: -(-rows.shape[0] // most)], gain, size)[None]
    sure = np.ones(exponents.shape, dtype=np.bool_)
    expected = LyapunovSpectrum(exponents, np.zeros(sure.shape), None, sure, size, rows.shape[0])
    against = objection_to_randomness(params, gain) or objection_to_moments(weights, gain)
    return expected, against


def wide_exponents(slopes: FloatArray, gain: float, count: int) -> FloatArray:
    """Return the Lyapunov exponents (count,), nats per step, of a wide network with these slopes
    (n,H), n steps, and Gaussian W of gain σ_w.

    The i-th is that of rank u = (i − ½)/count; −inf where more units than that have slope 0.
    """
    squares, ranks = np.square(slopes)[:, None, :], (np.arange(count) + 0.5) / count
    low, high = np.full((slopes.shape[0], count), -60.0), np.full((slopes.shape[0], count), 700.0)
    for _ in range(HALVINGS):
        log_a = 0.5 * (low + high)
        sloped = squares * np.exp(log_a)[:, :, None]
        short = (sloped / (1.0 + sloped)).mean(axis=2) < ranks
        low, high = np.where(short, log_a, low), np.where(short, high, log_a)
    # Units of slope 0 kill the last directions: no a is large enough.
    dead = (squares > 0.0).mean(axis=2) <= ranks
    logs = np.where(dead, -np.inf, np.log(gain) + 0.5 * (np.log(ranks) - low))
    return np.asarray(logs.mean(axis=0))
