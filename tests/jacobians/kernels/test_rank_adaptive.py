"""The rows that are kept, and the certificate for those that are not."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from gradscope.jacobians.chain import ElmanChain
from gradscope.jacobians.kernels.rank_adaptive import (
    FAILURE_PROBABILITY,
    RankAdaptiveProduct,
    Stretch,
    drop_within,
    n_probes,
    truncation_error,
)

STEPS, SIZE = 120, 48


def random_chain(sequences: int = 1, steps: int = STEPS) -> ElmanChain:
    rng = np.random.default_rng(0)
    slopes = rng.uniform(0.2, 1.0, (steps, sequences, SIZE))
    return ElmanChain(slopes, rng.standard_normal((SIZE, SIZE)) / np.sqrt(SIZE))


def run(chain: ElmanChain, drop: float, lags: int = STEPS) -> tuple[RankAdaptiveProduct, Stretch]:
    """The product after so many lags, and its last stretch."""
    ends = np.full(chain.n_sequences, chain.n_steps)
    product = RankAdaptiveProduct(chain, ends, np.arange(chain.n_sequences), drop)
    while product.lag < lags:
        stretch = product.extend(lags - product.lag)
        product.compress(np.linalg.norm(stretch.kept[-1], 2, axis=(1, 2)))
    return product, stretch


def test_rows_fall_away_as_the_lags_grow_and_not_where_nothing_is_dropped() -> None:
    dropping, _ = run(random_chain(), drop_within(1e-6, SIZE))
    keeping, stretch = run(random_chain(), 0.0)

    assert dropping.rank < SIZE / 3
    assert keeping.rank == SIZE
    assert stretch.probes.shape[2] == 0


def test_gram_matrix_of_kept_rows_is_that_of_the_product_up_to_what_was_dropped() -> None:
    chain = random_chain()
    whole = np.eye(SIZE)
    for step in range(STEPS, 0, -1):
        whole = whole @ chain.jacobian(step)[0]

    product, stretch = run(chain, drop_within(1e-6, SIZE))

    kept = np.ldexp(stretch.kept[-1, 0], stretch.exponents[-1, 0])
    scale = np.linalg.norm(whole, 2) ** 2
    missing = (whole.T @ whole - kept.T @ kept) / scale
    bound = 2.0 * truncation_error(stretch.probes[-1], np.linalg.norm(stretch.kept[-1], 2, (1, 2)))
    assert product.rank < SIZE
    # What is missing is EᵀE: it has no negative part, and the certificate bounds it.
    assert np.linalg.eigvalsh(missing)[0] > -1e-13
    assert np.linalg.eigvalsh(missing)[-1] <= bound[0] <= 2e-6


def test_products_that_end_elsewhere_are_those_of_a_shorter_chain() -> None:
    chain = random_chain(sequences=2)
    product = RankAdaptiveProduct(chain, np.array([100, 60]), np.array([1, 0]), 0.0)
    product.extend(1)
    stretch = product.extend(1)

    for index, (end, sequence) in enumerate([(100, 1), (60, 0)]):
        expected = chain.jacobian(end)[sequence] @ chain.jacobian(end - 1)[sequence]
        found = np.ldexp(stretch.kept[-1, index], stretch.exponents[-1, index])
        assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


def test_products_that_have_ended_can_be_left_out() -> None:
    chain = random_chain(sequences=2)
    both = RankAdaptiveProduct(chain, np.array([50, 40]), np.array([0, 1]), 0.0)
    both.extend(3)
    both.keep(1)
    stretch = both.extend(2)
    one = RankAdaptiveProduct(chain, np.array([50]), np.array([0]), 0.0)
    one.extend(3)

    np.testing.assert_array_equal(stretch.kept, one.extend(2).kept)


@pytest.mark.parametrize("size", [16, 255, 256, 1024])
def test_the_probes_miss_with_the_stated_probability(size: int) -> None:
    alpha = FAILURE_PROBABILITY ** (-1.0 / n_probes(size))

    assert alpha ** -n_probes(size) == pytest.approx(4.0**-8)


@pytest.mark.parametrize("rank", [1, 5])
def test_the_bound_covers_what_random_probes_see(rank: int) -> None:
    # 2000 draws of E; at 4⁻⁸ the bound is allowed to fail in 0.03 of them.
    rng = np.random.default_rng(1)
    dropped = rng.standard_normal((rank, 20))
    size = np.linalg.norm(dropped, 2)
    probes = rng.standard_normal((2000, n_probes(SIZE), rank)) @ dropped

    bounds = truncation_error(probes, np.ones(2000))

    assert (bounds >= 0.5 * size**2).all()


def test_nothing_dropped_is_no_error_and_only_dropped_is_an_infinite_one() -> None:
    sigma = np.array([0.0, 0.0, 1.0])
    probes = np.zeros((3, 4, 6))
    probes[1, 2, 3] = 1e-9

    assert truncation_error(probes, sigma).tolist() == [0.0, np.inf, 0.0]
    assert truncation_error(np.zeros((3, 0, 6)), sigma).tolist() == [0.0, 0.0, 0.0]
