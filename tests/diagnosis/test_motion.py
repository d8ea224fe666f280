"""Fixed point, cycle, chaos and what is none of them, on maps and networks that are known."""

from collections.abc import Callable

import numpy as np
import pytest

from gradscope.arrays import FloatArray
from gradscope.diagnosis.motion import Motion, MotionCode, motion_alone, motion_of
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.jacobians.lyapunov import LyapunovSpectrum, lyapunov_exponents
from gradscope.model.activations import IDENTITY, RELU, TANH, Activation
from gradscope.model.cells import Cell
from gradscope.model.elman import ElmanParameters
from gradscope.model.initializers import initialize, initialize_gru, initialize_lstm
from gradscope.model.trajectory import unroll
from gradscope.names import InitializerName


def net(weights: FloatArray, activation: Activation = TANH, bias: float = 0.0) -> ElmanParameters:
    size = weights.shape[0]
    return ElmanParameters(
        np.ones((size, 1)), weights, np.full(size, bias), np.ones((1, size)), np.zeros(1),
        activation=activation,
    )  # fmt: skip


def gaussian(gain: float, size: int, seed: int = 0) -> FloatArray:
    drawn = np.random.default_rng(seed).standard_normal((size, size))
    scaled: FloatArray = gain / np.sqrt(size) * drawn
    return scaled


def moving(params: ElmanParameters, inputs: FloatArray, start: float = 0.0) -> Motion:
    first = np.full((inputs.shape[1], params.state_size), start)
    trajectory = unroll(params, inputs, first)
    return motion_of(trajectory, lyapunov_exponents(cell_chain(params, trajectory)))


SILENCE = np.zeros((400, 2, 1))
NOISE = np.random.default_rng(5).standard_normal((400, 2, 1))
RING = 2.0 * np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


@pytest.mark.parametrize(
    ("weights", "activation", "start", "code"),
    [
        (np.array([[2.0]]), TANH, 0.5, MotionCode.FIXED_POINT),
        (np.array([[2.0]]), TANH, 0.0, MotionCode.UNSTABLE_FIXED_POINT),
        (np.array([[1.1]]), RELU, 0.5, MotionCode.DIVERGES),
        (np.array([[1.2]]), IDENTITY, 0.5, MotionCode.DIVERGES),
        (np.array([[0.9]]), IDENTITY, 0.5, MotionCode.FIXED_POINT),
        (gaussian(3.0, 60), TANH, 0.3, MotionCode.CHAOS),
    ],
)
def test_a_net_left_to_itself_does_what_is_known_of_it(
    weights: FloatArray, activation: Activation, start: float, code: MotionCode
) -> None:
    assert moving(net(weights, activation), SILENCE, start).code is code


def test_inputs_that_hardly_move_are_not_a_fixed_point_nor_rounding_a_sign() -> None:
    slow = np.sin(np.arange(4000.0) * 2.0 * np.pi / 8000.0)[:, None, None]

    assert moving(net(np.array([[0.5]])), slow).code is MotionCode.STABLE_RESPONSE
    assert moving(net(np.eye(3), IDENTITY), NOISE).code is MotionCode.UNDECIDED


def test_cycles_have_their_period() -> None:
    # h → tanh(−2h) alternates; a ring of three that turns the sign is back after two rounds.
    two, six = (
        moving(net(np.array([[-2.0]])), SILENCE, 0.5),
        moving(net(RING), SILENCE, 0.5),
    )

    assert (two.code, two.period) == (MotionCode.CYCLE, 2)
    assert (six.code, six.period) == (MotionCode.CYCLE, 6)
    assert two.exponent < 0.0


def test_a_point_on_an_unstable_cycle_of_the_tent_map_is_no_chaos() -> None:
    # The tent map x → 3 min(x, 1 − x) as two ReLU units takes 0.3 to 0.9 and back.
    weights = np.array([[3.0, -6.0], [3.0, -6.0]])
    params = ElmanParameters(
        np.zeros((2, 1)), weights, np.array([0.0, -0.5]), np.ones((1, 2)), np.zeros(1),
        activation=RELU,
    )  # fmt: skip
    early = unroll(params, np.zeros((8, 1, 1)), np.array([[0.3, 0.0]]))
    assert np.abs(early.states[2:] - early.states[:-2]).max() < 1e-10

    found = motion_of(early, lyapunov_exponents(cell_chain(params, early), warm_up=0))

    assert (found.code, found.period) == (MotionCode.UNSTABLE_CYCLE, 2)
    assert found.exponent == pytest.approx(np.log(3.0), abs=0.3)
    assert not found.on_attractor


def test_inputs_make_a_response_stable_or_unstable() -> None:
    strong = net(gaussian(3.0, 60))

    assert moving(strong, NOISE, 0.3).code is MotionCode.UNSTABLE_RESPONSE
    calm = moving(net(gaussian(0.8, 60)), NOISE, 0.3)
    assert calm.code is MotionCode.STABLE_RESPONSE
    assert calm.period is None


def test_inputs_can_suppress_the_chaos_of_a_net_left_to_itself() -> None:
    params = net(gaussian(1.6, 100, 3))
    alone = motion_alone(params, np.random.default_rng(0))
    driven = moving(params, 5.0 * NOISE)

    assert alone.code is MotionCode.CHAOS
    assert alone.exponent > 0.0
    assert driven.code is MotionCode.STABLE_RESPONSE


def test_a_net_that_overflows_when_left_to_itself_diverges() -> None:
    found = motion_alone(net(np.array([[3.0]]), RELU), np.random.default_rng(0))

    assert found.code is MotionCode.DIVERGES
    assert found.exponent == pytest.approx(np.log(3.0))


def test_a_bounded_net_that_is_still_leaving_its_start_is_not_said_to_diverge() -> None:
    found = moving(net(gaussian(1.5, 60)), SILENCE[:30], 1e-12)

    assert found.code is MotionCode.UNDECIDED


@pytest.mark.parametrize("draw", [initialize_gru, initialize_lstm])
def test_gated_cells_are_left_to_themselves_over_their_whole_state(
    draw: Callable[..., Cell],
) -> None:
    params = draw(np.random.default_rng(0), (2, 8, 1))

    assert motion_alone(params, np.random.default_rng(1)).code is MotionCode.FIXED_POINT


@pytest.mark.parametrize(
    ("exponents", "errors", "dimension", "entropy"),
    [
        ([0.01, -0.5], [0.01, 0.0], 1.0, 0.0),
        ([-0.01, -0.5], [0.01, 0.0], 1.0, 0.0),
        ([0.03, -0.5], [0.01, 0.0], 1.06, 0.03),
        ([-0.03, -0.5], [0.01, 0.0], 0.0, 0.0),
        ([0.1, -0.01, -0.5], [0.01, 0.01, 0.0], 2.2, 0.1),
        ([0.1, -0.5], [np.inf, np.inf], 1.2, 0.1),
    ],
)
def test_an_exponent_within_two_errors_of_zero_counts_as_zero(
    exponents: list[float], errors: list[float], dimension: float, entropy: float
) -> None:
    found = LyapunovSpectrum(
        np.array([exponents]), np.array([errors]), None, np.ones((1, len(errors)), np.bool_),
        len(errors), 100,
    )  # fmt: skip

    assert found.kaplan_yorke_dimension[0] == pytest.approx(dimension)
    assert found.entropy_rate[0] == pytest.approx(entropy)


def test_a_silent_net_at_an_unstable_point_has_exponents_but_no_attractor() -> None:
    params = initialize(
        np.random.default_rng(0), (1, 40, 1), scheme=InitializerName.GAUSSIAN, gain=1.2,
        input_scale=0.0,
    )  # fmt: skip

    found = moving(params, NOISE)

    assert found.code is MotionCode.UNSTABLE_FIXED_POINT
    assert found.exponent > 0.1
    assert not found.on_attractor
