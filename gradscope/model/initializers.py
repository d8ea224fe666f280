"""How the weights of a vanilla RNN are drawn, each scheme with the place it comes from.

=============  =====================================================================================
orthogonal     W a random orthogonal matrix (QR of a Gaussian one, signs fixed so that it is Haar
               distributed): Saxe, McClelland & Ganguli (2014), arXiv:1312.6120. **The default: with
               U and V by Glorot and biases 0 it is exactly what Keras's** ``SimpleRNN`` **and**
               ``Dense`` **do.**
gaussian       W_ij ~ N(0, gain²/H): the random networks of Sompolinsky, Crisanti & Sommers (1988),
               chaotic for gain > 1.
glorot         W_ij ~ U(±√(6/(rows + columns))): Glorot & Bengio (2010), equation 16.
uniform        U, W and V from U(±1/√H), the bias the sum of two such draws: what PyTorch's
               ``nn.RNN`` (with its two biases) and ``nn.Linear`` do.
identity       W = I: Le, Jaitly & Hinton (2015), arXiv:1504.00941 (meant for ReLU).
=============  =====================================================================================

``gain`` multiplies W, ``input_scale`` multiplies U. Except under ``uniform``, U and V are Glorot
uniform and biases are 0. GRU and LSTM are drawn in ``gated_initializers``.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.errors import SettingError
from gradscope.model.activations import ACTIVATIONS
from gradscope.model.elman import ElmanParameters
from gradscope.names import ActivationName, InitializerName


def orthonormal_columns(rng: np.random.Generator, rows: int, columns: int) -> FloatArray:
    """Return a Haar-distributed (rows, columns) matrix with orthonormal columns, rows ≥ columns
    (Mezzadri 2007, arXiv:math-ph/0609050).
    """
    q, r = np.linalg.qr(rng.standard_normal((rows, columns)))
    # QR leaves the signs of R's diagonal open; Haar measure asks for positive ones.
    signed: FloatArray = q * np.sign(np.diagonal(r))
    return signed


def orthogonal(rng: np.random.Generator, size: int) -> FloatArray:
    """Return a Haar-distributed orthogonal (H,H) matrix."""
    return orthonormal_columns(rng, size, size)


def gaussian(rng: np.random.Generator, size: int) -> FloatArray:
    """Return an (H,H) matrix with entries N(0, 1/H)."""
    drawn: FloatArray = rng.standard_normal((size, size)) / np.sqrt(size)
    return drawn


def glorot_uniform(rng: np.random.Generator, rows: int, columns: int) -> FloatArray:
    """Return a (rows, columns) matrix with entries U(±√(6/(rows + columns)))."""
    limit = np.sqrt(6.0 / (rows + columns))
    return rng.uniform(-limit, limit, (rows, columns))


def uniform(rng: np.random.Generator, hidden: int, *shape: int) -> FloatArray:
    """Return an array with entries U(±1/√H)."""
    limit = 1.0 / np.sqrt(hidden)
    return rng.uniform(-limit, limit, shape)


RECURRENT: Mapping[InitializerName, Callable[[np.random.Generator, int], FloatArray]] = (
    MappingProxyType(
        {
            InitializerName.ORTHOGONAL: orthogonal,
            InitializerName.GAUSSIAN: gaussian,
            InitializerName.GLOROT: lambda rng, size: glorot_uniform(rng, size, size),
            InitializerName.UNIFORM: lambda rng, size: uniform(rng, size, size, size),
            InitializerName.IDENTITY: lambda _rng, size: np.eye(size),
        }
    )
)


def draw_weights(
    rng: np.random.Generator,
    sizes: tuple[int, int, int],
    blocks: int,
    *,
    scheme: InitializerName,
    gain: float,
    input_scale: float,
) -> dict[str, Any]:
    """Draw U, W, b of so many blocks (1 for a vanilla RNN, one per gate and candidate otherwise), V
    and c.
    """
    n_inputs, hidden, n_outputs = sizes
    rows = blocks * hidden
    if scheme is InitializerName.ORTHOGONAL:
        recurrent = gain * orthonormal_columns(rng, rows, hidden)
    else:
        drawn = [RECURRENT[scheme](rng, hidden) for _ in range(blocks)]
        recurrent = gain * np.concatenate(drawn)
    if scheme is InitializerName.UNIFORM:
        return {
            "recurrent_weights": recurrent,
            "input_weights": input_scale * uniform(rng, hidden, rows, n_inputs),
            "hidden_bias": uniform(rng, hidden, 2, rows).sum(axis=0),
            "output_weights": uniform(rng, hidden, n_outputs, hidden),
            "output_bias": uniform(rng, hidden, n_outputs),
        }
    return {
        "recurrent_weights": recurrent,
        "input_weights": input_scale * glorot_uniform(rng, rows, n_inputs),
        "hidden_bias": np.zeros(rows),
        "output_weights": glorot_uniform(rng, n_outputs, hidden),
        "output_bias": np.zeros(n_outputs),
    }


def initialize(
    rng: np.random.Generator,
    sizes: tuple[int, int, int],
    *,
    activation: ActivationName = ActivationName.TANH,
    scheme: InitializerName = InitializerName.ORTHOGONAL,
    gain: float = 1.0,
    input_scale: float = 1.0,
    center_bias: bool = False,
) -> ElmanParameters:
    """Draw the weights of a vanilla RNN.

    Parameters
    ----------
    rng : numpy.random.Generator
        The source of every draw: same state, same weights.
    sizes : (D, H, O)
        Input, hidden and output size.
    activation : ActivationName
        φ.
    scheme : InitializerName
        How W is drawn; see the table above.
    gain, input_scale : float
        Factors on W and on U.
    center_bias : bool
        Set b = −W·½, so that a sigmoid net rests at h = ½, where its slope is largest. For the
        sigmoid only.

    Raises
    ------
    SettingError
        If ``center_bias`` is asked of another activation than the sigmoid.
    """
    weights = draw_weights(rng, sizes, 1, scheme=scheme, gain=gain, input_scale=input_scale)
    if center_bias:
        if activation is not ActivationName.SIGMOID:
            raise SettingError(
                "--center-bias sets b = −W·½, the resting point of a sigmoid net, but the "
                f"activation is {activation}; "
                "leave it out, or choose --activation sigmoid"
            )
        weights["hidden_bias"] = -0.5 * weights["recurrent_weights"].sum(axis=1)
    return ElmanParameters(**weights, activation=ACTIVATIONS[activation])
