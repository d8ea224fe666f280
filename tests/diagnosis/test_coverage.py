"""The intervals of the growth rate hold the true rate about as often as they say."""

import numpy as np
import pytest

from tests.benchmarks.coverage import measure

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("family", ["tanh, gain 1.2", "GRU"])
def test_intervals_hold_the_truth_of_most_nets_and_none_has_the_wrong_sign(family: str) -> None:
    found = measure(family, (100,), 40)[100]

    # Of 40 intervals that hold the truth with probability 0.95, 34 do in 99 of 100 cases.
    assert found.coverage >= 34 / 40
    assert found.width <= 2.0
    wrong, away_from_zero = found.signs
    assert wrong <= max(1, 0.05 * away_from_zero)
    assert abs(np.median(found.rates - found.truth)) < 1.5e-3
