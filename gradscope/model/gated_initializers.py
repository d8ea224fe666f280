"""How the weights of GRU and LSTM are drawn; the names are those of ``initializers``.

===========  =======================================================================================
orthogonal   W (blocks·H, H) with orthonormal columns, U by Glorot over all its blocks, biases 0 and
             the forget bias 1: what Keras's ``GRU`` and ``LSTM`` do. Every block alone then has a
             gain of about 1/√blocks.
uniform      all weights and both biases from U(±1/√H): what PyTorch's ``nn.GRU`` and ``nn.LSTM``
             do, forget bias included.
gaussian     every block of W from N(0, gain²/H); the rest as under orthogonal.
glorot       every block of W from U(±√(3/H)); the rest as under orthogonal.
===========  =======================================================================================

A forget bias of 1 keeps the gate at σ(1) = 0.73, a time scale of three steps: Jozefowicz, Zaremba &
Sutskever (2015), ICML, section 2.2. In a GRU the bias b_z of the update gate does the same: it is 0
unless one is given.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.errors import SettingError
from gradscope.model.activations import ACTIVATIONS
from gradscope.model.gru import GruParameters
from gradscope.model.initializers import draw_weights, uniform
from gradscope.model.lstm import LstmParameters
from gradscope.names import ActivationName, InitializerName

KERAS_FORGET_BIAS = 1.0


@dataclass(frozen=True, eq=False, slots=True)
class Draw:
    """How weights are drawn: the scheme, and the factors on W and on U."""

    scheme: InitializerName = InitializerName.ORTHOGONAL
    gain: float = 1.0
    input_scale: float = 1.0

    def __post_init__(self) -> None:
        if self.scheme is InitializerName.IDENTITY:
            raise SettingError(
                "--init identity is for the vanilla RNN, but the cell is gated; choose orthogonal, "
                "gaussian, glorot or uniform"
            )

    def weights(
        self, rng: np.random.Generator, sizes: tuple[int, int, int], blocks: int
    ) -> dict[str, Any]:
        """Draw the weights that GRU and LSTM share, of so many blocks."""
        return draw_weights(
            rng,
            sizes,
            blocks,
            scheme=self.scheme,
            gain=self.gain,
            input_scale=self.input_scale,
        )


def initialize_gru(
    rng: np.random.Generator,
    sizes: tuple[int, int, int],
    *,
    draw: Draw | None = None,
    forget_bias: float | None = None,
    reset_after: bool = True,
    activation: ActivationName = ActivationName.TANH,
) -> GruParameters:
    """Draw the weights of a GRU.

    Parameters
    ----------
    rng : numpy.random.Generator
        The source of every draw: same state, same weights.
    sizes : (D, H, O)
        Input, hidden and output size.
    draw : Draw, optional
        Scheme and factors.
    forget_bias : float, optional
        b_z of every unit, which keeps the old state; by default 0, under ``uniform`` drawn as in
        PyTorch.
    reset_after : bool
        Whether the reset gate comes after the product, as in PyTorch and Keras.
    activation : ActivationName
        φ of the candidate.

    Raises
    ------
    SettingError
        If the scheme is ``identity``, which has no meaning for gates.
    """
    draw = draw or Draw()
    hidden = sizes[1]
    weights = draw.weights(rng, sizes, 3)
    if forget_bias is not None:
        weights["hidden_bias"][hidden : 2 * hidden] = forget_bias
    second_bias: FloatArray | None = None
    if reset_after:
        # Of PyTorch's second bias the parts for r and z stand in ``hidden_bias`` already.
        second_bias = np.zeros(hidden)
        if draw.scheme is InitializerName.UNIFORM:
            second_bias = uniform(rng, hidden, hidden)
            weights["hidden_bias"][2 * hidden :] = uniform(rng, hidden, hidden)
    return GruParameters(**weights, candidate_bias=second_bias, activation=ACTIVATIONS[activation])


def initialize_lstm(
    rng: np.random.Generator,
    sizes: tuple[int, int, int],
    *,
    draw: Draw | None = None,
    forget_bias: float | None = None,
    activation: ActivationName = ActivationName.TANH,
) -> LstmParameters:
    """Draw the weights of an LSTM.

    Parameters
    ----------
    rng, sizes, draw
        As for ``initialize_gru``.
    forget_bias : float, optional
        b_f of every unit; by default 1 as in Keras, under ``uniform`` drawn as in PyTorch.
    activation : ActivationName
        φ of the candidate and of the cell's output.

    Raises
    ------
    SettingError
        If the scheme is ``identity``, which has no meaning for gates.
    """
    draw = draw or Draw()
    hidden = sizes[1]
    weights = draw.weights(rng, sizes, 4)
    if forget_bias is None and draw.scheme is not InitializerName.UNIFORM:
        forget_bias = KERAS_FORGET_BIAS
    if forget_bias is not None:
        weights["hidden_bias"][hidden : 2 * hidden] = forget_bias
    return LstmParameters(**weights, activation=ACTIVATIONS[activation])
