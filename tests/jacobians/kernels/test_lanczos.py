"""σ_max of stacks of matrices, few rows and many, easy and degenerate."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gradscope.arrays import FloatArray
from gradscope.jacobians.kernels import lanczos
from gradscope.jacobians.kernels.lanczos import (
    FEW_ROWS,
    FEW_TO_SQUARE,
    FEW_TO_START,
    leading_singular_values,
)
from gradscope.model.initializers import orthogonal

MANY_ROWS = 3 * FEW_ROWS
BATCH = FEW_TO_START // FEW_ROWS**2 + 1
"""So many matrices are squared where they have few rows, and iterated on where they have many."""


def with_singular_values(values: FloatArray, columns: int, count: int = BATCH) -> FloatArray:
    """A stack of (r,S) matrices that have these singular values, each with its own vectors."""
    stack = np.empty((count, values.size, columns))
    for seed in range(count):
        rng = np.random.default_rng(seed)
        left, right = orthogonal(rng, values.size), orthogonal(rng, columns)
        stack[seed] = left @ np.diag(values) @ right[: values.size]
    return stack


def refused(_: FloatArray) -> FloatArray:
    raise AssertionError("LAPACK was asked")


@pytest.mark.parametrize("count", [1, 5, BATCH])
@pytest.mark.parametrize("rows", [1, 2, FEW_ROWS, FEW_ROWS + 1, MANY_ROWS])
def test_random_matrices_have_the_norms_that_lapack_finds(rows: int, count: int) -> None:
    stack = np.random.default_rng(1).standard_normal((count, rows, MANY_ROWS))

    found = leading_singular_values(stack, 1e-10)

    assert_allclose(found.sigma, np.linalg.norm(stack, 2, axis=(1, 2)), rtol=1e-10)
    assert (found.error <= 1e-10).all()


@pytest.mark.parametrize("rows", [4, FEW_ROWS, FEW_ROWS + 8, MANY_ROWS])
@pytest.mark.parametrize("accuracy", [1e-6, 1e-10])
def test_where_one_value_stands_out_lapack_is_not_asked_for_the_matrices(
    rows: int, accuracy: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = (FEW_TO_SQUARE if rows <= FEW_ROWS else FEW_TO_START) // rows**2 + 1
    stack = with_singular_values(np.power(0.5, np.arange(rows)), MANY_ROWS, count)
    monkeypatch.setattr(lanczos, "_by_lapack", refused)

    found = leading_singular_values(stack, accuracy)

    assert_allclose(found.sigma, 1.0, rtol=accuracy)
    assert (found.error <= accuracy).all()


@pytest.mark.parametrize("rows", [FEW_ROWS, MANY_ROWS])
@pytest.mark.parametrize("gap", [0.0, 1e-14, 1e-10, 1e-8, 1e-6, 1e-5, 1e-4, 1e-3])
def test_two_singular_values_that_all_but_coincide_are_told_right(rows: int, gap: float) -> None:
    # The part of a random start in one vector over that in another is below 0.1 in one of 16 draws.
    values = np.asarray(np.linspace(0.1, 0.9, rows), dtype=np.float64)
    values[-2:] = 1.0, 1.0 + gap

    found = leading_singular_values(with_singular_values(values, MANY_ROWS), 3e-7)

    assert_allclose(found.sigma, 1.0 + gap, rtol=3e-7)
    assert (found.error <= 3e-7).all()


@pytest.mark.parametrize("gap", [1e-8, 1e-7, 1e-6, 1e-5, 1e-3])
def test_the_error_is_within_its_estimate_where_all_singular_values_are_close(gap: float) -> None:
    values = 1.0 - gap * np.abs(np.random.default_rng(4).standard_normal(MANY_ROWS))

    found = leading_singular_values(with_singular_values(values, MANY_ROWS), 3e-7)

    exceeded = np.abs(found.sigma / values.max() - 1.0) > found.error + 1e-14
    assert np.mean(exceeded) <= 0.01
    assert_allclose(found.sigma, values.max(), rtol=3e-7)


@pytest.mark.parametrize("rows", [FEW_ROWS, MANY_ROWS])
def test_equal_singular_values_are_no_breakdown(rows: int) -> None:
    stack = with_singular_values(np.full(rows, 3.0), MANY_ROWS)

    found = leading_singular_values(stack, 1e-9)

    assert_allclose(found.sigma, 3.0, rtol=1e-12)


def test_after_a_breakdown_another_start_finds_what_the_first_one_lacks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Three distinct values: the Krylov space is exhausted after three steps.
    values = np.repeat([3.0, 2.0, 1.0], MANY_ROWS // 3)
    monkeypatch.setattr(lanczos, "_by_lapack", refused)

    found = leading_singular_values(with_singular_values(values, MANY_ROWS), 1e-9)

    assert_allclose(found.sigma, 3.0, rtol=1e-12)


@pytest.mark.parametrize("rows", [FEW_ROWS, FEW_ROWS + 8, MANY_ROWS])
@pytest.mark.parametrize("scale", [2.0**-200, 2.0**440])
def test_matrices_far_from_one_are_no_overflow(rows: int, scale: float) -> None:
    stack = np.random.default_rng(5).standard_normal((BATCH, rows, MANY_ROWS))

    found = leading_singular_values(stack * scale, 1e-9)

    assert_allclose(found.sigma / scale, np.linalg.norm(stack, 2, axis=(1, 2)), rtol=1e-9)


def test_easy_matrices_beside_hard_ones_leave_the_batch_first() -> None:
    easy = with_singular_values(np.power(0.5, np.arange(MANY_ROWS)), MANY_ROWS, BATCH - BATCH // 4)
    hard = with_singular_values(np.array(np.linspace(0.9, 1.0, MANY_ROWS)), MANY_ROWS, BATCH // 4)
    stack = np.concatenate([hard, easy])

    found = leading_singular_values(stack, 1e-8)

    assert_allclose(found.sigma, 1.0, rtol=1e-8)
    assert (found.error <= 1e-8).all()


@pytest.mark.parametrize("count", [3, BATCH])
@pytest.mark.parametrize("rows", [FEW_ROWS, MANY_ROWS])
def test_a_zero_matrix_among_others_is_zero_and_no_warning(rows: int, count: int) -> None:
    stack = np.random.default_rng(2).standard_normal((count, rows, MANY_ROWS))
    stack[1] = 0.0

    found = leading_singular_values(stack, 1e-9)

    assert found.sigma[1] == 0.0
    assert_allclose(found.sigma, np.linalg.norm(stack, 2, axis=(1, 2)), rtol=1e-9)
    assert np.isfinite(found.error).all()


def test_a_spectrum_that_lanczos_does_not_resolve_in_time_goes_to_lapack() -> None:
    # The top of the spectrum is packed as densely as the rest.
    values = np.sqrt(np.linspace(1.0 - 1e-3, 1.0, 4 * MANY_ROWS))
    stack = with_singular_values(values, 4 * MANY_ROWS, 2)

    found = leading_singular_values(stack, 1e-14)

    assert_allclose(found.sigma, 1.0, rtol=1e-13)
    assert_array_equal(found.error, 0.0)
