"""The linear part of a GRU's step, kept as diagonals before and behind the blocks of W.

    J_t = diag(z) + diag((h_{t−1} − n) z′) W_z + diag((1−z) φ′) ∂a_n/∂h_{t−1},

primes for slopes, the last factor by where the reset gate stands. The step itself: ``gru``.
"""

from abc import ABC
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.model import cells
from gradscope.model.cells import MANY_ROWS, At, Linearization, Steps


@dataclass(frozen=True, eq=False, slots=True)
class _GruLinearization(Linearization, ABC):
    """What both conventions share: diagonals of J_t, each (T,B,H), and W.

    z, (h_{t−1} − n) z′, (1−z) φ′, (1−z) γ, r, and ``reset_gains`` before W_r in ∂a_n/∂h.
    """

    recurrent_weights: FloatArray
    update: FloatArray
    update_gains: FloatArray
    candidate_gains: FloatArray
    open_gains: FloatArray
    reset: FloatArray
    reset_gains: FloatArray

    @property
    def size(self) -> int:
        """H."""
        return self.recurrent_weights.shape[1]

    @property
    def openings(self) -> FloatArray:
        """The update gate z."""
        return self.update

    def _stages(
        self, vectors: FloatArray, at: At, driven: FloatArray, gated: FloatArray
    ) -> dict[str, FloatArray]:
        """The update gate alone, with W_n v and φ at its ceiling, φ as it is, r, moving gates."""
        direct, gains = vectors * self.update[at], self.candidate_gains[at]
        return {
            "direct": direct,
            "recurrent_weights": direct + driven * self.open_gains[at],
            "candidate_saturation": direct + driven * gains,
            "closed_gates": direct + gated * gains,
            "gate_slopes": self.jvp(vectors, at),
        }


@dataclass(frozen=True, eq=False, slots=True)
class ResetAfterLinearization(_GruLinearization):
    """∂a_n/∂h = diag(r) W_n + diag((W_n h + b′) r′) W_r; ``reset_gains`` is the last diagonal.

    Local adjoints stand as (W_n h + b′, r, z, n): what W feeds and what U feeds are one piece each.
    """

    @property
    def local_size(self) -> int:
        """4H."""
        return 4 * self.size

    @property
    def written(self) -> FloatArray:
        """What W_n h + b′, r, z and n change of h_t."""
        inner = self.candidate_gains * self.reset, self.candidate_gains * self.reset_gains
        return np.concatenate([*inner, self.update_gains, self.candidate_gains], axis=-1)

    def fed(self) -> Iterator[tuple[str, slice, FloatArray]]:
        """U and b feed r, z and n; W and b′ feed W_n h + b′, W also r and z."""
        size = self.size
        (u, _, x), (w, _, h), (b, _, one) = Linearization.fed(self)
        yield from ((u, slice(size, None), x), (w, slice(3 * size), h))
        yield from ((b, slice(size, None), one), ("candidate_bias", slice(size), one))

    def adjoints(self, rows: FloatArray, at: At, local: FloatArray) -> None:
        """Fill ``local`` with the adjoints of W_n h + b′, a_r, a_z, a_n."""
        size = self.size
        gated, reset, update, candidate = (local[..., i * size : (i + 1) * size] for i in range(4))
        np.multiply(rows, self.candidate_gains[at], out=candidate)
        np.multiply(rows, self.update_gains[at], out=update)
        np.multiply(candidate, self.reset_gains[at], out=reset)
        np.multiply(candidate, self.reset[at], out=gated)

    def vjp(self, rows: FloatArray, at: At, local: FloatArray) -> FloatArray:
        """Rows · J_t; ``local`` as of ``adjoints``."""
        self.adjoints(rows, at, local)
        size, weights = self.size, self.recurrent_weights
        carried = cells.product(local[..., size : 3 * size], weights[: 2 * size])
        carried += cells.product(local[..., :size], weights[2 * size :])
        carried += rows * self.update[at]
        return carried

    def jvp(self, vectors: FloatArray, at: At) -> FloatArray:
        """J_t v."""
        size = self.size
        fed = cells.product(vectors, self.recurrent_weights.T)
        reset, update, candidate = (fed[..., i * size : (i + 1) * size] for i in range(3))
        inner = candidate * self.reset[at] + reset * self.reset_gains[at]
        carried = inner * self.candidate_gains[at]
        carried += update * self.update_gains[at]
        carried += vectors * self.update[at]
        return carried

    def vjp_many(self, rows: FloatArray, at: At) -> FloatArray:
        """Rows · J_t."""
        if rows.shape[-2] < MANY_ROWS:
            return Linearization.vjp_many(self, rows, at)
        return rows @ self._dense(at)

    def jvp_many(self, vectors: FloatArray, at: At) -> FloatArray:
        """J_t v."""
        if vectors.shape[-2] < MANY_ROWS:
            return Linearization.jvp_many(self, vectors, at)
        return vectors @ self._dense(at).swapaxes(1, 2)

    def _dense(self, at: At) -> FloatArray:
        """J_t (N,H,H): the three blocks of W in one, and z on the diagonal."""
        candidate = self.candidate_gains[at]
        reset, kept = candidate * self.reset_gains[at], candidate * self.reset[at]
        gains = np.concatenate([reset, self.update_gains[at], kept], axis=-1)[:, 0]
        rows = cells.merged(gains, self.recurrent_weights)
        dense: FloatArray = rows.swapaxes(0, 1)
        units = np.arange(self.size)
        dense[:, units, units] += self.update[at][:, 0]
        return dense

    def weight_gradients(self, local: FloatArray, steps: Steps) -> dict[str, FloatArray]:
        """Gather the gradients of U, W, b and b′."""
        size = self.size
        fed_by_inputs = local[..., size:]
        by_state = cells.outer_sum(local[..., : 3 * size], self.cell_trajectory.states[:-1][steps])
        return {
            "input_weights": cells.outer_sum(fed_by_inputs, self.cell_trajectory.inputs[steps]),
            "recurrent_weights": np.roll(by_state, -size, axis=0),
            "hidden_bias": fed_by_inputs.sum(axis=(0, 1)),
            "candidate_bias": local[..., :size].sum(axis=(0, 1)),
        }

    def stages(self, vectors: FloatArray, at: At) -> dict[str, FloatArray]:
        """J_t v stage by stage, the reset gate behind W_n."""
        driven = cells.product(vectors, self.recurrent_weights[2 * self.size :].T)
        return self._stages(vectors, at, driven, driven * self.reset[at])

    def log_bound(self) -> float:
        """log(max z + Σ max|diagonal| σ_max(block of W)) over the trajectory, in nats."""
        norms = [cells.spectral_norm(each) for each in np.split(self.recurrent_weights, 3)]
        return cells.log_of(
            cells.largest(self.update)
            + cells.largest(self.candidate_gains * self.reset_gains) * norms[0]
            + cells.largest(self.update_gains) * norms[1]
            + cells.largest(self.candidate_gains * self.reset) * norms[2]
        )


@dataclass(frozen=True, eq=False, slots=True)
class ResetBeforeLinearization(_GruLinearization):
    """∂a_n/∂h = W_n (diag(r) + diag(h_{t−1} r′) W_r); ``reset_gains`` is the last diagonal.

    Local adjoints stand as (r, z, n).
    """

    @property
    def local_size(self) -> int:
        """3H."""
        return 3 * self.size

    @property
    def written(self) -> FloatArray:
        """What r, z and n change of h_t; r changes every candidate, by way of W_n."""
        candidate, to_candidate = self.candidate_gains, self.recurrent_weights[2 * self.size :]
        spread = np.sqrt(cells.product(np.square(candidate), np.square(to_candidate)))
        return np.concatenate([spread * self.reset_gains, self.update_gains, candidate], axis=-1)

    def fed(self) -> Iterator[tuple[str, slice, FloatArray]]:
        """W_r and W_z multiply h_{t−1}, W_n multiplies r ∘ h_{t−1}."""
        to_inputs, (w, _, h), to_bias = Linearization.fed(self)
        gated = self.reset * self.cell_trajectory.states[:-1]
        gates, candidate = slice(2 * self.size), slice(2 * self.size, None)
        yield from (to_inputs, (w, gates, h), (w, candidate, gated), to_bias)

    def adjoints(self, rows: FloatArray, at: At, local: FloatArray) -> FloatArray:
        """Fill ``local`` with the adjoints of a_r, a_z, a_n; return that of r ∘ h_{t−1}."""
        size = self.size
        np.multiply(rows, self.candidate_gains[at], out=local[..., 2 * size :])
        np.multiply(rows, self.update_gains[at], out=local[..., size : 2 * size])
        reset_states = cells.product(local[..., 2 * size :], self.recurrent_weights[2 * size :])
        np.multiply(reset_states, self.reset_gains[at], out=local[..., :size])
        return reset_states

    def vjp(self, rows: FloatArray, at: At, local: FloatArray) -> FloatArray:
        """Rows · J_t; ``local`` as of ``adjoints``."""
        reset_states = self.adjoints(rows, at, local)
        size, weights = self.size, self.recurrent_weights
        carried = cells.product(local[..., : 2 * size], weights[: 2 * size])
        carried += reset_states * self.reset[at]
        carried += rows * self.update[at]
        return carried

    def jvp(self, vectors: FloatArray, at: At) -> FloatArray:
        """J_t v."""
        size = self.size
        weights = self.recurrent_weights
        fed = cells.product(vectors, weights[: 2 * size].T)
        inner = vectors * self.reset[at] + fed[..., :size] * self.reset_gains[at]
        carried = cells.product(inner, weights[2 * size :].T) * self.candidate_gains[at]
        carried += fed[..., size:] * self.update_gains[at]
        carried += vectors * self.update[at]
        return carried

    def weight_gradients(self, local: FloatArray, steps: Steps) -> dict[str, FloatArray]:
        """Gather the gradients of U, W and b."""
        size = self.size
        before = self.cell_trajectory.states[:-1][steps]
        by_gates = cells.outer_sum(local[..., : 2 * size], before)
        by_candidate = cells.outer_sum(local[..., 2 * size :], before * self.reset[steps])
        return {
            "input_weights": cells.outer_sum(local, self.cell_trajectory.inputs[steps]),
            "recurrent_weights": np.concatenate([by_gates, by_candidate]),
            "hidden_bias": local.sum(axis=(0, 1)),
        }

    def stages(self, vectors: FloatArray, at: At) -> dict[str, FloatArray]:
        """J_t v stage by stage, the reset gate before W_n."""
        to_candidate = self.recurrent_weights[2 * self.size :].T
        gated = cells.product(vectors * self.reset[at], to_candidate)
        return self._stages(vectors, at, cells.product(vectors, to_candidate), gated)

    def log_bound(self) -> float:
        """log(max z + Σ max|diagonal| σ_max(block of W)) over the trajectory, in nats."""
        norms = [cells.spectral_norm(each) for each in np.split(self.recurrent_weights, 3)]
        inner = cells.largest(self.reset) + cells.largest(self.reset_gains) * norms[0]
        return cells.log_of(
            cells.largest(self.update)
            + cells.largest(self.update_gains) * norms[1]
            + cells.largest(self.candidate_gains) * norms[2] * inner
        )
