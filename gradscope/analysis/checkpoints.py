"""How the memory horizon moves while the network learns, measured at a few checkpoints."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gradscope.analysis.prepare import Prepared
from gradscope.analysis.stage import first_overflow, longest_lag
from gradscope.arrays import IntArray, quantiles
from gradscope.diagnosis.growth import memory_horizon
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.jacobians.lag_norms import lag_norms
from gradscope.learning.history import BEYOND
from gradscope.learning.training import Watcher
from gradscope.model.cells import Cell
from gradscope.model.trajectory import unroll

LOOKS = 10
"""Checkpoints of one training, about."""

SEQUENCES = 4
"""Sequences of a checkpoint; the full number is kept for the stages."""


@dataclass(frozen=True, eq=False, slots=True)
class Checkpoint:
    """What was seen after an update (from 1): E on its batch, the unclipped gradient norm, and the
    horizon in steps (None: never below the threshold, or the state overflows).
    """

    update: int
    loss: float
    gradient_norm: float
    horizon: int | None


class CheckpointRecorder:
    """Watches training, and measures the horizon after the first update and every tenth of all.
    ``report`` hears of each checkpoint, ``watch`` of every update.
    """

    def __init__(
        self,
        prepared: Prepared,
        report: Callable[[Checkpoint], None] | None = None,
        watch: Watcher | None = None,
    ) -> None:
        self.checkpoints: list[Checkpoint] = []
        self._settings, self._batch = prepared.resolved, prepared.batch.batch
        self._report, self._watch = report, watch
        self._every = max(self._settings.updates // LOOKS, 1)

    def __call__(self, update: int, loss: float, gradient_norm: float, params: Cell) -> None:
        """Record a checkpoint, where one is due."""
        if self._watch is not None:
            self._watch(update, loss, gradient_norm, params)
        if update != 1 and update % self._every and update != self._settings.updates:
            return
        checkpoint = Checkpoint(update, loss, gradient_norm, self._horizon(params))
        self.checkpoints.append(checkpoint)
        if self._report is not None:
            self._report(checkpoint)

    @property
    def reach(self) -> IntArray:
        """The horizons by update, as a ``History`` has them."""
        rows = [(e.update, BEYOND if e.horizon is None else e.horizon) for e in self.checkpoints]
        return np.array(rows, dtype=np.int64).reshape(-1, 2)

    def _horizon(self, params: Cell) -> int | None:
        some = self._batch.of(slice(SEQUENCES))
        trajectory = unroll(params, some.inputs, noise=some.noise)
        if first_overflow(trajectory) is not None:
            return None
        lag = longest_lag(self._settings, trajectory.n_steps)
        log_norms = lag_norms(cell_chain(params, trajectory), lag).log_norms
        return memory_horizon(quantiles(log_norms, (0.5,))[0], self._settings.vanishing)
