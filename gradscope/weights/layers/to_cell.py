"""From a layer as stored in a file, and what the user states of it, to a cell that can be run."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Any

import numpy as np

from gradscope.data.columns import listed, quoted
from gradscope.errors import WeightsError
from gradscope.model.activations import ACTIVATIONS
from gradscope.model.cells import Cell
from gradscope.model.elman import ElmanParameters
from gradscope.model.stack import cell_without_readout
from gradscope.names import ActivationName, CellName, GateName, PerUnit, StateName
from gradscope.weights.layers.recurrent_layer import ASKED, Direction, Readout, RecurrentLayer


@dataclass(frozen=True, eq=False, slots=True)
class CellSpec:
    """All that a layer's equations need beside its weights; None where its kind has none."""

    cell: CellName
    activation: ActivationName
    leak: PerUnit
    state: StateName
    gate_activation: GateName | None
    reset_after: bool | None


def resolve_spec(layer: RecurrentLayer, choices: Mapping[str, Any]) -> CellSpec:
    """Join what the file states about a layer with what the user states, by the names of settings.
    WeightsError if neither states a thing, both do and differ, a function is unknown, or a choice
    is about gates that the layer does not have.
    """
    gated, gru = layer.cell is not CellName.ELMAN, layer.cell is CellName.GRU
    owners = {"gate_activation": (gated, "gated cells"), "reset_after": (gru, "a GRU")}
    for name, (has, whom) in owners.items():
        if not has and choices.get(name) is not None:
            kind = f"{quoted(layer.title)} is {'an LSTM' if gated else 'an RNN'}"
            raise WeightsError(f"{_typed(name, choices)} is for {whom}, but {kind}; leave it out")
    said = {name: getattr(layer, name) for name in ASKED}
    joined = partial(_joined, layer, said, choices)
    activation = _known(layer, joined("activation"), ActivationName)
    gates = _known(layer, joined("gate_activation"), GateName) if gated else None
    after, leak = joined("reset_after") if gru else None, joined("leak")
    if leak == 1.0:  # Before φ or after it, the exponents are the same.
        said["state"] = said["state"] or StateName.POST
    elif layer.leak == 1.0:  # Names of a network without a leak do not say where a leaky state is.
        said["state"] = None
    return CellSpec(layer.cell, activation, leak, joined("state"), gates, after)


def _typed(name: str, choices: Mapping[str, Any]) -> str:
    """Return the option by which a person chose."""
    return f"--{'no-' * (choices[name] is False)}{name.replace('_', '-')}"


def _joined(
    layer: RecurrentLayer, said: Mapping[str, Any], choices: Mapping[str, Any], name: str
) -> Any:
    """Return what the user says of a layer, or the file, which it may contradict by names alone."""
    stored, chosen = said[name], choices.get(name)
    if chosen is not None and (name in layer.inferred or stored in (None, chosen)):
        return chosen
    if chosen is not None:
        says = f"says {quoted(f'{name} = {stored}')} of {quoted(layer.title)}"
        raise WeightsError(f"{_typed(name, choices)} contradicts the file: it {says}; leave it out")
    if stored is None:
        asked = "{}; give {}".format(*ASKED[name])
        raise WeightsError(f"for {quoted(layer.title)} the file does not state {asked}")
    return stored


def _known(layer: RecurrentLayer, name: str, names: type[StrEnum]) -> Any:
    if name in list(names):
        return names(name)
    fault = f"has {quoted(name)}, which gradscope does not have"
    raise WeightsError(f"{quoted(layer.title)} {fault}; it has {', '.join(names)}")


def cell_of(layer: RecurrentLayer, spec: CellSpec, readout: Readout | None = None) -> Cell:
    """Return the cell of a layer, with no outputs (O = 0) without a readout; ShapeError if that
    does not fit the state.
    """
    phi, after = ACTIVATIONS[spec.activation], bool(spec.reset_after)
    cell = cell_without_readout(spec.cell, layer, activation=phi, reset_after=after)
    own: dict[str, Any] = {"gate_activation": spec.gate_activation}
    if isinstance(cell, ElmanParameters):
        own = {"leak": np.array(spec.leak), "state": spec.state}
    cell = replace(cell, **own)
    if readout is None:
        return cell
    weights, bias = readout.output_weights, readout.output_bias
    bias = np.zeros(len(weights)) if bias is None else bias
    return replace(cell, output_weights=weights, output_bias=bias)


def choose_layer(layers: tuple[RecurrentLayer, ...], asked: str | None) -> RecurrentLayer:
    """Return one layer of a file by its place in the stack, its name, or its title: ``1``,
    ``encoder.rnn`` or ``encoder.rnn[1]``, each with ``:reverse`` for the direction that starts at
    the end. A name alone means the last layer of its stack; None, the last stack's. WeightsError if
    no layer fits, or several do.
    """
    if asked is None:
        last = [each for each in layers if each.name == layers[-1].name]
        found = [each for each in last if each.direction is Direction.FORWARD] or last
    else:
        found = [each for each in layers if each.title == asked]
        found = found or [each for each in layers if asked in _names(each)]
        several = len({each.name for each in found}) > 1
        if not found or (several and asked.partition(":")[0].isdecimal()):
            which = "names several layers" if found else "is not one of the layers"
            titles = listed(tuple(each.title for each in layers))
            raise WeightsError(f"--layer {quoted(asked)} {which}; choose one of {titles}")
    return max(found, key=lambda each: each.layer)


def _names(layer: RecurrentLayer) -> list[str]:
    end = ":reverse" if layer.direction is Direction.BACKWARD else ""
    names = (str(layer.layer), layer.name, f"{layer.name}[{layer.layer}]")
    return [f"{name}{end}" for name in names]
