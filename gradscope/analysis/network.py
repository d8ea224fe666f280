"""From settings or saved weights to a network: where the name of a cell becomes its class."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradscope.analysis.settings import Settings
from gradscope.arrays import FloatArray
from gradscope.data.batch import Batch
from gradscope.model.activations import ACTIVATIONS
from gradscope.model.cells import WEIGHT_NAMES, Cell
from gradscope.model.elman import ElmanParameters
from gradscope.model.gru import GruParameters
from gradscope.model.initializers import Draw, initialize, initialize_gru, initialize_lstm
from gradscope.model.lstm import LstmParameters
from gradscope.names import CellName


@dataclass(frozen=True, eq=False, slots=True)
class Streams:
    """One independent random stream for each use, all from one seed."""

    weights: np.random.Generator
    training: np.random.Generator
    examined: np.random.Generator
    held_out: np.random.Generator
    noise: np.random.Generator
    training_noise: np.random.Generator
    further: np.random.Generator
    readout: np.random.Generator
    flossing: np.random.Generator

    @classmethod
    def from_seed(cls, seed: int) -> "Streams":
        """Spawn the streams; the same seed gives the same numbers whatever else is asked for."""
        return cls(*(np.random.default_rng(each) for each in np.random.SeedSequence(seed).spawn(9)))


def draw_noise(
    sigma: float, rng: np.random.Generator, network: Cell, shape: tuple[int, int]
) -> FloatArray | None:
    """Return the noise σ√(2/α) ξ (T,B,H), ξ ~ N(0,1), added to a vanilla RNN's a_t; None: none.

    Where the state is the pre-activation, that is α σ√(2/α) ξ = σ√(2α) ξ on the state, as in Song,
    Yang & Wang (2016), PLoS Comput. Biol. 12(2); where it is the activation, noise inside of φ as
    in Yang et al. (2019), Nat. Neurosci. 22.
    """
    if not sigma or not isinstance(network, ElmanParameters):
        return None
    drawn: FloatArray = rng.standard_normal((*shape, network.hidden_size))
    return sigma * np.sqrt(2.0 / network.leak) * drawn


def with_noise(sigma: float, rng: np.random.Generator, network: Cell, batch: Batch) -> Batch:
    """Return a batch with the recurrent noise of a network."""
    return replace(batch, noise=draw_noise(sigma, rng, network, (batch.n_steps, batch.n_sequences)))


def draw_network(settings: Settings, sizes: tuple[int, int, int], rng: np.random.Generator) -> Cell:
    """Draw the weights that the settings describe, in sizes (D, H, O)."""
    if settings.cell is CellName.ELMAN:
        drawn = initialize(
            rng,
            sizes,
            activation=settings.activation,
            scheme=settings.init,
            gain=settings.gain,
            input_scale=settings.input_scale,
            center_bias=settings.center_bias,
        )
        return replace(drawn, leak=np.array(settings.leak), state=settings.state)
    initialize_gated = initialize_gru if settings.cell is CellName.GRU else initialize_lstm
    return initialize_gated(
        rng,
        sizes,
        draw=Draw(settings.init, settings.gain, settings.input_scale, settings.chrono),
        forget_bias=settings.forget_bias,
        activation=settings.activation,
    )


def restore_network(settings: Settings, weights: Mapping[str, FloatArray]) -> Cell:
    """Make a saved run's network from its weights; ShapeError if they do not belong together."""
    given: dict[str, Any] = {name: weights[name] for name in WEIGHT_NAMES}
    given["activation"] = ACTIVATIONS[settings.activation]
    if settings.cell is CellName.ELMAN:
        return ElmanParameters(**given, leak=np.array(settings.leak), state=settings.state)
    given["gate_activation"] = settings.gate_activation or "sigmoid"
    if settings.cell is CellName.LSTM:
        return LstmParameters(**given)
    return GruParameters(**given, candidate_bias=weights.get("candidate_bias"))
