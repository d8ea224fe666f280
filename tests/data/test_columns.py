"""A column is found by name, then by number; what is not found is answered with what there is."""

from pathlib import Path

import pytest

from gradscope.data.columns import SHOWN_CHARACTERS, choose_columns, quoted, several_columns
from gradscope.errors import DataError

PATH = Path("t.csv")


def message(names: tuple[str, ...], *asked: str) -> str:
    with pytest.raises(DataError) as caught:
        choose_columns(asked, names, PATH)
    return str(caught.value)


def test_columns_come_in_the_order_they_are_asked_for() -> None:
    assert choose_columns(("c", "1", " b "), ("a", "b", "c"), PATH) == [2, 0, 1]


def test_a_name_wins_over_a_number() -> None:
    assert choose_columns(("2",), ("2", "x"), PATH) == [0]
    assert choose_columns(("1", "3"), ("x", "1", "y"), PATH) == [1, 2]


@pytest.mark.parametrize("asked", ["rian", "Rain", "rains"])
def test_a_column_that_is_not_there_is_answered_with_a_close_one(asked: str) -> None:
    assert message(("day", "RAIN"), asked) == (
        f"t.csv has no column '{asked}' (did you mean 'RAIN'?); it has 'day', 'RAIN' "
        "(--column takes a name, or a number from 1)"
    )


@pytest.mark.parametrize("asked", ["0", "3", "-1", "9" * 5000, "", "1.0", "٢"])
def test_numbers_out_of_range_list_the_columns(asked: str) -> None:
    line = message(("day", "rain"), asked)

    assert "did you mean" not in line
    assert "it has 'day', 'rain'" in line


def test_a_long_list_of_columns_is_cut() -> None:
    line = str(several_columns(tuple(f"c{k}" for k in range(300)), PATH))

    assert "300 columns of numbers: 'c0', 'c1'" in line
    assert "… (300 in all); choose with --column" in line
    assert len(line) < 250


def test_one_name_for_two_columns_is_refused_but_their_numbers_work() -> None:
    assert "2 columns named 'a' (numbers 1, 3)" in message(("a", "b", "a"), "a")
    assert choose_columns(("3", "1"), ("a", "b", "a"), PATH) == [2, 0]


def test_a_column_asked_for_twice_is_refused() -> None:
    assert message(("a", "b"), "b", "2") == "column '2' of t.csv is given twice; name it once"


def test_a_text_in_a_message_is_one_short_line() -> None:
    assert quoted("a\n\x1b[31m") == r"'a\n\x1b[31m'"
    assert quoted("y" * SHOWN_CHARACTERS) == "'" + "y" * SHOWN_CHARACTERS + "'"
    assert quoted("y" * 10**6) == "'" + "y" * (SHOWN_CHARACTERS - 1) + "…'"
