"""A stack of imported layers on its inputs: what each did, what the studied one is evaluated on,
and a verdict on the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gradscope.analysis.results import ImportedLayer, ImportedNetwork, LayerVerdict
from gradscope.analysis.settings import Settings
from gradscope.analysis.stage import EvaluationBatch, first_overflow, longest_lag, thresholds
from gradscope.arrays import FloatArray
from gradscope.data.batch import Baseline, Batch, Targets, TaskInfo
from gradscope.diagnosis.diagnose import diagnose
from gradscope.errors import DataError
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.model.cells import Cell
from gradscope.model.stack import Layer, unroll_stack
from gradscope.model.trajectory import Trajectory
from gradscope.names import ErrorName
from gradscope.weights.layers.recurrent_layer import Direction, FoundNetwork, RecurrentLayer
from gradscope.weights.layers.to_cell import CellSpec

Layers = tuple[tuple[tuple[RecurrentLayer, Cell], ...], ...]
"""The layers of a stack with their cells: depth by depth, forward before backward."""


@dataclass(frozen=True, eq=False, slots=True)
class ImportedStack:
    """The layer that is studied, and the stack it belongs to, run.

    ``inputs`` (T,B,D) is what the lowest of the ``layers`` sees, ``trajectories`` what each did in
    its own time, by title; ``params`` is the cell of the studied layer with its readout, ``found``
    everything in the file.
    """

    settings: Settings
    params: Cell
    studied: RecurrentLayer
    spec: CellSpec
    layers: Layers
    inputs: FloatArray
    trajectories: Mapping[str, Trajectory]
    found: FoundNetwork


def run_stack(stack: Layers, inputs: FloatArray) -> dict[str, Trajectory]:
    """Run a stack on inputs (T,B,D); return what each layer did, in its own time, by its title.

    Each starts from the s_0 that its file has, the same for every sequence, or from zeros.
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
    ran = unroll_stack([Layer(*(cell for _, cell in depth)) for depth in stack], inputs, first)
    return {
        layer.title: trajectory
        for depth, done in zip(stack, ran, strict=True)
        for (layer, _), trajectory in zip(depth, (done.forward, done.backward), strict=False)
        if trajectory is not None
    }


def evaluation_of(stack: ImportedStack, wanted: FloatArray | None) -> EvaluationBatch:
    """Return the sequences that the studied layer sees from its first state on, and what is wanted
    of it, (T,B,O) or longer (None: there are no targets).
    """
    settings, trajectory = stack.settings, stack.trajectories[stack.studied.title]
    inputs, first, source = trajectory.inputs, trajectory.states[0], _source(stack)
    shape = (*inputs.shape[:2], stack.params.sizes[2])
    if wanted is None:
        nothing = Targets(np.zeros(shape), np.zeros(shape[0], dtype=np.bool_))
        task_info = TaskInfo(source, ErrorName.SQUARED, None, None)
        return EvaluationBatch(Batch(inputs, nothing), task_info, first)
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


def _source(stack: ImportedStack) -> str:
    """Return in words what the lowest layer sees, by name where the file has layers outside the
    stack, and what the studied layer starts from.
    """
    settings, studied = stack.settings, stack.studied
    outside = any(each.stack != studied.stack for each in stack.found.layers)
    inputs = f"inputs of {stack.layers[0][0][0].title}" if outside else "inputs"
    first = "" if studied.initial_state is None else ", h_0 from the file"
    if settings.data is not None:
        return f"{inputs} from {settings.data}{first}"
    return f"white noise of scale {settings.noise_scale:g} as {inputs} (no --data given){first}"


def judge_layers(stack: ImportedStack) -> ImportedNetwork:
    """Describe every layer in the file, with a verdict on the others of the studied one's stack."""
    cells = {layer.title: cell for depth in stack.layers for layer, cell in depth}

    def verdict(title: str) -> LayerVerdict | None:
        """Return what a layer's gradient does; None where it was not run or its state overflows."""
        trajectory = stack.trajectories.get(title)
        if title == stack.studied.title or trajectory is None or first_overflow(trajectory):
            return None
        found = diagnose(
            cell_chain(cells[title], trajectory),
            longest_lag(stack.settings, trajectory.n_steps),
            thresholds=thresholds(stack.settings),
            tolerance=stack.settings.tolerance,
        ).verdict
        return LayerVerdict(found.regime, found.rate, found.horizon, found.max_lag)

    layers = tuple(
        ImportedLayer(
            title=each.title,
            cell=each.cell,
            direction=str(each.direction),
            input_size=each.input_size,
            hidden_size=each.hidden_size,
            verdict=verdict(each.title),
        )
        for each in stack.found.layers
    )
    return ImportedNetwork(layers, stack.studied.title)
