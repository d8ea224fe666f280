"""What a weight file holds: which layers are recurrent, and what their W says by itself.

σ_max(W) bounds what one step can do to a gradient; the eigenvalues λ say what many steps of the
linear part do; how far they are apart is W's departure from normality, √(‖W‖_F² − Σ|λ|²), zero
where W is normal (Henrici 1962, Numer. Math. 4). A non-normal W can let a gradient grow for a while
although every |λ| < 1 (Trefethen & Embree 2005, chapter 14).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gradscope.arrays import BoolArray, ComplexArray, FloatArray
from gradscope.diagnosis.theory import ROUNDING
from gradscope.model.activations import ACTIVATIONS
from gradscope.model.elman import log_bound_per_step
from gradscope.names import CellName
from gradscope.notebook_repr import CompactRepr
from gradscope.progress import tracked
from gradscope.weights.layers.recurrent_layer import FoundNetwork, RecurrentLayer
from gradscope.weights.load import look_into


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


@dataclass(frozen=True, eq=False, slots=True)
class InspectedLayer:
    """One recurrent layer: the spectrum of each gate's block of W, by gate; ``log_bound`` (nats) is
    the most that one step can add to log σ_max, None for gates or unknown φ or leak.
    """

    layer: RecurrentLayer
    spectra: Mapping[str, WeightSpectrum]
    log_bound: float | None


@dataclass(frozen=True, eq=False, slots=True)
class Inspection:
    """A weight file and its recurrent layers; ``mapping`` is how they were named, where by hand."""

    found: FoundNetwork
    layers: tuple[InspectedLayer, ...]
    mapping: tuple[str, ...]


def inspect(path: Path, mapping: tuple[str, ...] = ()) -> Inspection:
    """Read a weight file and describe the recurrent layers that are known in it; ``mapping`` is
    ``W=NAME`` … of a hand-written cell (``weights.layers.manual_names``).

    Raises WeightsError if the file cannot be read, is not safe to read, or is not supported.
    """
    found, layers = look_into(path, mapping), list[InspectedLayer]()
    known = {str(name): activation.slope_ceiling for name, activation in ACTIVATIONS.items()}
    for layer in tracked(found.layers, "layers"):
        spectra = {gate: weight_spectrum(layer.gate(gate)) for gate in layer.gates}
        log_bound, ceiling = None, known.get(str(layer.activation))
        if layer.cell is CellName.ELMAN and layer.leak is not None and ceiling is not None:
            log_bound = log_bound_per_step(layer.recurrent_weights, ceiling, np.array(layer.leak))
        layers.append(InspectedLayer(layer, spectra, log_bound))
    return Inspection(found, tuple(layers), mapping)


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
