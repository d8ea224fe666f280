"""What to do about a gated cell whose gradient vanishes: its own gates, and no gates anew."""

import math
from typing import Any

import numpy as np
import pytest

from gradscope.analysis.settings import Settings
from gradscope.diagnosis.growth import GatedCauseRates
from gradscope.diagnosis.reasons import ReasonCode
from gradscope.diagnosis.remedies import Remedy, RemedyCode, remedies
from gradscope.diagnosis.verdict import Evidence, Verdict, judge
from gradscope.names import CellName


def vanishing(rates: GatedCauseRates, *, of_course: bool = True) -> Verdict:
    assert rates.total is not None
    profile = rates.total * np.arange(1.0, 61.0)[:, None]
    evidence = Evidence(profile, 0.5, rates, required_lag=50, bound_of_course=of_course)
    return judge(evidence)


def given(rates: GatedCauseRates, settings: Settings, better: float) -> tuple[Remedy, ...]:
    """What is said where every change makes the rate so many times what it is."""

    def measure(**changes: Any) -> float:
        assert rates.total is not None
        return (better if changes else 1.0) * rates.total

    return remedies(vanishing(rates), rates, settings.as_dict(), measure)


def advice(rates: GatedCauseRates, better: float = 0.5) -> list[RemedyCode]:
    return [each.code for each in given(rates, Settings(cell=CellName.LSTM), better)]


def test_each_costly_term_has_its_remedy_and_the_costliest_comes_first() -> None:
    shut = GatedCauseRates(-0.9, 0.5, -0.1, -0.2, 0.0, -0.7)
    flat = GatedCauseRates(-0.1, 0.0, -0.5, -0.15, 0.05, -0.7)

    assert advice(shut) == [
        RemedyCode.KEEP_LONGER,
        RemedyCode.OPEN_GATES,
        RemedyCode.REDUCE_SATURATION,
    ]
    assert advice(flat) == [
        RemedyCode.REDUCE_SATURATION,
        RemedyCode.OPEN_GATES,
        RemedyCode.KEEP_LONGER,
    ]


def test_the_inputs_are_asked_after_where_a_gated_cell_explodes_out_of_all_proportion() -> None:
    rates = GatedCauseRates(0.0, 10.0, 0.0, 0.0, 0.0, 10.0)

    large = Settings(cell=CellName.LSTM, input_scale=30.0)
    (found,) = given(rates, large, 0.5)

    assert (found.code, found.numbers["by_way_of"]) == (RemedyCode.CHECK_SIZE, "gates")
    assert found.changes == {"input_scale": 1.0}


def test_the_gate_that_keeps_the_state_is_given_the_logarithm_of_the_lag() -> None:
    shut = GatedCauseRates(-0.9, 0.5, -0.1, -0.01, 0.0, -0.51)

    (drawn, *_), (file, *_) = (
        given(shut, settings, 0.1)
        for settings in (Settings(cell=CellName.GRU), Settings(weights="net.npz", updates=0))
    )

    assert drawn.changes == {"forget_bias": pytest.approx(math.log(50.0), abs=1e-3)}
    assert drawn.numbers["predicted_rate"] == pytest.approx(-0.051)
    assert (file.code, file.changes) == (RemedyCode.KEEP_LONGER, {})
    assert file.numbers["forget_bias"] == drawn.changes["forget_bias"]


def test_nothing_is_offered_to_a_gated_cell_that_does_not_help_it() -> None:
    assert advice(GatedCauseRates(-0.9, 0.5, -0.1, -0.2, 0.0, -0.7), better=0.95) == []


def test_a_term_that_costs_little_has_no_remedy() -> None:
    assert advice(GatedCauseRates(-0.8, 0.14, -0.02, -0.02, 0.0, -0.7)) == [RemedyCode.KEEP_LONGER]


def test_a_gated_cell_is_not_told_to_become_one() -> None:
    assert RemedyCode.GATES not in advice(GatedCauseRates(-0.9, 0.5, -0.1, -0.2, 0.0, -0.7))


def test_the_main_cause_and_the_bound_say_what_they_are_of() -> None:
    rates = GatedCauseRates(-0.9, 0.5, -0.1, -0.2, 0.0, -0.7)
    verdict = vanishing(rates)

    main = verdict.reason(ReasonCode.MAIN_CAUSE)
    bound = verdict.reason(ReasonCode.BOUND_ALLOWS_EXPLODING)
    plain = vanishing(rates, of_course=False).reason(ReasonCode.BOUND_ALLOWS_EXPLODING)

    assert main is not None
    assert main.numbers == {"cause": "direct", "nats_per_step": -0.9}
    assert bound is not None
    assert bound.numbers == {"bound_rate_nats_per_step": 0.5, "of": "course"}
    assert plain is not None
    assert "of" not in plain.numbers
