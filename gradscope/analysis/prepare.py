"""From what a person asks to all that a study needs; each input file is opened here, and once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradscope.analysis.archive import SavedRun, load_run
from gradscope.analysis.memory import STATES_AT_ONCE, require_memory
from gradscope.analysis.network import Streams, draw_network, with_noise
from gradscope.analysis.results import ImportedNetwork
from gradscope.analysis.setting_values import Group
from gradscope.analysis.settings import (
    CODE,
    SEQUENCE_SETTINGS,
    SETTINGS,
    Settings,
    flag,
    settings_of,
)
from gradscope.analysis.stage import EvaluationBatch, further_steps
from gradscope.arrays import FloatArray
from gradscope.data.batch import Batch
from gradscope.data.problem import Problem, recorded_problem, series_problem
from gradscope.data.table import ARRAY_SUFFIX, TEXT_SUFFIXES, Table, read_table
from gradscope.data.tasks import make_task
from gradscope.errors import SettingError
from gradscope.jacobians.stack_chain import DepthMap
from gradscope.learning.history import History
from gradscope.learning.readout import Source
from gradscope.model.cells import Cell
from gradscope.model.trajectory import unroll
from gradscope.names import StageName, StartName

if TYPE_CHECKING:
    from gradscope.analysis.imported.stack import ImportedStack

READ_AT_ONCE = 64
"""Sequences of a task that a linear readout is fitted to at a time."""

ReadRun = Callable[[Path], SavedRun]
ReadTable = Callable[[Path, tuple[str, ...], str], Table]


@dataclass(frozen=True, eq=False, slots=True)
class Prepared:
    """All that a study needs.

    ``network`` as it stands is called ``first_stage``; it is examined on ``batch``, its error is
    measured on ``held_out`` (None: no targets); it learns ``problem`` (None: that of a file), in
    training batches from ``task`` (None: no training). ``resolved`` are the settings with all that
    the files say filled in; ``error`` is what a saved run keeps (None: to be measured), ``layers``
    every layer of a file of weights, ``stack`` the same with weights and trajectories, kept only on
    request; ``earlier_training`` is that of a saved run, ``depth`` the map of the stack.
    """

    network: Cell
    batch: EvaluationBatch
    held_out: EvaluationBatch | None
    task: Problem | None
    resolved: Settings
    first_stage: StageName
    error: float | None = None
    layers: ImportedNetwork | None = None
    stack: "ImportedStack | None" = None
    problem: Problem | None = None
    earlier_training: History | None = None
    depth: DepthMap | None = None


def prepare(
    asked: Settings | Mapping[str, Any],
    *,
    keep_stack: bool = False,
    read_run: ReadRun = load_run,
    read_table: ReadTable = read_table,
) -> Prepared:
    """Read or draw the network and its sequences.

    ``asked`` may be only the settings that a person gave, by name: a saved run or a file of weights
    answers for the rest. ``keep_stack`` keeps every layer of a file. Several studies of the same
    files pass readers that remember them. Raises SettingError, DataError, ArchiveError or
    WeightsError if the settings contradict the task or a file, or a file cannot be read.
    """
    values = _read_per_unit(asked.as_dict() if isinstance(asked, Settings) else asked)
    weights = values.get("weights")
    if weights and (CODE.fullmatch(str(weights)) or values.get("cell", weights) is None):
        fault = "is Python code, which is run only where it is typed"
        raise SettingError(f"{weights} {fault}, as in gradscope analyze FILE.py:NAME")
    if values.get("load") is not None:
        return _saved(values, read_run, read_table)
    if values.get("weights") is not None:
        return _imported(values, keep_stack=keep_stack)
    return _drawn(asked if isinstance(asked, Settings) else resolve(values), read_table)


def resolve(
    values: Mapping[str, Any], source: str = "settings", *, read_run: ReadRun = load_run
) -> Settings:
    """Return the settings that values come to, a saved run or weight file asked for the rest."""
    values = _read_per_unit(values)
    if values.get("load") is not None:
        return _over_saved(values, read_run(Path(values["load"])).settings)
    if values.get("weights") is not None:
        from gradscope.analysis.imported.resolve import settings_of_weights

        return settings_of_weights(values)
    return Settings.from_dict(values, source)


def _read_per_unit(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the values with the numbers of each unit in place of the files that hold them."""
    named = {name: values.get(name) for name, each in SETTINGS.items() if each.per_unit}
    return {**values} | {
        name: read_table(Path(path), (), "keep", every=True).values.ravel()
        for name, path in named.items()
        if isinstance(path, str) and path.lower().endswith((ARRAY_SUFFIX, *TEXT_SUFFIXES))
    }


def _over_saved(values: Mapping[str, Any], saved: Settings) -> Settings:
    """Return the settings of a saved run with others over them, none of them of its network."""
    kept = saved.as_dict()
    for name in settings_of(Group.NETWORK):
        asked = list(values[name]) if isinstance(values.get(name), tuple) else values.get(name)
        if name in values and asked != kept[name]:
            had = "none" if kept[name] is None else kept[name]
            raise SettingError(
                f"{flag(name)} is {asked}, but the network in {values['load']} has {had}; "
                f"leave {flag(name)} out, or leave --load out"
            )
    return saved.with_changes({"updates": 0, "floss": 0, **values})


def _saved(values: Mapping[str, Any], read_run: ReadRun, read_table: ReadTable) -> Prepared:
    """Take the network of a saved run, and its sequences unless the settings ask for others."""
    run = read_run(Path(values["load"]))
    settings = _over_saved(values, run.settings)

    def same(names: tuple[str, ...]) -> bool:
        return all(getattr(settings, name) == getattr(run.settings, name) for name in names)

    if not settings.updates and same(SEQUENCE_SETTINGS):
        judged = same(settings_of(Group.JUDGING))
        batch, layers = run.evaluation, run.network if judged else None
        held_out = None if batch.task_info.baseline is None else batch
        given = (None, settings, StageName.GIVEN)
        of_task = settings.weights is None and settings.data is None
        task = make_task(settings.task, settings.steps, settings.delay) if of_task else None
        found = Prepared(run.params, batch, held_out, *given, run.error, layers, problem=task)
        return replace(found, earlier_training=run.training)
    if settings.weights is not None:
        raise SettingError(
            f"{settings.load} keeps one layer of {settings.weights}; analyze that for other inputs"
        )
    drawn = _drawn(settings, read_table)
    if drawn.network.sizes != run.params.sizes:
        words = "{} inputs, {} hidden units and {} outputs"
        raise SettingError(
            f"the network in {settings.load} has {words.format(*run.params.sizes)}, but the data "
            f"asks for {words.format(*drawn.network.sizes)}; choose its own task or columns"
        )
    batch = run.evaluation if same(SEQUENCE_SETTINGS) else drawn.batch
    found = replace(drawn, network=run.params, batch=batch, first_stage=StageName.GIVEN)
    return replace(found, earlier_training=run.training)


def _imported(values: Mapping[str, Any], *, keep_stack: bool) -> Prepared:
    """Take a layer of a file of weights, driven by data or noise."""
    from gradscope.analysis.imported.resolve import import_stack
    from gradscope.analysis.imported.stack import evaluation_of, judge_layers, measure_depth

    stack = import_stack(values)
    batch = evaluation_of(stack)
    held_out = None if batch.task_info.baseline is None else batch
    given = (None, stack.settings, StageName.GIVEN, None)
    kept = stack if keep_stack else None
    depth = measure_depth(stack, batch.batch) if stack.settings.start is None else None
    layers = judge_layers(stack, depth)
    prepared = Prepared(stack.params, batch, held_out, *given, layers, kept, depth=depth)
    return prepared if stack.settings.start is None else _to_train(prepared)


def _to_train(given: Prepared) -> Prepared:
    """Return a network from a file, or one drawn anew of its kind and size, to be trained on its
    own sequences, a part of them held out.
    """
    settings, first = given.resolved, given.batch.initial_state
    if first is not None and first.any():
        raise SettingError(
            f"{settings.weights} has an initial state, which is not trained; leave --from out"
        )
    problem = recorded_problem(given.batch.batch, given.batch.task_info, settings.validation)
    streams = Streams.from_seed(settings.seed)
    fresh = problem.validate(streams.held_out, settings.held_out)
    held_out = given.held_out and replace(given.batch, batch=fresh, initial_state=None)
    task = problem if settings.updates or settings.floss else None
    ready = replace(given, held_out=held_out, problem=problem, task=task)
    if settings.start is StartName.GIVEN:
        return ready
    network = draw_network(settings, given.network.sizes, streams.weights)
    return replace(ready, network=network, first_stage=StageName.INITIAL)


def _drawn(settings: Settings, read_table: ReadTable) -> Prepared:
    """Draw a network and its sequences, each from its own random stream."""
    streams = Streams.from_seed(settings.seed)
    problem = problem_within_memory(settings, read_table)
    sizes = (problem.n_inputs, settings.hidden, problem.n_outputs)
    network = draw_network(settings, sizes, streams.weights)
    examined = problem.examine(streams.examined, settings.sequences)
    if further := further_steps(settings):
        examined = problem.follow(streams.further, examined, further)
    batch, held_out = (
        EvaluationBatch(
            with_noise(settings.noise, streams.noise, network, sequences), problem.task_info
        )
        for sequences in (examined, problem.validate(streams.held_out, settings.held_out))
    )
    task = problem if settings.updates or settings.floss else None
    drawn = (network, batch, held_out, task, settings, StageName.INITIAL)
    return Prepared(*drawn, problem=problem)


def readout_sources(prepared: Prepared) -> tuple[Source, Source]:
    """Return hidden states and targets to fit a linear readout to, and fresh ones: of a task drawn
    anew, of what is trained on its training and its held-out part, of others every other sequence.
    """
    network, problem, given = prepared.network, prepared.problem, prepared.batch
    rng, n_steps = Streams.from_seed(prepared.resolved.seed).readout, given.batch.n_steps
    at_once = max(min(READ_AT_ONCE, 4 * STATES_AT_ONCE // (n_steps * network.sizes[1])), 1)

    def states(batch: Batch, first: FloatArray | None = None) -> Source:
        for start in range(0, batch.n_sequences, at_once):
            places = slice(start, start + at_once)
            some = with_noise(prepared.resolved.noise, rng, network, batch.of(places))
            own = None if first is None else first[places]
            yield unroll(network, some.inputs, own, some.noise).hidden[1:], some.targets

    if problem is None:
        batch, first = given.batch, given.initial_state
        halves = [np.arange(half, batch.n_sequences, 2) for half in (0, 1)]
        fitted, fresh = (states(batch.of(p), first if first is None else first[p]) for p in halves)
    elif problem.halves is None:
        draws = (states(problem.draw(rng, at_once)) for _ in count())
        fitted = fresh = chain.from_iterable(draws)
    else:
        fitted, fresh = map(states, problem.halves())
    return fitted, fresh


def open_problem(settings: Settings, read_table: ReadTable = read_table) -> Problem:
    """Set up the task or read the series that the settings name."""
    if settings.data is None:
        return make_task(settings.task, settings.steps, settings.delay)
    path = Path(settings.data)
    table = read_table(path, settings.column, settings.missing)
    return series_problem(table, path.name, settings.steps, settings.validation)


def problem_within_memory(settings: Settings, read_table: ReadTable = read_table) -> Problem:
    """Open the problem, and refuse it where the study would not fit into memory."""
    problem = open_problem(settings, read_table)
    require_memory(settings, problem.n_inputs, problem.n_outputs, settings.held_out)
    return problem
