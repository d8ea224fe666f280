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

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.errors import SettingError
from gradscope.model.activations import ACTIVATIONS
from gradscope.model.gru import GruParameters
from gradscope.model.initializers import RECURRENT, glorot_uniform
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

    Returns
    -------
    GruParameters

    Raises
    ------
    SettingError
        If the scheme is ``identity``, which has no meaning for gates.
    """
    draw = draw or Draw()
    hidden = sizes[1]
    weights = _recurrent_layer(rng, sizes, draw, 3)
    if forget_bias is not None:
        weights["hidden_bias"][hidden : 2 * hidden] = forget_bias
    second_bias = None
    if reset_after:
        # Of PyTorch's second bias the parts for r and z stand in ``hidden_bias`` already.
        uniform = draw.scheme is InitializerName.UNIFORM
        second_bias = _uniform(rng, hidden, hidden) if uniform else np.zeros(hidden)
        if uniform:
            weights["hidden_bias"][2 * hidden :] = _uniform(rng, hidden, hidden)
    return GruParameters(
        input_weights=weights["input_weights"],
        recurrent_weights=weights["recurrent_weights"],
        hidden_bias=weights["hidden_bias"],
        output_weights=weights["output_weights"],
        output_bias=weights["output_bias"],
        candidate_bias=second_bias,
        activation=ACTIVATIONS[activation],
    )


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
    rng : numpy.random.Generator
        The source of every draw: same state, same weights.
    sizes : (D, H, O)
        Input, hidden and output size.
    draw : Draw, optional
        Scheme and factors.
    forget_bias : float, optional
        b_f of every unit; by default 1 as in Keras, under ``uniform`` drawn as in PyTorch.
    activation : ActivationName
        φ of the candidate and of the cell's output.

    Returns
    -------
    LstmParameters

    Raises
    ------
    SettingError
        If the scheme is ``identity``, which has no meaning for gates.
    """
    draw = draw or Draw()
    hidden = sizes[1]
    weights = _recurrent_layer(rng, sizes, draw, 4)
    if forget_bias is None and draw.scheme is not InitializerName.UNIFORM:
        forget_bias = KERAS_FORGET_BIAS
    if forget_bias is not None:
        weights["hidden_bias"][hidden : 2 * hidden] = forget_bias
    return LstmParameters(
        input_weights=weights["input_weights"],
        recurrent_weights=weights["recurrent_weights"],
        hidden_bias=weights["hidden_bias"],
        output_weights=weights["output_weights"],
        output_bias=weights["output_bias"],
        activation=ACTIVATIONS[activation],
    )


def _recurrent_layer(
    rng: np.random.Generator, sizes: tuple[int, int, int], draw: Draw, blocks: int
) -> dict[str, FloatArray]:
    """Draw what GRU and LSTM share: U, W and b of so many blocks, and the readout."""
    n_inputs, hidden, n_outputs = sizes
    rows = blocks * hidden
    recurrent = draw.gain * _recurrent(rng, hidden, draw.scheme, blocks)
    if draw.scheme is InitializerName.UNIFORM:
        return {
            "recurrent_weights": recurrent,
            "input_weights": draw.input_scale * _uniform(rng, hidden, rows, n_inputs),
            "hidden_bias": _uniform(rng, hidden, 2, rows).sum(axis=0),
            "output_weights": _uniform(rng, hidden, n_outputs, hidden),
            "output_bias": _uniform(rng, hidden, n_outputs),
        }
    return {
        "recurrent_weights": recurrent,
        "input_weights": draw.input_scale * glorot_uniform(rng, rows, n_inputs),
        "hidden_bias": np.zeros(rows),
        "output_weights": glorot_uniform(rng, n_outputs, hidden),
        "output_bias": np.zeros(n_outputs),
    }


def _recurrent(
    rng: np.random.Generator, hidden: int, scheme: InitializerName, blocks: int
) -> FloatArray:
    """Draw W (blocks·H, H)."""
    if scheme is InitializerName.ORTHOGONAL:
        return orthonormal_columns(rng, blocks * hidden, hidden)
    return np.concatenate([RECURRENT[scheme](rng, hidden) for _ in range(blocks)])


def orthonormal_columns(rng: np.random.Generator, rows: int, columns: int) -> FloatArray:
    """Return a Haar-distributed (rows, columns) matrix with orthonormal columns, rows ≥ columns
    (Mezzadri 2007, arXiv:math-ph/0609050).
    """
    q, r = np.linalg.qr(rng.standard_normal((rows, columns)))
    signed: FloatArray = q * np.sign(np.diagonal(r))
    return signed


def _uniform(rng: np.random.Generator, hidden: int, *shape: int) -> FloatArray:
    """Draw from U(±1/√H)."""
    limit = 1.0 / np.sqrt(hidden)
    return rng.uniform(-limit, limit, shape)
