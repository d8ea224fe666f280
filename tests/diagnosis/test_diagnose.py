"""The whole diagnosis of a chain is its parts, put together."""

import numpy as np
import pytest

from gradscope.diagnosis.causes import causes
from gradscope.diagnosis.diagnose import diagnose
from gradscope.diagnosis.growth import CauseRates, cause_rates, growth_rate, tail_lags
from gradscope.diagnosis.reasons import ReasonCode
from gradscope.diagnosis.thresholds import Thresholds
from gradscope.diagnosis.verdict import Learned
from gradscope.errors import SettingError
from gradscope.jacobians.chain import ElmanChain
from gradscope.jacobians.lag_norms import lag_norms
from gradscope.model.initializers import orthogonal
from gradscope.names import Regime


def random_chain(scale: float = 0.7) -> ElmanChain:
    rng = np.random.default_rng(1)
    slopes = rng.uniform(0.1, 0.25, (60, 4, 6))
    return ElmanChain(slopes, scale * rng.normal(size=(6, 6)), slope_ceiling=0.25)


def test_a_net_at_its_ceiling_loses_its_gain_a_step() -> None:
    w = 0.9 * orthogonal(np.random.default_rng(2), 4)

    found = diagnose(ElmanChain(np.ones((100, 2, 4)), w), required_lag=30)

    lags = np.arange(1, 101)
    np.testing.assert_allclose(found.log_bound, lags * np.log(0.9), rtol=1e-12)
    np.testing.assert_allclose(found.norms.log_norms[:, 0], lags * np.log(0.9), atol=1e-11)
    assert found.verdict.regime is Regime.VANISHING
    assert found.verdict.rate == pytest.approx(np.log(0.9), rel=1e-11)
    assert found.verdict.horizon == 66  # log 1000 / −log 0.9 = 65.56
    assert found.verdict.reaches is True
    assert isinstance(found.causes, CauseRates)
    assert found.causes.weights == pytest.approx(np.log(0.9), rel=1e-11)
    main = found.verdict.reason(ReasonCode.MAIN_CAUSE)
    assert main is not None
    assert main.numbers["cause"] == "weights"


@pytest.mark.parametrize("longest", [None, 1, 2, 31])
def test_it_is_made_of_profile_bound_causes_and_verdict(longest: int | None) -> None:
    chain = random_chain()

    found = diagnose(chain, longest)

    norms = lag_norms(chain, longest)
    np.testing.assert_array_equal(found.norms.log_norms, norms.log_norms)
    assert found.verdict.rate == pytest.approx(growth_rate(norms.log_norms).rate)
    lags = tail_lags(longest or 60)
    assert found.causes.total == pytest.approx(cause_rates(causes(chain, lags[lags > 0])).total)
    assert found.causes.total == pytest.approx(found.verdict.rate, abs=1e-9)


@pytest.mark.parametrize("leak", [1.0, 0.3])
def test_no_lag_is_above_the_bound(leak: float) -> None:
    chain = random_chain()
    leaky = ElmanChain(chain.slopes, chain.recurrent_weights, leak=leak, slope_ceiling=0.25)

    found = diagnose(leaky)

    assert (found.norms.log_norms <= found.log_bound[:, None] + 1e-9).all()


def test_what_is_known_beside_the_chain_reaches_the_verdict() -> None:
    found = diagnose(
        random_chain(),
        required_lag=5,
        learned=Learned(1.0, 1.0),
        overflow_step=61,
        thresholds=Thresholds(vanishing=1e-300),
    )

    codes = {each.code for each in found.verdict.reasons}
    assert {ReasonCode.AT_BASELINE, ReasonCode.STATE_OVERFLOWS} <= codes
    assert found.verdict.required_lag == 5
    assert found.verdict.regime is Regime.STABLE


def test_a_net_whose_units_all_die_is_diagnosed_without_a_warning() -> None:
    slopes = np.ones((20, 3, 4))
    slopes[10] = 0.0

    found = diagnose(ElmanChain(slopes, np.eye(4)))

    assert found.verdict.regime is Regime.VANISHING
    assert found.verdict.rate == -np.inf
    assert found.verdict.horizon == 10
    assert found.causes.total is None


def test_weights_of_zero_are_diagnosed_without_a_warning() -> None:
    found = diagnose(ElmanChain(np.ones((8, 2, 3)), np.zeros((3, 3)), slope_ceiling=0.25))

    assert found.verdict.horizon == 1
    np.testing.assert_array_equal(found.log_bound, -np.inf)


def test_a_lag_that_the_chain_does_not_have_is_refused() -> None:
    with pytest.raises(SettingError, match="longest lag is 61"):
        diagnose(random_chain(), 61)
