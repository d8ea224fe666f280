"""A stack of imported layers on its inputs, and a verdict on the layers that are not studied."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gradscope.analysis.results import ImportedLayer, ImportedNetwork, LayerVerdict
from gradscope.analysis.settings import Settings
from gradscope.analysis.stage import (
    EvaluationBatch,
    first_overflow,
    longest_lag,
    past_transient,
    thresholds,
)
from gradscope.arrays import FloatArray
from gradscope.data.batch import Baseline, Batch, Targets, TaskInfo
from gradscope.data.lag_regression import memoryless_error
from gradscope.diagnosis.diagnose import NetworkMeasures, diagnose
from gradscope.diagnosis.reasons import Reason, ReasonCode
from gradscope.diagnosis.write_level import write_level
from gradscope.errors import DataError
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.model.cells import Cell
from gradscope.model.stack import Layer, NoiseSource, unroll_stack
from gradscope.model.trajectory import Trajectory
from gradscope.names import CellName, ErrorName
from gradscope.weights.layers.recurrent_layer import Direction, FoundNetwork, RecurrentLayer
from gradscope.weights.layers.to_cell import CellSpec

Layers = tuple[tuple[tuple[RecurrentLayer, Cell], ...], ...]
"""The layers of a stack with their cells: depth by depth, forward before backward."""


@dataclass(frozen=True, eq=False, slots=True)
class ImportedStack:
    """The layer that is studied, and the stack it belongs to, run.

    ``inputs`` (T,B,D) is what the lowest of the ``layers`` sees, ``trajectories`` what each did in
    its own time, by title, ``further`` what each would see of further noise (empty for data);
    ``params`` is the cell of the studied layer with its readout, ``found`` everything in the file.
    """

    settings: Settings
    params: Cell
    studied: RecurrentLayer
    spec: CellSpec
    layers: Layers
    inputs: FloatArray
    trajectories: Mapping[str, Trajectory]
    further: Mapping[str, FloatArray]
    found: FoundNetwork


def run_stack(
    stack: Layers, inputs: FloatArray, noise: NoiseSource | None = None
) -> dict[str, Trajectory]:
    """Run a stack on inputs (T,B,D); return what each layer did, in its own time, by its title.
    Each starts from the s_0 that its file has, the same for every sequence, or from zeros;
    ``noise`` is that of ``unroll_stack``.
    """
    if stack[0][0][0].direction is Direction.BACKWARD:  # Keras's go_backwards: alone, from the end
        inputs = np.ascontiguousarray(inputs[::-1])
    first = [
        np.tile(
            np.zeros(cell.state_size) if layer.initial_state is None else layer.initial_state,
            (inputs.shape[1], 1),
        )
        for depth in stack
        for layer, cell in depth
    ]
    layers = [Layer(*(cell for _, cell in depth)) for depth in stack]
    ran = unroll_stack(layers, inputs, first, noise)
    return {
        layer.title: trajectory
        for depth, done in zip(stack, ran, strict=True)
        for (layer, _), trajectory in zip(depth, (done.forward, done.backward), strict=False)
        if trajectory is not None
    }


def evaluation_of(stack: ImportedStack, wanted: FloatArray | None) -> EvaluationBatch:
    """Return what the studied layer sees and what is ``wanted`` of it, (T,B,O) or longer."""
    settings, trajectory = stack.settings, stack.trajectories[stack.studied.title]
    inputs, first, source = trajectory.inputs, trajectory.states[0], _source(stack)
    shape = (*inputs.shape[:2], stack.params.sizes[2])
    baseline = None
    if wanted is None:
        wanted, at_step = np.zeros(shape), np.zeros(shape[0], dtype=np.bool_)
    else:
        if wanted.shape[2:] != shape[2:] or (np.array(wanted.shape) < shape).any():
            raise DataError(
                f"{settings.targets} holds (T,B,O) = {wanted.shape}, but the outputs are {shape}; "
                "give a target for every step (--targets)"
            )
        wanted = np.ascontiguousarray(wanted[: shape[0], : shape[1]])
        at_step = np.ones(shape[0], dtype=np.bool_)
        spread = float(np.mean(np.square(wanted - wanted.mean(axis=(0, 1)))))
        # What the lowest layer sees, in the time of the studied one.
        seen = stack.inputs[:: -1 if stack.studied.direction is Direction.BACKWARD else 1]
        baseline = Baseline.of(spread, "the mean of the targets", memoryless_error(seen, wanted))
        source = f"{source}, targets from {settings.targets}"
    columns = settings.column if stack.studied.layer == 0 else None
    task_info = TaskInfo(source, ErrorName.SQUARED, None, baseline, columns)
    further = stack.further.get(stack.studied.title)
    batch = Batch(inputs, Targets(wanted, at_step), trajectory.noise, further)
    return EvaluationBatch(batch, task_info, first)


def _source(stack: ImportedStack) -> str:
    """Return in words what the lowest layer sees and what the studied layer starts from."""
    settings, studied = stack.settings, stack.studied
    outside = any(each.stack != studied.stack for each in stack.found.layers)
    inputs = f"inputs of {stack.layers[0][0][0].title}" if outside else "inputs"
    state = "(h_0, c_0)" if studied.cell is CellName.LSTM else "h_0"
    first = "" if studied.initial_state is None else f", {state} from the file"
    taken = all(getattr(studied, name) == getattr(stack.spec, name) for name in studied.inferred)
    first += f", {studied.names_as}" if studied.names_as and taken else ""
    if settings.data is not None:
        return f"{inputs} from {settings.data}{first}"
    return f"white noise of scale {settings.noise_scale:g} as {inputs} (no --data given){first}"


def judge_layers(stack: ImportedStack) -> ImportedNetwork:
    """Describe every layer in the file, with a verdict on the others of the studied one's stack."""
    faults: list[Reason] = []
    cells = {layer.title: cell for depth in stack.layers for layer, cell in depth}
    lowest = [layer.title for layer, _ in stack.layers[0]]

    def verdict(title: str) -> LayerVerdict | None:
        """Return what a layer's gradient does; None where it was not run or its state overflows."""
        trajectory = stack.trajectories.get(title)
        if title == stack.studied.title or trajectory is None or first_overflow(trajectory):
            return None
        columns = stack.settings.column if title in lowest else None
        writing = write_level(cells[title], trajectory, columns)
        faults.extend(
            Reason(each.code, {**each.numbers, "layer": title})
            for each in writing.reasons
            if each.code in (ReasonCode.NOTHING_WRITTEN, ReasonCode.INPUTS_UNSCALED)
        )
        further = stack.further.get(title, trajectory.inputs[:0])
        inputs = np.concatenate([trajectory.inputs, further])
        past = past_transient(stack.settings, cells[title], trajectory, inputs)
        found = diagnose(
            cell_chain(cells[title], trajectory),
            longest_lag(stack.settings, trajectory.n_steps),
            thresholds=thresholds(stack.settings),
            tolerance=stack.settings.tolerance,
            network=NetworkMeasures(past, writing),
        ).verdict
        return LayerVerdict(found.regime, found.rate, found.horizon, found.max_lag)

    layers = tuple(
        ImportedLayer(
            *(each.title, each.cell, str(each.direction), each.input_size, each.hidden_size),
            verdict=verdict(each.title),
        )
        for each in stack.found.layers
    )
    return ImportedNetwork(layers, stack.studied.title, tuple(faults))
