"""What was dropped is watched: chains that bring a dropped direction back are caught and measured
anew.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from gradscope.arrays import FloatArray
from gradscope.jacobians.chain import DenseChain, ElmanChain
from gradscope.jacobians.kernels.rank_adaptive import (
    RankAdaptiveProduct,
    drop_within,
    truncation_error,
)
from gradscope.jacobians.lag_norms import lag_norms
from gradscope.jacobians.reference import verify_lag_norms
from gradscope.model.initializers import orthogonal

SIZE = 64
HIDING, RETURNING = 23, 14


def hiding_chain(
    hidden_gain: float = 0.4, return_gain: float = 10.0
) -> tuple[DenseChain, FloatArray]:
    """One direction keeps its length, one shrinks to 1e-9 within 23 lags and then grows for 14,
    the others fade slowly: log σ_max is known, and the second direction takes over in the end.
    """
    rotation = orthogonal(np.random.default_rng(0), SIZE)
    lags = HIDING + RETURNING
    gains = np.full((lags, SIZE), 0.9)
    gains[:, 0] = 1.0
    gains[:HIDING, 1], gains[HIDING:, 1] = hidden_gain, return_gain
    factors = np.einsum("ij,lj,kj->lik", rotation, gains, rotation)
    expected = np.cumsum(np.log(gains), axis=0)[:, :2].max(axis=1)
    return DenseChain(factors[::-1, None]), expected


def test_a_first_pass_misses_the_direction_that_returns_and_its_probes_say_so() -> None:
    chain, expected = hiding_chain()
    product = RankAdaptiveProduct(
        chain, np.array([chain.n_steps]), np.array([0]), drop_within(1e-6, SIZE)
    )

    while product.lag < chain.n_steps:
        stretch = product.extend(1)
        sigma = np.linalg.svd(stretch.kept[0], compute_uv=False)[:, 0]
        product.compress(sigma)
    found = np.log(sigma[0]) + stretch.exponents[0, 0] * np.log(2.0)

    assert product.rank < SIZE
    assert found < expected[-1] - 5.0
    assert truncation_error(stretch.probes[0], sigma)[0] > 1e6


def test_a_direction_that_returns_is_measured_right_in_the_end() -> None:
    chain, expected = hiding_chain()

    profile = lag_norms(chain)

    assert_allclose(profile.log_norms[:, 0], expected, atol=1e-6)
    assert profile.certificate.max() <= 1e-6


def test_a_sequence_that_is_measured_anew_leaves_the_others_alone() -> None:
    hiding, expected = hiding_chain()
    calm, _ = hiding_chain(0.4, 0.4)
    both = DenseChain(np.concatenate([calm.jacobians, hiding.jacobians], axis=1))

    profile = lag_norms(both)

    assert_allclose(profile.log_norms[:, 0], 0.0, atol=1e-9)
    assert_allclose(profile.log_norms[:, 1], expected, atol=1e-6)


def test_where_all_that_was_kept_dies_what_was_dropped_is_looked_for() -> None:
    # For 12 lags all directions but one shrink far below it; then that one is cut off exactly.
    gains = np.full((24, SIZE), 0.25)
    gains[:, 0] = 1.0
    gains[14:, 0] = 0.0
    chain = DenseChain(np.stack([np.diag(g) for g in gains[::-1]])[:, None])

    profile = lag_norms(chain)

    lags = np.arange(1, 25)
    assert_allclose(
        profile.log_norms[:, 0], np.where(lags <= 14, 0.0, lags * np.log(0.25)), atol=1e-9
    )


@pytest.mark.parametrize("tolerance", [1e-3, 1e-6, 1e-9, 1e-12])
def test_the_certificate_is_within_the_tolerance_and_the_error_within_the_certificate(
    tolerance: float,
) -> None:
    rng = np.random.default_rng(1)
    chain = ElmanChain(rng.uniform(0.1, 1.0, (100, 2, 64)), rng.standard_normal((64, 64)) / 7.0)

    profile = lag_norms(chain, tolerance=tolerance)

    rounding = np.finfo(np.float64).eps * np.sqrt(64) * profile.lags[:, None]
    assert (profile.certificate <= tolerance + rounding).all()
    check = verify_lag_norms(chain, profile, count=20)
    # The comparison has rounding errors of its own.
    assert (check.deviations <= 2.0 * profile.certificate[check.lags - 1] + 1e-12).all()


def test_a_logarithm_far_from_zero_costs_digits_and_the_certificate_counts_them() -> None:
    # Of σ = e^±23,000 a double has its logarithm to 4e-12, whatever the product was known to.
    rng = np.random.default_rng(3)
    for scale in (1e-100, 1e100):
        chain = ElmanChain(np.ones((100, 1, 4)), scale * rng.standard_normal((4, 4)))

        profile = lag_norms(chain)
        check = verify_lag_norms(chain, profile, count=20)

        assert 4e-12 < profile.certificate[-1, 0] < 4e-11
        assert (check.deviations <= profile.certificate[check.lags - 1]).all()


def test_a_wider_tolerance_is_used_up() -> None:
    # A certificate that bounded everything by far would make the answer slow, not better.
    rng = np.random.default_rng(2)
    chain = ElmanChain(rng.uniform(0.1, 1.0, (150, 1, 80)), rng.standard_normal((80, 80)) / 8.0)

    assert lag_norms(chain, tolerance=1e-3).certificate.max() > 1e-6
    assert lag_norms(chain, tolerance=1e-9).certificate.max() < 1e-9


def test_the_same_chain_gives_the_same_numbers() -> None:
    chain = hiding_chain()[0]

    first, second = lag_norms(chain), lag_norms(chain)

    np.testing.assert_array_equal(first.log_norms, second.log_norms)
    np.testing.assert_array_equal(first.certificate, second.certificate)


@settings(max_examples=25)
@given(
    size=st.integers(1, 40),
    sequences=st.integers(1, 4),
    steps=st.integers(1, 40),
    gain=st.floats(1e-3, 1e3),
    leak=st.sampled_from([1.0, 0.5]),
    closed=st.floats(0.0, 0.9),
    as_dense=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_random_chains_agree_with_the_whole_product(
    size: int,
    sequences: int,
    steps: int,
    gain: float,
    leak: float,
    closed: float,
    as_dense: bool,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    slopes = rng.uniform(0.0, 1.0, (steps, sequences, size)) * (
        rng.random((steps, sequences, size)) >= closed
    )
    elman = ElmanChain(slopes, gain * rng.standard_normal((size, size)), leak=leak)
    factors = np.stack([elman.jacobian(step) for step in range(1, steps + 1)])
    chain = DenseChain(factors) if as_dense else elman

    profile = lag_norms(chain)

    assert profile.log_norms.shape == profile.certificate.shape == (steps, sequences)
    assert not np.isnan(profile.log_norms).any()
    assert verify_lag_norms(elman, profile).worst <= 1e-6
