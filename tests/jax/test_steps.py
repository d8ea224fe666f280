"""The chain of any step function of JAX, against ``jacrev``, PyTorch's chain and closed forms."""

from typing import Any

import numpy as np
import pytest

from gradscope.errors import GradscopeError
from gradscope.jacobians.lag_norms import lag_norms

jax = pytest.importorskip("jax", reason="JAX steps are what is measured")

T, B, D, H = 8, 3, 2, 4
RNG = np.random.default_rng(4)
X, W, U = (
    RNG.standard_normal((T, B, D)),
    RNG.standard_normal((H, H)) / 2,
    RNG.standard_normal((H, D)),
)


def gated(state: Any, x: Any) -> Any:
    """A step as ``lax.scan`` takes it, of a dictionary."""
    h, c = state["h"], state["c"]
    gate = jax.nn.sigmoid(h @ W.T)
    c = gate * c + (1.0 - gate) * jax.numpy.tanh(x @ U.T + h @ W)
    return {"h": jax.numpy.tanh(c), "c": c}, h.sum(axis=1)


@pytest.mark.parametrize("dense", [True, False])
def test_jacobians_are_those_of_jacrev_in_float64(dense: bool) -> None:
    from gradscope.jax import chain

    zeros = np.zeros((B, H), dtype=np.float32)
    found = chain(gated, {"h": zeros, "c": zeros}, X, dense=dense)

    def flat(vector: Any, x: Any) -> Any:
        after, _ = gated({"c": vector[None, :H], "h": vector[None, H:]}, x[None])
        return jax.numpy.concatenate([after["c"], after["h"]], axis=1)[0]

    with jax.enable_x64(True):
        state = np.zeros((B, 2 * H))
        for t, x in enumerate(X):
            wanted = np.stack([jax.jacrev(flat)(*each) for each in zip(state, x, strict=True)])
            np.testing.assert_allclose(found.jacobian(t + 1), wanted, rtol=1e-12, atol=1e-14)
            state = np.stack([flat(*each) for each in zip(state, x, strict=True)])


def test_a_complex_state_turns_as_in_pytorch_and_integers_are_carried() -> None:
    from gradscope.jax import chain

    turn = np.array([0.5, 0.9]) * np.exp(1j * np.array([1.0, 2.0]))

    def step(state: Any, x: Any) -> Any:
        z, n = state
        return z * turn / n[:, None] + x.sum(axis=1, keepdims=True), n + 1

    start = np.zeros((B, 2), dtype=np.complex64), np.ones(B, dtype=np.int32)
    found = chain(step, start, X)

    wanted = np.cumsum(np.log(0.9) - np.log(np.arange(T, 0, -1)))
    np.testing.assert_allclose(lag_norms(found).log_norms[:, 0], wanted, rtol=1e-9)
    rotation = 0.5 / T * np.array([[np.cos(1), -np.sin(1)], [np.sin(1), np.cos(1)]])
    np.testing.assert_allclose(found.jacobian(T)[0, :2, :2], rotation, rtol=1e-9)


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (lambda h, _: h - h.mean(axis=0), "mixes"),
        (lambda h, _: jax.numpy.concatenate([h, h], axis=1), "shape"),
        (lambda h, _: (h, h, 1), "pair"),
        (lambda h, _: h * float("nan"), "not finite"),
    ],
)
def test_a_step_without_jacobians_is_refused_with_one_line(step: Any, says: str) -> None:
    from gradscope.jax import chain

    with pytest.raises(GradscopeError, match=says) as raised:
        chain(step, RNG.standard_normal((B, H)), X)
    assert "\n" not in str(raised.value)
