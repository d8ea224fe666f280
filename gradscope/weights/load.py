"""The entry: a file of weights → its recurrent layers, found by the names of its arrays: those of
frameworks, those that a user gives, and here those of our own saved runs and of PsychRNN.

PsychRNN (Ehrlich et al. 2021, eNeuro 8(1)) saves the effective weights, masks and Dale's law
already applied, of a rate network h ← (1 − α) h + α (W φ(h) + U x + b): W multiplies φ of the
state. It saves no φ and seldom α, but the state h_0 that every sequence starts from, before φ.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.data.columns import listed, quoted
from gradscope.errors import WeightsError
from gradscope.model.cells import WEIGHT_NAMES
from gradscope.names import CellName, StateName
from gradscope.weights.files.contents import TOO_LARGE, WeightFile, naming
from gradscope.weights.layers import manual_names, recurrent_layer
from gradscope.weights.layers.keras_names import keras_layers, keras_readouts
from gradscope.weights.layers.recurrent_layer import FoundNetwork, Readout, RecurrentLayer
from gradscope.weights.layers.torch_names import torch_layers, torch_readouts
from gradscope.weights.readers import read_file

AS_SAVED = "names as in a saved run: φ makes the state; --state pre overrides"
PSYCHRNN = ("W_in", "W_rec", "b_rec", "W_out", "b_out")


def load_weights(
    path: str | Path, mapping: Mapping[str, str] | Sequence[str] | None = None
) -> FoundNetwork:
    """Read a network from a file: its recurrent layers, one or more, in one orientation and order
    of gates; what the file does not say is None, and listed in ``layer.unknown``.

    The file is of a kind in ``weights.readers.READERS``; nothing in it is run, no framework is
    needed. ``mapping`` names a hand-written cell: ``{"W": "rnn.h2h.weight", "U": …}``, or the same
    as ``["W=rnn.h2h.weight", …]``; see ``weights.layers.manual_names``. Raises
    WeightsError if the file cannot be read, is not safe to read, or holds no recurrent layer.
    """
    found = look_into(path, mapping)
    if not found.layers:
        for name, holds in found.file.skipped.items():
            if holds.startswith(TOO_LARGE):
                fault = f"has no recurrent layer under a known name; {quoted(name)} {holds}"
                raise WeightsError(f"{path} {fault}; save the recurrent weights alone")
        options = manual_names.options(manual_names.suggested(found.file))
        names = f"only {listed(tuple(found.file.arrays)) or 'nothing numeric'}"
        remedy = f"name the weights: {options}" if options else manual_names.NO_SUGGESTION
        raise WeightsError(f"{path} has no recurrent layer under a known name, {names}; {remedy}")
    return found


def look_into(
    path: str | Path, mapping: Mapping[str, str] | Sequence[str] | None = None
) -> FoundNetwork:
    """Read a file as ``load_weights`` does, but be content with one that holds no layer."""
    file = read_file(Path(path))
    with naming(str(path)):
        close = manual_names.candidates(file)
        if mapping:
            layer, readouts = manual_names.mapped_layer(file, mapping)
            return FoundNetwork(file, (layer,), readouts, close)
        if file.format == "keras":
            layers = tuple(keras_layers(file))
            return FoundNetwork(file, layers, tuple(keras_readouts(file, layers)), close)
        by_torch, by_name = tuple(torch_layers(file)), tuple(named_layers(file))
        readouts = (*torch_readouts(file, by_torch), *named_readouts(file, by_name))
        return FoundNetwork(file, by_torch + by_name, readouts, close)


def named_layers(file: WeightFile) -> Iterator[RecurrentLayer]:
    """Yield the layer of a run that gradscope saved, or of a PsychRNN network."""
    matrices = {name for name, array in file.arrays.items() if array.ndim == 2}
    if set(WEIGHT_NAMES[:2]) <= matrices:
        yield _our_run(file)
    if set(PSYCHRNN[:2]) <= matrices and PSYCHRNN[2] in file.arrays:
        yield RecurrentLayer(
            cell=CellName.ELMAN,
            name="W_rec",
            input_weights=file.arrays["W_in"],
            recurrent_weights=file.arrays["W_rec"],
            input_bias=recurrent_layer.as_vector(file.arrays["b_rec"]),
            **{"leak": None, **file.time_scales(file.arrays["b_rec"].size)},
            state=StateName.PRE,
            inferred=("state",),
            names_as="names as in PsychRNN: W multiplies φ(h); --state post overrides",
            sequences_first=True,
            initial_state=_first_state(file),
        )


def _our_run(file: WeightFile) -> RecurrentLayer:
    """Return the layer of a saved run: its settings say what its arrays do not."""
    settings = file.about.get("settings")
    said: Mapping[str, Any] = settings if isinstance(settings, dict) else {}
    cell = CellName(said["cell"]) if said.get("cell") in list(CellName) else CellName.ELMAN
    activation, leak = said.get("activation"), said.get("leak", 1.0)
    gates = said.get("gate_activation") or "sigmoid"
    recurrent, leaks = file.arrays["recurrent_weights"], leak if isinstance(leak, list) else [leak]
    fits = len(leaks) in (1, len(recurrent)) and all(type(n) in (int, float) for n in leaks)
    leak = (leaks[0] if len(leaks) == 1 else tuple(leaks)) if said and fits else None
    second = recurrent_layer.as_vector(file.arrays.get("candidate_bias"))
    inferred: dict[str, Any] = {}
    if not said:
        inferred = {"initial_state": _first_state(file), **file.time_scales(len(recurrent))}
        inferred |= {"inferred": ("state",), "names_as": AS_SAVED}
    if cell is CellName.GRU and second is not None:
        second = np.concatenate([np.zeros(2 * second.size), second])
    return RecurrentLayer(
        cell=cell,
        name="run",
        input_weights=file.arrays["input_weights"],
        recurrent_weights=recurrent,
        input_bias=recurrent_layer.as_vector(file.arrays.get("hidden_bias")),
        recurrent_bias=second,
        activation=activation if isinstance(activation, str) else None,
        gate_activation=None if cell is CellName.ELMAN else str(gates),
        reset_after=second is not None if cell is CellName.GRU else None,
        state=StateName.PRE if said.get("state") == StateName.PRE else StateName.POST,
        **{"leak": leak, **inferred},
    )


def _first_state(file: WeightFile) -> FloatArray | None:
    """Return the state (H,) that every sequence starts from, if the file has one."""
    names = file.first_states
    if len(names) > 1:
        raise WeightsError(f"it has {listed((*names,))} as h_0; keep one of them")
    return recurrent_layer.as_vector(file.arrays[names[0]]) if names else None


def named_readouts(file: WeightFile, layers: Iterable[RecurrentLayer]) -> Iterator[Readout]:
    """Yield the output layer that belongs to such a layer."""
    names = {"run": WEIGHT_NAMES[3:], "W_rec": PSYCHRNN[3:]}
    for layer in layers:
        weights_name, bias_name = names[layer.name]
        weights, bias = file.arrays.get(weights_name), file.arrays.get(bias_name)
        if weights is not None and weights.shape[1:] == (layer.hidden_size,):
            yield Readout(weights_name, weights, recurrent_layer.as_vector(bias))
