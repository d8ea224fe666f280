"""Numbers that stand for a missing value are asked about, and honest ones are not."""

import re
from pathlib import Path

import numpy as np
import pytest

from gradscope.arrays import FloatArray, as_float64
from gradscope.data.recordings import Layout, read_array
from gradscope.data.table import read_table
from gradscope.errors import DataError

RNG = np.random.default_rng(12)
WIND = (6.0 + RNG.normal(size=300)).round(2)
RAIN = np.where(RNG.random(300) < 0.8, 0.0, RNG.exponential(5.0, 300).round(1))
# Like the ozone sensor of UCI's air quality: -200 is not five robust deviations below it.
SENSOR = RNG.normal(1000.0, 250.0, 300).clip(400.0, 2000.0).round()


def saved(tmp_path: Path, column: FloatArray) -> Path:
    path = tmp_path / "t.csv"
    path.write_text("v\n" + "".join(f"{each:.10g}\n" for each in column))
    return path


def with_marks(column: FloatArray, mark: float, count: int) -> FloatArray:
    marked = column.copy()
    marked[100 : 100 + count] = mark
    return marked


@pytest.mark.parametrize(
    "mark", [-9999.0, -999.0, -999.9, 9999.0, 99999.0, 1e20, -1e30, -32768.0, 9.96921e36]
)
@pytest.mark.parametrize("column", [WIND, RAIN, SENSOR], ids=["wind", "rain", "sensor"])
def test_a_large_mark_is_asked_about_though_it_stands_once(
    tmp_path: Path, column: FloatArray, mark: float
) -> None:
    path = saved(tmp_path, with_marks(column, mark, 1))
    with pytest.raises(
        DataError, match=rf"line 102, column 'v': {mark:.9g}".replace("+", r"\+")
    ) as caught:
        read_table(path)

    assert "1 of 300 rows" in str(caught.value)
    filled = read_table(path, missing=f"{mark:.9g}").values[:, 0]
    assert filled[100] == pytest.approx((column[99] + column[101]) / 2.0)
    assert read_table(path, missing="keep").values[100, 0] == mark


@pytest.mark.parametrize(
    ("column", "mark"),
    [(WIND, 99.0), (WIND, 99.9), (WIND, 999.0), (WIND, -200.0), (RAIN, -99.0), (SENSOR, -200.0)],
)
def test_a_small_mark_is_asked_about_where_it_stands_again(
    tmp_path: Path, column: FloatArray, mark: float
) -> None:
    with pytest.raises(DataError, match=f"{mark:g} stands in 7 of 300 rows.*--missing {mark:g}, "):
        read_table(saved(tmp_path, with_marks(column, mark, 7)))

    once = with_marks(column, mark, 1)
    np.testing.assert_array_equal(read_table(saved(tmp_path, once)).values[:, 0], once)


HONEST = {
    "an outlier": with_marks(WIND, 500.0, 1),
    "an outlier that stands again": with_marks(WIND, -500.0, 3),
    "heavy tails": RNG.standard_cauchy(300).round(3),
    "counts up to 99": np.arange(300.0) % 100.0,
    "counts up to 9999": 9999.0 - np.arange(300.0),
    "money": (RNG.normal(size=300) * 20_000).round(2) - 9999.0,
    "steps of current": RNG.choice([0.0, -50.0, -100.0, -150.0, -200.0], 300),
    "one step of current": np.where(np.arange(300) % 50 < 25, 0.0, -200.0),
    "saturated at 9999": np.minimum(RNG.exponential(4000.0, 300).round(), 9999.0),
    "huge": RNG.normal(size=300) * 1e20,
    "at the ends of float64": np.array([-1.7e308, 1.7e308, 0.0, 99.0]),
    "nothing but a mark": np.full(300, -999.0),
}


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_series_is_read_as_it_is(tmp_path: Path, name: str) -> None:
    path = tmp_path / "t.npy"
    np.save(path, HONEST[name])

    np.testing.assert_array_equal(read_table(path).values[:, 0], HONEST[name])


def test_the_command_that_is_suggested_names_all_marks_and_runs(tmp_path: Path) -> None:
    table = np.column_stack([with_marks(WIND, -9999.0, 3), with_marks(RAIN, -99.0, 4)])
    np.save(tmp_path / "t.npy", table.astype(np.float32))
    path, columns = tmp_path / "t.npy", ("1", "2")

    with pytest.raises(DataError, match=r"use --missing -9999,-99, if not, --missing keep$"):
        read_table(path, columns)
    with pytest.raises(
        DataError,
        match=r"row 101, column '2': .*--missing -9999,-99, if not, --missing -9999,keep$",
    ):
        read_table(path, columns, "-9999")

    assert np.abs(read_table(path, columns, "-9999,-99").values).max() < 100.0
    assert read_table(path, columns, "-9999,keep").values.min() == -99.0


def test_a_mark_in_single_precision_is_found(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", with_marks(WIND, -999.9, 2).astype(np.float32))

    with pytest.raises(DataError, match=r"-999\.90\d* stands in 2 of 300 rows"):
        read_table(tmp_path / "t.npy")
    assert read_table(tmp_path / "t.npy", missing="-999.9").values.min() > 0.0


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("mark", [-9999.0, -200.0, np.nan])
def test_a_mark_in_a_recording_is_asked_about_and_filled_along_its_sequence(
    tmp_path: Path, mark: float, *, batch_first: bool
) -> None:
    inputs = np.random.default_rng(0).normal(size=(40, 3, 2))
    inputs[[7, 20], 1, 0] = mark
    stored = inputs.swapaxes(0, 1) if batch_first else inputs
    np.save(tmp_path / "x.npy", stored)
    place = [1, 7, 0] if batch_first else [7, 1, 0]

    def read(missing: str) -> FloatArray:
        layout = Layout(batch_first, missing=missing)
        return as_float64(read_array(tmp_path / "x.npy", layout, "--data"))

    with pytest.raises(DataError, match=re.escape(f"x.npy at {place}: ")):
        read("refuse")
    filled = read("interpolate" if np.isnan(mark) else f"{mark}")
    expected = inputs.copy()
    expected[[7, 20], 1, 0] = (inputs[[6, 19], 1, 0] + inputs[[8, 21], 1, 0]) / 2
    np.testing.assert_allclose(filled.swapaxes(0, 1) if batch_first else filled, expected)
    if not np.isnan(mark):
        np.testing.assert_array_equal(read("keep"), stored)


def test_whole_numbers_of_a_recording_stay_whole_unless_one_is_filled(tmp_path: Path) -> None:
    ids = np.array([[3, 4], [5, 6], [-9999, 2], [1, 8]])
    np.save(tmp_path / "x.npy", ids)

    assert read_array(tmp_path / "x.npy", Layout(missing="keep"), "--data").dtype == np.int64
    filled = read_array(tmp_path / "x.npy", Layout(missing="-9999"), "--data")
    np.testing.assert_array_equal(filled[:, 0], [3, 5, 3, 1])
