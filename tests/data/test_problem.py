"""A task and a series of one's own wear the same face."""

from pathlib import Path

import numpy as np
import pytest

from gradscope.data.problem import series_problem
from gradscope.data.series import MAX_HELD_OUT
from gradscope.data.table import Table, read_table
from gradscope.data.tasks import make_task
from gradscope.names import ErrorName, TaskName
from tests.present import present


def test_a_task_draws_what_it_is_examined_and_validated_on_like_its_batches() -> None:
    problem, task = make_task(TaskName.RECALL, 9, 4), make_task(TaskName.RECALL, 9, 4)
    expected = task.draw(np.random.default_rng(1), 5)

    for draw in (problem.draw, problem.examine, problem.validate):
        batch = draw(np.random.default_rng(1), 5)
        np.testing.assert_array_equal(batch.inputs, expected.inputs)
    assert (problem.task_info.required_lag, problem.n_inputs, problem.n_outputs) == (4, 1, 1)


@pytest.fixture
def ramp(tmp_path: Path) -> Path:
    """A file of two columns: a ramp and its square."""
    path = tmp_path / "ramp.csv"
    path.write_text("a,b\n" + "".join(f"{n},{n * n}\n" for n in range(100)))
    return path


def test_a_series_asks_for_its_next_row_and_holds_its_end_back(ramp: Path) -> None:
    problem = series_problem(read_table(ramp, ("a", "b")), ramp.name, 10)

    assert (problem.n_inputs, problem.n_outputs) == (2, 2)
    assert problem.task_info.required_lag == 1  # both columns follow from the row before
    assert problem.task_info.error is ErrorName.SQUARED
    assert problem.task_info.description == "predict the next value of a, b (ramp.csv)"
    batch = problem.draw(np.random.default_rng(1), 6)
    assert batch.inputs.shape == (10, 6, 2)
    np.testing.assert_array_equal(batch.targets.values[:-1], batch.inputs[1:])
    held_out = problem.validate(np.random.default_rng(2), 3)
    assert held_out.targets.values.max() > batch.targets.values.max()
    assert held_out.n_sequences <= MAX_HELD_OUT


def test_the_baseline_of_a_series_is_the_best_of_mean_readout_and_last_value(
    ramp: Path,
) -> None:
    # A ramp of rows 0 … 99, 80 of them to train on: x_t + 1 is a readout of x_t without an error.
    problem = series_problem(read_table(ramp, ("a",)), ramp.name, 10)
    # A step up and down, of which every second one is held out: the last value repeats itself.
    stairs = np.repeat(np.random.default_rng(0).choice([-1.0, 1.0], 10), 10)
    stairs[80:] = 5.0  # beyond all that a readout was fitted to
    held = series_problem(Table(("a",), stairs[:, None]), "stairs", 5)
    noise = np.random.default_rng(1).normal(size=3000)
    white = series_problem(Table(("a",), noise[:, None]), "noise", 5)

    found = present(problem.task_info.baseline)
    deviation = np.std(np.arange(80))
    mean_error = np.mean((np.arange(80, 100) - 39.5) ** 2) / deviation**2
    assert found.error == found.memoryless == pytest.approx(0.0, abs=1e-20)
    assert found.constant == pytest.approx(mean_error, rel=1e-9)
    assert present(held.task_info.baseline).meaning == "repeat the last value"
    assert present(white.task_info.baseline).error == present(white.task_info.baseline).constant


def test_too_few_rows_reward_no_lag_that_is_known() -> None:
    values = np.array([1.0, 2.0, 4.0, 3.0])

    info = series_problem(Table(("a",), values[:, None]), "short", 1).task_info

    assert (info.required_lag, info.lag_errors, present(info.baseline).memoryless) == (None,) * 3


def test_a_series_is_examined_on_the_same_windows_whatever_the_seed(ramp: Path) -> None:
    problem = series_problem(read_table(ramp, ("a",)), ramp.name, 10)

    one, other = (problem.examine(np.random.default_rng(seed), 4).inputs for seed in (1, 2))

    np.testing.assert_array_equal(one, other)


def test_fresh_sequences_of_a_task_follow_the_examined_ones() -> None:
    problem, task = make_task(TaskName.SINE, 9), make_task(TaskName.SINE, 9)
    batch = problem.examine(np.random.default_rng(1), 5)

    found = problem.follow(np.random.default_rng(2), batch, 20)

    rng = np.random.default_rng(2)
    fresh = np.concatenate([task.draw(rng, 5).inputs for _ in range(3)])[:20]
    np.testing.assert_array_equal(present(found.further), fresh)
    np.testing.assert_array_equal(found.all_inputs, np.concatenate([batch.inputs, fresh]))
    assert found.stride == 1
    assert found.first(8).further is None


def test_the_rows_that_come_next_follow_the_windows_of_a_series(ramp: Path) -> None:
    problem = series_problem(read_table(ramp, ("a",)), ramp.name, 10)
    rng = np.random.default_rng(1)
    batch = problem.examine(rng, 6)

    found = problem.follow(rng, batch, 25)

    values = found.all_inputs[:, :, 0]
    assert np.abs(np.diff(np.sort(np.unique(np.round(values, 9)))).std()) < 1e-9
    rows = np.rint((values - values.min()) / np.diff(np.unique(np.round(values, 9)))[0])
    # Rows 0 … 79 are those to train on; after the last comes the first.
    np.testing.assert_array_equal(np.diff(rows, axis=0) % 80, 1)
    # Windows start 14 rows apart: 10 steps of every one are its own.
    assert found.stride == 1
    assert problem.follow(rng, problem.examine(rng, 36), 25).stride == 6
