"""A problem to learn: a synthetic task, or the next value of a series from a file."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from gradscope.data.batch import Baseline, Batch, TaskInfo
from gradscope.data.series import MAX_HELD_OUT, lag_errors, prepare_series, rewarded_lag
from gradscope.data.table import Table
from gradscope.errors import SettingError
from gradscope.names import ErrorName

Draw = Callable[[np.random.Generator, int], Batch]


@dataclass(frozen=True, eq=False, slots=True)
class Problem:
    """A task and its sequences: ``draw(rng, n)`` returns a training batch, ``examine(rng, n)`` the
    sequences whose Jacobians are multiplied, ``validate(rng, n)`` held-out ones;
    ``follow(rng, batch, count)`` adds to examined sequences the inputs of as many further steps. Of
    what a file holds ``halves`` returns all there is to learn from, a target at each step that has
    one, and all that is held out; None of a task. The baseline in ``task_info`` is the mean step
    error of the best predictor that needs no memory.
    """

    task_info: TaskInfo
    n_inputs: int
    n_outputs: int
    draw: Draw
    examine: Draw
    validate: Draw
    follow: Callable[[np.random.Generator, Batch, int], Batch]
    halves: Callable[[], tuple[Batch, Batch]] | None = None


def recorded_problem(batch: Batch, task_info: TaskInfo, validation: float) -> Problem:
    """Set up learning from given sequences (T,B,D) with targets, the part ``validation`` of them
    held out, at least one, the same for every seed. SettingError for a single sequence.
    """
    if batch.n_sequences < 2:
        raise SettingError("there is one sequence alone; to train, cut it into windows (--steps)")
    places = np.random.default_rng(0).permutation(batch.n_sequences)
    count = min(max(round(validation * places.size), 1), places.size - 1)
    held_out, learned = batch.of(np.sort(places[:count])), batch.of(np.sort(places[count:]))
    return Problem(
        task_info,
        batch.inputs.shape[2],
        batch.targets.values.shape[2],
        draw=lambda rng, n: learned.of(rng.integers(learned.n_sequences, size=n)),
        examine=lambda _rng, n: learned.of(slice(n)),
        validate=lambda _rng, _n: held_out,
        follow=lambda _rng, examined, _count: examined,
        halves=lambda: (learned, held_out),
    )


def series_problem(
    table: Table, name: str, steps: int, validation_fraction: float = 0.2
) -> Problem:
    """Set up the prediction of the next value of a series from the file ``name``, its last part
    held out; the baseline is the best there of the training mean, a linear readout of the last row
    that was fitted to the training rows, and repeating it.
    """
    series = prepare_series(table, steps, validation_fraction)
    held_out = series.validation_batch(MAX_HELD_OUT)
    width, errors = len(table.names), lag_errors(series)
    last, wanted = held_out.inputs[-1], held_out.targets.values[-1]
    constant, repeated = (float(np.mean(np.square(wanted - each))) for each in (0.0, last))
    readout = None if errors is None else float(errors[0])
    baseline = Baseline.of(constant, "always predict the mean of the training part", readout)
    if repeated <= baseline.error:
        baseline = replace(baseline, error=repeated, meaning="repeat the last value")
    task_info = TaskInfo(
        description=f"predict the next value of {', '.join(table.names)} ({name})",
        error=ErrorName.SQUARED,
        required_lag=None if errors is None else rewarded_lag(errors),
        baseline=baseline,
        lag_errors=errors,
        lag_is_longest=True,
    )
    return Problem(
        task_info,
        width,
        width,
        draw=series.training_batch,
        examine=lambda _rng, n: series.examination_batch(n),
        validate=lambda _rng, _n: held_out,
        follow=lambda _rng, batch, count: series.follow(batch, count),
        halves=series.halves,
    )
