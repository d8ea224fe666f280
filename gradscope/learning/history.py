"""What training leaves behind: one number per update, and where it stopped and why.

The gradient norm is the *unclipped* one, so that a clipping value can be chosen from it.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gradscope.arrays import BoolArray, FloatArray, IntArray
from gradscope.notebook_repr import CompactRepr

BEYOND = -1
"""A memory horizon beyond the lags measured, in an array of whole numbers."""


class Stop(StrEnum):
    """Why training ended."""

    DONE = "done"
    NOT_FINITE = "not-finite"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, eq=False, slots=True)
class NonFinite:
    """The first number that stopped being finite.

    ``update`` counts from 1, ``step`` is the time step t (1 … T; None where the factor is a weight
    or a sum over steps), and ``factor`` names the quantity, such as "hidden state".
    """

    update: int
    step: int | None
    factor: str


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class History(CompactRepr):
    """The history of training, one entry per finished update (n of them).

    ``loss`` (n,) is E = Σ_t E_t on that update's batch, ``gradient_norm`` (n,) the global norm of
    ∂E/∂θ before clipping, ``clipped`` (n,) whether the update was clipped. ``target_steps`` is the
    number of steps that have a target. ``omega`` (n,) is Ω, None where its weight is 0 (else the
    norm includes its gradient); ``flossed`` (m,) the root mean square of the exponents at each
    flossing update, in nats per step, None for no flossing. ``reach`` (k,2) has the memory horizon
    after some of the updates: the update, and the horizon in steps, ``BEYOND`` the lags.
    """

    loss: FloatArray
    gradient_norm: FloatArray
    clipped: BoolArray
    target_steps: int
    stop: Stop
    non_finite: NonFinite | None = None
    omega: FloatArray | None = None
    flossed: FloatArray | None = None
    reach: IntArray | None = None

    def compact_fields(self) -> dict[str, Any]:
        """Return how many updates there were, the last error, and why they ended."""
        errors = self.error_per_step
        last = float(errors[-1]) if errors.size else None
        return {"updates": self.updates, "error_per_step": last, "stop": self.stop}

    @property
    def updates(self) -> int:
        """Number of finished updates."""
        return self.loss.size

    @property
    def clipped_fraction(self) -> float:
        """Fraction of the finished updates whose gradient was clipped."""
        return float(self.clipped.mean()) if self.clipped.size else 0.0

    @property
    def error_per_step(self) -> FloatArray:
        """Mean step error (n,): the loss over the number of steps that have a target."""
        return self.loss / self.target_steps
