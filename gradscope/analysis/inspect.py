"""What a weight file holds: which layers are recurrent, and what their W says by itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gradscope.diagnosis.theory import log_bound_per_step
from gradscope.diagnosis.weight_spectrum import WeightSpectrum, weight_spectrum
from gradscope.model.activations import ACTIVATIONS
from gradscope.names import CellName
from gradscope.weights.layers.manual_names import parse_mapping
from gradscope.weights.layers.recurrent_layer import FoundNetwork, RecurrentLayer
from gradscope.weights.load import look_into


@dataclass(frozen=True, eq=False, slots=True)
class InspectedLayer:
    """One recurrent layer: the spectrum of each gate's block of W, by gate.

    ``log_bound`` is the most that one step can add to log σ_max of a product of Jacobians, in nats;
    None for gated layers, and where the file does not say the activation or the leak.
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
    """Read a weight file and describe its recurrent layers.

    Parameters
    ----------
    path : Path
        Any file that ``load_weights`` reads.
    mapping : tuple of str
        ``W=NAME``, ``U=NAME`` … for a hand-written cell; see ``weights.layers.manual_names``.

    Returns
    -------
    Inspection
        Without layers where the file holds none that is known.

    Raises
    ------
    WeightsError
        If the file cannot be read, is not safe to read, or holds layers that are not supported.
    """
    found = look_into(path, parse_mapping(mapping) if mapping else None)
    return Inspection(found, tuple(map(_inspected, found.layers)), mapping)


def _inspected(layer: RecurrentLayer) -> InspectedLayer:
    spectra = {gate: weight_spectrum(layer.gate(gate)) for gate in layer.gates}
    known = {str(name): activation.slope_ceiling for name, activation in ACTIVATIONS.items()}
    log_bound, ceiling = None, known.get(str(layer.activation))
    if layer.cell is CellName.ELMAN and layer.leak is not None and ceiling is not None:
        log_bound = log_bound_per_step(layer.recurrent_weights, ceiling, layer.leak)
    return InspectedLayer(layer, spectra, log_bound)
