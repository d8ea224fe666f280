"""What W says on its own: closed forms of singular values, eigenvalues and non-normality."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradscope.analysis.inspect import weight_spectrum


def test_a_shear_has_eigenvalues_one_and_the_golden_singular_values() -> None:
    # [[1, 2], [0, 1]]: log σ_max = arcsinh(1), every eigenvalue 1, ‖W‖_F² = 6 and Σ|λ|² = 2.
    spectrum = weight_spectrum(np.array([[1.0, 2.0], [0.0, 1.0]]))

    assert spectrum.sigma_max == pytest.approx(np.exp(np.arcsinh(1.0)), rel=1e-14)
    assert spectrum.spectral_radius == pytest.approx(1.0, abs=1e-7)
    assert not spectrum.outside.any()
    assert spectrum.departure == pytest.approx(np.sqrt(4.0 / 6.0), abs=1e-12)


def test_a_rotation_is_normal_and_turns_by_its_angle() -> None:
    c, s = np.cos(0.3), np.sin(0.3)

    spectrum = weight_spectrum(1.5 * np.array([[c, -s], [s, c]]))

    np.testing.assert_allclose(spectrum.singular_values, [1.5, 1.5], rtol=1e-14)
    np.testing.assert_allclose(np.sort(np.angle(spectrum.eigenvalues)), [-0.3, 0.3], rtol=1e-13)
    assert spectrum.departure == pytest.approx(0.0, abs=1e-7)
    assert spectrum.outside.all()


def test_an_orthogonal_matrix_kept_in_float32_does_not_reach_outside() -> None:
    orthogonal, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(40, 40)))
    rounded = orthogonal.astype(np.float32).astype(np.float64)

    spectrum = weight_spectrum(rounded)

    assert spectrum.spectral_radius > 1.0
    assert not spectrum.outside.any()


def test_a_shift_is_wholly_non_normal() -> None:
    spectrum = weight_spectrum(np.eye(5, k=1))

    assert spectrum.spectral_radius == 0.0
    assert spectrum.sigma_max == 1.0
    assert spectrum.departure == 1.0


def test_a_matrix_of_zeros_has_nothing_and_warns_of_nothing() -> None:
    spectrum = weight_spectrum(np.zeros((3, 3)))

    assert (spectrum.sigma_max, spectrum.spectral_radius, spectrum.departure) == (0.0, 0.0, 0.0)


def test_eigenvalues_fall_in_modulus() -> None:
    spectrum = weight_spectrum(np.diag([0.5, -2.0, 1.0]))

    np.testing.assert_array_equal(spectrum.eigenvalues, [-2.0, 1.0, 0.5])
    assert spectrum.outside.tolist() == [True, False, False]


@given(st.floats(1e-300, 1e300))
def test_departure_does_not_depend_on_the_scale(scale: float) -> None:
    weights = scale * np.array([[0.5, 1.0], [0.0, 0.5]])

    spectrum = weight_spectrum(weights)

    assert spectrum.departure == pytest.approx(np.sqrt(2.0 / 3.0), rel=1e-7)
    assert spectrum.sigma_max == pytest.approx(scale * 1.2071067811865475, rel=1e-12)
