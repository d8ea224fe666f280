"""PyTorch's names as layers: ``weight_ih_l0``, ``weight_hh_l0_reverse``, and the Cells' without
``_l0``.

The kind is in the shape: W is (G·H,H) with G = 1, 3 or 4. Gates are in our order already, and
biases are two. An ``nn.RNN`` does not save whether it is tanh or ReLU. Source: PyTorch 2.13,
``torch.nn.RNN``, ``GRU``, ``LSTM``, section "Variables".
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.data.columns import SHOWN_CHARACTERS, quoted
from gradscope.errors import WeightsError
from gradscope.names import CellName
from gradscope.weights.files.contents import FIRST_STATE, TIME_SCALES, WeightFile
from gradscope.weights.layers import recurrent_layer
from gradscope.weights.layers.recurrent_layer import Direction, Readout, RecurrentLayer, as_vector

WRAPPERS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module"})
"""What DataParallel, torch.compile and FSDP put between the names."""

RECURRENT = re.compile(
    r"^(?:(?P<base>.+)\.)?weight_hh(?P<suffix>(?:_l(?P<layer>\d{1,4}))?(?P<reverse>_reverse)?)$"
)
WEIGHT = r"(?:weight|bias)_(?:ih|hh)(?:_l\d+)?(?:_reverse)?"
COMPUTED = "is a parametrization, bake it in: remove_parametrizations, remove_weight_norm or "
COMPUTED += "prune.remove of torch.nn.utils"
REFUSED = {
    rf"(?:parametrizations\.{WEIGHT}\..+|{WEIGHT}_(?:g|v|u|orig|raw|mask))": COMPUTED,
    r"weight_hr_l\d+(?:_reverse)?": "is a projection (proj_size), not supported; train without it",
}
"""What the last part of a name says that is no plain layer."""

PLAIN = re.compile(rf"^(?:.+\.)?{WEIGHT}$")
OF_CELLS = re.compile(r"norm|peep|gamma|(?:^|\.)(?:ln|bn)\d*[_.]|weight_c")
PEEPHOLE = re.compile(r"peep|(?:^|\.)weight_c[ifo]$")
"""What belongs to a cell even at the top of a file or beside it."""


def unwrapped(names: Iterable[str]) -> dict[str, str]:
    """Return the names in a file by what they are without wrappers, or as is where two coincide."""
    names = tuple(names)
    bare = [".".join(part for part in name.split(".") if part not in WRAPPERS) for name in names]
    if len(set(bare)) < len(names):
        bare = list(names)
    return dict(zip(bare, names, strict=True))


def torch_layers(file: WeightFile) -> Iterator[RecurrentLayer]:
    """Yield every recurrent layer under PyTorch's names. WeightsError if weights are
    reparametrized, projected or quantised, part is missing, or a cell has more than a plain one.
    """
    places = unwrapped(file.arrays)
    for name in places:
        for pattern, what in REFUSED.items():
            if re.match(rf"^(?:.+\.)?{pattern}$", name):
                raise WeightsError(f"{quoted(name)} {what}")
    matches = [match for name in places if (match := RECURRENT.match(name))]
    modules = {match["base"] or "": list[RecurrentLayer]() for match in matches}
    matches.sort(key=lambda match: (int(match["layer"] or 0), match["reverse"] or ""))
    recurrent_layer.check_pairs(matches, places)
    for match in matches:
        modules[match["base"] or ""].append(_layer(file, places, match))
    arrays = {name: file.arrays[place] for name, place in places.items()}
    matrices = {name: array.shape for name, array in arrays.items() if array.ndim > 1}
    tops = {name.partition(".")[0] for name in matrices}
    beside = {name: FIRST_STATE.match(name) for name in arrays if not PLAIN.match(name)}
    widths = {n for name, shape in matrices.items() if name in beside for n in shape}
    others = [(n, arrays[n], state, n.partition(".")[0] in tops) for n, state in beside.items()]
    homes = Counter(base.rpartition(".")[0] for base in modules)
    for base in modules:
        yield from _with_first_states(base, modules, homes, others, widths)


def _with_first_states(
    base: str,
    modules: Mapping[str, list[RecurrentLayer]],
    homes: Mapping[str, int],
    beside: Iterable[tuple[str, FloatArray, re.Match[str] | None, bool]],
    widths: set[int],
) -> Iterator[RecurrentLayer]:
    """Yield the cells of the module ``base``, with h_0, (h_0, c_0) of an LSTM, if the file has it.
    WeightsError if it is not clearly theirs, or plain cells lack what they have: in their module,
    or beside it what normalises their gates, as no matrix of those ``widths`` does, or a peephole.
    """
    cells, above = modules[base], base.rpartition(".")[0]
    (rows, size), over = cells[0].recurrent_weights.shape, f"{above}." * bool(above)
    prefix, states, others = f"{base}." * bool(base), dict[str, FloatArray](), list[str]()
    for name, array, state, apart in beside:
        (home, _, last), near = name.rpartition("."), name.removeprefix(over)
        if state and state["of"] not in "rx" and (state["level"] or "") in (base, above):
            alone = homes[above] == 1 or name.startswith(f"{base}.")
            if array.size != len(cells) * size or not alone:
                fault = f"is not clearly h_0 ({len(cells)}, 1, {size}) of {quoted(base)}"
                remedy = f"name it {quoted(f'{prefix}h0')} or remove it"
                raise WeightsError(f"{quoted(name)} {array.shape} {fault}; {remedy}")
            states[state["of"][0].replace("s", "h")] = array.reshape(len(cells), size)
        elif name.startswith(prefix):
            fits = not apart and array.size / size in (1, 2, 3, 4)
            asked = cells[0].leak is None and last.lower() in TIME_SCALES
            if not asked and (prefix or fits or OF_CELLS.search(name)):
                others.append(name)
        elif name.startswith(over) and near.count(".") < 2 and home not in modules:
            gates = array.size == rows > size and rows not in widths
            if (gates and OF_CELLS.search(near)) or PEEPHOLE.search(near):
                others += [name]
    if others:
        # The beginning of a long name is that of the cell's.
        start = 0 if len(repr(others[0])) <= SHOWN_CHARACTERS + 2 else -SHOWN_CHARACTERS // 2
        why = f"it also holds {quoted('…' * bool(start) + others[0][start:])}"
        raise recurrent_layer.other_cell(cells[0].name, cells[0].cell, why)
    none, parts = np.zeros((len(cells), size)), "hc" if cells[0].cell is CellName.LSTM else "h"
    first = np.concatenate([states.get(part, none) for part in parts], axis=1)
    for layer, each in zip(cells, first, strict=True):
        yield replace(layer, initial_state=each if states else None)


def _layer(file: WeightFile, places: Mapping[str, str], match: re.Match[str]) -> RecurrentLayer:
    base = match["base"] or ""
    prefix, suffix = f"{base}." if base else "", match["suffix"]
    arrays = {
        part: file.arrays.get(places.get(f"{prefix}{part}{suffix}", ""))
        for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    }
    name, recurrent, inputs = match.group(), arrays["weight_hh"], arrays["weight_ih"]
    if recurrent is None or inputs is None:
        raise WeightsError(f"{quoted(name)} has no weight_ih{suffix} beside it; save both")
    stored_as = file.stored_as[places[name]]
    if "float" not in stored_as:
        raise WeightsError(f"{quoted(name)} is quantised ({stored_as}); save the float model")
    cell = recurrent_layer.cell_of_size(*recurrent.shape) if recurrent.ndim == 2 else None
    if cell is None:
        fault = f"has shape {recurrent.shape}, but (G·H,H) with G = 1, 3 or 4 is needed"
        raise WeightsError(f"{quoted(name)} {fault}; name the arrays with --weight-map")
    # PyTorch-ESN has one bias and a leak, which it does not save; an nn.RNN no bias or two.
    one_bias = (arrays["bias_ih"] is None) != (arrays["bias_hh"] is None)
    asked = one_bias or bool(file.time_scales(recurrent.shape[1]))
    says: dict[str, Any] = {"inferred": ("leak", "state"), "leak": None if asked else 1.0}
    says |= {"state": None} if asked and not one_bias else {}
    if cell is not CellName.ELMAN:  # PyTorch leaves no choice
        says = {"activation": "tanh", "gate_activation": "sigmoid"}
        says |= {"reset_after": True} if cell is CellName.GRU else {}
    return RecurrentLayer(
        cell=cell,
        name=base or recurrent_layer.kind_word(cell),
        layer=int(match["layer"] or 0),
        direction=Direction.BACKWARD if match["reverse"] else Direction.FORWARD,
        input_weights=inputs,
        recurrent_weights=recurrent,
        input_bias=as_vector(arrays["bias_ih"]),
        recurrent_bias=as_vector(arrays["bias_hh"]),
        **says | file.about.get("stated", {}).get(places[name].rpartition(".")[0], {}),
    )


def torch_readouts(file: WeightFile, layers: Iterable[RecurrentLayer]) -> Iterator[Readout]:
    """Yield every linear layer of as many inputs as one of these layers has units."""
    sizes = recurrent_layer.readout_sizes(layers)
    for name, place in unwrapped(file.arrays).items():
        weights = file.arrays[place]
        base, _, last = name.rpartition(".")
        if last == "weight" and "emb" not in base and weights.ndim == 2:
            bias = as_vector(file.arrays.get(place.removesuffix("weight") + "bias"))
            if weights.shape[1] in sizes and (bias is None or bias.shape == weights.shape[:1]):
                yield Readout(base, weights, bias)
