"""What the network is asked to learn, with one face for a synthetic task and a series of one's
own.
"""

from collections.abc import Callable
from dataclasses import dataclass

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
    """Batches to learn from, sequences to examine and to validate on, and what is known of the
    task.

    ``draw(rng, n)`` returns a training batch, ``examine(rng, n)`` the sequences whose Jacobians are
    multiplied, ``validate(rng, n)`` held-out ones.
    """

    task_info: TaskInfo
    n_inputs: int
    n_outputs: int
    draw: Callable[[np.random.Generator, int], Batch]
    examine: Callable[[np.random.Generator, int], Batch]
    validate: Callable[[np.random.Generator, int], Batch]


def task_problem(name: TaskName, steps: int, delay: int | None = None) -> Problem:
    """Ask for a synthetic task of T steps; every batch is drawn fresh."""
    task = make_task(name, steps, delay)
    return Problem(
        task_info=task.task_info,
        n_inputs=task.n_inputs,
        n_outputs=task.n_outputs,
        draw=task.draw,
        examine=task.draw,
        validate=task.draw,
    )


def series_problem(
    table: Table, name: str, steps: int, validation_fraction: float = 0.2
) -> Problem:
    """Ask for the next value of a series, read from the file of this name; the last part of it is
    held out.

    The baseline is the error of repeating the last value on the held-out part; how far back one
    must remember to do better is what nobody knows.
    """
    series = prepare_series(table, steps, validation_fraction)
    held_out = series.validation_batch(MAX_HELD_OUT)
    width = len(table.names)
    task_info = TaskInfo(
        description=f"say the next value of {', '.join(table.names)} ({name})",
        error=ErrorName.SQUARED,
        required_lag=None,
        baseline=Baseline(repeat_last_error(held_out), "repeating the last value"),
    )
    return Problem(
        task_info=task_info,
        n_inputs=width,
        n_outputs=width,
        draw=series.training_batch,
        examine=lambda _rng, n: series.examination_batch(n),
        validate=lambda _rng, _n: held_out,
    )
