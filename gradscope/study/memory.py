"""How much memory a study takes, in numbers of float64, so that one that cannot fit is refused in
a line before anything is allocated, instead of bringing the machine to its knees.

The largest arrays are counted, by the sizes of DESIGN section 1: weights (H,H+D+O), trajectories
(T,B,H), products of Jacobians (B,H,H), held-out sequences (T,B,D+O). The rest is small beside them.
"""

import os

from gradscope.errors import SettingError
from gradscope.study.config import Settings

BYTES = 8
COPIES_OF_WEIGHTS = 8
"""W in its initialiser's factorisation; in training gradient, two moments, and the old weights."""

COPIES_OF_TRAJECTORY = 8
"""Pre-activations, states, slopes, adjoints, and temporaries of the backward sweep."""

COPIES_OF_PRODUCT = 8
"""The product, its scaled rows, both bases and workspace of its singular value decomposition."""

NUMBERS_A_STEP = 256
"""What a step adds to results and their document."""

UNKNOWN_MACHINE = 8 * 2**30
"""Memory in bytes that is assumed where the system does not tell."""


def memory_needed(settings: Settings, n_inputs: int, n_outputs: int) -> int:
    """Return about how many bytes a study takes at its peak."""
    hidden, width = settings.hidden, n_inputs + n_outputs
    longest = max(settings.sequences, settings.batch if settings.updates else 1)
    weights = COPIES_OF_WEIGHTS * hidden * (hidden + width)
    trajectory = settings.steps * longest * (COPIES_OF_TRAJECTORY * hidden + 3 * width)
    product = COPIES_OF_PRODUCT * settings.sequences * hidden**2
    return BYTES * (weights + trajectory + product + NUMBERS_A_STEP * settings.steps)


def machine_memory() -> int:
    """Return the bytes of memory of this machine."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return UNKNOWN_MACHINE


def require_memory(settings: Settings, n_inputs: int, n_outputs: int, held_out: int) -> None:
    """Refuse a study that cannot fit into the machine's memory.

    Parameters
    ----------
    settings : Settings
        The study.
    n_inputs, n_outputs : int
        D and O of its task or data.
    held_out : int
        Sequences that its error is measured on.

    Raises
    ------
    SettingError
        Before anything is allocated.
    """
    kept = BYTES * held_out * settings.steps * (n_inputs + n_outputs)
    needed = memory_needed(settings, n_inputs, n_outputs) + kept
    limit = machine_memory()
    if needed > limit:
        raise SettingError(
            f"--hidden {settings.hidden}, --steps {settings.steps} and --sequences "
            f"{settings.sequences} need about {needed / 2**30:,.0f} GiB of memory, but this "
            f"machine has {limit / 2**30:,.0f} GiB; choose smaller ones"
        )
