"""What one step can add at most."""

import numpy as np
import pytest

from gradscope.diagnosis.theory import log_spectral_norm
from gradscope.model.elman import log_bound_per_step


def test_the_bound_of_one_step_is_the_logarithm_of_gamma_times_sigma_max() -> None:
    w = np.diag([3.0, -5.0])

    assert log_spectral_norm(w) == pytest.approx(np.log(5.0), rel=1e-14)
    assert log_bound_per_step(w, 1.0) == pytest.approx(np.log(5.0), rel=1e-14)
    assert log_bound_per_step(w, 0.25) == pytest.approx(np.log(1.25), rel=1e-14)


def test_it_is_sigma_max_that_counts_not_the_spectral_radius() -> None:
    assert log_bound_per_step(np.array([[0.0, 7.0], [0.0, 0.0]]), 1.0) == pytest.approx(np.log(7.0))


def test_a_leak_puts_the_held_state_beside_it() -> None:
    found = log_bound_per_step(np.diag([3.0, -5.0]), 0.25, leak=0.4)

    assert found == pytest.approx(np.log(0.6 + 0.4 * 0.25 * 5.0), rel=1e-14)


def test_weights_of_zero_have_minus_infinity() -> None:
    assert log_spectral_norm(np.zeros((2, 2))) == -np.inf
    assert log_bound_per_step(np.zeros((2, 2)), 1.0) == -np.inf
    assert log_bound_per_step(np.zeros((2, 2)), 1.0, leak=0.5) == pytest.approx(-np.log(2.0))
