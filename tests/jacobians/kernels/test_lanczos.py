"""σ_max of stacks of matrices, few rows and many, easy and degenerate."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gradscope.arrays import FloatArray
from gradscope.jacobians.kernels.lanczos import FEW_ROWS, leading_singular_values
from gradscope.model.initializers import orthogonal

MANY_ROWS = 3 * FEW_ROWS


def with_singular_values(values: FloatArray, columns: int, seed: int = 0) -> FloatArray:
    """A stack of one (r,S) matrix that has these singular values."""
    rng = np.random.default_rng(seed)
    left, right = orthogonal(rng, values.size), orthogonal(rng, columns)
    stack: FloatArray = (left @ np.diag(values) @ right[: values.size])[None]
    return stack


@pytest.mark.parametrize("rows", [1, 2, FEW_ROWS, FEW_ROWS + 1, MANY_ROWS])
def test_random_matrices_have_the_norms_that_lapack_finds(rows: int) -> None:
    stack = np.random.default_rng(1).standard_normal((5, rows, MANY_ROWS))

    found = leading_singular_values(stack, 1e-10)

    assert_allclose(found.sigma, np.linalg.norm(stack, 2, axis=(1, 2)), rtol=1e-10)
    assert (found.error <= 1e-10).all()


@pytest.mark.parametrize("rows", [FEW_ROWS, MANY_ROWS])
@pytest.mark.parametrize("gap", [0.0, 1e-14, 1e-10, 1e-8, 1e-6, 1e-5, 1e-4, 1e-3])
def test_two_singular_values_that_all_but_coincide_are_told_right(rows: int, gap: float) -> None:
    # At the accuracy that the default tolerance leaves to the iteration.
    values = np.linspace(0.1, 0.9, rows)
    values[-2:] = 1.0, 1.0 + gap

    found = leading_singular_values(with_singular_values(values, MANY_ROWS), 3e-7)

    assert_allclose(found.sigma, 1.0 + gap, rtol=3e-7)
    assert (found.error <= 3e-7).all()


@pytest.mark.parametrize("gap", [2e-6, 1e-5])
def test_a_start_that_all_but_misses_the_leading_vector_does_not_end_the_iteration(
    gap: float,
) -> None:
    # The part of a random start in one vector over that in another is below 0.1 in one of 16 draws.
    values = np.linspace(0.1, 0.9, MANY_ROWS)
    values[-2:] = 1.0, 1.0 + gap

    for seed in range(60):
        found = leading_singular_values(with_singular_values(values, MANY_ROWS, seed), 3e-7)

        assert_allclose(found.sigma, 1.0 + gap, rtol=3e-7)


@pytest.mark.parametrize("gap", [1e-8, 1e-7, 1e-6, 1e-5])
def test_the_error_is_within_its_estimate_where_all_singular_values_are_close(gap: float) -> None:
    rng = np.random.default_rng(4)
    for seed in range(30):
        values = 1.0 - gap * np.abs(rng.standard_normal(MANY_ROWS))
        found = leading_singular_values(with_singular_values(values, MANY_ROWS, seed), 3e-7)

        assert abs(found.sigma[0] / values.max() - 1.0) <= found.error[0] + 1e-14


@pytest.mark.parametrize("rows", [FEW_ROWS, MANY_ROWS])
def test_equal_singular_values_are_no_breakdown(rows: int) -> None:
    stack = with_singular_values(np.full(rows, 3.0), MANY_ROWS)

    found = leading_singular_values(stack, 1e-9)

    assert_allclose(found.sigma, 3.0, rtol=1e-12)


@pytest.mark.parametrize("rows", [FEW_ROWS, MANY_ROWS])
def test_a_zero_matrix_among_others_is_zero_and_no_warning(rows: int) -> None:
    stack = np.random.default_rng(2).standard_normal((3, rows, MANY_ROWS))
    stack[1] = 0.0

    found = leading_singular_values(stack, 1e-9)

    assert found.sigma[1] == 0.0
    assert_allclose(found.sigma[[0, 2]], np.linalg.norm(stack[[0, 2]], 2, axis=(1, 2)), rtol=1e-9)
    assert np.isfinite(found.error).all()


def test_a_spectrum_that_lanczos_does_not_resolve_in_time_goes_to_lapack() -> None:
    # The top of the spectrum is packed as densely as the rest.
    values = np.sqrt(np.linspace(1.0 - 1e-3, 1.0, 4 * MANY_ROWS))
    stack = with_singular_values(values, 4 * MANY_ROWS)

    found = leading_singular_values(stack, 1e-14)

    assert_allclose(found.sigma, 1.0, rtol=1e-13)
    assert_array_equal(found.error, 0.0)
