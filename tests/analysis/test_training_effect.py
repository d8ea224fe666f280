"""The reason that training shortened the reach is given where it did, with what made it so."""

import dataclasses
from typing import Any

import numpy as np
import pytest

import gradscope
from gradscope.analysis.analyze import _with_effect_of_training
from gradscope.analysis.results import Stage
from gradscope.arrays import LN_10
from gradscope.diagnosis.reasons import Reason, ReasonCode

LAGS = 20
UNLEARNED = (Reason(ReasonCode.AT_BASELINE, {"error": 1.0, "baseline": 1.0}),)


@pytest.fixture(scope="module")
def stage() -> Stage:
    settings = gradscope.Settings(hidden=3, steps=LAGS, sequences=1, updates=0)
    last: Stage = gradscope.analyze(settings).last
    return last


def seen(stage: Stage, horizon: int | None, required: int | None = 12, **more: Any) -> Stage:
    """Return the stage with a profile that falls by a tenth at each lag, and such a verdict."""
    fall = -np.arange(1.0, LAGS + 1.0)[:, None] * LN_10 / 10.0
    verdict = dataclasses.replace(stage.verdict, horizon=horizon, required_lag=required, **more)
    profile = dataclasses.replace(stage.profile, log_norms=fall)
    return dataclasses.replace(stage, verdict=verdict, profile=profile)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (20, 5, True), (20, 16, True), (20, 17, False), (None, 5, True),
        (None, None, False), (5, 20, False), (5, None, False), (None, 17, False),
    ],
)  # fmt: skip
def test_it_is_said_where_a_fifth_of_the_reach_is_lost(
    stage: Stage, before: int | None, after: int | None, said: bool
) -> None:
    found = _with_effect_of_training(seen(stage, before), seen(stage, after))

    reason = found.verdict.reason(ReasonCode.TRAINING_SHORTENED)
    assert (reason is not None) == said
    if reason is not None:
        assert reason.numbers["horizon_before"] == before
        assert reason.numbers["horizon_after"] == after


@pytest.mark.parametrize(
    ("required", "reasons", "said"),
    [
        (12, UNLEARNED, True),  # 10**−1.2 is below a tenth
        (9, UNLEARNED, False),  # 10**−0.9 is not: it could be learned
        (12, (), False),  # it was learned all the same
        (None, UNLEARNED, False),
        (0, UNLEARNED, False),
        (LAGS + 1, UNLEARNED, False),  # not measured
    ],
)
def test_a_lag_that_could_not_be_reached_is_named_where_it_was_trained_for_in_vain(
    stage: Stage, required: int | None, reasons: tuple[Reason, ...], said: bool
) -> None:
    after = seen(stage, 5, required, reasons=reasons)

    found = _with_effect_of_training(seen(stage, None, required), after)

    numbers = found.verdict.reasons[-1].numbers
    assert found.verdict.reasons[-1].code is ReasonCode.TRAINING_SHORTENED
    assert ("required_lag" in numbers) == said
    if said:
        assert numbers["log10_norm_before"] == pytest.approx(-1.2)


def test_an_analysis_that_is_trained_has_the_reason_in_its_verdict() -> None:
    # A learning rate of 1 saturates the units: the gradient that reached all lags is gone.
    settings = gradscope.Settings(
        hidden=8, steps=30, sequences=4, updates=20, learning_rate=1.0, batch=4
    )

    found = gradscope.analyze(settings)

    before, after = found.stages[0].verdict.horizon, present_horizon(found.last)
    assert after <= 0.8 * (before or 31)
    assert found.last.verdict.reason(ReasonCode.TRAINING_SHORTENED) is not None
    assert found.stages[0].verdict.reason(ReasonCode.TRAINING_SHORTENED) is None


def present_horizon(stage: Stage) -> int:
    assert stage.verdict.horizon is not None
    return stage.verdict.horizon
