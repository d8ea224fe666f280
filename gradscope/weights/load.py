"""The entry: a file of weights → its recurrent layers, found by the names of its arrays."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from gradscope.data.columns import listed, quoted
from gradscope.errors import WeightsError
from gradscope.weights.files.contents import TOO_LARGE, naming
from gradscope.weights.layers import manual_names
from gradscope.weights.layers.keras_names import keras_layers, keras_readouts
from gradscope.weights.layers.known_names import named_layers, named_readouts
from gradscope.weights.layers.recurrent_layer import FoundNetwork
from gradscope.weights.layers.torch_names import torch_layers, torch_readouts
from gradscope.weights.readers import read_file


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
