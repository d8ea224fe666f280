"""The growth rate against drifts that are known, and against the regression it replaces."""

from dataclasses import replace

import numpy as np
import pytest

from gradscope.arrays import FloatArray
from gradscope.diagnosis.causes import causes
from gradscope.diagnosis.diagnose import diagnose
from gradscope.diagnosis.growth import (
    GrowthRate,
    cause_rates,
    growth_rate,
    tail_lags,
    terms_of,
    widened,
)
from gradscope.jacobians.chain import ElmanChain
from gradscope.jacobians.lag_norms import lag_norms
from gradscope.jacobians.lyapunov import lyapunov_exponents
from tests.present import present


def _walks(seed: int, drift: float, shape: tuple[int, int]) -> FloatArray:
    """Random walks (L,B) with a drift and steps of unit scatter."""
    steps = drift + np.random.default_rng(seed).standard_normal(shape)
    profiles: FloatArray = np.cumsum(steps, axis=0)
    return profiles


def _tanh_chain(seed: int, gain: float, n_steps: int, n_sequences: int = 4) -> ElmanChain:
    """A driven Gaussian tanh net of 64 units, 100 steps of transient left out."""
    rng = np.random.default_rng(seed)
    weights = gain * rng.standard_normal((64, 64)) / 8.0
    state = rng.standard_normal((n_sequences, 64))
    slopes = np.empty((n_steps, n_sequences, 64))
    for step in range(n_steps):
        drive = state @ weights.T + 0.5 * rng.standard_normal((n_sequences, 64))
        state = np.tanh(drive)
        slopes[step] = 1.0 / np.square(np.cosh(drive))
    return ElmanChain(slopes[100:], weights)


def test_the_rate_is_the_slope_of_the_tail_whatever_came_before() -> None:
    lags = np.arange(1, 41)
    profile = np.where(lags < 20, 5.0 * np.sin(lags), 3.0 - 0.25 * lags)

    assert growth_rate(profile[:, None]).rate == pytest.approx(-0.25)


@pytest.mark.parametrize(("max_lag", "expected"), [(1, [0, 1]), (2, [1, 2]), (7, [3, 7])])
def test_the_tail_is_the_second_half_of_the_lags(max_lag: int, expected: list[int]) -> None:
    assert tail_lags(max_lag).tolist() == expected


def test_one_lag_is_a_rate_from_nothing_to_it() -> None:
    found = growth_rate(np.array([[-0.5, -0.7]]))

    assert found.rate == pytest.approx(-0.6)
    assert found.low is None
    assert found.high is None


def test_sequences_that_died_have_no_part_in_the_rate() -> None:
    profiles = -0.1 * np.arange(1, 31)[:, None] * np.ones(3)
    profiles[20:, 1] = -np.inf
    profiles[5:, 2] = -np.inf

    found = growth_rate(profiles)

    assert found.rate == pytest.approx(-0.1)
    assert found.tail is not None
    assert (found.tail.sequences, found.tail.of) == (1, 3)
    assert found.tail.lags == (15, 30)
    assert found.tail.log_norms == pytest.approx((-1.5, -3.0))
    dead = growth_rate(np.full((6, 2), -np.inf))
    assert dead.rate is None
    assert dead.low is None
    assert dead.tail is None


def test_a_straight_profile_has_an_interval_of_no_width() -> None:
    found = growth_rate(-0.3 * np.arange(1.0, 25.0)[:, None])

    assert found.rate == pytest.approx(-0.3)
    assert found.low == pytest.approx(-0.3)
    assert found.high == pytest.approx(-0.3)


@pytest.mark.parametrize("n_sequences", [1, 3, 12])
def test_the_interval_holds_the_drift_of_a_random_walk_nine_times_in_ten_or_more(
    n_sequences: int,
) -> None:
    held = 0
    for seed in range(400):
        found = growth_rate(_walks(seed, -0.2, (200, n_sequences)))
        assert found.low is not None
        assert found.high is not None
        held += found.low <= -0.2 <= found.high

    assert 0.92 <= held / 400 <= 0.995


def test_noise_that_all_sequences_share_widens_the_interval() -> None:
    shared = np.repeat(_walks(1, 0.0, (200, 1)), 12, axis=1)

    found, alone = growth_rate(shared), growth_rate(shared[:, :1])

    assert found.high == pytest.approx(alone.high)


def test_students_quantile_is_that_of_the_tables() -> None:
    # Scatter 1 about 0: the half-width is t/√n; t(4) = 2.776, t(9) = 2.262.
    for size, t in ((5, 2.776), (10, 2.262)):
        rates = np.linspace(-1.0, 1.0, size)
        rates /= rates.std(ddof=1)

        found = growth_rate(np.repeat(np.arange(1.0, 3.0)[:, None], size, axis=1) * rates)

        assert found.high == pytest.approx(t / np.sqrt(size), rel=3e-3)


def test_a_regression_on_the_lag_is_biased_upward_and_the_mean_increment_far_less() -> None:
    lags = np.arange(1, 101)
    of_regression, of_increment = [], []
    for seed in range(3):
        # One long sequence, whose windows of 100 steps are profiles of the same exponent.
        chain = _tanh_chain(seed, 1.0, 2100, n_sequences=1)
        exponent = lyapunov_exponents(chain, count=1, warm_up=0).exponents[0, 0]
        windows = chain.slopes.reshape(20, 100, 64).swapaxes(0, 1)
        profiles = lag_norms(ElmanChain(windows, chain.recurrent_weights)).log_norms
        of_regression.append(np.polyfit(lags, profiles, 1)[0].mean() - exponent)
        of_increment.append((growth_rate(profiles).rate or 0.0) - exponent)

    # The transient ½ log ℓ would put 0.015 and 0.007 into them at infinite width.
    assert 0.005 < np.mean(of_regression) < 0.015
    assert abs(np.mean(of_increment)) < 0.7 * np.mean(of_regression)
    assert abs(np.mean(of_increment)) < 0.007


def test_the_four_causes_add_up_to_the_rate() -> None:
    chain = _tanh_chain(7, 1.2, 160)
    profiles = lag_norms(chain, tolerance=1e-10)

    found = cause_rates(causes(chain, tail_lags(60), norms=profiles))

    terms = terms_of(found).values()
    rate = growth_rate(profiles.log_norms).rate
    assert found.total == pytest.approx(rate, abs=1e-12)
    assert sum(each for each in terms if each is not None) == pytest.approx(rate, abs=1e-9)


def test_a_diagnosis_carries_the_rate_of_its_verdict_with_an_interval() -> None:
    chain = _tanh_chain(8, 0.8, 160)

    found = diagnose(chain)

    assert found.growth.rate == pytest.approx(found.verdict.rate)
    assert found.growth.low is not None
    assert found.growth.high is not None
    assert found.growth.low < found.verdict.rate < found.growth.high


def test_after_a_short_burn_in_the_interval_holds_the_slope_of_the_profile() -> None:
    profile = growth_rate(_walks(3, -0.5, (40, 8)))
    found = GrowthRate(-2.0, -2.5, -1.5, None, 20, 20, 8, 8)
    short = widened(replace(found, short_burn_in=True), profile)
    slope = present(profile.rate)

    assert (widened(found, profile).low, widened(found, profile).high) == (-2.5, -1.5)
    assert present(short.low) < slope < present(short.high)
    assert present(short.high) == pytest.approx(-1.5 + abs(slope + 2.0))
    assert short.tail is profile.tail
