"""The verdict on profiles made by hand: every regime, every reason, every threshold."""

from dataclasses import fields, replace
from itertools import chain

import numpy as np
import pytest

from gradscope.arrays import FloatArray
from gradscope.diagnosis.growth import CauseRates, GrowthRate
from gradscope.diagnosis.reasons import Reason, ReasonCode
from gradscope.diagnosis.thresholds import Thresholds
from gradscope.diagnosis.verdict import Evidence, Learned, Verdict, judge
from gradscope.diagnosis.write_level import Writing
from gradscope.errors import SettingError
from gradscope.names import Regime

LAGS = np.arange(1.0, 101.0)
LN_10 = float(np.log(10.0))

VANISHES = -0.2 * LAGS
EXPLODES = 0.2 * LAGS
HOLDS = 0.01 * np.sin(LAGS)
GROWS_THEN_VANISHES = 3.0 * np.minimum(LAGS, 10.0) / 10.0 - 0.2 * np.maximum(LAGS - 10.0, 0.0)
DIES = np.where(LAGS >= 8, -np.inf, 0.0)


def evidence(*profiles: FloatArray, **known: object) -> Evidence:
    """Profiles side by side, under a bound that allows anything."""
    return replace(Evidence(np.stack(profiles, axis=1), bound_rate=0.5), **known)  # type: ignore[arg-type]


def numbers(verdict: Verdict, code: ReasonCode) -> dict[str, float | int | str | None]:
    reason = verdict.reason(code)
    assert reason is not None, [each.code for each in verdict.reasons]
    return dict(reason.numbers)


# --- Regimes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "regime", "rate", "horizon"),
    [
        (VANISHES, Regime.VANISHING, -0.2, 35),
        (EXPLODES, Regime.EXPLODING, 0.2, None),
        (HOLDS, Regime.STABLE, 0.0, None),
        (GROWS_THEN_VANISHES, Regime.TRANSIENT, -0.2, 60),
        (DIES, Regime.VANISHING, -np.inf, 8),
    ],
    ids=["vanishes", "explodes", "holds", "grows then vanishes", "dies"],
)
def test_a_profile_has_its_regime_rate_and_horizon(
    profile: FloatArray, regime: Regime, rate: float, horizon: int | None
) -> None:
    verdict = judge(evidence(profile, profile, profile))

    assert verdict.regime is regime
    assert verdict.rate == pytest.approx(rate, abs=1e-3)
    assert verdict.horizon == horizon
    assert verdict.max_lag == 100


@pytest.mark.parametrize(
    ("counts", "regime"),
    [
        ((8, 2, 0, 0), Regime.VANISHING),
        ((7, 3, 0, 0), Regime.MIXED),
        ((2, 8, 0, 0), Regime.EXPLODING),
        ((0, 2, 8, 0), Regime.STABLE),
        ((4, 3, 3, 0), Regime.MIXED),
        # Vanishing and transient are one family; the larger of both gives it its name.
        ((5, 1, 0, 4), Regime.VANISHING),
        ((4, 1, 0, 5), Regime.TRANSIENT),
        ((5, 0, 0, 5), Regime.VANISHING),
    ],
)
def test_the_sequences_vote(counts: tuple[int, int, int, int], regime: Regime) -> None:
    kinds = (VANISHES, EXPLODES, HOLDS, GROWS_THEN_VANISHES)
    profiles = chain.from_iterable(
        [profile] * count for profile, count in zip(kinds, counts, strict=True)
    )

    assert judge(evidence(*profiles)).regime is regime


def test_a_profile_that_explodes_and_comes_back_down_is_transient_not_exploding() -> None:
    hill = np.where(LAGS < 50, 0.3 * LAGS, 0.3 * 50 - 0.6 * (LAGS - 50))

    assert hill.max() > np.log(1e3)
    assert judge(evidence(hill)).regime is Regime.TRANSIENT


def test_the_rate_is_that_of_the_sequences_that_live() -> None:
    assert judge(evidence(VANISHES, 2.0 * VANISHES, DIES)).rate == pytest.approx(-0.3)


def test_the_median_of_an_even_number_of_sequences_is_one_of_them() -> None:
    # Halfway between −inf and a number there is nothing.
    verdict = judge(evidence(DIES, VANISHES))

    assert verdict.horizon == 8


def test_a_single_lag_is_enough_for_a_verdict() -> None:
    verdict = judge(Evidence(np.array([[-0.5, -0.5]]), bound_rate=0.0))

    assert verdict.regime is Regime.STABLE
    assert verdict.rate == -0.5


# --- Reasons -----------------------------------------------------------------------------------


def test_the_crossings_are_named_with_lag_and_threshold() -> None:
    down, up = judge(evidence(VANISHES)), judge(evidence(EXPLODES))

    assert numbers(down, ReasonCode.BELOW_THRESHOLD) == {"lag": 35, "threshold": 1e-3}
    assert numbers(up, ReasonCode.ABOVE_THRESHOLD) == {"lag": 35, "threshold": 1e3}
    assert down.reason(ReasonCode.ABOVE_THRESHOLD) is None
    assert down.reason(ReasonCode.WITHIN_THRESHOLDS) is None


def test_a_profile_within_the_thresholds_says_how_far_it_was_seen_and_when_it_would_cross() -> None:
    verdict = judge(evidence(-0.05 * LAGS))

    assert verdict.regime is Regime.STABLE
    found = numbers(verdict, ReasonCode.WITHIN_THRESHOLDS)
    assert found["max_lag"] == 100
    assert found["log10_norm"] == pytest.approx(-5.0 / LN_10)
    assert found["expected_horizon"] == 139  # 0.05 · 139 > log 1000 = 6.908 > 0.05 · 138


def test_a_transient_names_its_peak() -> None:
    found = numbers(judge(evidence(GROWS_THEN_VANISHES)), ReasonCode.GROWS_FIRST)

    assert found["peak_lag"] == 10
    assert found["peak_log10_norm"] == pytest.approx(3.0 / LN_10)


def test_sequences_that_disagree_are_counted() -> None:
    verdict = judge(evidence(VANISHES, EXPLODES, EXPLODES))

    assert numbers(verdict, ReasonCode.SEQUENCES_DISAGREE) == {"vanishing": 1, "exploding": 2}
    assert judge(evidence(VANISHES)).reason(ReasonCode.SEQUENCES_DISAGREE) is None


def test_an_exact_zero_is_named_with_its_lag_and_the_number_of_sequences() -> None:
    verdict = judge(evidence(DIES, np.where(LAGS >= 20, -np.inf, 0.0), HOLDS))

    assert numbers(verdict, ReasonCode.EXACT_ZERO) == {"lag": 8, "sequences": 2, "of": 3}
    assert judge(evidence(HOLDS)).reason(ReasonCode.EXACT_ZERO) is None


def test_a_state_that_overflows_is_named_with_its_step() -> None:
    verdict = judge(evidence(EXPLODES, overflow_step=17))

    assert numbers(verdict, ReasonCode.STATE_OVERFLOWS) == {"step": 17}


@pytest.mark.parametrize(
    ("required", "code", "reaches"),
    [
        (34, ReasonCode.HORIZON_REACHES, True),
        (35, ReasonCode.HORIZON_SHORT, False),
        (99, ReasonCode.HORIZON_SHORT, False),
    ],
)
def test_the_horizon_is_set_against_the_required_lag(
    required: int, code: ReasonCode, reaches: bool
) -> None:
    verdict = judge(evidence(VANISHES, required_lag=required))

    assert verdict.reaches is reaches
    assert numbers(verdict, code) == {"horizon": 35, "required_lag": required}


def test_a_required_lag_beyond_those_measured_is_not_said_to_be_reached() -> None:
    last = judge(evidence(HOLDS)).max_lag
    assert judge(evidence(HOLDS, required_lag=last)).reaches is True

    beyond = judge(evidence(HOLDS, required_lag=last + 1))

    assert beyond.reaches is None
    assert beyond.reason(ReasonCode.HORIZON_REACHES) is None
    unseen = {"max_lag": last, "required_lag": last + 1}
    assert numbers(beyond, ReasonCode.HORIZON_UNKNOWN) == unseen


def test_without_a_required_lag_nothing_is_said_of_it() -> None:
    unknown = judge(evidence(VANISHES))
    assert unknown.reaches is None
    assert unknown.reason(ReasonCode.HORIZON_REACHES) is None
    assert unknown.reason(ReasonCode.HORIZON_SHORT) is None


@pytest.mark.parametrize(
    ("rate", "code", "said"),
    [
        (-0.1, ReasonCode.BOUND_FORCES_VANISHING, -0.1),
        (-np.inf, ReasonCode.BOUND_FORCES_VANISHING, None),
        (0.0, ReasonCode.BOUND_IS_ONE, 0.0),
        (4.4e-16, ReasonCode.BOUND_IS_ONE, 4.4e-16),
        (-1e-7, ReasonCode.BOUND_IS_ONE, -1e-7),
        (1e-5, ReasonCode.BOUND_ALLOWS_EXPLODING, 1e-5),
        (0.3, ReasonCode.BOUND_ALLOWS_EXPLODING, 0.3),
    ],
)
def test_the_bound_says_what_it_leaves_possible(
    rate: float, code: ReasonCode, said: float | None
) -> None:
    verdict = judge(evidence(VANISHES, bound_rate=rate))

    assert numbers(verdict, code) == {"bound_rate_nats_per_step": said}


@pytest.mark.parametrize(
    ("rates", "cause", "size"),
    [
        (CauseRates(0.1, -1.4, -0.3, -0.2, -1.8), "slope_ceiling", -1.4),
        (CauseRates(0.4, 0.0, -0.1, -0.6, -0.3), "saturation", -0.6),
        (CauseRates(0.9, 0.0, -0.3, -0.2, 0.4), "weights", 0.9),
        (CauseRates(-0.1, 0.0, -0.3, -0.2, -0.6), "misalignment", -0.3),
    ],
)
def test_the_main_cause_is_the_largest_in_the_direction_of_the_norm(
    rates: CauseRates, cause: str, size: float
) -> None:
    verdict = judge(evidence(VANISHES, causes=rates))

    assert numbers(verdict, ReasonCode.MAIN_CAUSE) == {"cause": cause, "nats_per_step": size}


def test_where_every_sequence_died_no_cause_is_named() -> None:
    nothing = CauseRates(None, None, None, None, None)

    assert judge(evidence(DIES, causes=nothing)).reason(ReasonCode.MAIN_CAUSE) is None


def test_where_large_causes_cancel_to_a_stable_gradient_none_is_the_main_one() -> None:
    cancel = CauseRates(0.5, 0.0, -0.3, -0.19, 0.01)
    decay = CauseRates(0.0, 0.0, -0.01, -0.002, -0.012)

    assert judge(evidence(HOLDS, causes=cancel)).reason(ReasonCode.MAIN_CAUSE) is None
    assert judge(evidence(HOLDS, causes=decay)).reason(ReasonCode.MAIN_CAUSE) is not None
    assert judge(evidence(VANISHES, causes=cancel)).reason(ReasonCode.MAIN_CAUSE) is not None


@pytest.mark.parametrize(
    ("profile", "required", "fine"),
    [
        (HOLDS, None, True),
        (-0.005 * LAGS, None, True),  # gone after 1382 steps, more than ten times those measured
        (-0.02 * LAGS, None, False),
        (0.02 * LAGS, None, False),
        (VANISHES, None, False),
        (EXPLODES, None, False),
        # σ_max is 0.1 at lag 11.5: fine at 11, not at 12.
        (VANISHES, 11, True),
        (VANISHES, 12, False),
        (np.where(LAGS < 50, np.log(0.1), -9.0), 49, True),
        (VANISHES, 0, True),
        (HOLDS, 100, True),
        (HOLDS, 101, False),
        (EXPLODES, 5, False),
    ],
)
def test_the_gradient_is_fine_where_a_tenth_of_it_arrives_and_none_explodes(
    profile: FloatArray, required: int | None, fine: bool
) -> None:
    reason = judge(evidence(profile, required_lag=required)).reason(ReasonCode.GRADIENT_FINE)

    assert (reason is not None) is fine


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (0.1, ReasonCode.BEATS_BASELINE),
        (0.1899, ReasonCode.BEATS_BASELINE),
        (0.1901, ReasonCode.AT_BASELINE),
        (5.0, ReasonCode.AT_BASELINE),
    ],
)
def test_what_was_learned_is_set_against_the_baseline(error: float, code: ReasonCode) -> None:
    verdict = judge(evidence(HOLDS, learned=Learned(error, 0.2)))

    assert numbers(verdict, code) == {"error": error, "baseline": 0.2}


@pytest.mark.parametrize("error", [np.inf, np.nan])
def test_an_error_that_is_not_finite_beats_nothing_and_is_not_a_number(error: float) -> None:
    verdict = judge(evidence(HOLDS, learned=Learned(error, 0.2)))

    assert numbers(verdict, ReasonCode.AT_BASELINE) == {"error": None, "baseline": 0.2}


def test_nothing_is_fine_on_white_noise() -> None:
    for required in (None, 5):
        verdict = judge(evidence(HOLDS, required_lag=required, white_noise=True))
        assert verdict.white_noise
        assert verdict.reason(ReasonCode.GRADIENT_FINE) is None


@pytest.mark.parametrize(
    ("profile", "required", "reaches"),
    [
        (HOLDS, None, None),
        (HOLDS, 50, True),
        (HOLDS, 101, None),
        (VANISHES, 11, True),
        (VANISHES, 90, False),
        (EXPLODES, 5, False),  # before it passes the threshold too: what it carries is drowned
        (EXPLODES, 101, False),
        (np.where(LAGS < 30, 8.0, -9.0), 20, False),
        (np.where(LAGS < 30, 8.0, -9.0) * (LAGS > 10), 5, True),
    ],
)
def test_what_explodes_does_not_arrive(
    profile: FloatArray, required: int | None, reaches: bool | None
) -> None:
    verdict = judge(evidence(profile, required_lag=required))

    assert verdict.reaches is reaches
    assert (verdict.reason(ReasonCode.HORIZON_REACHES) is not None) is bool(reaches)


def test_a_rate_whose_interval_holds_0_is_marginal_and_has_no_end() -> None:
    growth = GrowthRate(-0.05, -0.2, 0.1, None)

    judged = judge(evidence(-0.05 * LAGS, growth=growth))
    sure = judge(evidence(-0.05 * LAGS, growth=replace(growth, high=-0.01)))

    within = numbers(judged, ReasonCode.WITHIN_THRESHOLDS)
    assert (judged.marginal, judged.expected_lag) == (True, None)
    assert within["expected_horizon"] is within["expected_explosion"] is None
    assert (sure.marginal, sure.expected_lag) == (False, 139)  # log(1000) / 0.05 = 138.2
    assert judge(evidence(-0.05 * LAGS, growth=replace(growth, low=None))).marginal is None


def test_it_can_say_that_the_gradient_is_fine_and_the_trouble_is_elsewhere() -> None:
    verdict = judge(evidence(HOLDS, required_lag=50, learned=Learned(0.2, 0.2)))

    codes = {each.code for each in verdict.reasons}
    assert {ReasonCode.GRADIENT_FINE, ReasonCode.AT_BASELINE} <= codes


def test_every_reason_can_be_given() -> None:
    rates = CauseRates(0.1, -1.4, -0.3, -0.2, -1.8)
    verdicts = [
        judge(evidence(VANISHES, required_lag=50, bound_rate=-0.1, causes=rates)),
        judge(evidence(EXPLODES, bound_rate=0.3, required_lag=50, overflow_step=3)),
        judge(evidence(HOLDS, learned=Learned(1.0, 1.0))),
        judge(evidence(HOLDS, learned=Learned(0.1, 1.0))),
        judge(evidence(HOLDS, required_lag=10**6, bound_rate=0.0)),
        judge(evidence(HOLDS, required_lag=50)),
        judge(evidence(GROWS_THEN_VANISHES, GROWS_THEN_VANISHES, DIES)),
    ]

    given = {reason.code for verdict in verdicts for reason in verdict.reasons}
    of_writing = {  # tests/cases/test_shut_networks
        ReasonCode.NOTHING_WRITTEN,
        ReasonCode.UNITS_DEAD,
        ReasonCode.UNITS_SATURATED,
        ReasonCode.INPUTS_UNSCALED,
        ReasonCode.SHARE_LOST,
    }
    of_steps = {ReasonCode.FEW_STEPS, ReasonCode.GROWTH_FOLLOWS_INPUT}  # test_paths
    of_stacks = {ReasonCode.MAINLY_IN_DEPTH, ReasonCode.MAINLY_IN_TIME}  # analysis/test_depth
    elsewhere = of_writing | of_steps | of_stacks | {ReasonCode.TRAINING_SHORTENED}
    assert given == set(ReasonCode) - elsewhere


def test_fine_is_not_said_of_what_is_hindered_from_writing() -> None:
    saturated = Reason(ReasonCode.UNITS_SATURATED, {"of": "units", "fraction": 0.9, "low": 0.5})
    dead = Reason(ReasonCode.UNITS_DEAD, {"units": 1, "of": 9})

    def fine(*reasons: Reason) -> bool:
        verdict = judge(evidence(HOLDS, writing=Writing(0.5, {}, reasons)))
        assert verdict.reasons[: len(reasons)] == reasons
        return verdict.reason(ReasonCode.GRADIENT_FINE) is not None

    assert fine()
    assert fine(dead)
    assert not fine(dead, saturated)


def test_no_number_of_a_reason_is_infinite_or_not_a_number() -> None:
    profiles = (VANISHES, EXPLODES, HOLDS, GROWS_THEN_VANISHES, DIES)
    for profile in profiles:
        for reason in judge(evidence(profile, DIES, bound_rate=-np.inf, required_lag=3)).reasons:
            for value in reason.numbers.values():
                assert not isinstance(value, float) or np.isfinite(value), reason


# --- Thresholds --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("thresholds", "profiles", "regime"),
    [
        (Thresholds(vanishing=1e-9), (-0.2 * LAGS,), Regime.STABLE),
        (Thresholds(exploding=1e9), (0.2 * LAGS,), Regime.STABLE),
        (Thresholds(exploding=1e8), (0.2 * LAGS,), Regime.EXPLODING),
        (Thresholds(transient_growth=25.0), (GROWS_THEN_VANISHES,), Regime.VANISHING),
        (Thresholds(transient_growth=20.0), (GROWS_THEN_VANISHES,), Regime.TRANSIENT),
        (Thresholds(agreement=0.6), (VANISHES, VANISHES, EXPLODES), Regime.VANISHING),
        (Thresholds(agreement=0.05), (VANISHES,) + (EXPLODES,) * 9, Regime.VANISHING),
        (Thresholds(agreement=1.0), (VANISHES,) * 9 + (EXPLODES,), Regime.MIXED),
        (Thresholds(agreement=1.0), (VANISHES,) * 9, Regime.VANISHING),
    ],
)
def test_thresholds_move_the_lines(
    thresholds: Thresholds, profiles: tuple[FloatArray, ...], regime: Regime
) -> None:
    assert judge(evidence(*profiles), thresholds).regime is regime


def test_the_horizon_and_the_fine_line_follow_their_thresholds() -> None:
    verdict = judge(
        evidence(VANISHES, required_lag=12, learned=Learned(0.8, 1.0)),
        Thresholds(vanishing=1e-2, fine=0.05, no_better=0.7),
    )

    assert verdict.horizon == 24  # log 100 = 4.605 = 0.2 · 23.03
    assert verdict.reason(ReasonCode.GRADIENT_FINE) is not None
    assert verdict.reason(ReasonCode.AT_BASELINE) is not None


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("vanishing", 0.0),
        ("vanishing", 1.0),
        ("vanishing", -1.0),
        ("exploding", 1.0),
        ("exploding", np.inf),
        ("transient_growth", 1.0),
        ("transient_growth", 0.5),
        ("agreement", 0.0),
        ("agreement", 1.01),
        ("fine", 0.0),
        ("fine", 1.0),
        ("no_better", 0.0),
        ("no_better", 1.5),
    ],
)
def test_a_threshold_outside_its_limits_is_refused_with_them(name: str, bad: float) -> None:
    with pytest.raises(SettingError, match=rf"is {bad}; choose a number between \S+ and \S+"):
        Thresholds(**{name: bad})


@pytest.mark.parametrize("name", [each.name for each in fields(Thresholds)])
def test_a_threshold_must_be_a_number(name: str) -> None:
    with pytest.raises(SettingError, match="is nan; choose a number between"):
        Thresholds(**{name: float("nan")})


# --- What a regime shows -----------------------------------------------------------------------


def test_a_verdict_shows_its_regime_and_a_mixed_one_those_of_its_sequences() -> None:
    vanishing = judge(evidence(VANISHES))
    mixed = judge(evidence(VANISHES, HOLDS))

    assert vanishing.shows({Regime.VANISHING, Regime.TRANSIENT})
    assert not vanishing.shows({Regime.EXPLODING})
    assert mixed.regime is Regime.MIXED
    assert mixed.shows({Regime.VANISHING})
    assert mixed.shows({Regime.STABLE})
    assert not mixed.shows({Regime.EXPLODING, Regime.TRANSIENT})
