"""The page of ``inspect``: layers, what the file does not say, the command that analyses it."""

import shlex
from collections import Counter
from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.text import Text

from gradscope.analysis.inspect import Inspection
from gradscope.analysis.settings import span
from gradscope.data.columns import listed, quoted
from gradscope.names import CellName, StateName
from gradscope.report.screen import Screen
from gradscope.report.terminal.table import bullets, first_rows, opening, typed
from gradscope.report.words.cells import clock_note
from gradscope.report.words.numbers import number
from gradscope.weights.files.contents import TIME_SCALES
from gradscope.weights.layers import manual_names
from gradscope.weights.layers.manual_names import NO_SUGGESTION, Expression, options
from gradscope.weights.layers.recurrent_layer import ASKED, RecurrentLayer, Unknown
from gradscope.weights.readers import READERS

MAX_LISTED, MAX_ROWS = 8, 100

KIND_WORDS = {CellName.ELMAN: "vanilla RNN", CellName.GRU: "GRU", CellName.LSTM: "LSTM"}

TITLES = ("layer", "kind", "in", "hidden", "gate", "σ_max", "|λ|_max", "|λ|>1", "non-normal")


def headline(inspection: Inspection) -> str:
    """Return in one sentence what recurrent layers the file holds."""
    counts = Counter(each.layer.cell for each in inspection.layers)
    several = [f"{n} {KIND_WORDS[kind]}" for kind, n in counts.items()]
    if not several:
        return "No recurrent layer under a known name"
    if len(several) > 1:
        return f"{counts.total()} recurrent layers: {', '.join(several)}"
    return f"{several[0]} {'layer' if counts.total() == 1 else 'layers'}"


def describe(inspection: Inspection) -> str:
    """Return in one line what file it is."""
    file = inspection.found.file
    count = sum(array.size for array in file.arrays.values())
    types = ", ".join(sorted(set(file.stored_as.values()))) or "no numbers"
    held = f"{len(file.arrays)} arrays, {count:,} numbers ({types})"
    words = {each.format: each.words for each in READERS}[file.format]
    return f"{file.path} is {words}: {held}"


def analyze_command(inspection: Inspection) -> str | None:
    """Return the command that analyses the file, None where it holds no layer that can be."""
    layers = [each.layer for each in inspection.layers]
    refused = {each.stack for each in layers if each.foreign}
    if not (runs := [each for each in layers if each.stack not in refused]):
        return None
    parts = ["gradscope analyze", shlex.quote(str(inspection.found.file.path))]
    parts += [options(inspection.mapping)] if inspection.mapping else []
    if len({layer.name for layer in layers}) > 1:
        parts.append(f"--layer {shlex.quote(runs[0].name)}")
    asked = _unknown(each for each in runs if each.stack == runs[0].stack)
    return " ".join([*parts, "--data FILE", *(ASKED[each][1] for each in asked)])


def inspection_page(inspection: Inspection, screen: Screen) -> RenderableType:
    """Return the page of ``inspect``."""
    parts = opening(headline(inspection), describe(inspection), screen)
    if not inspection.layers:
        return Group(*parts, *_without_layers(inspection, screen))
    rows = _rows(inspection)
    parts += first_rows(TITLES, rows[:MAX_ROWS], screen, of=len(rows), all_in="--json")
    asked = [": ".join(ASKED[each]) for each in _unknown(each.layer for each in inspection.layers)]
    for title, points in (("What the file does not say", asked), ("Also", _notes(inspection))):
        parts += [Text(), *bullets(title, points, screen)] if points else []
    if command := analyze_command(inspection):
        parts += [Text(), Text("To analyze it", "bold"), typed(command, screen)]
    return Group(*parts)


def _rows(inspection: Inspection) -> list[list[str]]:
    """Return a row for each gate; the cells of the layer stand in the first one only."""
    rows: list[list[str]] = []
    for each in inspection.layers:
        layer = each.layer
        kind, sizes = layer.kind.upper(), (layer.input_size, layer.hidden_size)
        first = [layer.title, kind, *map(str, sizes)]
        for gate, spectrum in each.spectra.items():
            first.append(gate if len(each.spectra) > 1 else "")
            numbers = number(spectrum.sigma_max), number(spectrum.spectral_radius)
            outside = f"{spectrum.outside.sum()} of {layer.hidden_size}"
            rows.append([*first, *numbers, outside, f"{spectrum.departure:.0%}"])
            first = [""] * 4
    return rows


def _notes(inspection: Inspection) -> list[str]:
    """Return what else is worth knowing: conventions, output layers, what was left out."""
    layers = [each.layer for each in inspection.layers]
    strange = [each for each in layers if each.foreign]
    notes = [f"{each.title} is not analyzed: gradscope has no {each.foreign}." for each in strange]
    notes += dict.fromkeys(f"{each.names_as}." for each in layers if each.names_as)
    notes += [f"{each.title} has {facts}." for each in layers if (facts := _facts(each))]
    rest = len(notes) - MAX_LISTED
    notes[MAX_LISTED:] = [f"… and {rest} more (all in --json)."] * (rest > 0)
    unused = inspection.found.file.first_states if inspection.mapping else []
    if unused and layers[0].initial_state is None:
        notes.append(f"Sequences start from h_0 = 0 (or --weight-map h0={quoted(unused[0])}).")
    if names := [n for layer in layers for n in inspection.found.embeddings(layer.input_size)]:
        notes.append(f"Token ids go through {listed(tuple(dict.fromkeys(names)))}.")
    readouts = inspection.found.readouts[:MAX_LISTED]
    if readouts:
        shapes = [f"{each.name} {each.output_weights.shape}" for each in readouts]
        notes.append(f"Output layers that fit the state: {', '.join(shapes)}.")
    return notes + _left_out(inspection)


def _facts(layer: RecurrentLayer) -> str:
    """Return what a file says of a layer beside its weights, or its names do."""
    known = {"α": None if layer.leak == 1.0 else layer.leak, "dt": layer.dt, "τ": layer.tau}
    facts = [f"{name} = {span(value)}" for name, value in known.items() if value is not None]
    facts += ["a state before φ (--state pre)"] * (layer.state is StateName.PRE)
    facts += ["an h_0 that sequences start from"] * (layer.initial_state is not None)
    facts += ["data as (B,T,D) (else --no-batch-first)"] * layer.sequences_first
    return ", ".join(facts) + clock_note(layer.dt, layer.tau)


def _left_out(inspection: Inspection) -> list[str]:
    parts = [f"{name} ({holds})" for name, holds in inspection.found.file.skipped.items()]
    parts[MAX_LISTED:] = ["…"] * (len(parts) > MAX_LISTED)
    return [f"Left out: {', '.join(parts)}."] if parts else []


def _without_layers(inspection: Inspection, screen: Screen) -> list[RenderableType]:
    """Return the arrays that are there and how to name those of a hand-written cell."""
    file = inspection.found.file
    rows = [
        (name, " × ".join(map(str, array.shape)) or "–", file.stored_as[name])
        for name, array in file.arrays.items()
    ]
    titles, shown = ("array", "shape", "stored as"), rows[: 3 * MAX_LISTED]
    table = first_rows(titles, shown, screen, of=len(rows), all_in="--json")
    table += [Text(screen.say(each)) for each in _left_out(inspection)]
    pairs, title = manual_names.suggested(file), "If it is h ← φ(W h + U x + b), name its weights"
    if not pairs:
        return [*table, Text(), *bullets(title, [f"{NO_SUGGESTION}."], screen)]
    command = f"gradscope inspect {shlex.quote(str(file.path))} {options(pairs)}"
    texts = manual_names.parse_mapping(pairs).values()
    used = {name for text in texts for name in Expression(text, file.arrays).names}
    used |= {name for name in file.arrays if name.rpartition(".")[2].lower() in TIME_SCALES}
    unused = tuple(name for name in file.arrays if name not in used)
    said = f"This leaves out {listed(unused) or 'nothing'}; .T is for what multiplies rows, h @ W."
    return [*table, Text(), *bullets(title, [said], screen, [command])]


def _unknown(layers: Iterable[RecurrentLayer]) -> list[Unknown]:
    """Return what the file does not say of layers, each once."""
    missing = {code for each in layers for code in each.unknown}
    return [each for each in Unknown if each in missing]
