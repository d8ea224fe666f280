"""A scale taken out of matrices and kept beside them changes no digit."""

import numpy as np

from gradscope.jacobians.kernels.powers_of_two import rescaled


def test_the_largest_entry_comes_near_one_and_the_product_stays_to_the_last_bit() -> None:
    sizes = np.array([1e-300, 3.0, 1e300])
    matrices = np.random.default_rng(0).uniform(-1.0, 1.0, (3, 2, 4)) * sizes[:, None, None]

    scaled, exponents = rescaled(matrices, np.array([5, 0, -5]))

    largest = np.abs(scaled).max(axis=(1, 2))
    assert ((largest >= 0.5) & (largest < 1.0)).all()
    shifts = exponents - np.array([5, 0, -5])
    np.testing.assert_array_equal(np.ldexp(scaled, shifts[:, None, None]), matrices)


def test_a_matrix_of_zeros_stays_as_it_is() -> None:
    scaled, exponents = rescaled(np.zeros((1, 2, 2)), np.array([7]))

    assert not scaled.any()
    assert exponents.tolist() == [7]
