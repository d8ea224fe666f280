"""Leading directions against the singular value decomposition of an explicit product."""

import numpy as np
import pytest

from gradscope.arrays import FloatArray, IntArray
from gradscope.errors import SettingError
from gradscope.jacobians.chain import DenseChain, ElmanChain
from gradscope.jacobians.lag_norms import lag_norms


def leading_directions(
    chain: ElmanChain | DenseChain, lags: IntArray, tolerance: float = 1e-12
) -> tuple[FloatArray, FloatArray]:
    """The directions (K,B,S) and log σ_max (K,B) at these lags."""
    norms = lag_norms(chain, int(lags[-1]), tolerance=tolerance, directions_at=lags)
    return np.stack([norms.directions[int(lag)] for lag in lags]), norms.log_norms[lags - 1]


def _product(chain: ElmanChain | DenseChain, lag: int, sequence: int) -> FloatArray:
    product: FloatArray = np.eye(chain.state_size)
    for step in range(chain.n_steps - lag + 1, chain.n_steps + 1):
        product = chain.jacobian(step)[sequence] @ product
    return product


@pytest.mark.parametrize("size", [1, 2, 5, 12])
def test_directions_are_right_singular_vectors_of_the_product_in_every_sequence(size: int) -> None:
    rng = np.random.default_rng(size)
    chain = ElmanChain(
        rng.uniform(0.2, 1.0, (14, 3, size)), rng.standard_normal((size, size)), leak=0.8
    )
    lags = np.array([1, 2, 3, 7, 14])

    found, log_norms = leading_directions(chain, lags)

    for index, lag in enumerate(lags):
        for sequence in range(3):
            _, sigma, right = np.linalg.svd(_product(chain, int(lag), sequence))
            assert abs(found[index, sequence] @ right[0]) == pytest.approx(1.0, abs=1e-6)
            assert log_norms[index, sequence] == pytest.approx(np.log(sigma[0]), abs=1e-11)


def test_a_direction_that_takes_the_lead_late_is_found_at_once() -> None:
    rng = np.random.default_rng(1)
    slopes = rng.uniform(0.3, 1.0, (120, 2, 9))
    # Unit 8 loses 30 decades on the way back and then wins 60.
    slopes[60:, :, 8] = 1e-1
    slopes[40:60, :, 8] = 1e3

    chain = ElmanChain(slopes, np.eye(9))
    lags = np.arange(1, 121)
    found, log_norms = leading_directions(chain, lags)

    sums = np.cumsum(np.log(slopes[::-1]), axis=0)
    np.testing.assert_allclose(log_norms, sums.max(axis=2), rtol=0.0, atol=1e-9)
    leaders = np.argmax(np.abs(found), axis=2)
    assert (leaders == np.argmax(sums, axis=2)).all()


def test_a_chain_without_a_leading_direction_gives_one_of_full_length() -> None:
    rotation = np.linalg.qr(np.random.default_rng(2).standard_normal((20, 20)))[0]
    chain = ElmanChain(np.ones((50, 2, 20)), rotation)

    found, log_norms = leading_directions(chain, np.arange(1, 51))

    np.testing.assert_allclose(np.linalg.norm(found, axis=2), 1.0, rtol=0.0, atol=1e-12)
    np.testing.assert_allclose(log_norms, 0.0, rtol=0.0, atol=1e-12)


def test_explicit_jacobians_have_directions_too() -> None:
    rng = np.random.default_rng(3)
    chain = DenseChain(rng.standard_normal((6, 2, 30, 30)))

    found, log_norms = leading_directions(chain, np.array([1, 2, 6]))

    for index, lag in enumerate((1, 2, 6)):
        _, sigma, right = np.linalg.svd(_product(chain, lag, 1))
        assert log_norms[index, 1] == pytest.approx(np.log(sigma[0]), abs=1e-11)
        assert abs(found[index, 1] @ right[0]) == pytest.approx(1.0, abs=1e-6)


def test_sequences_that_die_explode_and_live_share_a_batch() -> None:
    slopes = np.ones((700, 3, 4))
    slopes[:, 0] = 1e-6
    slopes[:, 1] = 1e6
    slopes[300, 2] = 0.0
    rotation = np.linalg.qr(np.random.default_rng(4).standard_normal((4, 4)))[0]

    _, log_norms = leading_directions(ElmanChain(slopes, rotation), np.array([399, 400, 700]))

    expected = np.array([399, 400, 700]) * np.log(1e6)
    np.testing.assert_allclose(log_norms[:, 0], -expected, rtol=1e-12)
    np.testing.assert_allclose(log_norms[:, 1], expected, rtol=1e-12)
    np.testing.assert_allclose(log_norms[:, 2], [0.0, -np.inf, -np.inf], rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("lags", [[0], [7], [2, 7]])
def test_directions_outside_the_lags_are_refused(lags: list[int]) -> None:
    chain = ElmanChain(np.ones((8, 1, 2)), np.array([[1.0, 1.0], [0.0, 1.0]]))

    with pytest.raises(SettingError, match="choose from 1 to 6"):
        lag_norms(chain, 6, directions_at=lags)
