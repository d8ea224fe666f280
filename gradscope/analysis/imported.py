"""A network from a file of weights: what the file says, and what the settings add.

A stack is run from its lowest layer up; each direction of each layer is a network of its own,
driven by what the layers below put out (``imported_stack``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gradscope.analysis.imported_stack import ImportedStack, Layers, run_stack
from gradscope.analysis.memory import require_memory
from gradscope.analysis.network import Streams
from gradscope.analysis.setting_values import flag
from gradscope.analysis.settings import Settings
from gradscope.arrays import FloatArray
from gradscope.data.columns import listed, quoted
from gradscope.data.recordings import Layout, read_sequences, standardised, white_noise
from gradscope.errors import DataError, SettingError, WeightsError
from gradscope.model.cells import Cell
from gradscope.weights.layers.recurrent_layer import (
    Direction,
    FoundNetwork,
    Readout,
    RecurrentLayer,
)
from gradscope.weights.layers.to_cell import (
    CellSpec,
    UserChoices,
    cell_of,
    choose_layer,
    resolve_spec,
)
from gradscope.weights.load import load_weights

ANSWERS = ("activation", "gate_activation", "leak", "state", "reset_after")
"""Settings that say of a layer what its file may not."""


@dataclass(frozen=True, eq=False, slots=True)
class _Request:
    """What was asked of a file, and the layer and equations that it answers with."""

    values: Mapping[str, Any]
    asked: Settings
    found: FoundNetwork
    studied: RecurrentLayer
    spec: CellSpec

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "_Request":
        """Read the file of weights that the values name."""
        # The longest lag is held against the steps of the data, which are not read yet.
        free = {name: value for name, value in values.items() if name != "max_lag"}
        asked = Settings.from_dict({"updates": 0, **free})
        found = load_weights(str(asked.weights), asked.weight_map or None)
        studied = choose_layer(found.layers, asked.layer)
        declared = {name: getattr(asked, name) for name in ANSWERS if name in values}
        spec = resolve_spec(studied, UserChoices(**declared), by_hand=bool(asked.weight_map))
        return cls(values, asked, found, studied, spec)

    def data(self) -> FloatArray | None:
        """Read the data, where the values name any."""
        if self.asked.data is None:
            return None
        return _read(self.asked, self.asked.data, "--data")

    def settings(self, data: FloatArray | None) -> Settings:
        """Return the settings with all that the file and the data say filled in."""
        network = {"cell": self.spec.cell, "hidden": self.studied.hidden_size}
        for name, value in network.items():
            if name in self.values and getattr(self.asked, name) != value:
                raise SettingError(
                    f"{flag(name)} is {self.values[name]}, but {self.studied.title} in "
                    f"{self.asked.weights} has {value}; leave {flag(name)} out"
                )
        lengths = (
            {} if data is None else dict(zip(("steps", "sequences"), data.shape, strict=False))
        )
        for name, length in lengths.items():
            if name in self.values and getattr(self.asked, name) > length:
                raise SettingError(
                    f"{flag(name)} is {getattr(self.asked, name)}, but {self.asked.data} has "
                    f"{length} {name}; choose 1 to {length}, or leave {flag(name)} out (is "
                    "--batch-first right?)"
                )
        equations = {name: getattr(self.spec, name) for name in ANSWERS}
        layer = {**network, **equations, "layer": self.studied.title}
        return Settings.from_dict({"updates": 0, **lengths, **self.values, **layer})


def settings_of_weights(values: Mapping[str, Any]) -> Settings:
    """Return the settings that study a network from a file, all that the file says filled in.

    Parameters
    ----------
    values : mapping
        Settings by name, ``weights`` among them; ``activation`` and the like only where they are
        said by a person.

    Returns
    -------
    Settings
        With the layer's title, kind, size and equations, and the length and number of the
        sequences.

    Raises
    ------
    SettingError, WeightsError, DataError
        If the file, or the data, cannot be read, says something else than the settings, or leaves
        open what they do not say.
    """
    request = _Request.of(values)
    return request.settings(request.data())


def import_stack(values: Mapping[str, Any]) -> ImportedStack:
    """Read the network and the data that the values name, and run the network's stack.

    Parameters and errors are those of ``settings_of_weights``; the data must also fit the stack.
    """
    request = _Request.of(values)
    found, studied, spec = request.found, request.studied, request.spec
    data = request.data()
    settings = request.settings(data)
    layers = _stack(found, studied, settings)
    require_memory(settings, studied.input_size, 0, 0)
    data = _inputs(settings, layers[0][0][0], found, data)
    params = cell_of(studied, spec, _readout(settings, found, studied))
    trajectories = run_stack(layers, data)
    return ImportedStack(settings, params, studied, spec, layers, data, trajectories, found)


def read_targets(settings: Settings) -> FloatArray | None:
    """Read what is wanted of the outputs, (T,B,O); None where the settings name no targets."""
    return None if settings.targets is None else _read(settings, settings.targets, "--targets")


def _read(settings: Settings, path: str, option: str) -> FloatArray:
    column = settings.column if option == "--data" else ()
    return read_sequences(
        Path(path), Layout(settings.batch_first, column, settings.missing), option
    )


def _stack(found: FoundNetwork, studied: RecurrentLayer, settings: Settings) -> Layers:
    """Return the layers of the studied layer's stack with their cells, depth by depth; the
    settings fill in what the file leaves open.
    """
    members = [each for each in found.layers if each.stack == studied.stack]
    depths = sorted({each.layer for each in members})
    if depths != list(range(len(depths))):
        raise WeightsError(
            f"{settings.weights} has of {quoted(studied.name)} the layers {depths} alone; save the "
            "stack whole"
        )
    by_hand = bool(settings.weight_map)

    def cell(layer: RecurrentLayer) -> Cell:
        open_ones = (*layer.unknown, "state") if by_hand else layer.unknown
        declared = {name: getattr(settings, name) for name in ANSWERS if name in open_ones}
        return cell_of(layer, resolve_spec(layer, UserChoices(**declared), by_hand=by_hand))

    return tuple(
        tuple((each, cell(each)) for each in members if each.layer == depth) for depth in depths
    )


def _inputs(
    settings: Settings, lowest: RecurrentLayer, found: FoundNetwork, data: FloatArray | None
) -> FloatArray:
    """Return what the lowest layer sees, (T,B,D)."""
    steps, sequences = settings.steps, settings.sequences
    if data is None:
        rng = Streams.from_seed(settings.seed).examined
        return white_noise(rng, steps, sequences, lowest.input_size, settings.noise_scale)
    if data.shape[2] != lowest.input_size:
        fitting = [each.name for each in found.layers if each.input_size == data.shape[2]]
        other = f"; of that size is --layer {fitting[0]}" if fitting else ""
        raise DataError(
            f"{settings.data} has {data.shape[2]} inputs a step, but {lowest.title} in "
            f"{settings.weights} takes {lowest.input_size}; give (T,B,{lowest.input_size}){other}"
        )
    data = standardised(data) if settings.standardise else data
    return np.ascontiguousarray(data[:steps, :sequences])


def _readout(settings: Settings, found: FoundNetwork, studied: RecurrentLayer) -> Readout | None:
    """Return the output layer that is asked for, if it reads the studied layer and nothing else."""
    if settings.readout is None:
        return None
    named = [each for each in found.readouts if each.name == settings.readout]
    if not named:
        names = listed(tuple(each.name for each in found.readouts))
        raise WeightsError(
            f"--readout {quoted(settings.readout)} is no linear layer that fits a state in "
            f"{settings.weights}; {f'there are {names}' if names else 'leave it out'}"
        )
    beside = [each for each in found.layers if each.stack == studied.stack]
    above = any(each.layer > studied.layer for each in beside)
    both = any(
        each.layer == studied.layer and each.direction is Direction.BACKWARD for each in beside
    )
    if above or both or named[0].output_weights.shape[1] != studied.hidden_size:
        reads = named[0].output_weights.shape[1]
        raise WeightsError(
            f"--readout {quoted(settings.readout)} reads {reads} numbers, not the {studied.title} "
            f"of {studied.hidden_size} units alone; choose the last layer of one direction, or "
            "leave --readout out"
        )
    return named[0]
