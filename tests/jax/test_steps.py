"""The chain of any step function of JAX, against ``jacrev``, PyTorch's chain and closed forms."""

from typing import Any, NamedTuple

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


class Pair(NamedTuple):
    h: Any
    c: Any


ONES = np.ones((B, H), dtype=np.float32)

HALVING: dict[str, tuple[Any, Any]] = {
    "named": (lambda s, _: (Pair(s.h * 0.25, s.c * 0.5), s.h), Pair(ONES, ONES)),
    "nothing in a place": (lambda s, _: ((s[0] * 0.5, None), 0.0), (ONES, None)),
    "a list for a tuple": (lambda s, _: [s[0] * 0.25, s[1] * 0.5], (ONES, ONES)),
    "a list of state and output": (lambda h, _: [h * 0.5, h.sum(axis=1)], ONES),
    "yes and no": (lambda s, _: (s[0] * 0.5, ~s[1]), (ONES, np.ones(B, dtype=bool))),
    "half precision": (lambda h, x: (h * np.float16(0.5), x), ONES.astype(np.float16)),
    "compiled": (lambda h, _: jax.jit(lambda each: each * 0.5)(h), ONES),
    "a branch": (lambda h, _: jax.numpy.where(h > 5.0, h * 9.0, h * 0.5), ONES),
    "a key": (
        lambda s, _: (jax.vmap(lambda k: jax.random.split(k)[0])(s[0]), s[1] * 0.5),
        (np.zeros((B, 2), dtype=np.uint32), ONES),
    ),
}


@pytest.mark.parametrize("name", HALVING)
@pytest.mark.parametrize("dense", [True, False])
def test_odd_steps_have_their_jacobians(name: str, dense: bool) -> None:
    from gradscope.jax import chain

    step, state = HALVING[name]
    found = lag_norms(chain(step, state, X, dense=dense)).log_norms

    lags = np.arange(1, T + 1)
    np.testing.assert_allclose(found, np.outer(lags * np.log(0.5), np.ones(B)), rtol=1e-9)


def test_rows_of_any_number_are_carried_by_a_few_compiled_functions() -> None:
    from gradscope.jax import chain

    calls: list[int] = []

    def step(h: Any, x: Any) -> Any:
        calls.append(len(h))
        return jax.numpy.tanh(h @ W.T + x @ U.T)

    found = chain(step, np.zeros((B, H)), X, dense=False)
    calls.clear()
    exact = found.jacobian(2)
    for count in range(1, 12):
        rows = RNG.standard_normal((B, count, H))
        np.testing.assert_allclose(found.vjp(rows, 2), rows @ exact, rtol=1e-12, atol=1e-14)
    assert sorted(calls) == [4, 8, 16, 32, 64][: len(calls)]


def broken(h: Any, x: Any) -> Any:
    del h, x
    raise RuntimeError("of the step's own,\nwith two lines")


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (lambda h, _: h - h.mean(axis=0), "mixes"),
        (lambda h, _: jax.numpy.concatenate([h, h], axis=1), "shape"),
        (lambda h, _: (h, h, 1), "pair"),
        (lambda h, _: h * float("nan"), "not finite"),
        (lambda h, _: h + np.random.default_rng().standard_normal(h.shape), "random"),
        (lambda h, _: h * 1j, "kinds"),
        (lambda h, x: h @ x, "TypeError: dot_general"),
        (lambda h, _: h if (h > -99.0).all() else -h, "Tracer"),
        (lambda h, _: np.tanh(np.asarray(h)), "Tracer"),
        (broken, "RuntimeError: of the step's own,$"),
        (W, "not callable"),
    ],
)
def test_a_step_without_jacobians_is_refused_with_one_line(step: Any, says: str) -> None:
    from gradscope.jax import chain

    with pytest.raises(GradscopeError, match=says) as raised:
        chain(step, RNG.standard_normal((B, H)), X)
    assert "\n" not in str(raised.value)
