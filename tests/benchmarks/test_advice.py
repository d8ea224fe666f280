"""A part of the table on advice: one seed of each row; and that the pages say what was measured."""

import re

import pytest

from gradscope.report.terminal.remedy import WORDS
from tests.benchmarks.advice.forecasts import ROWS
from tests.benchmarks.advice.rows import FOLDER, row_makers


@pytest.mark.slow
@pytest.mark.parametrize("name", row_makers())
def test_what_is_wanted_of_advice_is_met(name: str) -> None:
    assert [row for row in row_makers()[name](quick=True) if not row.met] == []


def test_a_forecast_says_how_often_it_was_right_as_the_table_does() -> None:
    lines = (FOLDER / "table.md").read_text("utf-8").splitlines()
    measured = {cells[1]: cells[2] for cells in (re.split(r" *\| *", line) for line in lines)}
    for ground, name in ROWS["recall"].items():
        assert re.findall(r"\d+ of \d+", WORDS[ground]) == [measured[name]]
