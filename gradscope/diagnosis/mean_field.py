"""The mean field of a wide random network: how large its pre-activations are, how gradient grows.

With entries of W of variance σ_w²/H, independent of the state, the recurrent part of a_t is
Gaussian of variance q, on top of the drive c = U x_t + b as the data have it:

    q = σ_w² ⟨φ(c + √q z)²⟩,        χ = σ_w² ⟨φ′(c + √q z)²⟩,        z ~ N(0,1).

A random vector's squared length grows χ-fold per step: growth rate ½ log χ, depth scale
ξ = 1/|log χ|, the steps over which the squared gradient changes e-fold. In H units the mean of
log ‖φ′∘(W v)‖² over W is smaller than the logarithm of the mean: to first order in 1/H the rate is
½ log χ − (3κ − 1)/4H, κ = ⟨φ′⁴⟩/⟨φ′²⟩². Where χ > 1 two trajectories under the same drive come to
the correlation c* < 1 over ξ_c = 1/|log χ_c| steps, χ_c = σ_w² ⟨φ′(a) φ′(a*)⟩; of φ's Hermite
coefficients a_n, ⟨φ(a) φ(a*)⟩ = Σ a_n² ρⁿ at correlation ρ of the recurrent parts.

With a leak α the recurrent field has a memory: its covariance Δ(τ) solves Δ = σ_w² K ⟨φφ_τ⟩, K the
filter of h (dynamic mean field). A perturbation of rate λ obeys, in the lag τ between two times,

    (e^{2λ} + (1−α)²) ψ(τ) = α² σ_w² ⟨φ′φ′_τ⟩ ψ(τ) + (1−α) e^λ (ψ(τ+1) + ψ(τ−1)),

and λ_1 is the largest λ with a ψ that decays. Sources: Poole et al. (2016), arXiv:1606.05340 (the
length map and χ_1); Schoenholz et al. (2017), arXiv:1611.01232 (the depth scales; their σ_b² is the
drive here); Sompolinsky, Crisanti & Sommers (1988), Phys. Rev. Lett. 61 (the dynamic mean field, in
continuous time). The integrals over z are sums at equal distances, which converge geometrically for
analytic integrands and, unlike Gauss–Hermite nodes, go on doing so when √q is large and the poles
of φ come near the axis (Trefethen & Weideman 2014, SIAM Review 56).

The whole Lyapunov spectrum of a wide network of Gaussian W: the exponent of rank u = i/H is

    λ(u) = ln σ_w + ½ ln(u/a),        ⟨a φ′²/(1 + a φ′²)⟩ = u,

the mean over the units of one step: W and diag(φ′) are free of each other; over the steps logs of
S-transforms add up. Where every φ′ is 1 it is ln σ_w + ½ ln(1 − u) (Newman 1986); at u → 0 it is ½
log χ of the mean field. Source: Tucci (2010), arXiv:0808.3000, for products of free matrices.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.model.activations import Activation
from gradscope.model.cells import Cell, log_of
from gradscope.model.elman import has_leak, one_leak, require_vanilla
from gradscope.names import StateName

REACH, N_NODES = 9.0, 1201
"""z from −9 to 9, beyond which lies 2e-19 of the mass; the distance 0.015 resolves √q up to 40."""

N_LEVELS, N_CELLS = 32, 2048
"""Gauss nodes that stand for the distribution of the drive, and cells it is first gathered in."""

N_HERMITE = 100
"""Coefficients of φ; what is left of tanh at √q = 3 is below 1e-7."""

HALVINGS, HALVINGS_OF_LOG = 60, 50
"""Of the interval that holds q, whose end is 1e-18 of its start, and of that of log a: 760 nats
become 1e-12."""

TIME_CONSTANTS, MAX_MEMORY = 20, 400
"""Lags kept of the covariance of a leaky network, in units of 1/α, and the most."""

MAX_ROUNDS = 1000
"""Of the iteration for the covariance, which is slow only at the edge of chaos."""

NODES: FloatArray = np.linspace(-REACH, REACH, N_NODES)
DENSITY: FloatArray = np.exp(-0.5 * NODES**2) / np.exp(-0.5 * NODES**2).sum()


@dataclass(frozen=True, eq=False, slots=True)
class MeanField:
    """What the theory of wide random networks says of one.

    ``gain`` is σ_w = √(H · mean W_ij²), ``recurrent_variance`` q, ``chi`` χ, with a leak e^{2 λ_1};
    ``kurtosis`` is κ; ``correlation`` c*, ``correlation_depth`` ξ_c, 1 and ξ where χ ≤ 1 (a leak:
    None).
    """

    gain: float
    recurrent_variance: float
    chi: float
    kurtosis: float
    correlation: float | None = None
    correlation_depth: float | None = None

    @property
    def growth_rate(self) -> float:
        """½ log χ, nats per step; −inf for weights of zero."""
        return 0.5 * log_of(self.chi)

    @property
    def depth_scale(self) -> float:
        """ξ = 1/|log χ|, steps; +inf at the critical χ = 1, 0 for weights of zero."""
        return _depth(self.chi)

    def rate_of_width(self, n_hidden: int) -> float:
        """½ log χ − (3κ − 1)/4H, nats per step."""
        return self.growth_rate - (3.0 * self.kurtosis - 1.0) / (4.0 * n_hidden)


def _depth(factor: float) -> float:
    rate = abs(log_of(factor))
    return 1.0 / rate if rate > 0.0 else np.inf


def mean_field(params: Cell, inputs: FloatArray) -> MeanField:
    """Return the mean field of a vanilla RNN with one leak (SettingError for another) under the
    drive of its inputs (T,B,D). φ must be bounded by 1, as tanh and the sigmoid are.
    """
    params = require_vanilla(params)
    drive = inputs @ params.input_weights.T + params.hidden_bias
    gain = float(np.sqrt(params.sizes[1] * np.mean(np.square(params.recurrent_weights))))
    if not has_leak(params.leak) and params.state is StateName.POST:
        return stationary_field(params.activation, gain, drive.ravel())
    leak = one_leak(params)
    memory = min(MAX_MEMORY, int(TIME_CONSTANTS / leak), inputs.shape[0] - 1)
    covariance = [
        float(np.mean(drive[lag:] * drive[: inputs.shape[0] - lag])) for lag in range(memory + 1)
    ]
    return leaky_field(params.activation, gain, leak, np.array(covariance), params.state)


def stationary_field(activation: Activation, gain: float, drive: FloatArray) -> MeanField:
    """Return the mean field at the largest q that solves its equation (stable for tanh and σ).

    φ is bounded by 1; ``gain`` is σ_w; ``drive`` (n,) holds equally likely values of U x + b.
    """
    levels, parts = _gauss_nodes(drive)

    def mean(function: Callable[[FloatArray], FloatArray], power: int, variance: float) -> float:
        """Average over z ~ N(0,1), by its density, and over the drive."""
        at = levels[:, None] + np.sqrt(variance) * NODES
        return float(parts @ (function(at) ** power @ DENSITY))

    low, high = 0.0, gain**2
    for _ in range(HALVINGS):
        q = 0.5 * (low + high)
        reached = gain**2 * mean(activation.value, 2, q)
        low, high = (q, high) if reached > q else (low, q)
    slope = mean(activation.slope, 2, high)
    # 1/3: without slopes there is no term of finite width.
    kurtosis = mean(activation.slope, 4, high) / slope**2 if slope**2 > 0.0 else 1.0 / 3.0
    if gain**2 * slope <= 1.0:
        return MeanField(gain, high, gain**2 * slope, kurtosis, 1.0, _depth(gain**2 * slope))
    # The map of the correlation ρ of two recurrent parts: C(ρ) = Σ A_n ρⁿ, convex, C(1) = 1, and
    # C′(1) = χ > 1, so that it crosses ρ once below 1.
    squares = parts @ _coefficients(activation.value(levels[:, None] + np.sqrt(high) * NODES)) ** 2
    powers, squares = np.arange(N_HERMITE), gain**2 * squares / high
    below, above = 0.0, 1.0
    for _ in range(HALVINGS):
        rho = 0.5 * (below + above)
        below, above = (rho, above) if squares @ rho**powers > rho else (below, rho)
    mean_drive = float(parts @ levels**2)
    correlation = (high * below + mean_drive) / (high + mean_drive)
    steepness = float(squares[1:] @ (powers[1:] * below ** powers[:-1]))
    return MeanField(gain, high, gain**2 * slope, kurtosis, correlation, _depth(steepness))


def leaky_field(
    activation: Activation, gain: float, leak: float, drive: FloatArray, state: StateName
) -> MeanField:
    """Return the mean field of a network with a leak, of Gaussian drive of covariance ``drive``
    (M+1,) at lags 0 … M, beyond which two times are taken as unrelated.
    """
    lags, kept = np.arange(drive.size), 1.0 - leak
    # C_h(τ) = α/(2−α) Σ_m (1−α)^|m| C(τ−m); C is even, and beyond M as at M.
    filtered = kept ** np.abs(lags[:, None] - lags) + (lags > 0) * kept ** (lags[:, None] + lags)
    filtered *= leak / (2.0 - leak)
    filtered[:, -1] += 1.0 - filtered.sum(axis=1)
    total = drive + gain**2 * kept**lags
    for _ in range(MAX_ROUNDS):
        before, roots = total, np.sqrt(max(total[0], 1e-300)) * NODES
        recurrent = gain**2 * _covariance(activation.value(roots), before)
        total = drive + filtered @ recurrent
        if state is StateName.PRE:
            total = filtered @ (drive + recurrent)
        if np.abs(total - before).max() <= 1e-10 * total[0] + 1e-20:
            break
    slopes = activation.slope(np.sqrt(max(total[0], 1e-300)) * NODES)
    potential = leak**2 * gain**2 * _covariance(slopes, total)
    # Even ψ: the shift couples τ = 0 to ±1 alike, hence √2 after normalising.
    shift = np.diag(np.where(lags[1:] == 1, np.sqrt(2.0), 1.0), 1)
    shift += shift.T
    # Between the state that fills all lags and the one at τ = 0 alone.
    low, high = (log_of(kept + np.sqrt(max(potential[at], 0.0))) for at in (-1, 0))
    for _ in range(HALVINGS):
        rate = 0.5 * (low + high)
        held = np.linalg.eigvalsh(np.diag(potential) + kept * np.exp(rate) * shift)[-1]
        low, high = (rate, high) if held > np.exp(2.0 * rate) + kept**2 else (low, rate)
    mean_square = float(np.square(slopes) @ DENSITY)
    kurtosis = float(slopes**4 @ DENSITY) / mean_square**2 if mean_square**2 > 0.0 else 1.0 / 3.0
    return MeanField(gain, float(total[0] - drive[0]), float(np.exp(2.0 * low)), kurtosis)


@cache
def _hermite_functions() -> FloatArray:
    """He_n/√n! times the root of ``DENSITY``, (N_HERMITE,N_NODES)."""
    factorials = np.cumprod(np.maximum(np.arange(N_HERMITE), 1.0))
    polynomials = np.polynomial.hermite_e.hermevander(NODES, N_HERMITE - 1)
    weighed = polynomials * np.sqrt(DENSITY[:, None] / factorials)
    return np.asarray(weighed.T, dtype=np.float64)


def _coefficients(values: FloatArray) -> FloatArray:
    """Return the Hermite coefficients (…,N_HERMITE) of a function of z, given at the nodes."""
    return (values * np.sqrt(DENSITY)) @ _hermite_functions().T


def _covariance(values: FloatArray, field: FloatArray) -> FloatArray:
    """Return ⟨f(a_t) f(a_{t+τ})⟩ (M+1,) of Gaussian a with covariance ``field``, f at the nodes."""
    correlation = np.clip(field / max(field[0], 1e-300), -1.0, 1.0)
    squares = np.square(_coefficients(values))
    return np.asarray(np.polynomial.polynomial.polyval(correlation, squares))


def _gauss_nodes(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return nodes and weights of the Gauss quadrature for the distribution of values (n,): exact
    for polynomials, so that mean and variance are those of the values.
    """
    low, width = float(values.min()), float(np.ptp(values))
    if width == 0.0:
        return values[:1], np.ones(1)
    counts, _ = np.histogram(values, N_CELLS)
    sums, _ = np.histogram(values, N_CELLS, weights=values)
    at, parts = sums[counts > 0] / counts[counts > 0], counts[counts > 0] / values.size
    # Orthonormal polynomials by QR; multiplication by the value among them is the Jacobi matrix.
    degree = min(N_LEVELS, at.size) - 1
    powers = np.polynomial.chebyshev.chebvander(2.0 * (at - low) / width - 1.0, degree)
    basis, _ = np.linalg.qr(np.sqrt(parts)[:, None] * powers)
    nodes, vectors = np.linalg.eigh(basis.T @ (at[:, None] * basis))
    return nodes, vectors[0] ** 2


def wide_exponents(slopes: FloatArray, gain: float, count: int) -> FloatArray:
    """Return the Lyapunov exponents (count,), nats per step, of a wide network with these slopes
    (n,H), n steps, and Gaussian W of gain σ_w.

    The i-th is that of rank u = (i − ½)/count; −inf where more units than that have slope 0.
    """
    squares, ranks = np.square(slopes)[:, None, :], (np.arange(count) + 0.5) / count
    low, high = np.full((slopes.shape[0], count), -60.0), np.full((slopes.shape[0], count), 700.0)
    for _ in range(HALVINGS_OF_LOG):
        log_a = 0.5 * (low + high)
        sloped = squares * np.exp(log_a)[:, :, None]
        short = (sloped / (1.0 + sloped)).mean(axis=2) < ranks
        low, high = np.where(short, log_a, low), np.where(short, high, log_a)
    # Units of slope 0 kill the last directions: no a is large enough.
    dead = (squares > 0.0).mean(axis=2) <= ranks
    logs = np.where(dead, -np.inf, np.log(gain) + 0.5 * (np.log(ranks) - low))
    return np.asarray(logs.mean(axis=0))
