"""Layers on layers: shapes, time's direction, and what is refused."""

import numpy as np
import pytest

from gradscope.errors import ShapeError
from gradscope.model.gru import GruParameters
from gradscope.model.stack import Layer, LayerWeights, cell_without_readout, unroll_stack
from gradscope.model.trajectory import unroll
from gradscope.names import CellName

RNG = np.random.default_rng(0)
BLOCKS = {CellName.ELMAN: 1, CellName.GRU: 3, CellName.LSTM: 4}


def weights(kind: CellName, inputs: int, hidden: int, *, biased: bool = True) -> LayerWeights:
    rows = BLOCKS[kind] * hidden
    return LayerWeights(
        RNG.normal(size=(rows, inputs)),
        RNG.normal(size=(rows, hidden)),
        RNG.normal(size=rows) if biased else None,
        RNG.normal(size=rows) if biased else None,
    )


@pytest.mark.parametrize("kind", CellName)
def test_a_backward_cell_reads_the_sequence_from_its_end(kind: CellName) -> None:
    one, other = (cell_without_readout(kind, weights(kind, 2, 3)) for _ in range(2))
    inputs = RNG.normal(size=(5, 4, 2))

    (found,) = unroll_stack([Layer(one, other)], inputs)

    mirrored = unroll(other, np.ascontiguousarray(inputs[::-1]))
    assert found.backward is not None
    np.testing.assert_array_equal(found.backward.states, mirrored.states)
    # At the sequence's step t the next layer sees what the backward cell has read up to x_t.
    np.testing.assert_array_equal(found.hidden[0, :, 3:], mirrored.hidden[5])
    np.testing.assert_array_equal(found.hidden[4, :, 3:], mirrored.hidden[1])
    np.testing.assert_array_equal(found.hidden[:, :, :3], found.forward.hidden[1:])


def test_the_second_layer_sees_both_directions_of_the_first() -> None:
    gru, lstm = CellName.GRU, CellName.LSTM
    first = Layer(*(cell_without_readout(gru, weights(gru, 2, 3)) for _ in range(2)))
    second = Layer(cell_without_readout(lstm, weights(lstm, 6, 4)))
    inputs = RNG.normal(size=(5, 4, 2))

    below, above = unroll_stack([first, second], inputs)

    np.testing.assert_array_equal(above.forward.inputs, below.hidden)
    assert above.hidden.shape == (5, 4, 4)
    assert above.forward.outputs.shape == (5, 4, 0)


@pytest.mark.parametrize("kind", CellName)
def test_no_bias_is_a_bias_of_zero(kind: CellName) -> None:
    bare = weights(kind, 2, 3, biased=False)
    zero = np.zeros(BLOCKS[kind] * 3)
    filled = LayerWeights(bare.input_weights, bare.recurrent_weights, zero, zero)
    inputs = RNG.normal(size=(5, 4, 2))

    found, wanted = (
        unroll(cell_without_readout(kind, each), inputs).states for each in (bare, filled)
    )

    np.testing.assert_array_equal(found, wanted)


def test_the_reset_stands_where_it_is_told() -> None:
    kind = CellName.GRU
    given = weights(kind, 2, 3)

    before = cell_without_readout(kind, given, reset_after=False)
    after = cell_without_readout(kind, given)

    assert isinstance(before, GruParameters)
    assert not before.reset_after
    assert isinstance(after, GruParameters)
    assert after.candidate_bias is not None
    assert given.recurrent_bias is not None
    np.testing.assert_array_equal(after.candidate_bias, given.recurrent_bias[6:])


def test_a_layer_that_does_not_fit_the_one_below_is_refused() -> None:
    kind = CellName.ELMAN
    layers = [Layer(cell_without_readout(kind, weights(kind, 2, 3))) for _ in range(2)]

    with pytest.raises(ShapeError, match=r"inputs have shape \(5, 4, 3\).*\(T,B,2\)"):
        unroll_stack(layers, np.zeros((5, 4, 2)))


def test_too_few_initial_states_are_refused() -> None:
    kind = CellName.ELMAN
    layer = Layer(*(cell_without_readout(kind, weights(kind, 2, 3)) for _ in range(2)))

    with pytest.raises(ShapeError, match="1 initial states, but the layers have 2 cells"):
        unroll_stack([layer], np.zeros((5, 4, 2)), [np.zeros((4, 3))])


def test_a_bias_of_another_size_is_refused() -> None:
    given = weights(CellName.GRU, 2, 3)
    assert given.input_bias is not None
    short = LayerWeights(given.input_weights, given.recurrent_weights, given.input_bias[:-1])

    with pytest.raises(ShapeError, match=r"biases have shapes \(8,\) and \(9,\)"):
        cell_without_readout(CellName.GRU, short)
