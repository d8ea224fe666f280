"""Ranges as one string: what is written is what comes out, and nothing else gets through."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradscope.errors import SettingError
from gradscope.sweep.axes import MAX_RANGE, parse_numbers, parse_whole_numbers, parse_words

FINITE = st.floats(-1e100, 1e100, allow_nan=False)


@given(numbers=st.lists(FINITE, min_size=1, max_size=9))
def test_a_list_comes_out_as_it_was_written(numbers: list[float]) -> None:
    assert parse_numbers(" , ".join(map(repr, numbers)), "--gain") == tuple(numbers)


@given(start=FINITE, stop=FINITE, count=st.integers(2, 50))
def test_a_range_has_both_ends_in_and_even_steps(start: float, stop: float, count: int) -> None:
    values = parse_numbers(f"{start!r}:{stop!r}:{count}", "--gain")

    assert len(values) == count
    assert (values[0], values[-1]) == (start, stop)
    scale = max(abs(start), abs(stop))
    np.testing.assert_allclose(values, np.linspace(start, stop, count), atol=1e-12 * scale)


@given(start=st.floats(1e-3, 1e6), stop=st.floats(1e-3, 1e6), count=st.integers(2, 50))
def test_a_log_range_is_even_in_the_logarithm(start: float, stop: float, count: int) -> None:
    values = parse_numbers(f"log:{start!r}:{stop!r}:{count}", "--gain")

    np.testing.assert_allclose(values, np.geomspace(start, stop, count), rtol=1e-12)


def test_a_range_of_one_is_its_start() -> None:
    assert parse_numbers("3:9:1", "--gain") == (3.0,)


@given(text=st.text(alphabet="0123456789.:,-+elognaif \n", max_size=12))
def test_any_text_gives_finite_numbers_or_a_setting_error(text: str) -> None:
    values, complaint = tried(text)

    if values is None:
        assert complaint.startswith("--steps is ")
    else:
        assert 1 <= len(values) <= MAX_RANGE
        assert all(map(math.isfinite, values))


def tried(text: str) -> tuple[tuple[float, ...] | None, str]:
    """Return the numbers of a text, or what is said against it."""
    try:
        return parse_numbers(text, "--steps"), ""
    except SettingError as error:
        return None, str(error)


@given(start=st.integers(1, 1000), stop=st.integers(1, 1000), count=st.integers(1, 60))
def test_whole_numbers_of_a_range_come_once_and_stay_between_its_ends(
    start: int, stop: int, count: int
) -> None:
    values = parse_whole_numbers(f"{start}:{stop}:{count}", "--steps")

    assert len(set(values)) == len(values)
    assert all(min(start, stop) <= value <= max(start, stop) for value in values)
    assert list(values) == sorted(values, reverse=start > stop)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty part"),
        ("1,,2", "empty part"),
        ("1:2", "start:stop:count"),
        ("1:2:3:4", "start:stop:count"),
        ("1:2:0", "count is '0'"),
        ("1:2:2.5", "count is '2.5'"),
        (f"1:2:{MAX_RANGE + 1}", f"from 1 to {MAX_RANGE}"),
        ("log:0:1:3", "above 0"),
        ("inf", "not finite"),
        ("a:2:3", "'a' is not a number"),
    ],
)
def test_what_is_no_range_is_said(text: str, words: str) -> None:
    with pytest.raises(SettingError, match=words):
        parse_numbers(text, "--gain")


def test_a_list_of_whole_numbers_refuses_a_half() -> None:
    assert parse_whole_numbers("3,3.0,5", "--steps") == (3, 5)
    with pytest.raises(SettingError, match=r"2\.5 is not a whole number"):
        parse_whole_numbers("2,2.5", "--steps")


def test_words_are_taken_without_the_spaces_around_them() -> None:
    assert parse_words(" tanh , sigmoid", "--activation") == ("tanh", "sigmoid")
