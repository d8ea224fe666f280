"""From settings or saved weights to a network: where the name of a cell becomes its class; and how
much memory a study of it takes, so that one that cannot fit is refused before it is allocated.

Only the largest arrays are counted: weights (H,H+D+O), trajectories (T,B,H),
products of Jacobians (B,S,S), held-out sequences (T,B,D+O).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradscope.analysis.settings import Settings
from gradscope.analysis.stage import STATES_AT_ONCE
from gradscope.arrays import FloatArray
from gradscope.data.batch import Batch
from gradscope.errors import SettingError
from gradscope.learning.penalties import FLOSSED_SEQUENCES
from gradscope.model.activations import ACTIVATIONS
from gradscope.model.cells import WEIGHT_NAMES, Cell
from gradscope.model.elman import ElmanParameters
from gradscope.model.gru import GruParameters
from gradscope.model.initializers import Draw, initialize, initialize_gru, initialize_lstm
from gradscope.model.lstm import LstmParameters
from gradscope.names import CellName

BYTES = 8
COPIES_OF_WEIGHTS = 8
"""W in its initialiser's factorisation; in training gradient, two moments, and the old weights."""


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


@dataclass(frozen=True, eq=False, slots=True)
class Needs:
    """What a kind of cell needs, measured with tracemalloc and rounded up: blocks of H rows in its
    weights, numbers per unit in its state, copies of (T,B,H) in a trajectory that is followed back
    and in one that is only run, copies of a product (B,S,S) with its decomposition.
    """

    blocks: int
    states: int
    trajectory: int
    run: int
    product: int


NEEDS: Mapping[CellName, Needs] = {
    CellName.ELMAN: Needs(blocks=1, states=1, trajectory=8, run=3, product=8),
    CellName.GRU: Needs(blocks=3, states=1, trajectory=24, run=10, product=12),
    CellName.LSTM: Needs(blocks=4, states=2, trajectory=28, run=10, product=8),
}

NUMBERS_PER_STEP = 256
"""What each step adds to results and their document."""

UNKNOWN_MACHINE = 8 * 2**30
"""Memory in bytes that is assumed where the system does not say."""


def memory_needed(settings: Settings, n_inputs: int, n_outputs: int) -> int:
    """Return about how many bytes a study takes at its peak."""
    hidden, width, needs = settings.hidden, n_inputs + n_outputs, NEEDS[settings.cell]
    longest = max(settings.sequences, settings.batch if settings.updates else 1)
    weights = COPIES_OF_WEIGHTS * hidden * (needs.blocks * (hidden + n_inputs) + n_outputs)
    trajectory = settings.steps * longest * (needs.trajectory * hidden + 3 * width)
    product = needs.product * settings.sequences * (needs.states * hidden) ** 2
    flossed = settings.steps * FLOSSED_SEQUENCES * hidden**2 if settings.floss else 0
    return BYTES * (weights + trajectory + product + flossed + NUMBERS_PER_STEP * settings.steps)


def machine_memory() -> int:
    """Return the bytes of memory of this machine."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return UNKNOWN_MACHINE


def require_memory(settings: Settings, n_inputs: int, n_outputs: int, held_out: int) -> None:
    """Refuse, with SettingError, a study that cannot fit into the machine's memory: with D and O of
    its task or data, and the number of sequences that its error is measured on.
    """
    run = min(held_out * settings.steps * settings.hidden, STATES_AT_ONCE)
    kept = held_out * settings.steps * (n_inputs + n_outputs) + NEEDS[settings.cell].run * run
    needed = memory_needed(settings, n_inputs, n_outputs) + BYTES * kept
    limit = machine_memory()
    if needed > limit:
        raise SettingError(
            f"--hidden {settings.hidden}, --steps {settings.steps} and --sequences "
            f"{settings.sequences} need about {needed / 2**30:,.0f} GiB of memory, but this "
            f"machine has {limit / 2**30:,.0f} GiB; choose smaller ones"
        )
