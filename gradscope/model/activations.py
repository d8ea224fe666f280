"""Activations φ, their slopes φ′ and their slope ceilings γ = max φ′.

Every slope is computed from the pre-activation ``a``, never from the state: ``1 − h²`` is off by 4
% at a = 18 and exactly 0 from a ≈ 19 on, while ``4e/(1+e)²`` with e = exp(−2|a|) keeps full
relative accuracy down to the smallest float. Which γ forces vanishing, and when: Pascanu, Mikolov &
Bengio (2013), arXiv:1211.5063, section 2.1.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, SupportsIndex, TypeVar

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.errors import SettingError
from gradscope.names import ActivationName
from gradscope.notebook_repr import CompactRepr

Word = TypeVar("Word", bound=StrEnum)

LARGE = 1e300  # Taken for what is larger, whose product with 0 would be no number
SELU = 1.0507009873554805, 1.6732632423543772  # Klambauer et al. (2017), arXiv:1706.02515


class LineStyle(NamedTuple):
    """Colour, line and marker of a curve, as keywords of Matplotlib's ``plot``."""

    color: str
    linestyle: str | tuple[int, tuple[int, ...]]
    marker: str


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Activation(CompactRepr):
    """A nonlinearity.

    ``value(a)`` is φ(a) and ``slope(a)`` is φ′(a), elementwise on arrays of any shape;
    ``slope_ceiling`` is γ = max |φ′|. Where φ has a kink the slope is PyTorch's there, 0 of ReLU.
    ``log_slope(a)`` is log |φ′(a)|, finite where φ′ is too small for a float; None for a φ whose
    slope is 0 or one number, where a zero is one. ``curvature(a)`` is φ″(a), None if it is not
    known.
    ``keras_name`` is its name in ``keras.activations``, ``torch_name`` the ``nonlinearity`` of
    ``torch.nn.RNN``, None where there is none; ``line_style`` is the same in every picture.
    """

    name: ActivationName
    value: Callable[[FloatArray], FloatArray]
    slope: Callable[[FloatArray], FloatArray]
    slope_ceiling: float
    log_slope: Callable[[FloatArray], FloatArray] | None = None
    torch_name: str | None = field(default=None, repr=False)
    keras_name: str | None = field(default=None, repr=False)
    line_style: LineStyle = field(default=LineStyle("#222222", "-", "o"), repr=False)
    curvature: Callable[[FloatArray], FloatArray] | None = field(default=None, repr=False)

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        """Pickle a row by its name, since lambdas cannot be."""
        row = ACTIVATIONS.get(self.name) is self
        return (activation_of, (self.name,)) if row else object.__reduce_ex__(self, protocol)

    def slope_at(self, a: FloatArray, *, ceiling: bool) -> FloatArray:
        """Return φ′(a), or γ in its place."""
        return np.full_like(a, self.slope_ceiling) if ceiling else self.slope(a)


def _small_exponential(a: FloatArray) -> FloatArray:
    """Return exp(−|a|) in an array of its own: many temporary arrays of millions of numbers cost
    more than what is computed.
    """
    e = np.abs(a, out=np.empty_like(a))
    return np.exp(np.negative(e, out=e), out=e)


def _sigmoid(a: FloatArray) -> FloatArray:
    """Return σ(a) = 1/(1 + exp(−a)), without overflow, with full relative accuracy."""
    e = _small_exponential(a)
    found = np.where(a >= 0, 1.0, e)
    e += 1.0
    found /= e
    return found


def _sigmoid_slope(a: FloatArray) -> FloatArray:
    """Return σ(a)σ(−a) = e/(1+e)², e = exp(−|a|)."""
    return _over_square(_small_exponential(a))


def _over_square(e: FloatArray) -> FloatArray:
    """Return e/(1+e)², in place."""
    below = np.add(e, 1.0, out=np.empty_like(e))
    e /= np.square(below, out=below)
    return e


def _log_sigmoid(a: FloatArray) -> FloatArray:
    """Return log σ(a) = min(a, 0) − log(1 + exp(−|a|))."""
    return np.minimum(a, 0.0) - np.log1p(np.exp(-np.abs(a)))


def _tanh_slope(a: FloatArray) -> FloatArray:
    """Return 1/cosh²(a) = 4e/(1+e)², e = exp(−2|a|)."""
    # Squared after the exponential: 2|a| would overflow for the largest floats.
    e = _small_exponential(a)
    found = _over_square(np.square(e, out=e))
    found *= 4.0
    return found


def _ramp(name: ActivationName, gain: float, low: float, look: LineStyle) -> Activation:
    """Return the row of gain · a about the middle of low … 1, clipped to them."""
    half = 0.5 * (1.0 - low)
    return Activation(
        name, lambda a: np.clip(gain * a + (1.0 - half), low, 1.0),
        lambda a: np.where(np.abs(gain * a) < half, gain, 0.0), slope_ceiling=gain,
        keras_name=name.replace("-", "_"), line_style=look, curvature=np.zeros_like,
    )  # fmt: skip


def _elu(name: ActivationName, scale: float, alpha: float, look: LineStyle) -> Activation:
    """Return the row of scale · a, below 0 of scale · α (exp(a) − 1)."""
    return Activation(
        name, lambda a: scale * np.where(a > 0.0, a, alpha * np.expm1(np.minimum(a, 0.0))),
        lambda a: scale * np.where(a > 0.0, 1.0, alpha * np.exp(np.minimum(a, 0.0))),
        slope_ceiling=scale * alpha,
        log_slope=lambda a: np.where(a > 0.0, 0.0, np.log(alpha) + a) + np.log(scale),
        keras_name=str(name), line_style=look,
        curvature=lambda a: np.where(a > 0.0, 0.0, scale * alpha * np.exp(np.minimum(a, 0.0))),
    )  # fmt: skip


ROWS = (
    Activation(
        ActivationName.TANH, np.tanh, _tanh_slope, slope_ceiling=1.0,
        log_slope=lambda a: np.log(4.0) + _log_sigmoid(2.0 * a) + _log_sigmoid(-2.0 * a),
        torch_name="tanh", keras_name="tanh", line_style=LineStyle("#0072B2", "-", "o"),
        curvature=lambda a: -2.0 * np.tanh(a) * _tanh_slope(a),
    ),
    Activation(
        ActivationName.SIGMOID, _sigmoid, _sigmoid_slope, slope_ceiling=0.25,
        log_slope=lambda a: _log_sigmoid(a) + _log_sigmoid(-a),
        keras_name="sigmoid", line_style=LineStyle("#D55E00", "--", "s"),
        curvature=lambda a: -_sigmoid_slope(a) * np.tanh(0.5 * a),
    ),
    Activation(
        ActivationName.RELU, lambda a: np.maximum(a, 0.0), lambda a: np.where(a > 0.0, 1.0, 0.0),
        slope_ceiling=1.0,
        torch_name="relu", keras_name="relu", line_style=LineStyle("#009E73", "-.", "^"),
        curvature=np.zeros_like,
    ),
    Activation(
        ActivationName.IDENTITY, np.copy, np.ones_like, slope_ceiling=1.0,
        keras_name="linear", line_style=LineStyle("#222222", ":", "D"), curvature=np.zeros_like,
    ),
    _ramp(ActivationName.HARD_TANH, 1.0, -1.0, LineStyle("#E69F00", (0, (5, 1, 1, 1)), "v")),
    Activation(
        ActivationName.SOFTPLUS, lambda a: np.maximum(a, 0.0) + np.log1p(np.exp(-np.abs(a))),
        _sigmoid, slope_ceiling=1.0, log_slope=_log_sigmoid,
        keras_name="softplus", line_style=LineStyle("#CC79A7", (0, (1, 1)), "P"),
        curvature=_sigmoid_slope,
    ),
    _elu(ActivationName.ELU, 1.0, 1.0, LineStyle("#56B4E9", "-", "<")),
    _elu(ActivationName.SELU, *SELU, LineStyle("#56B4E9", "--", ">")),
    Activation(
        ActivationName.SILU, lambda a: np.maximum(a, -LARGE) * _sigmoid(a),
        lambda a: _sigmoid(a) * (1.0 + np.clip(a, -LARGE, LARGE) * _sigmoid(-a)),
        slope_ceiling=1.0998393201288669,
        log_slope=lambda a: _log_sigmoid(a) + np.log(np.abs(1.0 + a * _sigmoid(-a))),
        keras_name="silu", line_style=LineStyle("#56B4E9", "-.", "X"),
        curvature=lambda a: _sigmoid_slope(a) * (2.0 - np.clip(a, -LARGE, LARGE) * np.tanh(a / 2)),
    ),
    Activation(
        ActivationName.SOFTSIGN, lambda a: (b := np.clip(a, -LARGE, LARGE)) / (1.0 + np.abs(b)),
        lambda a: np.square(1.0 / (1.0 + np.abs(a))), slope_ceiling=1.0,
        log_slope=lambda a: -2.0 * np.log1p(np.abs(a)),
        keras_name="softsign", line_style=LineStyle("#56B4E9", ":", "*"),
        curvature=lambda a: -2.0 * np.sign(a) * (1.0 / (1.0 + np.abs(a))) ** 3,
    ),
    _ramp(ActivationName.HARD_SIGMOID, 1.0 / 6.0, 0.0, LineStyle("#E69F00", "--", "p")),
    _ramp(ActivationName.HARD_SIGMOID_02, 0.2, 0.0, LineStyle("#E69F00", ":", "h")),
)  # fmt: skip
"""To add an activation, add its word to ``names.ActivationName`` and its row here. The colours are
those of Okabe and Ito (2008), which colour-blind readers tell apart.
"""

ACTIVATIONS: Mapping[ActivationName, Activation] = {each.name: each for each in ROWS}
TANH, SIGMOID, RELU, IDENTITY, HARD_TANH, SOFTPLUS = ROWS[:6]


def word_of(kind: type[Word], value: str) -> Word:
    """Return a word of a list from its text; SettingError, which lists them, if it is none.

    >>> word_of(ActivationName, "tanh")
    <ActivationName.TANH: 'tanh'>
    """
    if value not in list(kind):
        raise SettingError(f"{value!r} is none of {', '.join(kind)}; choose one of them")
    return kind(value)


def activation_of(chosen: Activation | str) -> Activation:
    """Return an activation, or the one of that name; SettingError if there is none."""
    return (
        chosen if isinstance(chosen, Activation) else ACTIVATIONS[word_of(ActivationName, chosen)]
    )
