"""The signal of a batch's gradient against its closed form, and where there is none."""

import numpy as np
import pytest

from gradscope.data.batch import Batch, Targets
from gradscope.data.tasks import make_task
from gradscope.learning.readout import signal_to_noise
from gradscope.model.initializers import initialize
from gradscope.names import ActivationName, TaskName


def test_of_one_linear_step_it_is_the_closed_form() -> None:
    """H = U x, y = V h, A = x: s is −2 U on V and −2 V on U, on average; S² = 4 (‖U‖² + ‖V‖²)."""
    rng = np.random.default_rng(1)
    network = initialize(rng, (1, 6, 1), activation=ActivationName.IDENTITY)
    task = make_task(TaskName.RECALL, 1, 0)
    squared, upper = signal_to_noise(network, [task.draw(rng, 400) for _ in range(60)])
    norms = np.sum(network.input_weights**2) + np.sum(network.output_weights**2)
    # N² = Σ var g by simulation of the same closed form: g_V = 2 (VU − 1) x² U, and so on.
    x2 = np.mean(rng.standard_normal((4000, 400)) ** 2, axis=1)
    x1 = np.mean(rng.standard_normal((4000, 400)), axis=1)
    gain = 2.0 * (float((network.output_weights @ network.input_weights)[0, 0]) - 1.0)
    noise = gain**2 * (np.var(x2) * norms + np.var(x1) * (np.sum(network.output_weights**2) + 1.0))
    assert squared == pytest.approx(4.0 * norms / noise, rel=0.3)
    assert squared <= upper


def test_targets_that_have_nothing_to_do_with_the_inputs_have_no_signal() -> None:
    rng = np.random.default_rng(2)
    network = initialize(rng, (1, 8, 1))
    found, upper = [], []
    for _ in range(20):
        batches = []
        for _ in range(16):
            targets = Targets(rng.standard_normal((5, 32, 1)), np.ones(5, dtype=np.bool_))
            batches.append(Batch(rng.standard_normal((5, 32, 1)), targets))
        squared, at_most = signal_to_noise(network, batches)
        found.append(squared)
        upper.append(at_most)
        assert abs(squared) < 0.3
    assert abs(np.mean(found)) < 0.06
    assert np.mean(np.array(upper) > 0.0) >= 0.85


def test_the_lag_drowns_it() -> None:
    rng = np.random.default_rng(4)
    network = initialize(rng, (1, 32, 1))
    near, far = (
        signal_to_noise(network, [task.draw(rng, 32) for _ in range(32)])[1]
        for task in (make_task(TaskName.RECALL, 10, 2), make_task(TaskName.RECALL, 100, 50))
    )
    assert near > 1.0
    assert far < 0.05 * near
