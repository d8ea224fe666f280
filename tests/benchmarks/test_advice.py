"""A part of the table on advice: one seed of each row."""

import pytest

from tests.benchmarks.advice.rows import row_makers


@pytest.mark.slow
@pytest.mark.parametrize("name", row_makers())
def test_what_is_wanted_of_advice_is_met(name: str) -> None:
    assert [row for row in row_makers()[name](quick=True) if not row.met] == []
