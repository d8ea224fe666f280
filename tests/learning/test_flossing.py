"""Flossing: exponents that are known otherwise, an exact gradient, and what a phase of it does."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradscope.arrays import FloatArray
from gradscope.data.batch import Batch
from gradscope.errors import SettingError
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.jacobians.lyapunov import lyapunov_exponents
from gradscope.learning.history import Stop
from gradscope.learning.optimizers import adam, sgd
from gradscope.learning.penalties import exponents_by_qr, flossing_gradient
from gradscope.learning.training import Limits, Trained, train
from gradscope.model.activations import ACTIVATIONS
from gradscope.model.cells import Cell
from gradscope.model.initializers import initialize
from gradscope.model.trajectory import Trajectory, unroll
from gradscope.names import ActivationName, InitializerName, StateName
from tests.drawn_cells import KINDS, UNEQUAL_LEAKS, drawn

VANILLA = [kind for kind in KINDS if "gru" not in kind and kind != "lstm"]
TRAINED = ("input_weights", "recurrent_weights", "hidden_bias")


def penalty(params: Cell, inputs: FloatArray, first: FloatArray, count: int) -> float:
    return flossing_gradient(params, unroll(params, inputs, first), count).loss


def exponents(params: Cell, trajectory: Trajectory, count: int) -> FloatArray:
    return exponents_by_qr(params.linearize(trajectory.cell_trajectory), count)[0]


def slope_along(
    params: Cell, directions: dict[str, FloatArray], *of: Any, step: float = 1e-5
) -> float:
    """Central difference of the penalty along a direction in weight space."""
    weights = dict(params.weights())
    high, low = (
        penalty(
            params.with_weights(
                {n: a + sign * step * directions.get(n, 0.0) for n, a in weights.items()}
            ),
            *of,
        )
        for sign in (1.0, -1.0)
    )
    return (high - low) / (2.0 * step)


def random_directions(params: Cell, count: int) -> Iterator[dict[str, FloatArray]]:
    rng = np.random.default_rng(7)
    weights = dict(params.weights())
    for _ in range(count):
        yield {name: rng.normal(size=weights[name].shape) for name in TRAINED}


def along(gradient: dict[str, FloatArray], direction: dict[str, FloatArray]) -> float:
    return sum(float(np.sum(gradient[name] * each)) for name, each in direction.items())


@pytest.mark.parametrize("kind", VANILLA)
def test_the_gradient_is_what_differences_of_the_penalty_say(kind: str) -> None:
    params, inputs, first, _ = drawn(kind, n_steps=11)
    of = (inputs, first, 3)

    found = flossing_gradient(params, unroll(params, inputs, first), 3)

    for direction in random_directions(params, 4):
        wanted = slope_along(params, direction, *of)
        assert along(found.weights, direction) == pytest.approx(wanted, rel=1e-5, abs=1e-7)
    assert not found.weights["output_weights"].any()


@pytest.mark.parametrize("name", [each for each in ActivationName if "hard" not in each])
@pytest.mark.parametrize("state", StateName)
def test_the_curvature_of_every_activation_is_in_it(name: ActivationName, state: StateName) -> None:
    params, inputs, first, _ = drawn("leaky", n_steps=9)
    params = replace(params, activation=ACTIVATIONS[name], state=state, leak=UNEQUAL_LEAKS)  # type: ignore[call-arg]
    found = flossing_gradient(params, unroll(params, inputs, first), 2)

    (direction,) = random_directions(params, 1)
    # The slopes of ELU and SELU have a kink at 0: the step is too small to meet it.
    wanted = slope_along(params, direction, inputs, first, 2, step=1e-6)
    assert along(found.weights, direction) == pytest.approx(wanted, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("kind", VANILLA)
def test_the_exponents_are_those_of_lyapunov_exponents(kind: str) -> None:
    params, inputs, first, _ = drawn(kind, n_steps=40)
    trajectory = unroll(params, inputs, first)

    found = exponents(params, trajectory, 5)

    chain = cell_chain(params, trajectory)
    wanted = lyapunov_exponents(chain, warm_up=0).exponents
    np.testing.assert_allclose(np.sort(found)[:, ::-1], wanted, rtol=1e-8)


def test_the_first_exponent_of_a_linear_net_is_pulled_along_its_weight() -> None:
    # h_t = w h_{t−1}: λ = log|w|, so that L = log²|w| and ∂L/∂w = 2 log|w|/w.
    params = initialize(np.random.default_rng(0), (1, 1, 1), activation=ActivationName.IDENTITY)
    params = replace(params, recurrent_weights=np.array([[-0.5]]))

    found = flossing_gradient(params, unroll(params, np.ones((9, 2, 1))), 1)

    assert found.loss == pytest.approx(np.log(0.5) ** 2, rel=1e-12)
    assert found.weights["recurrent_weights"].item() == pytest.approx(-4.0 * np.log(0.5))


@pytest.mark.parametrize(("activation", "gain"), [("sigmoid", 1.0), ("tanh", 3.0)])
def test_long_sequences_neither_underflow_nor_overflow(
    activation: ActivationName, gain: float
) -> None:
    # Products of 1500 steps lie far outside float64.
    rng = np.random.default_rng(0)
    drawing = {"activation": activation, "gain": gain, "scheme": InitializerName.GAUSSIAN}
    params = initialize(rng, (1, 6, 1), **drawing)  # type: ignore[arg-type]
    inputs = 0.1 * rng.normal(size=(1500, 1, 1))

    found = flossing_gradient(params, unroll(params, inputs), 4)

    chain = cell_chain(params, unroll(params, inputs))
    wanted = lyapunov_exponents(chain, count=4, warm_up=0).exponents
    ours = exponents(params, unroll(params, inputs), 4)
    np.testing.assert_allclose(np.sort(ours)[:, ::-1], wanted, rtol=1e-6)
    assert all(np.isfinite(each).all() for each in found.weights.values())
    if activation == ActivationName.SIGMOID:
        (direction,) = random_directions(params, 1)
        wanted_slope = slope_along(params, direction, inputs, np.zeros((1, 6)), 4, step=1e-7)
        assert along(found.weights, direction) == pytest.approx(wanted_slope, rel=1e-4)


def test_directions_that_die_are_left_out_and_leave_the_others_exact() -> None:
    params, inputs, first, _ = drawn("vanilla", n_steps=9)
    rng = np.random.default_rng(3)
    flat = rng.normal(size=(5, 2)) @ rng.normal(size=(2, 5))
    params = params.with_weights({**dict(params.weights()), "recurrent_weights": flat})
    found = flossing_gradient(params, unroll(params, inputs, first), 4)

    rates = exponents(params, unroll(params, inputs, first), 4)
    assert np.isneginf(rates).tolist() == [[False, False, True, True]] * 4
    assert found.loss == pytest.approx(np.square(rates[:, :2]).mean())
    # Along these the rank of W stays 2.
    for name, direction in (("recurrent_weights", flat), ("hidden_bias", np.ones(5))):
        wanted = slope_along(params, {name: direction}, inputs, first, 4)
        assert along(found.weights, {name: direction}) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("gain", [0.0, 1e200])
def test_where_no_exponent_is_finite_flossing_says_so(gain: float) -> None:
    identity = ActivationName.IDENTITY
    params = initialize(np.random.default_rng(0), (1, 4, 1), gain=gain, activation=identity)

    with pytest.raises(SettingError, match="no finite Lyapunov exponent"):
        flossing_gradient(params, unroll(params, np.ones((5, 2, 1))), 2)


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_gated_cells_are_refused(kind: str) -> None:
    params, inputs, first, _ = drawn(kind)

    with pytest.raises(SettingError, match="no vanilla RNN"):
        flossing_gradient(params, unroll(params, inputs, first), 2)


def test_an_activation_without_curvature_is_refused() -> None:
    params, inputs, first, _ = drawn("vanilla")
    unknown = replace(ACTIVATIONS[ActivationName.TANH], curvature=None)
    params = replace(params, activation=unknown)  # type: ignore[call-arg]

    with pytest.raises(SettingError, match="curvature"):
        flossing_gradient(params, unroll(params, inputs, first), 2)


def phase(params: Cell, batch: Batch, updates: int, rate: float = 0.01) -> Trained:
    return train(params, lambda: batch, adam(rate), updates, limits=Limits(exponents=3))


def test_a_phase_brings_the_exponents_to_zero_and_leaves_the_readout() -> None:
    params, inputs, _, targets = drawn("vanilla", n_steps=20)

    found = phase(params, Batch(inputs, targets), 150)

    rates = exponents(found.params, unroll(found.params, inputs), 3)
    before = exponents(params, unroll(params, inputs), 3)
    assert found.history.loss[0] == pytest.approx(np.square(before).mean())
    assert np.square(rates).mean() < 0.04 * np.square(before).mean()
    np.testing.assert_array_equal(found.params.output_weights, params.output_weights)
    np.testing.assert_array_equal(found.params.output_bias, params.output_bias)


def test_training_goes_on_from_the_flossed_network() -> None:
    params, inputs, _, targets = drawn("vanilla")
    batch = Batch(inputs, targets)
    flossed = phase(params, batch, 2)

    both = train(params, lambda: batch, sgd(0.1), 3, flossed=flossed)

    apart = train(flossed.params, lambda: batch, sgd(0.1), 3)
    np.testing.assert_array_equal(both.history.loss, apart.history.loss)
    assert apart.history.flossed is None
    assert both.history.flossed is not None
    np.testing.assert_allclose(both.history.flossed**2, flossed.history.loss)


def test_after_a_phase_that_ended_early_nothing_is_trained() -> None:
    params, inputs, _, targets = drawn("vanilla")
    batch = Batch(inputs, targets)
    batches = iter([batch])

    def draw() -> Batch:
        for each in batches:
            return each
        raise KeyboardInterrupt

    flossed = train(params, draw, adam(0.01), 5, limits=Limits(exponents=2))
    found = train(params, lambda: batch, sgd(0.1), 3, flossed=flossed)

    assert (found.history.stop, found.history.updates) == (Stop.INTERRUPTED, 0)
    assert found.params is flossed.params
    assert (found.params.recurrent_weights != params.recurrent_weights).any()
    # A network that does not fit ends it too.
    unfit = train(
        params, lambda: batch, adam(0.01), 3, limits=Limits(exponents=2), fits=lambda _: False
    )
    both = train(params, lambda: batch, sgd(0.1), 3, flossed=unfit)
    assert both.history.stop is Stop.NOT_FINITE
    assert both.history.non_finite is unfit.history.non_finite


@pytest.mark.torch
@pytest.mark.parametrize("leak", [1.0, 0.4])
def test_the_gradient_is_what_pytorch_finds_through_a_qr_at_every_step(leak: float) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
    params, inputs, first, _ = drawn("vanilla", n_steps=10)
    params = replace(params, leak=leak)  # type: ignore[call-arg]
    weights = {n: torch.from_numpy(a).clone().requires_grad_() for n, a in params.weights()}
    u, w, b = (weights[name] for name in TRAINED)
    hidden = torch.from_numpy(first)
    start = np.linalg.qr(np.random.default_rng(0).standard_normal((5, 3)))[0]
    basis = torch.from_numpy(start).expand(4, 5, 3)
    logs: Any = 0.0
    for x in torch.from_numpy(inputs):
        a = x @ u.T + hidden @ w.T + b
        hidden = (1.0 - leak) * hidden + leak * torch.tanh(a)
        slopes = leak / torch.cosh(a) ** 2
        jacobians = slopes[:, :, None] * w + (1.0 - leak) * torch.eye(5, dtype=torch.float64)
        basis, upper = torch.linalg.qr(jacobians @ basis)
        logs = logs + torch.diagonal(upper, dim1=1, dim2=2).abs().log()
    loss = (logs / len(inputs)).square().mean()
    loss.backward()

    found = flossing_gradient(params, unroll(params, inputs, first), 3)

    assert found.loss == pytest.approx(loss.item(), rel=1e-11)
    for name in TRAINED:
        wanted = weights[name].grad.numpy()
        np.testing.assert_allclose(found.weights[name], wanted, rtol=1e-8, atol=1e-12)
