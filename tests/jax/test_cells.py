"""Chains of the cells of Flax and Equinox against ``jax.jacrev``, in float64."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from gradscope.arrays import FloatArray

jax = pytest.importorskip("jax", reason="the cells are JAX's functions")
flax = pytest.importorskip("flax", reason="flax is not installed: pip install '.[cells]'")
flax_nnx = pytest.importorskip("flax.nnx", reason="flax is not installed: pip install '.[cells]'")
eqx = pytest.importorskip("equinox", reason="equinox is not installed: pip install '.[cells]'")

# Each is compiled.
pytestmark = pytest.mark.slow

T, B, D, H = 3, 2, 3, 4
IMAGE = (2, 3, 2)
SINGLE = np.zeros((B, H), np.float32)

Step = Callable[[Any, Any], Any]
Made = tuple[Callable[[Any], Step], Any, Any, tuple[int, ...]]
"""How weights become a step, the weights, the initial state, and the shape of an input."""


def linen(name: str, *given: Any, shape: tuple[int, ...] = (D,), **options: Any) -> Made:
    cell = getattr(flax.linen, name)(*(given or (H,)), **options)
    key, x = jax.random.key(1), np.zeros((B, *shape), np.float32)
    state = jax.eval_shape(lambda: cell.initialize_carry(key, x.shape))
    weights = jax.eval_shape(lambda: cell.init(key, jax.tree.map(zeros, state), x))
    return partial(partial, cell.apply), drawn(weights), state, shape


def nnx(name: str, n_states: int, **options: Any) -> Made:
    kind = getattr(flax_nnx, name)
    cell = flax_nnx.eval_shape(lambda: kind(D, H, **options, rngs=flax_nnx.Rngs(1)))
    form, weights, rest = flax_nnx.split(cell, flax_nnx.Param, ...)

    def bound(weights: Any) -> Any:
        return flax_nnx.merge(form, weights, rest)

    return bound, drawn(weights), SINGLE if n_states == 1 else (SINGLE,) * n_states, (D,)


def equinox(name: str, n_states: int) -> Made:
    cell = eqx.filter_eval_shape(getattr(eqx.nn, name), D, H, key=jax.random.key(1))
    weights, form = eqx.partition(cell, lambda each: hasattr(each, "shape"))

    def bound(weights: Any) -> Any:
        own = eqx.combine(weights, form)
        return jax.vmap(lambda s, x: own(x, s))

    return bound, drawn(weights), SINGLE if n_states == 1 else (SINGLE,) * n_states, (D,)


def zeros(of: Any) -> Any:
    return np.zeros(of.shape, of.dtype)


def drawn(weights: Any) -> Any:
    """Return weights of the shapes of others, biases too."""
    rng = np.random.default_rng(2)
    return jax.tree.map(lambda w: 0.5 * rng.standard_normal(w.shape).astype(w.dtype), weights)


CELLS: dict[str, Callable[[], Made]] = {
    "linen simple": lambda: linen("SimpleCell"),
    "linen simple, residual": lambda: linen("SimpleCell", residual=True),
    "linen GRU": lambda: linen("GRUCell"),
    "linen MGU": lambda: linen("MGUCell"),
    "linen MGU, no reset gate": lambda: linen("MGUCell", reset_gate=False),
    "linen LSTM": lambda: linen("LSTMCell"),
    "linen optimised LSTM": lambda: linen("OptimizedLSTMCell"),
    "linen convolutional LSTM": lambda: linen("ConvLSTMCell", 2, (2, 2), shape=IMAGE),
    "nnx simple": lambda: nnx(
        "SimpleCell", 1, dtype=None
    ),  # By default it casts to float32 itself.
    "nnx GRU": lambda: nnx("GRUCell", 1),
    "nnx LSTM": lambda: nnx("LSTMCell", 2),
    "nnx optimised LSTM": lambda: nnx("OptimizedLSTMCell", 2),
    "equinox GRU": lambda: equinox("GRUCell", 1),
    "equinox LSTM": lambda: equinox("LSTMCell", 2),
}


def jacobians(step: Step, state: Any, inputs: FloatArray) -> FloatArray:
    """Return ∂s_t/∂s_{t−1} (T,B,S,S) by ``jacrev``, sequence by sequence."""
    from jax.flatten_util import ravel_pytree

    _, unravel = ravel_pytree(jax.tree.map(lambda each: each[:1], state))

    def next_of(state: Any, x: Any) -> Any:
        found = step(state, x)
        same = jax.tree.structure(found) == jax.tree.structure(state)
        return found if same else found[0]

    def flat(vector: Any, x: Any) -> Any:
        return ravel_pytree(next_of(unravel(vector), x[None]))[0]

    def scanned(rows: Any, x: Any) -> Any:
        return jax.vmap(flat)(rows, x), jax.vmap(jax.jacrev(flat))(rows, x)

    rows = jax.vmap(lambda each: ravel_pytree(each)[0])(state)
    return np.asarray(jax.lax.scan(scanned, rows, inputs)[1])


@pytest.mark.parametrize("name", CELLS)
def test_jacobians_are_those_of_jacrev(name: str) -> None:
    from gradscope.jax import chain

    bound, weights, state, shape = CELLS[name]()
    state = jax.tree.map(zeros, state)
    inputs = np.random.default_rng(3).standard_normal((T, B, *shape))
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda each: np.asarray(each, np.float64), (weights, state))
        wanted = jacobians(bound(wide[0]), wide[1], inputs)
    assert np.abs(wanted).max() > 0.01

    found = chain(bound(weights), state, inputs)
    made = np.stack([found.jacobian(t) for t in range(1, T + 1)])
    np.testing.assert_allclose(made, wanted, rtol=0.0, atol=1e-12 * np.abs(wanted).max())
