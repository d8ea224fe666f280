"""Synthetic tasks whose required lag is known: how far back the network must reach to solve them.

===============  ===================================================================================
recall           x_t ~ N(0,1); y_t = x_{t−d}, the input of d steps ago (after Jaeger 2001). Required
                 lag d.
adding           x_t = (value U[0,1], marker); two values are marked, one in each half; their sum is
                 wanted at the end. Hochreiter & Schmidhuber (1997), in the form of Le et al.
                 (2015). Required lag up to T − 1.
copy             ten of eight symbols, blanks, a signal, ten steps to repeat them: T − 20 steps lie
                 between. Arjovsky, Shah & Bengio (2016), section 5.1. Required lag T − 10.
temporal-order   two of the symbols X, Y among distractors, near T/10 and T/2; which pair was it, in
                 which order? Hochreiter & Schmidhuber (1997), task 6a. Required lag up to T minus
                 the earliest first place.
sine             sin of unknown frequency and phase; the next value is wanted. Three values fix it:
                 required lag 2.
===============  ===================================================================================
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from gradscope.data.batch import Baseline, Batch, Targets, TaskInfo
from gradscope.data.problem import Draw, Problem
from gradscope.errors import SettingError
from gradscope.model.activations import word_of
from gradscope.names import ErrorName, TaskName

COPY_SYMBOLS = 8
COPY_LENGTH = 10
SINE_PERIODS = (8.0, 32.0)


def make_task(name: TaskName, steps: int, delay: int | None = None) -> Problem:
    """Set up a task of T = ``steps`` steps; ``delay`` is d of ``recall``, in steps: 0 … T − 1, half
    of T by default. The other tasks set their own lag.

    Raises SettingError if the task does not fit into so few steps, or takes no such delay.
    """
    name = word_of(TaskName, name)
    if name is TaskName.RECALL:
        return _recall(steps, steps // 2 if delay is None else delay)
    if delay is not None:
        raise SettingError(f"only the recall task takes a delay; leave --delay {delay} out")
    shortest, make = TASKS[name]
    if steps < shortest:
        raise SettingError(
            f"--steps is {steps}, but the {name} task needs {shortest} or more; choose --steps "
            f"{shortest} or more"
        )
    return make(steps)


def _fresh(task_info: TaskInfo, sizes: tuple[int, int], draw: Draw) -> Problem:
    """Return a task of sizes (D, O), every batch of which is drawn fresh."""

    def follow(rng: np.random.Generator, batch: Batch, count: int) -> Batch:
        """Add one fresh sequence of the task after another."""
        draws = range(-(-count // batch.n_steps))
        further = [draw(rng, batch.n_sequences).inputs for _ in draws]
        return replace(batch, further=np.concatenate(further)[:count])

    return Problem(task_info, *sizes, draw, draw, draw, follow)


def _recall(steps: int, delay: int) -> Problem:
    if not 0 <= delay < steps:
        raise SettingError(
            f"--delay is {delay}, but a sequence of {steps} steps allows 0 to {steps - 1}; choose "
            "a shorter delay, or more --steps"
        )
    at_step = np.arange(1, steps + 1) > delay

    def draw(rng: np.random.Generator, n_sequences: int) -> Batch:
        inputs = rng.standard_normal((steps, n_sequences, 1))
        values = np.zeros_like(inputs)
        values[delay:] = inputs[: steps - delay]
        return Batch(inputs, Targets(values, at_step))

    # With a delay the input of now is independent of the target, without one it is the target.
    baseline = Baseline.of(1.0, "always predict the mean (0)", 1.0 if delay else 0.0)
    task_info = TaskInfo(f"recall task, delay {delay}", ErrorName.SQUARED, delay, baseline)
    return _fresh(task_info, (1, 1), draw)


def _adding(steps: int) -> Problem:
    half = steps // 2

    def draw(rng: np.random.Generator, n_sequences: int) -> Batch:
        inputs = np.zeros((steps, n_sequences, 2))
        inputs[:, :, 0] = rng.uniform(0.0, 1.0, (steps, n_sequences))
        every = np.arange(n_sequences)
        inputs[rng.integers(0, half, n_sequences), every, 1] = 1.0
        inputs[rng.integers(half, steps, n_sequences), every, 1] = 1.0
        values = np.zeros((steps, n_sequences, 1))
        values[-1, :, 0] = np.sum(inputs[:, :, 0] * inputs[:, :, 1], axis=0)
        return Batch(inputs, Targets(values, np.arange(1, steps + 1) == steps))

    # The last value counts where the last step is the marked one, with probability 1/(T − T/2):
    # it covaries with the sum by its variance, 1/12, times that.
    memoryless = 1.0 / 6.0 - 1.0 / (12.0 * (steps - half) ** 2)
    baseline = Baseline.of(1.0 / 6.0, "always predict the mean of the sum (1)", memoryless)
    words, squared = "add the two marked values", ErrorName.SQUARED
    task_info = TaskInfo(words, squared, steps - 1, baseline, lag_is_longest=True)
    return _fresh(task_info, (2, 1), draw)


def _copy(steps: int) -> Problem:
    blank, signal = COPY_SYMBOLS, COPY_SYMBOLS + 1

    def draw(rng: np.random.Generator, n_sequences: int) -> Batch:
        symbols = rng.integers(0, COPY_SYMBOLS, (COPY_LENGTH, n_sequences))
        seen = np.full((steps, n_sequences), blank)
        seen[:COPY_LENGTH] = symbols
        seen[steps - COPY_LENGTH - 1] = signal
        wanted = np.full((steps, n_sequences), blank)
        wanted[-COPY_LENGTH:] = symbols
        targets = np.eye(COPY_SYMBOLS + 1)[wanted]
        everywhere = np.ones(steps, dtype=np.bool_)
        return Batch(
            np.eye(COPY_SYMBOLS + 2)[seen], Targets(targets, everywhere, ErrorName.CROSS_ENTROPY)
        )

    error = float(COPY_LENGTH * np.log(COPY_SYMBOLS) / steps)
    # A readout of x_t has no clock: of a blank it knows how often (``quiet``) a blank is wanted.
    quiet, blanks = steps - 2 * COPY_LENGTH - 1, steps - COPY_LENGTH - 1
    guesses = COPY_LENGTH * np.log(COPY_SYMBOLS * blanks / COPY_LENGTH)
    memoryless = float(guesses + quiet * np.log(blanks / max(quiet, 1))) / steps
    task_info = TaskInfo(
        f"copy {COPY_LENGTH} symbols over {steps - 2 * COPY_LENGTH} steps",
        ErrorName.CROSS_ENTROPY,
        steps - COPY_LENGTH,
        Baseline.of(error, "predict blanks, then guess among the eight symbols", memoryless),
    )
    return _fresh(task_info, (COPY_SYMBOLS + 2, COPY_SYMBOLS + 1), draw)


def _temporal_order(steps: int) -> Problem:
    first = (steps // 10, max(steps // 10 + 1, 2 * steps // 10))
    second = (5 * steps // 10, max(5 * steps // 10 + 1, 6 * steps // 10))

    def draw(rng: np.random.Generator, n_sequences: int) -> Batch:
        every = np.arange(n_sequences)
        seen = rng.integers(2, 6, (steps, n_sequences))
        early, late = rng.integers(0, 2, (2, n_sequences))
        seen[rng.integers(*first, n_sequences), every] = early
        seen[rng.integers(*second, n_sequences), every] = late
        values = np.zeros((steps, n_sequences, 4))
        values[-1, every, 2 * early + late] = 1.0
        targets = Targets(values, np.arange(1, steps + 1) == steps, ErrorName.CROSS_ENTROPY)
        return Batch(np.eye(6)[seen], targets)

    task_info = TaskInfo(
        "tell the order of two symbols",
        ErrorName.CROSS_ENTROPY,
        steps - 1 - first[0],
        Baseline.of(float(np.log(4.0)), "guess among the four classes", float(np.log(4.0))),
        lag_is_longest=True,
    )
    return _fresh(task_info, (6, 4), draw)


def _sine(steps: int) -> Problem:
    times = np.arange(steps + 1)[:, None]

    def draw(rng: np.random.Generator, n_sequences: int) -> Batch:
        frequency = 2.0 * np.pi / rng.uniform(*SINE_PERIODS, n_sequences)
        phase = rng.uniform(0.0, 2.0 * np.pi, n_sequences)
        wave = np.sin(frequency * times + phase)[:, :, None]
        return Batch(wave[:-1], Targets(wave[1:], np.ones(steps, dtype=np.bool_)))

    # At a random phase y_t is cos(ω) x_t and a part independent of x_t: the slope is E cos(ω).
    periods = np.interp((np.arange(1000) + 0.5) / 1000, (0.0, 1.0), SINE_PERIODS)  # midpoints
    slope = float(np.mean(np.cos(2.0 * np.pi / periods)))
    baseline = Baseline.of(0.5, "always predict the mean (0)", (1.0 - slope**2) / 2.0)
    lag = min(2, steps - 1)
    task_info = TaskInfo("predict the next value of a sine", ErrorName.SQUARED, lag, baseline)
    return _fresh(task_info, (1, 1), draw)


TASKS: Mapping[TaskName, tuple[int, Callable[[int], Problem]]] = {
    TaskName.ADDING: (2, _adding),
    TaskName.COPY: (2 * COPY_LENGTH + 1, _copy),
    TaskName.TEMPORAL_ORDER: (10, _temporal_order),
    TaskName.SINE: (1, _sine),
}
"""The fewest steps of each task without a delay, and what sets it up."""
