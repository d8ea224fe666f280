"""Every task does what its definition says, and its baseline is what its predictor measures."""

from collections.abc import Callable

import numpy as np
import pytest

from gradscope.arrays import FloatArray
from gradscope.data.batch import Batch
from gradscope.data.problem import Problem
from gradscope.data.series import memoryless_error
from gradscope.data.tasks import TASKS, make_task
from gradscope.errors import SettingError
from gradscope.learning.losses import error_per_step
from gradscope.names import ErrorName, TaskName
from tests.present import present

EVERY = [
    (TaskName.RECALL, 30),
    (TaskName.ADDING, 30),
    (TaskName.COPY, 40),
    (TaskName.TEMPORAL_ORDER, 50),
    (TaskName.SINE, 30),
]
MANY = 4000


def drawn(name: TaskName, steps: int, n: int = 200, delay: int | None = None) -> Batch:
    return make_task(name, steps, delay).draw(np.random.default_rng(1), n)


# --- Definitions -------------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [0, 1, 7, 11])
def test_recall_wants_what_came_d_steps_ago(delay: int) -> None:
    batch = drawn(TaskName.RECALL, 12, delay=delay)

    at_step = batch.targets.at_step
    assert at_step.tolist() == [step > delay for step in range(1, 13)]
    for step in range(delay + 1, 13):
        np.testing.assert_array_equal(
            batch.targets.values[step - 1], batch.inputs[step - 1 - delay]
        )


def test_recall_goes_back_half_of_the_steps_by_default() -> None:
    assert make_task(TaskName.RECALL, 13).task_info.required_lag == 6


def test_recall_draws_standard_normal_values() -> None:
    inputs = drawn(TaskName.RECALL, 100, n=400).inputs

    assert inputs.mean() == pytest.approx(0.0, abs=4.0 / 200.0)
    assert inputs.var() == pytest.approx(1.0, abs=4.0 * np.sqrt(2.0) / 200.0)


def test_adding_marks_one_value_in_each_half_and_wants_their_sum_at_the_end() -> None:
    batch = drawn(TaskName.ADDING, 11)
    values, markers = batch.inputs[..., 0], batch.inputs[..., 1]

    assert ((values >= 0.0) & (values < 1.0)).all()
    assert set(np.unique(markers)) == {0.0, 1.0}
    np.testing.assert_array_equal(markers[:5].sum(axis=0), 1.0)
    np.testing.assert_array_equal(markers[5:].sum(axis=0), 1.0)
    assert (markers.sum(axis=1) > 0).all()  # every place is marked in some sequence
    np.testing.assert_allclose(batch.targets.values[-1, :, 0], (values * markers).sum(axis=0))
    assert batch.targets.at_step.tolist() == [False] * 10 + [True]


def test_copy_shows_ten_symbols_then_blanks_and_a_signal_and_wants_them_again() -> None:
    steps = 33
    batch = drawn(TaskName.COPY, steps)
    seen, wanted = batch.inputs.argmax(axis=2), batch.targets.values.argmax(axis=2)

    np.testing.assert_array_equal(batch.inputs.sum(axis=2), 1.0)
    assert set(np.unique(seen[:10])) == set(range(8))
    assert set(np.unique(seen[10 : steps - 11])) == {8}
    assert set(np.unique(seen[steps - 11])) == {9}
    assert set(np.unique(seen[-10:])) == {8}
    np.testing.assert_array_equal(wanted[:-10], 8)
    np.testing.assert_array_equal(wanted[-10:], seen[:10])
    assert batch.targets.at_step.all()
    assert batch.targets.error is ErrorName.CROSS_ENTROPY


def test_temporal_order_hides_two_of_two_symbols_and_asks_which_pair_it_was() -> None:
    batch = drawn(TaskName.TEMPORAL_ORDER, 50, n=MANY)
    seen = batch.inputs.argmax(axis=2)
    places = seen < 2

    np.testing.assert_array_equal(batch.inputs.sum(axis=2), 1.0)
    np.testing.assert_array_equal(places.sum(axis=0), 2)
    early = places.argmax(axis=0)
    late = 49 - places[::-1].argmax(axis=0)
    assert set(np.unique(early)) == set(range(5, 10))
    assert set(np.unique(late)) == set(range(25, 30))
    every = np.arange(MANY)
    classes = 2 * seen[early, every] + seen[late, every]
    np.testing.assert_array_equal(batch.targets.values[-1].argmax(axis=1), classes)
    np.testing.assert_allclose(np.bincount(classes) / MANY, 0.25, atol=0.03)
    assert set(np.unique(seen[~places])) == {2, 3, 4, 5}
    assert batch.targets.at_step.tolist() == [False] * 49 + [True]


def test_temporal_order_of_ten_steps_leaves_no_choice_of_place() -> None:
    seen = drawn(TaskName.TEMPORAL_ORDER, 10).inputs.argmax(axis=2)

    np.testing.assert_array_equal(np.flatnonzero((seen < 2).any(axis=1)), [1, 5])


def test_sine_wants_the_next_value_of_a_wave_of_eight_to_thirty_two_steps() -> None:
    batch = drawn(TaskName.SINE, 40)
    x, wanted = batch.inputs[..., 0], batch.targets.values[..., 0]

    np.testing.assert_array_equal(wanted[:-1], x[1:])
    # Three values fix it: x_{t+1} = 2 cos ω x_t − x_{t−1}, with cos ω from x_t, x_{t−1}, x_{t−2}.
    cosines = np.sum((x[2:] + x[:-2]) * x[1:-1], axis=0) / (2.0 * np.sum(x[1:-1] ** 2, axis=0))
    periods = 2.0 * np.pi / np.arccos(cosines)
    assert periods.min() > 8.0 - 1e-6
    assert periods.max() < 32.0 + 1e-6
    np.testing.assert_allclose(wanted[1:], 2.0 * cosines * x[1:] - x[:-1], atol=1e-9)
    assert batch.targets.at_step.all()


# --- Required lag ------------------------------------------------------------------------------


def farthest(name: TaskName, steps: int) -> int:
    """The largest distance from a wanted output back to an input that it depends on."""
    batch = drawn(name, steps, n=MANY)
    places = batch.inputs[..., 1] == 1.0
    if name is TaskName.TEMPORAL_ORDER:
        places = batch.inputs.argmax(axis=2) < 2
    return int(steps - 1 - places.argmax(axis=0).min())


@pytest.mark.parametrize("name", [TaskName.ADDING, TaskName.TEMPORAL_ORDER])
@pytest.mark.parametrize("steps", [21, 50])
def test_the_required_lag_is_the_farthest_that_occurs(name: TaskName, steps: int) -> None:
    assert make_task(name, steps).task_info.required_lag == farthest(name, steps)


def test_copy_requires_the_same_lag_for_each_of_its_symbols() -> None:
    batch, lag = drawn(TaskName.COPY, 33), make_task(TaskName.COPY, 33).task_info.required_lag

    assert lag is not None
    np.testing.assert_array_equal(batch.targets.values[lag:, :, :9], batch.inputs[:10, :, :9])


def test_recall_requires_its_delay_and_sine_two_steps() -> None:
    assert make_task(TaskName.RECALL, 30, 17).task_info.required_lag == 17
    assert make_task(TaskName.SINE, 30).task_info.required_lag == 2
    assert make_task(TaskName.SINE, 2).task_info.required_lag == 1
    assert make_task(TaskName.SINE, 1).task_info.required_lag == 0


# --- Baselines ---------------------------------------------------------------------------------


def always(value: float) -> Callable[[Batch], FloatArray]:
    return lambda batch: np.full_like(batch.targets.values, value)


def blank_then_guess(batch: Batch) -> FloatArray:
    """Logits: certain of the blank until ten steps are left, then of no symbol in particular."""
    logits = np.zeros_like(batch.targets.values)
    logits[:-10, :, 8] = 100.0
    logits[-10:, :, 8] = -100.0
    return logits


@pytest.mark.parametrize(
    ("name", "steps", "predictor"),
    [
        (TaskName.RECALL, 30, always(0.0)),
        (TaskName.ADDING, 30, always(1.0)),
        (TaskName.COPY, 40, blank_then_guess),
        (TaskName.TEMPORAL_ORDER, 50, always(0.0)),
        (TaskName.SINE, 30, always(0.0)),
    ],
)
def test_the_baseline_is_what_its_predictor_measures(
    name: TaskName, steps: int, predictor: Callable[[Batch], FloatArray]
) -> None:
    task = make_task(name, steps)
    batch = task.draw(np.random.default_rng(2), MANY)

    measured = error_per_step(predictor(batch), batch.targets)

    # Errors of single sequences spread by less than twice their mean, over MANY of them.
    constant = present(present(task.task_info.baseline).constant)
    spread = 2.0 * constant / np.sqrt(MANY)
    assert measured == pytest.approx(constant, abs=4.0 * spread)


@pytest.mark.parametrize(
    ("name", "steps", "constants"),
    [
        (TaskName.RECALL, 30, [-0.2, 0.2]),
        (TaskName.ADDING, 30, [0.8, 1.2]),
        (TaskName.SINE, 30, [-0.2, 0.2]),
    ],
)
def test_no_other_constant_does_better_than_the_baseline(
    name: TaskName, steps: int, constants: list[float]
) -> None:
    task = make_task(name, steps)
    batch = task.draw(np.random.default_rng(3), MANY)

    for constant in constants:
        measured = error_per_step(always(constant)(batch), batch.targets)
        assert measured > present(present(task.task_info.baseline).constant) + 0.02


@pytest.mark.parametrize(
    ("name", "steps", "delay"),
    [
        (TaskName.RECALL, 10, 3),
        (TaskName.RECALL, 10, 0),
        (TaskName.ADDING, 4, None),
        (TaskName.ADDING, 30, None),
        (TaskName.SINE, 30, None),
    ],
)
def test_the_memoryless_readout_is_a_least_squares_fit(
    name: TaskName, steps: int, delay: int | None
) -> None:
    task = make_task(name, steps, delay)
    batch = task.draw(np.random.default_rng(4), 4 * MANY)
    at = batch.targets.at_step

    measured = memoryless_error(batch.inputs[at], batch.targets.values[at])

    claimed = present(present(task.task_info.baseline).memoryless)
    assert present(measured) == pytest.approx(claimed, rel=0.03, abs=1e-20)


@pytest.mark.parametrize(
    ("name", "steps"), [(TaskName.COPY, 21), (TaskName.COPY, 40), (TaskName.TEMPORAL_ORDER, 20)]
)
def test_the_memoryless_readout_of_symbols_knows_their_frequencies(
    name: TaskName, steps: int
) -> None:
    # Inputs are one of a few symbols: the best softmax of each is the frequency of its targets.
    task = make_task(name, steps)
    batch = task.draw(np.random.default_rng(5), MANY)
    at = batch.targets.at_step
    symbols, classes = (each[at].argmax(axis=2) for each in (batch.inputs, batch.targets.values))
    counts = np.zeros((symbols.max() + 1, classes.max() + 1))
    np.add.at(counts, (symbols, classes), 1.0)
    of_symbol = counts.sum(axis=1, keepdims=True)

    logs = np.log(counts / np.maximum(of_symbol, 1.0), where=counts > 0, out=np.zeros_like(counts))

    measured = -float((counts * logs).sum() / counts.sum())
    assert measured == pytest.approx(present(present(task.task_info.baseline).memoryless), rel=0.02)


def test_the_better_baseline_is_the_one_that_counts() -> None:
    sine = present(make_task(TaskName.SINE, 30).task_info.baseline)
    at_once = present(make_task(TaskName.RECALL, 10, 0).task_info.baseline)
    adding = present(make_task(TaskName.ADDING, 100).task_info.baseline)

    assert sine.error == sine.memoryless == pytest.approx(0.0726, abs=1e-4)
    assert (at_once.error, at_once.constant) == (0.0, 1.0)
    assert adding.error == adding.constant  # a readout of the last step gains 2e-4 of it


# --- What every task keeps ---------------------------------------------------------------------


@pytest.mark.parametrize(("name", "steps"), EVERY)
def test_shapes_are_those_that_the_task_announces(name: TaskName, steps: int) -> None:
    task = make_task(name, steps)
    batch = task.draw(np.random.default_rng(4), 7)

    assert batch.inputs.shape == (steps, 7, task.n_inputs)
    assert batch.targets.values.shape == (steps, 7, task.n_outputs)
    assert batch.targets.error is task.task_info.error
    assert (batch.n_steps, batch.n_sequences) == (steps, 7)


@pytest.mark.parametrize(("name", "steps"), EVERY)
def test_the_same_seed_draws_the_same_batch_and_the_next_draw_another(
    name: TaskName, steps: int
) -> None:
    task = make_task(name, steps)
    rngs = [np.random.default_rng(5) for _ in range(2)]

    first, again = (task.draw(rng, 5) for rng in rngs)
    later = task.draw(rngs[0], 5)

    assert first.inputs.tobytes() == again.inputs.tobytes()
    assert first.targets.values.tobytes() == again.targets.values.tobytes()
    assert first.inputs.tobytes() != later.inputs.tobytes()


def test_the_limits_are_those_that_the_definitions_leave() -> None:
    # A value in each half; ten symbols, a signal, ten steps; tenths of T that are whole steps.
    assert {name: fewest for name, (fewest, _) in TASKS.items()} == {
        TaskName.ADDING: 2,
        TaskName.COPY: 21,
        TaskName.TEMPORAL_ORDER: 10,
        TaskName.SINE: 1,
    }


def test_a_task_says_in_words_how_far_it_reaches() -> None:
    assert make_task(TaskName.COPY, 100).task_info.description == "copy 10 symbols over 80 steps"
    assert make_task(TaskName.RECALL, 9, 3).task_info.description == "recall task, delay 3"


def fewest_steps(name: TaskName) -> int:
    return TASKS[name][0] if name in TASKS else 1


def shortest(name: TaskName) -> Problem:
    return make_task(name, fewest_steps(name))


@pytest.mark.parametrize("name", TaskName)
def test_the_shortest_sequence_that_a_task_takes_can_be_drawn(name: TaskName) -> None:
    batch = shortest(name).draw(np.random.default_rng(6), 50)

    assert batch.n_steps == fewest_steps(name)
    assert batch.targets.count >= 1
    assert (shortest(name).task_info.required_lag or 0) < batch.n_steps


@pytest.mark.parametrize("name", TASKS)
def test_a_sequence_too_short_for_its_task_is_refused(name: TaskName) -> None:
    limit = TASKS[name][0]

    with pytest.raises(SettingError, match=f"--steps is {limit - 1}, .* choose --steps {limit}"):
        make_task(name, limit - 1)


@pytest.mark.parametrize("delay", [-1, 10, 11])
def test_a_delay_that_does_not_fit_is_refused(delay: int) -> None:
    with pytest.raises(SettingError, match=f"--delay is {delay}, .* allows 0 to 9"):
        make_task(TaskName.RECALL, 10, delay)


@pytest.mark.parametrize("name", [each for each in TaskName if each is not TaskName.RECALL])
def test_only_recall_takes_a_delay(name: TaskName) -> None:
    with pytest.raises(SettingError, match="only the recall task takes a delay"):
        make_task(name, 50, 3)
