"""Every cell against PyTorch's own, and against its formula with gates that are known."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import autograd.numpy as anp  # type: ignore[import-untyped]
import numpy as np
import pytest
from autograd import jacobian

from gradscope.arrays import FloatArray
from gradscope.errors import ShapeError
from gradscope.model.gru import GruParameters
from gradscope.model.lstm import LstmParameters
from gradscope.model.trajectory import unroll
from tests.drawn_cells import HIDDEN, INPUTS, KINDS, OUTPUTS, drawn, gru, lstm

WIDE = 40.0
"""A pre-activation at which a gate is 1 to the last bit, or 0 to 4e-18."""


def only_biases(hidden_bias: FloatArray, **others: Any) -> dict[str, Any]:
    blocks = hidden_bias.size
    return {
        "input_weights": np.zeros((blocks, 1)),
        "recurrent_weights": np.zeros((blocks, 1)),
        "hidden_bias": hidden_bias,
        "output_weights": np.ones((1, 1)),
        "output_bias": np.zeros(1),
        **others,
    }


def test_a_gru_with_its_update_gate_shut_open_keeps_its_state() -> None:
    cell = GruParameters(**only_biases(np.array([0.0, WIDE, 1.0])))

    states = unroll(cell, np.zeros((50, 1, 1)), np.array([[0.3]])).states

    np.testing.assert_allclose(states[:, 0, 0], 0.3, rtol=1e-14)


def test_a_gru_with_its_update_gate_at_zero_becomes_its_candidate_at_once() -> None:
    cell = GruParameters(**only_biases(np.array([0.0, -WIDE, 1.0])))

    states = unroll(cell, np.zeros((2, 1, 1)), np.array([[0.3]])).states

    np.testing.assert_allclose(states[1:, 0, 0], np.tanh(1.0), rtol=1e-14)


def test_the_reset_gate_scales_the_second_bias_and_not_the_first() -> None:
    weights = only_biases(np.array([np.log(3.0), -WIDE, 0.5]), candidate_bias=np.array([0.4]))

    states = unroll(GruParameters(**weights), np.zeros((1, 1, 1))).states

    np.testing.assert_allclose(states[1, 0, 0], np.tanh(0.5 + 0.75 * 0.4), rtol=1e-14)


def test_an_lstm_with_forget_and_input_gate_open_counts() -> None:
    cell = LstmParameters(**only_biases(np.array([WIDE, WIDE, np.arctanh(0.25), 0.0])))

    states = unroll(cell, np.zeros((8, 1, 1))).states

    np.testing.assert_allclose(states[:, 0, 1], 0.25 * np.arange(9), rtol=1e-13)
    np.testing.assert_allclose(states[8, 0, 0], 0.5 * np.tanh(2.0), rtol=1e-13)


def test_the_forget_gate_is_the_second_block_and_takes_the_cell_down_at_its_rate() -> None:
    cell = LstmParameters(**only_biases(np.array([0.0, np.log(3.0), 0.0, 0.0])))

    states = unroll(cell, np.zeros((3, 1, 1)), np.array([[0.0, 1.0]])).states

    np.testing.assert_allclose(states[:, 0, 1], 0.75 ** np.arange(4), rtol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_goes_its_way_whatever_the_others_do(kind: str) -> None:
    cell, inputs, first, _ = drawn(kind)

    together = unroll(cell, inputs, first)
    alone = unroll(cell, inputs[:, 2:3], first[2:3])

    np.testing.assert_allclose(alone.states[:, 0], together.states[:, 2], rtol=1e-12)
    np.testing.assert_allclose(alone.outputs[:, 0], together.outputs[:, 2], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_a_trajectory_can_be_taken_up_where_it_was_left(kind: str) -> None:
    cell, inputs, first, _ = drawn(kind)
    whole = unroll(cell, inputs, first)

    second_half = unroll(cell, inputs[3:], whole.states[3])

    np.testing.assert_allclose(second_half.states, whole.states[3:], rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_other_weights_make_the_same_kind_of_cell(kind: str) -> None:
    cell, inputs, first, _ = drawn(kind)
    weights = {name: array.copy() for name, array in cell.weights()}

    same = cell.with_weights(weights)

    assert type(same) is type(cell)
    np.testing.assert_array_equal(
        unroll(same, inputs, first).outputs, unroll(cell, inputs, first).outputs
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_sizes_are_inputs_hidden_and_outputs(kind: str) -> None:
    cell, *_ = drawn(kind)

    assert cell.sizes == (INPUTS, HIDDEN, OUTPUTS)
    assert cell.state_size == (2 * HIDDEN if kind == "lstm" else HIDDEN)


@pytest.mark.parametrize("name", ["input_weights", "recurrent_weights", "output_weights"])
@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_weights_that_do_not_fit_are_refused_by_name(kind: str, name: str) -> None:
    cell, *_ = drawn(kind)
    weights = dict(cell.weights())

    with pytest.raises(ShapeError, match=f"{name} has shape"):
        cell.with_weights({**weights, name: weights[name][:-1]})


def test_a_second_bias_of_another_size_is_refused() -> None:
    cell = gru(np.random.default_rng(0))

    with pytest.raises(ShapeError, match="candidate_bias has shape"):
        cell.with_weights({**dict(cell.weights()), "candidate_bias": np.zeros(HIDDEN + 1)})


def test_an_lstm_wants_hidden_and_cell_state_to_start_from() -> None:
    cell = lstm(np.random.default_rng(0))

    with pytest.raises(ShapeError, match=rf"shape \(2, {HIDDEN}\).*ask for \(2, {2 * HIDDEN}\)"):
        unroll(cell, np.zeros((3, 2, INPUTS)), np.zeros((2, HIDDEN)))


HARD: dict[str, Callable[[Any], Any]] = {
    "hard-sigmoid": lambda a: anp.clip(a + 3.0, 0.0, 6.0) / 6.0,
    "hard-sigmoid-0.2": lambda a: anp.clip(0.2 * a + 0.5, 0.0, 1.0),
}


@pytest.mark.parametrize(("name", "phi"), [("hard-sigmoid", "tanh"), ("hard-sigmoid-0.2", "elu")])
@pytest.mark.parametrize("kind", ["gru", "gru, reset before", "lstm"])
def test_the_jacobians_with_hard_gates_are_those_of_autograd(
    kind: str, name: str, phi: str
) -> None:
    cell, inputs, first, _ = drawn(kind)
    cell = replace(cell, activation=phi, gate_activation=name)  # type: ignore[call-arg]
    gate = HARD[name]
    value: Callable[[Any], Any] = (
        anp.tanh if phi == "tanh" else lambda a: anp.where(a > 0.0, a, anp.exp(a) - 1.0)
    )
    inputs = 4.0 * inputs
    trajectory = unroll(cell, inputs, first).cell_trajectory
    U, W, b, n = cell.input_weights, cell.recurrent_weights, cell.hidden_bias, HIDDEN

    def step(state: Any, x: FloatArray) -> Any:
        h, driven = state[:n], U @ x + b
        fed = anp.dot(W, h)
        if kind == "lstm":
            i, f, g, o = anp.split(driven + fed, 4)
            c = gate(f) * state[n:] + gate(i) * value(g)
            return anp.concatenate([gate(o) * value(c), c])
        r, z = gate(driven[:n] + fed[:n]), gate(driven[n : 2 * n] + fed[n : 2 * n])
        if kind == "gru":
            candidate = value(driven[2 * n :] + r * (fed[2 * n :] + cell.candidate_bias))  # type: ignore[attr-defined]
        else:
            candidate = value(driven[2 * n :] + anp.dot(W[2 * n :], r * h))
        return (1.0 - z) * candidate + z * h

    linear, eye = cell.linearize(trajectory), np.eye(cell.state_size)
    for t, sequence in np.ndindex(inputs.shape[:2]):
        before, x = trajectory.states[t, sequence], inputs[t, sequence]
        np.testing.assert_allclose(trajectory.states[t + 1, sequence], step(before, x), rtol=1e-12)
        wanted = jacobian(step)(before, x)
        every = np.broadcast_to(eye, (inputs.shape[1], *eye.shape))
        columns = linear.jvp(every, (t, slice(None), None))[sequence].T
        np.testing.assert_allclose(columns, wanted, rtol=1e-11, atol=1e-13)
        local = np.empty((*every.shape[:2], linear.local_size))
        rows = linear.vjp(every, (t, slice(None), None), local)[sequence]
        np.testing.assert_allclose(rows, wanted, rtol=1e-11, atol=1e-13)


def test_gates_at_their_ceiling_have_the_slope_of_their_own_function() -> None:
    cell, inputs, first, _ = drawn("lstm")
    trajectory = unroll(cell, inputs, first).cell_trajectory
    ceilings = [
        replace(cell, gate_activation=name).linearize(trajectory, at_ceiling=True)  # type: ignore[call-arg]
        for name in ("hard-sigmoid", "hard-sigmoid-0.2")
    ]

    sixth, fifth = (each.gains[..., HIDDEN : 2 * HIDDEN] for each in ceilings)  # type: ignore[attr-defined]

    np.testing.assert_allclose(6.0 * sixth, 5.0 * fifth, rtol=1e-12)
