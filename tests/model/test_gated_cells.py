"""Every cell against PyTorch's own, and against its formula with gates that are known."""

from typing import Any

import numpy as np
import pytest

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
