"""What a weight file holds: which layers are recurrent, and what their W says by itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gradscope.diagnosis.theory import log_bound_per_step
from gradscope.diagnosis.weight_spectrum import WeightSpectrum, weight_spectrum
from gradscope.model.activations import ACTIVATIONS
from gradscope.names import CellName
from gradscope.weights.layers.manual_names import parse_mapping
from gradscope.weights.layers.recurrent_layer import FoundNetwork, RecurrentLayer
from gradscope.weights.load import look_into


@dataclass(frozen=True, eq=False, slots=True)
class InspectedLayer:
    """One recurrent layer: the spectrum of each gate's block of W, by gate; ``log_bound`` (nats) is
    the most that one step can add to log σ_max, None for gated layers or an unknown activation or
    leak.
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
    """Read a weight file and describe its recurrent layers, if it holds any that is known;
    ``mapping`` is ``W=NAME``, ``U=NAME`` … for a hand-written cell
    (``weights.layers.manual_names``).

    Raises WeightsError if the file cannot be read, is not safe to read, or is not supported.
    """
    found = look_into(path, parse_mapping(mapping) if mapping else None)
    return Inspection(found, tuple(map(_inspected, found.layers)), mapping)


def _inspected(layer: RecurrentLayer) -> InspectedLayer:
    spectra = {gate: weight_spectrum(layer.gate(gate)) for gate in layer.gates}
    known = {str(name): activation.slope_ceiling for name, activation in ACTIVATIONS.items()}
    log_bound, ceiling = None, known.get(str(layer.activation))
    if layer.cell is CellName.ELMAN and layer.leak is not None and ceiling is not None:
        log_bound = log_bound_per_step(layer.recurrent_weights, ceiling, np.array(layer.leak))
    return InspectedLayer(layer, spectra, log_bound)
