"""What to do about a gated cell whose gradient vanishes: its own gates, and no gates anew."""

import numpy as np

from gradscope.diagnosis.growth import GatedCauseRates
from gradscope.diagnosis.reasons import ReasonCode
from gradscope.diagnosis.remedies import RemedyCode, remedies
from gradscope.diagnosis.verdict import Evidence, Verdict, judge
from gradscope.names import ActivationName


def vanishing(rates: GatedCauseRates, *, of_course: bool = True) -> Verdict:
    assert rates.total is not None
    profile = rates.total * np.arange(1.0, 61.0)[:, None]
    evidence = Evidence(profile, 0.5, rates, required_lag=50, bound_of_course=of_course)
    return judge(evidence)


def advice(rates: GatedCauseRates) -> list[RemedyCode]:
    return [each.code for each in remedies(vanishing(rates), rates, ActivationName.TANH)]


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

    (found,) = remedies(vanishing(rates), rates, ActivationName.TANH)

    assert (found.code, found.numbers["by_way_of"]) == (RemedyCode.CHECK_SIZE, "gates")


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
