"""The pages of ``forecast`` and ``try``."""

import pytest

from gradscope.learning.readout import Readout
from gradscope.names import ErrorName
from gradscope.remedy.forecast import Expectation
from gradscope.report.terminal.remedy import forecast_answer


@pytest.mark.parametrize(
    ("promised", "yes", "undecided"),
    [
        ((5, 8, 14), "lags 5 to 14 ", "lags 20 to 30"),
        ((5, 14), "lags 5 and 14 ", "lags 8 and 20 to 30"),
        ((8,), "a lag of 8 steps ", "lags 5 and 14 to 30"),
    ],
)
def test_a_span_holds_only_lags_of_its_answer(
    promised: tuple[int, ...], yes: str, undecided: str
) -> None:
    found = [
        Expectation(
            lag,
            2 * lag,
            None,
            Readout(0.9 if lag in promised else 0.0),
            1.0,
            up_to=False,
            error=ErrorName.SQUARED,
            updates=(200,),
        )
        for lag in (5, 8, 14, 20, 30)
    ]

    answer = forecast_answer(found)
    assert f"learns {yes}" in answer
    assert answer.endswith(undecided)
