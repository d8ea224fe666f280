"""The tolerance between machines, against networks whose differences have a closed form."""

import math

import numpy as np
import pytest

from gradscope.diagnosis.rounding import (
    COMPARABLE,
    SAFETY,
    UNIT_ROUNDOFF,
    amplified_rounding,
    largest_rise,
    relative_tolerance,
)


@pytest.mark.parametrize(("rate", "steps"), [(0.1, 40), (0.3, 100), (0.02, 7)])
def test_a_scalar_linear_net_amplifies_a_difference_by_exactly_that_factor(
    rate: float, steps: int
) -> None:
    # h_t = w h_{t−1}: a difference δ of h_0 is w^T δ at the end, and log w is the growth rate.
    weight, states = math.exp(rate), np.array([1.0, 1.0 + 1e-6])
    for _ in range(steps):
        states = weight * states

    growth = amplified_rounding([rate], steps=steps, width=1) - amplified_rounding(
        [0.0], steps=steps, width=1
    )

    np.testing.assert_allclose(np.diff(states) / 1e-6, math.exp(growth), rtol=1e-6)


@pytest.mark.parametrize("rate", [0.0, -0.3, -math.inf])
def test_without_growth_the_differences_of_the_steps_add_up(rate: float) -> None:
    expected = SAFETY * UNIT_ROUNDOFF * 32 * 100

    assert math.exp(amplified_rounding([rate], steps=100, width=32)) == pytest.approx(expected)


@pytest.mark.parametrize("updates", [1, 10, 200])
def test_in_a_flat_loss_momentum_adds_differences_up_to_below_the_square(updates: int) -> None:
    # v += δ and θ += v: after K updates θ is off by δ K (K + 1) / 2.
    velocity = place = 0.0
    for _ in range(updates):
        velocity += 1.0
        place += velocity
    plain, trained = (
        amplified_rounding([0.0], steps=5, width=1, updates=count) for count in (0, updates)
    )

    assert place == updates * (updates + 1) / 2
    assert place < math.exp(trained - plain) <= 2 * place + updates + 1.5


def test_updates_amplify_what_the_updates_before_them_left() -> None:
    # θ ← w^T θ, once for each update and once for the run: the exponents add up.
    rate, steps, updates = 0.01, 10, 4
    weights = np.array([1.0, 1.0 + 1e-6])
    for _ in range(updates + 1):
        weights = math.exp(rate * steps) * weights

    found = [
        amplified_rounding([each], steps=steps, width=1, updates=updates) for each in (rate, 0)
    ]

    np.testing.assert_allclose(np.diff(weights) / 1e-6, math.exp(found[0] - found[1]), rtol=1e-6)


def test_the_largest_rate_counts() -> None:
    alone = amplified_rounding([0.2], steps=10, width=3, updates=2)

    assert amplified_rounding([-1.0, 0.2, 0.1], steps=10, width=3, updates=2) == alone
    assert math.isfinite(amplified_rounding([50.0], steps=10**6, width=10**4, updates=10**6))


def test_a_tolerance_is_never_below_the_accuracy_nor_beyond_comparison() -> None:
    assert relative_tolerance(math.log(1e-14), 1e-10) == 1e-10
    assert relative_tolerance(math.log(1e-6), 1e-10) == pytest.approx(1e-6)
    assert relative_tolerance(math.log(0.99 * COMPARABLE), 1e-10) is not None
    assert relative_tolerance(math.log(COMPARABLE), 1e-10) is None
    assert relative_tolerance(1e6, 1e-10) is None


def test_a_stretch_of_growth_counts_where_the_rate_at_the_end_is_below_zero() -> None:
    # ‖∂E/∂h_t‖ of h_t = w_t h_{t−1}: the products of the later weights.
    weights = np.array([0.5, 2.0, 2.0, 2.0, 0.5, 0.5, 0.5, 0.5, 0.5])
    log_by_step = [float(np.log(weights[t:]).sum()) for t in range(len(weights) + 1)]

    rise = largest_rise(log_by_step)

    assert rise == pytest.approx(3 * math.log(2.0))
    still, grown = (amplified_rounding([-0.7], steps=9, width=1, rise=each) for each in (0.0, rise))
    assert grown - still == pytest.approx(rise)


def test_steps_without_a_gradient_are_no_rise() -> None:
    assert largest_rise([]) == largest_rise([None, -math.inf]) == largest_rise([1.0, 2.0]) == 0.0
    assert largest_rise([3.0, None, 1.0, -math.inf, 2.0]) == 2.0
