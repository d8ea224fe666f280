"""Each remedy answers a cause, and predicts what taking that cause away would leave."""

import math

import numpy as np
import pytest

from gradscope.diagnosis.growth import CauseRates
from gradscope.diagnosis.reasons import ReasonCode
from gradscope.diagnosis.remedies import Remedy, RemedyCode, clipping_value, remedies
from gradscope.diagnosis.verdict import Evidence, Learned, judge
from gradscope.learning.history import History, Stop
from gradscope.names import ActivationName, Regime

LAGS = np.arange(1.0, 101.0)
SOME = CauseRates(-0.1, 0.0, -0.05, -0.05, -0.2)


def advice(
    rate: float,
    causes: CauseRates = SOME,
    *,
    required_lag: int | None = None,
    learned: Learned | None = None,
    clip_at: float | None = None,
    orthogonal: bool = False,
) -> dict[RemedyCode, Remedy]:
    """What is said of a profile that goes in a straight line."""
    profile = (rate * LAGS)[:, None]
    verdict = judge(Evidence(profile, 0.5, required_lag=required_lag, learned=learned))
    given = remedies(verdict, causes, ActivationName.SIGMOID, clip_at, orthogonal=orthogonal)
    found = {each.code: each for each in given}
    assert len(found) == len(given)
    return found


def test_every_costly_cause_has_its_remedy_the_costliest_first() -> None:
    causes = CauseRates(-0.3, -1.4, -0.5, -0.4, -2.6)

    found = advice(-2.6, causes)

    assert list(found) == [
        RemedyCode.RAISE_SLOPE_CEILING,
        RemedyCode.ALIGN_WEIGHTS,
        RemedyCode.REDUCE_SATURATION,
        RemedyCode.RAISE_GAIN,
    ]
    predicted = [each.numbers["predicted_rate"] for each in found.values()]
    assert predicted == pytest.approx([-1.2, -2.1, -2.2, -2.3])
    assert found[RemedyCode.RAISE_SLOPE_CEILING].numbers["activation"] == "tanh"
    assert found[RemedyCode.REDUCE_SATURATION].numbers["activation"] == "sigmoid"


def test_weights_drawn_orthogonal_are_not_to_be_drawn_so_again() -> None:
    causes = CauseRates(0.0, 0.0, -0.5, 0.0, -0.5)

    assert list(advice(-0.5, causes, orthogonal=True)) == [RemedyCode.KEEP_ALIGNED]
    assert list(advice(-0.5, causes)) == [RemedyCode.ALIGN_WEIGHTS]


def test_the_gain_to_raise_brings_sigma_max_of_w_to_one() -> None:
    found = advice(-0.5, CauseRates(-0.5, 0.0, 0.0, 0.0, -0.5))

    assert list(found) == [RemedyCode.RAISE_GAIN]
    assert found[RemedyCode.RAISE_GAIN].numbers["factor"] == pytest.approx(math.exp(0.5))
    assert found[RemedyCode.RAISE_GAIN].numbers["predicted_rate"] == pytest.approx(0.0)


def test_what_costs_less_than_a_tenth_of_the_rate_is_not_worth_a_word() -> None:
    found = advice(-1.0, CauseRates(0.2, 0.0, -0.09, -1.11, -1.0))

    assert list(found) == [RemedyCode.REDUCE_SATURATION]


def test_against_exploding_the_gain_is_lowered_and_the_gradient_clipped() -> None:
    found = advice(0.3, CauseRates(0.5, 0.0, -0.1, -0.1, 0.3), clip_at=2.5)

    assert list(found) == [RemedyCode.LOWER_GAIN, RemedyCode.CLIP]
    assert found[RemedyCode.LOWER_GAIN].numbers["factor"] == pytest.approx(math.exp(-0.3))
    assert found[RemedyCode.CLIP].numbers == {"norm": 2.5, "quantile": 0.9}


def test_a_growth_out_of_all_proportion_asks_where_it_comes_from_instead() -> None:
    just, beyond = math.log(999.0), math.log(1001.0)

    assert RemedyCode.LOWER_GAIN in advice(just, CauseRates(just, 0.0, 0.0, 0.0, just))
    found = advice(beyond, CauseRates(beyond, 0.0, 0.0, 0.0, beyond), clip_at=2.5)

    assert list(found) == [RemedyCode.CHECK_SIZE]
    assert found[RemedyCode.CHECK_SIZE].numbers["growth_per_step"] == pytest.approx(1001.0)
    assert found[RemedyCode.CHECK_SIZE].numbers["by_way_of"] == "weights"


def test_a_gain_that_explodes_slowly_is_still_to_be_lowered_down_to_no_growth() -> None:
    found = advice(0.08, CauseRates(0.08, 0.0, 0.0, 0.0, 0.08))

    assert found[RemedyCode.LOWER_GAIN].numbers["predicted_rate"] == 0.0


def test_a_tail_that_no_longer_falls_has_no_cause_to_answer() -> None:
    assert list(advice(-0.2, CauseRates(0.05, 0.0, -0.01, 0.0, 0.04))) == []


def test_sequences_that_disagree_and_vanish_on_average_are_only_clipped() -> None:
    profiles = np.stack([0.1 * LAGS, -0.4 * LAGS], axis=1)
    verdict = judge(Evidence(profiles, 0.5))

    found = remedies(verdict, SOME, ActivationName.TANH)

    assert verdict.regime is Regime.MIXED
    assert [each.code for each in found] == [RemedyCode.CLIP]
    assert found[0].numbers["norm"] is None


def test_sequences_that_disagree_and_of_which_none_explodes_are_not_clipped() -> None:
    verdict = judge(Evidence(np.stack([0.0 * LAGS, -0.4 * LAGS], axis=1), 0.5))

    found = [each.code for each in remedies(verdict, SOME, ActivationName.TANH)]

    assert verdict.regime is Regime.MIXED
    assert RemedyCode.CLIP not in found
    assert RemedyCode.LOWER_GAIN not in found
    assert found[0] is RemedyCode.RAISE_GAIN


def test_a_horizon_short_of_the_required_lag_asks_for_gates_as_well() -> None:
    short = advice(-0.2, required_lag=60)
    enough = advice(-0.2, required_lag=20)

    assert short[RemedyCode.GATES].numbers == {"horizon": 35, "required_lag": 60}
    assert list(short)[-1] is RemedyCode.GATES
    assert RemedyCode.GATES not in enough


@pytest.mark.parametrize(
    ("error", "codes"), [(0.2, [RemedyCode.LOOK_ELSEWHERE]), (0.01, [])], ids=["stuck", "learned"]
)
def test_a_fine_gradient_and_a_loss_at_the_baseline_point_elsewhere(
    error: float, codes: list[RemedyCode]
) -> None:
    assert list(advice(0.0, required_lag=50, learned=Learned(error, 0.2))) == codes


def test_a_gradient_that_is_within_bounds_but_not_fine_needs_nothing_yet() -> None:
    # Stable, but with less than a tenth left at the required lag, and no horizon within sight.
    verdict = judge(Evidence((-0.04 * LAGS)[:, None], 0.5, required_lag=90))

    assert verdict.reason(ReasonCode.GRADIENT_FINE) is None
    assert verdict.horizon is None
    assert remedies(verdict, SOME, ActivationName.TANH) == ()


def test_where_every_sequence_died_no_cause_can_be_answered() -> None:
    nothing = CauseRates(None, None, None, None, None)

    assert list(advice(-9.0, nothing)) == []


def history(norms: list[float]) -> History:
    return History(
        loss=np.array(norms),
        gradient_norm=np.array(norms),
        clipped=np.zeros(len(norms), dtype=np.bool_),
        target_steps=1,
        stop=Stop.DONE,
    )


def test_the_clipping_value_is_exceeded_by_one_norm_in_ten() -> None:
    assert clipping_value(history([float(n) for n in range(11)])) == pytest.approx(9.0)
    assert clipping_value(history([])) is None
    assert clipping_value(history([1.0, 1e35, 1e36])) is None
    assert clipping_value(None) is None


def test_every_remedy_can_be_given() -> None:
    given = {
        *advice(-2.6, CauseRates(-0.3, -1.4, -0.5, -0.4, -2.6), required_lag=60),
        *advice(-0.5, CauseRates(0.0, 0.0, -0.5, 0.0, -0.5), orthogonal=True),
        *advice(0.3),
        *advice(9.0),
        *advice(0.0, learned=Learned(1.0, 1.0)),
    }

    behind_gates = {RemedyCode.KEEP_LONGER, RemedyCode.OPEN_GATES}
    of_writing = {RemedyCode.STANDARDISE, RemedyCode.REVIVE_UNITS}  # tests/cases/test_shut_networks
    assert given == set(RemedyCode) - behind_gates - of_writing
