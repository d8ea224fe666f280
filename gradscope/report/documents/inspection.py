"""What a file of weights holds, as a document and as rows."""

from gradscope.analysis.inspect import InspectedLayer, Inspection, WeightSpectrum
from gradscope.arrays import plain
from gradscope.report.documents.details import pairs
from gradscope.report.documents.rows import Rows
from gradscope.report.formats import Document, head, named
from gradscope.report.terminal.inspection import analyze_command

COLUMNS = (
    *("layer", "kind", "direction", "input_size", "hidden_size", "parameters", "gate"),
    *("sigma_max", "spectral_radius", "eigenvalues_outside", "departure_from_normality"),
)


def inspection_document(inspection: Inspection) -> Document:
    """Return the inspection, version 1."""
    found = inspection.found
    return {
        **head("inspection", {}),
        "file": str(found.file.path),
        "format": str(found.file.format),
        "map": list(inspection.mapping),
        "layers": [_layer(each) for each in inspection.layers],
        "readouts": [
            {"name": r.name, "shape": [*r.output_weights.shape], "bias": r.output_bias is not None}
            for r in found.readouts
        ],
        "candidates": {"W": [*found.candidates.recurrent], "U": [*found.candidates.input]},
        "arrays": [
            {"name": name, "shape": list(array.shape), "stored_as": found.file.stored_as[name]}
            for name, array in found.file.arrays.items()
        ],
        "skipped": dict(found.file.skipped),
        "command": analyze_command(inspection),
    }


def _layer(inspected: InspectedLayer) -> Document:
    layer = inspected.layer
    sizes = ("input_size", "hidden_size", "sequences_first")
    said = ("activation", "gate_activation", "reset_after", "leak", "dt", "tau", "state", "unknown")
    return {
        **named(layer, "name", "kind", "layer", "direction", *sizes, *said),
        "parameters": layer.n_parameters,
        "bias": {of: getattr(layer, f"{of}_bias") is not None for of in ("input", "recurrent")},
        "inferred": layer.names_as or None,
        "initial_state": layer.initial_state is not None,
        "log_bound_nats_per_step": plain(inspected.log_bound),
        "gates": {gate: _spectrum(each) for gate, each in inspected.spectra.items()},
    }


def _spectrum(spectrum: WeightSpectrum) -> Document:
    return {
        **named(spectrum, "sigma_max", "spectral_radius", departure_from_normality="departure"),
        "sigma_min": float(spectrum.singular_values[-1]),
        "eigenvalues_outside": int(spectrum.outside.sum()),
        "eigenvalues": pairs(spectrum.eigenvalues).tolist(),
    }


def inspection_rows(inspection: Inspection) -> Rows:
    """Return one row per layer and gate."""
    return COLUMNS, [
        [{**layer, **spectrum, "layer": each.layer.title, "gate": gate}[name] for name in COLUMNS]
        for each in inspection.layers
        for layer in [_layer(each)]
        for gate, spectrum in layer["gates"].items()
    ]
