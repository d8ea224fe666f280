"""One small network of every kind of cell, drawn at random: what several folders of tests share."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.data.batch import Targets
from gradscope.model.activations import ACTIVATIONS
from gradscope.model.cells import Cell
from gradscope.model.elman import ElmanParameters
from gradscope.model.gru import GruParameters
from gradscope.model.lstm import LstmParameters
from gradscope.names import ActivationName, ErrorName, StateName

INPUTS, HIDDEN, OUTPUTS = 3, 5, 2


def _draw(rng: np.random.Generator, *shape: int) -> FloatArray:
    drawn: FloatArray = rng.normal(size=shape) * 0.6
    return drawn


def _shared(rng: np.random.Generator, blocks: int) -> dict[str, Any]:
    return {
        "input_weights": _draw(rng, blocks * HIDDEN, INPUTS),
        "recurrent_weights": _draw(rng, blocks * HIDDEN, HIDDEN),
        "hidden_bias": _draw(rng, blocks * HIDDEN),
        "output_weights": _draw(rng, OUTPUTS, HIDDEN),
        "output_bias": _draw(rng, OUTPUTS),
    }


def elman(
    rng: np.random.Generator,
    leak: float | FloatArray = 1.0,
    state: StateName = StateName.POST,
    activation: ActivationName = ActivationName.TANH,
) -> ElmanParameters:
    """Draw a vanilla RNN."""
    weights = _shared(rng, 1)
    return ElmanParameters(**weights, activation=ACTIVATIONS[activation], leak=leak, state=state)


def gru(rng: np.random.Generator, *, reset_after: bool = True) -> GruParameters:
    """Draw a GRU."""
    weights = _shared(rng, 3)
    return GruParameters(**weights, candidate_bias=_draw(rng, HIDDEN) if reset_after else None)


def lstm(rng: np.random.Generator) -> LstmParameters:
    """Draw an LSTM."""
    return LstmParameters(**_shared(rng, 4))


UNEQUAL_LEAKS = np.array([1.0, 0.7, 0.4, 0.2, 0.05])

KINDS: Mapping[str, Callable[[np.random.Generator], Cell]] = {
    "vanilla": elman,
    "sigmoid": lambda rng: elman(rng, activation=ActivationName.SIGMOID),
    "leaky": lambda rng: elman(rng, 0.3),
    "leak a unit": lambda rng: elman(rng, UNEQUAL_LEAKS),
    "pre": lambda rng: elman(rng, 1.0, StateName.PRE),
    "leaky pre": lambda rng: elman(rng, 0.3, StateName.PRE),
    "leak a unit, pre": lambda rng: elman(rng, UNEQUAL_LEAKS, StateName.PRE),
    "gru": gru,
    "gru, reset before": lambda rng: gru(rng, reset_after=False),
    "lstm": lstm,
}


def drawn(
    kind: str, n_steps: int = 7, n_sequences: int = 4, seed: int = 0
) -> tuple[Cell, FloatArray, FloatArray, Targets]:
    """Return a cell, inputs (T,B,D), an initial state (B,S) and targets for its outputs."""
    rng = np.random.default_rng(seed)
    cell = KINDS[kind](rng)
    inputs = rng.normal(size=(n_steps, n_sequences, INPUTS))
    first = rng.normal(size=(n_sequences, cell.state_size)) * 0.5
    at_step = np.ones(n_steps, dtype=np.bool_)
    at_step[1] = False
    wanted = rng.normal(size=(n_steps, n_sequences, OUTPUTS))
    return cell, inputs, first, Targets(wanted, at_step, ErrorName.SQUARED)
