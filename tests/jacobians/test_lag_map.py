"""Every pair of states: row by row the lag profile of a shorter chain."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gradscope.arrays import IntArray
from gradscope.errors import SettingError
from gradscope.jacobians.chain import Chain, DenseChain, ElmanChain
from gradscope.jacobians.lag_map import lag_map
from gradscope.jacobians.lag_norms import lag_norms

STEPS, SEQUENCES = 30, 2


def random_chain(size: int = 24, leak: float = 1.0, steps: int = STEPS) -> ElmanChain:
    rng = np.random.default_rng(0)
    slopes = rng.uniform(0.1, 1.0, (steps, SEQUENCES, size))
    return ElmanChain(slopes, rng.standard_normal((size, size)) / np.sqrt(size), leak=leak)


def dense(chain: Chain) -> DenseChain:
    return DenseChain(np.stack([chain.jacobian(step) for step in range(1, chain.n_steps + 1)]))


@pytest.mark.parametrize("kind", ["elman", "leaky", "dense"])
def test_a_row_of_the_map_is_the_lag_profile_that_ends_there(kind: str) -> None:
    elman = random_chain(leak=0.5 if kind == "leaky" else 1.0)
    chain: Chain = dense(elman) if kind == "dense" else elman

    found = lag_map(chain)

    assert found.log_norms.shape == (STEPS + 1, STEPS + 1, SEQUENCES)
    assert_array_equal(found.times, np.arange(STEPS + 1))
    for t in range(1, STEPS + 1):
        profile = lag_norms(ElmanChain(elman.slopes[:t], elman.recurrent_weights, elman.leak))
        assert_allclose(found.log_norms[t, :t][::-1], profile.log_norms, atol=2e-6)
    assert (found.certificate <= 1e-6 + 1e-13).all()


def test_every_pair_is_the_norm_of_its_own_product() -> None:
    chain = random_chain(size=5, steps=8)

    log_norms = lag_map(chain).log_norms

    for sequence in range(SEQUENCES):
        for t in range(9):
            product = np.eye(5)
            for k in range(t - 1, -1, -1):
                product = product @ chain.jacobian(k + 1)[sequence]
                expected = np.log(np.linalg.norm(product, 2))
                assert log_norms[t, k, sequence] == pytest.approx(expected, abs=1e-12)


def test_the_diagonal_is_0_and_what_lies_above_it_is_not_a_number() -> None:
    log_norms = lag_map(random_chain()).log_norms
    above = np.triu(np.ones((STEPS + 1, STEPS + 1), dtype=bool), 1)

    assert_array_equal(log_norms[np.arange(STEPS + 1), np.arange(STEPS + 1)], 0.0)
    assert np.isnan(log_norms[above]).all()
    assert not np.isnan(log_norms[~above]).any()


def test_a_dead_step_parts_the_map() -> None:
    slopes = np.ones((10, 1, 3))
    slopes[5] = 0.0

    log_norms = lag_map(ElmanChain(slopes, np.eye(3))).log_norms[:, :, 0]

    # Step 6 has no slope: no state from h_6 on feels one before it.
    assert_array_equal(log_norms[6:, :6], -np.inf)
    assert_allclose(log_norms[6:, 6:][np.tril_indices(5)], 0.0, atol=1e-13)
    assert_allclose(log_norms[:6, :6][np.tril_indices(6)], 0.0, atol=1e-13)


def test_chosen_times_are_those_rows_and_columns_of_the_whole_map() -> None:
    chain, times = random_chain(), np.array([2, 3, 9, 20, 30])

    whole, thin = lag_map(chain), lag_map(chain, times=times)

    assert_array_equal(thin.times, times)
    assert_allclose(thin.log_norms, whole.log_norms[np.ix_(times, times)], atol=2e-6)


def test_many_products_go_back_in_parts_and_tell_how_far_they_are() -> None:
    chain, told = random_chain(size=100), list[tuple[int, int]]()

    found = lag_map(chain, progress=lambda done, total: told.append((done, total)))

    total = SEQUENCES * STEPS * (STEPS + 1) // 2
    assert len(told) > 1
    assert told == sorted(told)
    assert told[-1] == (total, total)
    profile = lag_norms(chain)
    assert_allclose(found.log_norms[-1, :-1][::-1], profile.log_norms, atol=2e-6)


def test_one_time_is_a_map_of_one() -> None:
    found = lag_map(random_chain(), times=np.array([7]))

    assert_array_equal(found.log_norms, np.zeros((1, 1, SEQUENCES)))


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (np.array([-1, 3]), "choose one or more from 0 to 30"),
        (np.array([0, 31]), "choose one or more from 0 to 30"),
        (np.array([], dtype=np.int64), "choose one or more from 0 to 30"),
        (np.array([3, 3]), "ascending order, each once"),
        (np.array([4, 3]), "ascending order, each once"),
    ],
)
def test_times_that_the_trajectory_does_not_have_are_refused(times: IntArray, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        lag_map(random_chain(), times=times)
