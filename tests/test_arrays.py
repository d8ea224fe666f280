"""Order statistics are NumPy's, and load less; foreign numbers become float64 in silence."""

import numpy as np
import pytest

from gradscope.arrays import as_float64, order_statistics

LEVELS = (0.0, 0.05, 0.25, 0.5, 0.9, 0.95, 1.0)


@pytest.mark.parametrize("count", [1, 2, 3, 16, 20, 39, 40, 100])
def test_order_statistics_are_those_of_numpy(count: int) -> None:
    values = np.random.default_rng(count).standard_normal((3, count))
    values[0, : count // 2] = -np.inf

    with np.errstate(invalid="ignore"):
        expected = np.quantile(values, LEVELS, axis=1, method="inverted_cdf")
    np.testing.assert_array_equal(order_statistics(values, LEVELS), expected)
    np.testing.assert_array_equal(order_statistics(values[2], LEVELS), expected[:, 2])


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
