"""Keras's arrays as recurrent layers: transposed, gates reordered, biases separated.

Keras multiplies rows: kernel (D,G·H), recurrent kernel (H,G·H). Its LSTM has i, f, c, o, our
order; its GRU has z, r, h where we have r, z, n. With ``reset_after`` the GRU's bias is (2,G·H),
the input's and the state's. ``CuDNNGRU`` and ``CuDNNLSTM`` of Keras 2 keep both as (2·G·H,), and
each gate's kernel as the numbers of (H,D), ours, in the shape (D,H). Source: Keras 3,
``layers/rnn/gru.py`` and ``lstm.py``; Keras 2.3, ``engine/saving.py``, ``_convert_rnn_weights``.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.data.columns import quoted
from gradscope.errors import WeightsError
from gradscope.model.activations import ACTIVATIONS
from gradscope.names import CellName
from gradscope.weights.files.contents import WeightFile
from gradscope.weights.layers import keras_config, recurrent_layer
from gradscope.weights.layers.keras_config import ConfiguredLayer
from gradscope.weights.layers.recurrent_layer import Direction, Readout, RecurrentLayer, other_cell

KERNEL, RECURRENT, BIAS = "kernel", "recurrent_kernel", "bias"
NUMBERED = {"0": KERNEL, "1": RECURRENT, "2": BIAS}
"""What the variables of a cell are under Keras 3, which numbers them."""

OLD_CONTAINER = "_layer_checkpoint_dependencies"
"""What Keras called ``layers`` before version 3."""

GATE_ORDER = {CellName.ELMAN: (0,), CellName.GRU: (1, 0, 2), CellName.LSTM: (0, 1, 2, 3)}
"""Where each of our gates stands in Keras's order."""

Words = Mapping[str, str | None]
OUR_WORDS = {each.keras_name: str(each.name) for each in ACTIVATIONS.values() if each.keras_name}
OUR_WORDS |= {"swish": "silu"}
HARD_SIGMOIDS = {"1": "hard-sigmoid-0.2", "2": "hard-sigmoid-0.2", "3": "hard-sigmoid"}
"""What Keras's ``hard_sigmoid`` is, by its major version."""


@dataclass(frozen=True, eq=False, slots=True)
class _Group:
    """The arrays of one cell, those parts of their path that tell, and ``others`` under it."""

    place: tuple[str, ...]
    others: tuple[str, ...]
    arrays: Mapping[str, FloatArray]
    cell: CellName

    @property
    def name(self) -> str:
        """The path without the parts that every path has, for where there is no configuration."""
        telling = [part for part in self.place if part not in ("layers", "cell", "cells")]
        return "/".join(telling or self.place)


def keras_layers(file: WeightFile) -> Iterator[RecurrentLayer]:
    """Yield every recurrent layer of a Keras model, in the order of its configuration; WeightsError
    if a layer holds more than its equations use, or all are of classes with other equations.
    """
    config = file.about.get("config")
    known = tuple(keras_config.configured_layers(config))
    fed = keras_config.feeding_layers(config)
    cells = tuple(_cells(file))
    recurrent_layer.check_pairs(cells, known)
    groups = [(_configured(group, known), group) for group in cells]
    version = str(file.about.get("keras_version"))[:1]
    words = {**OUR_WORDS, "hard_sigmoid": HARD_SIGMOIDS.get(version)}
    plain = [e for e, g in groups if e is None or keras_config.CLASSES.get(e.class_name) is g.cell]
    # Layers that the configuration does not name come last.
    for each, group in sorted(groups, key=lambda pair: [*known, None].index(pair[0])):
        if each is None:
            yield _layer(group, None, words)
        elif each in plain:
            # Cells of one ``keras.layers.RNN`` are a stack, in the order of the configuration.
            stack = [other for other in known if other.names[0] == each.names[0]]
            depth = stack.index(each) if len(each.names) > 1 else 0
            yield replace(_layer(group, each, words), **({"layer": depth} | _place(each, fed)))
        elif not plain:
            raise other_cell(group.name, group.cell, f"its class is {quoted(each.class_name)}")


def _place(layer: ConfiguredLayer, fed: Mapping[str, str]) -> dict[str, Any]:
    """Return how many layers feed a layer in a row, and the lowest of them, if any."""
    depth, lowest = 0, layer.member
    while lowest in fed:
        depth, lowest = depth + 1, fed[lowest]
    return {"layer": depth, "below": lowest} if depth or lowest in fed.values() else {}


def _cells(file: WeightFile) -> Iterator[_Group]:
    """Yield every group of arrays that has the shapes of a recurrent cell."""
    groups, within = _groups(file), dict[str, list[str]]()
    for group in groups:
        for parent in itertools.accumulate(group.split("/"), "{}/{}".format):
            within.setdefault(parent, []).append(group)
    for group, arrays in groups.items():
        kernel, recurrent = arrays.get(KERNEL), arrays.get(RECURRENT)
        if kernel is None or recurrent is None or kernel.ndim != 2 or recurrent.ndim != 2:
            continue
        hidden, columns = recurrent.shape
        cell = recurrent_layer.cell_of_size(columns, hidden)
        if cell is not None and kernel.shape[1] == columns:
            parts = group.replace("\\", "/").replace(OLD_CONTAINER, "layers").split("/")
            place = tuple(part for part in parts if part not in ("vars", "model_weights"))
            path = group.removesuffix("/vars")
            known = (group, f"{path}/seed_generator/vars")  # The latter of dropout in Keras 3
            others = [role for role in arrays if role not in (KERNEL, RECURRENT, BIAS)]
            others += [each for each in within[path] if each not in known]
            yield _Group(place, tuple(others), arrays, cell)


def _groups(file: WeightFile) -> dict[str, dict[str, FloatArray]]:
    """Return the arrays by their group, each under its role; roles are named or numbered."""
    groups: dict[str, dict[str, FloatArray]] = {}
    for path, array in file.arrays.items():
        group, _, last = path.rpartition("/")
        role = last.partition(":")[0]
        if group.endswith("vars"):
            role = NUMBERED.get(role, role)
        groups.setdefault(group, {})[role] = array
    return groups


def _configured(group: _Group, layers: Iterable[ConfiguredLayer]) -> ConfiguredLayer | None:
    """Return the configuration of a cell, found by its place, else by the names in its path."""
    place = "/".join(group.place)
    by_place = [each for each in layers if place in (each.place, f"{each.place}/cell")]
    found = by_place or [each for each in layers if _named_in(group, each)]
    return found[0] if len(found) == 1 else None


def _named_in(group: _Group, configured: ConfiguredLayer) -> bool:
    """Say whether a path of names, ``model/twice/forward_gru/gru_cell``, is this layer's."""
    layer, *cells = configured.names
    half = configured.place.rpartition("/")[2].removesuffix("layer")
    if half in ("forward_", "backward_"):
        layer = half + layer.removeprefix(half)
    return layer in group.place and (not cells or cells[-1] in group.place)


def _layer(group: _Group, configured: ConfiguredLayer | None, words: Words) -> RecurrentLayer:
    cell, arrays, values = group.cell, group.arrays, configured.values if configured else {}
    name = configured.names[0] if configured else group.name
    if group.others:
        raise other_cell(name, cell, f"it also holds {quoted(group.others[0])}")
    # Of a Bidirectional, the second half; where there is no configuration, the path tells.
    named_backward = any(part.startswith("backward_") for part in group.place)
    backward = configured.go_backwards if configured else named_backward
    bias, columns = arrays.get(BIAS), arrays[KERNEL].shape[1]
    shape, fitting = getattr(bias, "shape", None), [(2 * columns,), (2, columns), (columns,), None]
    allowed = fitting[: 1 if configured and "CuDNN" in configured.class_name else 4]
    if shape not in allowed:
        fault = f"the bias of {quoted(name)} has shape {shape}, which is none of {allowed[:3]}"
        raise WeightsError(f"{fault}; save the layer whole")
    # A bias (2,G·H) is b and b′; (G·H,) is b alone.
    rows = () if bias is None else bias.reshape(-1, columns)
    input_bias, recurrent_bias = (*(_our_order(cell, row) for row in rows), None, None)[:2]
    reset_after = values.get("reset_after")
    if not isinstance(reset_after, bool):
        reset_after = None if bias is None else len(rows) == 2
    kernels = [arrays[KERNEL], arrays[RECURRENT]]
    if shape == fitting[0]:
        split = [np.hsplit(each, len(GATE_ORDER[cell])) for each in kernels]
        kernels = [np.hstack([k.reshape(k.shape[::-1]).T for k in blocks]) for blocks in split]
        values = {"activation": "tanh", "recurrent_activation": "sigmoid", **values}
    return RecurrentLayer(
        cell=cell,
        name=name,
        direction=Direction.BACKWARD if backward else Direction.FORWARD,
        input_weights=_our_order(cell, kernels[0].T),
        recurrent_weights=_our_order(cell, kernels[1].T),
        input_bias=input_bias,
        recurrent_bias=recurrent_bias,
        activation=_function(values.get("activation"), words),
        gate_activation=_function(values.get("recurrent_activation"), words),
        reset_after=reset_after if cell is CellName.GRU else None,
    )


def _our_order(cell: CellName, array: FloatArray) -> FloatArray:
    """Return an array whose G blocks along the first dimension are in our order."""
    blocks = np.split(array, len(GATE_ORDER[cell]))
    return np.concatenate([blocks[index] for index in GATE_ORDER[cell]])


def _function(configured: Any, words: Words) -> str | None:
    """Return gradscope's name of a configured function, None where it is not a plain name."""
    if isinstance(configured, dict):
        configured = configured.get("config")
    return words.get(configured, configured) if isinstance(configured, str) else None


def keras_readouts(file: WeightFile, layers: Iterable[RecurrentLayer]) -> Iterator[Readout]:
    """Yield every dense layer of as many inputs as one of these layers has units."""
    sizes = recurrent_layer.readout_sizes(layers)
    for group, arrays in _groups(file).items():
        kernel = arrays.get(KERNEL)
        bias = arrays.get(RECURRENT, arrays.get(BIAS))  # Keras 3 numbers a dense layer's bias 1
        if kernel is None or kernel.ndim != 2 or "emb" in group or kernel.shape[0] not in sizes:
            continue
        if bias is None or bias.shape == kernel.shape[1:]:
            place = group.replace("/vars", "").rpartition("/")[2]
            yield Readout(str(file.about["names"].get(group) or place), kernel.T.copy(), bias)
