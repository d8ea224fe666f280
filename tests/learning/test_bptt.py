"""Backpropagation through time in closed form: scalar linear nets, where every number is known."""

import numpy as np
import pytest

from gradscope.data.batch import Targets
from gradscope.learning.bptt import backpropagate, global_norm
from gradscope.model.activations import IDENTITY
from gradscope.model.elman import ElmanParameters
from gradscope.model.initializers import initialize
from gradscope.model.trajectory import unroll
from gradscope.names import InitializerName

STEPS, W, START, WANTED = 6, 0.9, 2.0, 0.3


def scalar(w: float, v: float = 1.0) -> ElmanParameters:
    """h_t = w h_{t−1} + x_t, y_t = v h_t."""
    return ElmanParameters(
        input_weights=np.ones((1, 1)),
        recurrent_weights=np.array([[w]]),
        hidden_bias=np.zeros(1),
        output_weights=np.array([[v]]),
        output_bias=np.zeros(1),
        activation=IDENTITY,
    )


def at_end(steps: int = STEPS) -> Targets:
    return Targets(np.full((steps, 1, 1), WANTED), np.arange(1, steps + 1) == steps)


@pytest.mark.parametrize("truncation", [0, 1, 2, 5, 6, 100, None])
def test_each_lag_brings_an_equal_part_of_the_slope_of_a_power(truncation: int | None) -> None:
    # h_T = w^T h_0, so ∂h_T/∂w = Σ over the lags 0 … T−1 of w^{T−1} h_0, one equal part a lag.
    trajectory = unroll(scalar(W), np.zeros((STEPS, 1, 1)), np.array([[START]]))

    gradients = backpropagate(scalar(W), trajectory, at_end(), truncation=truncation)

    gap = W**STEPS * START - WANTED
    lags = STEPS if truncation is None else min(truncation + 1, STEPS)
    expected = 2.0 * gap * lags * W ** (STEPS - 1) * START
    assert gradients.loss == pytest.approx(gap**2, rel=1e-13)
    assert gradients.weights["recurrent_weights"][0, 0] == pytest.approx(expected, rel=1e-13)
    assert gradients.weights["output_weights"][0, 0] == pytest.approx(2 * gap * W**STEPS * START)
    assert gradients.weights["output_bias"][0] == pytest.approx(2.0 * gap, rel=1e-13)


@pytest.mark.parametrize("truncation", [0, 2, None])
def test_the_adjoint_of_h_t_is_the_error_times_w_to_the_distance(truncation: int | None) -> None:
    trajectory = unroll(scalar(W), np.zeros((STEPS, 1, 1)), np.array([[START]]))

    adjoints = backpropagate(scalar(W), trajectory, at_end(), truncation=truncation).hidden_adjoints

    distance = STEPS - np.arange(STEPS + 1)
    expected = 2.0 * (W**STEPS * START - WANTED) * W**distance
    expected[distance > (STEPS if truncation is None else truncation)] = 0.0
    np.testing.assert_allclose(adjoints[:, 0, 0], expected, rtol=1e-13)


def test_the_loss_is_the_sum_over_time_of_the_step_errors() -> None:
    trajectory = unroll(scalar(0.0, v=3.0), np.arange(1.0, 5.0).reshape(4, 1, 1))
    targets = Targets(np.zeros((4, 1, 1)), np.array([True, False, True, True]))

    gradients = backpropagate(scalar(0.0, v=3.0), trajectory, targets)

    np.testing.assert_array_equal(gradients.step_errors, [9.0, 0.0, 81.0, 144.0])
    assert gradients.loss == 9.0 + 81.0 + 144.0


def test_the_input_weight_gathers_each_input_with_its_own_adjoint() -> None:
    # With w = 0 nothing travels: ∂E/∂u = Σ_t 2 v² u x_t² = 2 Σ x_t², ∂E/∂b = 2 Σ x_t.
    inputs = np.arange(1.0, 5.0).reshape(4, 1, 1)
    targets = Targets(np.zeros((4, 1, 1)), np.ones(4, dtype=np.bool_))

    weights = backpropagate(scalar(0.0), unroll(scalar(0.0), inputs), targets).weights

    assert weights["input_weights"][0, 0] == 2.0 * (1 + 4 + 9 + 16)
    assert weights["hidden_bias"][0] == 2.0 * (1 + 2 + 3 + 4)


@pytest.mark.parametrize("truncation", [STEPS, STEPS + 7])
def test_truncation_at_the_whole_length_is_no_truncation(truncation: int) -> None:
    rng = np.random.default_rng(1)
    params = initialize(rng, (2, 5, 3), scheme=InitializerName.UNIFORM)
    trajectory = unroll(params, rng.normal(size=(STEPS, 4, 2)))
    targets = Targets(rng.normal(size=(STEPS, 4, 3)), np.ones(STEPS, dtype=np.bool_))

    full = backpropagate(params, trajectory, targets)
    cut = backpropagate(params, trajectory, targets, truncation=truncation)

    for name, array in full.weights.items():
        np.testing.assert_array_equal(cut.weights[name], array)


def test_truncation_one_lag_short_of_all_differs_in_the_adjoint_of_h_0_alone() -> None:
    # Lag T goes from h_T to h_0, which no weight has made.
    rng = np.random.default_rng(2)
    params = initialize(rng, (2, 5, 3), scheme=InitializerName.UNIFORM)
    trajectory = unroll(params, rng.normal(size=(STEPS, 4, 2)))
    targets = Targets(rng.normal(size=(STEPS, 4, 3)), np.ones(STEPS, dtype=np.bool_))

    full = backpropagate(params, trajectory, targets)
    cut = backpropagate(params, trajectory, targets, truncation=STEPS - 1)

    for name, array in full.weights.items():
        np.testing.assert_allclose(cut.weights[name], array, rtol=1e-12, atol=1e-15)
    close = np.isclose(cut.hidden_adjoints, full.hidden_adjoints, rtol=1e-12, atol=1e-15)
    assert close[1:].all()
    assert not close[0].any()


def test_the_global_norm_runs_over_all_arrays_together() -> None:
    assert global_norm({"a": np.array([[3.0, 0.0]]), "b": np.array([-4.0])}) == 5.0


@pytest.mark.parametrize("size", [1e-300, 1e200, 5e307])
def test_the_global_norm_neither_overflows_nor_underflows(size: float) -> None:
    norm = global_norm({"a": np.array([0.6 * size]), "b": np.array([[0.8 * size]])})

    assert norm == pytest.approx(size, rel=1e-14)


def test_the_global_norm_of_nothing_is_zero_and_of_infinity_is_infinite() -> None:
    assert global_norm({"a": np.zeros(3), "b": np.empty((0, 2))}) == 0.0
    assert global_norm({"a": np.array([1.0, np.inf])}) == np.inf
    assert np.isnan(global_norm({"a": np.array([1.0, np.nan])}))
