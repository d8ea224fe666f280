"""The chain of any step function in JAX. Source: JAX 0.10, ``jax.vjp``, ``jax.enable_x64``."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from gradscope.analysis.imported.steps import study_steps
from gradscope.analysis.results import Analysis
from gradscope.arrays import FloatArray
from gradscope.jacobians.chain import Chain
from gradscope.jacobians.step_chain import step_chain
from gradscope.machine import held_threads
from gradscope.model.steps import PROMOTED, Leaves, Steps, moves, path_name


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
    input do so in their own precision, that dropout is the step's own to leave out, and that the
    step is compiled: it does not branch in Python on its numbers.
    """
    with jax.enable_x64(True):
        return step_chain(JaxSteps(step, initial_state, inputs), dense)


@held_threads()
def study(
    step: Callable[..., Any],
    initial_state: Any,
    inputs: Any,
    *,
    readout: Callable[..., Any] | None = None,
    targets: Any = None,
    parameters: Any = None,
    dense: bool | None = None,
    **settings: Any,
) -> Analysis:
    """Return what ``analyze`` finds of a network, of any recurrence; see ``gradscope.torch.study``.

    With a tree of ``parameters``, by which the gradient and its shares are taken, they come first:
    ``step(parameters, state, x)`` and ``readout(parameters, state)``.
    """
    steps = JaxSteps(step, initial_state, inputs, readout, parameters)
    name = getattr(step, "__name__", type(step).__name__)
    of = {"weights": f"gradscope.jax.study({name})", **settings}
    return study_steps(steps, targets, dense=dense, **of)


class JaxSteps(Steps):
    """A step of JAX along its trajectory, ``step(parameters, state, x)`` where there are any."""

    def __init__(
        self,
        step: Callable[..., Any],
        initial_state: Any,
        inputs: Any,
        readout: Callable[..., Any] | None = None,
        parameters: Any = None,
    ) -> None:
        found, self._parameters_spec = jax.tree.flatten_with_path(parameters)
        named = {
            path_name(jax.tree_util.keystr(path)): _wide(np.asarray(each)) for path, each in found
        }
        self._pulled = jax.jit(self._back)
        super().__init__(step, initial_state, inputs, readout, named)

    def read(self, state: Leaves) -> FloatArray:
        """Return what the readout makes of states, (N,O)."""
        with jax.enable_x64(True):
            return np.asarray(self._read(state))

    def read_back(self, state: Leaves, errors: FloatArray) -> list[Any]:
        """Return what arrives at the arrays of states from errors (N,O) of what is read of them."""
        moving, whole = self._apart(state)
        with jax.enable_x64(True):
            _, back = jax.vjp(lambda *moved: self._read(whole(moved)), *moving)
            return [np.conj(np.asarray(each)) for each in back(jnp.asarray(errors))]

    def parameters_back(self, state: Leaves, given: Leaves, cotangents: Leaves) -> list[FloatArray]:
        """Return what arrives at each of the parameters from the arrays of next states, summed."""

        def after(*values: Any) -> list[Any]:
            found = zip(self._call(state, given, values), state, strict=True)
            return [each.astype(like.dtype) for each, like in found if moves(like)]

        with jax.enable_x64(True):
            _, back = jax.vjp(after, *map(jnp.asarray, self.parameters.values()))
            return list(map(np.asarray, back([jnp.asarray(np.conj(each)) for each in cotangents])))

    def _read(self, state: Any) -> Any:
        nest = jax.tree.unflatten(self._spec, list(map(jnp.asarray, state)))
        shown = self._readout(*self._with(self.parameters.values()), nest)
        return shown.reshape(len(shown), -1)

    def _with(self, values: Iterable[Any]) -> tuple[Any, ...]:
        """Return the parameters of these values as their tree, if there are any."""
        if not self.parameters:
            return ()
        return (jax.tree.unflatten(self._parameters_spec, list(map(jnp.asarray, values))),)

    def leaves_of(self, nest: Any) -> dict[str, Any]:
        """Return a tree's leaves as they are, by the way to each."""
        leaves, _ = jax.tree.flatten_with_path(nest)
        return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}

    def flatten(self, nest: Any) -> tuple[list[Any], Any]:
        """Return a tree as NumPy arrays, wide ones of floating-point numbers, and its form."""
        leaves, spec = jax.tree.flatten(nest)
        kinds = [np.asarray(each).dtype for each in leaves]
        if any(jnp.issubdtype(kind, jnp.inexact) and kind.itemsize < 8 for kind in kinds):
            self.changed.add(PROMOTED)
        return [_wide(np.asarray(each)) for each in leaves], spec

    def candidates(self, found: Any) -> tuple[Any, ...]:
        """Return the result, and of a pair the first, then the second."""
        return (found, *found) if isinstance(found, tuple | list) and len(found) == 2 else (found,)

    def following(self, state: Leaves, given: Leaves) -> list[Any]:
        """Return the next state as arrays."""
        with jax.enable_x64(True):
            return [_wide(np.asarray(each)) for each in self._call(state, given)]

    def pullback(self, state: Leaves, given: Leaves, cotangents: Leaves) -> list[Any]:
        """Return what arrives at the floating-point arrays of a state from those of the next."""
        # Every number of copies is compiled once, so they are filled up to a power of two.
        count = len(cotangents[0])
        some = np.arange(1 << (count - 1).bit_length()) % count
        filled = ([each[some] for each in nest] for nest in (state, given, cotangents))
        with jax.enable_x64(True):
            return [np.asarray(each)[:count] for each in self._pulled(*filled)]

    def _back(self, state: Leaves, given: Leaves, cotangents: Leaves) -> list[Any]:
        moved, moving = self._moved(state, given)
        _, back = jax.vjp(moved, *moving)
        # JAX pairs complex numbers without conjugation, PyTorch and we with it.
        return [each.conj() for each in back([each.conj() for each in cotangents])]

    def pushforward(self, state: Leaves, given: Leaves, tangents: Leaves) -> list[Any]:
        """Return where a step carries changes of the floating-point arrays of a state."""
        moved, moving = self._moved(state, given)
        with jax.enable_x64(True):
            _, found = jax.jvp(moved, moving, list(map(jnp.asarray, tangents)))
        return list(map(np.asarray, found))

    def _moved(self, state: Leaves, given: Leaves) -> tuple[Callable[..., list[Any]], list[Any]]:
        """Return the step as a function of the floating-point arrays of a state, and these."""
        moving, whole = self._apart(state)

        def moved(*values: Any) -> list[Any]:
            after = zip(self._call(whole(values), given), state, strict=True)
            return [each.astype(like.dtype) for each, like in after if moves(like)]

        return moved, moving

    def _apart(self, state: Leaves) -> tuple[list[Any], Callable[[Iterable[Any]], list[Any]]]:
        """Return the floating-point arrays of a state, and what puts others in their places."""

        def whole(values: Iterable[Any]) -> list[Any]:
            own = iter(values)
            return [next(own) if moves(each) else each for each in state]

        return [each for each in state if moves(each)], whole

    def _call(self, state: Leaves, given: Leaves, values: Iterable[Any] | None = None) -> list[Any]:
        x = jax.tree.unflatten(self._inputs_spec, list(map(jnp.asarray, given)))
        before = jax.tree.unflatten(self._spec, list(map(jnp.asarray, state)))
        first = self._with(self.parameters.values() if values is None else values)
        return self.next_state(self._step(*first, before, x), state)


def _wide(array: Any) -> Any:
    """Return an array, one of floating-point numbers in double precision."""
    if np.iscomplexobj(array):
        return array.astype(np.complex128)
    narrow = jnp.issubdtype(array.dtype, jnp.floating)
    return array.astype(np.float64) if narrow else array
