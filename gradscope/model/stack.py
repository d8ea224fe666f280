"""Several recurrent layers, one or both directions, as files of weights hold them.

Layer n sees at step t the hidden state of layer n − 1 at step t, forward and backward side by side.
A backward cell goes through the reversed sequence, so its own step t is the sequence's step
T + 1 − t. Each direction of each layer is examined by itself: transport within it, given inputs
that are the outputs of the layer below. Nothing here is trained.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.errors import ShapeError
from gradscope.machine import held_threads
from gradscope.model.activations import TANH, Activation, word_of
from gradscope.model.cells import Cell
from gradscope.model.elman import ElmanParameters
from gradscope.model.gru import GruParameters
from gradscope.model.lstm import LstmParameters
from gradscope.model.trajectory import Trajectory, unroll
from gradscope.names import CellName
from gradscope.notebook_repr import CompactRepr

NoiseSource = Callable[[Cell, tuple[int, int]], FloatArray | None]


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Layer(CompactRepr):
    """One layer: a cell that goes forward through the sequence, maybe also one backward."""

    forward: Cell
    backward: Cell | None = None

    @property
    def directions(self) -> tuple[Cell, ...]:
        """The cells, forward first."""
        return (self.forward,) if self.backward is None else (self.forward, self.backward)


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class LayerTrajectory(CompactRepr):
    """What one layer did; ``backward`` in its own time, the last step of the sequence first, the
    last of their ``lengths`` (B,) of padded ones.
    """

    forward: Trajectory
    backward: Trajectory | None = None
    lengths: IntArray | None = None

    @property
    def hidden(self) -> FloatArray:
        """What the next layer sees at each step, (T,B,H) or (T,B,2H), forward half first."""
        if self.backward is None:
            return self.forward.hidden[1:]
        backward = turned(self.backward.hidden[1:], self.lengths)
        return np.concatenate([self.forward.hidden[1:], backward], axis=2)


def turned(values: FloatArray, lengths: IntArray | None) -> FloatArray:
    """Return (T,B,·) with time reversed, within the ``lengths`` (B,) of padded sequences."""
    if lengths is None:
        return np.ascontiguousarray(values[::-1])
    steps = np.arange(len(values))[:, np.newaxis]
    places = np.where(steps < lengths, lengths - 1 - steps, steps)
    return values[places, np.arange(lengths.size)]


@held_threads()
def unroll_stack(
    layers: Sequence[Layer],
    inputs: FloatArray,
    initial_states: Sequence[FloatArray | None] | None = None,
    noise: NoiseSource | None = None,
    lengths: IntArray | None = None,
) -> tuple[LayerTrajectory, ...]:
    """Run inputs (T,B,D) through a stack of layers, the lowest first; return what each did.

    ``initial_states`` (B,S) are s_0 of every cell, layer by layer, forward before backward
    (PyTorch's order), zeros by default; ``noise`` returns that of a cell (see ``unroll``), from the
    cell and (T, B); ``lengths`` (B,) are the steps of sequences that are padded at their ends, from
    which backward cells start. Raises ShapeError if the sizes of the layers do not follow one
    another, or the states are too few or too many.
    """
    count = sum(len(layer.directions) for layer in layers)
    if initial_states is not None and len(initial_states) != count:
        raise ShapeError(f"{len(initial_states)} initial states, but the layers have {count} cells")
    states = iter([None] * count if initial_states is None else initial_states)
    trajectories: list[LayerTrajectory] = []
    for layer in layers:
        seen = trajectories[-1].hidden if trajectories else inputs
        ways = seen, turned(seen, lengths)
        ran = [
            unroll(cell, way, next(states), noise and noise(cell, (len(way), way.shape[1])))
            for cell, way in zip(layer.directions, ways, strict=False)
        ]
        backward = ran[1] if len(ran) > 1 else None
        trajectories.append(LayerTrajectory(ran[0], backward, lengths))
    return tuple(trajectories)


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class LayerWeights(CompactRepr):
    """One direction of one layer as a file holds it, in our orientation and PyTorch's gate order.

    U (G·H,D) and W (G·H,H), block above block: 1 for a vanilla RNN, r, z, n of a GRU, i, f, g, o of
    an LSTM; biases (G·H,) beside U x and beside W h, None where the file has none.
    """

    input_weights: FloatArray
    recurrent_weights: FloatArray
    input_bias: FloatArray | None = None
    recurrent_bias: FloatArray | None = None


def cell_without_readout(
    kind: CellName,
    weights: LayerWeights,
    *,
    activation: Activation = TANH,
    reset_after: bool = True,
) -> Cell:
    """Return the cell that a file's weights make, with no outputs (O = 0).

    ``activation`` is φ, which files often leave out; ``reset_after`` says where a GRU's reset gate
    stands: before the product there is but one bias. Raises ShapeError if shapes do not fit.
    """
    size = weights.recurrent_weights.shape[-1]
    none = np.zeros(weights.input_weights.shape[0])
    beside_inputs = none if weights.input_bias is None else weights.input_bias
    beside_state = none if weights.recurrent_bias is None else weights.recurrent_bias
    if beside_inputs.shape != none.shape or beside_state.shape != none.shape:
        raise ShapeError(
            f"biases have shapes {beside_inputs.shape} and {beside_state.shape}; give {none.shape}"
        )
    bias = beside_inputs + beside_state
    readout = np.zeros((0, size)), np.zeros(0)
    matrices = weights.input_weights, weights.recurrent_weights
    kind = word_of(CellName, kind)
    if kind is not CellName.GRU:
        plain = ElmanParameters if kind is CellName.ELMAN else LstmParameters
        return plain(*matrices, bias, *readout, activation)
    if not reset_after:
        return GruParameters(*matrices, bias, *readout, None, activation)
    # Inside the reset product the second bias is no longer the first one's sum.
    apart = np.concatenate([bias[: 2 * size], beside_inputs[2 * size :]])
    return GruParameters(*matrices, apart, *readout, beside_state[2 * size :], activation)
