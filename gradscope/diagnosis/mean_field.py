"""The mean field of a wide random network: how large its pre-activations are, how gradient grows.

With entries of W of variance σ_w²/H, independent of the state, the recurrent part of a_t is
Gaussian of variance q, on top of the drive c = U x_t + b as the data have it:

    q = σ_w² ⟨φ(c + √q z)²⟩,        χ = σ_w² ⟨φ′(c + √q z)²⟩,        z ~ N(0,1).

A random vector's squared length grows χ-fold per step: growth rate ½ log χ, depth scale
ξ = 1/|log χ|, the steps over which the squared gradient changes e-fold. Source: Poole et al.
(2016), arXiv:1606.05340 (the length map and χ_1); Schoenholz et al. (2017), arXiv:1611.01232 (the
depth scale of the gradient); their σ_b² is the drive here. The integrals over z are sums at equal
distances, which converge geometrically for analytic integrands and, unlike Gauss–Hermite nodes, go
on doing so when √q is large and the poles of φ come near the axis (Trefethen & Weideman 2014, SIAM
Review 56).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gradscope.arrays import FloatArray, quantiles
from gradscope.model.activations import Activation
from gradscope.model.cells import Cell, log_of
from gradscope.model.elman import require_vanilla

REACH, N_NODES = 9.0, 1201
"""z from −9 to 9, beyond which lies 2e-19 of the mass; the distance 0.015 resolves √q up to 40."""

N_LEVELS = 64
"""Equally likely levels of the drive that stand for its whole distribution."""

HALVINGS = 100
"""Of the interval that holds q; its end is 1e-30 of its start."""

NODES: FloatArray = np.linspace(-REACH, REACH, N_NODES)
DENSITY: FloatArray = np.exp(-0.5 * NODES**2) / np.exp(-0.5 * NODES**2).sum()


@dataclass(frozen=True, eq=False, slots=True)
class MeanField:
    """What the theory of wide random networks says of one.

    ``gain`` is σ_w = √(H · mean W_ij²); ``recurrent_variance`` is q; ``chi`` is χ.
    """

    gain: float
    recurrent_variance: float
    chi: float

    @property
    def growth_rate(self) -> float:
        """½ log χ, nats per step; −inf for weights of zero."""
        return 0.5 * log_of(self.chi)

    @property
    def depth_scale(self) -> float:
        """ξ = 1/|log χ|, steps; +inf at the critical χ = 1, 0 for weights of zero."""
        rate = abs(2.0 * self.growth_rate)
        return 1.0 / rate if rate > 0.0 else np.inf


def mean_field(params: Cell, inputs: FloatArray) -> MeanField:
    """Return the mean field of a network under the drive of its inputs.

    Parameters
    ----------
    params : ElmanParameters
        The network (SettingError for another cell); its φ must be bounded by 1, as tanh and the
        sigmoid are.
    inputs : (T,B,D) array
        x_t at ``[t-1]``.
    """
    params = require_vanilla(params)
    drive = inputs.reshape(-1, inputs.shape[2]) @ params.input_weights.T + params.hidden_bias
    levels = quantiles(drive.ravel(), (np.arange(N_LEVELS) + 0.5) / N_LEVELS)
    n_hidden = params.sizes[1]
    gain = float(np.sqrt(n_hidden * np.mean(np.square(params.recurrent_weights))))
    return stationary_field(params.activation, gain, levels)


def stationary_field(activation: Activation, gain: float, drive: FloatArray) -> MeanField:
    """Return the mean field at the largest q that solves its equation: the stable one for tanh and
    the sigmoid.

    φ is bounded by 1; ``gain`` is σ_w; ``drive`` (n,) holds equally likely values of U x + b.
    """

    def mean_square(function: Callable[[FloatArray], FloatArray], variance: float) -> float:
        """Average over z ~ N(0,1), by its density, and over the drive."""
        at = drive[:, None] + np.sqrt(variance) * NODES
        return float(np.mean(np.square(function(at)) @ DENSITY))

    low, high = 0.0, gain**2
    for _ in range(HALVINGS):
        q = 0.5 * (low + high)
        reached = gain**2 * mean_square(activation.value, q)
        low, high = (q, high) if reached > q else (low, q)
    return MeanField(gain, high, gain**2 * mean_square(activation.slope, high))
