"""How the weights of every cell are drawn, each scheme with the place it comes from.

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
uniform and biases are 0. In GRU and LSTM the scheme draws every block of W (U by Glorot over all of
them), but under ``orthogonal`` W (blocks·H,H) has orthonormal columns, so that every block alone
has a gain of about 1/√blocks, as in Keras's ``GRU`` and ``LSTM``; ``uniform`` draws both biases as
PyTorch's do. A forget bias of 1 keeps the gate of an LSTM at σ(1) = 0.73, a time scale of three
steps: Jozefowicz, Zaremba & Sutskever (2015), ICML, section 2.2. In a GRU the bias b_z of the
update gate does the same: it is 0 unless one is given. ``chrono`` N draws either for lags up to N,
b_f or b_z = log U(1, N − 1), and b_i = −b_f: Tallec & Ollivier (2018), ICLR, arXiv:1804.11188 (in
their GRU 1 − z keeps, and the sign is the other).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.errors import SettingError
from gradscope.model.activations import activation_of, word_of
from gradscope.model.elman import ElmanParameters
from gradscope.model.gru import GruParameters
from gradscope.model.lstm import LstmParameters
from gradscope.names import ActivationName, InitializerName

KERAS_FORGET_BIAS = 1.0


def orthogonal(rng: np.random.Generator, rows: int, columns: int | None = None) -> FloatArray:
    """Return Haar-distributed orthonormal columns: Mezzadri (2007), math-ph/0609050."""
    q, r = np.linalg.qr(rng.standard_normal((rows, rows if columns is None else columns)))
    # QR leaves the signs of R's diagonal open; Haar measure asks for positive ones.
    return np.asarray(q * np.sign(np.diagonal(r)))


def gaussian(rng: np.random.Generator, size: int) -> FloatArray:
    """Return an (H,H) matrix with entries N(0, 1/H)."""
    return np.asarray(rng.standard_normal((size, size)) / np.sqrt(size))


def glorot_uniform(rng: np.random.Generator, rows: int, columns: int) -> FloatArray:
    """Return a (rows, columns) matrix with entries U(±√(6/(rows + columns)))."""
    limit = np.sqrt(6.0 / (rows + columns))
    return rng.uniform(-limit, limit, (rows, columns))


def uniform(rng: np.random.Generator, hidden: int, *shape: int) -> FloatArray:
    """Return an array with entries U(±1/√H)."""
    limit = 1.0 / np.sqrt(hidden)
    return rng.uniform(-limit, limit, shape)


RECURRENT: Mapping[InitializerName, Callable[[np.random.Generator, int], FloatArray]] = {
    InitializerName.ORTHOGONAL: orthogonal,
    InitializerName.GAUSSIAN: gaussian,
    InitializerName.GLOROT: lambda rng, size: glorot_uniform(rng, size, size),
    InitializerName.UNIFORM: lambda rng, size: uniform(rng, size, size, size),
    InitializerName.IDENTITY: lambda _rng, size: np.eye(size),
}


@dataclass(frozen=True, eq=False, slots=True)
class Draw:
    """How weights are drawn: the scheme, factors on W and on U, the lags that ``chrono`` is for."""

    scheme: InitializerName = InitializerName.ORTHOGONAL
    gain: float = 1.0
    input_scale: float = 1.0
    chrono: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "scheme", word_of(InitializerName, self.scheme))

    def weights(
        self,
        rng: np.random.Generator,
        sizes: tuple[int, int, int],
        blocks: int,
        forget_bias: float | None = None,
    ) -> dict[str, Any]:
        """Draw U, W and b of so many blocks, V and c; ``forget_bias`` is that of the second."""
        if blocks > 1 and self.scheme is InitializerName.IDENTITY:
            raise SettingError("--init identity is for the vanilla RNN; choose another scheme")
        n_inputs, hidden, n_outputs = sizes
        rows = blocks * hidden
        as_torch = self.scheme is InitializerName.UNIFORM

        def matrix(*shape: int) -> FloatArray:
            return uniform(rng, hidden, *shape) if as_torch else glorot_uniform(rng, *shape)

        def bias(size: int, draws: int) -> FloatArray:
            return uniform(rng, hidden, draws, size).sum(axis=0) if as_torch else np.zeros(size)

        if self.scheme is InitializerName.ORTHOGONAL:
            recurrent = orthogonal(rng, rows, hidden)
        else:
            recurrent = np.concatenate([RECURRENT[self.scheme](rng, hidden) for _ in range(blocks)])
        weights = {
            "recurrent_weights": self.gain * recurrent,
            "input_weights": self.input_scale * matrix(rows, n_inputs),
            "hidden_bias": bias(rows, draws=2),
            "output_weights": matrix(n_outputs, hidden),
            "output_bias": bias(n_outputs, draws=1),
        }
        if forget_bias is not None:
            weights["hidden_bias"][hidden : 2 * hidden] = forget_bias
        if self.chrono is not None:
            # σ(log τ) = 1 − 1/(τ + 1): a unit forgets in 2 steps to the longest lag.
            times = rng.uniform(1.0, self.chrono - 1.0, hidden)
            weights["hidden_bias"][hidden : 2 * hidden] = np.log(times)
        return weights


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
    """Draw the weights of a vanilla RNN of sizes (D, H, O) by a scheme of the table above, with
    factors ``gain`` on W and ``input_scale`` on U; same state of ``rng``, same weights.

    ``center_bias`` sets b = −W·½: a sigmoid net rests at h = ½; SettingError with another.
    """
    weights = Draw(scheme, gain, input_scale).weights(rng, sizes, 1)
    if center_bias:
        if activation != ActivationName.SIGMOID:
            raise SettingError(f"--center-bias with {activation}: choose --activation sigmoid")
        weights["hidden_bias"] = -0.5 * weights["recurrent_weights"].sum(axis=1)
    return ElmanParameters(**weights, activation=activation_of(activation))


def initialize_gru(
    rng: np.random.Generator,
    sizes: tuple[int, int, int],
    *,
    draw: Draw | None = None,
    forget_bias: float | None = None,
    reset_after: bool = True,
    activation: ActivationName = ActivationName.TANH,
) -> GruParameters:
    """Draw the weights of a GRU as ``initialize`` does; SettingError if the scheme is ``identity``.

    ``forget_bias`` is b_z of every unit, which keeps the old state, by default 0, under ``uniform``
    drawn as in PyTorch; ``reset_after`` puts the reset gate after the product, as PyTorch and Keras
    have it; ``activation`` is φ of the candidate.
    """
    draw = draw or Draw()
    hidden = sizes[1]
    weights = draw.weights(rng, sizes, 3, forget_bias)
    second_bias: FloatArray | None = np.zeros(hidden) if reset_after else None
    if reset_after and draw.scheme is InitializerName.UNIFORM:
        # Of PyTorch's second bias the parts for r and z stand in ``hidden_bias`` already.
        second_bias = uniform(rng, hidden, hidden)
        weights["hidden_bias"][2 * hidden :] = uniform(rng, hidden, hidden)
    return GruParameters(
        **weights, candidate_bias=second_bias, activation=activation_of(activation)
    )


def initialize_lstm(
    rng: np.random.Generator,
    sizes: tuple[int, int, int],
    *,
    draw: Draw | None = None,
    forget_bias: float | None = None,
    activation: ActivationName = ActivationName.TANH,
) -> LstmParameters:
    """Draw the weights of an LSTM as ``initialize_gru`` does those of a GRU.

    ``forget_bias`` is b_f of every unit, by default 1 as in Keras, under ``uniform`` drawn as in
    PyTorch; ``activation`` is φ of the candidate and of the cell's output.
    """
    draw = draw or Draw()
    if forget_bias is None and draw.scheme is not InitializerName.UNIFORM:
        forget_bias = KERAS_FORGET_BIAS
    weights = draw.weights(rng, sizes, 4, forget_bias)
    if draw.chrono is not None:
        weights["hidden_bias"][: sizes[1]] = -weights["hidden_bias"][sizes[1] : 2 * sizes[1]]
    return LstmParameters(**weights, activation=activation_of(activation))
