"""The four causes add up to what was measured, and each is what it is called."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradscope.arrays import FloatArray
from gradscope.diagnosis.causes import Causes, causes
from gradscope.errors import SettingError
from gradscope.jacobians.chain import DenseChain, ElmanChain, elman_chain
from gradscope.jacobians.lag_norms import lag_norms
from gradscope.model.initializers import initialize, orthogonal
from gradscope.model.trajectory import unroll
from gradscope.names import ActivationName, InitializerName

ROUNDING = 1e-9


def sum_of_terms(found: Causes) -> FloatArray:
    return found.weights + found.slope_ceiling + found.misalignment + found.saturation


def driven_chain(name: ActivationName, leak: float = 1.0) -> ElmanChain:
    """The chain of a random net along random inputs."""
    rng = np.random.default_rng(1)
    params = initialize(rng, (2, 12, 1), activation=name, scheme=InitializerName.GAUSSIAN, gain=1.3)
    chain = elman_chain(params, unroll(params, rng.normal(size=(40, 3, 2))))
    return ElmanChain(
        chain.slopes, chain.recurrent_weights, leak=leak, slope_ceiling=chain.slope_ceiling
    )


@pytest.mark.parametrize("leak", [1.0, 0.5, 0.01])
@pytest.mark.parametrize("name", ActivationName)
def test_the_four_terms_add_up_to_the_measured_norm_at_every_lag(
    name: ActivationName, leak: float
) -> None:
    chain = driven_chain(name, leak)

    found = causes(chain)

    measured = lag_norms(chain, tolerance=1e-12).log_norms
    alive = np.isfinite(measured)
    assert alive.any()
    np.testing.assert_allclose(found.total[alive], measured[alive], atol=ROUNDING)
    np.testing.assert_allclose(sum_of_terms(found)[alive], measured[alive], atol=ROUNDING)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    steps=st.integers(1, 60),
    size=st.integers(1, 8),
    leak=st.sampled_from([1.0, 0.7, 0.05]),
    scale=st.sampled_from([1e-6, 0.3, 1.0, 1e6]),
)
def test_the_sum_holds_for_any_chain(
    seed: int, steps: int, size: int, leak: float, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    slopes = rng.uniform(1e-3, 1.0, (steps, 2, size))
    chain = ElmanChain(slopes, scale * rng.normal(size=(size, size)), leak=leak)

    found = causes(chain)

    np.testing.assert_allclose(sum_of_terms(found), found.total, atol=ROUNDING)
    assert (found.misalignment <= ROUNDING).all()
    if leak == 1.0:
        assert (found.saturation <= ROUNDING).all()


@pytest.mark.parametrize("name", ActivationName)
def test_data_can_only_lose_against_the_bound_where_nothing_leaks(name: ActivationName) -> None:
    found = causes(driven_chain(name))

    assert (found.misalignment <= ROUNDING).all()
    assert (found.saturation <= ROUNDING).all()
    assert (found.misalignment[-1] < -1.0).all()


def test_the_first_two_terms_are_the_textbook_bound() -> None:
    w = np.diag([3.0, -5.0])
    found = causes(ElmanChain(np.full((7, 2, 2), 0.2), w, slope_ceiling=0.25))

    lags = np.arange(1, 8)[:, None]
    assert found.lags.tolist() == list(range(1, 8))
    np.testing.assert_allclose(found.weights, lags * np.log(5.0) * np.ones(2), rtol=1e-13)
    np.testing.assert_allclose(found.slope_ceiling, lags * np.log(0.25) * np.ones(2), rtol=1e-13)


def test_equal_slopes_below_the_ceiling_are_saturation_alone() -> None:
    # Orthogonal W turns every vector by its length: nothing is misaligned.
    w = 1.3 * orthogonal(np.random.default_rng(2), 5)

    found = causes(ElmanChain(np.full((20, 1, 5), 0.1), w, slope_ceiling=0.25))

    lags = np.arange(1, 21)[:, None]
    np.testing.assert_allclose(found.weights, lags * np.log(1.3), rtol=1e-12)
    np.testing.assert_allclose(found.misalignment, 0.0, atol=1e-12)
    np.testing.assert_allclose(found.saturation, lags * np.log(0.1 / 0.25), rtol=1e-12)


def test_slopes_at_their_ceiling_leave_only_misalignment() -> None:
    # [[0, 4], [1, 0]] squared is 4 times the identity: half of log 16 a step is lost to turning.
    w = np.array([[0.0, 4.0], [1.0, 0.0]])

    found = causes(ElmanChain(np.ones((10, 1, 2)), w))

    lags = np.arange(1, 11)
    np.testing.assert_allclose(found.saturation, 0.0, atol=1e-12)
    expected = np.log(4.0) * np.ceil(lags / 2) - lags * np.log(4.0)
    np.testing.assert_allclose(found.misalignment[:, 0], expected, atol=1e-12)


def test_with_a_leak_the_held_state_belongs_to_the_weights() -> None:
    chain = ElmanChain(np.full((6, 1, 2), 0.25), np.eye(2), leak=0.4, slope_ceiling=0.25)

    found = causes(chain)

    lags = np.arange(1, 7)[:, None]
    np.testing.assert_allclose(found.weights, 0.0, atol=1e-13)
    np.testing.assert_allclose(found.slope_ceiling, lags * np.log(0.6 + 0.1), rtol=1e-12)
    np.testing.assert_allclose(found.misalignment + found.saturation, 0.0, atol=1e-12)


def test_chosen_lags_are_those_of_all_lags() -> None:
    chain = driven_chain(ActivationName.TANH)
    lags = np.array([1, 7, 40])

    some, every = causes(chain, lags), causes(chain)

    assert some.lags.tolist() == [1, 7, 40]
    for term in ("weights", "slope_ceiling", "misalignment", "saturation", "total"):
        np.testing.assert_allclose(getattr(some, term), getattr(every, term)[lags - 1], atol=1e-9)


def test_a_dead_layer_ends_in_saturation_and_a_nilpotent_w_in_misalignment() -> None:
    dead = np.ones((6, 2, 3))
    dead[3, 0] = 0.0
    shift = np.diag(np.ones(2), -1)

    by_slopes = causes(ElmanChain(dead, np.eye(3)))
    by_weights = causes(ElmanChain(np.ones((6, 2, 3)), shift))

    np.testing.assert_array_equal(np.isneginf(by_slopes.total[:, 0]), np.arange(1, 7) >= 3)
    np.testing.assert_array_equal(np.isneginf(by_slopes.saturation), np.isneginf(by_slopes.total))
    np.testing.assert_allclose(by_slopes.misalignment, 0.0, atol=1e-12)
    np.testing.assert_array_equal(np.isneginf(by_weights.total[:, 0]), np.arange(1, 7) >= 3)
    np.testing.assert_array_equal(
        np.isneginf(by_weights.misalignment), np.isneginf(by_weights.total)
    )
    np.testing.assert_allclose(by_weights.saturation, 0.0, atol=1e-12)


def test_weights_of_zero_are_the_cause_and_nothing_is_not_a_number() -> None:
    found = causes(ElmanChain(np.full((4, 2, 3), 0.1), np.zeros((3, 3)), slope_ceiling=0.25))

    np.testing.assert_array_equal(found.total, -np.inf)
    np.testing.assert_array_equal(found.weights, -np.inf)
    for term in (found.slope_ceiling, found.misalignment, found.saturation):
        np.testing.assert_array_equal(term, 0.0)


def test_a_dense_chain_has_no_slopes_to_ask() -> None:
    with pytest.raises(SettingError, match="give an ElmanChain"):
        causes(DenseChain(np.ones((3, 1, 2, 2))))


@pytest.mark.parametrize("lags", [[], [0, 1], [1, 9], [2, 2], [3, 1]])
def test_lags_out_of_range_or_order_are_refused(lags: list[int]) -> None:
    with pytest.raises(SettingError, match="choose ascending lags from 1 to 8"):
        causes(ElmanChain(np.ones((8, 1, 2)), np.eye(2)), np.array(lags, dtype=np.int64))
