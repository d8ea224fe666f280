"""From a layer as a file gives it to a cell that can be run: what the file leaves open is answered
by a person, and an answer that the file contradicts is refused.
"""

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from gradscope.data.columns import listed, quoted
from gradscope.errors import WeightsError
from gradscope.model.activations import ACTIVATIONS
from gradscope.model.cells import Cell
from gradscope.model.elman import ElmanParameters
from gradscope.model.stack import LayerWeights, cell_without_readout
from gradscope.names import ActivationName, CellName, GateName, StateName
from gradscope.weights.layers.recurrent_layer import Direction, LayerKind, Readout, RecurrentLayer

Value = TypeVar("Value")

CELL_OF_KIND = {
    LayerKind.RNN: CellName.ELMAN,
    LayerKind.GRU: CellName.GRU,
    LayerKind.LSTM: CellName.LSTM,
}

GATED = (LayerKind.GRU, LayerKind.LSTM)

ASK = {
    "activation": "the activation φ; give --activation NAME ({activations})",
    "gate_activation": "the function of its gates; give --gate-activation sigmoid if it is that",
    "leak": "the leak α = dt/τ; give --leak X, 1 where there is none",
    "reset_after": "whether the reset gate acts after W (PyTorch, Keras) or before it (Cho et al. "
    "2014); give --reset-after or --no-reset-after",
}
"""What is asked for where a file does not say it."""


@dataclass(frozen=True, eq=False, slots=True)
class UserChoices:
    """What a person says of a layer; None where nothing was said."""

    activation: ActivationName | None = None
    gate_activation: GateName | None = None
    leak: float | None = None
    state: StateName | None = None
    reset_after: bool | None = None


@dataclass(frozen=True, eq=False, slots=True)
class CellSpec:
    """All that a layer's equations need beside its weights; None for what its kind does not
    have.
    """

    cell: CellName
    activation: ActivationName
    leak: float
    state: StateName
    gate_activation: GateName | None
    reset_after: bool | None


def resolve_spec(layer: RecurrentLayer, choices: UserChoices, *, by_hand: bool) -> CellSpec:
    """Join what the file says of a layer with what the person says.

    Parameters
    ----------
    layer : RecurrentLayer
    choices : UserChoices
    by_hand : bool
        Whether the layer was named by ``--weight-map``: then its kind of state must be said.

    Raises
    ------
    WeightsError
        If something is said by neither, by both and differently, is a function that is not known,
        or is said of gates that the layer does not have.
    """
    gated = layer.kind is not LayerKind.RNN
    _require_gates(layer, choices)
    activation = _joined(layer, "activation", layer.activation, choices.activation)
    gates = None
    if gated:
        gates = _joined(layer, "gate_activation", layer.gate_activation, choices.gate_activation)
    reset_after = None
    if layer.kind is LayerKind.GRU:
        reset_after = _joined(layer, "reset_after", layer.reset_after, choices.reset_after)
    if by_hand and choices.state is not None:
        state = choices.state
    else:
        state = StateName(_joined(layer, "state", str(layer.state), choices.state))
    return CellSpec(
        cell=CELL_OF_KIND[layer.kind],
        activation=ActivationName(_known(layer, "activation", activation, list(ActivationName))),
        leak=float(_joined(layer, "leak", layer.leak, choices.leak)),
        state=state,
        gate_activation=GateName(_known(layer, "gate activation", gates, list(GateName)))
        if gated
        else None,
        reset_after=reset_after,
    )


def _require_gates(layer: RecurrentLayer, choices: UserChoices) -> None:
    """Refuse what is said of gates that a layer of this kind does not have."""
    said = {
        "--gate-activation": (choices.gate_activation, "gated cells", set(GATED)),
        _reset_flag(after=bool(choices.reset_after)): (
            choices.reset_after,
            "a GRU",
            {LayerKind.GRU},
        ),
    }
    for option, (answer, whom, kinds) in said.items():
        if answer is not None and layer.kind not in kinds:
            kind = "an RNN" if layer.kind is LayerKind.RNN else "an LSTM"
            raise WeightsError(
                f"{option} is for {whom}, but {quoted(layer.title)} is {kind}; leave it out"
            )


def _reset_flag(*, after: bool) -> str:
    return "--reset-after" if after else "--no-reset-after"


def _joined(layer: RecurrentLayer, name: str, said: Value | None, answer: Value | None) -> Value:
    """Return what is known of a layer, from the file or from the person."""
    if said is not None and answer is not None and said != answer:
        option = f"--{name.replace('_', '-')}"
        if isinstance(answer, bool):
            raise WeightsError(
                f"{_reset_flag(after=answer)} contradicts the file, which says of "
                f"{quoted(layer.title)} that its reset gate acts {'before' if answer else 'after'} "
                "W; leave it out"
            )
        raise WeightsError(
            f"{option} is {answer}, but the file says {said} of {quoted(layer.title)}; leave "
            f"{option} out"
        )
    known = said if said is not None else answer
    if known is None:
        asked = ASK[name].format(activations=", ".join(ActivationName))
        raise WeightsError(f"the file does not say of {quoted(layer.title)} {asked}")
    return known


def _known(layer: RecurrentLayer, what: str, name: object, names: list[str]) -> str:
    if name in names:
        return str(name)
    raise WeightsError(
        f"the {what} of {quoted(layer.title)} is {quoted(str(name))}, which gradscope does not "
        f"have; it has {', '.join(names)}"
    )


def cell_of(layer: RecurrentLayer, spec: CellSpec, readout: Readout | None = None) -> Cell:
    """Return the cell of a layer, with the readout's outputs, or with none (O = 0).

    Raises
    ------
    ShapeError
        If the readout does not fit the state.
    """
    cell = cell_without_readout(
        spec.cell,
        LayerWeights(
            layer.input_weights, layer.recurrent_weights, layer.input_bias, layer.recurrent_bias
        ),
        activation=ACTIVATIONS[spec.activation],
        reset_after=bool(spec.reset_after),
    )
    if isinstance(cell, ElmanParameters):
        cell = replace(cell, leak=spec.leak, state=spec.state)
    if readout is None:
        return cell
    bias = readout.output_bias
    outputs = {
        "output_weights": readout.output_weights,
        "output_bias": np.zeros(len(readout.output_weights)) if bias is None else bias,
    }
    return cell.with_weights({**dict(cell.weights()), **outputs})


def choose_layer(layers: tuple[RecurrentLayer, ...], asked: str | None) -> RecurrentLayer:
    """Return the layer that is meant: by its place in the stack, its name, or as listed.

    Parameters
    ----------
    layers : tuple of RecurrentLayer
        All layers of a file.
    asked : str, optional
        ``1``, ``encoder.rnn``, ``encoder.rnn[1]``, each with ``:reverse`` for the direction that
        starts at the end. A name alone means its last layer; by default the last stack's.

    Raises
    ------
    WeightsError
        If there is none, or several may be meant.
    """
    meant = asked
    if asked is None:
        asked = layers[-1].name
        forward = any(_fits(each, asked, Direction.FORWARD) for each in layers)
        direction = Direction.FORWARD if forward else Direction.BACKWARD
    else:
        exact = [each for each in layers if each.title == asked]
        if exact:
            return exact[0]
        backward = asked.endswith(":reverse")
        asked = asked.removesuffix(":reverse")
        direction = Direction.BACKWARD if backward else Direction.FORWARD
    found = [each for each in layers if _fits(each, asked, direction)]
    if not found or (asked.isdecimal() and len({each.name for each in found}) > 1):
        which = "names several layers" if found else "is none of the layers"
        titles = listed(tuple(each.title for each in layers))
        raise WeightsError(f"--layer {quoted(meant or asked)} {which}; choose one of {titles}")
    return max(found, key=lambda each: each.layer)


def _fits(layer: RecurrentLayer, asked: str, direction: Direction) -> bool:
    names = (str(layer.layer), layer.name, f"{layer.name}[{layer.layer}]")
    return layer.direction is direction and asked in names
