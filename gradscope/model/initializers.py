"""How the weights are drawn, each scheme with the place it comes from.

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
uniform and biases are 0.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.errors import SettingError
from gradscope.model.activations import ACTIVATIONS
from gradscope.model.cells import ElmanParameters
from gradscope.names import ActivationName, InitializerName


def orthogonal(rng: np.random.Generator, size: int) -> FloatArray:
    """Return a Haar-distributed orthogonal (H,H) matrix (Mezzadri 2007, arXiv:math-ph/0609050)."""
    q, r = np.linalg.qr(rng.standard_normal((size, size)))
    signed: FloatArray = q * np.sign(np.diagonal(r))
    return signed


def gaussian(rng: np.random.Generator, size: int) -> FloatArray:
    """Return an (H,H) matrix with entries N(0, 1/H)."""
    drawn: FloatArray = rng.standard_normal((size, size)) / np.sqrt(size)
    return drawn


def glorot_uniform(rng: np.random.Generator, rows: int, columns: int) -> FloatArray:
    """Return a (rows, columns) matrix with entries U(±√(6/(rows + columns)))."""
    limit = np.sqrt(6.0 / (rows + columns))
    return rng.uniform(-limit, limit, (rows, columns))


def _uniform(rng: np.random.Generator, size: int) -> FloatArray:
    limit = 1.0 / np.sqrt(size)
    return rng.uniform(-limit, limit, (size, size))


RECURRENT: Mapping[InitializerName, Callable[[np.random.Generator, int], FloatArray]] = (
    MappingProxyType(
        {
            InitializerName.ORTHOGONAL: orthogonal,
            InitializerName.GAUSSIAN: gaussian,
            InitializerName.GLOROT: lambda rng, size: glorot_uniform(rng, size, size),
            InitializerName.UNIFORM: _uniform,
            InitializerName.IDENTITY: lambda _rng, size: np.eye(size),
        }
    )
)


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

    Returns
    -------
    ElmanParameters

    Raises
    ------
    SettingError
        If ``center_bias`` is asked of another activation than the sigmoid.
    """
    n_inputs, n_hidden, n_outputs = sizes
    recurrent = gain * RECURRENT[scheme](rng, n_hidden)
    if scheme is InitializerName.UNIFORM:
        limit = 1.0 / np.sqrt(n_hidden)
        inputs = rng.uniform(-limit, limit, (n_hidden, n_inputs))
        bias = rng.uniform(-limit, limit, (2, n_hidden)).sum(axis=0)
        outputs = rng.uniform(-limit, limit, (n_outputs, n_hidden))
        output_bias = rng.uniform(-limit, limit, n_outputs)
    else:
        inputs = glorot_uniform(rng, n_hidden, n_inputs)
        bias = np.zeros(n_hidden)
        outputs = glorot_uniform(rng, n_outputs, n_hidden)
        output_bias = np.zeros(n_outputs)
    if center_bias:
        if activation is not ActivationName.SIGMOID:
            raise SettingError(
                "--center-bias sets b = −W·½, the resting point of a sigmoid net, but the "
                f"activation is {activation}; "
                "leave it out, or choose --activation sigmoid"
            )
        bias = -0.5 * recurrent.sum(axis=1)
    return ElmanParameters(
        input_weights=input_scale * inputs,
        recurrent_weights=recurrent,
        hidden_bias=bias,
        output_weights=outputs,
        output_bias=output_bias,
        activation=ACTIVATIONS[activation],
    )
