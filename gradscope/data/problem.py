"""A problem to learn: a synthetic task, or the next value of a series from a file."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from gradscope.data.batch import Baseline, Batch, TaskInfo
from gradscope.data.series import prepare_series, repeat_last_error
from gradscope.data.table import Table
from gradscope.data.tasks import make_task
from gradscope.names import ErrorName, TaskName

MAX_HELD_OUT = 1024
"""Held-out rows of a series that are predicted, spread evenly over longer tails."""


@dataclass(frozen=True, eq=False, slots=True)
class Problem:
    """A task and its sequences: ``draw(rng, n)`` returns a training batch, ``examine(rng, n)`` the
    sequences whose Jacobians are multiplied, ``validate(rng, n)`` held-out ones;
    ``follow(rng, batch, count)`` adds to examined sequences the inputs of as many further steps.
    """

    task_info: TaskInfo
    n_inputs: int
    n_outputs: int
    draw: Callable[[np.random.Generator, int], Batch]
    examine: Callable[[np.random.Generator, int], Batch]
    validate: Callable[[np.random.Generator, int], Batch]
    follow: Callable[[np.random.Generator, Batch, int], Batch]


def task_problem(name: TaskName, steps: int, delay: int | None = None) -> Problem:
    """Set up a synthetic task of T steps; every batch is drawn fresh."""
    task = make_task(name, steps, delay)
    sizes = (task.n_inputs, task.n_outputs)

    def follow(rng: np.random.Generator, batch: Batch, count: int) -> Batch:
        """Add one fresh sequence of the task after another."""
        draws = range(-(-count // steps))
        further = [task.draw(rng, batch.n_sequences).inputs for _ in draws]
        return replace(batch, further=np.concatenate(further)[:count])

    return Problem(task.task_info, *sizes, task.draw, task.draw, task.draw, follow)


def series_problem(
    table: Table, name: str, steps: int, validation_fraction: float = 0.2
) -> Problem:
    """Set up the prediction of the next value of a series from the file ``name``, its last part
    held out; the baseline is the error of repeating the last value there.
    """
    series = prepare_series(table, steps, validation_fraction)
    held_out = series.validation_batch(MAX_HELD_OUT)
    width = len(table.names)
    task_info = TaskInfo(
        description=f"predict the next value of {', '.join(table.names)} ({name})",
        error=ErrorName.SQUARED,
        required_lag=None,
        baseline=Baseline(repeat_last_error(held_out), "repeat the last value"),
    )
    return Problem(
        task_info,
        width,
        width,
        draw=series.training_batch,
        examine=lambda _rng, n: series.examination_batch(n),
        validate=lambda _rng, _n: held_out,
        follow=lambda _rng, batch, count: series.follow(batch, count),
    )
