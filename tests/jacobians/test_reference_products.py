"""The whole product: what verification sees."""

from dataclasses import replace

import mpmath  # type: ignore[import-untyped]
import numpy as np
import pytest

from gradscope.errors import SettingError
from gradscope.jacobians.chain import DenseChain, ElmanChain
from gradscope.jacobians.lag_norms import lag_norms
from gradscope.jacobians.reference import verify_lag_norms
from gradscope.model.initializers import orthogonal

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
    assert check.deviations.max() <= check.worst <= 1e-6
    assert check.swept_lag == STEPS


@pytest.mark.parametrize("shift", [1e-3, -0.5, 2000.0, -np.inf])
def test_a_wrong_lag_is_found_and_its_deviation_is_told(shift: float) -> None:
    chain = random_chain()
    profile = lag_norms(chain)
    wrong = profile.log_norms.copy()
    wrong[-1, 1] += shift

    check = verify_lag_norms(chain, replace(profile, log_norms=wrong))

    expected = np.inf if abs(shift) > 700.0 else abs(np.expm1(shift))
    assert check.deviations[-1, 1] == pytest.approx(expected, rel=1e-3)
    # QR sweeps, which measure this lag too, round otherwise.
    assert check.worst == pytest.approx(check.deviations[-1, 1], rel=1e-6)


def test_a_product_that_is_exactly_zero_is_confirmed_as_such_and_a_number_for_it_is_not() -> None:
    chain = ElmanChain(np.zeros((5, 1, 3)), np.eye(3))
    profile = lag_norms(chain)

    assert verify_lag_norms(chain, profile).worst == 0.0
    assert verify_lag_norms(chain, replace(profile, log_norms=np.zeros((5, 1)))).worst == np.inf


def test_no_lags_to_verify_are_refused() -> None:
    chain = random_chain()

    with pytest.raises(SettingError, match="lags to verify are 0; choose 1 or more"):
        verify_lag_norms(chain, lag_norms(chain), count=0)


def test_a_direction_that_rounding_swallowed_and_later_factors_bring_back_is_seen() -> None:
    # One direction shrinks to 1e-14 of the largest over seven lags and is then brought back, while
    # the largest dies; rotations between the steps mix the rounding of both.
    rng, size, lags = np.random.default_rng(3), 6, 7
    gains = np.full((2 * lags, size), 0.5)
    gains[:lags, 0], gains[:lags, 1] = 1.0, 1e-2
    gains[lags:, 0], gains[lags:, 1] = 1e-3, 1e5 ** (1.0 + 2.0 / lags)
    bases = [orthogonal(rng, size) for _ in range(2 * lags + 1)]
    factors = [bases[i] @ np.diag(gains[i]) @ bases[i + 1].T for i in range(2 * lags)]
    chain = DenseChain(np.stack(factors[::-1])[:, None])
    profile = lag_norms(chain)

    check = verify_lag_norms(chain, profile)

    with mpmath.workdps(80):
        exact = mpmath.eye(size)
        for factor in factors:
            exact = exact * mpmath.matrix(factor.tolist())
        truth = float(mpmath.log(mpmath.svd_r(exact, compute_uv=False)[0]))
    error = abs(np.expm1(profile.log_norms[-1, 0] - truth))
    assert error > 1e-6 > 1e5 * profile.certificate.max()
    assert check.worst > 0.1 * error


def test_sweeps_that_would_take_too_long_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradscope.jacobians.reference.SWEEP_WORK", 1.0)
    chain = random_chain()

    assert verify_lag_norms(chain, lag_norms(chain)).swept_lag is None
