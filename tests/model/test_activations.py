"""φ, φ′ and γ: right in the tails against fifty digits, and at the kinks."""

import copy
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import mpmath  # type: ignore[import-untyped]
import numpy as np
import pytest
from autograd import elementwise_grad  # type: ignore[import-untyped]

from gradscope.model.activations import (
    ACTIVATIONS,
    HARD_TANH,
    IDENTITY,
    RELU,
    SIGMOID,
    SOFTPLUS,
    TANH,
    Activation,
)
from gradscope.names import ActivationName

ELU, SELU, SILU, SOFTSIGN, HARD_SIGMOID = (
    ACTIVATIONS[ActivationName(each)]
    for each in ("elu", "selu", "silu", "softsign", "hard-sigmoid")
)
SCALE, ALPHA = 1.0507009873554805, 1.6732632423543772

EVERY = list(ACTIVATIONS.values())
NEAR = [-3.0, -1.0, -0.3, -1e-8, 0.0, 1e-8, 0.3, 1.0, 3.0]
# Farther out the numbers themselves would leave float64: sech²(372) and σ(−745) are below 5e-324.
TANH_TAILS = [-300.0, -50.0, -20.0, -18.0, 18.0, 20.0, 50.0, 300.0]
SIGMOID_TAILS = [-700.0, -100.0, -40.0, 40.0, 100.0, 700.0]


def fifty_digits(formula: Callable[[Any], Any], points: list[float]) -> list[float]:
    with mpmath.workdps(700):
        return [float(formula(mpmath.mpf(a))) for a in points]


def mp_sigmoid(a: Any) -> Any:
    return 1 / (1 + mpmath.exp(-a))


def test_every_name_has_its_activation() -> None:
    assert {name: each.name for name, each in ACTIVATIONS.items()} == {
        name: name for name in ActivationName
    }


@pytest.mark.parametrize(
    ("activation", "formula", "tails"),
    [
        (TANH, mpmath.tanh, TANH_TAILS),
        (SIGMOID, mp_sigmoid, SIGMOID_TAILS),
        (SOFTPLUS, lambda a: mpmath.log1p(mpmath.exp(a)), SIGMOID_TAILS),
        (RELU, lambda a: max(a, mpmath.mpf(0)), TANH_TAILS),
        (IDENTITY, lambda a: a, TANH_TAILS),
        (HARD_TANH, lambda a: min(max(a, mpmath.mpf(-1)), mpmath.mpf(1)), TANH_TAILS),
        (ELU, lambda a: a if a > 0 else mpmath.expm1(a), SIGMOID_TAILS),
        (SELU, lambda a: SCALE * (a if a > 0 else ALPHA * mpmath.expm1(a)), SIGMOID_TAILS),
        (SILU, lambda a: a * mp_sigmoid(a), SIGMOID_TAILS),
        (SOFTSIGN, lambda a: a / (1 + abs(a)), [*TANH_TAILS, -1e200, 1e200]),
    ],
    ids=lambda each: getattr(each, "name", None),
)
def test_values_keep_full_relative_accuracy_in_the_tails(
    activation: Activation, formula: Callable[[Any], Any], tails: list[float]
) -> None:
    points = NEAR + tails

    values = activation.value(np.array(points))

    np.testing.assert_allclose(values, fifty_digits(formula, points), rtol=1e-15, atol=0.0)


@pytest.mark.parametrize(
    ("activation", "formula", "tails"),
    [
        (TANH, lambda a: mpmath.sech(a) ** 2, TANH_TAILS),
        (SIGMOID, lambda a: mp_sigmoid(a) * mp_sigmoid(-a), SIGMOID_TAILS),
        (SOFTPLUS, mp_sigmoid, SIGMOID_TAILS),
        (ELU, lambda a: min(mpmath.exp(a), 1), SIGMOID_TAILS),
        (SELU, lambda a: SCALE * (1 if a > 0 else ALPHA * mpmath.exp(a)), SIGMOID_TAILS),
        (SOFTSIGN, lambda a: 1 / (1 + abs(a)) ** 2, [*TANH_TAILS, -1e100, 1e100]),
    ],
    ids=lambda each: getattr(each, "name", None),
)
def test_slopes_keep_full_relative_accuracy_where_one_minus_h_squared_is_zero(
    activation: Activation, formula: Callable[[Any], Any], tails: list[float]
) -> None:
    points = NEAR + tails

    slopes = activation.slope(np.array(points))

    np.testing.assert_allclose(slopes, fifty_digits(formula, points), rtol=1e-15, atol=0.0)
    assert (slopes > 0.0).all()


def test_the_slope_of_silu_is_right_on_both_sides_of_its_zero_and_keeps_its_sign() -> None:
    points = [*NEAR, -1.2, -1.3, *SIGMOID_TAILS]

    slopes = SILU.slope(np.array(points))

    wanted = fifty_digits(lambda a: mp_sigmoid(a) * (1 + a * mp_sigmoid(-a)), points)
    np.testing.assert_allclose(slopes, wanted, rtol=1e-13)
    assert np.signbit(SILU.slope(np.array([-800.0])))


@pytest.mark.parametrize("name", [each.name for each in EVERY if each.log_slope is not None])
def test_the_logarithm_of_the_slope_goes_on_where_the_slope_is_zero(name: ActivationName) -> None:
    activation = ACTIVATIONS[name]
    assert activation.log_slope is not None
    points = np.array([-1000.0, *NEAR, -30.0, 30.0])

    logs = activation.log_slope(points)

    np.testing.assert_allclose(np.exp(logs[1:]), np.abs(activation.slope(points[1:])), rtol=1e-12)
    decay = {"tanh": 2000.0 - np.log(4.0), "softsign": 2.0 * np.log(1001.0)}
    rest = {"selu": -np.log(SCALE * ALPHA), "silu": -np.log(999.0)}
    np.testing.assert_allclose(-logs[0], decay.get(name, 1000.0 + rest.get(name, 0.0)), rtol=1e-13)


@pytest.mark.parametrize("name", ActivationName)
def test_the_curvature_is_the_derivative_of_the_slope(name: ActivationName) -> None:
    activation = ACTIVATIONS[name]
    points = np.array([-700.0, -30.0, -4.0, -2.6, -1.1, -0.2, 0.3, 0.9, 2.7, 5.0, 30.0, 700.0])
    step = 1e-5

    assert activation.curvature is not None
    found = activation.curvature(points)

    wanted = (activation.slope(points + step) - activation.slope(points - step)) / (2.0 * step)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-10)
    assert np.isfinite(activation.curvature(np.array([-1e300, -0.0, 1e300]))).all()


@pytest.mark.parametrize("name", ActivationName)
def test_an_activation_is_pickled_and_copied_by_its_name(name: ActivationName) -> None:
    assert copy.deepcopy(ACTIVATIONS[name]) is ACTIVATIONS[name]
    assert len(pickle.dumps(ACTIVATIONS[name])) < 200


@pytest.mark.parametrize("name", ActivationName)
def test_the_slope_is_the_derivative_of_the_value(
    name: ActivationName, oracle: Mapping[ActivationName, Callable[[Any], Any]]
) -> None:
    points = np.random.default_rng(1).normal(0.0, 2.0, (5, 7))

    np.testing.assert_allclose(ACTIVATIONS[name].value(points), oracle[name](points), rtol=1e-13)
    np.testing.assert_allclose(
        ACTIVATIONS[name].slope(points), elementwise_grad(oracle[name])(points), rtol=1e-12
    )


def test_the_slope_at_a_kink_is_zero() -> None:
    np.testing.assert_array_equal(RELU.slope(np.array([-1e-300, 0.0, 1e-300])), [0.0, 0.0, 1.0])
    inside = np.nextafter(1.0, 0.0)
    np.testing.assert_array_equal(
        HARD_TANH.slope(np.array([-1.0, -inside, inside, 1.0])), [0.0, 1.0, 1.0, 0.0]
    )


@pytest.mark.torch
def test_pytorch_has_the_same_slope_at_a_kink() -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
    points = np.array([-3.0, -1.0, 0.0, 1.0, 3.0])

    for activation, theirs in (
        (RELU, torch.nn.functional.relu),
        (HARD_TANH, torch.nn.functional.hardtanh),
        (ELU, torch.nn.functional.elu),
        (SELU, torch.nn.functional.selu),
        (SILU, torch.nn.functional.silu),
        (SOFTSIGN, torch.nn.functional.softsign),
        (HARD_SIGMOID, torch.nn.functional.hardsigmoid),
    ):
        leaves = torch.tensor(points, requires_grad=True)
        theirs(leaves).sum().backward()
        np.testing.assert_allclose(activation.slope(points), leaves.grad.numpy(), rtol=1e-7)


@pytest.mark.parametrize("activation", EVERY, ids=lambda each: each.name)
def test_the_slope_ceiling_is_reached_and_never_passed(activation: Activation) -> None:
    places = {"relu": 1.0, "softplus": 800.0, "silu": 2.3993572805154677}
    steepest = places.get(activation.name, 0.0)

    slopes = activation.slope(np.linspace(-50.0, 50.0, 10_001))

    assert np.abs(slopes).max() <= activation.slope_ceiling
    np.testing.assert_allclose(
        activation.slope(np.array([steepest])), activation.slope_ceiling, rtol=3e-16
    )


def test_the_slope_ceilings_are_those_of_the_literature() -> None:
    # Pascanu et al. 2013, section 2.1: 1 for tanh, 1/4 for sigmoid.
    assert TANH.slope_ceiling == 1.0
    assert SIGMOID.slope_ceiling == 0.25


@pytest.mark.parametrize("activation", EVERY, ids=lambda each: each.name)
def test_infinity_gives_the_limits_without_a_warning(activation: Activation) -> None:
    ends = np.array([-np.inf, np.inf])
    limits = {
        ActivationName.TANH: ([-1.0, 1.0], [0.0, 0.0]),
        ActivationName.SIGMOID: ([0.0, 1.0], [0.0, 0.0]),
        ActivationName.RELU: ([0.0, np.inf], [0.0, 1.0]),
        ActivationName.IDENTITY: ([-np.inf, np.inf], [1.0, 1.0]),
        ActivationName.HARD_TANH: ([-1.0, 1.0], [0.0, 0.0]),
        ActivationName.SOFTPLUS: ([0.0, np.inf], [0.0, 1.0]),
        ActivationName.ELU: ([-1.0, np.inf], [0.0, 1.0]),
        ActivationName.SELU: ([-SCALE * ALPHA, np.inf], [0.0, SCALE]),
        ActivationName.SILU: ([0.0, np.inf], [0.0, 1.0]),
        ActivationName.SOFTSIGN: ([-1.0, 1.0], [0.0, 0.0]),
        ActivationName.HARD_SIGMOID: ([0.0, 1.0], [0.0, 0.0]),
        ActivationName.HARD_SIGMOID_02: ([0.0, 1.0], [0.0, 0.0]),
    }

    np.testing.assert_array_equal(activation.value(ends), limits[activation.name][0])
    np.testing.assert_array_equal(activation.slope(ends), limits[activation.name][1])


@pytest.mark.parametrize("activation", EVERY, ids=lambda each: each.name)
def test_the_largest_finite_numbers_give_no_warning(activation: Activation) -> None:
    ends = np.array([-1.7e308, 1.7e308])

    assert np.isfinite(activation.value(ends)).all()
    assert np.isfinite(activation.slope(ends)).all()


@pytest.mark.parametrize("activation", EVERY, ids=lambda each: each.name)
def test_what_is_not_a_number_stays_so_and_can_be_found(activation: Activation) -> None:
    assert np.isnan(activation.value(np.array([np.nan]))).all()


@pytest.mark.parametrize("activation", EVERY, ids=lambda each: each.name)
def test_the_pre_activations_are_left_as_they_were(activation: Activation) -> None:
    points = np.linspace(-2.0, 2.0, 9)

    values, slopes = activation.value(points), activation.slope(points)
    values += 1.0
    slopes += 1.0

    np.testing.assert_array_equal(points, np.linspace(-2.0, 2.0, 9))
