"""The chain of any step s_t = F(s_{t−1}, x_t) that a framework can differentiate.

Rows are carried by the framework's own vector–Jacobian products, on as many copies of a sequence as
there are rows, so that each is a full GEMM; a Jacobian is the rows of the identity carried so.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.jacobians.chain import Chain, DenseChain, require_finite
from gradscope.model.steps import Steps

Carry = Callable[[FloatArray, IntArray, IntArray], FloatArray]
"""Rows (N,r,S) · J_t, or J_t · vectors, given the steps t (N,) and sequences (N,) of N products."""

DENSE_STATE, DENSE_ENTRIES = 96, 2**25
"""Up to this S, and so many entries of all Jacobians (256 MB), they are made at once."""


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class StepChain(Chain):
    """The chain of a step whose Jacobians are not kept, of ``sizes`` (T,B,S)."""

    pull: Carry
    push: Carry
    sizes: tuple[int, int, int]
    _last: dict[int, FloatArray] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_last", {})
        object.__setattr__(self, "_sizes", self.sizes)

    def jacobian(self, step: int) -> FloatArray:
        """J_t, (B,S,S); that of the last step asked for is kept."""
        if step not in self._last:
            unit = np.eye(self.state_size)
            found = self.vjp(np.broadcast_to(unit, (self.n_sequences, *unit.shape)), step)
            require_finite(found, f"the Jacobians of step {step}")
            self._last.clear()
            self._last[step] = found
        return self._last[step].copy()

    def vjp(self, rows: FloatArray, step: int) -> FloatArray:
        """Rows · J_t."""
        every = np.arange(self.n_sequences)
        return self.pull(rows, np.full(every.size, step), every)

    def jvp(self, vectors: FloatArray, step: int) -> FloatArray:
        """J_t v."""
        every = np.arange(self.n_sequences)
        return self.push(vectors, np.full(every.size, step), every)

    def accumulate_vjp(
        self, rows: FloatArray | None, steps: IntArray, sequences: IntArray, out: FloatArray
    ) -> IntArray:
        """Rows · J_t · 2**−e over consecutive steps; e keeps the size of the largest entry."""
        exponents = np.zeros(steps.shape, dtype=np.int64)
        if rows is None:
            rows = np.broadcast_to(np.eye(self.state_size), out.shape[1:])
        for index, step in enumerate(steps):
            carried = self.pull(rows, step, sequences)
            require_finite(carried, f"the Jacobians of step {step.max()}")
            after, before = (np.max(np.abs(each), axis=(1, 2)) for each in (carried, rows))
            gained = np.frexp(after)[1] - np.frexp(before)[1]
            exponents[index] = np.where(after == 0.0, 0, gained)
            scale = np.ldexp(1.0, -exponents[index])[:, None, None]
            rows = np.multiply(carried, scale, out=out[index])
        return exponents


def step_chain(steps: Steps, dense: bool | None) -> Chain:
    """Return the chain of a step: a ``DenseChain`` where its Jacobians are small (see
    ``DENSE_STATE``) or asked for, else a ``StepChain``.
    """
    n_steps, n_sequences, size = steps.states[1:].shape
    chain = StepChain(steps.pull, steps.push, (n_steps, n_sequences, size))
    if dense is None:
        dense = size <= DENSE_STATE and n_steps * n_sequences * size**2 <= DENSE_ENTRIES
    if not dense:
        return chain
    times, sequences = np.indices((n_steps, n_sequences)).reshape(2, -1)
    unit = np.broadcast_to(np.eye(size), (times.size, size, size))
    found = steps.pull(unit, times + 1, sequences).reshape(n_steps, n_sequences, size, size)
    for step, jacobians in enumerate(found, 1):
        require_finite(jacobians, f"the Jacobians of step {step}")
    return DenseChain(found)
