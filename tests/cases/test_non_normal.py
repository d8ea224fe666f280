"""Cases A6 and A7, and the shear: products whose norm the eigenvalues do not tell."""

import numpy as np
import pytest

from gradscope.diagnosis.diagnose import diagnose
from gradscope.diagnosis.reasons import ReasonCode
from gradscope.jacobians.chain import ElmanChain
from gradscope.jacobians.lag_norms import lag_norms
from gradscope.names import Regime


def linear_chain(w: list[list[float]], steps: int) -> ElmanChain:
    return ElmanChain(np.ones((steps, 1, len(w))), np.array(w))


def test_a6_a_jordan_block_grows_to_a_peak_before_it_vanishes() -> None:
    eigenvalue, lags = 0.9, np.arange(1, 201)

    norms = np.exp(lag_norms(linear_chain([[0.9, 1.0], [0.0, 0.9]], 200)).log_norms[:, 0])

    c = lags / eigenvalue
    np.testing.assert_allclose(
        norms, eigenvalue**lags * (c + np.sqrt(c**2 + 4.0)) / 2.0, rtol=1e-11
    )
    assert np.argmax(norms) + 1 == 9
    assert norms[8] == pytest.approx(3.9125671, abs=1e-7)
    assert norms[199] == pytest.approx(1.567828e-7, abs=1e-13)


def test_a6_the_verdict_is_transient_growth_and_then_vanishing() -> None:
    verdict = diagnose(linear_chain([[0.9, 1.0], [0.0, 0.9]], 200)).verdict

    assert verdict.regime is Regime.TRANSIENT
    grown = verdict.reason(ReasonCode.GROWS_FIRST)
    assert grown is not None
    assert grown.numbers["peak_lag"] == 9
    assert grown.numbers["peak_log10_norm"] == pytest.approx(np.log10(3.9125671), abs=1e-7)
    # The bound allows exploding (σ_max(W) > 1), the eigenvalues know only the end.
    assert verdict.reason(ReasonCode.BOUND_ALLOWS_EXPLODING) is not None
    assert verdict.rate == pytest.approx(np.log(0.9), abs=0.01)


def test_a7_a_delay_line_passes_everything_on_and_then_nothing() -> None:
    shift = np.eye(8, k=-1).tolist()

    found = diagnose(linear_chain(shift, 20))

    log_norms = found.norms.log_norms[:, 0]
    np.testing.assert_array_equal(log_norms[:7], 0.0)
    np.testing.assert_array_equal(log_norms[7:], -np.inf)
    assert found.verdict.horizon == 8
    zero = found.verdict.reason(ReasonCode.EXACT_ZERO)
    assert zero is not None
    assert zero.numbers == {"lag": 8, "sequences": 1, "of": 1}


def test_a_shear_tells_sigma_max_from_sigma_min_and_spectral_radius() -> None:
    # Every eigenvalue of [[1, 2], [0, 1]]**k is 1, yet log σ_max = arcsinh(k).
    profile = lag_norms(linear_chain([[1.0, 2.0], [0.0, 1.0]], 30))

    np.testing.assert_allclose(profile.log_norms[:, 0], np.arcsinh(np.arange(1, 31)), rtol=1e-9)
