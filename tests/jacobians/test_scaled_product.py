"""The whole product: what verification sees, and the directions it stretches most."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from gradscope.errors import SettingError
from gradscope.jacobians.chain import ElmanChain
from gradscope.jacobians.lag_norms import lag_norms
from gradscope.jacobians.scaled_product import leading_directions, verify_lag_norms

STEPS, SEQUENCES, SIZE = 60, 2, 20


def random_chain(scale: float = 1.0) -> ElmanChain:
    rng = np.random.default_rng(0)
    slopes = rng.uniform(0.1, 1.0, (STEPS, SEQUENCES, SIZE))
    return ElmanChain(slopes, scale * rng.standard_normal((SIZE, SIZE)) / np.sqrt(SIZE))


@pytest.mark.parametrize("scale", [1e-60, 1.0, 1e60])
def test_a_right_profile_is_confirmed(scale: float) -> None:
    chain = random_chain(scale)

    check = verify_lag_norms(chain, lag_norms(chain), count=6)

    assert check.lags[0] == 1
    assert check.lags[-1] == STEPS
    assert check.deviations.shape == (check.lags.size, SEQUENCES)
    assert check.worst == check.deviations.max() <= 1e-6


@pytest.mark.parametrize("shift", [1e-3, -0.5, 2000.0, -np.inf])
def test_a_wrong_lag_is_found_and_its_deviation_is_told(shift: float) -> None:
    chain = random_chain()
    profile = lag_norms(chain)
    wrong = profile.log_norms.copy()
    wrong[-1, 1] += shift

    check = verify_lag_norms(chain, replace(profile, log_norms=wrong))

    expected = np.inf if abs(shift) > 700.0 else abs(np.expm1(shift))
    assert check.worst == check.deviations[-1, 1] == pytest.approx(expected, rel=1e-3)


def test_a_product_that_is_exactly_zero_is_confirmed_as_such_and_a_number_for_it_is_not() -> None:
    chain = ElmanChain(np.zeros((5, 1, 3)), np.eye(3))
    profile = lag_norms(chain)

    assert verify_lag_norms(chain, profile).worst == 0.0
    assert verify_lag_norms(chain, replace(profile, log_norms=np.zeros((5, 1)))).worst == np.inf


def test_no_lags_to_verify_are_refused() -> None:
    chain = random_chain()

    with pytest.raises(SettingError, match="lags to verify are 0; choose 1 or more"):
        verify_lag_norms(chain, lag_norms(chain), count=0)


def test_the_leading_direction_is_stretched_by_sigma_max() -> None:
    chain, lags = random_chain(), np.array([1, 4, STEPS])

    log_norms, directions = leading_directions(chain, lags)

    for index, lag in enumerate(lags):
        vectors = directions[index][:, None]
        for step in range(STEPS - lag + 1, STEPS + 1):
            vectors = chain.push_forward(vectors, step)
        assert_allclose(np.log(np.linalg.norm(vectors[:, 0], axis=1)), log_norms[index], atol=1e-9)
        assert_allclose(log_norms[index], lag_norms(chain).log_norms[lag - 1], atol=2e-6)
    assert_allclose(np.linalg.norm(directions, axis=2), 1.0, rtol=1e-12)
