"""Case A15: what the tasks cost a predictor that remembers nothing."""

import numpy as np
import pytest

from gradscope.data.tasks import make_task
from gradscope.learning.losses import error_per_step
from gradscope.names import TaskName
from tests.present import present


def test_a15_adding_costs_one_sixth() -> None:
    task = make_task(TaskName.ADDING, 100)
    batch = task.draw(np.random.default_rng(1), 20_000)

    # The error of one sequence has mean 1/6 and a standard deviation below 1/5.
    measured = error_per_step(np.ones_like(batch.targets.values), batch.targets)
    assert present(task.task_info.baseline).error == pytest.approx(1.0 / 6.0, rel=1e-12)
    assert measured == pytest.approx(1.0 / 6.0, abs=4 * 0.2 / np.sqrt(20_000))


def test_a15_copy_costs_ten_logarithms_of_eight_over_all_steps() -> None:
    # T = 100 blanks lie between the ten symbols and the ten steps that say them again.
    task = make_task(TaskName.COPY, 100 + 20)
    batch = task.draw(np.random.default_rng(2), 50)
    logits = np.zeros_like(batch.targets.values)
    logits[:-10, :, 8], logits[-10:, :, 8] = 1000.0, -1000.0

    assert present(task.task_info.baseline).error == pytest.approx(10 * np.log(8) / 120, rel=1e-12)
    assert present(task.task_info.baseline).error == pytest.approx(0.17329, abs=5e-6)
    assert error_per_step(logits, batch.targets) == pytest.approx(0.17329, abs=5e-6)


def test_a15_temporal_order_costs_the_logarithm_of_four() -> None:
    task = make_task(TaskName.TEMPORAL_ORDER, 100)
    batch = task.draw(np.random.default_rng(3), 50)

    measured = error_per_step(np.zeros_like(batch.targets.values), batch.targets)
    assert present(task.task_info.baseline).error == pytest.approx(np.log(4.0), rel=1e-12)
    assert measured == pytest.approx(np.log(4.0), rel=1e-12)
