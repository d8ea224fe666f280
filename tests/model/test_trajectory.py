"""The unrolled network is what a plain loop over steps, sequences and units computes."""

import math
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from gradscope.errors import ShapeError
from gradscope.model.activations import IDENTITY, TANH
from gradscope.model.elman import ElmanParameters
from gradscope.model.initializers import initialize
from gradscope.model.trajectory import unroll
from gradscope.names import ActivationName, InitializerName

STEPS, SEQUENCES, INPUTS, HIDDEN, OUTPUTS = 6, 3, 2, 4, 3

PLAIN: Mapping[ActivationName, Callable[[float], float]] = {
    ActivationName.TANH: math.tanh,
    ActivationName.SIGMOID: lambda a: 1.0 / (1.0 + math.exp(-a)),
    ActivationName.RELU: lambda a: max(a, 0.0),
    ActivationName.IDENTITY: lambda a: a,
    ActivationName.HARD_TANH: lambda a: min(max(a, -1.0), 1.0),
    ActivationName.SOFTPLUS: lambda a: math.log(1.0 + math.exp(a)),
    ActivationName.ELU: lambda a: max(a, 0.0) + math.expm1(min(a, 0.0)),
    ActivationName.SELU: lambda a: (
        1.0507009873554805 * (a if a > 0.0 else 1.6732632423543772 * math.expm1(a))
    ),
    ActivationName.SILU: lambda a: a / (1.0 + math.exp(-a)),
    ActivationName.SOFTSIGN: lambda a: a / (1.0 + abs(a)),
    ActivationName.HARD_SIGMOID: lambda a: min(max(a + 3.0, 0.0), 6.0) / 6.0,
    ActivationName.HARD_SIGMOID_02: lambda a: min(max(0.2 * a + 0.5, 0.0), 1.0),
}


def network(name: ActivationName = ActivationName.TANH) -> ElmanParameters:
    """A network with none of its weights zero."""
    sizes = (INPUTS, HIDDEN, OUTPUTS)
    rng = np.random.default_rng(1)
    return initialize(rng, sizes, activation=name, scheme=InitializerName.UNIFORM, gain=1.5)


@pytest.mark.parametrize("name", ActivationName)
def test_unrolling_is_a_plain_loop(name: ActivationName) -> None:
    params = network(name)
    rng = np.random.default_rng(2)
    inputs = rng.normal(size=(STEPS, SEQUENCES, INPUTS))
    start = rng.normal(size=(SEQUENCES, HIDDEN))

    found = unroll(params, inputs, start)

    u, w, b = params.input_weights, params.recurrent_weights, params.hidden_bias
    for sequence in range(SEQUENCES):
        state = [float(value) for value in start[sequence]]
        np.testing.assert_array_equal(found.hidden[0, sequence], state)
        for t in range(1, STEPS + 1):
            before = [
                float(b[i])
                + sum(float(u[i, d] * inputs[t - 1, sequence, d]) for d in range(INPUTS))
                + sum(float(w[i, j]) * state[j] for j in range(HIDDEN))
                for i in range(HIDDEN)
            ]
            state = [PLAIN[name](a) for a in before]
            output = [
                float(params.output_bias[o])
                + sum(float(params.output_weights[o, i]) * state[i] for i in range(HIDDEN))
                for o in range(OUTPUTS)
            ]
            np.testing.assert_allclose(found.pre_activations[t - 1, sequence], before, rtol=1e-12)
            np.testing.assert_allclose(found.hidden[t, sequence], state, rtol=1e-12)
            np.testing.assert_allclose(found.outputs[t - 1, sequence], output, rtol=1e-12)


def test_the_state_starts_at_zero_where_none_is_given() -> None:
    inputs = np.random.default_rng(3).normal(size=(STEPS, SEQUENCES, INPUTS))

    default = unroll(network(), inputs)
    given = unroll(network(), inputs, np.zeros((SEQUENCES, HIDDEN)))

    np.testing.assert_array_equal(default.hidden, given.hidden)
    np.testing.assert_array_equal(default.hidden[0], 0.0)


def test_a_state_handed_on_continues_the_trajectory() -> None:
    inputs = np.random.default_rng(4).normal(size=(STEPS, SEQUENCES, INPUTS))

    whole = unroll(network(), inputs)
    rest = unroll(network(), inputs[2:], whole.hidden[2])

    np.testing.assert_allclose(rest.hidden, whole.hidden[2:], rtol=1e-14)
    np.testing.assert_allclose(rest.outputs, whole.outputs[2:], rtol=1e-13)


def test_sequences_do_not_hear_one_another() -> None:
    inputs = np.random.default_rng(5).normal(size=(STEPS, SEQUENCES, INPUTS))
    other = inputs.copy()
    other[:, 1] += 1.0

    before, after = unroll(network(), inputs).hidden, unroll(network(), other).hidden

    np.testing.assert_array_equal(after[:, [0, 2]], before[:, [0, 2]])
    assert (after[1:, 1] != before[1:, 1]).all()


def test_the_future_does_not_move_the_past() -> None:
    inputs = np.random.default_rng(6).normal(size=(STEPS, SEQUENCES, INPUTS))
    other = inputs.copy()
    other[3] += 1.0

    before, after = unroll(network(), inputs).hidden, unroll(network(), other).hidden

    np.testing.assert_array_equal(after[:4], before[:4])
    assert (after[4:] != before[4:]).any(axis=(1, 2)).all()


def test_slopes_come_from_the_pre_activations_not_from_the_rounded_state() -> None:
    params = ElmanParameters(
        input_weights=np.array([[25.0]]),
        recurrent_weights=np.zeros((1, 1)),
        hidden_bias=np.zeros(1),
        output_weights=np.ones((1, 1)),
        output_bias=np.zeros(1),
        activation=TANH,
    )

    found = unroll(params, np.ones((1, 1, 1)))

    assert found.hidden[1, 0, 0] == 1.0
    assert found.slopes[0, 0, 0] == pytest.approx(1.0 / math.cosh(25.0) ** 2, rel=1e-14)


def test_an_overflow_is_passed_on_without_a_word() -> None:
    params = ElmanParameters(
        input_weights=np.ones((1, 1)),
        recurrent_weights=np.array([[1e200]]),
        hidden_bias=np.zeros(1),
        output_weights=np.ones((1, 1)),
        output_bias=np.zeros(1),
        activation=IDENTITY,
    )

    hidden = unroll(params, np.ones((3, 1, 1))).hidden

    assert np.isfinite(hidden[:3]).tolist() == [[[True]], [[True]], [[True]]]
    assert np.isinf(hidden[3, 0, 0])


def test_sizes_are_those_of_the_inputs() -> None:
    found = unroll(network(), np.zeros((STEPS, SEQUENCES, INPUTS)))

    assert (found.n_steps, found.n_sequences) == (STEPS, SEQUENCES)
    assert found.slopes.shape == (STEPS, SEQUENCES, HIDDEN)


@pytest.mark.parametrize("shape", [(6, 3), (6, 3, 5), (6,)])
def test_inputs_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"inputs have shape .*; give \(T,B,2\)"):
        unroll(network(), np.zeros(shape))


@pytest.mark.parametrize("shape", [(4,), (3, 5), (2, 4)])
def test_an_initial_state_that_does_not_fit_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"initial state has shape .* ask for \(3, 4\)"):
        unroll(network(), np.zeros((STEPS, SEQUENCES, INPUTS)), np.zeros(shape))
