"""log σ_max at every lag: against explicit products, and in mpmath where those would underflow."""

from functools import reduce

import mpmath  # type: ignore[import-untyped]
import numpy as np
import pytest

from gradscope.arrays import FloatArray
from gradscope.errors import SettingError
from gradscope.jacobians.chain import Chain, DenseChain, ElmanChain
from gradscope.jacobians.lag_norms import lag_norms

STEPS, SEQUENCES, SIZE = 12, 3, 5


def random_chain(steps: int = STEPS, scale: float = 1.0, seed: int = 1) -> DenseChain:
    """Factors that do not commute and do not resemble one another."""
    rng = np.random.default_rng(seed)
    return DenseChain(scale * rng.normal(size=(steps, SEQUENCES, SIZE, SIZE)))


def explicit(chain: Chain, lag: int, sequence: int) -> FloatArray:
    """J_T J_{T−1} ⋯ J_{T−ℓ+1}, multiplied out."""
    steps = range(chain.n_steps, chain.n_steps - lag, -1)
    return reduce(np.matmul, [chain.jacobian(step)[sequence] for step in steps])


def test_every_lag_is_the_norm_of_the_explicit_product() -> None:
    chain = random_chain()

    found = lag_norms(chain)

    assert found.lags.tolist() == list(range(1, STEPS + 1))
    for lag in found.lags:
        for sequence in range(SEQUENCES):
            expected = np.log(np.linalg.norm(explicit(chain, int(lag), sequence), 2))
            assert found.log_norms[lag - 1, sequence] == pytest.approx(expected, abs=1e-11)


@pytest.mark.parametrize("leak", [1.0, 0.4])
def test_an_elman_chain_and_its_dense_twin_have_the_same_profile(leak: float) -> None:
    rng = np.random.default_rng(2)
    slopes = rng.uniform(0.0, 1.0, (STEPS, SEQUENCES, SIZE))
    chain = ElmanChain(slopes, rng.normal(size=(SIZE, SIZE)), leak=leak)
    factors = np.stack([chain.jacobian(step) for step in range(1, STEPS + 1)])

    np.testing.assert_allclose(
        lag_norms(chain).log_norms, lag_norms(DenseChain(factors)).log_norms, atol=1e-12
    )


@pytest.mark.parametrize("longest", [1, 5, STEPS])
def test_fewer_lags_are_the_first_of_all_lags(longest: int) -> None:
    chain = random_chain()

    few, every = lag_norms(chain, longest), lag_norms(chain)

    assert few.lags.tolist() == list(range(1, longest + 1))
    assert few.certificate.shape == few.log_norms.shape == (longest, SEQUENCES)
    np.testing.assert_allclose(few.log_norms, every.log_norms[:longest], rtol=1e-9)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_the_certificate_bounds_the_error_far_outside_the_range_of_floats(scale: float) -> None:
    chain = random_chain(steps=40, scale=scale)

    found = lag_norms(chain)

    with mpmath.workdps(60):
        product = mpmath.eye(SIZE)
        for lag in range(1, 41):
            product = product * mpmath.matrix(chain.jacobian(41 - lag)[0].tolist())
            if lag % 10:
                continue
            exact = mpmath.log(max(mpmath.svd_r(product, compute_uv=False)))
            error = abs(mpmath.mpf(float(found.log_norms[lag - 1, 0])) - exact)
            rounding_of_the_logarithm = np.spacing(abs(float(exact)))
            assert error <= found.certificate[lag - 1, 0] + rounding_of_the_logarithm
            assert found.certificate[lag - 1, 0] <= 1e-6
    assert abs(found.log_norms[-1]).min() > 2000.0


def test_a_product_that_is_exactly_zero_is_minus_infinity_from_that_lag_on() -> None:
    jacobians = np.tile(np.eye(2), (6, 2, 1, 1))
    # Sequence 0 dies at J_3: the last three steps, T = 6, 5, 4, do not contain it, lag 4 does.
    jacobians[2, 0] = 0.0

    log_norms = lag_norms(DenseChain(jacobians)).log_norms

    np.testing.assert_allclose(log_norms[:3], 0.0, atol=1e-12)
    np.testing.assert_array_equal(log_norms[3:, 0], -np.inf)
    np.testing.assert_allclose(log_norms[:, 1], 0.0, atol=1e-12)


def test_where_every_sequence_has_died_all_later_lags_are_minus_infinity() -> None:
    jacobians = np.tile(np.eye(2), (6, 2, 1, 1))
    jacobians[4] = 0.0

    log_norms = lag_norms(DenseChain(jacobians)).log_norms

    np.testing.assert_array_equal(log_norms[1:], -np.inf)


@pytest.mark.parametrize("longest", [0, -1, STEPS + 1])
def test_a_lag_that_the_trajectory_does_not_have_is_refused(longest: int) -> None:
    with pytest.raises(SettingError, match=f"longest lag is {longest}; choose 1 to {STEPS}"):
        lag_norms(random_chain(), longest)


@pytest.mark.parametrize("tolerance", [0.0, 1.0, -1e-6, np.nan])
def test_a_tolerance_outside_zero_to_one_is_refused(tolerance: float) -> None:
    with pytest.raises(SettingError, match=f"tolerance is {tolerance}"):
        lag_norms(random_chain(), tolerance=tolerance)
