"""How far back a series rewards looking: against direct fits, known orders, and odd series."""

import numpy as np
import pytest

from gradscope.arrays import FloatArray
from gradscope.data.series import lag_errors, memoryless_error, prepare_series, rewarded_lag
from gradscope.data.table import Table
from tests.present import present


def errors_of(values: FloatArray, validation: float = 0.2) -> FloatArray | None:
    """The errors of a series of one column (N,) or several (N,C)."""
    columns = values.reshape(len(values), -1)
    names = tuple(f"c{n}" for n in range(columns.shape[1]))
    return lag_errors(prepare_series(Table(names, columns), 1, validation))


def autoregression(weights: list[float], rows: int) -> FloatArray:
    values = np.zeros(rows + 500)
    noise = np.random.default_rng(7).normal(size=values.size)
    for n in range(len(weights), values.size):
        values[n] = noise[n] + sum(w * values[n - 1 - j] for j, w in enumerate(weights))
    return values[500:]


@pytest.mark.parametrize(
    ("weights", "lag"), [([0.5], 1), ([0.2, 0.7], 2), ([0.0, 0.0, 0.0, 0.0, 0.8], 5)]
)
def test_an_autoregression_rewards_its_order(weights: list[float], lag: int) -> None:
    errors = present(errors_of(autoregression(weights, 4000)))

    assert rewarded_lag(errors) == lag
    assert errors.size == 50


def test_every_error_is_that_of_a_fit_of_its_own() -> None:
    values = np.random.default_rng(3).normal(size=(200, 2)).cumsum(axis=0) * [1.0, 5.0]
    errors = present(errors_of(values))
    scaled = (values - values[:160].mean(axis=0)) / values[:160].std(axis=0)

    assert errors.size == 20  # five rows for each coefficient of a column
    for lag in (1, 3, 20):
        rows = {
            part: np.array([[1.0, *scaled[n - lag : n][::-1].ravel()] for n in part])
            for part in (range(20, 160), range(160, 200))
        }
        fitted, held_out = rows
        weights = np.linalg.pinv(rows[fitted]) @ scaled[list(fitted)]
        expected = np.mean((rows[held_out] @ weights - scaled[list(held_out)]) ** 2)
        assert errors[lag - 1] == pytest.approx(expected, rel=1e-9)


def test_a_sine_follows_from_two_values_and_rounding_rewards_no_more() -> None:
    assert rewarded_lag(present(errors_of(np.sin(0.3 * np.arange(400.0))))) == 2


def test_columns_that_are_the_same_count_once() -> None:
    one = autoregression([0.2, 0.7], 2000)

    twice = present(errors_of(np.stack([one, one], axis=1)))

    np.testing.assert_allclose(twice, present(errors_of(one))[: twice.size], rtol=1e-8)


@pytest.mark.parametrize(
    ("rows", "columns", "validation", "lags"),
    [
        (4, 1, 0.2, 0),
        (5, 1, 0.2, 1),
        (50, 1, 0.2, 10),
        (40, 1, 0.9, 1),
        (90, 10, 0.2, 1),
        (30, 10, 0.2, 0),
        (5000, 40, 0.2, 5),
        (3000, 201, 0.2, 0),
    ],
)
def test_few_rows_and_many_columns_leave_fewer_lags(
    rows: int, columns: int, validation: float, lags: int
) -> None:
    values = np.random.default_rng(1).normal(size=(rows, columns))

    errors = errors_of(values, validation)

    assert (0 if errors is None else errors.size) == lags
    assert errors is None or np.isfinite(errors).all()


def test_a_memoryless_readout_needs_five_samples_for_each_weight() -> None:
    inputs = np.random.default_rng(2).normal(size=(7, 2, 2))
    wanted = inputs @ np.array([[1.0, 2.0], [0.0, -3.0]]) + 5.0

    assert memoryless_error(inputs, wanted) is None
    assert memoryless_error(inputs[:, :, :1], wanted[:, :, :1]) == pytest.approx(0.0, abs=1e-20)
