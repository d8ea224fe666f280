"""A network that somebody else trained: from its file to the subject of a study.

The file says what it can, the settings say the rest, and ``settings_of_weights`` writes all of it
down, so that the same settings give the same study again. A stack is run from its lowest layer up;
each direction of each layer is a network of its own, driven by what the layers below put out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gradscope.analysis.memory import require_memory
from gradscope.analysis.results import ImportedLayer, ImportedNetwork, LayerVerdict
from gradscope.analysis.setting_values import flag
from gradscope.analysis.settings import Settings
from gradscope.analysis.stage import EvaluationBatch, first_overflow, thresholds
from gradscope.arrays import FloatArray
from gradscope.data.batch import Baseline, Batch, Targets, TaskInfo
from gradscope.data.columns import listed, quoted
from gradscope.data.recordings import Layout, read_sequences, standardised, white_noise
from gradscope.diagnosis.diagnose import diagnose
from gradscope.errors import DataError, SettingError, WeightsError
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.model.cells import Cell
from gradscope.model.stack import Layer, unroll_stack
from gradscope.model.trajectory import Trajectory
from gradscope.names import ErrorName
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
class Given:
    """The layer that is studied, as a network, what it sees, and the whole stack it belongs to.

    ``stack`` holds, depth by depth, the layers with their cells; ``trajectories`` what each did;
    ``inputs`` (T,B,D) is what the lowest sees.
    """

    params: Cell
    evaluation: EvaluationBatch
    studied: RecurrentLayer
    spec: CellSpec
    stack: tuple[tuple[tuple[RecurrentLayer, Cell], ...], ...]
    trajectories: Mapping[str, Trajectory]
    inputs: FloatArray
    found: FoundNetwork


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
    free = {name: value for name, value in values.items() if name != "max_lag"}
    asked = Settings.from_dict({"updates": 0, **free})
    found = _found(asked)
    studied = choose_layer(found.layers, asked.layer)
    said = {name: getattr(asked, name) for name in ANSWERS if name in values}
    spec = resolve_spec(studied, UserChoices(**said), by_hand=bool(asked.weight_map))
    network = {
        "cell": spec.cell,
        "hidden": studied.hidden_size,
        "layer": studied.title,
        **{name: getattr(spec, name) for name in ANSWERS},
    }
    for name in ("cell", "hidden"):
        if name in values and getattr(asked, name) != network[name]:
            raise SettingError(
                f"{flag(name)} is {values[name]}, but {studied.title} in {asked.weights} has "
                f"{network[name]}; leave {flag(name)} out"
            )
    if asked.data is not None:
        network |= _lengths(asked, values)
    return Settings.from_dict({"updates": 0, **values, **network})


def _found(settings: Settings) -> FoundNetwork:
    return load_weights(str(settings.weights), settings.weight_map or None)


def _lengths(asked: Settings, values: Mapping[str, Any]) -> dict[str, int]:
    """Return steps and sequences of the data, or the first of them that are asked for."""
    present = _read(asked, str(asked.data), "--data").shape
    lengths = {"steps": present[0], "sequences": present[1]}
    for name, length in lengths.items():
        if name in values and getattr(asked, name) > length:
            raise SettingError(
                f"{flag(name)} is {getattr(asked, name)}, but {asked.data} has {length} {name}; "
                f"choose 1 to {length}, or leave {flag(name)} out (is --batch-first right?)"
            )
    return {name: values.get(name, length) for name, length in lengths.items()}


def _read(settings: Settings, path: str, option: str) -> FloatArray:
    column = settings.column if option == "--data" else ()
    return read_sequences(
        Path(path), Layout(settings.batch_first, column, settings.missing), option
    )


def read_given(settings: Settings, rng: np.random.Generator) -> Given:
    """Read the network that the settings name, and run its stack.

    Parameters
    ----------
    settings : Settings
        As ``settings_of_weights`` makes them.
    rng : numpy.random.Generator
        Source of the noise where there is no data.

    Raises
    ------
    WeightsError, DataError, SettingError
        If the file is no longer what the settings say, or the data do not fit it.
    """
    found = _found(settings)
    studied = choose_layer(found.layers, settings.layer)
    by_hand = bool(settings.weight_map)
    said = {name: getattr(settings, name) for name in ANSWERS}
    spec = resolve_spec(studied, UserChoices(**said), by_hand=by_hand)
    if (spec.cell, studied.hidden_size) != (settings.cell, settings.hidden):
        raise SettingError(
            f"{settings.weights} now has {studied.title} as {spec.cell} of "
            f"{studied.hidden_size} units, but the settings say {settings.cell} of "
            f"{settings.hidden}; if it was written anew, analyze it anew; in Python, let "
            "settings_of_weights ask the file"
        )
    stack = _stack(found, studied, settings)
    require_memory(settings, studied.input_size, 0, 0)
    inputs = _inputs(settings, stack[0][0][0], found, rng)
    trajectories = run_stack(stack, inputs)
    readout = _readout(settings, found, studied)
    params = cell_of(studied, spec, readout)
    source = _source(settings, found, studied, stack[0][0][0].title)
    evaluation = _sight(settings, trajectories[studied.title], params, source)
    return Given(params, evaluation, studied, spec, stack, trajectories, inputs, found)


def _stack(
    found: FoundNetwork, studied: RecurrentLayer, settings: Settings
) -> tuple[tuple[tuple[RecurrentLayer, Cell], ...], ...]:
    """Return the layers of the subject's stack with their cells, depth by depth."""
    members = [each for each in found.layers if each.stack == studied.stack]
    depths = sorted({each.layer for each in members})
    if depths != list(range(len(depths))):
        raise WeightsError(
            f"{settings.weights} has of {quoted(studied.name)} the layers {depths} alone; save the "
            "stack whole"
        )
    return tuple(
        tuple((each, _cell(each, settings)) for each in members if each.layer == depth)
        for depth in depths
    )


def _cell(layer: RecurrentLayer, settings: Settings) -> Cell:
    """Return the cell of any layer of the stack: answers fill in what the file leaves open."""
    said = {
        name: getattr(settings, name)
        for name in ANSWERS
        if name in layer.unknown or (name == "state" and settings.weight_map)
    }
    return cell_of(
        layer, resolve_spec(layer, UserChoices(**said), by_hand=bool(settings.weight_map))
    )


def _inputs(
    settings: Settings, lowest: RecurrentLayer, found: FoundNetwork, rng: np.random.Generator
) -> FloatArray:
    """Return what the lowest layer sees, (T,B,D)."""
    steps, sequences = settings.steps, settings.sequences
    if settings.data is None:
        return white_noise(rng, steps, sequences, lowest.input_size, settings.noise_scale)
    inputs = _read(settings, settings.data, "--data")
    if inputs.shape[2] != lowest.input_size:
        fitting = [each.name for each in found.layers if each.input_size == inputs.shape[2]]
        other = f"; of that size is --layer {fitting[0]}" if fitting else ""
        raise DataError(
            f"{settings.data} has {inputs.shape[2]} inputs a step, but {lowest.title} in "
            f"{settings.weights} takes {lowest.input_size}; give (T,B,{lowest.input_size}){other}"
        )
    if steps > inputs.shape[0] or sequences > inputs.shape[1]:
        raise SettingError(
            f"--steps {steps} and --sequences {sequences} are more than the {inputs.shape[0]} and "
            f"{inputs.shape[1]} of {settings.data}; choose fewer"
        )
    inputs = standardised(inputs) if settings.standardise else inputs
    return np.ascontiguousarray(inputs[:steps, :sequences])


def run_stack(
    stack: tuple[tuple[tuple[RecurrentLayer, Cell], ...], ...], inputs: FloatArray
) -> dict[str, Trajectory]:
    """Run a stack on inputs (T,B,D); return what each layer did, in its own time, by its title."""
    layers = [Layer(*(cell for _, cell in depth)) for depth in stack]
    if stack[0][0][0].direction is Direction.BACKWARD:  # Keras's go_backwards: alone, from the end
        inputs = np.ascontiguousarray(inputs[::-1])
    first = [_first_states(*each, inputs.shape[1]) for depth in stack for each in depth]
    ran = unroll_stack(layers, inputs, first)
    trajectories: dict[str, Trajectory] = {}
    for depth, done in zip(stack, ran, strict=True):
        both = (done.forward, done.backward)
        for (layer, _), trajectory in zip(depth, both, strict=False):
            if trajectory is not None:
                trajectories[layer.title] = trajectory
    return trajectories


def _first_states(layer: RecurrentLayer, cell: Cell, sequences: int) -> FloatArray:
    """Return s_0 (B,S) of a layer: what the file says, the same for every sequence, else zeros."""
    first = np.zeros(cell.state_size) if layer.initial_state is None else layer.initial_state
    return np.tile(first, (sequences, 1))


def _readout(settings: Settings, found: FoundNetwork, studied: RecurrentLayer) -> Readout | None:
    """Return the output layer that is asked for, if it reads the subject and nothing else."""
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


def _sight(
    settings: Settings, trajectory: Trajectory, params: Cell, source: str
) -> EvaluationBatch:
    """Return the sequences that the subject sees from its first state on, what is wanted of it, and
    what that is called.
    """
    inputs, first = trajectory.inputs, trajectory.states[0]
    shape = (*inputs.shape[:2], params.sizes[2])
    if settings.targets is None:
        nothing = Targets(np.zeros(shape), np.zeros(shape[0], dtype=np.bool_))
        task_info = TaskInfo(source, ErrorName.SQUARED, None, None)
        return EvaluationBatch(Batch(inputs, nothing), task_info, first)
    wanted = _read(settings, settings.targets, "--targets")
    if wanted.shape[2:] != shape[2:] or wanted.shape[0] < shape[0] or wanted.shape[1] < shape[1]:
        raise DataError(
            f"{settings.targets} holds (T,B,O) = {wanted.shape}, but the outputs are {shape}; give "
            "a target for every step (--targets)"
        )
    wanted = np.ascontiguousarray(wanted[: shape[0], : shape[1]])
    spread = float(np.mean(np.square(wanted - wanted.mean(axis=(0, 1)))))
    targets = Targets(wanted, np.ones(shape[0], dtype=np.bool_))
    baseline = Baseline(spread, "the mean of the targets")
    description = f"{source}, targets from {settings.targets}"
    task_info = TaskInfo(description, ErrorName.SQUARED, None, baseline)
    return EvaluationBatch(Batch(inputs, targets), task_info, first)


def _source(settings: Settings, found: FoundNetwork, studied: RecurrentLayer, lowest: str) -> str:
    """Return in words what the lowest layer of the stack sees, by name where the file has layers
    outside the stack, and what the subject starts from.
    """
    outside = any(each.stack != studied.stack for each in found.layers)
    inputs = f"inputs of {lowest}" if outside else "inputs"
    first = "" if studied.initial_state is None else ", h_0 from the file"
    if settings.data is not None:
        return f"{inputs} from {settings.data}{first}"
    return f"white noise of scale {settings.noise_scale:g} as {inputs} (no --data given){first}"


def given_network(given: Given, settings: Settings) -> ImportedNetwork:
    """Judge every layer of the stack beside the one that is studied."""
    verdicts = {
        layer.title: _verdict(cell, given.trajectories[layer.title], settings)
        for depth in given.stack
        for layer, cell in depth
        if layer is not given.studied
    }
    layers = tuple(
        ImportedLayer(
            title=each.title,
            cell=each.kind,
            direction=str(each.direction),
            input_size=each.input_size,
            hidden_size=each.hidden_size,
            verdict=verdicts.get(each.title),
        )
        for each in given.found.layers
    )
    return ImportedNetwork(layers, given.studied.title)


def _verdict(cell: Cell, trajectory: Trajectory, settings: Settings) -> LayerVerdict | None:
    """Return what a layer's gradient does; None where its state overflows."""
    if first_overflow(trajectory) is not None:
        return None
    lag = min(settings.max_lag or trajectory.n_steps, trajectory.n_steps)
    found = diagnose(
        cell_chain(cell, trajectory),
        lag,
        thresholds=thresholds(settings),
        tolerance=settings.tolerance,
    )
    said = found.verdict
    return LayerVerdict(said.regime, said.rate, said.horizon, said.max_lag)
