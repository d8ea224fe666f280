"""A number is read as it is written, in any usual notation, or not at all."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradscope.data.cells import cell_value, decimal_mark, is_missing, is_value, marks_of
from gradscope.errors import SettingError

GROUPS = {
    False: (",", "'", "’", "\u00a0", "\u2009", "\u202f"),
    True: (".", "'", "\u202f"),
}


@pytest.mark.parametrize(
    "cell",
    [
        "1_000",
        "0x10",
        "1 2",
        "1 500",
        "1 500.6",
        "1 234 567",
        "1.2.3",
        "--",
        "'5'",
        "1,5",
        "5,",
        "%",
        "€",
    ],
)
def test_what_only_looks_like_a_number_is_none(cell: str) -> None:
    assert cell_value(cell, decimal_comma=False) is None


@pytest.mark.parametrize(
    "cell",
    ["5,", ",", "1,2,3", "1,234.5", "1.5", "1.23", "12.3456", "0.123", "1.234e5", "inf", "2020-01"],
)
def test_with_decimal_commas_a_point_stands_between_thousands_only(cell: str) -> None:
    assert cell_value(cell, decimal_comma=True) is None


@pytest.mark.parametrize(
    "cell", ["1,23", "12,34", "1,2345", "1,234,56", "0,123", "01,234", "1,234 567"]
)
def test_with_decimal_points_a_comma_stands_between_thousands_only(cell: str) -> None:
    assert cell_value(cell, decimal_comma=False) is None


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("$1,234.50", 1234.5),
        ("-$1.50", -1.5),
        ("€ 1.50", 1.5),
        ("1.50 EUR", 1.5),
        ("5 %", 5.0),
        ("%5", 5.0),
        ("\u22122.5", -2.5),
        ("1'234'567.25", 1234567.25),
        ("1e400", math.inf),
    ],
)
def test_units_and_signs_leave_the_number_as_it_stands(cell: str, value: float) -> None:
    assert cell_value(cell, decimal_comma=False) == value


@pytest.mark.parametrize("cell", ["$5%", "5$ %", "5 €uro", "EURO 5", "€€5", "5e3 m"])
def test_other_units_are_text(cell: str) -> None:
    assert not is_value(cell)


@given(
    st.integers(-(10**15), 10**15),
    st.none() | st.text("0123456789", min_size=1, max_size=4),
    st.booleans(),
    st.data(),
)
def test_thousands_between_any_marks_are_read_back(
    whole: int, part: str | None, decimal_comma: bool, data: st.DataObject
) -> None:
    group = data.draw(st.sampled_from(GROUPS[decimal_comma]))
    point = "," if decimal_comma else "."
    tail = "" if part is None else point + part

    cell = f"{whole:,}".replace(",", group) + tail

    assert cell_value(cell, decimal_comma=decimal_comma) == float(f"{whole}.{part or 0}")


@given(st.floats(allow_nan=False, allow_infinity=False), st.booleans())
def test_any_float_is_read_back_exactly(value: float, decimal_comma: bool) -> None:
    cell = repr(value).replace(".", "," if decimal_comma else ".")

    assert cell_value(cell, decimal_comma=decimal_comma) == value


@given(st.text("0123456789.,'+-eE %$", max_size=12))
def test_a_cell_without_a_doubt_has_one_reading(cell: str) -> None:
    point, comma = (cell_value(cell, decimal_comma=each) for each in (False, True))
    both = None not in (point, comma) and not is_missing(cell)

    assert (decimal_mark(cell) == "?") == (both and point != comma)
    assert is_value(cell) == (point is not None or comma is not None)


@pytest.mark.parametrize(
    ("cell", "mark"),
    [
        ("1.234", "?"),
        ("1,234", "?"),
        ("-12.345 €", "?"),
        ("1.2340", "."),
        ("1.234,0", ","),
        ("5", ""),
        (".", ""),
    ],
)
def test_three_digits_after_one_mark_are_doubtful(cell: str, mark: str) -> None:
    assert decimal_mark(cell) == mark


def test_a_long_row_of_digits_or_blanks_is_refused_at_once() -> None:
    for cell in ("9" * 100_000 + "x", "1" + " " * 100_000 + "x", "1,234" * 20_000):
        assert not is_value(cell)


@pytest.mark.parametrize(
    ("missing", "marks"),
    [("refuse", []), ("keep", []), ("interpolate, keep", []), ("-9999,-200", [-9999.0, -200.0])],
)
def test_the_numbers_of_the_setting_are_marks(missing: str, marks: list[float]) -> None:
    assert marks_of(missing) == marks


@pytest.mark.parametrize("missing", ["", "drop", "interpolate,", "-9999;keep"])
def test_other_words_are_refused(missing: str) -> None:
    with pytest.raises(SettingError, match="choose refuse, interpolate, keep"):
        marks_of(missing)
