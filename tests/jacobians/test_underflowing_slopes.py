"""Slopes below the range of floats are not zero: their logarithms are carried beside them."""

import mpmath  # type: ignore[import-untyped]
import numpy as np
import pytest

from gradscope.arrays import FloatArray
from gradscope.data.batch import Targets
from gradscope.diagnosis.causes import causes
from gradscope.jacobians.adjoints import log_adjoint_norms
from gradscope.jacobians.chain import ElmanChain, elman_chain
from gradscope.jacobians.lag_map import lag_map
from gradscope.jacobians.lag_norms import lag_norms
from gradscope.jacobians.lyapunov import lyapunov_exponents
from gradscope.jacobians.reference import verify_lag_norms
from gradscope.jacobians.singular_values import singular_values
from gradscope.model.activations import ACTIVATIONS, RELU, SIGMOID, SOFTPLUS, TANH, Activation
from gradscope.model.elman import ElmanParameters
from gradscope.model.trajectory import Trajectory, unroll
from gradscope.names import ActivationName

STEPS, SEQUENCES, SIZE = 6, 2, 3


def driven(activation: Activation, scale: float = 1000.0) -> tuple[ElmanParameters, Trajectory]:
    """A net whose inputs are so large that every unit of some steps is saturated."""
    rng = np.random.default_rng(0)
    params = ElmanParameters(
        scale * rng.standard_normal((SIZE, 1)),
        rng.standard_normal((SIZE, SIZE)),
        np.zeros(SIZE),
        np.ones((1, SIZE)),
        np.zeros(1),
        activation=activation,
    )
    return params, unroll(params, 3.0 * rng.standard_normal((STEPS, SEQUENCES, 1)))


def exact_logs(params: ElmanParameters, trajectory: Trajectory, sequence: int) -> FloatArray:
    """Return log σ_max(P_ℓ) for ℓ = 1 … T, in 60 digits and with any exponent."""
    tanh = params.activation is TANH
    logs = []
    with mpmath.workdps(60):
        product = mpmath.eye(SIZE)
        for a in trajectory.pre_activations[::-1, sequence].tolist():
            slopes = [
                mpmath.sech(mpmath.mpf(x)) ** 2
                if tanh
                else mpmath.exp(-abs(x)) / (1 + mpmath.exp(-abs(mpmath.mpf(x)))) ** 2
                for x in a
            ]
            weights = mpmath.matrix(params.recurrent_weights.tolist())
            product = product * mpmath.diag(slopes) * weights
            logs.append(float(mpmath.log(mpmath.svd_r(product, compute_uv=False)[0])))
    return np.array(logs)


def test_one_step_of_a_saturated_scalar_net_has_its_logarithm() -> None:
    # ln 400 + ln 4 − 800: sech²(400) = 4 e^−800.
    params = ElmanParameters(
        np.zeros((1, 1)), np.array([[400.0]]), np.zeros(1), np.ones((1, 1)), np.zeros(1)
    )
    chain = elman_chain(params, unroll(params, np.zeros((5, 1, 1)), np.ones((1, 1))))

    found = lag_norms(chain).log_norms[:, 0]

    np.testing.assert_allclose(found, -792.6222410917721 * np.arange(1, 6), rtol=1e-14)


@pytest.mark.parametrize("activation", [TANH, SIGMOID], ids=lambda each: each.name)
def test_every_measurement_has_the_logarithm_of_what_floats_cannot_hold(
    activation: Activation,
) -> None:
    params, trajectory = driven(activation)
    chain = elman_chain(params, trajectory)
    exact = np.stack([exact_logs(params, trajectory, b) for b in range(SEQUENCES)], axis=1)
    assert exact[-1].max() < -1000.0

    profile, split = lag_norms(chain), causes(chain)

    assert chain.shifts is not None
    np.testing.assert_allclose(profile.log_norms, exact, rtol=1e-12)
    np.testing.assert_allclose(lag_map(chain).log_norms[-1, :-1][::-1], exact, rtol=1e-12)
    lags = np.arange(1, STEPS + 1)
    np.testing.assert_allclose(singular_values(chain, lags).log_values[..., 0], exact, rtol=1e-12)
    assert verify_lag_norms(chain, profile).worst < 1e-9
    terms = split.weights + split.slope_ceiling + split.misalignment + split.saturation
    np.testing.assert_allclose(terms, exact, rtol=1e-12)
    # Two of three units are far below the third: only λ_1 and the last product can be compared.
    first = lyapunov_exponents(chain, warm_up=0).exponents[:, 0]
    np.testing.assert_allclose(STEPS * first, exact[-1], atol=5.0)


def test_the_gradient_of_an_early_state_is_not_said_to_be_zero() -> None:
    params = ElmanParameters(
        np.zeros((1, 1)), np.array([[400.0]]), np.zeros(1), np.ones((1, 1)), np.zeros(1)
    )
    trajectory = unroll(params, np.zeros((5, 1, 1)), np.ones((1, 1)))

    logs = log_adjoint_norms(params, trajectory, Targets(np.zeros((5, 1, 1)), np.arange(5) == 4))

    # ∂E/∂h_5 = 2 h_5 = 2, and each step before it has −792.62.
    expected = np.log(2.0) - 792.6222410917721 * np.arange(5, -1, -1)
    np.testing.assert_allclose(logs, expected, rtol=1e-14)


@pytest.mark.parametrize(
    ("activation", "point"), [(TANH, 500.0), (SIGMOID, -900.0), (SOFTPLUS, -900.0)]
)
def test_log_slopes_are_those_of_the_slopes_and_go_on_beyond_them(
    activation: Activation, point: float
) -> None:
    assert activation.log_slope is not None
    near = np.array([-300.0, -2.0, 0.0, 0.3, 300.0])

    np.testing.assert_allclose(
        activation.log_slope(near), np.log(activation.slope(near)), rtol=1e-14, atol=1e-15
    )
    assert activation.slope(np.array([point]))[0] == 0.0
    expected = np.log(4.0) - 2.0 * point if activation is TANH else point
    assert activation.log_slope(np.array([point]))[0] == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize(("name", "log"), [("silu", -800 + np.log(799)), ("elu", -800.0)])
def test_a_scalar_net_far_below_zero_has_its_logarithm(name: str, log: float) -> None:
    params = ElmanParameters(
        *(np.zeros((1, 1)), np.ones((1, 1)), np.array([-800.0]), np.ones((1, 1)), np.zeros(1)),
        activation=ACTIVATIONS[ActivationName(name)],
    )
    chain = elman_chain(params, unroll(params, np.zeros((4, 1, 1)), np.zeros((1, 1))))

    found = lag_norms(chain).log_norms[:, 0]

    # φ(−800) is 0 of silu, so that a = −800 at every step, and −1 of elu.
    least = np.arange(1, 5) * log - (name == "elu") * np.array([1.0, 2.0, 3.0, 3.0])
    np.testing.assert_allclose(found, least, rtol=1e-12)


def test_slopes_that_floats_hold_are_left_as_they_are_and_true_zeros_stay_zero() -> None:
    params, trajectory = driven(TANH, 20.0)
    assert elman_chain(params, trajectory).shifts is None
    params, trajectory = driven(RELU)
    chain = elman_chain(params, trajectory)
    assert chain.shifts is None
    zeros = ElmanChain(np.zeros((3, 1, 2)), np.eye(2))
    assert np.isneginf(lag_norms(zeros).log_norms).all()
