"""Numbers and matrices as a lesson prints them."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradscope.report.terminal.table import matrix_lines, scientific


@pytest.mark.parametrize(
    ("nats", "text"),
    [
        (0.0, "1"),
        (math.log(0.25), "0.25"),
        (-math.log(1000.0) * 200, "1.00e−600"),
        (math.log(9.999) + 700 * math.log(10.0), "1.00e+701"),
        (math.log(3.5) - 5 * math.log(10.0), "3.50e−05"),
        (-math.inf, "0"),
    ],
)
def test_powers_far_outside_float64_are_written_out(nats: float, text: str) -> None:
    assert scientific(nats) == text


@given(st.floats(-1e5, 1e5))
def test_what_is_written_is_the_number(nats: float) -> None:
    text = scientific(nats).replace("−", "-")

    mantissa, _, exponent = text.partition("e")
    assert re.fullmatch(r"\d(\.\d+)?|\d+\.\d+|\d\d+", mantissa)
    assert math.log(float(mantissa)) + int(exponent or 0) * math.log(10.0) == pytest.approx(
        nats, abs=6e-3
    )


def test_a_matrix_keeps_its_rows_and_its_columns_stand_below_each_other() -> None:
    lines = matrix_lines("W", np.array([[1.0, -0.25], [10.5, 0.0]]))

    assert lines == ["W = [     1  −0.25 ]", "    [  10.5      0 ]"]
    assert matrix_lines("x", np.array([1.0, 2.0])) == ["x = [ 1  2 ]"]
