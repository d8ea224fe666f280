"""The whole flow: settings in, analysis out.

Draw or load a network, look at it, train it, look again. ``comparison`` sets several side by side.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gradscope.analysis.archive import SavedRun, load_run
from gradscope.analysis.details import Progress, measure_details
from gradscope.analysis.memory import STATES_AT_ONCE, require_memory
from gradscope.analysis.network import draw_network
from gradscope.analysis.results import Analysis, ImportedNetwork
from gradscope.analysis.settings import (
    JUDGING_SETTINGS,
    NETWORK_SETTINGS,
    SEQUENCE_SETTINGS,
    Settings,
    flag,
)
from gradscope.analysis.stage import EvaluationBatch, examine, takes_first_step
from gradscope.arrays import FloatArray
from gradscope.data.batch import Batch, Targets
from gradscope.data.problem import Problem, series_problem, task_problem
from gradscope.diagnosis.remedies import clipping_value, remedies
from gradscope.errors import SettingError
from gradscope.learning.losses import error_per_step
from gradscope.learning.optimizers import DEFAULT_LEARNING_RATE, OPTIMIZERS
from gradscope.learning.training import Limits, Trained, Watcher, train
from gradscope.model.cells import Cell
from gradscope.model.trajectory import unroll
from gradscope.names import InitializerName, StageName

if TYPE_CHECKING:
    from gradscope.analysis.imported import Given

HELD_OUT_SEQUENCES = 256
"""Fresh sequences of a task on which the error is measured."""


@dataclass(frozen=True, eq=False, slots=True)
class Streams:
    """One independent random stream for each use, all from one seed."""

    weights: np.random.Generator
    training: np.random.Generator
    examined: np.random.Generator
    held_out: np.random.Generator

    @classmethod
    def from_seed(cls, seed: int) -> "Streams":
        """Spawn the streams; the same seed gives the same numbers whatever else is asked for."""
        return cls(*(np.random.default_rng(each) for each in np.random.SeedSequence(seed).spawn(4)))


@dataclass(frozen=True, eq=False, slots=True)
class StudiedNetwork:
    """The network to study, what it is examined on, and held-out sequences to measure its error
    (None: there are no targets); ``network`` where it is from a file of weights, ``error`` where it
    is known already, of such a network or a saved run.
    """

    first_stage: StageName
    params: Cell
    evaluation: EvaluationBatch
    held_out: Batch | None
    network: ImportedNetwork | None = None
    error: float | None = None


def analyze(
    settings: Settings, *, watch: Watcher | None = None, progress: Progress | None = None
) -> Analysis:
    """Take or draw a network, examine it, train it where updates are asked for, examine it again.

    Parameters
    ----------
    settings : Settings
        Everything that decides the numbers.
    watch : callable, optional
        Called after each update; see ``learning.training.train``.
    progress : callable, optional
        Told ``(done, total)`` while the map of all pairs is made, where it is asked for.

    Returns
    -------
    Analysis
        With the stage "initial" (or "given", for a network from a saved run) and, where updates
        were asked for, "trained".

    Raises
    ------
    SettingError, DataError, ArchiveError If the settings contradict the task, the data or the saved
        run, or one of them is unreadable.
    """
    studied = studied_network(settings)
    error = studied.error
    if error is None:
        error = held_out_error(studied.params, studied.held_out)
    look = partial(examine, evaluation=studied.evaluation, settings=settings)
    params, history = studied.params, None
    stage, trajectory = look(studied.first_stage, params, error=error)
    stages = [stage]
    if settings.updates:
        trained = train_network(params, settings, studied.evaluation, watch)
        params, history = trained.params, trained.history
        error = held_out_error(params, studied.held_out)
        stage, trajectory = look(StageName.TRAINED, params, error=error)
        stages.append(stage)
    examined = studied.evaluation.batch.first(trajectory.n_steps)
    advice = remedies(
        stage.verdict,
        stage.causes,
        settings.activation,
        clipping_value(history),
        orthogonal=settings.weights is None and settings.init is InitializerName.ORTHOGONAL,
    )
    profile = stage.profile.log_norms
    details = measure_details(params, trajectory, examined.targets, profile, settings, progress)
    return Analysis(
        settings,
        studied.evaluation.task_info,
        tuple(stages),
        history,
        params,
        trajectory,
        examined,
        advice,
        details,
        studied.network,
    )


def studied_network(settings: Settings) -> StudiedNetwork:
    """Take the network of a saved run or of a file of weights, or draw one."""
    if settings.load is not None:
        return saved_network(settings)
    return drawn_network(settings) if settings.weights is None else imported_network(settings)


def given_of(settings: Settings) -> "Given":
    """Read the network that the settings name, and run its stack on their data or noise."""
    from gradscope.analysis.imported import read_given

    return read_given(settings, Streams.from_seed(settings.seed).examined)


def imported_network(settings: Settings) -> StudiedNetwork:
    """Take a layer of somebody else's network, driven by data or noise."""
    from gradscope.analysis.imported import given_network

    given = given_of(settings)
    held_out = None if settings.targets is None else given.evaluation.batch
    error = held_out_error(given.params, held_out, given.evaluation.initial_state)
    network = given_network(given, settings)
    return StudiedNetwork(StageName.GIVEN, given.params, given.evaluation, held_out, network, error)


def drawn_network(settings: Settings) -> StudiedNetwork:
    """Draw a network and its sequences, each from its own random stream."""
    streams = Streams.from_seed(settings.seed)
    problem = problem_within_memory(settings)
    params = draw_network(settings, problem, streams.weights)
    evaluation = EvaluationBatch(
        problem.examine(streams.examined, settings.sequences), problem.task_info
    )
    held_out = problem.validate(streams.held_out, HELD_OUT_SEQUENCES)
    return StudiedNetwork(StageName.INITIAL, params, evaluation, held_out)


def saved_network(settings: Settings) -> StudiedNetwork:
    """Take the network of a saved run, and its sequences unless the settings ask for others."""
    run = load_run(Path(str(settings.load)))
    _require_same_network(settings, run)
    if not settings.updates and _same(settings, run.settings, SEQUENCE_SETTINGS):
        held_out = None if run.evaluation.task_info.baseline is None else run.evaluation.batch
        judged = _same(settings, run.settings, JUDGING_SETTINGS)
        network = run.network if judged else None
        return StudiedNetwork(
            StageName.GIVEN, run.params, run.evaluation, held_out, network, run.error
        )
    if settings.weights is not None:
        raise SettingError(
            f"other inputs are asked for, but the run in {settings.load} keeps one layer of "
            f"{settings.weights}; analyze that file instead of --load"
        )
    drawn = drawn_network(settings)
    if drawn.params.sizes != run.params.sizes:
        raise SettingError(
            f"the network in {settings.load} has {_words(run.params.sizes)}, but the data asks for "
            f"{_words(drawn.params.sizes)}; choose the task or columns that it was made for"
        )
    kept = _same(settings, run.settings, SEQUENCE_SETTINGS)
    return StudiedNetwork(
        StageName.GIVEN, run.params, run.evaluation if kept else drawn.evaluation, drawn.held_out
    )


def _require_same_network(settings: Settings, run: SavedRun) -> None:
    for name in NETWORK_SETTINGS:
        asked, saved = getattr(settings, name), getattr(run.settings, name)
        if asked != saved:
            raise SettingError(
                f"{flag(name)} is {asked}, but the network in {settings.load} has {saved}; "
                f"leave {flag(name)} out, or leave --load out"
            )


def _same(one: Settings, other: Settings, names: tuple[str, ...]) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in names)


def _words(sizes: tuple[int, int, int]) -> str:
    return "{} inputs, {} hidden units and {} outputs".format(*sizes)


def open_problem(settings: Settings) -> Problem:
    """Set up the task or read the series that the settings name."""
    if settings.data is None:
        return task_problem(settings.task, settings.steps, settings.delay)
    return series_problem(
        Path(settings.data),
        settings.column,
        settings.steps,
        missing=settings.missing,
        validation_fraction=settings.validation,
    )


def problem_within_memory(settings: Settings) -> Problem:
    """Open the problem, and refuse it where the study would not fit into memory."""
    problem = open_problem(settings)
    require_memory(settings, problem.n_inputs, problem.n_outputs, HELD_OUT_SEQUENCES)
    return problem


def held_out_error(
    params: Cell, held_out: Batch | None, initial_state: FloatArray | None = None
) -> float | None:
    """Return the mean step error on held-out sequences, from h_0 (B,S) (None: zeros) on; infinite
    where the state overflows, None where there are none.
    """
    if held_out is None:
        return None
    states_of_one = held_out.n_steps * params.sizes[1]
    at_once = max(STATES_AT_ONCE // states_of_one, 1)
    total = 0.0
    for start in range(0, held_out.n_sequences, at_once):
        inputs = held_out.inputs[:, start : start + at_once]
        first = None if initial_state is None else initial_state[start : start + at_once]
        values = held_out.targets.values[:, start : start + at_once]
        targets = Targets(values, held_out.targets.at_step, held_out.targets.error)
        outputs = unroll(params, inputs, first).outputs
        total += error_per_step(outputs, targets) * inputs.shape[1]
    error = total / held_out.n_sequences
    return error if np.isfinite(error) else np.inf


def train_network(
    params: Cell, settings: Settings, evaluation: EvaluationBatch, watch: Watcher | None = None
) -> Trained:
    """Train as the settings say, on batches of their own random stream, and only as far as the
    network can be examined.
    """
    problem = open_problem(settings)
    rng = Streams.from_seed(settings.seed).training
    rate = settings.learning_rate or DEFAULT_LEARNING_RATE[settings.optimizer]
    return train(
        params,
        lambda: problem.draw(rng, settings.batch),
        OPTIMIZERS[settings.optimizer](rate),
        settings.updates,
        limits=Limits(settings.clip_norm, settings.clip_value, settings.truncate),
        watch=watch,
        fits=partial(takes_first_step, evaluation=evaluation),
    )
