"""PyTorch's names as layers: ``weight_ih_l0``, ``weight_hh_l0_reverse``, and the Cells' without
``_l0``.

The kind is in the shape: W is (G·H,H) with G = 1, 3 or 4. Gates are in our order already, and
biases are two. An ``nn.RNN`` does not save whether it is tanh or ReLU. Source: PyTorch 2.13,
``torch.nn.RNN``, ``GRU``, ``LSTM``, section "Variables".
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from gradscope.arrays import FloatArray
from gradscope.data.columns import quoted
from gradscope.errors import WeightsError
from gradscope.names import CellName
from gradscope.weights.files.contents import WeightFile
from gradscope.weights.layers import recurrent_layer
from gradscope.weights.layers.recurrent_layer import Direction, Readout, RecurrentLayer, as_vector

WRAPPERS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module"})
"""What DataParallel, torch.compile and FSDP put between the names."""

RECURRENT = re.compile(
    r"^(?:(?P<base>.+)\.)?weight_hh(?P<suffix>(?:_l(?P<layer>\d{1,4}))?(?P<reverse>_reverse)?)$"
)
WEIGHT = r"(?:weight|bias)_(?:ih|hh)(?:_l\d+)?(?:_reverse)?"
REPARAMETRIZED = re.compile(
    rf"^(?:.+\.)?(?:parametrizations\.{WEIGHT}\..+|{WEIGHT}_(?:g|v|u|orig|raw|mask))$"
)
PROJECTION = re.compile(r"^(?:.+\.)?weight_hr_l\d+(?:_reverse)?$")


def unwrapped(names: Iterable[str]) -> dict[str, str]:
    """Return the names in a file by what they are without wrappers, or as is where two coincide."""
    names = tuple(names)
    bare = [".".join(part for part in name.split(".") if part not in WRAPPERS) for name in names]
    if len(set(bare)) < len(names):
        bare = list(names)
    return dict(zip(bare, names, strict=True))


def torch_layers(file: WeightFile) -> Iterator[RecurrentLayer]:
    """Yield every recurrent layer under PyTorch's names. WeightsError if weights are
    reparametrized, projected or quantised, or part is missing.
    """
    places = unwrapped(file.arrays)
    for name in places:
        if REPARAMETRIZED.match(name):
            raise WeightsError(
                f"{quoted(name)} is a parametrization, from which the effective weights are "
                "computed; bake them in before saving: torch.nn.utils.parametrize."
                "remove_parametrizations(rnn, 'weight_hh_l0')"
            )
        if PROJECTION.match(name):
            raise WeightsError(
                f"{quoted(name)} is a projection (proj_size) of the LSTM's state, whose Jacobian "
                "gradscope does not support; train without proj_size"
            )
    matches = [match for name in places if (match := RECURRENT.match(name))]
    order = {base: place for place, base in reversed(list(enumerate(m["base"] for m in matches)))}
    for match in sorted(
        matches, key=lambda m: (order[m["base"]], int(m["layer"] or 0), m["reverse"] or "")
    ):
        yield _layer(file, places, match)


def _layer(file: WeightFile, places: Mapping[str, str], match: re.Match[str]) -> RecurrentLayer:
    base = match["base"] or ""
    prefix, suffix = f"{base}." if base else "", match["suffix"]
    arrays = {
        part: file.arrays.get(places.get(f"{prefix}{part}{suffix}", ""))
        for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    }
    name, recurrent, inputs = match.group(), arrays["weight_hh"], arrays["weight_ih"]
    if recurrent is None or inputs is None:
        raise WeightsError(
            f"it holds {quoted(name)} without the weight_ih{suffix} beside it; save the layer whole"
        )
    stored_as = file.stored_as[places[name]]
    if "float" not in stored_as:
        raise WeightsError(
            f"{quoted(name)} is stored as {stored_as}: the weights are quantised; save the float "
            "model"
        )
    cell = _cell(name, recurrent)
    return RecurrentLayer(
        cell=cell,
        name=base or recurrent_layer.kind_word(cell),
        layer=int(match["layer"] or 0),
        direction=Direction.BACKWARD if match["reverse"] else Direction.FORWARD,
        input_weights=inputs,
        recurrent_weights=recurrent,
        input_bias=as_vector(arrays["bias_ih"]),
        recurrent_bias=as_vector(arrays["bias_hh"]),
        # Where PyTorch leaves no choice, and what the file states: an ONNX node, a pickled module.
        **{
            "activation": None if cell is CellName.ELMAN else "tanh",
            "gate_activation": None if cell is CellName.ELMAN else "sigmoid",
            "reset_after": True if cell is CellName.GRU else None,
        }
        | file.about.get("stated", {}).get(places[name].rpartition(".")[0], {}),
    )


def _cell(name: str, recurrent: FloatArray) -> CellName:
    """Return the cell that the shape (G·H,H) of W tells."""
    cell = recurrent_layer.cell_of_size(*recurrent.shape) if recurrent.ndim == 2 else None
    if cell is None:
        raise WeightsError(
            f"{quoted(name)} has shape {recurrent.shape}, but (G·H, H) with G = 1 "
            "(RNN), 3 (GRU) or 4 (LSTM) is needed; name the arrays with --weight-map"
        )
    return cell


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
