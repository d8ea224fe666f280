"""A stack of imported layers on its inputs, and a verdict on the layers that are not studied."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gradscope.analysis.details import first_sequences
from gradscope.analysis.results import ImportedLayer, ImportedNetwork, LayerVerdict
from gradscope.analysis.settings import Settings
from gradscope.analysis.stage import SHARE_SEQUENCES, EvaluationBatch, first_overflow, judged
from gradscope.arrays import LN_10, FloatArray, IntArray, plain, quantiles
from gradscope.data.batch import Baseline, Batch, Targets, TaskInfo
from gradscope.data.columns import quoted
from gradscope.data.recordings import Layout, Recording, read_targets
from gradscope.data.series import memoryless_error
from gradscope.diagnosis.reasons import Reason, ReasonCode
from gradscope.jacobians import stack_chain
from gradscope.jacobians.adjoints import scaled_entering_errors
from gradscope.learning.losses import error_per_step, step_errors
from gradscope.model.cells import Cell, project_inputs
from gradscope.model.stack import Layer, NoiseSource, turned, unroll_stack
from gradscope.model.trajectory import Trajectory
from gradscope.names import CellName, ErrorName, StateName
from gradscope.weights.layers.recurrent_layer import Direction, FoundNetwork, RecurrentLayer
from gradscope.weights.layers.to_cell import CellSpec

Layers = tuple[tuple[tuple[RecurrentLayer, Cell], ...], ...]
"""The layers of a stack with their cells: depth by depth, forward before backward."""

BETWEEN = np.finfo(np.float64).tiny, 1.0 - np.finfo(np.float64).epsneg
"""Frequencies whose logarithms, and those of the rest, are finite."""


@dataclass(frozen=True, eq=False, slots=True)
class ImportedStack:
    """The layer that is studied, and the stack it belongs to, run.

    ``recording`` is what the lowest of the ``layers`` sees, ``trajectories`` what each did in its
    own time, by title, ``further`` what each would see of further noise (empty for data);
    ``params`` is the cell of the studied layer with its readout, ``found`` everything in the file.
    """

    settings: Settings
    params: Cell
    studied: RecurrentLayer
    spec: CellSpec
    layers: Layers
    recording: Recording
    trajectories: Mapping[str, Trajectory]
    further: Mapping[str, FloatArray]
    found: FoundNetwork


def run_stack(
    stack: Layers,
    inputs: FloatArray,
    noise: NoiseSource | None = None,
    lengths: IntArray | None = None,
) -> dict[str, Trajectory]:
    """Run a stack on inputs (T,B,D); return what each layer did, in its own time, by its title.
    Each starts from the s_0 that its file has, the same for every sequence, or from zeros;
    ``noise`` and ``lengths`` are those of ``unroll_stack``.
    """
    if stack[0][0][0].direction is Direction.BACKWARD:  # Keras's go_backwards: alone, from the end
        inputs = turned(inputs, lengths)
    states = (layer.initial_state for depth in stack for layer, _ in depth)
    first = [each if each is None else np.tile(each, (inputs.shape[1], 1)) for each in states]
    layers = [Layer(*(cell for _, cell in depth)) for depth in stack]
    ran = unroll_stack(layers, inputs, first, noise, lengths)
    return {
        layer.title: trajectory
        for depth, done in zip(stack, ran, strict=True)
        for (layer, _), trajectory in zip(depth, (done.forward, done.backward), strict=False)
        if trajectory is not None
    }


def evaluation_of(stack: ImportedStack) -> EvaluationBatch:
    """Return what the studied layer sees; read what is wanted of it, where the settings say so."""
    settings, trajectory = stack.settings, stack.trajectories[stack.studied.title]
    shape, width = trajectory.inputs.shape[:2], stack.params.sizes[2]
    source, baseline = _source(stack), None
    targets = Targets(np.zeros((*shape, width)), np.zeros(shape[0], dtype=np.bool_))
    if settings.targets is not None:
        layout = Layout(settings.batch_first, missing=settings.missing)
        targets = read_targets(Path(settings.targets), layout, stack.recording, width)
        seen = stack.recording.inputs  # By the lowest layer, in the time of the studied one.
        if stack.studied.direction is Direction.BACKWARD:
            seen = turned(seen, stack.recording.lengths)
        baseline = baseline_of(targets, seen)
        kind = "targets" if targets.error is ErrorName.SQUARED else "classes"
        source = f"{source}, {kind} from {settings.targets}"
    columns = settings.column if stack.studied.layer == 0 else None
    task_info = TaskInfo(source, targets.error, None, baseline, columns)
    batch = _batch(stack, stack.studied.title, targets)
    return EvaluationBatch(batch, task_info, trajectory.states[0])


def _batch(stack: ImportedStack, title: str, targets: Targets) -> Batch:
    ran, further = stack.trajectories[title], stack.further.get(title)
    return Batch(ran.inputs, targets, ran.noise, further, lengths=stack.recording.lengths)


def baseline_of(targets: Targets, seen: FloatArray) -> Baseline:
    """Return the error of the best constant: the mean of numbers, the frequencies of classes; and
    for numbers that of the best linear readout of what is ``seen`` at a step (T,B,D).
    """
    held = np.broadcast_to(targets.held, targets.values.shape[:2])
    wanted = targets.values[held]
    best, memoryless, of = wanted.mean(axis=0), None, "the mean of the targets"
    if targets.error is ErrorName.CROSS_ENTROPY:
        part, of = np.clip(best, *BETWEEN), "the frequencies of the classes"
        best = np.log(part) - (np.log1p(-part) if part.size == 1 else 0.0)
    else:
        memoryless = memoryless_error(seen[held][None], wanted[None])
    constant = error_per_step(np.broadcast_to(best, targets.values.shape), targets)
    return Baseline.of(constant, of, memoryless)


def _source(stack: ImportedStack) -> str:
    """Return in words what the lowest layer sees and what the studied layer starts from."""
    settings, studied = stack.settings, stack.studied
    said = [_reading(stack)]
    unused = stack.found.file.first_states if settings.weight_map else []
    if studied.initial_state is not None:
        state = "(h_0, c_0)" if studied.cell is CellName.LSTM else "h_0"
        said.append(f"{state} from the file")
    elif unused:
        said.append(f"from h_0 = 0 (or --weight-map h0={quoted(unused[0])})")
    if settings.weight_map and stack.spec.state is StateName.POST:
        said.append("state after φ")
    taken = all(getattr(studied, name) == getattr(stack.spec, name) for name in studied.inferred)
    said += [studied.names_as] if studied.names_as and taken else []
    return ", ".join(said)


def _reading(stack: ImportedStack) -> str:
    """Return in words what the lowest layer sees, and how its file was read."""
    settings, recording = stack.settings, stack.recording
    outside = any(each.stack != stack.studied.stack for each in stack.found.layers)
    inputs = f"inputs of {quoted(stack.layers[0][0][0].title)}" if outside else "inputs"
    if settings.data is None:
        return f"white noise of scale {settings.noise_scale:g} as {inputs} (no --data given)"
    (steps, count), lengths = recording.recorded, recording.lengths
    said = f"{inputs} from {settings.data}"
    if settings.embedding is not None:
        said = f"token ids as {said} through {quoted(settings.embedding)}"
    said += f", {steps} steps × {count} sequences" if count > 1 else ""
    if count > 1 and stack.studied.sequences_first and settings.batch_first:
        said += ", sequences first as in PsychRNN (else --no-batch-first)"
    elif steps < count and not settings.batch_first:
        said += " (if the first axis is the sequences: --batch-first)"
    if recording.rows is not None:
        said += f", in {recording.rows.shape[1]} windows"
    if lengths is not None:
        said += f", of {lengths.min()} to {lengths.max()} steps ({settings.sequence_lengths})"
    return said


def measure_depth(stack: ImportedStack, batch: Batch) -> stack_chain.DepthMap | None:
    """Return how much of the gradient at the top of the stack arrives at each layer, with targets
    of the error too; None for one layer, layers of two directions, or a state that overflows.
    """
    of = [(cell, stack.trajectories[layer.title]) for ((layer, cell), *_) in stack.layers]
    if not 1 < len(of) == len(stack.trajectories) or any(first_overflow(ran) for _, ran in of):
        return None
    places, settings, adjoints = batch.whole(SHARE_SEQUENCES), stack.settings, None
    chain = stack_chain.StackChain([(c, first_sequences(c, ran, places)) for c, ran in of])
    found = stack_chain.depth_map(chain, settings.max_lag, settings.tolerance)
    if settings.targets is not None:
        chain, params = stack_chain.StackChain(of), stack.params
        outputs = project_inputs(of[-1][1].hidden[1:], params.output_weights, params.output_bias)
        slopes = step_errors(outputs, batch.targets)[1]
        entering = scaled_entering_errors(params, chain.of[-1][1], slopes)
        adjoints = stack_chain.stack_adjoint_norms(chain, *entering)
    return replace(found, layers=tuple(stack.trajectories), log_adjoints=adjoints)


def _depth_reasons(depth: stack_chain.DepthMap, settings: Settings) -> list[Reason]:
    """Say where the lowest layer's gradient goes half of the way to a threshold: depth or time."""
    lowest = quantiles(depth.log_norms[0], (0.5,))[0]
    low, high = np.log(settings.vanishing), np.log(settings.exploding)
    arrives, grows = np.flatnonzero(lowest >= low), np.flatnonzero(lowest > high)
    if not grows.size and lowest[-1] >= low:
        return []
    # Lost for good: what is missing where most arrives is lost in depth, the rest in time.
    lag, at, end, threshold = arrives.max(initial=-1) + 1, lowest.argmax(), low, settings.vanishing
    if grows.size:
        lag, at, end, threshold = grows[0], 0, high, settings.exploding
    # Of the top layer's own gradient time alone takes what is missing.
    own = quantiles(depth.log_norms[-1], (0.5,))[0][min(lag, lowest.size - 1)]
    by_depth = lowest[at] / end >= max(own / end, 0.5)
    numbers = {"lag": int(lag), "from_lag": int(at), "log10_norm": plain(lowest[at] / LN_10)}
    numbers |= {"threshold": threshold, "layer": depth.layers[0], "top": depth.layers[-1]}
    return [Reason(ReasonCode.MAINLY_IN_DEPTH if by_depth else ReasonCode.MAINLY_IN_TIME, numbers)]


def judge_layers(stack: ImportedStack, depth: stack_chain.DepthMap | None) -> ImportedNetwork:
    """Describe every layer in the file, with a verdict on the others of the studied one's stack."""
    faults = _depth_reasons(depth, stack.settings) if depth else []
    cells = {layer.title: cell for depth in stack.layers for layer, cell in depth}
    lowest = [layer.title for layer, _ in stack.layers[0]]

    def verdict(title: str) -> LayerVerdict | None:
        """Return what a layer's gradient does; None where it was not run or its state overflows."""
        trajectory = stack.trajectories.get(title)
        if title == stack.studied.title or trajectory is None or first_overflow(trajectory):
            return None
        columns = stack.settings.column if title in lowest else None
        none = Targets(trajectory.outputs, np.zeros(trajectory.n_steps, dtype=np.bool_))
        batch = _batch(stack, title, none)
        diagnosis, writing = judged(stack.settings, (cells[title], trajectory, batch), columns)
        faults.extend(
            Reason(each.code, {**each.numbers, "layer": title})
            for each in writing.reasons
            if each.code in (ReasonCode.NOTHING_WRITTEN, ReasonCode.INPUTS_UNSCALED)
        )
        found = diagnosis.verdict
        return LayerVerdict(found.regime, found.rate, found.horizon, found.max_lag)

    layers = tuple(
        ImportedLayer(
            *(each.title, each.cell, str(each.direction), each.input_size, each.hidden_size),
            verdict=verdict(each.title),
        )
        for each in stack.found.layers
    )
    return ImportedNetwork(layers, stack.studied.title, tuple(faults))
