"""How much memory a study takes, so that one that cannot fit is refused before it is allocated.

Only the largest arrays are counted: weights (H,H+D+O), trajectories (T,B,H),
products of Jacobians (B,S,S), held-out sequences (T,B,D+O).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from gradscope.analysis.settings import Settings
from gradscope.errors import SettingError
from gradscope.learning.penalties import FLOSSED_SEQUENCES
from gradscope.names import CellName

BYTES = 8
COPIES_OF_WEIGHTS = 8
"""W in its initialiser's factorisation; in training gradient, two moments, and the old weights."""


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

STATES_AT_ONCE = 2**20
"""Hidden states (numbers) that are held at once while the error is measured: 8 MB. The system
clears larger arrays for each block anew."""

NUMBERS_PER_STEP = 256
"""What each step adds to results and their document."""

UNKNOWN_MACHINE = 8 * 2**30
"""Memory in bytes that is assumed where the system does not say."""


def memory_needed(settings: Settings, n_inputs: int, n_outputs: int) -> int:
    """Return about how many bytes a study takes at its peak."""
    hidden, width, needs = settings.hidden, n_inputs + n_outputs, NEEDS[settings.known_cell]
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
    kept = held_out * settings.steps * (n_inputs + n_outputs) + NEEDS[settings.known_cell].run * run
    needed = memory_needed(settings, n_inputs, n_outputs) + BYTES * kept
    limit = machine_memory()
    if needed > limit:
        raise SettingError(
            f"--hidden {settings.hidden}, --steps {settings.steps} and --sequences "
            f"{settings.sequences} need about {needed / 2**30:,.0f} GiB of memory, but this "
            f"machine has {limit / 2**30:,.0f} GiB; choose smaller ones"
        )
