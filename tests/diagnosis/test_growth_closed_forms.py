"""The growth rate over the tail, and its split by cause."""

import numpy as np
import pytest

from gradscope.diagnosis.causes import causes
from gradscope.diagnosis.growth import CauseRates, cause_rates, growth_rate, tail_lags, terms_of
from gradscope.jacobians.chain import ElmanChain
from gradscope.jacobians.lag_norms import lag_norms


@pytest.mark.parametrize("rate", [-2.0, 0.0, 0.5])
@pytest.mark.parametrize("longest", [1, 2, 3, 10, 101])
def test_a_line_has_its_slope_whatever_its_length(rate: float, longest: int) -> None:
    line = rate * np.arange(1.0, longest + 1.0)[:, None]

    assert growth_rate(line).rate == pytest.approx(rate, rel=1e-13, abs=1e-14)


def test_the_transient_in_the_first_half_does_not_count() -> None:
    lags = np.arange(1, 101)
    profile = -0.5 * lags + 5.0 * np.minimum(lags / 40.0, 1.0)

    assert growth_rate(profile[:, None]).rate == pytest.approx(-0.5, rel=1e-13)


def test_the_rate_is_the_mean_over_the_sequences_that_are_left() -> None:
    lags = np.arange(1, 9.0)
    profiles = np.stack([-lags, 2.0 * lags, np.where(lags > 2, -np.inf, 0.0)], axis=1)
    profiles = np.concatenate([profiles, np.where(lags > 7, -np.inf, 0.0)[:, None]], axis=1)

    found = growth_rate(profiles)

    assert found.rate == pytest.approx(0.5)
    assert (found.sequences, found.of, found.steps, found.burn_in) == (2, 4, 4, 0)


def test_the_rate_lies_between_half_of_the_lags_and_all() -> None:
    assert tail_lags(100).tolist() == [50, 100]
    assert tail_lags(7).tolist() == [3, 7]
    assert tail_lags(1).tolist() == [0, 1]


def test_the_rate_is_the_mean_increment_of_a_drifting_random_walk() -> None:
    # Its standard error is that of the mean of the increments it uses, σ/√(L/2).
    rng = np.random.default_rng(1)
    walks = np.cumsum(rng.normal(-0.2, 1.0, (400, 500)), axis=0)

    rates = np.array([growth_rate(walk[:, None]).rate for walk in walks.T], dtype=np.float64)

    assert np.mean(rates) == pytest.approx(-0.2, abs=4.0 / np.sqrt(200 * 500))
    assert np.std(rates) == pytest.approx(1.0 / np.sqrt(200), rel=0.15)


@pytest.mark.parametrize("steps", [1, 2, 9, 30])
def test_the_four_causes_of_the_rate_add_up_to_it(steps: int) -> None:
    rng = np.random.default_rng(2)
    slopes = rng.uniform(0.05, 0.25, (steps, 4, 6))
    chain = ElmanChain(slopes, rng.normal(size=(6, 6)), slope_ceiling=0.25)
    lags = tail_lags(steps)

    rates = cause_rates(causes(chain, lags[lags > 0]))

    terms = terms_of(rates).values()
    assert rates.total == pytest.approx(growth_rate(lag_norms(chain).log_norms).rate, abs=1e-9)
    assert sum(term for term in terms if term is not None) == pytest.approx(rates.total, abs=1e-9)


def test_sequences_that_have_died_are_left_out_of_the_causes() -> None:
    slopes = np.full((10, 3, 3), 0.5)
    slopes[4, 0] = 0.0  # between the two lags of the rate
    slopes[8, 1] = 0.0  # before both of them
    chain = ElmanChain(slopes, np.eye(3))

    rates = cause_rates(causes(chain, tail_lags(10)))

    assert rates.total == pytest.approx(np.log(0.5), rel=1e-12)
    assert terms_of(rates)["saturation"] == pytest.approx(np.log(0.5), rel=1e-12)


def test_where_all_have_died_there_are_no_rates() -> None:
    slopes = np.ones((10, 2, 3))
    slopes[4] = 0.0

    rates = cause_rates(causes(ElmanChain(slopes, np.eye(3)), tail_lags(10)))

    nothing = CauseRates(None, None, None, None, None)
    fields = ("weights", "slope_ceiling", "misalignment", "saturation", "total")
    assert all(getattr(rates, each) is getattr(nothing, each) for each in fields)
