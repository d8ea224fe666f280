"""Mean field with drive, correlation, finite width and leak, and the spectrum of wide networks:
published numbers, closed forms, and networks of some hundred units.
"""

from statistics import NormalDist

import numpy as np
import pytest

from gradscope.arrays import FloatArray
from gradscope.diagnosis.mean_field import leaky_field, mean_field, stationary_field, wide_exponents
from gradscope.diagnosis.theory import (
    ObjectionCode,
    TheoryName,
    expected_exponents,
    newman_exponents,
    predictions,
)
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.jacobians.lyapunov import LyapunovSpectrum, lyapunov_exponents
from gradscope.model.activations import RELU, TANH
from gradscope.model.elman import ElmanParameters
from gradscope.model.initializers import orthogonal
from gradscope.model.trajectory import unroll
from gradscope.names import StateName


def normal(count: int, variance: float = 1.0) -> FloatArray:
    """Equally likely values of a normal distribution, of exactly this variance."""
    found = np.array([NormalDist().inv_cdf((i + 0.5) / count) for i in range(count)])
    scaled: FloatArray = found * np.sqrt(variance / np.mean(found**2))
    return scaled


def net(
    gain: float, size: int, leak: float = 1.0, n_inputs: int = 1, drive: float = 0.0, seed: int = 0
) -> ElmanParameters:
    rng = np.random.default_rng(seed)
    return ElmanParameters(
        drive / np.sqrt(n_inputs) * rng.standard_normal((size, n_inputs)),
        gain / np.sqrt(size) * rng.standard_normal((size, size)),
        np.zeros(size),
        np.zeros((1, size)),
        np.zeros(1),
        leak=leak,
    )


def first_exponent(params: ElmanParameters, n_steps: int = 1500, seed: int = 1) -> float:
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((n_steps, 1, params.sizes[0]))
    start = rng.standard_normal((1, params.state_size))
    chain = cell_chain(params, unroll(params, inputs, start))
    return float(lyapunov_exponents(chain, count=1, warm_up=300).exponents[0, 0])


def test_depth_scale_and_critical_gain_have_their_published_values() -> None:
    # σ_b² = 0.05: ξ(1.3) = 7.834, and χ = 1 at σ_w² = 1.76095.
    drive = normal(20_000, 0.05)

    assert stationary_field(TANH, np.sqrt(1.3), drive).depth_scale == pytest.approx(7.834, abs=1e-3)
    below, above = (stationary_field(TANH, np.sqrt(x), drive).chi for x in (1.7608, 1.7611))
    assert below < 1.0 < above


def test_the_distribution_of_the_drive_keeps_its_moments_and_its_two_values() -> None:
    # Two values of the drive: the average over them, whatever lies between.
    two = stationary_field(TANH, 0.0, np.array([0.5, 2.0, 2.0, 2.0]))
    one = [stationary_field(TANH, 0.0, np.array([each])) for each in (0.5, 2.0)]
    assert two.recurrent_variance == one[0].recurrent_variance == 0.0

    gain = 0.1
    mixed = stationary_field(TANH, gain, np.array([0.5, 2.0, 2.0, 2.0]))
    slopes = 0.25 * TANH.slope(np.array([0.5])) ** 2 + 0.75 * TANH.slope(np.array([2.0])) ** 2
    assert mixed.chi == pytest.approx(gain**2 * float(slopes[0]), rel=0.02)


def test_trajectories_of_a_chaotic_net_come_to_their_published_correlation() -> None:
    # Schoenholz et al.: (σ_w², σ_b²) = (4, 0.05) has ξ_c = 6.980.
    found = stationary_field(TANH, 2.0, normal(20_000, 0.05))

    assert found.correlation_depth == pytest.approx(6.980, abs=1e-3)
    assert found.correlation == pytest.approx(0.16506, abs=1e-4)
    # In the ordered phase they come to one and the same, over ξ itself.
    ordered = stationary_field(TANH, np.sqrt(1.3), normal(20_000, 0.05))
    assert ordered.correlation == 1.0
    assert ordered.correlation_depth == ordered.depth_scale


def test_two_trajectories_of_real_nets_have_the_predicted_correlation() -> None:
    starts = np.random.default_rng(3).standard_normal((2, 1000))
    measured = []
    for seed in (1, 2, 3):
        drawn = net(2.0, 1000, seed=seed)
        bias = np.random.default_rng(seed).permutation(normal(1000, 0.05))
        params = drawn.with_weights({**dict(drawn.weights()), "hidden_bias": bias})
        a = unroll(params, np.zeros((150, 2, 1)), starts).pre_activations[50:]
        measured.append(np.mean(a[:, 0] * a[:, 1]) / np.mean(a**2))

    predicted = mean_field(params, np.zeros((5, 1, 1))).correlation

    assert np.mean(measured) == pytest.approx(predicted, abs=0.06)


def test_a_net_of_a_hundred_units_grows_as_its_width_allows() -> None:
    infinite = stationary_field(TANH, 10.0, np.zeros(1))
    assert infinite.growth_rate == pytest.approx(0.856, abs=1e-3)
    assert infinite.rate_of_width(100) == pytest.approx(0.766, abs=1e-3)

    measured = np.mean([first_exponent(net(10.0, 100, seed=seed)) for seed in range(4)])

    assert measured == pytest.approx(infinite.rate_of_width(100), abs=0.02)
    # Slopes of 1: Newman's λ_1 = ½ ln(2s²) + ½ ψ(H/2) = ln g − 1/2H.
    silent = stationary_field(TANH, 1.0, np.zeros(1))
    assert silent.rate_of_width(200) == pytest.approx(newman_exponents(200, 200**-0.5)[0], abs=2e-5)


def test_the_rate_of_a_prediction_is_that_of_its_width() -> None:
    params = net(10.0, 100)
    start = np.random.default_rng(1).standard_normal((1, 100))
    trajectory = unroll(params, np.zeros((400, 1, 1)), start)

    found = {each.name: each for each in predictions(params, trajectory)}[TheoryName.MEAN_FIELD]

    assert found.applies
    exact = mean_field(params, trajectory.inputs)
    assert found.rate == exact.rate_of_width(100)
    assert found.correlation == exact.correlation


NO_DRIVE = np.zeros(101)


def test_a_leaky_net_at_rest_is_a_linear_one() -> None:
    for gain, leak in ((0.9, 0.5), (0.5, 0.1), (0.7, 1.0)):
        found = leaky_field(TANH, gain, leak, NO_DRIVE, StateName.POST)

        assert found.growth_rate == pytest.approx(np.log(1.0 - leak + leak * gain), abs=1e-4)


def test_without_a_leak_the_dynamic_mean_field_is_the_static_one() -> None:
    for gain, variance in ((3.0, 0.0), (1.5, 0.5), (0.8, 1.0)):
        drive = np.zeros(11)
        drive[0] = variance
        leaky = leaky_field(TANH, gain, 1.0, drive, StateName.POST)
        static = stationary_field(TANH, gain, normal(20_000, variance) if variance else NO_DRIVE)

        assert leaky.chi == pytest.approx(static.chi, rel=2e-3)
        assert leaky.recurrent_variance == pytest.approx(static.recurrent_variance, rel=2e-3)


@pytest.mark.parametrize(
    ("gain", "leak", "drive", "allowed"),
    [(3.0, 0.5, 0.0, 0.02), (1.5, 0.5, 1.0, 0.015), (0.9, 0.3, 0.5, 0.012)],
)
def test_leaky_nets_of_some_hundred_units_do_what_the_dynamic_mean_field_says(
    gain: float, leak: float, drive: float, allowed: float
) -> None:
    params = net(gain, 300, leak, 30, drive)
    inputs = np.random.default_rng(4).standard_normal((400, 2, 30))

    found = mean_field(params, inputs)

    assert first_exponent(params) == pytest.approx(found.growth_rate, abs=allowed)
    recurrent = unroll(params, inputs).hidden[100:-1] @ params.recurrent_weights.T
    if drive:
        assert found.recurrent_variance == pytest.approx(np.mean(recurrent**2), rel=0.15)


def test_a_leaky_net_under_one_common_input_is_not_covered_and_says_so() -> None:
    rng = np.random.default_rng(5)
    for n_inputs, applies in ((1, False), (30, True)):
        params = net(1.5, 200, 0.5, n_inputs, 1.0)
        trajectory = unroll(params, rng.standard_normal((200, 2, n_inputs)))

        found = {each.name: each for each in predictions(params, trajectory)}

        assert TheoryName.NEWMAN not in found
        field = found[TheoryName.MEAN_FIELD]
        assert field.applies is applies
        if field.objection is not None:
            assert field.objection.code is ObjectionCode.COMMON_DRIVE
        linear = 0.5 * np.eye(200) + 0.5 * params.recurrent_weights
        assert found[TheoryName.SPECTRAL_RADIUS].rate == pytest.approx(
            np.log(np.abs(np.linalg.eigvals(linear)).max())
        )


def spectrum_of(exponents: FloatArray) -> LyapunovSpectrum:
    sure = np.ones((1, exponents.size), dtype=np.bool_)
    return LyapunovSpectrum(exponents[None], np.zeros(sure.shape), None, sure, exponents.size, 1)


def test_the_wide_spectrum_of_gain_three_has_its_closed_numbers() -> None:
    variance = stationary_field(TANH, 3.0, np.zeros(1)).recurrent_variance
    slopes = TANH.slope(normal(2000, variance))[None]

    found = spectrum_of(wide_exponents(slopes, 3.0, 400))

    assert found.entropy_rate[0] / 400 == pytest.approx(0.025196, abs=5e-5)
    assert found.kaplan_yorke_dimension[0] / 400 == pytest.approx(0.2877, abs=2e-3)
    assert wide_exponents(slopes, 3.0, 20_000 // 2000)[0] < 0.3102
    assert wide_exponents(slopes[:, ::4], 3.0, 4000)[0] == pytest.approx(0.3102, abs=2e-3)


def test_slopes_of_one_give_newmans_spectrum_of_infinite_width_and_dead_units_none() -> None:
    ranks = (np.arange(50) + 0.5) / 50

    ones = wide_exponents(np.ones((2, 7)), 2.0, 50)
    np.testing.assert_allclose(ones, np.log(2.0) + 0.5 * np.log(1.0 - ranks), atol=1e-9)

    # Half of the units shut: a product of half the size, whose entries are as large.
    half = wide_exponents(np.array([[1.0, 0.0]]), 2.0, 50)
    np.testing.assert_allclose(half[:25], np.log(2.0) + 0.5 * np.log(0.5 - ranks[:25]), atol=1e-9)
    assert np.isneginf(half[25:]).all()


def test_the_spectrum_of_a_chaotic_net_is_that_of_a_wide_one() -> None:
    params = net(3.0, 120)
    start = np.random.default_rng(6).standard_normal((1, 120))
    trajectory = unroll(params, np.zeros((500, 1, 1)), start)
    measured = lyapunov_exponents(cell_chain(params, trajectory)).exponents[0]

    expected, against = expected_exponents(params, trajectory)

    assert against is None
    assert expected is not None
    np.testing.assert_allclose(measured[:60], expected.exponents[0, :60], atol=0.05)
    assert measured[:60].mean() == pytest.approx(expected.exponents[0, :60].mean(), abs=0.05)


def test_weights_that_are_not_gaussian_are_told_from_those_that_are() -> None:
    rng = np.random.default_rng(7)
    plain = net(1.5, 100)
    drawn = plain.recurrent_weights
    cases = {
        None: rng.uniform(-0.2, 0.2, (100, 100)),
        ObjectionCode.NOT_GAUSSIAN: orthogonal(rng, 100),
        ObjectionCode.SYMMETRIC: (drawn + drawn.T) / np.sqrt(2.0),
    }
    for code, weights in cases.items():
        params = plain.with_weights({**dict(plain.weights()), "recurrent_weights": weights})
        trajectory = unroll(params, np.zeros((20, 1, 1)), 0.1 * np.ones((1, 100)))

        _, against = expected_exponents(params, trajectory)

        assert (against and against.code) is code


def test_networks_with_a_leak_or_without_weights_have_no_wide_spectrum() -> None:
    for params in (net(1.0, 60, 0.5), net(0.0, 60)):
        assert expected_exponents(params, unroll(params, np.zeros((4, 1, 1)))) == (None, None)
    rectified = ElmanParameters(
        np.zeros((60, 1)), net(1.2, 60).recurrent_weights, np.zeros(60), np.zeros((1, 60)),
        np.zeros(1), activation=RELU,
    )  # fmt: skip
    start = np.random.default_rng(8).standard_normal((1, 60))
    expected, _ = expected_exponents(rectified, unroll(rectified, np.zeros((30, 1, 1)), start))
    assert expected is not None
    assert np.isneginf(expected.exponents[0, -1])
