"""A network from a file of weights: what the file says, and what the settings add."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gradscope.analysis.imported.stack import ImportedStack, Layers, run_stack
from gradscope.analysis.memory import require_memory
from gradscope.analysis.network import Streams, draw_noise
from gradscope.analysis.settings import SETTINGS, Settings, flag
from gradscope.analysis.stage import further_steps
from gradscope.arrays import FloatArray, counted
from gradscope.data import recordings
from gradscope.data.columns import listed, quoted
from gradscope.data.recordings import Layout, Recording
from gradscope.errors import DataError, SettingError, WeightsError
from gradscope.model.cells import Cell
from gradscope.weights.layers import recurrent_layer
from gradscope.weights.layers.recurrent_layer import ASKED, FoundNetwork, Readout, RecurrentLayer
from gradscope.weights.layers.to_cell import CellSpec, cell_of, choose_layer, resolve_spec
from gradscope.weights.load import load_weights


def settings_of_weights(values: Mapping[str, Any]) -> Settings:
    """Return the settings that study a network from a file, with all that the file says filled in.

    ``values`` are settings by name, ``weights`` among them, and ``activation`` and the like only
    where a person gave them. The result has the layer's title, kind, size and equations, and the
    length and number of the sequences. Raises SettingError, WeightsError or DataError if the file,
    or the data, cannot be read, contradicts the settings, or leaves open what they do.
    """
    return _read_layer(values)[0]


def import_stack(values: Mapping[str, Any]) -> ImportedStack:
    """Read the network and the data that the values name, and run the network's stack; parameters
    and errors are those of ``settings_of_weights``, and the data must also fit the stack.
    """
    settings, found, studied, spec, data = _read_layer(values)
    layers, streams = _stack(found, studied, settings), Streams.from_seed(settings.seed)
    require_memory(settings, studied.input_size, 0, 0)
    if data is None:
        noise = _white_noise(settings, layers, settings.steps, streams.examined)
        data = Recording(noise, (settings.steps, settings.sequences))
    params = _scaled(cell_of(studied, spec, _readout(settings, found, studied)), settings.gain)
    added = partial(draw_noise, settings.noise, streams.noise)
    ran, further = run_stack(layers, data.inputs, added, data.lengths), {}
    if settings.data is None and (count := further_steps(settings)):
        noise = _white_noise(settings, layers, count, streams.further)
        further = {title: each.inputs for title, each in run_stack(layers, noise).items()}
    return ImportedStack(settings, params, studied, spec, layers, data, ran, further, found)


def _white_noise(
    settings: Settings, layers: Layers, steps: int, rng: np.random.Generator
) -> FloatArray:
    """Return so many steps of noise for the lowest layer, (T,B,D)."""
    shape = (steps, settings.sequences, layers[0][0][0].input_size)
    return settings.noise_scale * rng.standard_normal(shape)


def _read_layer(
    values: Mapping[str, Any],
) -> tuple[Settings, FoundNetwork, RecurrentLayer, CellSpec, Recording | None]:
    """Return the settings with all that the file and the data say filled in, what is in the file,
    the studied layer and its equations, and the data (None: there are none).
    """
    # The longest lag is held against the steps of the data, dt and τ against those of the file,
    # which are not read yet.
    later = {"max_lag": None, "dt": None, "tau": None, "leak": SETTINGS["leak"].default}
    asked = Settings.from_dict({"updates": 0, **values, **later})
    found = load_weights(str(asked.weights), asked.weight_map or None)
    studied = choose_layer(found.layers, asked.layer)
    first = studied.sequences_first and asked.data is not None
    asked = replace(asked, batch_first=values.get("batch_first", first))
    clock = _clock(studied, values)
    declared = {name: getattr(asked, name) for name in ASKED if name in values}
    guessed = studied.leak is None or "leak" in studied.inferred
    if "leak" in values or (guessed and clock.tau is not None):
        declared["leak"] = clock.leak
    spec = resolve_spec(studied, declared)
    network: dict[str, Any] = {"cell": spec.cell, "hidden": studied.hidden_size}
    for name, value in network.items():
        if name in values and getattr(asked, name) != value:
            fault = f"is {values[name]}, but {quoted(studied.title)} in {asked.weights} has {value}"
            raise SettingError(f"{flag(name)} {fault}; leave {flag(name)} out")
    members = (each for each in found.layers if each.stack == studied.stack)
    lowest = min(members, key=lambda each: each.layer)
    data, embedding = _record(asked, values, found, lowest)
    lengths = dict(zip(("steps", "sequences"), data.inputs.shape, strict=False)) if data else {}
    for name, length in lengths.items():
        if name in values and getattr(asked, name) > length:
            fault = f"is {getattr(asked, name)}, but {asked.data} has {length} {name}"
            remedy = f"choose 1 to {length}, or leave {flag(name)} out (is --batch-first right?)"
            raise SettingError(f"{flag(name)} {fault}; {remedy}")
    network |= {name: getattr(spec, name) for name in ASKED}
    network |= {"dt": clock.dt, "tau": clock.tau}
    network |= {"embedding": embedding, "batch_first": asked.batch_first}
    filled = {"updates": 0, **lengths, **values, **network, "layer": studied.title}
    return Settings.from_dict(filled), found, studied, spec, data


def _clock(studied: RecurrentLayer, values: Mapping[str, Any]) -> Settings:
    """Return leak, dt and τ as the person has them, else the file; its τ only where dt is known."""
    leak = None if "leak" in studied.inferred else studied.leak
    said = {"dt": studied.dt, "tau": studied.tau, "leak": leak, "discretization": None}
    said = {name: values.get(name, said[name]) for name in said}
    said["tau"] = values.get("tau") if said["dt"] is None else said["tau"]
    known = {name: value for name, value in said.items() if value is not None}
    return Settings.from_dict({"cell": studied.cell, **known})


def _record(
    asked: Settings, values: Mapping[str, Any], found: FoundNetwork, lowest: RecurrentLayer
) -> tuple[Recording | None, str | None]:
    """Read what the lowest layer sees, as many steps and sequences as a person asked for; return it
    and the embedding of token ids, each None where there is none.
    """
    width = lowest.input_size
    if asked.data is None:
        return None, None
    path, layout = Path(asked.data), Layout(asked.batch_first, asked.column, asked.missing)
    array = ids = recordings.read_array(path, layout, "--data")
    whole = asked.embedding is not None or (ids.dtype.kind == "i" and ids.ndim < 3)
    if name := _embedding(asked, found, width) if whole else None:
        array = recordings.embedded(ids, path, name, found.file.arrays[name])
    inputs = recordings.sequences(array, path, batch_first=asked.batch_first)
    if inputs.shape[2] != width:
        takes = f"{quoted(lowest.title)} in {asked.weights} takes {width}; give (T,B,{width})"
        raise DataError(f"{asked.data} has {inputs.shape[2]} inputs per step, but {takes}")
    shape, lengths = inputs.shape[:2], None
    if asked.sequence_lengths is not None:
        lengths = recordings.read_lengths(Path(asked.sequence_lengths), *shape)
    if name and "'mask_zero': True" in repr(found.file.about.get("config")):
        ids = recordings.sequences(ids[..., None], path, batch_first=asked.batch_first)
        if zeros := int((ids[counted(lengths, *shape)] == 0).sum()):
            fault = f"{zeros} ids 0 in steps that count, over which the Embedding passes"
            remedy = "pad only at the ends and give the steps (--lengths)"
            raise DataError(f"{path} holds {fault} (mask_zero); {remedy}")
    if asked.standardise:
        inputs = recordings.standardised(inputs, lengths)
    steps = asked.steps if "steps" in values else None
    count = asked.sequences if "sequences" in values or (steps and shape[1] == 1) else None
    return recordings.cut(inputs, lengths, steps, count), name


def _embedding(asked: Settings, found: FoundNetwork, width: int) -> str | None:
    """Return the array (V,D) that token ids go through: the one asked for, or the only one of that
    width that is called an embedding; None if none is, nor can be: a ``weight`` without a bias.
    """
    arrays = found.file.arrays
    fitting = [name for name, each in arrays.items() if each.shape[1:] == (width,)]
    called = [asked.embedding] if asked.embedding else found.embeddings(width)
    called = [name for name in called if name in fitting]
    bare = (name.removesuffix("weight") for name in fitting if name.endswith("weight"))
    asks = asked.embedding or called or any(f"{base}bias" not in arrays for base in bare)
    if len(called) == 1 or not asks:
        return called[0] if called else None
    fault = f"no one embedding {quoted(asked.embedding or 'emb…')} for {width} inputs per step"
    remedy = f"choose one of {listed(tuple(fitting))} (--embedding), or save numbers as floats"
    raise WeightsError(f"{asked.weights} has {fault}; {remedy}")


def _stack(found: FoundNetwork, studied: RecurrentLayer, settings: Settings) -> Layers:
    """Return the layers of the studied layer's stack with their cells, depth by depth."""
    members = [each for each in found.layers if each.stack == studied.stack]
    depths = sorted({each.layer for each in members})
    titles = {each.title for each in members}
    if depths != list(range(len(depths))) or len(titles) < len(members):
        fault = f"has of {quoted(studied.name)} the layers {depths} alone, or one of them twice"
        raise WeightsError(f"{settings.weights} {fault}; save the stack whole")

    def cell(layer: RecurrentLayer) -> Cell:
        open_ones = (*layer.unknown, *layer.inferred, *(["leak"] if layer.leak is None else []))
        declared = {name: getattr(settings, name) for name in ASKED if name in open_ones}
        spec = resolve_spec(layer, declared)
        return _scaled(cell_of(layer, spec), settings.gain)

    return tuple(
        tuple((each, cell(each)) for each in members if each.layer == depth) for depth in depths
    )


def _scaled(cell: Cell, gain: float) -> Cell:
    return replace(cell, recurrent_weights=gain * cell.recurrent_weights)


def _readout(settings: Settings, found: FoundNetwork, studied: RecurrentLayer) -> Readout | None:
    """Return the output layer that is asked for, if it reads the studied layer and nothing else."""
    asked, weights = settings.readout, settings.weights
    if asked is None:
        return None
    names = [each.name for each in found.readouts]
    fitting = [name for name in names if name.endswith((f".{asked}", f"/{asked}"))]
    if asked in names or f"V={asked}" in settings.weight_map:
        fitting = [asked if asked in names else names[0]]
    if len(fitting) != 1:
        there = f"choose one of {listed((*(fitting or names),))}" if names else "leave it out"
        fault = f"{quoted(asked)} is no one linear layer that fits a state in {weights}"
        raise WeightsError(f"--readout {fault}; {there}")
    beside = [each for each in found.layers if each.stack == studied.stack]
    last = max(
        (each.layer, each.direction is recurrent_layer.Direction.BACKWARD) for each in beside
    )
    readout, units = found.readouts[names.index(fitting[0])], studied.hidden_size
    if last > (studied.layer, False) or readout.output_weights.shape[1] != units:
        fault = f"{quoted(asked)} does not read the {units} units of {quoted(studied.title)} alone"
        remedy = "choose the last layer of one direction, or leave --readout out"
        raise WeightsError(f"--readout {fault}; {remedy}")
    return readout
