"""The chain of any step s_t = F(s_{t−1}, x_t) that a framework can differentiate.

Rows are carried by the framework's own vector–Jacobian products, on as many copies of a sequence as
there are rows, so that each is a full GEMM; a Jacobian is that of the rows of the identity.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.jacobians.chain import Chain, DenseChain, require_finite

Pull = Callable[[FloatArray, IntArray, IntArray], FloatArray]
"""Rows (N,r,S) · J_t, given the steps t (N,) and sequences (N,) of the N products."""

DENSE_STATE, DENSE_ENTRIES = 96, 2**25
"""Up to this S, and so many entries of all Jacobians (256 MB), they are made at once."""


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class StepChain(Chain):
    """The chain of a step whose Jacobians are never kept, of ``sizes`` (T,B,S)."""

    pull: Pull
    sizes: tuple[int, int, int]
    _last: dict[int, FloatArray] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_last", {})
        object.__setattr__(self, "_sizes", self.sizes)

    def jacobian(self, step: int) -> FloatArray:
        """J_t, (B,S,S); that of the last step asked for is kept."""
        if step not in self._last:
            every = np.arange(self.n_sequences)
            rows = np.broadcast_to(np.eye(self.state_size), (every.size, *(self.state_size,) * 2))
            found = self.pull(rows, np.full(every.size, step), every)
            require_finite(found, f"the Jacobians of step {step}")
            self._last.clear()
            self._last[step] = found
        return self._last[step].copy()

    def vjp(self, rows: FloatArray, step: int) -> FloatArray:
        """Rows · J_t."""
        if step in self._last:
            return np.asarray(rows @ self._last[step])
        every = np.arange(self.n_sequences)
        return self.pull(rows, np.full(every.size, step), every)

    def jvp(self, vectors: FloatArray, step: int) -> FloatArray:
        """J_t v, by the Jacobian."""
        return np.asarray(vectors @ self.jacobian(step).swapaxes(1, 2))

    def accumulate_vjp(
        self, rows: FloatArray | None, steps: IntArray, sequences: IntArray, out: FloatArray
    ) -> IntArray:
        """Rows · J_t · 2**−e over consecutive steps; e keeps the largest entry's size."""
        exponents = np.empty(steps.shape, dtype=np.int64)
        if rows is None:
            rows = np.broadcast_to(np.eye(self.state_size), out.shape[1:])
        for index, step in enumerate(steps):
            carried = self.pull(rows, step, sequences)
            require_finite(carried, f"the Jacobians of step {step.max()}")
            sizes = np.max(np.abs(carried), axis=(1, 2)), np.max(np.abs(rows), axis=(1, 2))
            exponents[index] = np.frexp(sizes[0])[1] - np.frexp(sizes[1])[1]
            exponents[index][(sizes[0] == 0.0)] = 0
            rows = np.multiply(
                carried, np.ldexp(1.0, -exponents[index])[:, None, None], out=out[index]
            )
        return exponents


def step_chain(pull: Pull, sizes: tuple[int, int, int], dense: bool | None) -> Chain:
    """Return the chain of a step: a ``DenseChain`` where its Jacobians are small (see
    ``DENSE_STATE``) or asked for, else a ``StepChain``.
    """
    chain = StepChain(pull, sizes)
    n_steps, n_sequences, size = sizes
    if dense is None:
        small = n_steps * n_sequences * size**2 <= DENSE_ENTRIES
        dense = small and size <= DENSE_STATE
    if not dense:
        return chain
    return DenseChain(np.stack([chain.jacobian(step) for step in range(1, n_steps + 1)]))
