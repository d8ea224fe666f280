"""Update rules in closed form and against torch.optim; clipping."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradscope.arrays import FloatArray
from gradscope.learning.bptt import global_norm
from gradscope.learning.optimizers import (
    DEFAULT_LEARNING_RATE,
    OPTIMIZERS,
    Weights,
    adam,
    clip_by_norm,
    clip_by_value,
    momentum,
    rmsprop,
    sgd,
)
from gradscope.names import OptimizerName

RATE = 0.1


def descent(name: OptimizerName, slopes: list[float]) -> list[float]:
    """Where one weight that starts at 0 goes under these slopes."""
    update = OPTIMIZERS[name](RATE)
    weights: Weights = {"w": np.zeros(1)}
    places = []
    for slope in slopes:
        weights = update(weights, {"w": np.array([slope])})
        places.append(float(weights["w"][0]))
    return places


def test_every_name_has_its_rule_and_its_learning_rate() -> None:
    assert set(OPTIMIZERS) == set(DEFAULT_LEARNING_RATE) == set(OptimizerName)


def test_gradient_descent_goes_down_the_slope() -> None:
    np.testing.assert_allclose(descent(OptimizerName.SGD, [2.0, -1.0]), [-0.2, -0.1], rtol=1e-14)


def test_momentum_carries_nine_tenths_of_the_last_step_on() -> None:
    # v = 1, 1.9, 2.71 and, once the slope is gone, 2.439.
    found = descent(OptimizerName.MOMENTUM, [1.0, 1.0, 1.0, 0.0])

    np.testing.assert_allclose(-np.diff([0.0, *found]), [0.1, 0.19, 0.271, 0.2439], rtol=1e-13)


def test_rmsprop_divides_by_a_running_root_mean_square() -> None:
    # s = 0.01 g², then 0.0199 g²: the steps do not know the size of g.
    found = descent(OptimizerName.RMSPROP, [500.0, 500.0])

    steps = -np.diff([0.0, *found])
    np.testing.assert_allclose(steps, [RATE / 0.1, RATE / np.sqrt(0.0199)], rtol=1e-9)


def test_adam_steps_by_the_learning_rate_while_the_slope_stays_the_same() -> None:
    # Kingma & Ba 2015, section 2.1: with both corrections m̂ = g and √ŝ = |g| at every step.
    found = descent(OptimizerName.ADAM, [-500.0] * 5)

    np.testing.assert_allclose(found, RATE * np.arange(1, 6), rtol=1e-10)


def test_adam_turns_as_its_two_averages_say() -> None:
    # m̂ = (0.1·0.9·1 − 0.1·3)/(1 − 0.81), ŝ = (0.001·0.999·1 + 0.001·9)/(1 − 0.998001).
    first, second = descent(OptimizerName.ADAM, [1.0, -3.0])

    turned = (0.09 - 0.3) / 0.19 / np.sqrt((0.000999 + 0.009) / 0.001999)
    assert second - first == pytest.approx(-RATE * turned, rel=1e-7)


def test_a_slope_as_small_as_epsilon_is_not_blown_up() -> None:
    # ε = 1e-8 stands beside the root: |g| for Adam's first step, |g|/10 for RMSProp's.
    assert descent(OptimizerName.ADAM, [1e-8]) == pytest.approx([-RATE / 2.0], rel=1e-6)
    assert descent(OptimizerName.RMSPROP, [1e-7]) == pytest.approx([-RATE * 5.0], rel=1e-6)


@pytest.mark.parametrize("make", [sgd, momentum, rmsprop, adam])
def test_a_network_is_never_changed_in_place(make: Callable[[float], Any]) -> None:
    weights, gradient = {"w": np.ones(3)}, {"w": np.full(3, 2.0)}
    update = make(RATE)

    first = update(weights, gradient)
    kept = first["w"].copy()
    update(first, gradient)

    np.testing.assert_array_equal(weights["w"], 1.0)
    np.testing.assert_array_equal(gradient["w"], 2.0)
    np.testing.assert_array_equal(first["w"], kept)


@pytest.mark.parametrize("name", OptimizerName)
def test_two_optimizers_share_no_memory(name: OptimizerName) -> None:
    descent(name, [100.0, -3.0])

    assert descent(name, [1.0, 2.0]) == descent(name, [1.0, 2.0])


@pytest.mark.torch
@pytest.mark.parametrize("name", OptimizerName)
def test_thirty_updates_are_those_of_torch_optim(name: OptimizerName) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
    rng = np.random.default_rng(1)
    weights: Weights = {"u": rng.normal(size=(3, 2)), "b": rng.normal(size=4)}
    leaves = {each: torch.tensor(array, requires_grad=True) for each, array in weights.items()}
    theirs = {
        OptimizerName.SGD: lambda p: torch.optim.SGD(p, lr=RATE),
        OptimizerName.MOMENTUM: lambda p: torch.optim.SGD(p, lr=RATE, momentum=0.9),
        OptimizerName.RMSPROP: lambda p: torch.optim.RMSprop(p, lr=RATE),
        OptimizerName.ADAM: lambda p: torch.optim.Adam(p, lr=RATE),
    }[name](list(leaves.values()))
    update = OPTIMIZERS[name](RATE)

    for _ in range(30):
        gradient: dict[str, FloatArray] = {
            each: rng.normal(size=array.shape) for each, array in weights.items()
        }
        weights = update(weights, gradient)
        for each, leaf in leaves.items():
            leaf.grad = torch.from_numpy(gradient[each])
        theirs.step()

    for each, leaf in leaves.items():
        np.testing.assert_allclose(weights[each], leaf.detach().numpy(), rtol=1e-12, atol=1e-14)


def test_clipping_by_norm_shortens_the_whole_gradient_and_keeps_its_direction() -> None:
    gradient = {"a": np.array([3.0, 0.0]), "b": np.array([[-4.0]])}

    cut, clipped = clip_by_norm(gradient, 5.0, 1.0)

    assert clipped
    assert global_norm(cut) == pytest.approx(1.0, rel=1e-15)
    np.testing.assert_allclose(cut["a"], [0.6, 0.0], rtol=1e-15)
    np.testing.assert_allclose(cut["b"], [[-0.8]], rtol=1e-15)


def test_clipping_by_value_cuts_each_entry_on_both_sides() -> None:
    cut, clipped = clip_by_value({"a": np.array([3.0, 0.5]), "b": np.array([[-4.0]])}, 1.0)

    assert clipped
    assert cut["a"].tolist() == [1.0, 0.5]
    assert cut["b"].tolist() == [[-1.0]]


def test_a_gradient_just_at_the_limit_is_left_as_it_is() -> None:
    gradient = {"a": np.array([3.0]), "b": np.array([-4.0])}

    assert clip_by_norm(gradient, 5.0, 5.0) == (gradient, False)
    assert clip_by_value(gradient, 4.0) == (gradient, False)


@pytest.mark.torch
@pytest.mark.parametrize("limit", [0.5, 1e3])
def test_clipping_is_that_of_pytorch(limit: float) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
    gradient = {"a": np.random.default_rng(2).normal(size=7), "b": np.array([2.0])}

    def leaves() -> list[Any]:
        made = [torch.zeros(each.shape, dtype=torch.float64) for each in gradient.values()]
        for leaf, slope in zip(made, gradient.values(), strict=True):
            leaf.grad = torch.from_numpy(slope.copy())
        return made

    by_norm, by_value = leaves(), leaves()
    norm = float(torch.nn.utils.clip_grad_norm_(by_norm, limit))
    torch.nn.utils.clip_grad_value_(by_value, limit)

    assert global_norm(gradient) == pytest.approx(norm, rel=1e-14)
    for each, normed, valued in zip(gradient, by_norm, by_value, strict=True):
        # PyTorch adds 1e-6 to the norm that it divides by.
        ours = clip_by_norm(gradient, norm, limit)[0][each]
        np.testing.assert_allclose(ours, normed.grad.numpy(), rtol=1e-5)
        np.testing.assert_array_equal(clip_by_value(gradient, limit)[0][each], valued.grad.numpy())
