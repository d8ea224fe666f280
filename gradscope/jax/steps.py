"""The chain of any step function in JAX. Source: JAX 0.10, ``jax.vjp``, ``jax.enable_x64``."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from gradscope.jacobians.chain import Chain
from gradscope.jacobians.step_chain import Leaves, Steps, step_chain


def chain(
    step: Callable[[Any, Any], Any],
    initial_state: Any,
    inputs: Any,
    *,
    dense: bool | None = None,
) -> Chain:
    """Return the chain of Jacobians of any recurrence, for ``lag_norms`` and all that takes one.

    ``step(state, x)`` returns the next state, or a pair of it and an output, as ``jax.lax.scan``
    has it: what has the tree of ``initial_state`` is the state. All else is as in
    ``gradscope.torch.chain``, but that weights which meet one another before they meet state or
    input do so in their own precision, and that dropout is the step's own to leave out.
    """
    with jax.enable_x64(True):
        return step_chain(JaxSteps(step, initial_state, inputs), dense)


class JaxSteps(Steps):
    """A step of JAX along its trajectory."""

    def leaves_of(self, nest: Any) -> tuple[list[Any], Any]:
        """Return a tree's leaves as they are, and its form."""
        return jax.tree.flatten(nest)

    def flatten(self, nest: Any) -> tuple[list[Any], Any]:
        """Return a tree as NumPy arrays, wide ones of floating-point numbers, and its form."""
        leaves, spec = jax.tree.flatten(nest)
        return [_wide(np.asarray(each)) for each in leaves], spec

    def candidates(self, found: Any) -> tuple[Any, ...]:
        """Return the result, and of a pair the first, then the second."""
        return (found, *found) if isinstance(found, tuple) and len(found) == 2 else (found,)

    def following(self, state: Leaves, given: Leaves) -> list[Any]:
        """Return the next state as arrays."""
        with jax.enable_x64(True):
            return [_wide(np.asarray(each)) for each in self._call(state, given)]

    def pullback(self, state: Leaves, given: Leaves, cotangents: Leaves) -> list[Any]:
        """Return what arrives at the floating-point arrays of a state from those of the next."""
        moved, moving = self._moved(state, given)
        with jax.enable_x64(True):
            _, back = jax.vjp(moved, *moving)
            # JAX pairs complex numbers without conjugation, PyTorch and we with it.
            found = back([jnp.asarray(np.conj(each)) for each in cotangents])
        return [np.conj(np.asarray(each)) for each in found]

    def pushforward(self, state: Leaves, given: Leaves, tangents: Leaves) -> list[Any]:
        """Return where a step carries changes of the floating-point arrays of a state."""
        moved, moving = self._moved(state, given)
        with jax.enable_x64(True):
            _, found = jax.jvp(moved, moving, list(map(jnp.asarray, tangents)))
        return list(map(np.asarray, found))

    def _moved(self, state: Leaves, given: Leaves) -> tuple[Callable[..., list[Any]], list[Any]]:
        """Return the step as a function of the floating-point arrays of a state, and these."""
        moves = [np.issubdtype(each.dtype, np.inexact) for each in state]

        def moved(*moving: Any) -> list[Any]:
            own = iter(moving)
            whole = [next(own) if m else each for m, each in zip(moves, state, strict=True)]
            after = zip(moves, self._call(whole, given), state, strict=True)
            return [each.astype(like.dtype) for m, each, like in after if m]

        return moved, [each for m, each in zip(moves, state, strict=True) if m]

    def _call(self, state: Leaves, given: Leaves) -> list[Any]:
        x = jax.tree.unflatten(self._inputs_spec, list(map(jnp.asarray, given)))
        before = jax.tree.unflatten(self._spec, list(map(jnp.asarray, state)))
        return self.next_state(self._step(before, x), state)


def _wide(array: Any) -> Any:
    """Return an array, one of floating-point numbers in double precision."""
    if np.iscomplexobj(array):
        return array.astype(np.complex128)
    narrow = jnp.issubdtype(array.dtype, jnp.floating)
    return array.astype(np.float64) if narrow else array
