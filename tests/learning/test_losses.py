"""Step errors and their slopes: closed forms first, then autograd."""

import math

import autograd.numpy as anp  # type: ignore[import-untyped]
import numpy as np
import pytest
from autograd import grad

from gradscope.arrays import FloatArray
from gradscope.data.batch import Targets
from gradscope.errors import ShapeError
from gradscope.learning.losses import error_per_step, step_errors
from gradscope.names import ErrorName

SHAPE = (5, 3, 4)
SOME_STEPS = np.array([True, False, True, True, False])


def random_case(error: ErrorName) -> tuple[FloatArray, Targets]:
    """Outputs, and targets of that kind at some steps (for cross-entropy: probabilities)."""
    rng = np.random.default_rng(1)
    outputs = rng.normal(size=SHAPE)
    values = rng.normal(size=SHAPE)
    if error is ErrorName.CROSS_ENTROPY:
        values = rng.dirichlet(np.ones(SHAPE[2]), size=SHAPE[:2])
    return outputs, Targets(values, SOME_STEPS, error)


def test_squared_error_is_the_mean_over_batch_and_outputs() -> None:
    outputs = np.array([[[1.0, 2.0], [3.0, 4.0]]])
    targets = Targets(np.zeros((1, 2, 2)), np.array([True]))

    errors, slopes = step_errors(outputs, targets)

    assert errors.tolist() == [(1.0 + 4.0 + 9.0 + 16.0) / 4.0]
    np.testing.assert_array_equal(slopes, 2.0 * outputs / 4.0)


def test_cross_entropy_of_equal_outputs_is_the_logarithm_of_their_number() -> None:
    targets = Targets(np.eye(4)[[[0, 2]]], np.array([True]), ErrorName.CROSS_ENTROPY)

    errors, slopes = step_errors(np.full((1, 2, 4), 7.0), targets)

    assert errors[0] == pytest.approx(math.log(4.0), rel=1e-14)
    np.testing.assert_allclose(slopes, (0.25 - targets.values) / 2.0, rtol=1e-14)


def test_cross_entropy_of_two_classes_is_the_softplus_of_their_gap() -> None:
    gaps = np.array([-30.0, -1.0, 0.0, 2.0, 30.0])
    outputs = np.stack([np.zeros_like(gaps), gaps], axis=1)[:, None, :]
    the_first = np.tile([1.0, 0.0], (5, 1, 1))
    targets = Targets(the_first, np.ones(5, dtype=np.bool_), ErrorName.CROSS_ENTROPY)

    errors, _ = step_errors(outputs, targets)

    np.testing.assert_allclose(errors, np.logaddexp(0.0, gaps), rtol=1e-13, atol=1e-15)


def test_cross_entropy_of_huge_outputs_is_their_gap_without_a_warning() -> None:
    outputs = np.array([[[1000.0, -1000.0]]])
    targets = Targets(np.array([[[0.0, 1.0]]]), np.array([True]), ErrorName.CROSS_ENTROPY)

    errors, slopes = step_errors(outputs, targets)

    assert errors.tolist() == [2000.0]
    assert slopes.tolist() == [[[1.0, -1.0]]]


@pytest.mark.parametrize("error", ErrorName)
def test_steps_without_a_target_have_neither_error_nor_slope(error: ErrorName) -> None:
    outputs, targets = random_case(error)

    errors, slopes = step_errors(outputs, targets)

    np.testing.assert_array_equal(errors[~SOME_STEPS], 0.0)
    np.testing.assert_array_equal(slopes[~SOME_STEPS], 0.0)
    assert (errors[SOME_STEPS] > 0.0).all()
    assert (slopes[SOME_STEPS] != 0.0).all()


@pytest.mark.parametrize("error", ErrorName)
def test_slopes_are_what_autograd_finds(error: ErrorName) -> None:
    outputs, targets = random_case(error)

    def loss(y: FloatArray) -> FloatArray:
        if error is ErrorName.SQUARED:
            by_step = anp.mean((targets.values - y) ** 2, axis=(1, 2))
        else:
            log_sum = anp.log(anp.sum(anp.exp(y), axis=2, keepdims=True))
            by_step = -anp.mean(anp.sum(targets.values * (y - log_sum), axis=2), axis=1)
        total: FloatArray = anp.sum(by_step * SOME_STEPS)
        return total

    errors, slopes = step_errors(outputs, targets)

    assert errors.sum() == pytest.approx(loss(outputs), rel=1e-13)
    np.testing.assert_allclose(slopes, grad(loss)(outputs), rtol=1e-12, atol=1e-15)


def test_the_error_per_step_counts_only_steps_with_a_target() -> None:
    outputs, targets = random_case(ErrorName.SQUARED)
    errors, _ = step_errors(outputs, targets)

    assert error_per_step(outputs, targets) == pytest.approx(errors[SOME_STEPS].mean(), rel=1e-14)
    nowhere = Targets(targets.values, np.zeros(5, dtype=np.bool_))
    assert error_per_step(outputs, nowhere) == 0.0


def test_outputs_too_large_to_square_give_infinity_without_a_warning() -> None:
    targets = Targets(np.zeros((1, 1, 1)), np.array([True]))

    errors, _ = step_errors(np.full((1, 1, 1), 1e200), targets)

    assert errors.tolist() == [np.inf]


def test_outputs_and_targets_of_different_shape_are_refused() -> None:
    targets = Targets(np.zeros((5, 3, 1)), SOME_STEPS)

    with pytest.raises(ShapeError, match=r"\(5, 3, 4\) and targets \(5, 3, 1\)"):
        step_errors(np.zeros(SHAPE), targets)
