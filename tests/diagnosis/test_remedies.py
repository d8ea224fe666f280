"""Each remedy answers a cause, and is offered where it is measured, or predicted, to help."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradscope.analysis.settings import Settings
from gradscope.diagnosis.growth import CauseRates
from gradscope.diagnosis.reasons import Reason, ReasonCode
from gradscope.diagnosis.remedies import (
    MAX_MEASUREMENTS,
    Remedy,
    RemedyCode,
    balanced_gain,
    clipping_value,
    remedies,
)
from gradscope.diagnosis.verdict import Evidence, Learned, Verdict, judge
from gradscope.learning.history import History, Stop
from gradscope.names import ActivationName, Regime

LAGS = np.arange(1.0, 101.0)
SOME = CauseRates(-0.1, 0.0, -0.05, -0.05, -0.2)
DRAWN, FILE = Settings(), Settings(weights="net.npz", updates=0)
SIGMOID = Settings(activation=ActivationName.SIGMOID)

Measure = Callable[..., float]


def as_measured(now: float, **rates: float) -> Measure:
    """Measure these rates where such a setting is changed (the last that is named), else half of
    ``now``; W of another gain as if it were all there is.
    """

    def measure(**changes: Any) -> float:
        known = [rate for name, rate in rates.items() if name in changes]
        if known:
            return known[-1]
        if list(changes) == ["gain"]:
            return now + math.log(changes["gain"])
        return 0.5 * now if changes else now

    return measure


def advice(
    rate: float,
    causes: CauseRates = SOME,
    settings: Settings = DRAWN,
    *,
    measure: Measure | None = None,
    clip_at: float | None = None,
    required_lag: int | None = None,
    learned: Learned | None = None,
) -> dict[RemedyCode, Remedy]:
    """What is said of a profile that goes in a straight line."""
    profile = (rate * LAGS)[:, None]
    verdict = judge(Evidence(profile, 0.5, required_lag=required_lag, learned=learned))
    measure = measure or as_measured(rate)
    given = remedies(verdict, causes, settings.as_dict(), measure, clip_at)
    found = {each.code: each for each in given}
    assert len(found) == len(given)
    return found


def test_every_costly_cause_has_its_remedy_the_costliest_first() -> None:
    causes = CauseRates(-0.3, -1.4, -0.5, -0.4, -2.6)

    found = advice(-2.6, causes, SIGMOID)

    assert {code: dict(each.changes) for code, each in found.items()} == {
        RemedyCode.RAISE_SLOPE_CEILING: {"activation": "tanh", "center_bias": False},
        RemedyCode.ALIGN_WEIGHTS: {"init": "orthogonal"},
        RemedyCode.REDUCE_SATURATION: {"center_bias": True},
        RemedyCode.RAISE_GAIN: {"gain": pytest.approx(math.exp(2.6), rel=0.01)},
    }
    assert list(found)[:2] == [RemedyCode.RAISE_SLOPE_CEILING, RemedyCode.ALIGN_WEIGHTS]
    assert {each.numbers["predicted_from"] for each in found.values()} == {"measurement"}
    assert found[RemedyCode.ALIGN_WEIGHTS].numbers["predicted_rate"] == -1.3


def test_nothing_is_offered_that_is_measured_not_to_help() -> None:
    causes = CauseRates(0.0, 0.0, -0.5, 0.0, -0.5)

    for rate in (-0.5, -0.46, -0.9, 0.02, 0.4, -math.inf, math.inf):
        assert advice(-0.5, causes, measure=as_measured(-0.5, init=rate)) == {}
    for rate in (-0.44, -0.01, 0.009):
        found = advice(-0.5, causes, measure=as_measured(-0.5, init=rate))
        assert found[RemedyCode.ALIGN_WEIGHTS].numbers["predicted_rate"] == rate


def test_where_a_change_goes_too_far_the_next_is_tried() -> None:
    causes = CauseRates(0.0, 0.0, -0.5, 0.0, -0.5)
    measure = as_measured(-0.5, init=0.3, gain=-0.1)

    found = advice(-0.5, causes, Settings(gain=1.5), measure=measure)

    assert found[RemedyCode.ALIGN_WEIGHTS].changes == {"init": "orthogonal", "gain": 1.0}
    assert found[RemedyCode.ALIGN_WEIGHTS].numbers["predicted_rate"] == -0.1


def test_a_relu_is_not_told_of_its_inputs_but_of_the_gain_that_half_its_units_cost() -> None:
    causes = CauseRates(0.0, 0.0, 0.0, -0.35, -0.35)
    relu, tanh = Settings(activation=ActivationName.RELU), DRAWN

    assert list(advice(-0.35, causes, relu)) == [RemedyCode.RAISE_GAIN]
    assert list(advice(-0.35, causes, tanh)) == [RemedyCode.REDUCE_SATURATION]
    smaller = advice(-0.35, causes, Settings(input_scale=3.0))[RemedyCode.REDUCE_SATURATION]
    assert smaller.changes == {"input_scale": 0.3}


def test_of_a_network_from_a_file_the_other_terms_are_carried_over() -> None:
    found = advice(-0.8, CauseRates(0.3, 0.0, -0.9, -0.2, -0.8), FILE, required_lag=60)

    assert list(found) == [
        RemedyCode.ALIGN_WEIGHTS,
        RemedyCode.REDUCE_SATURATION,
        RemedyCode.GATES,
    ]
    assert not any(each.changes for each in found.values())
    # ln σ_max(W) of an orthogonal W is 0.
    assert found[RemedyCode.ALIGN_WEIGHTS].numbers["predicted_rate"] == pytest.approx(-0.2)
    assert found[RemedyCode.REDUCE_SATURATION].numbers["predicted_rate"] == pytest.approx(-0.6)
    assert found[RemedyCode.ALIGN_WEIGHTS].numbers["predicted_from"] == "terms"
    assert found[RemedyCode.GATES].numbers["forget_bias"] == pytest.approx(math.log(60), abs=1e-3)


def test_no_prediction_for_a_network_that_vanishes_is_above_zero() -> None:
    saturated = CauseRates(0.9, 0.0, -0.4, -0.6, -0.1)
    steep = CauseRates(1.2, -1.4, -0.1, -0.1, -0.4)

    assert RemedyCode.REDUCE_SATURATION not in advice(-0.1, saturated, FILE)
    ceiling = advice(-0.4, steep, FILE)[RemedyCode.RAISE_SLOPE_CEILING]
    assert ceiling.numbers["predicted_rate"] is None


def test_what_the_terms_predict_to_be_worse_is_not_offered() -> None:
    # Equal singular values cost what σ_max above 1 brings.
    assert RemedyCode.ALIGN_WEIGHTS not in advice(
        -0.2, CauseRates(0.6, 0.0, -0.3, -0.5, -0.2), FILE
    )


def test_the_gain_is_a_command_for_a_network_from_a_file_too() -> None:
    found = advice(-0.5, CauseRates(-0.5, 0.0, 0.0, 0.0, -0.5), FILE)

    assert list(found) == [RemedyCode.RAISE_GAIN]
    numbers = found[RemedyCode.RAISE_GAIN].numbers
    assert numbers["factor"] == pytest.approx(math.exp(0.5), rel=0.01)
    assert abs(float(numbers["predicted_rate"] or 0.0)) <= 0.01
    assert found[RemedyCode.RAISE_GAIN].changes == {"gain": numbers["gain"]}


def test_what_costs_less_than_a_tenth_of_the_rate_is_not_worth_a_word() -> None:
    found = advice(-1.0, CauseRates(0.2, 0.0, -0.09, -1.11, -1.0))

    assert list(found) == [RemedyCode.REDUCE_SATURATION]


def test_against_exploding_the_gain_is_lowered_and_the_gradient_clipped() -> None:
    found = advice(0.3, CauseRates(0.5, 0.0, -0.1, -0.1, 0.3), clip_at=2.5)

    assert list(found) == [RemedyCode.LOWER_GAIN, RemedyCode.CLIP]
    assert found[RemedyCode.LOWER_GAIN].changes == {"gain": pytest.approx(math.exp(-0.3), rel=0.01)}
    assert found[RemedyCode.CLIP].numbers == {"norm": 2.5, "quantile": 0.9}
    assert found[RemedyCode.CLIP].changes == {"clip_norm": 2.5, "clip_value": None}


def test_what_explodes_only_once_trained_is_not_told_of_its_gain() -> None:
    assert list(advice(0.3, measure=as_measured(-0.1))) == [RemedyCode.CLIP]


def test_a_gradient_that_is_clipped_lower_is_not_to_be_clipped_again() -> None:
    assert RemedyCode.CLIP not in advice(0.3, settings=Settings(clip_norm=2.0), clip_at=2.5)
    assert RemedyCode.CLIP in advice(0.3, settings=Settings(clip_norm=3.0), clip_at=2.5)


def test_what_was_not_trained_is_trained_where_it_is_to_be_clipped() -> None:
    clip = advice(0.3, settings=Settings(updates=0))[RemedyCode.CLIP]

    assert clip.changes == {"clip_norm": 1.0, "clip_value": None, "updates": 200}


def test_a_growth_out_of_all_proportion_asks_where_it_comes_from_instead() -> None:
    just, beyond = math.log(999.0), math.log(1001.0)
    large = Settings(gain=1e4)

    assert RemedyCode.LOWER_GAIN in advice(just, CauseRates(just, 0.0, 0.0, 0.0, just), large)
    found = advice(beyond, CauseRates(beyond, 0.0, 0.0, 0.0, beyond), large, clip_at=2.5)

    assert list(found) == [RemedyCode.CHECK_SIZE]
    assert found[RemedyCode.CHECK_SIZE].numbers["growth_per_step"] == pytest.approx(1001.0)
    assert found[RemedyCode.CHECK_SIZE].numbers["by_way_of"] == "weights"
    assert found[RemedyCode.CHECK_SIZE].changes == {"gain": 1.0}


def test_a_tail_that_no_longer_falls_has_no_cause_to_answer() -> None:
    assert list(advice(-0.2, CauseRates(0.05, 0.0, -0.01, 0.0, 0.04))) == []


def test_sequences_that_disagree_and_vanish_on_average_are_only_clipped() -> None:
    profiles = np.stack([0.1 * LAGS, -0.4 * LAGS], axis=1)
    verdict = judge(Evidence(profiles, 0.5))

    found = remedies(verdict, SOME, DRAWN.as_dict(), as_measured(-0.2))

    assert verdict.regime is Regime.MIXED
    assert [each.code for each in found] == [RemedyCode.CLIP]
    assert found[0].numbers["norm"] is None


def test_sequences_that_disagree_and_of_which_none_explodes_are_not_clipped() -> None:
    verdict = judge(Evidence(np.stack([0.0 * LAGS, -0.4 * LAGS], axis=1), 0.5))

    given = remedies(verdict, SOME, DRAWN.as_dict(), as_measured(-0.2))

    found = [each.code for each in given]
    assert verdict.regime is Regime.MIXED
    assert RemedyCode.CLIP not in found
    assert RemedyCode.LOWER_GAIN not in found
    assert found[0] is RemedyCode.RAISE_GAIN


def test_a_horizon_short_of_the_required_lag_asks_for_gates_that_keep_the_state_as_long() -> None:
    leaky = Settings(dt=0.1, tau=1.0, noise=0.1, gain=1.5)
    short = advice(-0.2, settings=leaky, required_lag=60)
    enough = advice(-0.2, settings=leaky, required_lag=20)
    worse = advice(-0.2, settings=leaky, required_lag=60, measure=as_measured(-0.2, cell=-0.3))

    numbers = short[RemedyCode.GATES].numbers
    assert (numbers["horizon"], numbers["required_lag"]) == (35, 60)
    assert list(short)[-1] is RemedyCode.GATES
    gated = leaky.with_changes(short[RemedyCode.GATES].changes)
    assert gated.forget_bias == pytest.approx(math.log(60.0), abs=1e-3)
    assert RemedyCode.GATES not in enough
    assert RemedyCode.GATES not in worse


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
    assert remedies(verdict, SOME, DRAWN.as_dict(), as_measured(-0.04)) == ()


def test_where_every_sequence_died_no_cause_can_be_answered() -> None:
    nothing = CauseRates(None, None, None, None, None)

    assert list(advice(-9.0, nothing)) == []


def shut(settings: Settings, *reasons: Reason, white_noise: bool = False) -> list[Remedy]:
    """What is said of a network that writes nothing."""
    nothing = Reason(ReasonCode.NOTHING_WRITTEN, {})
    verdict = Verdict(
        Regime.STABLE, 0.0, None, None, 30, (nothing, *reasons), white_noise=white_noise
    )
    return list(remedies(verdict, SOME, settings.as_dict(), as_measured(0.0)))


def test_a_network_that_writes_nothing_is_given_the_settings_by_which_it_writes() -> None:
    dead = Reason(ReasonCode.UNITS_DEAD, {})
    driven = {"mean": 50.0, "standard_deviation": 1.0, "driven": 8.0}
    large, by_u = (
        Reason(ReasonCode.INPUTS_UNSCALED, {**driven, "mean": mean}) for mean in (50.0, 0.1)
    )
    data = Settings(weights="net.npz", data="x.npy", updates=0)

    def changes(*of: Any, **more: Any) -> dict[str, Any]:
        (remedy,) = shut(*of, **more)
        return dict(remedy.changes)

    assert changes(DRAWN, dead) == {"activation": "tanh"}
    assert changes(Settings(gain=50.0)) == {"gain": 1.0}
    assert changes(Settings(input_scale=4.0)) == {"input_scale": 0.4}
    assert changes(Settings(input_scale=4.0), large) == {"input_scale": 0.5}
    assert changes(FILE, large, white_noise=True) == {"noise_scale": 0.125}
    assert changes(data, large) == {"standardise": True}
    assert changes(data.with_changes({"standardise": True}), large) == {}
    assert changes(data, by_u) == changes(data, dead) == changes(data) == {}


# --- The gain -----------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [-1.5, -0.3, -0.02, 0.004, 0.05, 0.7, 3.0])
@pytest.mark.parametrize("slope", [0.3, 1.0, 2.0])
def test_the_gain_is_found_whatever_the_slope_of_the_rate(start: float, slope: float) -> None:
    tried: list[float] = []

    def measure(*, gain: float) -> float:
        tried.append(gain)
        return start + slope * math.log(gain / 0.8)

    found = balanced_gain(measure, 0.8)

    assert abs(start + slope * math.log(found / 0.8)) <= 0.01
    assert tried[-1] == found
    assert len(tried) <= 10


@pytest.mark.parametrize(
    "rate",
    [
        lambda gain: -0.2 - abs(math.log(gain)),  # Saturates before it carries.
        lambda gain: 0.3 if gain > 1.1 else -0.2,  # Jumps over 0.
        lambda gain: math.inf if gain > 1.1 else -0.2,
        lambda gain: -math.inf if gain < 3.0 else 0.1,
    ],
)
def test_the_search_for_a_gain_ends_and_keeps_the_nearest(rate: Callable[[float], float]) -> None:
    tried: list[float] = []

    def measure(*, gain: float) -> float:
        tried.append(abs(rate(gain)))
        return rate(gain)

    found = balanced_gain(measure, 1.0)

    assert abs(rate(found)) == min(tried)
    assert len(tried) <= MAX_MEASUREMENTS


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
    dead = Reason(ReasonCode.UNITS_DEAD, {})
    unscaled = {"mean": 50.0, "standard_deviation": 1.0, "driven": 8.0}
    given = {
        *advice(-2.6, CauseRates(-0.3, -1.4, -0.5, -0.4, -2.6), SIGMOID, required_lag=60),
        *advice(0.3),
        *advice(9.0),
        *advice(0.0, learned=Learned(1.0, 1.0)),
        *(each.code for each in shut(DRAWN, dead, Reason(ReasonCode.INPUTS_UNSCALED, unscaled))),
    }

    behind_gates = {RemedyCode.KEEP_LONGER, RemedyCode.OPEN_GATES}  # test_gated_remedies
    assert given == set(RemedyCode) - behind_gates
