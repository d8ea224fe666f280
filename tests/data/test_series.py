"""Windows of a series: nothing leaks, nothing is off by one, every held-out row is scored once."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradscope.arrays import FloatArray
from gradscope.data.series import Series, prepare_series
from gradscope.data.table import Table, read_table
from gradscope.errors import DataError, SettingError

SUNSPOTS = Path(__file__).parents[2] / "sample_runs" / "data" / "sunspots.csv"


def table_of(*columns: object) -> Table:
    values = np.column_stack([np.asarray(column, dtype=np.float64) for column in columns])
    return Table(tuple(f"c{k}" for k in range(1, values.shape[1] + 1)), values)


def ramp(n_rows: int, steps: int, validation_fraction: float = 0.2) -> Series:
    """Rows 0, 1, 2, … so that ``row_numbers`` can say which row every number came from."""
    return prepare_series(table_of(np.arange(n_rows)), steps, validation_fraction)


def row_numbers(series: Series, standardised: FloatArray) -> FloatArray:
    """Undo the standardisation of a ramp: (T,B,1) values become (T,B) row numbers."""
    return np.asarray(np.rint((standardised * series.scale + series.mean)[..., 0]))


# --- Standardising and splitting --------------------------------------------------------------


def test_the_training_part_has_mean_zero_and_deviation_one_in_every_column() -> None:
    rng = np.random.default_rng(1)
    table = table_of(rng.normal(5.0, 3.0, 200), rng.normal(-1e6, 1e-2, 200))

    series = prepare_series(table, steps=10)

    training = series.values[: series.n_train]
    np.testing.assert_allclose(training.mean(axis=0), 0.0, atol=1e-6)
    np.testing.assert_allclose(training.std(axis=0), 1.0, rtol=1e-6)
    np.testing.assert_allclose(series.values * series.scale + series.mean, table.values)


def test_what_is_held_out_does_not_move_the_standardisation() -> None:
    rng = np.random.default_rng(2)
    rows = rng.normal(size=100)
    other_tail = rows.copy()
    other_tail[80:] = 50.0 + 7.0 * rng.normal(size=20)

    one, other = (prepare_series(table_of(values), steps=5) for values in (rows, other_tail))

    assert one.n_train == 80
    np.testing.assert_array_equal(one.mean, other.mean)
    np.testing.assert_array_equal(one.scale, other.scale)
    np.testing.assert_array_equal(one.values[:80], other.values[:80])
    np.testing.assert_array_equal(one.mean, rows[:80].mean())
    np.testing.assert_array_equal(one.scale, rows[:80].std())


def test_the_sunspots_split_into_247_years_and_62() -> None:
    series = prepare_series(read_table(SUNSPOTS, ("SUNACTIVITY",)), steps=50)

    assert (series.n_train, series.n_validation, series.names) == (247, 62, ("SUNACTIVITY",))
    assert series.training_batch(np.random.default_rng(0), 3).inputs.shape == (50, 3, 1)


@pytest.mark.parametrize(
    ("n_rows", "fraction", "held_out"),
    # 0.07 · 100 is 7.000000000000001 in float64, and 0.29 · 100 is 28.999999999999996.
    [(100, 0.07, 7), (100, 0.29, 29), (100, 0.2, 20), (101, 0.2, 21), (10, 1e-9, 1), (10, 0.5, 5)],
)
def test_the_held_out_part_is_rounded_up_to_whole_rows(
    n_rows: int, fraction: float, held_out: int
) -> None:
    assert ramp(n_rows, 1, fraction).n_validation == held_out


@given(st.integers(1, 60), st.integers(1, 99).map(lambda percent: percent / 100))
def test_the_number_of_rows_that_the_error_asks_for_is_the_smallest_that_will_do(
    steps: int, fraction: float
) -> None:
    with pytest.raises(DataError, match=f"the series has 1 rows.*--steps {steps} ") as caught:
        ramp(1, steps, fraction)
    needed = int(str(caught.value).partition("needs ")[2].partition(";")[0])

    assert ramp(needed, steps, fraction).n_train >= steps + 1
    with pytest.raises(DataError, match=f"needs {needed};"):
        ramp(needed - 1, steps, fraction)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, float("nan"), float("inf")])
def test_a_fraction_outside_0_to_1_is_refused(fraction: float) -> None:
    with pytest.raises(SettingError, match="between 0 and 1"):
        ramp(100, 5, fraction)


@pytest.mark.parametrize("steps", [0, -3])
def test_fewer_than_one_step_is_refused(steps: int) -> None:
    with pytest.raises(SettingError, match=f"--steps is {steps}; choose 1 or more"):
        ramp(100, steps)


@pytest.mark.parametrize("constant", [0.0, 0.1, -7.0, 1e9, 1e-300])
def test_a_column_that_is_constant_while_training_is_named(constant: float) -> None:
    column = np.full(100, constant)
    column[90:] = np.arange(10)  # It varies, but only where nobody trains.

    with pytest.raises(DataError, match=r"column 'c2' is constant.*rows 1 to 80"):
        prepare_series(table_of(np.arange(100), column), steps=5)


def test_a_small_column_beside_a_large_one_is_not_constant() -> None:
    series = prepare_series(table_of(1e16 * np.arange(100), np.sin(np.arange(100))), steps=5)

    np.testing.assert_allclose(series.values[:80].std(axis=0), 1.0)


def test_rounding_noise_is_no_variation() -> None:
    noise = 1e9 * (1.0 + np.finfo(float).eps * np.tile([0.0, 1.0], 50))

    with pytest.raises(DataError, match="constant, or nearly"):
        prepare_series(table_of(noise), steps=5)


@pytest.mark.parametrize("size", [1e308, 1e160])
def test_values_too_large_to_standardise_are_refused_by_name(size: float) -> None:
    with pytest.raises(DataError, match=r"column 'c2' has values up to .* too large"):
        prepare_series(table_of(np.arange(100), size * np.sin(np.arange(100))), steps=5)


@pytest.mark.parametrize("spike", [1e308, -1e200])
def test_a_spike_in_the_held_out_part_that_cannot_be_squared_is_refused(spike: float) -> None:
    column = np.sin(np.arange(100)) / 1e3
    column[95] = spike

    with pytest.raises(DataError, match=r"column 'c1' has values up to .* too large"):
        prepare_series(table_of(column), steps=5)


# --- Windows ----------------------------------------------------------------------------------


def test_every_target_is_the_row_after_its_input() -> None:
    series = ramp(100, steps=7)
    rng = np.random.default_rng(3)

    for batch in (series.training_batch(rng, 40), series.examination_batch(40)):
        rows = row_numbers(series, batch.inputs)
        np.testing.assert_array_equal(np.diff(rows, axis=0), 1)
        np.testing.assert_array_equal(row_numbers(series, batch.targets.values), rows + 1)
        assert batch.targets.at_step.all()


def test_training_windows_start_everywhere_in_the_training_part_and_nowhere_else() -> None:
    series = ramp(25, steps=7)  # 20 rows to train on: the last window starts at row 12.

    batch = series.training_batch(np.random.default_rng(4), 2000)

    starts = row_numbers(series, batch.inputs)[0]
    assert set(starts) == set(range(13))
    assert row_numbers(series, batch.targets.values).max() == series.n_train - 1


def test_the_generator_decides_the_training_windows() -> None:
    series = ramp(100, steps=7)
    first, again, other = (
        series.training_batch(np.random.default_rng(seed), 10).inputs for seed in (5, 5, 6)
    )

    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_examined_windows_span_the_training_part_evenly() -> None:
    series = ramp(100, steps=20)  # 80 rows to train on, 60 windows.

    starts = row_numbers(series, series.examination_batch(5).inputs)[0]

    np.testing.assert_array_equal(starts, np.round([0, 14.75, 29.5, 44.25, 59]))


@given(st.integers(1, 80), st.integers(1, 200))
def test_examined_windows_are_all_different(steps: int, n_sequences: int) -> None:
    series = ramp(120, steps)  # 96 rows to train on

    starts = row_numbers(series, series.examination_batch(n_sequences).inputs)[0]

    assert len(set(starts)) == len(starts) == min(n_sequences, 96 - steps)
    assert starts[0] == 0
    assert n_sequences == 1 or starts[-1] == 96 - steps - 1


def test_every_held_out_row_is_predicted_once_from_the_rows_before_it() -> None:
    series = ramp(30, steps=10)  # rows 24 to 29 are held out

    batch = series.validation_batch()

    wanted = row_numbers(series, batch.targets.values)[-1]
    np.testing.assert_array_equal(wanted, np.arange(24, 30))
    np.testing.assert_array_equal(
        row_numbers(series, batch.inputs), wanted + np.arange(-10, 0)[:, np.newaxis]
    )
    np.testing.assert_array_equal(batch.targets.at_step, [False] * 9 + [True])


def test_the_smallest_series_still_trains_and_validates() -> None:
    series = ramp(5, steps=3)

    assert (series.n_train, series.n_validation) == (4, 1)
    np.testing.assert_array_equal(
        row_numbers(series, series.training_batch(np.random.default_rng(0), 2).inputs),
        [[0, 0], [1, 1], [2, 2]],
    )
    np.testing.assert_array_equal(
        row_numbers(series, series.validation_batch().inputs), [[1], [2], [3]]
    )


def test_a_limit_on_validation_takes_rows_evenly() -> None:
    series = ramp(100, steps=10)  # rows 80 to 99

    def wanted(limit: int) -> FloatArray:
        rows = row_numbers(series, series.validation_batch(limit).targets.values)
        return np.asarray(rows[-1])

    np.testing.assert_array_equal(wanted(2), [80, 99])
    np.testing.assert_array_equal(wanted(20), np.arange(80, 100))
    np.testing.assert_array_equal(wanted(1000), np.arange(80, 100))


def test_columns_stay_together_in_a_window() -> None:
    rows = np.arange(60.0)
    series = prepare_series(table_of(rows, -3 * rows + 1), steps=4)

    batch = series.training_batch(np.random.default_rng(7), 9)

    assert batch.inputs.shape == batch.targets.values.shape == (4, 9, 2)
    # A falling line standardises to the mirror image of a rising one.
    np.testing.assert_allclose(batch.inputs[..., 1], -batch.inputs[..., 0], atol=1e-12)
    np.testing.assert_allclose(
        batch.targets.values[..., 1], -batch.targets.values[..., 0], atol=1e-12
    )


def test_fewer_than_one_sequence_is_refused() -> None:
    series = ramp(100, steps=5)

    with pytest.raises(SettingError, match="number of sequences is 0"):
        series.training_batch(np.random.default_rng(0), 0)
    with pytest.raises(SettingError, match="number of sequences is -1"):
        series.examination_batch(-1)
    with pytest.raises(SettingError, match="number of sequences is 0"):
        series.validation_batch(0)
