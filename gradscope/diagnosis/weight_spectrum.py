"""What a recurrent weight matrix says before any data runs through it.

σ_max(W) bounds what one step can do to a gradient; the eigenvalues λ say what many steps of the
linear part do; how far they are apart is W's departure from normality, √(‖W‖_F² − Σ|λ|²), zero
where W is normal (Henrici 1962, Numer. Math. 4). A non-normal W can let a gradient grow for a while
although every |λ| < 1 (Trefethen & Embree 2005, chapter 14). Jacobians and their products live in
``jacobians``.
"""

from dataclasses import dataclass

import numpy as np

from gradscope.arrays import BoolArray, FloatArray
from gradscope.notebook_repr import CompactRepr

ComplexArray = np.ndarray[tuple[int, ...], np.dtype[np.complex128]]

ROUNDING = 1e-6
"""An orthogonal W kept in float32 has eigenvalues this far from the unit circle, to either side."""


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class WeightSpectrum(CompactRepr):
    """Singular values and eigenvalues of one square matrix.

    ``singular_values`` (H,) descending; ``eigenvalues`` (H,) by falling modulus;
    ``departure`` the departure from normality as a fraction of ‖W‖_F, between 0 and 1.
    """

    singular_values: FloatArray
    eigenvalues: ComplexArray
    departure: float

    @property
    def sigma_max(self) -> float:
        """Largest singular value."""
        return float(self.singular_values[0])

    @property
    def spectral_radius(self) -> float:
        """Largest modulus of an eigenvalue."""
        return float(np.abs(self.eigenvalues[0]))

    @property
    def outside(self) -> BoolArray:
        """Which eigenvalues (H,) lie outside the unit circle, by more than rounding."""
        return np.abs(self.eigenvalues) > 1.0 + ROUNDING


def weight_spectrum(weights: FloatArray) -> WeightSpectrum:
    """Return singular values and eigenvalues of a finite (H,H) matrix: W, or the block of one gate.

    Cost: one singular value and one eigenvalue decomposition, some 30 H³ operations.
    """
    scale = float(np.max(np.abs(weights))) or 1.0  # So that no square over- or underflows
    scaled = weights / scale
    singular_values: FloatArray = np.linalg.svd(scaled, compute_uv=False).astype(np.float64)
    eigenvalues = np.linalg.eigvals(scaled).astype(np.complex128)
    order = np.argsort(-np.abs(eigenvalues), kind="stable")
    total = float(np.sum(np.square(singular_values)))
    lost = total - float(np.sum(np.square(np.abs(eigenvalues))))
    departure = float(np.sqrt(max(lost, 0.0) / total)) if total else 0.0
    return WeightSpectrum(scale * singular_values, scale * eigenvalues[order], departure)
