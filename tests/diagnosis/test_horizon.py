"""The memory horizon: the first lag below the threshold, none where it is never reached."""

import numpy as np
import pytest

from gradscope.diagnosis.growth import extrapolated_horizon, memory_horizon

THRESHOLD = 1e-3


@pytest.mark.parametrize(("rate", "horizon"), [(-1.0, 7), (-0.5, 14), (-7.0, 1), (-0.1, 70)])
def test_a_line_crosses_where_it_says(rate: float, horizon: int) -> None:
    # log 1e-3 = −6.908: −ℓ is below it from ℓ = 7 on, −ℓ/2 from 14 on.
    assert memory_horizon(rate * np.arange(1.0, 101.0), THRESHOLD) == horizon


def test_the_threshold_itself_is_not_below() -> None:
    line = np.log(THRESHOLD)

    assert memory_horizon(np.array([0.0, line, np.nextafter(line, -9.0)]), THRESHOLD) == 3
    assert memory_horizon(np.array([0.0, line]), THRESHOLD) is None


def test_the_first_crossing_counts_though_the_profile_comes_back() -> None:
    assert memory_horizon(np.array([0.0, -9.0, 0.0, -9.0]), THRESHOLD) == 2


def test_an_exactly_zero_product_is_below_every_threshold() -> None:
    assert memory_horizon(np.array([0.0, 0.0, -np.inf, -np.inf]), 1e-300) == 3


@pytest.mark.parametrize("rate", [-1.0, -0.25, -0.01])
def test_a_line_that_is_still_above_is_extended_to_where_it_would_cross(rate: float) -> None:
    median = rate * np.arange(1.0, 6.0)
    expected = memory_horizon(rate * np.arange(1.0, 1001.0), THRESHOLD)

    assert extrapolated_horizon(median, rate, THRESHOLD) == expected


@pytest.mark.parametrize("rate", [0.0, 0.3, np.nan, -1e-300])
def test_a_profile_that_does_not_fall_has_no_horizon(rate: float) -> None:
    assert extrapolated_horizon(np.zeros(5), rate, THRESHOLD) is None


def test_a_profile_already_below_is_there_now() -> None:
    assert extrapolated_horizon(np.full(5, -99.0), -1.0, THRESHOLD) == 5
