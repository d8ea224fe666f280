"""Numbers, verdicts, causes, reasons and remedies in words: none missing, none wrong."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gradscope
from gradscope.analysis.results import Analysis, Comparison
from gradscope.diagnosis.growth import CauseRates
from gradscope.diagnosis.reasons import Reason, ReasonCode
from gradscope.diagnosis.remedies import Remedy, RemedyCode
from gradscope.diagnosis.verdict import Evidence, Verdict, judge
from gradscope.learning.history import History, NonFinite, Stop
from gradscope.names import Regime, StageName
from gradscope.report.words.headline import (
    cause_sentence,
    comparison_headline,
    describe,
    headline,
    regime_word,
    stage_title,
    training_sentence,
)
from gradscope.report.words.numbers import (
    fraction,
    level,
    number,
    pace,
    power_of_ten,
    steps,
)
from gradscope.report.words.reasons import reason_sentence
from gradscope.report.words.remedies import remedy_sentence


def test_a_comparison_of_many_networks_names_the_two_that_all_others_lie_between() -> None:
    def analysis_of(activation: str) -> Analysis:
        settings = gradscope.Settings.from_dict(
            {"activation": activation, "hidden": 8, "steps": 8, "sequences": 1, "updates": 0}
        )
        analysis: Analysis = gradscope.analyze(settings)
        return analysis

    many = tuple(map(analysis_of, ("tanh", "identity", "sigmoid", "hard-tanh")))

    tanh, identity, sigmoid, _ = map(reached, many)
    assert comparison_headline(Comparison(many[:2])) == f"Over 8 steps: {tanh}, {identity}"
    assert comparison_headline(Comparison(many)) == f"Over 8 steps: from {sigmoid} to {identity}"


def reached(analysis: Analysis) -> str:
    """Return how far the gradient of a network reaches, in the words of a comparison."""
    verdict = analysis.last.verdict
    reach = verdict.horizon or f">{verdict.max_lag}"
    return f"{analysis.settings.activation} reaches {reach} steps"


def test_a_comparison_is_about_its_longest_length_in_whatever_order() -> None:
    settings = gradscope.Settings(hidden=3, sequences=1, updates=0)
    found = gradscope.compare(settings, steps=(20, 8), activations=("tanh", "sigmoid"))
    tanh, sigmoid = (each for each in found.analyses if each.settings.steps == 20)

    whole = f"Over 20 steps: {reached(tanh)}"
    assert comparison_headline(found) == f"{whole}, {reached(sigmoid)}"
    # An interrupted one speaks of the networks that came so far.
    rest = tuple(each for each in found.analyses if each is not sigmoid)
    assert comparison_headline(Comparison(rest, interrupted=True)) == whole


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (-1.234, "−1.23"),
        (1000.0, "1000"),
        (84_721.0, "84700"),
        (1.2e6, "1.2e6"),
        (-3.456e-7, "−3.46e−7"),
        (1e-300, "1e−300"),
    ],
)
def test_numbers_are_written_as_people_write_them(value: float | None, text: str) -> None:
    assert number(value) == text


def test_what_rounding_left_of_a_logarithm_reads_zero() -> None:
    assert level(4.44e-16) == level(-1.6e-16) == "0"
    assert level(1e-6) == "1e−6"
    assert level(None) == "–"
    assert level(-math.inf) == "−∞"
    assert number(4.44e-16) == "4.44e−16"


@given(value=st.floats())
def test_every_number_is_short_and_has_a_real_minus(value: float) -> None:
    if not math.isnan(value):
        assert len(number(value)) <= 10
        assert "-" not in number(value)
        assert "-" not in level(value)


@pytest.mark.parametrize(
    ("threshold", "text"),
    [(1e-3, "1/1000"), (0.5, "1/2"), (1 / 3, "1/3"), (0.3, "0.3"), (1e-300, "1e−300")],
)
def test_a_threshold_is_a_fraction_where_that_is_shorter(threshold: float, text: str) -> None:
    assert fraction(threshold) == text


@given(threshold=st.floats(0.0, 1.0, exclude_min=True, exclude_max=True))
def test_every_threshold_has_a_short_text(threshold: float) -> None:
    assert len(fraction(threshold)) <= 9


def test_a_pace_says_how_soon_it_halves_or_doubles() -> None:
    assert pace(-math.log(2.0)) == "halves every 1 step"
    assert pace(math.log(2.0) / 5.0) == "doubles every 5 steps"
    assert pace(1e-9) == pace(0.0) == "neither grows nor shrinks"
    assert pace(-math.inf) == "becomes exactly zero"
    assert pace(-math.log(2.0) / 7.25, short=True) == "½ in 7.2"
    assert pace(math.log(2.0), short=True) == "×2 in 1"
    assert (pace(0.0, short=True), pace(-math.inf, short=True)) == ("steady", "zero")
    assert (steps(1), steps(0.49), steps(103.4)) == ("1 step", "0.49 steps", "103 steps")


def test_powers_of_ten_never_overflow() -> None:
    assert power_of_ten(0.5) == "3.16"
    assert power_of_ten(-6284.7) == "2.0·10⁻⁶²⁸⁵"
    assert power_of_ten(400.0) == "10⁴⁰⁰"


def test_steps_and_paces_are_never_in_powers_of_ten() -> None:
    assert [steps(count) for count in (0.49, 1.0, 9.2, 99.6, 138.0)] == [
        "0.49 steps",
        "1 step",
        "9.2 steps",
        "100 steps",
        "138 steps",
    ]
    assert pace(-math.log(2.0) / 138.0, short=True) == "½ in 138"
    assert pace(math.log(2.0) / 99.6, short=True) == "×2 in 100"
    assert pace(-math.log(2.0) / 1.13, short=True) == "½ in 1.1"


def test_one_step_is_one_step(analyses: dict[str, Analysis]) -> None:
    one = analyses["one lag"]

    assert "; 1 step; " in describe(one.settings, one)


# --- Verdicts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("regime", Regime)
@pytest.mark.parametrize("horizon", [None, 1, 12])
@pytest.mark.parametrize("rate", [-math.inf, -0.5, 0.0, 2.0])
def test_every_verdict_has_a_headline(regime: Regime, horizon: int | None, rate: float) -> None:
    text = headline(Verdict(regime, rate, horizon, None, 30, ()), 1e-3)

    assert "None" not in text
    assert "inf" not in text
    assert ("1/1000" in text) is (horizon is not None and regime is not Regime.EXPLODING)


def test_the_headline_says_whether_how_fast_how_far_and_what_is_needed() -> None:
    vanishing = Verdict(Regime.VANISHING, -math.log(2.0) / 3.0, 12, 50, 100, ())
    stable = Verdict(Regime.STABLE, 0.0, None, None, 1, ())

    assert headline(vanishing, 1e-3) == (
        "The gradient vanishes: it reaches 12 steps back; your task needs 50; it halves every 3 "
        "steps"
    )
    assert headline(vanishing, 1e-3, "data").count("your data needs 50") == 1
    unknown = dataclasses.replace(vanishing, required_lag=None)
    assert "it reaches 12 steps back (1/1000);" in headline(unknown, 1e-3)
    assert headline(stable, 0.5).startswith("The gradient carries: it reaches the only step")


@pytest.mark.parametrize("saturated", [True, False])
@pytest.mark.parametrize(("mean", "large"), [(50.0, False), (0.1, True)])
def test_what_is_shut_is_told_of_its_inputs_or_of_u(
    saturated: bool, mean: float, large: bool
) -> None:
    found = {ReasonCode.NOTHING_WRITTEN: {}, ReasonCode.INPUTS_UNSCALED: {**UNSCALED, "mean": mean}}
    if saturated:
        found[ReasonCode.UNITS_SATURATED] = {}
    reasons = tuple(Reason(code, numbers) for code, numbers in found.items())
    verdict = Verdict(Regime.STABLE, 0.0, None, None, 30, reasons)

    text = headline(verdict, 1e-3)
    assert ("smaller U" in text) is large
    assert ("saturated by unscaled inputs" in text) is saturated
    assert ("by large input weights" in text) is (large and not saturated)
    advised = remedy_sentence(
        Remedy(RemedyCode.STANDARDISE, {**UNSCALED, "mean": mean, "white_noise": False})
    )
    assert ("tandardise" in advised) is not large


def test_a_relu_that_is_shut_is_inactive_and_not_saturated() -> None:
    dead = Reason(ReasonCode.UNITS_DEAD, {"units": 2, "of": 9})
    shut = Reason(ReasonCode.NOTHING_WRITTEN, {})

    text = headline(Verdict(Regime.STABLE, 0.0, None, None, 30, (shut, dead)), 1e-3)
    assert "saturated" not in text
    assert "2 of 9 never" in text


def test_a_rate_that_may_be_0_is_marginal_and_not_told_as_a_pace() -> None:
    marginal = Verdict(Regime.STABLE, -0.01, None, None, 10, (), marginal=True)
    noise = dataclasses.replace(marginal, white_noise=True)

    for verdict in (marginal, noise):
        text = headline(verdict, 1e-3)
        assert "(marginal)" in text
        assert "halves" not in text
    assert headline(noise, 1e-3).startswith("On white noise the gradient carries")
    assert (pace(-0.01, marginal=True), pace(-0.01, marginal=True, short=True)) == (
        "neither grows nor shrinks measurably",
        "marginal",
    )


@pytest.mark.parametrize("rate", [-0.28, 0.28])
def test_a_gradient_that_carries_only_over_few_lags_says_when_it_ends(rate: float) -> None:
    lags = np.arange(1.0, 11.0)[:, None]
    verdict = judge(Evidence(np.tile(rate * lags, 8), bound_rate=0.5))

    text = headline(verdict, 1e-3)

    assert verdict.regime is Regime.STABLE
    assert verdict.expected_lag == 25  # 0.28 · 25 is past log 1000
    assert "carries:" not in text
    assert "after 25" in text
    assert regime_word(verdict) == "carries so far"


def test_causes_are_an_equation_without_rounding_noise() -> None:
    causes = CauseRates(0.61, 0.0, -1e-16, -0.786, -0.176)

    assert cause_sentence(causes) == ("+ 0.610 weights − 0.786 saturation = −0.176 nats per step")
    assert "exactly zero" in cause_sentence(CauseRates(None, None, None, None, None))


def test_stages_are_named_with_the_updates_behind_them() -> None:
    one, many = (
        History(np.ones(n), np.ones(n), np.zeros(n, dtype=bool), 1, Stop.DONE) for n in (1, 20)
    )

    assert stage_title(StageName.INITIAL, many) == "before training"
    assert stage_title(StageName.GIVEN, None) == "as given"
    assert stage_title(StageName.TRAINED, one) == "after 1 update"
    assert stage_title(StageName.TRAINED, many) == "after 20 updates"


def test_training_is_mentioned_only_where_it_did_not_end_as_planned() -> None:
    def history(stop: Stop, bad: NonFinite | None = None) -> History:
        return History(np.ones(3), np.ones(3), np.zeros(3, dtype=bool), 1, stop, bad)

    assert training_sentence(history(Stop.DONE)) == ""
    assert "interrupted after 3 updates" in training_sentence(history(Stop.INTERRUPTED))
    stopped = training_sentence(history(Stop.NOT_FINITE, NonFinite(4, 7, "output")))
    assert "at update 4: the output is no longer finite at step 7" in stopped
    unplaced = training_sentence(history(Stop.NOT_FINITE, NonFinite(4, None, "input weights")))
    assert "step" not in unplaced.replace("time step", "")


def test_the_description_names_network_task_and_seed(analysis: Analysis) -> None:
    text = describe(analysis.settings, analysis)

    assert f"{analysis.settings.activation} RNN" in text
    assert analysis.task_info.description in text
    assert text.endswith(f"seed {analysis.settings.seed}")


def test_a_single_step_is_written_as_one(analyses: dict[str, Analysis]) -> None:
    single = analyses["one lag"]

    assert "; 1 step; " in describe(single.settings, single)


def test_a_loaded_network_is_described_by_its_file(analyses: dict[str, Analysis]) -> None:
    trained = analyses["trained"]
    loaded = trained.settings.with_changes({"load": "run.npz"})

    assert "loaded from run.npz" in describe(loaded, dataclasses.replace(trained, settings=loaded))


# --- Reasons and remedies -----------------------------------------------------------------------

UNSCALED = {"column": 2, "mean": 0.1, "standard_deviation": 1.0, "driven": 80.0}

THROUGH: dict[str, Any] = {"lag": 9, "from_lag": 2, "layer": "rnn[0]", "top": "rnn[3]"}

REASONS: dict[ReasonCode, list[dict[str, Any]]] = {
    ReasonCode.BELOW_THRESHOLD: [{"lag": 12, "threshold": 1e-3}],
    ReasonCode.ABOVE_THRESHOLD: [{"lag": 12, "threshold": 1e3}],
    ReasonCode.WITHIN_THRESHOLDS: [
        {"max_lag": 9, "log10_norm": -1.0, "expected_horizon": None, "expected_explosion": None},
        {"max_lag": 9, "log10_norm": 0.0, "expected_horizon": 37, "expected_explosion": None},
        {"max_lag": 9, "log10_norm": 0.0, "expected_horizon": None, "expected_explosion": 37},
    ],
    ReasonCode.GROWS_FIRST: [
        {"peak_lag": 3, "peak_log10_norm": 0.6},
        {"peak_lag": 3, "peak_log10_norm": 500.0},
    ],
    ReasonCode.SEQUENCES_DISAGREE: [{"vanishing": 3, "stable": 13}],
    ReasonCode.EXACT_ZERO: [
        {"lag": 8, "sequences": 2, "of": 3},
        {"lag": 8, "sequences": 2, "of": 3, "underflows": 1},
    ],
    ReasonCode.STATE_OVERFLOWS: [{"step": 4}],
    ReasonCode.HORIZON_SHORT: [{"horizon": 3, "required_lag": 9}],
    ReasonCode.HORIZON_UNKNOWN: [{"max_lag": 5, "required_lag": 30}],
    ReasonCode.HORIZON_REACHES: [
        {"horizon": None, "required_lag": 9},
        {"horizon": 12, "required_lag": 9},
    ],
    ReasonCode.BOUND_FORCES_VANISHING: [
        {"bound_rate_nats_per_step": -0.1},
        {"bound_rate_nats_per_step": None},
    ],
    ReasonCode.BOUND_ALLOWS_EXPLODING: [{"bound_rate_nats_per_step": 0.1}],
    ReasonCode.BOUND_IS_ONE: [{"bound_rate_nats_per_step": 2e-16}],
    ReasonCode.FEW_STEPS: [{"steps": 3, "of": 50, "grows": grows} for grows in (0, 1)],
    ReasonCode.GROWTH_FOLLOWS_INPUT: [{"column": 2, "correlation": each} for each in (-0.7, 0.7)],
    ReasonCode.MAIN_CAUSE: [
        {"cause": cause, "nats_per_step": size}
        for cause in ("weights", "slope_ceiling", "misalignment", "saturation", "h → c")
        for size in (-0.1, None)
    ],
    ReasonCode.GRADIENT_FINE: [{"required_lag": None}],
    ReasonCode.NOTHING_WRITTEN: [
        {"write_level": 3.2e-38, "threshold": 0.05},
        {"write_level": 0.0, "threshold": 0.05, "layer": "lstm[0]"},
    ],
    ReasonCode.UNITS_DEAD: [{"units": 3, "of": 32}],
    ReasonCode.UNITS_SATURATED: [{"of": "gates", "fraction": 0.75, "low": 0.25}],
    ReasonCode.INPUTS_UNSCALED: [
        {**UNSCALED, "mean": 50.0, "name": "price"},
        {**UNSCALED, "mean": 0.0, "layer": "lstm[0]"},
    ],
    ReasonCode.SHARE_LOST: [{"lag": 9, "share": 0.0}],
    ReasonCode.MAINLY_IN_DEPTH: [
        {**THROUGH, "log10_norm": -4.2, "threshold": 0.001},
        {**THROUGH, "log10_norm": None, "threshold": 0.001},
        {**THROUGH, "log10_norm": 1.8, "threshold": 1000.0},
    ],
    ReasonCode.MAINLY_IN_TIME: [
        {**THROUGH, "log10_norm": size, "threshold": end}
        for size, end in ((-0.2, 0.001), (0.1, 1000.0))
    ],
    ReasonCode.AT_BASELINE: [{"error": None, "baseline": 1.0}, {"error": 2.0, "baseline": 1.0}],
    ReasonCode.BEATS_BASELINE: [{"error": 0.1, "baseline": 1.0}],
    ReasonCode.TRAINING_SHORTENED: [
        {"horizon_before": 63, "horizon_after": 11},
        {
            "horizon_before": None,
            "horizon_after": 11,
            "required_lag": 50,
            "log10_norm_before": -2.4,
        },
        {"horizon_before": 3, "horizon_after": 1, "required_lag": 9, "log10_norm_before": None},
    ],
}

MEASURED: dict[str, Any] = {"predicted_rate": -0.1, "predicted_from": "measurement"}
TERMS = {"predicted_rate": -0.1, "predicted_from": "terms"}
UNKNOWN = {"predicted_rate": None, "predicted_from": "terms"}
GAIN: dict[str, Any] = {"gain": 1.5, "factor": 1.5, **MEASURED}
KEEP = {"lag": 50, "forget_bias": 3.912}

REMEDIES: dict[RemedyCode, list[dict[str, Any]]] = {
    RemedyCode.RAISE_SLOPE_CEILING: [
        {"activation": "tanh", **each} for each in (MEASURED, TERMS, UNKNOWN)
    ],
    RemedyCode.REDUCE_SATURATION: [
        {"activation": "tanh", **MEASURED},
        {"activation": "sigmoid", **TERMS},
        {"activation": "tanh"},
    ],
    RemedyCode.ALIGN_WEIGHTS: [MEASURED, TERMS, {}],
    RemedyCode.RAISE_GAIN: [GAIN],
    RemedyCode.LOWER_GAIN: [{**GAIN, "factor": 0.5}],
    RemedyCode.CHECK_SIZE: [
        {"growth_per_step": 2.6e11, "by_way_of": "weights"},
        {"growth_per_step": 5e4, "by_way_of": "gates"},
    ],
    RemedyCode.CLIP: [{"norm": None, "quantile": 0.9}, {"norm": 2.5, "quantile": 0.9}],
    RemedyCode.GATES: [{"horizon": 3, "required_lag": 50, **KEEP, **MEASURED}],
    RemedyCode.LOOK_ELSEWHERE: [{}],
    RemedyCode.KEEP_LONGER: [{"direct": -0.7, **KEEP}],
    RemedyCode.OPEN_GATES: [{}],
    RemedyCode.STANDARDISE: [
        {**UNSCALED, "mean": 50.0, "white_noise": noise} for noise in (False, True)
    ],
    RemedyCode.REVIVE_UNITS: [{}],
}


@pytest.mark.parametrize("code", ReasonCode)
def test_every_reason_has_a_sentence(code: ReasonCode) -> None:
    for numbers in REASONS[code]:
        check_sentence(reason_sentence(Reason(code, numbers)))


@pytest.mark.parametrize("code", RemedyCode)
def test_every_remedy_has_a_sentence(code: RemedyCode) -> None:
    for numbers in REMEDIES[code]:
        text = remedy_sentence(Remedy(code, numbers))
        check_sentence(text)
        known = numbers.get("predicted_rate") is not None
        assert ("Predicted: about" in text) is (known and numbers["predicted_from"] == "terms")
        assert ("Measured: " in text) is (known and numbers["predicted_from"] == "measurement")


def test_what_was_measured_of_a_trained_network_was_measured_before() -> None:
    remedy = Remedy(RemedyCode.ALIGN_WEIGHTS, MEASURED)

    assert "Measured before training: −0.1 nats" in remedy_sentence(remedy, trained=True)
    assert "before training" not in remedy_sentence(remedy)


def test_smaller_inputs_are_said_to_cost_nonlinearity() -> None:
    for changes, cost in (({"input_scale": 0.1}, True), ({"gain": 1.0}, False), ({}, True)):
        numbers = {"activation": "tanh"}
        text = remedy_sentence(Remedy(RemedyCode.REDUCE_SATURATION, numbers, changes))
        assert ("nonlinearity" in text) is cost


def test_a_gain_is_never_called_a_cure() -> None:
    for code in (RemedyCode.RAISE_GAIN, RemedyCode.LOWER_GAIN):
        assert "does not by itself" in remedy_sentence(Remedy(code, GAIN))


def test_only_a_gated_cell_is_asked_for_the_scale_of_its_inputs() -> None:
    for changes, words in (({"gain": 1.0}, "smaller inputs"), ({}, "inputs on the scale")):
        texts = [
            remedy_sentence(Remedy(RemedyCode.CHECK_SIZE, numbers, changes))
            for numbers in REMEDIES[RemedyCode.CHECK_SIZE]
        ]
        assert [words in text for text in texts] == [False, True]
        assert ["the file" in text for text in texts] == [not changes] * 2


def test_only_a_sigmoid_is_told_to_centre_its_bias() -> None:
    texts = [
        remedy_sentence(Remedy(RemedyCode.REDUCE_SATURATION, numbers))
        for numbers in REMEDIES[RemedyCode.REDUCE_SATURATION]
    ]
    assert ["−W·½" in text for text in texts] == [False, True, False]


@pytest.mark.parametrize("code", RemedyCode)
def test_a_sentence_fits_any_framework_and_the_command_has_the_flags(code: RemedyCode) -> None:
    for numbers in REMEDIES[code]:
        # Only gradscope drives a network by noise for want of data.
        assert ("--" in remedy_sentence(Remedy(code, numbers))) is numbers.get("white_noise", False)


def check_sentence(text: str) -> None:
    assert text[0].isupper() or text[0] == "σ"
    assert text.endswith(".")
    for broken in ("None", "nan", "{", "}", "inf ", "e-1", "−0 "):
        assert broken not in text


def test_the_reasons_of_real_analyses_have_sentences(analysis: Analysis) -> None:
    for stage in analysis.stages:
        for reason in stage.verdict.reasons:
            check_sentence(reason_sentence(reason))
    for remedy in analysis.remedies:
        check_sentence(remedy_sentence(remedy))
