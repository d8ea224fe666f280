"""Rows carried back over many steps at once are rows times Jacobians, each at its own scale."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from gradscope.jacobians.chain import Chain, DenseChain, ElmanChain

STEPS, SEQUENCES, SIZE = 9, 3, 4


def chain_of(kind: str, leak: float, scale: float = 1.0) -> Chain:
    rng = np.random.default_rng(0)
    slopes = rng.uniform(-1.0, 1.0, (STEPS, SEQUENCES, SIZE))
    elman = ElmanChain(slopes, scale * rng.standard_normal((SIZE, SIZE)), leak=leak)
    if kind == "elman":
        return elman
    return DenseChain(np.stack([elman.jacobian(step) for step in range(1, STEPS + 1)]))


@pytest.mark.parametrize("kind", ["elman", "dense"])
@pytest.mark.parametrize("leak", [1.0, 0.3])
def test_each_product_takes_its_own_step_of_its_own_sequence(kind: str, leak: float) -> None:
    chain = chain_of(kind, leak)
    rows = np.random.default_rng(1).standard_normal((2, 3, SIZE))
    steps, sequences = np.array([[9, 4], [8, 3], [7, 1]]), np.array([2, 0])
    out = np.empty((3, *rows.shape))

    exponents = chain.accumulate_vjp(rows, steps, sequences, out)

    for index in range(2):
        expected = rows[index]
        for lag in range(3):
            expected = expected @ chain.jacobian(steps[lag, index])[sequences[index]]
            found = np.ldexp(out[lag, index], exponents[: lag + 1, index].sum())
            assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", ["elman", "dense"])
@pytest.mark.parametrize("leak", [1.0, 0.3])
def test_no_rows_are_the_identity(kind: str, leak: float) -> None:
    chain = chain_of(kind, leak)
    identity = np.repeat(np.eye(SIZE)[None], 2, axis=0)
    steps, sequences = np.array([[9, 4], [8, 3]]), np.array([2, 0])
    expected, found = np.empty((2, 2, *identity.shape))

    exponents = chain.accumulate_vjp(identity, steps, sequences, expected)

    np.testing.assert_array_equal(chain.accumulate_vjp(None, steps, sequences, found), exponents)
    assert_allclose(found, expected, rtol=1e-14, atol=1e-16)


@pytest.mark.parametrize("kind", ["elman", "dense"])
@pytest.mark.parametrize("leak", [1.0, 0.3])
@pytest.mark.parametrize("scale", [1e-200, 1e-3, 1.0, 1e3, 1e200])
def test_a_step_is_carried_at_a_scale_near_1(kind: str, leak: float, scale: float) -> None:
    chain = chain_of(kind, leak, scale)
    out = np.empty((1, SEQUENCES, SIZE, SIZE))
    identity = np.repeat(np.eye(SIZE)[None], SEQUENCES, axis=0)

    chain.accumulate_vjp(identity, np.full((1, SEQUENCES), 5), np.arange(SEQUENCES), out)

    largest = np.max(np.abs(out), axis=(0, 2, 3))
    assert (largest <= 2.0).all()
    assert (largest >= 2.0**-10).all()
