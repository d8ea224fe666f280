"""The whole spectrum against closed forms and against mpmath with as many digits as it takes."""

from collections.abc import Callable

import mpmath  # type: ignore[import-untyped]
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradscope.arrays import FloatArray
from gradscope.errors import SettingError
from gradscope.jacobians.chain import DenseChain, ElmanChain
from gradscope.jacobians.kernels.jacobi_svd import log_singular_values
from gradscope.jacobians.singular_values import singular_values

LOG_PHI = float(np.log((1.0 + np.sqrt(5.0)) / 2.0))


def _linear(weights: FloatArray, n_steps: int) -> ElmanChain:
    return ElmanChain(np.ones((n_steps, 1, weights.shape[0])), weights)


def _in_mpmath(jacobians: FloatArray, digits: int) -> FloatArray:
    """Logarithms of the singular values of J_T ⋯ J_1, computed with that many digits."""
    with mpmath.workdps(digits):
        product = mpmath.eye(jacobians.shape[1])
        for jacobian in jacobians:
            product = mpmath.matrix(jacobian.tolist()) * product
        values = mpmath.svd_r(product, compute_uv=False)
        logs = [float(mpmath.log(each)) for each in values]
    found: FloatArray = np.array(logs)
    return found


@pytest.mark.parametrize("power", [50, 500])
def test_both_singular_values_of_the_cat_map_are_powers_of_the_golden_ratio(power: int) -> None:
    cat = _linear(np.array([[2.0, 1.0], [1.0, 1.0]]), power)

    found = singular_values(cat, [power])

    expected = 2.0 * power * LOG_PHI * np.array([1.0, -1.0])
    np.testing.assert_allclose(found.log_values[0, 0], expected, rtol=0.0, atol=1e-11)
    np.testing.assert_allclose(found.log_condition, 4.0 * power * LOG_PHI, rtol=1e-13)


@pytest.mark.parametrize("order", [1, -1])
def test_a_diagonal_chain_has_the_sums_of_its_logarithms_whatever_their_order(order: int) -> None:
    rates = np.linspace(-40.0, 12.0, 7)[::order]
    slopes = np.tile(np.exp(rates), (300, 1, 1))

    found = singular_values(ElmanChain(slopes, np.eye(7)), [1, 300]).log_values[:, 0]

    np.testing.assert_allclose(found[0], np.sort(rates)[::-1], rtol=1e-13)
    np.testing.assert_allclose(found[1], 300.0 * np.sort(rates)[::-1], rtol=1e-12)


def _gaussian(rng: np.random.Generator, shape: tuple[int, int, int]) -> FloatArray:
    return rng.standard_normal(shape)


def _saturated(rng: np.random.Generator, shape: tuple[int, int, int]) -> FloatArray:
    """Slopes from 1 down to 1e-13, drawn anew at each step: graded rows in every order."""
    return rng.standard_normal(shape) * np.exp(rng.uniform(-30.0, 0.0, (*shape[:2], 1)))


def _tanh_net(rng: np.random.Generator, shape: tuple[int, int, int]) -> FloatArray:
    weights = 1.5 * rng.standard_normal(shape[1:]) / np.sqrt(shape[1])
    slopes: FloatArray = 1.0 / np.square(np.cosh(2.0 * rng.standard_normal((*shape[:2], 1))))
    jacobians: FloatArray = slopes * weights
    return jacobians


def _saturated_before_w(rng: np.random.Generator, shape: tuple[int, int, int]) -> FloatArray:
    """The same slopes on the columns: W diag(φ′), as where the state is the pre-activation."""
    return rng.standard_normal(shape) * np.exp(rng.uniform(-30.0, 0.0, (shape[0], 1, shape[2])))


def _one_column_almost_shut(rng: np.random.Generator, shape: tuple[int, int, int]) -> FloatArray:
    """One unit in the middle whose column is 1e-30 of the others at every step."""
    jacobians = rng.standard_normal(shape)
    jacobians[:, :, shape[2] // 2] *= 1e-30
    return jacobians


@pytest.mark.parametrize(
    ("draw", "shape", "digits"),
    [
        (_gaussian, (60, 6, 6), 150),
        (_gaussian, (400, 3, 3), 700),
        (_saturated, (40, 5, 5), 1200),
        (_saturated_before_w, (40, 5, 5), 1200),
        (_one_column_almost_shut, (30, 4, 4), 1200),
        (_tanh_net, (150, 6, 6), 800),
    ],
)
def test_every_singular_value_agrees_with_mpmath_over_hundreds_of_decades(
    draw: Callable[[np.random.Generator, tuple[int, int, int]], FloatArray],
    shape: tuple[int, int, int],
    digits: int,
) -> None:
    jacobians = draw(np.random.default_rng(5), shape)
    expected = _in_mpmath(jacobians, digits)
    assert (expected[0] - expected[-1]) / np.log(10.0) < digits - 30

    found = singular_values(DenseChain(jacobians[:, None]), [shape[0]])

    np.testing.assert_allclose(found.log_values[0, 0], expected, rtol=0.0, atol=3e-12)


def test_the_lag_reaches_back_from_the_last_step_in_every_sequence() -> None:
    rng = np.random.default_rng(2)
    slopes = rng.uniform(0.1, 1.0, (12, 3, 4))
    weights = rng.standard_normal((4, 4))

    found = singular_values(ElmanChain(slopes, weights, leak=0.7), [9, 2]).log_values

    for row, lag in enumerate((9, 2)):
        for sequence in range(3):
            product = np.eye(4)
            for step in range(12 - lag, 12):
                one = 0.3 * np.eye(4) + 0.7 * slopes[step, sequence][:, None] * weights
                product = one @ product
            expected = np.log(np.linalg.svd(product, compute_uv=False))
            np.testing.assert_allclose(found[row, sequence], expected, rtol=0.0, atol=1e-9)


def test_a_delay_line_loses_one_direction_a_step_and_then_has_none() -> None:
    line = _linear(np.eye(8, k=-1), 9)

    found = singular_values(line, [1, 7, 8])

    alive = np.array([[True] * 7 + [False], [True] + [False] * 7, [False] * 8])
    np.testing.assert_array_equal(found.log_values[:, 0], np.where(alive, 0.0, -np.inf))
    np.testing.assert_array_equal(found.log_condition, np.full((3, 1), np.inf))
    np.testing.assert_array_equal(found.stable_rank[:, 0], [7.0, 1.0, 0.0])
    np.testing.assert_array_equal(found.participation_ratio[:, 0], [7.0, 1.0, 0.0])


def test_dead_rectifiers_leave_the_values_of_the_living_directions_accurate() -> None:
    rng = np.random.default_rng(11)
    weights = rng.standard_normal((6, 6))
    slopes = np.ones((80, 2, 6))
    slopes[30, 0, [1, 4]] = 0.0
    slopes[55, 0, 2] = 0.0

    found = singular_values(ElmanChain(slopes, weights), [80]).log_values[0]

    np.testing.assert_array_equal(np.isneginf(found), [[False] * 4 + [True] * 2, [False] * 6])
    with mpmath.workdps(400):
        exact = mpmath.eye(6)
        for step in range(80):
            exact = mpmath.matrix((slopes[step, 0][:, None] * weights).tolist()) * exact
        values = sorted(mpmath.svd_r(exact, compute_uv=False), reverse=True)[:4]
        expected = np.array([float(mpmath.log(each)) for each in values])
    np.testing.assert_allclose(found[0, :4], expected, rtol=0.0, atol=1e-10)


def test_weights_of_lower_rank_kill_the_directions_they_do_not_have() -> None:
    rng = np.random.default_rng(3)
    left, right = rng.standard_normal((2, 9, 4))
    weights = left @ right.T

    found = singular_values(_linear(weights, 20), [1, 20]).log_values[:, 0]

    one_step = np.log(np.linalg.svd(weights, compute_uv=False)[:4])
    np.testing.assert_allclose(found[0, :4], one_step, rtol=0.0, atol=1e-12)
    assert np.isfinite(found[:, :4]).all()
    assert np.isneginf(found[:, 4:]).all()


def test_a_direction_that_dies_in_the_middle_takes_no_other_with_it() -> None:
    chain = _linear(np.diag([2.0, 0.0, 3.0]), 4)

    found = singular_values(chain, [4]).log_values[0, 0]

    np.testing.assert_allclose(found, [4 * np.log(3.0), 4 * np.log(2.0), -np.inf])


def test_equal_singular_values_stay_equal_after_a_thousand_rotations() -> None:
    rng = np.random.default_rng(4)
    rotation = np.linalg.qr(rng.standard_normal((16, 16)))[0]

    found = singular_values(_linear(1.1 * rotation, 1000), [1000])

    np.testing.assert_allclose(found.log_values[0, 0], 1000 * np.log(1.1), rtol=1e-12)
    np.testing.assert_allclose(found.stable_rank, 16.0)
    np.testing.assert_allclose(found.participation_ratio, 16.0)


def test_one_unit_multiplies_its_slopes_far_below_the_smallest_float() -> None:
    slopes = np.exp(-np.linspace(0.0, 690.0, 50))[:, None, None]

    found = singular_values(ElmanChain(slopes, np.array([[-0.5]])), [50]).log_values

    expected = -np.linspace(0.0, 690.0, 50).sum() + 50 * np.log(0.5)
    np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_the_count_keeps_the_largest_and_leaves_the_properties_to_all() -> None:
    chain = _linear(np.diag([4.0, 2.0, 1.0]), 3)

    found = singular_values(chain, [1, 3], count=2)

    np.testing.assert_allclose(found.log_values[:, 0], np.log([[4.0, 2.0], [64.0, 8.0]]))
    np.testing.assert_allclose(found.log_condition[:, 0], np.log([4.0, 64.0]))
    np.testing.assert_allclose(found.stable_rank[0], (16 + 4 + 1) / 16)
    np.testing.assert_allclose(found.participation_ratio[0], 21.0**2 / (256 + 16 + 1))


@given(size=st.integers(1, 9), n_steps=st.integers(1, 30), seed=st.integers(0, 10**6))
@settings(max_examples=60)
def test_the_logarithms_add_up_to_that_of_the_determinant(
    size: int, n_steps: int, seed: int
) -> None:
    jacobians = np.random.default_rng(seed).standard_normal((n_steps, 1, size, size))

    found = singular_values(DenseChain(jacobians), [n_steps]).log_values[0, 0]

    np.testing.assert_allclose(
        found.sum(), np.linalg.slogdet(jacobians)[1].sum(), rtol=0.0, atol=1e-8
    )
    assert (np.diff(found) <= 0.0).all()


def test_rows_beyond_the_range_of_floats_keep_their_own_values() -> None:
    exponents = np.array([5000, 0, -9000])
    rows = np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])

    found = log_singular_values(exponents[None], rows[None])[0]

    # Gram–Schmidt from the longest row down: lengths √2, √(3/2) and |det|/√3.
    lengths = 0.5 * np.log([2.0, 1.5, 4.0 / 3.0])
    np.testing.assert_allclose(found, lengths + exponents * np.log(2.0), rtol=1e-14)


@pytest.mark.parametrize("lags", [[], [0], [13]])
def test_lags_outside_the_trajectory_are_refused(lags: list[int]) -> None:
    with pytest.raises(SettingError, match="from 1 to 12"):
        singular_values(_linear(np.eye(2), 12), lags)


@pytest.mark.parametrize("count", [0, 3])
def test_a_count_beyond_the_state_size_is_refused(count: int) -> None:
    with pytest.raises(SettingError, match="choose 1 to 2"):
        singular_values(_linear(np.eye(2), 12), [1], count=count)
