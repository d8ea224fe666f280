"""What ``inspect`` found, as a page, a document and rows: the layers, what the file leaves open,
and the command that analyses it.
"""

import shlex
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

from rich.console import Group, RenderableType
from rich.text import Text

from gradscope.analysis.inspect import InspectedLayer, Inspection
from gradscope.diagnosis.weight_spectrum import ROUNDING
from gradscope.names import CellName, StateName
from gradscope.report.screen import Screen
from gradscope.report.terminal.table import add_row, bullets, columns_of
from gradscope.report.words.numbers import level, number
from gradscope.weights.files.contents import FileFormat
from gradscope.weights.layers.manual_names import suggested_options
from gradscope.weights.layers.recurrent_layer import RecurrentLayer, Unknown, kind_word

MAX_LISTED = 8

FORMAT_WORDS: Mapping[FileFormat, str] = MappingProxyType(
    {
        FileFormat.NPZ: "a NumPy archive",
        FileFormat.PYTORCH: "a PyTorch checkpoint",
        FileFormat.SAFETENSORS: "a safetensors file",
        FileFormat.KERAS: "a Keras model",
        FileFormat.MATLAB: "a MATLAB file",
    }
)

KIND_WORDS: Mapping[CellName, str] = MappingProxyType(
    {CellName.ELMAN: "vanilla RNN", CellName.GRU: "GRU", CellName.LSTM: "LSTM"}
)

ASKED: Mapping[Unknown, tuple[str, str]] = MappingProxyType(
    {
        Unknown.ACTIVATION: ("the activation φ", "--activation NAME"),
        Unknown.GATE_ACTIVATION: ("the gates' function", "--gate-activation NAME"),
        Unknown.LEAK: ("the leak α (1 where there is none)", "--leak ALPHA"),
        Unknown.RESET_AFTER: (
            "whether the reset gate acts after W (PyTorch, Keras) or before it (Cho et al.)",
            "--reset-after / --no-reset-after",
        ),
    }
)
"""What each unknown is, and the option that answers it."""

TITLES = ("layer", "kind", "in", "hidden", "gate", "σ_max", "|λ|_max", "|λ|>1", "non-normal")

COLUMNS = (
    "layer",
    "kind",
    "direction",
    "input_size",
    "hidden_size",
    "parameters",
    "gate",
    "sigma_max",
    "spectral_radius",
    "eigenvalues_outside",
    "departure_from_normality",
)


def headline(inspection: Inspection) -> str:
    """Return in one sentence what recurrent layers the file holds."""
    layers = [each.layer for each in inspection.layers]
    if not layers:
        return "No recurrent layer under a name that is known"
    counts = Counter(layer.kind for layer in layers)
    noun = "layer" if len(layers) == 1 else "layers"
    if len(counts) == 1:
        return f"{len(layers)} {KIND_WORDS[layers[0].kind]} {noun}"
    several = ", ".join(f"{n} {KIND_WORDS[kind]}" for kind, n in counts.items())
    return f"{len(layers)} recurrent {noun}: {several}"


def describe(inspection: Inspection) -> str:
    """Return in one line what file it is."""
    file = inspection.found.file
    count = sum(array.size for array in file.arrays.values())
    types = ", ".join(sorted(set(file.stored_as.values()))) or "no numbers"
    return (
        f"{file.path} is {FORMAT_WORDS[file.format]}: {len(file.arrays)} arrays, {count:,} numbers "
        f"({types})"
    )


def analyze_command(inspection: Inspection) -> str | None:
    """Return the command that analyses the file, blanks left where only the user knows; None where
    there is nothing to analyse.
    """
    layers = [each.layer for each in inspection.layers]
    if not layers:
        return None
    parts = ["gradscope analyze", shlex.quote(str(inspection.found.file.path))]
    parts += [f"--map {shlex.quote(pair)}" for pair in inspection.mapping]
    if len({layer.name for layer in layers}) > 1:
        parts.append(f"--layer {shlex.quote(layers[0].name)}")
    return " ".join([*parts, "--data FILE", *(ASKED[each][1] for each in _unknown(layers))])


def inspection_page(inspection: Inspection, screen: Screen) -> RenderableType:
    """Return the page of ``inspect``."""
    opening = [
        Text(screen.say(f"{headline(inspection)}."), style="bold"),
        Text(screen.say(describe(inspection)), style="dim"),
        Text(),
    ]
    if not inspection.layers:
        return Group(*opening, *_without_layers(inspection, screen))
    table = columns_of(TITLES, screen, gap=2)
    for each in inspection.layers:
        for cells in _cells(each):
            add_row(table, cells, screen)
    command = analyze_command(inspection) or ""
    notes = _notes(inspection)
    found = [Text(), *bullets("Also", notes, screen)] if notes else []
    asked = [f"{ASKED[each][0]}: {ASKED[each][1]}" for each in _unknown_of(inspection)]
    asking = [Text(), *bullets("What the file does not say", asked, screen)] if asked else []
    return Group(
        *opening, table, *asking, *found, Text(), *_typed("To analyse it", command, screen)
    )


def _cells(inspected: InspectedLayer) -> list[list[str]]:
    """Return a row for each gate; what belongs to the layer stands in the first."""
    layer = inspected.layer
    rows: list[list[str]] = []
    for gate, spectrum in inspected.spectra.items():
        first = [
            layer.title,
            kind_word(layer.kind).upper(),
            str(layer.input_size),
            str(layer.hidden_size),
        ]
        rows.append(
            [
                *(first if not rows else [""] * len(first)),
                gate if len(inspected.spectra) > 1 else "",
                number(spectrum.sigma_max),
                number(spectrum.spectral_radius),
                f"{spectrum.outside.sum()} of {layer.hidden_size}",
                f"{spectrum.departure:.0%}",
            ]
        )
    return rows


def _notes(inspection: Inspection) -> list[str]:
    """Return what else is worth knowing: bounds, conventions, output layers, what was left out."""
    notes = [_bound_sentence(each) for each in inspection.layers if each.log_bound is not None]
    layers = [each.layer for each in inspection.layers]
    if any(layer.state is StateName.PRE for layer in layers):
        notes.append("The state is the pre-activation: W multiplies φ(h) (--state pre).")
    if any(layer.initial_state is not None for layer in layers):
        notes.append("It has the state h_0 that every sequence starts from.")
    readouts = inspection.found.readouts[:MAX_LISTED]
    if readouts:
        shapes = [f"{each.name} {each.output_weights.shape}" for each in readouts]
        notes.append(f"Output layers that fit the state: {', '.join(shapes)}.")
    skipped = list(inspection.found.file.skipped.items())
    if skipped:
        some = ", ".join(f"{name} ({holds})" for name, holds in skipped[:MAX_LISTED])
        notes.append(f"Left out: {some}{', …' if len(skipped) > MAX_LISTED else ''}.")
    return notes


def _bound_sentence(inspected: InspectedLayer) -> str:
    bound = inspected.log_bound or 0.0
    effect = "so it cannot explode"
    if abs(bound) > ROUNDING:
        forced = "which forces vanishing"
        effect = forced if bound < 0 else "so exploding is possible, not certain"
    return (
        f"{inspected.layer.title} ({inspected.layer.activation}): a step changes a gradient by at "
        f"most {level(bound if abs(bound) > ROUNDING else 0.0)} nats, {effect}."
    )


def _without_layers(inspection: Inspection, screen: Screen) -> list[RenderableType]:
    """Return the arrays that are there and how to name those of a hand-written cell."""
    file = inspection.found.file
    table = columns_of(("array", "shape", "stored as"), screen, gap=2)
    for name, array in list(file.arrays.items())[: 3 * MAX_LISTED]:
        shape = " × ".join(map(str, array.shape)) or "–"
        add_row(table, (name, shape, file.stored_as[name]), screen)
    hidden = len(file.arrays) - 3 * MAX_LISTED
    more = [Text(screen.say(f"… and {hidden} more"))] if hidden > 0 else []
    command = f"gradscope inspect {shlex.quote(str(file.path))} "
    command += suggested_options(inspection.found.candidates)
    advice = _typed("If it is a hand-written cell, name its weights", command, screen)
    return [table, *more, Text(), *advice]


def _typed(title: str, command: str, screen: Screen) -> list[RenderableType]:
    """Return a command on a line of its own, however long, so that it can be copied."""
    line = Text(screen.say(f"  {command}"), no_wrap=True, overflow="ignore")
    return [Text(title, style="bold"), line]


def _unknown(layers: list[RecurrentLayer]) -> list[Unknown]:
    """Return what the file leaves open, each once."""
    return [each for each in Unknown if any(each in layer.unknown for layer in layers)]


def _unknown_of(inspection: Inspection) -> list[Unknown]:
    return _unknown([each.layer for each in inspection.layers])
