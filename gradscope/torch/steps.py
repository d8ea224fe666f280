"""The chain of any step function in PyTorch: whatever has a state and a step.

Source: PyTorch 2.13, ``torch.overrides.TorchFunctionMode``, ``torch.utils._pytree``.
"""

from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from gradscope.arrays import FloatArray, IntArray
from gradscope.errors import SettingError, ShapeError
from gradscope.jacobians.chain import Chain
from gradscope.jacobians.step_chain import step_chain

Step = Callable[[Any, Any], Any]

WIDE = dict.fromkeys((torch.float16, torch.bfloat16, torch.float32), torch.float64)
WIDE |= {torch.complex32: torch.complex128, torch.complex64: torch.complex128}
"""What each kind of floating-point number becomes."""

DROPOUTS = ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout")
DROPPING = {getattr(functional, name) for name in (*DROPOUTS, "feature_alpha_dropout")}

MAX_COPIES = 2**13
"""Copies of sequences that go through a step at once."""

TOLERANCE = 1e-9
"""Relative difference of two calls of a step on the same numbers that rounding explains."""


def chain(step: Step, initial_state: Any, inputs: Any, *, dense: bool | None = None) -> Chain:
    """Return the chain of Jacobians of any recurrence, for ``lag_norms`` and all that takes one.

    ``step(state, x)`` returns the next state, or a pair of an output and the next state: what has
    the nest of ``initial_state`` is the state. ``initial_state`` is any nest of tensors (B,…),
    ``inputs`` of tensors (T,B,…). Everything is computed in float64, the weights that the step
    brings along too, and without dropout; integers in the state are carried and have no Jacobian; a
    complex number counts as two. ``dense`` says whether all Jacobians are made at once; by default
    where the state is small, else rows are carried through the step, and none is ever made.

    The step must treat each sequence by itself, without random numbers, and keep the sizes of its
    state. Raises SettingError where it does not, ShapeError where shapes do not fit or a number is
    not finite.
    """
    run = _Run(step, initial_state, inputs)
    return step_chain(run.pull, run.states[1:].shape, dense)


class Wide(TorchFunctionMode):
    """Calculates with 64 bits whatever weights a step brings along, and without dropout."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call a function of PyTorch on wide numbers, to a wide result."""
        del types
        if func in DROPPING:
            return args[0]
        args, kwargs = widened((args, kwargs or {}))
        return widened(func(*args, **kwargs))


def widened(nest: Any) -> Any:
    """Return a nest of tensors, those of floating-point numbers with 64 bits."""
    return pytree.tree_map_only(
        Tensor, lambda each: each.to(WIDE.get(each.dtype, each.dtype)), nest
    )


class _Run:
    """A step along its trajectory: ``states`` (T+1,B,S) are what it is differentiated by."""

    def __init__(self, step: Step, initial_state: Any, inputs: Any) -> None:
        leaves, self._spec = pytree.tree_flatten(widened(initial_state))
        self._inputs, self._inputs_spec = pytree.tree_flatten(widened(inputs))
        sizes = {each.shape[:2] for each in self._inputs}
        if len(sizes) != 1 or {each.shape[:1] for each in leaves} != {next(iter(sizes))[1:]}:
            found = [tuple(each.shape) for each in (*self._inputs, *leaves)]
            raise ShapeError(f"inputs and state have shapes {found}; give (T,B,…) and (B,…)")
        self._step, self._like, (n_steps, n_sequences) = step, leaves, next(iter(sizes))
        every, states = np.arange(n_sequences), [leaves]
        with torch.no_grad():
            for t in range(n_steps):
                states.append(self._call(states[-1], self._given(np.full(n_sequences, t), every)))
        # What has no Jacobian, (T+1,B,…).
        self._rest = [torch.stack(each) for each in zip(*map(self._fixed, states), strict=True)]
        self.states = torch.stack(list(map(self._vector, states)))
        finite = torch.isfinite(self.states).flatten(1).all(1).tolist()
        if not all(finite):
            raise ShapeError(f"the state after step {finite.index(False)} is not finite")
        self._check(states[1])

    def pull(self, rows: FloatArray, steps: IntArray, sequences: IntArray) -> FloatArray:
        """Rows (N,r,S) · J_t at the steps t (N,) of sequences (N,)."""
        out, many = np.empty(rows.shape), rows.shape[1]
        at_once = max(1, MAX_COPIES // many)
        for start in range(0, len(rows), at_once):
            some = slice(start, start + at_once)
            before, after = self._copies(steps[some], sequences[some], many)
            cotangents = torch.tensor(rows[some]).reshape(after.shape).to(after)
            (found,) = torch.autograd.grad(after, before, cotangents)
            out[some] = found.reshape(-1, *rows.shape[1:]).numpy(force=True)
        return out

    def _copies(self, steps: IntArray, sequences: IntArray, many: int) -> tuple[Tensor, Tensor]:
        """Return the state before each step (N·many,S), and by a graph that after it."""
        at = steps - 1, sequences
        before = self.states[at].repeat_interleave(many, 0).requires_grad_()
        rest = (each[at].repeat_interleave(many, 0) for each in self._rest)
        given = [each.repeat_interleave(many, 0) for each in self._given(*at)]
        with torch.enable_grad():
            return before, self._vector(self._call(self._leaves(before, rest), given))

    def _given(self, before: IntArray, sequences: IntArray) -> list[Tensor]:
        return [each[before, sequences] for each in self._inputs]

    def _call(self, state: Sequence[Tensor], given: Sequence[Tensor]) -> list[Tensor]:
        """Return the leaves of the next state."""
        x = pytree.tree_unflatten(given, self._inputs_spec)
        with Wide():
            found = self._step(pytree.tree_unflatten(state, self._spec), x)
        pair = isinstance(found, tuple) and len(found) == 2
        for each in (found, *reversed(found)) if pair else (found,):
            leaves, spec = pytree.tree_flatten(each)
            if spec == self._spec and all(isinstance(leaf, Tensor) for leaf in leaves):
                break
        else:
            raise SettingError(
                "the step returns nothing that is nested like the initial state; "
                "return the next state, or a pair of an output and the next state"
            )
        sizes = [[tuple(leaf.shape) for leaf in each] for each in (state, leaves)]
        if sizes[0] != sizes[1]:
            raise ShapeError(
                f"a step turns a state of shapes {sizes[0]} into {sizes[1]}; "
                "only a state that keeps its shape has Jacobians"
            )
        return leaves

    def _fixed(self, state: Sequence[Tensor]) -> list[Tensor]:
        return [each for each in state if not _differentiable(each)]

    def _vector(self, state: Sequence[Tensor]) -> Tensor:
        """Return what of a state has a Jacobian, (B,S)."""
        moving = [each for each in state if _differentiable(each)]
        if not moving:
            raise SettingError("the state has no floating-point number, so no Jacobian")
        real = [torch.view_as_real(each) if each.is_complex() else each for each in moving]
        return torch.cat([each.flatten(1) for each in real], dim=1)

    def _leaves(self, vector: Tensor, rest: Iterator[Tensor]) -> list[Tensor]:
        """Return the leaves of a state of which this is the ``_vector``."""
        leaves, at = [], 0
        for like in self._like:
            if not _differentiable(like):
                leaves.append(next(rest))
                continue
            shape = (-1, *like.shape[1:], *(2,) * like.is_complex())
            size = prod(shape[1:])
            part = vector[:, at : at + size].reshape(shape)
            leaves.append(torch.view_as_complex(part) if like.is_complex() else part)
            at += size
        return leaves

    def _check(self, following: Sequence[Tensor]) -> None:
        """Refuse a step that draws random numbers, mixes sequences, or cannot be differentiated."""
        first, wanted = np.ones(1, dtype=np.int64), self._vector(following)[:1]
        once, again = (self._copies(first, 0 * first, 2)[1] for _ in range(2))
        scale = TOLERANCE * (1.0 + wanted.abs().max())
        for found, remedy in (
            (once - again, "draws random numbers; fix them"),
            (once - wanted, "mixes the sequences of a batch; let it treat each by itself"),
        ):
            if found.abs().max() > scale:
                raise SettingError(f"the step {remedy}")
        if not again.requires_grad:
            raise SettingError("the next state has no gradient: it is detached in the step")


def _differentiable(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()
