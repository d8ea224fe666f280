"""What a Keras configuration states about each recurrent layer.

The walk reads names and plain values, and builds nothing. Places are those of the HDF5 file: a
layer is ``layers/gru_1``, after its class and its count among the layers of the same container.
Source: Keras 3, ``saving/saving_lib.py``, ``_walk_saveable``.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from typing import Any

from gradscope.data.columns import quoted
from gradscope.errors import WeightsError
from gradscope.names import CellName

CONTAINER = "layers"

CLASSES = dict.fromkeys(("SimpleRNN", "SimpleRNNCell"), CellName.ELMAN)
CLASSES |= dict.fromkeys(("GRU", "GRUCell", "CuDNNGRU"), CellName.GRU)
CLASSES |= dict.fromkeys(("LSTM", "LSTMCell", "CuDNNLSTM"), CellName.LSTM)
NOISES = ("Dropout", "SpatialDropout1D", "AlphaDropout", "GaussianDropout", "GaussianNoise")
PASSING = ("InputLayer", "Identity", *NOISES)
"""Layers that change nothing at inference."""


@dataclass(frozen=True, eq=False, slots=True)
class ConfiguredLayer:
    """What the configuration states about one layer or cell: its ``place`` in the HDF5 file, its
    ``names``, the layer's and, within an RNN of cells, the cell's own; as ``member`` the layer that
    the model sees, the Bidirectional that it is half of or itself; as ``values`` plain settings.
    """

    place: str
    names: tuple[str, ...]
    member: str
    class_name: str
    go_backwards: bool
    values: Mapping[str, Any]


def feeding_layers(config: Any) -> dict[str, str]:
    """Return, by name, the recurrent layer whose sequence each recurrent layer is fed.

    Sequential and functional models are followed, through layers that change nothing at inference.
    Of two layers that one feeds, the first counts; one that reads from the end feeds none, and is
    fed by none, but a Bidirectional is one layer.
    """
    class_name, values = _class_and_values(config)
    nodes = values.get(CONTAINER)
    nodes = [each for each in nodes if isinstance(each, dict)] if isinstance(nodes, list) else []
    known = {_name(node): node for node in nodes}
    if class_name == "Sequential":
        sources = dict(zip(list(known)[1:], known, strict=False))
    else:
        sources = {name: each for name in known if (each := _only_input(known[name], known))}
    try:
        upwards = [*TopologicalSorter({name: [sources[name]] for name in sources}).static_order()]
    except CycleError as error:
        circle = quoted(error.args[1][0])
        raise WeightsError(f"{circle} feeds itself, in a circle; save the model again") from None
    origins: dict[str, str] = {}
    for name in upwards:
        passing = _class_and_values(known[name])[0] in PASSING
        origins[name] = origins.get(sources.get(name, ""), "") if passing else name
    fed: dict[str, str] = {}
    for name in sources:
        source = origins[sources[name]]
        feeds = _in_order(known.get(source)).get("return_sequences") is True
        feeds = feeds and _is_called_once(known[source]) and _is_called_once(known[name])
        if feeds and _in_order(known[name]):
            fed.setdefault(source, name)
    return {name: source for source, name in fed.items()}


def _is_called_once(node: Mapping[str, Any]) -> bool:
    """Whether a layer stands in the model at one place: a shared one is no layer of a stack."""
    calls = node.get("inbound_nodes")
    return not isinstance(calls, list) or len(calls) <= 1


def _in_order(node: Any) -> Mapping[str, Any]:
    """Return the settings of a recurrent layer whose outputs stand in the order of the sequence."""
    class_name, values = _class_and_values(node)
    if class_name != "Bidirectional":
        return _reading(node, backwards=False)
    forward = _reading(values.get("layer"), backwards=False)
    backward = _reading(values.get("backward_layer"), backwards=True)
    same = backward and backward.get("return_sequences") == forward.get("return_sequences")
    fits = same or values.get("backward_layer") is None
    return forward if fits and values.get("merge_mode") == "concat" else {}


def _reading(node: Any, *, backwards: bool) -> Mapping[str, Any]:
    """Return the settings of a recurrent layer that reads from this end; nothing for another."""
    class_name, values = _class_and_values(node)
    plain = class_name in CLASSES and values.get("go_backwards", False) is backwards
    return values if plain else {}


def _only_input(node: Any, known: Mapping[str, Any]) -> str | None:
    """Return the name of the one layer whose output a layer of a functional model takes."""
    found, nodes = set(), [node.get("inbound_nodes")]
    while nodes:
        each = nodes.pop()
        if isinstance(each, str) and each in known:
            found.add(each)
        elif isinstance(each, list):
            nodes += each
        elif isinstance(each, dict):
            nodes += each.values()
    return found.pop() if len(found) == 1 else None


def _name(node: Any) -> str:
    return str(_class_and_values(node)[1].get("name"))


def configured_layers(
    node: Any, place: str = "", *, backwards: bool = False, member: str = ""
) -> Iterator[ConfiguredLayer]:
    """Yield every recurrent layer of a configuration; what does not look like one is skipped."""
    class_name, values = _class_and_values(node)
    nests = isinstance(values.get(CONTAINER), list)
    # Keras wraps no models; each level of such ones would double the work.
    if class_name is None or (member and (nests or class_name == "Bidirectional")):
        return
    if nests:
        for below, each in _placed(values[CONTAINER], f"{place}/{CONTAINER}"):
            yield from configured_layers(each, below)
        return
    if class_name == "Bidirectional":
        forward, backward = values.get("layer"), values.get("backward_layer")
        halves = {"forward": (forward, False), "backward": (backward or forward, backward is None)}
        for half, (inner, turned) in halves.items():
            below, name = f"{place}/{half}_layer", _name(node)
            yield from configured_layers(inner, below, backwards=turned, member=name)
        return
    turned, name = bool(values.get("go_backwards", False)) != backwards, _name(node)
    if not isinstance(values.get("cell"), dict):
        yield ConfiguredLayer(place[1:], (name,), member or name, class_name, turned, values)
        return
    # A ``keras.layers.RNN`` of one cell or a stack of them.
    inside = _class_and_values(values["cell"])[1].get("cells")
    cells = [(f"{place}/cell", values["cell"])]
    if isinstance(inside, list):
        cells = list(_placed(inside, f"{place}/cell/cells"))
    for below, cell in cells:
        for each in configured_layers(cell, below, member=name):
            names = (name, *each.names)
            yield replace(each, names=names, member=name, go_backwards=turned)


def _placed(nodes: list[Any], container: str) -> Iterator[tuple[str, Any]]:
    """Yield each layer of a container with its place: its class, and from the second on a count."""
    counts: Counter[str] = Counter()
    for node in nodes:
        # A class's name as Keras writes it in paths: SimpleRNN → simple_rnn.
        word = re.sub(r"\W+", "", _class_and_values(node)[0] or "")
        word = re.sub(r"(?<=.)(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", word).lower()
        yield f"{container}/{word}_{counts[word]}" if counts[word] else f"{container}/{word}", node
        counts[word] += 1


def _class_and_values(node: Any) -> tuple[str | None, Mapping[str, Any]]:
    if not isinstance(node, dict) or not isinstance(node.get("class_name"), str):
        return None, {}
    values = node.get("config")
    if isinstance(values, list):  # A Sequential of Keras 2.1
        values = {CONTAINER: values}
    return node["class_name"], values if isinstance(values, dict) else {}
