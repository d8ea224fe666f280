"""What theory says before anything is measured: bounds and predictions of the growth rate.

The bound: σ_max(P_ℓ) ≤ (γ σ_max(W))^ℓ. So σ_max(W) < 1/γ is sufficient for vanishing, while
σ_max(W) > 1/γ is only necessary for exploding (Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063,
section 2.1). Beside it stand the spectral radius, the mean field (``mean_field``) and Newman's
exponents of fresh Gaussian factors (Newman 1986, Comm. Math. Phys. 103:121–126),

    λ_i = ½ [log 2 s² + ψ((n − i + 1)/2)],        entries N(0, s²), ψ the digamma function.

Each prediction carries its source and, as a code with numbers, what speaks against it here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.diagnosis.mean_field import MeanField, mean_field, wide_exponents
from gradscope.errors import SettingError
from gradscope.jacobians.lyapunov import LyapunovSpectrum
from gradscope.model.cells import Cell, log_of, project_inputs, spectral_norm
from gradscope.model.elman import ElmanParameters, one_leak, require_vanilla
from gradscope.model.trajectory import Trajectory
from gradscope.names import ActivationName
from gradscope.notebook_repr import CompactRepr

EULER_GAMMA = 0.5772156649015329
"""−ψ(1)."""

ROUNDING = 1e-6
"""An orthogonal W kept in float32 has eigenvalues this far from the unit circle, to either side."""

MIN_UNITS = 50
"""Width from which on a mean field is believed: fluctuations are of order 1/√H (convention)."""

MAX_OUTLIER = 1.2
"""σ_max(W) over its random value 2σ_w (Geman 1980, Annals of Probability 8) from which on W has
structure; at 50 units chance makes 1.05 of it."""

MAX_KURTOSIS = 3.0
"""Excess kurtosis of the entries of W from which on few of them carry it: Laplace's."""

MAX_CORRELATION = 0.5
"""Between the bias and the row sums of W, from which on the bias is no independent drive."""

MAX_VARIANCE_RATIO = 1.5
"""Between measured and predicted mean square of the pre-activations (convention)."""

MAX_MISMATCH = 0.25
"""Of moments of W from those of independent entries; 1/H by chance."""

MAX_DRIVE_KURTOSIS = 1.0
"""Excess kurtosis of the drive up to which it counts as Gaussian; few common inputs give more."""

MIN_SQUARE = 1e-2
"""Of pre-activations; below it every slope is γ within 1 %, whatever the mean square is."""

MIN_LINEAR_SLOPE = 0.99
"""Least slope, in parts of γ, at which a network counts as linear (convention)."""

MAX_ENTRIES, MIN_ROWS = 2**20, 4
"""Slopes times ranks at a time, and steps at the least, of which exponents are predicted."""


class TheoryName(StrEnum):
    """Which theory."""

    BOUND = "bound"
    SPECTRAL_RADIUS = "spectral-radius"
    MEAN_FIELD = "mean-field"
    NEWMAN = "newman"


class ObjectionCode(StrEnum):
    """Why a theory does not apply to a network."""

    SLOPES_VARY = "slopes-vary"
    ACTIVATION = "activation-not-covered"
    NARROW = "too-few-units"
    OUTLIER = "weights-have-outliers"
    FEW_ENTRIES = "few-entries-carry-the-weights"
    BIAS_FOLLOWS_WEIGHTS = "bias-follows-weights"
    VARIANCE_DIFFERS = "measured-variance-differs"
    SYMMETRIC = "weights-symmetric"
    NOT_GAUSSIAN = "singular-values-not-those-of-independent-entries"
    COMMON_DRIVE = "drive-is-common-to-all-units"
    WEIGHTS_REUSED = "weights-are-reused"


@dataclass(frozen=True, eq=False, slots=True)
class Objection:
    """Why a theory does not apply, and the numbers that say so."""

    code: ObjectionCode
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Prediction(CompactRepr):
    """One theory's growth rate, nats per step: an upper bound of it for ``TheoryName.BOUND``.

    ``rate`` is None where the theory gives none; ``depth_scale``, steps, is given by the mean field
    alone, and so are the ``correlation`` that two trajectories under the same inputs come to and
    the ``correlation_depth``, steps, over which they do. ``source`` is a citation.
    """

    name: TheoryName
    rate: float | None
    source: str
    objection: Objection | None = None
    depth_scale: float | None = None
    correlation: float | None = field(default=None, repr=False)
    correlation_depth: float | None = field(default=None, repr=False)

    @property
    def applies(self) -> bool:
        """Whether nothing speaks against it."""
        return self.objection is None


def log_spectral_norm(weights: FloatArray) -> float:
    """Return log σ_max(W) in nats, −inf for a matrix of zeros."""
    return log_of(spectral_norm(weights))


def log_spectral_radius(weights: FloatArray) -> float:
    """Return log max |eigenvalue of W| in nats, −inf where all are zero."""
    return log_of(float(np.abs(np.linalg.eigvals(weights)).max()))


def newman_exponents(size: int, scale: float, count: int | None = None) -> FloatArray:
    """Return the Lyapunov exponents (count,), nats per step, of products of fresh Gaussian matrices
    (n,n), n the ``size``, entries of standard deviation s, the ``scale``; the largest first, all n
    by default. SettingError if the scale is not positive and finite, or the count not in 1 … n.
    """
    if not 0.0 < scale < np.inf:
        raise SettingError(f"the scale of the entries is {scale}; choose a finite number above 0")
    kept = size if count is None else count
    if not 1 <= kept <= size:
        raise SettingError(f"the count of exponents is {count}; choose 1 to {size}")
    # ψ((n − i + 1)/2) for i = 1 … from ψ(1) = −γ or ψ(½) = −γ − 2 log 2 by ψ(x + 1) = ψ(x) + 1/x.
    digammas = np.empty(kept)
    for i in range(kept):
        first = 1 if (size - i) % 2 else 2
        start = -EULER_GAMMA - (2.0 * np.log(2.0) if first == 1 else 0.0)
        digammas[i] = start + np.sum(2.0 / np.arange(first, size - i, 2))
    return np.asarray(0.5 * (np.log(2.0 * scale**2) + digammas))


def predictions(params: Cell, trajectory: Trajectory) -> tuple[Prediction, ...]:
    """Return what each theory says: bound, spectral radius, mean field, Newman's first exponent.

    The inputs of the trajectory drive the mean field; slopes and pre-activations decide what
    applies. SettingError for another cell than the vanilla RNN, or units of different leaks.
    """
    params = require_vanilla(params)
    leak = one_leak(params)
    weights, ceiling = params.recurrent_weights, params.activation.slope_ceiling
    smallest = float(trajectory.slopes.min()) / ceiling
    curved = None
    if smallest < MIN_LINEAR_SLOPE:
        curved = Objection(ObjectionCode.SLOPES_VARY, {"smallest_slope": smallest * ceiling})
    # λ_1 of fresh Gaussian factors as large as W times the root mean square slope.
    slope = float(np.sqrt(np.mean(np.square(trajectory.slopes))))
    scale = slope * float(np.sqrt(np.mean(np.square(weights))))
    rate = float(newman_exponents(params.sizes[1], scale, 1)[0]) if scale > 0.0 else -np.inf
    newman = Prediction(
        TheoryName.NEWMAN,
        rate,
        "Newman (1986), Communications in Mathematical Physics 103:121–126",
        Objection(ObjectionCode.WEIGHTS_REUSED),
    )
    return (
        Prediction(
            TheoryName.BOUND,
            params.log_bound(ceiling),
            "Pascanu, Mikolov & Bengio (2013), arXiv:1211.5063",
        ),
        Prediction(
            TheoryName.SPECTRAL_RADIUS,
            log_spectral_radius((1.0 - leak) * np.eye(len(weights)) + leak * ceiling * weights),
            "Gelfand (1941); Jaeger (2001), GMD Report 148",
            curved,
        ),
        _mean_field_prediction(params, trajectory, varies=curved is not None),
        *((newman,) if leak == 1.0 else ()),
    )


def _mean_field_prediction(
    params: ElmanParameters, trajectory: Trajectory, *, varies: bool
) -> Prediction:
    source = "Poole et al. (2016), arXiv:1606.05340; Schoenholz et al. (2017), arXiv:1611.01232"
    if params.activation.name not in (ActivationName.TANH, ActivationName.SIGMOID):
        objection = Objection(ObjectionCode.ACTIVATION)
        return Prediction(TheoryName.MEAN_FIELD, None, source, objection)
    found = mean_field(params, trajectory.inputs)
    against = objection_to_randomness(params, found.gain) or _objection_to_drive(
        params, trajectory, found
    )
    # Where slopes do not vary one W acts again and again: log ρ(W), which has another 1/H.
    gaussian = found.gain and not objection_to_moments(params.recurrent_weights, found.gain)
    corrected = varies and gaussian and found.correlation is not None
    rate = found.rate_of_width(params.sizes[1]) if corrected else found.growth_rate
    scales = found.depth_scale, found.correlation, found.correlation_depth
    return Prediction(TheoryName.MEAN_FIELD, rate, source, against, *scales)


def objection_to_randomness(params: ElmanParameters, gain: float) -> Objection | None:
    """Say why W and b are not those of a wide network with independent random weights."""
    weights, bias = params.recurrent_weights, params.hidden_bias
    if bias.size < MIN_UNITS:
        return Objection(ObjectionCode.NARROW, {"units": bias.size, "fewest": MIN_UNITS})
    if gain == 0.0:
        return None
    unit, sums = weights / gain, weights.sum(axis=1)
    related = bias.std() > 0.0 and sums.std() > 0.0
    correlation = float(np.corrcoef(bias, sums)[0, 1]) if related else 0.0
    fourth, symmetry = np.mean(unit**4) * bias.size**2, (unit * unit.T).sum() / bias.size
    checks = (
        (ObjectionCode.OUTLIER, "spectral_norm_ratio", spectral_norm(unit) / 2.0, MAX_OUTLIER),
        (ObjectionCode.FEW_ENTRIES, "excess_kurtosis", fourth - 3.0, MAX_KURTOSIS),
        (ObjectionCode.BIAS_FOLLOWS_WEIGHTS, "correlation", correlation, MAX_CORRELATION),
        (ObjectionCode.SYMMETRIC, "symmetry", symmetry, MAX_MISMATCH),
    )
    return next(
        (Objection(code, {name: float(x)}) for code, name, x, most in checks if abs(x) > most), None
    )


def objection_to_moments(weights: FloatArray, gain: float) -> Objection | None:
    """Say where W, random as it may be, has not the singular values of independent entries."""
    # tr (WWᵀ)²/H is 2 σ_w⁴ of independent entries, σ_w⁴ of an orthogonal matrix.
    unit = weights / gain
    spread = float(np.square(unit @ unit.T).sum()) / len(weights)
    if abs(spread - 2.0) <= MAX_MISMATCH:
        return None
    return Objection(ObjectionCode.NOT_GAUSSIAN, {"fourth_moment": spread})


def _objection_to_drive(
    params: ElmanParameters, trajectory: Trajectory, found: MeanField
) -> Objection | None:
    """Say where a_t is not as large as predicted, or the drive of a leaky network not Gaussian."""
    later = trajectory.n_steps // 2
    drive = project_inputs(trajectory.inputs, params.input_weights, params.hidden_bias)
    measured = float(np.mean(np.square(trajectory.cell_trajectory.candidates[later:])))
    variance = float(np.mean(np.square(drive)))
    predicted = found.recurrent_variance + variance
    heavy = float(np.mean((drive / np.sqrt(variance)) ** 4)) - 3.0 if variance else 0.0
    if np.any(params.leak != 1.0) and heavy > MAX_DRIVE_KURTOSIS:
        return Objection(ObjectionCode.COMMON_DRIVE, {"excess_kurtosis": heavy})
    ratio = max(measured, MIN_SQUARE) / max(predicted, MIN_SQUARE)
    if 1.0 / MAX_VARIANCE_RATIO <= ratio <= MAX_VARIANCE_RATIO:
        return None
    return Objection(ObjectionCode.VARIANCE_DIFFERS, {"measured": measured, "predicted": predicted})


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
