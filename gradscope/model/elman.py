"""The vanilla RNN: h_t = φ(U x_t + W h_{t−1} + b), y_t = V h_t + c (Elman 1990).

Sizes: D inputs, H hidden units, O outputs. The network is its weights and its activation; its
course through time lives in ``trajectory``.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.errors import ShapeError
from gradscope.model.activations import TANH, Activation

WEIGHT_NAMES = (
    "input_weights",
    "recurrent_weights",
    "hidden_bias",
    "output_weights",
    "output_bias",
)


@dataclass(frozen=True, eq=False, slots=True)
class ElmanParameters:
    """Weights and activation of a vanilla RNN.

    Parameters
    ----------
    input_weights : (H,D) array
        U.
    recurrent_weights : (H,H) array
        W.
    hidden_bias : (H,) array
        b.
    output_weights : (O,H) array
        V.
    output_bias : (O,) array
        c.
    activation : Activation
        φ, tanh by default.

    Raises
    ------
    ShapeError
        If the shapes do not belong together.
    """

    input_weights: FloatArray
    recurrent_weights: FloatArray
    hidden_bias: FloatArray
    output_weights: FloatArray
    output_bias: FloatArray
    activation: Activation = TANH

    def __post_init__(self) -> None:
        for name in WEIGHT_NAMES:
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        hidden, outputs = self.hidden_bias.size, self.output_bias.size
        wanted = {
            "input_weights": (hidden, self.input_weights.shape[-1]),
            "recurrent_weights": (hidden, hidden),
            "hidden_bias": (hidden,),
            "output_weights": (outputs, hidden),
            "output_bias": (outputs,),
        }
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                raise ShapeError(
                    f"{name} has shape {getattr(self, name).shape}, but {hidden} hidden units and "
                    f"{outputs} outputs "
                    f"(the sizes of the biases) ask for {shape}"
                )

    @property
    def sizes(self) -> tuple[int, int, int]:
        """(D, H, O): input, hidden and output size."""
        return self.input_weights.shape[1], self.hidden_bias.size, self.output_bias.size

    def weights(self) -> Iterator[tuple[str, FloatArray]]:
        """Yield each weight array with its name, in a fixed order."""
        for name in WEIGHT_NAMES:
            yield name, getattr(self, name)

    def with_weights(self, weights: dict[str, FloatArray]) -> "ElmanParameters":
        """Return the same network with other weights, named as in ``WEIGHT_NAMES``."""
        return replace(
            self,
            input_weights=weights["input_weights"],
            recurrent_weights=weights["recurrent_weights"],
            hidden_bias=weights["hidden_bias"],
            output_weights=weights["output_weights"],
            output_bias=weights["output_bias"],
        )
