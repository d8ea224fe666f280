"""Theory against closed forms, mpmath and random networks of a thousand units."""

from collections.abc import Callable
from dataclasses import replace

import mpmath  # type: ignore[import-untyped]
import numpy as np
import pytest

from gradscope.arrays import FloatArray
from gradscope.diagnosis.mean_field import mean_field, stationary_field
from gradscope.diagnosis.theory import (
    ObjectionCode,
    Prediction,
    TheoryName,
    log_spectral_norm,
    log_spectral_radius,
    newman_exponents,
    predictions,
)
from gradscope.errors import SettingError
from gradscope.jacobians.chain import elman_chain
from gradscope.model.activations import SIGMOID, TANH
from gradscope.model.elman import ElmanParameters, log_bound_per_step
from gradscope.model.initializers import initialize
from gradscope.model.trajectory import Trajectory, unroll
from gradscope.names import ActivationName, InitializerName


def _net(
    name: ActivationName = ActivationName.TANH,
    gain: float = 1.5,
    n_hidden: int = 100,
    scheme: InitializerName = InitializerName.GAUSSIAN,
    input_scale: float = 3.0,
) -> ElmanParameters:
    return initialize(
        np.random.default_rng(0),
        (3, n_hidden, 1),
        activation=name,
        scheme=scheme,
        gain=gain,
        input_scale=input_scale,
    )


def _trajectory(params: ElmanParameters, n_steps: int = 60) -> Trajectory:
    rng = np.random.default_rng(1)
    state = rng.standard_normal((2, params.sizes[1]))
    return unroll(params, rng.standard_normal((n_steps, 2, 3)), state)


def _named(found: tuple[Prediction, ...], name: TheoryName) -> Prediction:
    return next(each for each in found if each.name is name)


def _mean_field_of(params: ElmanParameters, trajectory: Trajectory | None = None) -> Prediction:
    return _named(predictions(params, trajectory or _trajectory(params)), TheoryName.MEAN_FIELD)


def test_the_bound_is_the_norm_of_one_step_at_its_ceiling() -> None:
    weights = np.array([[1.0, 2.0], [0.0, 1.0]])

    assert log_spectral_norm(weights) == pytest.approx(np.arcsinh(1.0))
    assert log_bound_per_step(weights, 0.25) == pytest.approx(np.arcsinh(1.0) + np.log(0.25))
    expected = np.log(0.4 + 0.6 * (1.0 + np.sqrt(2.0)))
    assert log_bound_per_step(weights, 1.0, leak=0.6) == pytest.approx(expected)
    assert log_spectral_norm(np.zeros((2, 2))) == -np.inf


def test_the_spectral_radius_is_that_of_the_eigenvalues() -> None:
    assert log_spectral_radius(np.array([[1.0, 2.0], [0.0, 1.0]])) == pytest.approx(0.0)
    assert log_spectral_radius(np.array([[0.0, 9.0], [-1.0, 0.0]])) == pytest.approx(np.log(3.0))
    assert log_spectral_radius(np.zeros((2, 2))) == -np.inf


@pytest.mark.parametrize("size", [1, 2, 3, 10, 257])
def test_newmans_exponents_are_those_of_the_digamma_function(size: int) -> None:
    found = newman_exponents(size, 0.7)

    halves = [(size - i) / 2 for i in range(size)]
    expected = [0.5 * float(mpmath.log(2 * 0.7**2) + mpmath.digamma(x)) for x in halves]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_array_equal(newman_exponents(size, 0.7, 1), found[:1])


def test_newmans_exponents_have_their_published_values() -> None:
    np.testing.assert_allclose(
        newman_exponents(2, 1.0), [0.05796576, -0.63518142], rtol=0.0, atol=1e-8
    )
    ten = newman_exponents(10, 10**-0.5)
    np.testing.assert_allclose(ten[[0, -1]], [-0.05166012, -1.78647397], rtol=0.0, atol=1e-8)


@pytest.mark.parametrize("scale", [0.0, -1.0, np.inf, np.nan])
def test_a_scale_that_is_none_is_refused(scale: float) -> None:
    with pytest.raises(SettingError, match="finite number above 0"):
        newman_exponents(3, scale)


@pytest.mark.parametrize("count", [0, 4])
def test_a_count_beyond_the_size_is_refused(count: int) -> None:
    with pytest.raises(SettingError, match="choose 1 to 3"):
        newman_exponents(3, 1.0, count)


@pytest.mark.parametrize("gain", [0.3, 0.9, 1.0])
def test_a_tanh_net_up_to_the_critical_gain_is_silent_and_linear(gain: float) -> None:
    found = stationary_field(TANH, gain, np.zeros(1))

    assert found.recurrent_variance < 1e-12
    assert found.chi == pytest.approx(gain**2, rel=1e-12)
    assert found.growth_rate == pytest.approx(np.log(gain), abs=1e-12)
    if gain < 1.0:
        assert found.depth_scale == pytest.approx(-0.5 / np.log(gain))
    else:
        assert found.depth_scale > 1e12


def test_a_chaotic_tanh_net_of_infinite_width_grows_at_its_published_rate() -> None:
    assert stationary_field(TANH, 3.0, np.zeros(1)).growth_rate == pytest.approx(0.3102, abs=1e-4)


def _mp_tanh(a: mpmath.mpf) -> tuple[mpmath.mpf, mpmath.mpf]:
    return mpmath.tanh(a), mpmath.sech(a) ** 2


def _mp_sigmoid(a: mpmath.mpf) -> tuple[mpmath.mpf, mpmath.mpf]:
    value = 1 / (1 + mpmath.exp(-a))
    return value, value * (1 - value)


@pytest.mark.parametrize(
    ("name", "exact", "gain", "drive"),
    [("tanh", _mp_tanh, 1.5, 0.3), ("tanh", _mp_tanh, 6.0, 0.0), ("sigmoid", _mp_sigmoid, 4.0, -1)],
)
def test_variance_and_chi_solve_their_integrals(
    name: str,
    exact: Callable[[mpmath.mpf], tuple[mpmath.mpf, mpmath.mpf]],
    gain: float,
    drive: float,
) -> None:
    activation = TANH if name == "tanh" else SIGMOID

    found = stationary_field(activation, gain, np.array([drive]))

    def mean_square(part: int) -> float:
        root = mpmath.sqrt(found.recurrent_variance)

        def integrand(z: mpmath.mpf) -> mpmath.mpf:
            return exact(drive + root * z)[part] ** 2 * mpmath.npdf(z)

        return float(mpmath.quad(integrand, mpmath.linspace(-10, 10, 21)))

    assert found.recurrent_variance == pytest.approx(gain**2 * mean_square(0), rel=1e-10)
    assert found.chi == pytest.approx(gain**2 * mean_square(1), rel=1e-10)


def test_a_large_gain_leaves_the_integral_of_the_squared_slope_over_a_flat_density() -> None:
    found = stationary_field(TANH, 40.0, np.zeros(1))

    # ∫ sech⁴ = 4/3, and the density at the origin is 1/√(2πq).
    flat = 40.0**2 * (4.0 / 3.0) / np.sqrt(2.0 * np.pi * found.recurrent_variance)
    assert found.chi == pytest.approx(flat, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "gain", "input_scale", "scheme"),
    [
        (ActivationName.TANH, 1.5, 3.0, InitializerName.GAUSSIAN),
        (ActivationName.TANH, 1.0, 10.0, InitializerName.ORTHOGONAL),
        (ActivationName.SIGMOID, 3.0, 10.0, InitializerName.GLOROT),
    ],
)
def test_random_networks_of_a_thousand_units_do_what_the_mean_field_says(
    name: ActivationName, gain: float, input_scale: float, scheme: InitializerName
) -> None:
    params = _net(name, gain, 1000, scheme, input_scale)
    trajectory = _trajectory(params, 80)

    found = mean_field(params, trajectory.inputs)

    recurrent = trajectory.hidden[20:-1] @ params.recurrent_weights.T
    assert found.recurrent_variance == pytest.approx(np.mean(np.square(recurrent)), rel=0.1)
    squared_slope = np.mean(np.square(trajectory.slopes[20:]))
    assert found.chi == pytest.approx(found.gain**2 * squared_slope, rel=0.03)
    assert found.growth_rate == pytest.approx(_stretching(params, trajectory), abs=0.02)


def _stretching(params: ElmanParameters, trajectory: Trajectory) -> float:
    """Mean logarithm of a step's effect on the length of random vectors, 20 steps on."""
    chain = elman_chain(params, trajectory)
    vectors = np.random.default_rng(2).standard_normal((2, 6, params.sizes[1]))
    logs = []
    for step in range(21, trajectory.n_steps + 1):
        carried: FloatArray = chain.jvp(vectors, step)
        length = np.linalg.norm(carried, axis=2, keepdims=True)
        logs.append(np.log(length / np.linalg.norm(vectors, axis=2, keepdims=True)).mean())
        vectors = carried / length
    return float(np.mean(logs))


def test_pytorchs_default_net_forgets_at_half_the_logarithm_of_three() -> None:
    params = _net(scheme=InitializerName.UNIFORM, gain=1.0, n_hidden=256)
    silent = params.with_weights({**dict(params.weights()), "hidden_bias": np.zeros(256)})

    found = mean_field(silent, np.zeros((5, 1, 3)))

    assert found.growth_rate == pytest.approx(-0.5 * np.log(3.0), abs=0.005)


def test_a_strong_drive_closes_the_slopes() -> None:
    rates = [
        mean_field(_net(input_scale=scale), _trajectory(_net()).inputs).growth_rate
        for scale in (0.1, 3.0, 30.0)
    ]

    assert rates[0] > rates[1] > rates[2]


def test_the_bias_is_part_of_the_drive() -> None:
    params = _net()
    biased = _with(params, hidden_bias=np.full(100, 4.0))
    inputs = _trajectory(params).inputs

    # Every unit at a = 4 and beyond: slopes of 1.3e-3 and less, were it not for W and the inputs.
    assert mean_field(biased, inputs).chi < 0.3 * mean_field(params, inputs).chi


def test_the_mean_field_applies_to_a_wide_random_net() -> None:
    for name, gain in ((ActivationName.TANH, 1.5), (ActivationName.SIGMOID, 3.0)):
        found = _mean_field_of(_net(name, gain))

        assert found.applies
        assert found.rate is not None
        assert found.depth_scale is not None
        # The depth scale is that of infinite width, the rate that of a hundred units.
        assert 0.0 < -0.5 / found.depth_scale - found.rate < 0.02
        assert "1606.05340" in found.source


def _with(params: ElmanParameters, **weights: FloatArray) -> ElmanParameters:
    return params.with_weights({**dict(params.weights()), **weights})


def test_each_reason_against_the_mean_field_is_named() -> None:
    wide = _net()
    lifted = _with(wide, recurrent_weights=wide.recurrent_weights + 0.1)
    centred = initialize(
        np.random.default_rng(0),
        (3, 100, 1),
        activation=ActivationName.SIGMOID,
        scheme=InitializerName.GAUSSIAN,
        gain=6.0,
        center_bias=True,
    )
    cases = {
        ObjectionCode.NARROW: _net(n_hidden=20),
        ObjectionCode.ACTIVATION: _net(ActivationName.RELU),
        ObjectionCode.OUTLIER: lifted,
        ObjectionCode.FEW_ENTRIES: _net(scheme=InitializerName.IDENTITY, gain=1.0),
        ObjectionCode.BIAS_FOLLOWS_WEIGHTS: centred,
    }
    for code, params in cases.items():
        found = _mean_field_of(params)

        assert found.objection is not None
        assert found.objection.code is code
        assert (found.rate is None) == (code is ObjectionCode.ACTIVATION)


def test_inputs_that_fall_silent_leave_a_variance_the_theory_did_not_expect() -> None:
    params = _net(gain=0.5)
    inputs = np.random.default_rng(1).standard_normal((60, 2, 3))
    inputs[30:] = 0.0

    found = _mean_field_of(params, unroll(params, inputs))

    assert found.objection is not None
    assert found.objection.code is ObjectionCode.VARIANCE_DIFFERS
    assert found.objection.numbers["measured"] < found.objection.numbers["predicted"]


def test_the_spectral_radius_applies_to_linear_nets_alone() -> None:
    linear = _net(ActivationName.IDENTITY, gain=0.9)

    exact = _named(predictions(linear, _trajectory(linear)), TheoryName.SPECTRAL_RADIUS)
    bent = _named(predictions(_net(), _trajectory(_net())), TheoryName.SPECTRAL_RADIUS)

    assert exact.applies
    assert exact.rate == pytest.approx(log_spectral_radius(linear.recurrent_weights))
    quiet = _net(ActivationName.SIGMOID, gain=0.01, input_scale=0.01)
    still = _named(predictions(quiet, _trajectory(quiet)), TheoryName.SPECTRAL_RADIUS)
    assert still.applies
    assert still.rate == pytest.approx(log_spectral_radius(quiet.recurrent_weights) - np.log(4.0))
    assert bent.objection is not None
    assert bent.objection.code is ObjectionCode.SLOPES_VARY
    assert 0.0 < bent.objection.numbers["smallest_slope"] < 0.1


def test_bound_and_newman_stand_beside_them_with_their_sources() -> None:
    params = _net(ActivationName.SIGMOID, gain=3.0)
    trajectory = _trajectory(params)

    found = predictions(params, trajectory)

    bound = _named(found, TheoryName.BOUND)
    assert bound.applies
    assert bound.rate == pytest.approx(log_bound_per_step(params.recurrent_weights, 0.25))
    newman = _named(found, TheoryName.NEWMAN)
    scale = np.sqrt(np.mean(trajectory.slopes**2) * np.mean(params.recurrent_weights**2))
    assert newman.rate == pytest.approx(newman_exponents(100, float(scale))[0])
    assert newman.objection is not None
    assert newman.objection.code is ObjectionCode.WEIGHTS_REUSED
    assert all(each.source for each in found)


def test_units_of_different_leaks_have_no_theory() -> None:
    params = replace(_net(), leak=np.linspace(0.2, 0.9, 100))
    trajectory = _trajectory(params)

    with pytest.raises(SettingError, match=r"0\.2 to 0\.9"):
        predictions(params, trajectory)
    with pytest.raises(SettingError, match=r"0\.2 to 0\.9"):
        mean_field(params, trajectory.inputs)


def test_weights_of_zero_forget_at_once_in_every_theory() -> None:
    params = _with(_net(), recurrent_weights=np.zeros((100, 100)))

    found = predictions(params, _trajectory(params))

    assert all(each.rate == -np.inf for each in found)
    assert _named(found, TheoryName.MEAN_FIELD).depth_scale == 0.0


def test_a_net_without_slopes_has_a_mean_field() -> None:
    found = stationary_field(TANH, 1.0, np.full(4, 1e6))

    assert found.growth_rate < -1e3
