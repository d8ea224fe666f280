"""The largest eigenvalue of tridiagonal matrices, and the last entry of its vector."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from gradscope.arrays import FloatArray
from gradscope.jacobians.kernels import tridiagonal
from gradscope.jacobians.kernels.tridiagonal import FEW_MATRICES, leading_of_tridiagonal

MANY = 2 * FEW_MATRICES


def of_krylov_spaces(values: FloatArray, size: int) -> tuple[FloatArray, FloatArray]:
    """The diagonals (k,n), couplings (k−1,n) of diag(values), values (n,r), from random starts."""
    basis = np.random.default_rng(3).standard_normal((1, *values.shape))
    basis /= np.linalg.norm(basis, axis=2, keepdims=True)
    diagonal, coupling = np.empty((2, size, len(values)))
    for step in range(size):
        image = values * basis[-1]
        diagonal[step] = np.einsum("nr,nr->n", image, basis[-1])
        for _ in range(2):
            image = image - np.einsum("kn,knr->nr", np.einsum("knr,nr->kn", basis, image), basis)
        coupling[step] = np.linalg.norm(image, axis=1)
        basis = np.concatenate([basis, (image / coupling[step][:, None])[None]])
    return diagonal, coupling[:-1]


def drawn(kind: str, size: int, count: int) -> tuple[FloatArray, FloatArray]:
    """The diagonals (k,n) and couplings (k−1,n) of positive semidefinite matrices."""
    values = np.random.default_rng(4).uniform(0.0, 1.0, (count, 60))
    if kind == "even":
        return of_krylov_spaces(values, size)
    if kind == "graded":
        return of_krylov_spaces(values * 0.8 ** np.arange(60), size)
    if kind == "crowded":
        return of_krylov_spaces(1.0 - 1e-4 * values, size)
    diagonal = np.zeros((size, count)) if kind == "zero" else values.T[:size]
    return diagonal, np.zeros((size - 1, count))


@pytest.mark.parametrize("count", [1, FEW_MATRICES, MANY])
@pytest.mark.parametrize("size", [1, 2, 3, 17, 40])
@pytest.mark.parametrize("kind", ["even", "graded", "crowded", "uncoupled", "zero"])
def test_value_and_last_entry_are_those_that_lapack_finds(kind: str, size: int, count: int) -> None:
    diagonal, coupling = drawn(kind, size, count)
    full = np.zeros((count, size, size))
    at = np.arange(size)
    full[:, at, at] = diagonal.T
    full[:, at[1:], at[:-1]] = full[:, at[:-1], at[1:]] = coupling.T
    values, vectors = np.linalg.eigh(full)

    found, last = leading_of_tridiagonal(diagonal, coupling)

    assert_allclose(found, values[:, -1], rtol=1e-12, atol=1e-15)
    if kind in {"even", "graded", "crowded"}:
        assert_allclose(last, np.abs(vectors[:, -1, -1]), rtol=0.05, atol=1e-12)
    assert np.isfinite(last).all()


def test_many_are_found_without_lapack(monkeypatch: pytest.MonkeyPatch) -> None:
    diagonal, coupling = drawn("even", 20, MANY)

    def refused(_: FloatArray) -> FloatArray:
        raise AssertionError("LAPACK was asked")

    monkeypatch.setattr(np.linalg, "eigvalsh", refused)

    leading_of_tridiagonal(diagonal, coupling)


def test_what_is_not_enclosed_in_time_goes_to_lapack(monkeypatch: pytest.MonkeyPatch) -> None:
    diagonal, coupling = drawn("even", 20, MANY)
    wanted, _ = leading_of_tridiagonal(diagonal, coupling)
    monkeypatch.setattr(tridiagonal, "MAX_ITERATIONS", 1)

    found, _ = leading_of_tridiagonal(diagonal, coupling)

    assert_allclose(found, wanted, rtol=1e-9)
