"""Chains whose σ_max at every lag is known in closed form, at the edges of size and scale."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gradscope.jacobians.chain import Chain, DenseChain, ElmanChain
from gradscope.jacobians.lag_norms import lag_norms
from gradscope.model.initializers import orthogonal


def linear(weights: np.ndarray, steps: int, leak: float = 1.0) -> ElmanChain:
    """J_t = W at every step."""
    return ElmanChain(np.ones((steps, 1, len(weights))), weights, leak=leak)


def dense(chain: Chain) -> DenseChain:
    return DenseChain(np.stack([chain.jacobian(step) for step in range(1, chain.n_steps + 1)]))


def test_a_shear_grows_like_arcsinh_although_its_eigenvalues_are_1() -> None:
    shear = linear(np.array([[1.0, 2.0], [0.0, 1.0]]), 200)

    profile = lag_norms(shear)

    assert_allclose(profile.log_norms[:, 0], np.arcsinh(np.arange(1, 201)), rtol=1e-12)


@pytest.mark.parametrize("size", [2, 16, 40, 64])
@pytest.mark.parametrize("gain", [0.5, 1.0, 1.3])
def test_a5_where_all_singular_values_are_equal_nothing_breaks_down(size: int, gain: float) -> None:
    isometry = gain * orthogonal(np.random.default_rng(0), size)

    profile = lag_norms(linear(isometry, 300))

    assert_allclose(
        profile.log_norms[:, 0], np.arange(1, 301) * np.log(gain), rtol=1e-12, atol=1e-12
    )


def test_a5_an_identity_relu_net_carries_gradient_on_unchanged() -> None:
    assert_allclose(lag_norms(linear(np.eye(50), 500)).log_norms, 0.0, atol=1e-13)


def test_a6_a_non_normal_pair_grows_before_it_decays() -> None:
    decay, lags = 0.9, np.arange(1, 201)

    log_norms = lag_norms(linear(np.array([[decay, 1.0], [0.0, decay]]), 200)).log_norms[:, 0]

    c = lags / decay
    expected = lags * np.log(decay) + np.log((c + np.sqrt(c**2 + 4.0)) / 2.0)
    assert_allclose(log_norms, expected, rtol=1e-12, atol=1e-13)
    assert np.argmax(log_norms) + 1 == 9
    assert np.exp(log_norms[8]) == pytest.approx(3.9125671, rel=1e-7)
    assert np.exp(log_norms[199]) == pytest.approx(1.567828e-7, rel=1e-6)


@pytest.mark.parametrize("size", [8, 33, 48])
def test_a7_a_delay_line_is_1_until_it_is_empty_and_exactly_0_from_there(size: int) -> None:
    order = np.random.default_rng(1).permutation(size)
    shift = np.eye(size, k=-1)[np.ix_(order, order)]

    profile = lag_norms(linear(shift, size + 20))

    assert_allclose(profile.log_norms[: size - 1], 0.0, atol=1e-12)
    assert_array_equal(profile.log_norms[size - 1 :], -np.inf)
    assert np.isfinite(profile.certificate).all()


def test_a8_a_thousand_steps_of_a_sixteenth_each_do_not_underflow() -> None:
    scalar = ElmanChain(np.full((1000, 1, 1), 0.25), np.array([[1.0]]))

    log10 = lag_norms(scalar).log_norms[-1, 0] / np.log(10.0)

    assert log10 == pytest.approx(-602.0599913280, abs=1e-9)


def test_a14_like_ten_thousand_lags_of_a_wide_diagonal_spectrum_follow_its_largest_entry() -> None:
    rates = np.linspace(-2.0, -1.0, 40)
    rotation = orthogonal(np.random.default_rng(2), 40)
    weights = rotation @ np.diag(np.exp(rates)) @ rotation.T

    profile = lag_norms(linear(weights, 10_000), tolerance=1e-9)

    assert_allclose(profile.log_norms[:, 0], -np.arange(1.0, 10_001.0), rtol=1e-9)
    assert profile.certificate.max() <= 1.1e-9


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e30, 1e150])
def test_scales_far_from_1_stay_exact(scale: float) -> None:
    weights = scale * orthogonal(np.random.default_rng(3), 40)

    for chain in (linear(weights, 300), dense(linear(weights, 300))):
        log_norms = lag_norms(chain).log_norms[:, 0]
        assert_allclose(log_norms, np.arange(1, 301) * np.log(scale), rtol=1e-12)


@pytest.mark.parametrize("tiny", [1e-100, 1e-300])
def test_one_tiny_step_among_ordinary_ones_is_carried_through(tiny: float) -> None:
    rotation = orthogonal(np.random.default_rng(4), 24)
    slopes = np.ones((60, 1, 24))
    slopes[::7] = tiny

    log_norms = lag_norms(ElmanChain(slopes, rotation)).log_norms[:, 0]

    expected = np.cumsum(np.log(slopes[::-1, 0, 0]))
    assert_allclose(log_norms, expected, rtol=1e-12, atol=1e-10)


def test_one_unit_that_all_but_closes_leaves_the_other() -> None:
    # After three steps only the slow unit is left, at 1e-180 of what it was beside.
    slopes = np.ones((30, 1, 2))
    slopes[24:27, 0, 0] = 0.0
    slopes[:, 0, 1] = 1e-60
    chain = ElmanChain(slopes, np.eye(2))

    log_norms = lag_norms(chain).log_norms[:, 0]

    lags = np.arange(1, 31)
    assert_allclose(log_norms, np.where(lags <= 3, 0.0, -60.0 * np.log(10.0) * lags), rtol=1e-12)


def test_one_step_and_one_unit_are_enough() -> None:
    profile = lag_norms(ElmanChain(np.array([[[-0.5]]]), np.array([[3.0]])))

    assert profile.lags.tolist() == [1]
    assert_allclose(profile.log_norms, [[np.log(1.5)]], rtol=1e-15)


@pytest.mark.parametrize("size", [3, 40])
def test_sequences_that_explode_die_and_fall_silent_do_not_disturb_one_another(size: int) -> None:
    rotation = orthogonal(np.random.default_rng(5), size)
    gains = np.array([1e40, 1.0, 1e-40, 1.0])
    slopes = np.tile(gains[None, :, None], (80, 1, size))
    slopes[50, 3] = 0.0

    log_norms = lag_norms(ElmanChain(slopes, rotation)).log_norms

    lags = np.arange(1, 81)[:, None]
    assert_allclose(log_norms[:, :3], lags * np.log(gains[:3]), rtol=1e-12, atol=1e-12)
    # Step 51 of 80 has no slope: lags 1 … 29 do not reach it.
    assert_allclose(log_norms[:29, 3], 0.0, atol=1e-12)
    assert_array_equal(log_norms[29:, 3], -np.inf)


@pytest.mark.parametrize("leak", [1.0, 0.3])
def test_a_leaky_linear_net_adds_what_it_holds_to_what_it_passes_on(leak: float) -> None:
    # A symmetric W: the leaky step has the eigenvalues 1 − α + αλ.
    rng = np.random.default_rng(6)
    rotation, values = orthogonal(rng, 40), rng.uniform(-1.5, 1.5, 40)
    weights = rotation @ np.diag(values) @ rotation.T

    for chain in (linear(weights, 200, leak), dense(linear(weights, 200, leak))):
        log_norms = lag_norms(chain, tolerance=1e-10).log_norms[:, 0]
        rate = np.log(np.max(np.abs(1.0 - leak + leak * values)))
        assert_allclose(log_norms, rate * np.arange(1, 201), rtol=1e-9)


@pytest.mark.slow
def test_a_thousand_units_are_measured_in_less_than_200_mb() -> None:
    import tracemalloc

    rng = np.random.default_rng(7)
    slopes = rng.uniform(0.2, 1.0, (1000, 1, 1024))
    chain = ElmanChain(slopes, rng.standard_normal((1024, 1024)) / 32.0)
    tracemalloc.start()
    try:
        lag_norms(chain)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 200e6
