"""The chain of any step s_t = F(s_{t−1}, x_t) that a framework can differentiate.

Rows are carried by the framework's own vector–Jacobian products, on as many copies of a sequence as
there are rows, so that each is a full GEMM; a Jacobian is the rows of the identity carried so.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.errors import SettingError, ShapeError
from gradscope.jacobians.chain import Chain, DenseChain, require_finite

Carry = Callable[[FloatArray, IntArray, IntArray], FloatArray]
"""Rows (N,r,S) · J_t, or J_t · vectors, given the steps t (N,) and sequences (N,) of N products."""

Leaves = Sequence[Any]
"""The NumPy arrays of a nest, (B,…) each."""

DENSE_STATE, DENSE_ENTRIES = 96, 2**25
"""Up to this S, and so many entries of all Jacobians (256 MB), they are made at once."""

MAX_COPIES = 2**13
"""Copies of sequences that go through a step at once."""

SAME = 1e-9
"""Relative difference of two calls of a step on the same numbers that rounding explains."""


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


class Steps(ABC):
    """A step along its trajectory, for ``step_chain``: what is the same in every framework.

    ``states`` (T+1,B,S) are what a step is differentiated by: the floating-point numbers of its
    state, a complex one as two. Raises what ``gradscope.torch.chain`` does.
    """

    def __init__(self, step: Callable[[Any, Any], Any], initial_state: Any, inputs: Any) -> None:
        self._step = step
        leaves, self._spec = self.flatten(initial_state)
        self._inputs, self._inputs_spec = self.flatten(inputs)
        sizes = {each.shape[:2] for each in self._inputs}
        if len(sizes) != 1 or {each.shape[:1] for each in leaves} != {next(iter(sizes))[1:]}:
            found = [each.shape for each in (*self._inputs, *leaves)]
            raise ShapeError(f"inputs and state have shapes {found}; give (T,B,…) and (B,…)")
        if not any(map(_moves, leaves)):
            raise SettingError("the state has no floating-point number, so no Jacobian")
        (n_steps, n_sequences), states = next(iter(sizes)), [leaves]
        for t in range(n_steps):
            given = self._given(np.full(n_sequences, t), np.arange(n_sequences))
            states.append(self.following(states[-1], given))
        self._leaves = [np.stack(each) for each in zip(*states, strict=True)]
        self.states = np.stack(list(map(_vector, states)))
        finite = np.isfinite(self.states).all(axis=(1, 2))
        if not finite.all():
            raise ShapeError(f"the state after step {int(np.argmin(finite))} is not finite")
        self._check()

    @abstractmethod
    def flatten(self, nest: Any) -> tuple[list[Any], Any]:
        """Return a nest as NumPy arrays, wide ones of floating-point numbers, and its form."""

    @abstractmethod
    def following(self, state: Leaves, given: Leaves) -> list[Any]:
        """Return the next state as arrays."""

    @abstractmethod
    def pullback(self, state: Leaves, given: Leaves, cotangents: Leaves) -> list[Any]:
        """Return what arrives at the floating-point arrays of a state from those of the next."""

    @abstractmethod
    def candidates(self, found: Any) -> tuple[Any, ...]:
        """Return what of a step's result may be the next state, the likeliest first."""

    @abstractmethod
    def pushforward(self, state: Leaves, given: Leaves, tangents: Leaves) -> list[Any]:
        """Return where a step carries changes of the floating-point arrays of a state."""

    def pull(self, rows: FloatArray, steps: IntArray, sequences: IntArray) -> FloatArray:
        """Rows (N,r,S) · J_t at the steps t (N,) of sequences (N,)."""
        return self._carried(self.pullback, rows, steps, sequences)

    def push(self, vectors: FloatArray, steps: IntArray, sequences: IntArray) -> FloatArray:
        """J_t v for vectors (N,r,S) at the steps t (N,) of sequences (N,)."""
        return self._carried(self.pushforward, vectors, steps, sequences)

    def _carried(
        self,
        carry: Callable[[Leaves, Leaves, Leaves], list[Any]],
        rows: FloatArray,
        steps: IntArray,
        sequences: IntArray,
    ) -> FloatArray:
        out, (count, many, size) = np.empty(rows.shape), rows.shape
        at_once = max(1, MAX_COPIES // many)
        for start in range(0, count, at_once):
            some = slice(start, start + at_once)
            at = np.repeat(steps[some] - 1, many), np.repeat(sequences[some], many)
            state = [each[at] for each in self._leaves]
            along = self._split(rows[some].reshape(-1, size))
            found = carry(state, self._given(*at), along)
            out[some] = _vector(found).reshape(-1, many, size)
        return out

    def next_state(self, found: Any, like: Leaves) -> list[Any]:
        """Return the arrays of the next state, of the framework's kind, in a step's result."""
        for each in self.candidates(found):
            leaves, spec = self.leaves_of(each)
            if spec == self._spec and all(hasattr(leaf, "shape") for leaf in leaves):
                break
        else:
            raise SettingError(
                "the step returns nothing that is nested like the initial state; "
                "return the next state, or a pair of it and an output"
            )
        before, after = ([tuple(leaf.shape) for leaf in each] for each in (like, leaves))
        if before != after:
            raise ShapeError(
                f"a step turns a state of shapes {before} into {after}; "
                "only a state that keeps its shape has Jacobians"
            )
        return leaves

    @abstractmethod
    def leaves_of(self, nest: Any) -> tuple[list[Any], Any]:
        """Return a nest's leaves as they are, and its form."""

    def _given(self, before: IntArray, sequences: IntArray) -> list[Any]:
        return [each[before, sequences] for each in self._inputs]

    def _split(self, vector: FloatArray) -> list[Any]:
        """Return rows (N,S) as the floating-point arrays of a state."""
        parts, at = [], 0
        for leaf in filter(_moves, self._leaves):
            two = 1 + np.iscomplexobj(leaf)
            size = two * int(np.prod(leaf.shape[2:]))
            part = np.ascontiguousarray(vector[:, at : at + size])
            part = part.view(np.complex128) if two == 2 else part
            parts.append(part.reshape(-1, *leaf.shape[2:]))
            at += size
        return parts

    def _check(self) -> None:
        """Refuse a step that draws random numbers, mixes sequences, or has no gradient."""
        at = np.zeros(2, dtype=np.int64), np.zeros(2, dtype=np.int64)
        state, wanted = [each[at] for each in self._leaves], self.states[1, 0]
        once, again = (_vector(self.following(state, self._given(*at))) for _ in range(2))
        scale = SAME * (1.0 + np.abs(wanted).max())
        if np.abs(once - again).max() > scale:
            raise SettingError("the step draws random numbers; fix them")
        if np.abs(once - wanted).max() > scale:
            raise SettingError("the step mixes the sequences of a batch; treat each by itself")
        first = np.ones(1, dtype=np.int64)
        self.pull(np.zeros((1, 1, self.states.shape[2])), first, 0 * first)


def _moves(array: Any) -> bool:
    return bool(np.issubdtype(array.dtype, np.inexact))


def _vector(leaves: Leaves) -> FloatArray:
    """Return the floating-point numbers of a state (B,S), a complex one as two."""
    moving = [np.ascontiguousarray(each).reshape(len(each), -1) for each in leaves if _moves(each)]
    return np.concatenate([each.view(np.float64) for each in moving], axis=1)


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
    return DenseChain(np.stack([chain.jacobian(step) for step in range(1, n_steps + 1)]))
