"""Order statistics are NumPy's, and load less."""

import numpy as np
import pytest

from gradscope.arrays import order_statistics

LEVELS = (0.0, 0.05, 0.25, 0.5, 0.9, 0.95, 1.0)


@pytest.mark.parametrize("count", [1, 2, 3, 16, 20, 39, 40, 100])
def test_order_statistics_are_those_of_numpy(count: int) -> None:
    values = np.random.default_rng(count).standard_normal((3, count))
    values[0, : count // 2] = -np.inf

    with np.errstate(invalid="ignore"):
        expected = np.quantile(values, LEVELS, axis=1, method="inverted_cdf")
    np.testing.assert_array_equal(order_statistics(values, LEVELS), expected)
    np.testing.assert_array_equal(order_statistics(values[2], LEVELS), expected[:, 2])
