"""Diagonal plus rank-one chains against dense ones, and products of reflections in closed form."""

import numpy as np
import pytest

from gradscope.arrays import FloatArray
from gradscope.errors import ShapeError
from gradscope.jacobians.chain import DenseChain
from gradscope.jacobians.lag_map import lag_map
from gradscope.jacobians.lag_norms import lag_norms
from gradscope.jacobians.lyapunov import lyapunov_exponents
from gradscope.jacobians.rank_one import DiagonalPlusRankOneChain
from gradscope.jacobians.singular_values import singular_values

SHAPE = (60, 2, 24)


def drawn(scale: float = 1.0) -> tuple[DiagonalPlusRankOneChain, DenseChain]:
    rng = np.random.default_rng(1)
    a, u, v = (scale * rng.standard_normal(SHAPE) for _ in range(3))
    dense = a[..., None] * np.eye(SHAPE[2]) + u[..., None] * v[..., None, :]
    return DiagonalPlusRankOneChain(a, u, v), DenseChain(dense)


@pytest.mark.parametrize("scale", [1e-40, 1.0, 1e40])
def test_everything_is_that_of_the_dense_chain(scale: float) -> None:
    thin, dense = drawn(scale)
    rng = np.random.default_rng(2)
    some = rng.standard_normal((2, 3, SHAPE[2]))

    for step in (1, 60):
        np.testing.assert_allclose(thin.jacobian(step), dense.jacobian(step), rtol=1e-15)
        np.testing.assert_allclose(thin.vjp(some, step), dense.vjp(some, step), rtol=1e-9)
        np.testing.assert_allclose(thin.jvp(some, step), dense.jvp(some, step), rtol=1e-9)
    for measure in (lag_norms, lag_map):
        found = [measure(each).log_norms for each in (thin, dense)]
        np.testing.assert_allclose(found[0], found[1], rtol=1e-9, atol=1e-6)
    found = [lyapunov_exponents(each).exponents for each in (thin, dense)]
    np.testing.assert_allclose(found[0], found[1], atol=1e-8)


def test_corrections_along_one_key_shrink_it_alone() -> None:
    key, beta = np.zeros(5), 0.3
    key[2] = 1.0
    steps = np.broadcast_to(key, (40, 1, 5))

    found = DiagonalPlusRankOneChain(np.full(1, 0.9), -0.9 * beta * steps, steps)

    # 0.9 (I − β k kᵀ) to the power of ℓ: 0.9^ℓ off the key, (0.63)^ℓ along it.
    values = singular_values(found, [40]).log_values[0, 0] / 40.0
    np.testing.assert_allclose(values, [*[np.log(0.9)] * 4, np.log(0.63)], rtol=1e-9)
    lags = np.arange(1, 41)
    np.testing.assert_allclose(lag_norms(found).log_norms[:, 0], lags * np.log(0.9), rtol=1e-9)


def test_reflections_keep_all_and_a_full_correction_kills_one_direction() -> None:
    rng = np.random.default_rng(3)
    keys = rng.standard_normal((30, 1, 4))
    keys /= np.linalg.norm(keys, axis=2, keepdims=True)

    kept = lag_norms(DiagonalPlusRankOneChain(np.ones(1), -2.0 * keys, keys))
    np.testing.assert_allclose(kept.log_norms, 0.0, atol=1e-12)
    one = np.broadcast_to(np.eye(4)[0], (3, 1, 4))
    gone = lag_norms(DiagonalPlusRankOneChain(one, -one, one))
    assert np.isneginf(gone.log_norms).all()


@pytest.mark.parametrize("bad", [np.ones((3, 2)), np.ones((3, 2, 5)), np.full((3, 2, 4), np.nan)])
def test_factors_that_do_not_fit_are_refused(bad: FloatArray) -> None:
    with pytest.raises(ShapeError):
        DiagonalPlusRankOneChain(bad, np.ones((3, 2, 4)), np.ones((3, 2, 4)))
