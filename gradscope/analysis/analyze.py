"""The whole flow: prepare, examine, train, examine again, measure the details that were asked for.

``sweep.compare`` sets several analyses side by side.
"""

from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np

from gradscope.analysis import stage as study
from gradscope.analysis.checkpoints import CheckpointRecorder
from gradscope.analysis.details import Progress, measure_details
from gradscope.analysis.network import Streams, draw_network, with_noise
from gradscope.analysis.prepare import Prepared, prepare, readout_sources
from gradscope.analysis.results import Analysis, Stage
from gradscope.analysis.settings import Settings
from gradscope.arrays import LN_10, plain
from gradscope.data.problem import Problem
from gradscope.diagnosis.reasons import Reason, ReasonCode
from gradscope.diagnosis.remedies import Measure, clipping_value, remedies
from gradscope.diagnosis.thresholds import Thresholds
from gradscope.learning.optimizers import DEFAULT_LEARNING_RATE, OPTIMIZERS, adam
from gradscope.learning.penalties import FLOSSED_SEQUENCES
from gradscope.learning.readout import measure_readout
from gradscope.learning.training import Limits, Trained, Watcher, train
from gradscope.machine import held_threads
from gradscope.model.trajectory import unroll
from gradscope.names import OptimizerName, StageName

SHORTER = 0.8
"""Part of the earlier reach below which training is said to have shortened it (convention)."""


@held_threads()
def analyze(
    settings: Settings | Prepared,
    *,
    watch: Watcher | None = None,
    progress: Progress | None = None,
    readout: bool = True,
    advise: bool = True,
) -> Analysis:
    """Take or draw a network, examine it, train it where updates are asked for, examine it again.

    ``settings`` decide the numbers; ``watch`` is called after each update, ``progress`` with
    ``(done, total)`` while a map is made; ``readout``: also measure what a linear readout of the
    first stage explains; ``advise``: also what remedies do, and how the reach went while it was
    trained. The stages are "initial" (or "given", for a network from a file) and, after updates,
    "trained". Raises SettingError, DataError, ArchiveError or WeightsError if the settings
    contradict the task or a file, or a file cannot be read.
    """
    prepared = settings if isinstance(settings, Prepared) else prepare(settings)
    network, resolved, history = prepared.network, prepared.resolved, None
    look = partial(study.examine, prepared.batch, prepared.held_out, resolved)
    faults = prepared.layers.faults if prepared.layers is not None else ()
    stage, trajectory = look(prepared.first_stage, network, error=prepared.error, faults=faults)
    stages, explained = [stage], None
    if readout and prepared.held_out is not None:
        explained = measure_readout(network.sizes[1], readout_sources(prepared))
    if prepared.task is not None:
        recorder = watch if isinstance(watch, CheckpointRecorder) else None
        if recorder is None and advise:
            recorder = CheckpointRecorder(prepared, watch=watch)
        trained = train_network(prepared, prepared.task, recorder or watch)
        reach = None if recorder is None else recorder.reach
        network, history = trained.params, replace(trained.history, reach=reach)
        stage, trajectory = look(StageName.TRAINED, network)
        stages.append(_with_effect_of_training(stages[0], stage))
    examined = prepared.batch.batch.first(trajectory.n_steps)
    of = (network, trajectory, examined, stage.profile.log_norms, resolved, progress)
    details = measure_details(*of, burn_in=stage.growth.burn_in)
    details = replace(details, depth=prepared.depth) if prepared.depth else details
    growth = stages[0].growth
    known = growth.rate if growth.burn_in and resolved.load is None else None
    advice = (stage.verdict, stages[0].causes, resolved.as_dict(), measured_rate(prepared, known))
    advised = remedies(*advice, clipping_value(history)) if advise else ()
    made = (network, trajectory, examined, advised, details, prepared.layers, explained)
    found = Analysis(resolved, prepared.batch.task_info, tuple(stages), history, *made)
    return replace(found, earlier_training=prepared.earlier_training)


def measured_rate(prepared: Prepared, known: float | None = None) -> Measure:
    """Return what measures the growth rate of a network, before training, under other settings: it
    is drawn anew and goes through the same sequences. Of one from a file W alone is scaled. What is
    ``known`` of it unchanged is not measured again.
    """
    asked, examined = prepared.resolved, prepared.batch

    @cache
    def measure(**changes: Any) -> float:
        if known is not None and not changes:
            return known
        # Without a burn-in the second half counts.
        settings = asked.with_changes({"load": None, "burn_in": asked.burn_in or None, **changes})
        network, batch = prepared.network, examined.batch
        if settings.weights is None:
            streams = Streams.from_seed(settings.seed)
            network = draw_network(settings, network.sizes, streams.weights)
        elif changes:
            scaled = network.recurrent_weights * (settings.gain / asked.gain)
            network = replace(network, recurrent_weights=scaled)
        first = None if settings.cell is not asked.cell else examined.initial_state
        noise = batch.noise if settings.noise else None
        trajectory = unroll(network, batch.inputs, first, noise)
        found = study.past_transient(settings, network, trajectory, batch)
        if found is None:
            return np.inf
        return -np.inf if found.growth.rate is None else found.growth.rate

    return measure


def _with_effect_of_training(before: Stage, after: Stage) -> Stage:
    """Return the trained stage, its verdict with a further reason where training shortened the
    reach; that it was trained for a lag that it could not reach is part of it where so it was.
    """
    early, verdict = before.verdict, after.verdict
    reach = early.horizon or early.max_lag + 1
    if verdict.horizon is None or verdict.horizon > SHORTER * reach:
        return after
    numbers = {"horizon_before": early.horizon, "horizon_after": verdict.horizon}
    required = verdict.required_lag
    if required and required <= early.max_lag and verdict.reason(ReasonCode.AT_BASELINE):
        arrived = float(before.profile.median[required - 1])
        if arrived < np.log(Thresholds().fine):
            numbers |= {"required_lag": required, "log10_norm_before": plain(arrived / LN_10)}
    reason = Reason(ReasonCode.TRAINING_SHORTENED, numbers)
    return replace(after, verdict=replace(verdict, reasons=(*verdict.reasons, reason)))


def train_network(prepared: Prepared, task: Problem, watch: Watcher | None) -> Trained:
    """Train on batches of their own random stream, as far as the network can be examined."""
    settings, network, flossed = prepared.resolved, prepared.network, None
    streams = Streams.from_seed(settings.seed)
    fits = partial(study.takes_first_step, evaluation=prepared.batch)
    if settings.floss:
        # The exponents are pulled to 0 by Adam, on small batches of a random stream of their own.
        rng, few = streams.flossing, min(settings.batch, FLOSSED_SEQUENCES)
        flossed = train(
            network,
            lambda: with_noise(settings.noise, rng, network, task.draw(rng, few)),
            adam(DEFAULT_LEARNING_RATE[OptimizerName.ADAM]),
            settings.floss,
            limits=Limits(exponents=settings.hidden),
            fits=fits,
        )
    noisy = partial(with_noise, settings.noise, streams.training_noise, network)
    rate = settings.learning_rate or DEFAULT_LEARNING_RATE[settings.optimizer]
    return train(
        network,
        lambda: noisy(task.draw(streams.training, settings.batch)),
        OPTIMIZERS[settings.optimizer](rate),
        settings.updates,
        limits=Limits(settings.clip_norm, settings.clip_value, settings.truncate, settings.omega),
        watch=watch,
        fits=fits,
        flossed=flossed,
    )
