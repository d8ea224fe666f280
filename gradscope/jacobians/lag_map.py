"""log σ_max(∂h_t/∂h_k) for all pairs k ≤ t: how every state depends on every earlier one.

Row t of the map is the lag profile that ends at h_t: ``lag_norms.measure`` with a different t for
each product, some at a time so that their rows stay in the cache.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.errors import SettingError
from gradscope.jacobians.chain import Chain
from gradscope.jacobians.diagonal import as_diagonal
from gradscope.jacobians.lag_norms import check_tolerance, measure, parts
from gradscope.machine import held_threads
from gradscope.notebook_repr import CompactRepr
from gradscope.progress import tracked


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class LagMap(CompactRepr):
    """Every pair of chosen states.

    ``times`` (A,) are the states, 0 … T where none were chosen. ``log_norms`` (A,A,B) has log σ_max
    of ∂h_t/∂h_k, t = ``times[i]`` and k = ``times[j]``, at ``[i,j]`` in nats: 0 on the diagonal,
    −inf where the product is exactly zero, NaN above the diagonal, where the later state would have
    to act on the earlier. ``certificate`` (A,B) bounds the relative error of σ_max over each row.
    """

    times: IntArray
    log_norms: FloatArray
    certificate: FloatArray

    def compact_fields(self) -> dict[str, Any]:
        """Return sizes, the weakest pair, and the worst certificate."""
        return {
            "times": self.times.size,
            "sequences": self.log_norms.shape[2],
            "smallest_log_norm": float(np.nanmin(self.log_norms)),
            "certificate": float(self.certificate.max()),
        }


@held_threads()
def lag_map(
    chain: Chain,
    *,
    tolerance: float = 1e-6,
    times: IntArray | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> LagMap:
    """Return log σ_max(∂h_t/∂h_k) for all pairs of states.

    Cost: one ``lag_norms`` for every time and sequence, but with full GEMMs; A² in memory.

    ``tolerance`` is the largest relative error of σ_max, rounding aside; ``times`` (A,) are the
    states to show, ascending, by default all of 0 … T; ``progress`` gets the number of pairs done
    and in all. Raises SettingError if times do not ascend in 0 … T, or the tolerance is not in (0,
    1).
    """
    check_tolerance(tolerance)
    chain = as_diagonal(chain)
    chosen = np.arange(chain.n_steps + 1) if times is None else np.asarray(times, dtype=np.int64)
    asked = f"the times of the map are {chosen.tolist()}"
    if chosen.ndim != 1 or not chosen.size or chosen[0] < 0 or chosen[-1] > chain.n_steps:
        raise SettingError(f"{asked}; choose one or more from 0 to {chain.n_steps}")
    if (np.diff(chosen) < 1).any():
        raise SettingError(f"{asked}; give them in ascending order, each once")
    count, n_sequences = chosen.size, chain.n_sequences
    log_norms = np.full((count, count, n_sequences), np.nan)
    log_norms[np.arange(count), np.arange(count)] = 0.0
    certificate = np.zeros((count, n_sequences))
    # The first time has no earlier one; the longest profiles go first, as ``measure`` asks.
    rows = np.repeat(np.arange(count - 1, 0, -1), n_sequences)
    sequences = np.tile(np.arange(n_sequences), count - 1)
    reach = chosen[rows] - chosen[0]
    done, total = 0, int(reach.sum())
    for part in tracked(parts(rows.size, chain), "all pairs"):
        profiles, bounds = measure(
            chain, chosen[rows[part]], sequences[part], int(reach[part][0]), tolerance
        )
        for index, (row, sequence) in enumerate(zip(rows[part], sequences[part], strict=True)):
            lags = chosen[row] - chosen[:row]
            log_norms[row, :row, sequence] = profiles[lags - 1, index]
            certificate[row, sequence] = bounds[lags - 1, index].max()
        done += int(reach[part].sum())
        if progress is not None:
            progress(done, total)
    return LagMap(chosen, log_norms, certificate)
