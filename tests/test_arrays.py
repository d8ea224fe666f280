"""Quantiles are NumPy's, and load less; foreign numbers become float64 in silence."""

import numpy as np
import pytest

from gradscope.arrays import as_float64, quantiles

LEVELS = (0.0, 0.05, 0.25, 0.5, 0.9, 0.95, 1.0)


@pytest.mark.parametrize("count", [1, 2, 3, 16, 20, 39, 40, 100])
def test_quantiles_are_those_of_numpy(count: int) -> None:
    values = np.random.default_rng(count).standard_normal((3, count))

    expected = np.quantile(values, LEVELS, axis=1)

    np.testing.assert_allclose(quantiles(values, LEVELS), expected, rtol=1e-14, atol=1e-15)
    np.testing.assert_array_equal(quantiles(values[2], LEVELS), quantiles(values, LEVELS)[:, 2])


def test_the_median_of_an_even_number_is_the_mean_of_the_middle_two() -> None:
    assert quantiles(np.array([8.0, 1.0, 3.0, 2.0]), (0.5,)) == 2.5


def test_the_5_percent_of_16_values_are_not_their_minimum() -> None:
    values = np.arange(16.0)

    np.testing.assert_allclose(quantiles(values, (0.05, 0.95)), [0.75, 14.25])


def test_between_an_infinity_and_a_number_lies_the_infinity() -> None:
    values = np.array([-np.inf, -np.inf, 1.0, 2.0, np.inf])

    found = quantiles(values, (0.0, 0.1, 0.3, 0.5, 0.6, 0.75, 0.9, 1.0))

    np.testing.assert_array_equal(found, [-np.inf, -np.inf, -np.inf, 1.0, 1.4, 2.0, np.inf, np.inf])
    # 0.05 of the way through 61 values is the fourth itself, whatever 0.05 · 60 rounds to.
    values = np.r_[np.full(3, -np.inf), np.zeros(58)]
    assert quantiles(values, (0.05,)) == 0.0
    assert quantiles(-values, (0.95,)) == 0.0


def test_equal_values_are_their_own_quantiles_to_the_last_bit() -> None:
    assert (quantiles(np.full(7, 0.1), LEVELS) == 0.1).all()


@pytest.mark.parametrize("kind", ["?", "u1", "i8", "f2", ">f4", "<f8", "g"])
def test_numbers_keep_their_value_shape_and_order_in_float64(kind: str) -> None:
    rows = np.asfortranarray(np.array([[0, 1, 1], [1, 0, 1]]).astype(kind))

    numbers, by_rows = as_float64(rows), as_float64(rows, order="C")

    assert numbers.dtype == by_rows.dtype == np.float64
    np.testing.assert_array_equal(numbers, [[0, 1, 1], [1, 0, 1]])
    np.testing.assert_array_equal(by_rows, numbers)
    assert numbers.flags.f_contiguous
    assert by_rows.flags.c_contiguous
    assert isinstance(as_float64(rows[0, 0]), np.ndarray)


def test_every_float64_but_a_signalling_nan_keeps_its_bits() -> None:
    bits = np.frombuffer(np.random.default_rng(0).bytes(80_000), "u8")
    special = np.array([0, 1 << 63, 1, 0x7FF << 52, 0xFFF << 52, 0x7FF8 << 48], "u8")
    numbers = np.concatenate([bits, special]).view("f8")

    copied = as_float64(numbers)

    ordinary = ~np.isnan(numbers)
    np.testing.assert_array_equal(copied[ordinary].view("u8"), numbers[ordinary].view("u8"))
    assert np.isnan(copied[~ordinary]).all()
    assert not np.shares_memory(copied, numbers)


@pytest.mark.parametrize(
    ("kind", "bits"), [("f2", 0x7C01), ("f4", 0x7F800001), ("f8", 0x7FF0000000000001)]
)
def test_a_signalling_nan_becomes_a_quiet_one(kind: str, bits: int) -> None:
    signalling = np.array([bits], f"u{kind[1]}").view(kind)

    quiet = as_float64(signalling)

    assert np.isnan(quiet - 1.0).all()
    assert quiet.view("u8")[0] >> 51 & 1


def test_a_long_double_beyond_float64_is_infinite() -> None:
    if np.finfo(np.longdouble).max == np.finfo(np.float64).max:
        pytest.skip("long double is float64 here")

    assert as_float64(np.array([np.finfo(np.longdouble).max])) == np.inf
