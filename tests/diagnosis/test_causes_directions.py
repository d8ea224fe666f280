"""The four causes at every lag: they add up to what is measured, and each means what it says."""

from dataclasses import replace

import numpy as np
import pytest

from gradscope.arrays import FloatArray
from gradscope.diagnosis.causes import Causes, causes
from gradscope.errors import SettingError
from gradscope.jacobians.chain import DenseChain, ElmanChain
from gradscope.jacobians.lag_norms import lag_norms


def _tanh_chain(
    seed: int, gain: float, n_steps: int, shape: tuple[int, int], leak: float = 1.0
) -> ElmanChain:
    """A driven Gaussian tanh net of B sequences and H units, ``shape`` = (B, H)."""
    rng = np.random.default_rng(seed)
    weights = gain * rng.standard_normal((shape[1], shape[1])) / np.sqrt(shape[1])
    state = rng.standard_normal(shape)
    slopes = np.empty((n_steps, *shape))
    for step in range(n_steps):
        drive = state @ weights.T + 0.5 * rng.standard_normal(shape)
        state = (1.0 - leak) * state + leak * np.tanh(drive)
        slopes[step] = 1.0 / np.square(np.cosh(drive))
    return ElmanChain(slopes, weights, leak=leak)


def _sum(found: Causes) -> FloatArray:
    return found.weights + found.slope_ceiling + found.misalignment + found.saturation


@pytest.mark.parametrize("leak", [1.0, 0.4])
@pytest.mark.parametrize("gain", [0.5, 1.0, 3.0])
def test_the_four_terms_add_up_to_the_measured_norm_at_every_lag(gain: float, leak: float) -> None:
    chain = _tanh_chain(1, gain, 150, (3, 10), leak)

    found = causes(chain)

    measured = lag_norms(chain, tolerance=1e-12).log_norms
    np.testing.assert_allclose(found.total, measured, atol=1e-9, rtol=0.0)
    np.testing.assert_allclose(_sum(found), found.total, atol=1e-11, rtol=0.0)
    assert (found.misalignment <= 1e-12).all()
    if leak == 1.0:
        assert (found.saturation <= 1e-12).all()


def test_an_orthogonal_net_at_one_slope_is_explained_by_weights_ceiling_and_saturation() -> None:
    rotation = np.linalg.qr(np.random.default_rng(2).standard_normal((6, 6)))[0]
    chain = ElmanChain(np.full((40, 2, 6), 0.2), 1.3 * rotation, slope_ceiling=0.25)

    found = causes(chain)

    steps = np.arange(1, 41)[:, None] * np.ones(2)
    np.testing.assert_allclose(found.weights, steps * np.log(1.3), rtol=1e-12)
    np.testing.assert_allclose(found.slope_ceiling, steps * np.log(0.25), rtol=1e-12)
    np.testing.assert_allclose(found.misalignment, 0.0, rtol=0.0, atol=1e-11)
    np.testing.assert_allclose(found.saturation, steps * np.log(0.8), rtol=1e-10)


def test_a_leaky_net_at_its_slope_ceiling_meets_its_bound() -> None:
    chain = ElmanChain(np.full((10, 1, 2), 0.25), 1.3 * np.eye(2), leak=0.5, slope_ceiling=0.25)

    found = causes(chain)

    steps = np.arange(1, 11)[:, None]
    np.testing.assert_allclose(found.weights, steps * np.log(1.15), rtol=1e-12)
    np.testing.assert_allclose(found.total, steps * np.log(0.5 + 0.5 * 0.25 * 1.3), rtol=1e-12)
    np.testing.assert_allclose(found.misalignment, 0.0, rtol=0.0, atol=1e-12)
    np.testing.assert_allclose(found.saturation, 0.0, rtol=0.0, atol=1e-12)


def test_a_gradient_that_avoids_a_saturated_unit_pays_by_misalignment() -> None:
    slopes = np.tile([0.1, 1.0], (30, 1, 1))

    found = causes(ElmanChain(slopes, np.diag([2.0, 1.0])))

    steps = np.arange(1, 31)[:, None]
    np.testing.assert_allclose(found.misalignment, -steps * np.log(2.0), rtol=1e-12)
    np.testing.assert_allclose(found.saturation, 0.0, rtol=0.0, atol=1e-12)
    np.testing.assert_allclose(found.total, 0.0, rtol=0.0, atol=1e-12)


def test_a_shear_is_all_weights_and_misalignment() -> None:
    found = causes(ElmanChain(np.ones((30, 1, 2)), np.array([[1.0, 2.0], [0.0, 1.0]])))

    steps = np.arange(1, 31)[:, None]
    np.testing.assert_allclose(found.total, np.arcsinh(steps), rtol=1e-9)
    expected = np.arcsinh(steps) - steps * np.arcsinh(1.0)
    np.testing.assert_allclose(found.misalignment, expected, rtol=0.0, atol=1e-9)


def test_chosen_lags_have_the_terms_they_have_among_all() -> None:
    chain = _tanh_chain(3, 1.2, 60, (2, 8))
    lags = np.array([1, 13, 60])

    few, every = causes(chain, lags), causes(chain)
    given = causes(chain, lags, norms=lag_norms(chain))

    for name in ("weights", "slope_ceiling", "misalignment", "saturation", "total"):
        expected = getattr(every, name)[lags - 1]
        np.testing.assert_allclose(getattr(few, name), expected, rtol=0.0, atol=1e-6)
        np.testing.assert_allclose(getattr(given, name), expected, rtol=0.0, atol=1e-5)


def test_a_direction_dropped_and_favoured_later_still_adds_up() -> None:
    slopes = np.random.default_rng(1).uniform(0.3, 1.0, (120, 2, 9))
    slopes[60:, :, 8] = 1e-1
    slopes[40:60, :, 8] = 1e3
    chain = ElmanChain(slopes, np.eye(9), slope_ceiling=1e3)

    found = causes(chain)

    sums = np.cumsum(np.log(slopes[::-1]), axis=0).max(axis=2)
    np.testing.assert_allclose(_sum(found), sums, rtol=0.0, atol=1e-9)


def test_where_the_product_is_exactly_zero_the_term_that_ended_it_says_so() -> None:
    slopes = np.ones((12, 2, 3))
    slopes[5, 1] = 0.0
    rotation = np.linalg.qr(np.random.default_rng(4).standard_normal((3, 3)))[0]

    found = causes(ElmanChain(slopes, rotation))

    dead = np.zeros((12, 2), dtype=np.bool_)
    dead[6:, 1] = True
    np.testing.assert_array_equal(np.isneginf(found.total), dead)
    np.testing.assert_array_equal(np.isneginf(found.saturation), dead)
    np.testing.assert_allclose(found.misalignment, 0.0, rtol=0.0, atol=1e-12)
    assert not np.isnan(_sum(found)).any()


def test_weights_of_zero_are_the_whole_cause() -> None:
    found = causes(ElmanChain(np.ones((3, 2, 2)), np.zeros((2, 2))))

    for term in (found.weights, found.total):
        np.testing.assert_array_equal(term, -np.inf)
    for term in (found.slope_ceiling, found.misalignment, found.saturation):
        np.testing.assert_array_equal(term, 0.0)


def test_slopes_whose_squares_underflow_are_saturation_to_full_accuracy() -> None:
    chain = ElmanChain(np.full((20, 1, 3), 1e-170), np.eye(3))

    found = causes(chain)

    np.testing.assert_allclose(found.saturation[:, 0], np.arange(1, 21) * np.log(1e-170))


def test_a_dense_chain_has_no_causes() -> None:
    with pytest.raises(SettingError, match="no slopes"):
        causes(DenseChain(np.ones((3, 1, 2, 2))))


@pytest.mark.parametrize("lags", [[], [0, 1], [2, 2], [1, 4]])
def test_lags_out_of_order_or_range_are_refused(lags: list[int]) -> None:
    with pytest.raises(SettingError, match="ascending lags from 1 to 3"):
        causes(ElmanChain(np.ones((3, 1, 2)), np.eye(2)), np.array(lags, dtype=np.int64))


@pytest.mark.parametrize("hidden", [10, 40])
@pytest.mark.parametrize("tolerance", [1e-3, 1e-6])
def test_the_terms_add_up_where_rows_were_dropped_and_the_total_is_near_the_norm(
    hidden: int, tolerance: float
) -> None:
    chain, lags = _tanh_chain(5, 1.2, 120, (2, hidden), 1.0), np.array([3, 60, 120])
    norms = lag_norms(chain, tolerance=tolerance, directions_at=lags)
    exact = lag_norms(chain, tolerance=1e-12).log_norms[lags - 1]

    found = causes(chain, lags, norms=norms)

    np.testing.assert_allclose(_sum(found), found.total, atol=1e-11, rtol=0.0)
    assert (found.total <= exact + 1e-11).all()
    assert (exact - found.total <= norms.certificate[lags - 1] + 1e-11).all()


def test_directions_that_were_measured_are_not_measured_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chain, lags = _tanh_chain(6, 1.0, 30, (2, 5), 1.0), np.array([10, 30])
    norms = lag_norms(chain, directions_at=lags)
    wanted = causes(chain, lags)

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr("gradscope.diagnosis.causes.lag_norms", refused)

    np.testing.assert_array_equal(causes(chain, lags, norms=norms).total, wanted.total)
    with pytest.raises(AssertionError, match="again"):
        causes(chain, lags, norms=replace(norms, directions={}))
