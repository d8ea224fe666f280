"""The chain of any step function of PyTorch, against ``jacrev`` and closed forms."""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from gradscope.arrays import FloatArray
from gradscope.errors import GradscopeError
from gradscope.jacobians.chain import DenseChain
from gradscope.jacobians.lag_map import lag_map
from gradscope.jacobians.lag_norms import lag_norms
from gradscope.jacobians.lyapunov import lyapunov_exponents
from gradscope.jacobians.singular_values import singular_values
from tests.torch.step_jacobians import jacobians_by_jacrev

torch = pytest.importorskip("torch", reason="PyTorch steps are what is measured")
pytestmark = pytest.mark.torch

D, H, T, B = 2, 4, 9, 3


def inputs(*shape: int) -> Any:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(*(shape or (T, B, D)), generator=generator)


def weights(*shape: int) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(6)) / shape[-1] ** 0.5


def module(name: str, *given: Any) -> Any:
    torch.manual_seed(7)
    return getattr(torch.nn, name)(*given)


def pair(scale: float = 0.0) -> Any:
    return (scale + torch.zeros(B, H), torch.zeros(B, H))


def elman() -> tuple[Any, Any]:
    w, u = weights(H, H), weights(H, D)
    return lambda h, x: torch.tanh(h @ w.T + x @ u.T), torch.zeros(B, H)


def gru() -> tuple[Any, Any]:
    cell = module("GRUCell", D, H)
    return lambda h, x: cell(x, h), torch.zeros(B, H)


def lstm() -> tuple[Any, Any]:
    cell = module("LSTMCell", D, H)
    return lambda state, x: cell(x, state), pair()


def normalised_lstm() -> tuple[Any, Any]:
    cell, norm = module("LSTMCell", D, H), module("LayerNorm", H)

    def step(state: Any, x: Any) -> Any:
        h, c = cell(x, (state["h"], state["c"]))
        return h.sum(dim=1), {"h": norm(h), "c": c}

    return step, dict(zip("hc", pair(), strict=True))


def peephole_lstm() -> tuple[Any, Any]:
    w, u, p = weights(4 * H, H), weights(4 * H, D), weights(3, H)

    def step(state: Any, x: Any) -> Any:
        h, c = state
        i, f, g, o = (h @ w.T + x @ u.T).chunk(4, dim=1)
        c = torch.sigmoid(f + p[0] * c) * c + torch.sigmoid(i + p[1] * c) * torch.tanh(g)
        return torch.sigmoid(o + p[2] * c) * torch.tanh(c), c

    return step, pair()


def coupled_oscillators() -> tuple[Any, Any]:
    """CoRNN of Rusch & Mishra (2021), arXiv:2010.00951."""
    w, v, u, dt = weights(H, H), weights(H, H), weights(H, D), 0.1

    def step(state: Any, x: Any) -> Any:
        y, z = state
        force = torch.tanh(y @ w.T + z @ v.T + x @ u.T)
        z = z + dt * (force - 1.3 * y - 0.7 * z)
        return y + dt * z, z

    return step, pair(0.2)


def antisymmetric() -> tuple[Any, Any]:
    """Chang et al. (2019), arXiv:1902.09689."""
    w, u, damped = weights(H, H), weights(H, D), 0.1 * torch.eye(H)
    return lambda h, x: h + 0.2 * torch.tanh(h @ (w - w.T - damped).T + x @ u.T), pair()[0]


STEPS: tuple[Callable[[], tuple[Any, Any]], ...] = (
    *(elman, gru, lstm, normalised_lstm),
    *(peephole_lstm, coupled_oscillators, antisymmetric),
)


def wide(found: Any) -> Any:
    """Return a step and its state with all their weights in float64."""
    step, state = found
    for cell in step.__closure__ or ():
        held = cell.cell_contents
        if isinstance(held, torch.nn.Module):
            cell.cell_contents = copy.deepcopy(held).double()
        elif isinstance(held, torch.Tensor):
            cell.cell_contents = held.double()
    return step, torch.utils._pytree.tree_map(lambda each: each.double(), state)


@pytest.mark.parametrize("make", STEPS)
@pytest.mark.parametrize("dense", [True, False])
def test_jacobians_are_those_of_jacrev_in_float64(make: Any, dense: bool) -> None:
    from gradscope.torch import chain

    step, state = make()
    found = chain(step, state, inputs(), dense=dense)

    step, state = wide(make())
    wanted = jacobians_by_jacrev(step, state, inputs().double())
    made = np.stack([found.jacobian(t) for t in range(1, T + 1)])
    np.testing.assert_allclose(made, wanted, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("make", [elman, normalised_lstm])
def test_rows_carried_through_the_step_give_what_dense_jacobians_give(make: Any) -> None:
    from gradscope.torch import chain

    step, state = make()
    rows, dense = (chain(step, state, inputs(), dense=each) for each in (False, True))

    assert [isinstance(each, DenseChain) for each in (rows, dense)] == [False, True]
    for measure in (lag_norms, lag_map, lyapunov_exponents):
        found = [vars_of(measure(each)) for each in (rows, dense)]
        np.testing.assert_allclose(found[0], found[1], rtol=1e-10, atol=1e-10)
    values = [singular_values(each, [1, 5, T]).log_values for each in (rows, dense)]
    np.testing.assert_allclose(values[0], values[1], rtol=1e-9, atol=1e-9)


def vars_of(result: Any) -> FloatArray:
    name = "exponents" if hasattr(result, "exponents") else "log_norms"
    return np.asarray(getattr(result, name))


def test_a_large_state_drops_rows_and_keeps_its_certificate() -> None:
    from gradscope.torch import chain

    w = 1.2 * weights(48, 48)
    step = lambda h, x: torch.tanh(h @ w.T + x.sum(dim=1, keepdim=True))  # noqa: E731
    rows, dense = (
        chain(step, torch.zeros(B, 48), inputs(80, B, D), dense=each) for each in (False, True)
    )

    found, exact = lag_norms(rows), lag_norms(dense, tolerance=1e-12)
    np.testing.assert_allclose(found.log_norms, exact.log_norms, atol=1e-6)


def test_integers_are_carried_and_complex_numbers_count_as_two() -> None:
    from gradscope.torch import chain

    turn = torch.polar(torch.tensor([0.5, 0.9]), torch.tensor([1.0, 2.0]))

    def step(state: Any, x: Any) -> Any:
        z, n = state
        return z * turn / n[:, None] + x.sum(dim=1, keepdim=True), n + 1

    start = torch.zeros(B, 2, dtype=torch.complex64), torch.ones(B, dtype=torch.int64)
    found = chain(step, start, inputs())

    assert found.state_size == 4
    newest_first = np.log(turn[1].abs().item()) - np.log(np.arange(T, 0, -1))
    wanted = np.cumsum(newest_first)
    np.testing.assert_allclose(lag_norms(found).log_norms[:, 0], wanted, rtol=1e-6)


def test_dropout_is_off_and_operations_in_place_and_kinks_are_taken() -> None:
    from gradscope.torch import chain

    drop = torch.nn.Dropout(0.5)

    def step(h: Any, x: Any) -> Any:
        held = torch.zeros(h.shape)
        held += drop(h)
        return held.mul_(0.5).relu_() + x.abs().sum(dim=1, keepdim=True)

    found = chain(step, torch.ones(B, H), inputs())
    np.testing.assert_allclose(lag_norms(found).log_norms[-1], T * np.log(0.5), rtol=1e-12)


def in_place(h: Any, x: Any) -> Any:
    h.mul_(0.5)
    x.mul_(2.0)
    h += x.sum(dim=1, keepdim=True)
    return h


class Pair(NamedTuple):
    h: Any
    c: Any


def ones(*shape: int, dtype: Any = torch.float32) -> Any:
    return torch.ones(*(shape or (B, H)), dtype=dtype)


HALVING: dict[str, tuple[Any, Any]] = {
    "in place": (in_place, ones()),
    "torch.dropout": (lambda h, _: torch.dropout(h, 0.5, train=True) * 0.5, ones()),
    "dropout of channels": (lambda h, _: torch.feature_dropout(h, 0.5, train=True) * 0.5, ones()),
    "keys in another order": (
        lambda s, _: {"c": s["c"] * 0.5, "h": s["h"] * 0.25},
        {"h": ones(), "c": ones()},
    ),
    "a list for a tuple": (lambda s, _: [s[0] * 0.25, s[1] * 0.5], (ones(), ones())),
    "a list of output and state": (lambda h, _: [h.sum(dim=1), h * 0.5], ones()),
    "named": (lambda s, _: (s.h, Pair(s.h * 0.25, s.c * 0.5)), Pair(ones(), ones())),
    "nested": (lambda s, _: {"a": [s["a"][0] * 0.5], "b": ()}, {"a": [ones()], "b": ()}),
    "yes and no": (
        lambda s, _: (s[0] * 0.5, ~s[1]),
        (ones(), ones(B, dtype=torch.bool)),
    ),
    "half precision": (lambda h, _: h * ones(H, dtype=torch.float16) * 0.5, ones().half()),
    "a number each": (lambda h, x: h * 0.5 + x[:, 0], ones(B)),
    "an image": (lambda h, _: torch.nn.functional.avg_pool1d(h, 1) * 0.5, ones(B, 2, 3)),
    "NumPy": (lambda h, _: h * 0.5, np.ones((B, H))),
    "a state that wants a gradient": (lambda h, _: h * 0.5, ones().requires_grad_()),
    "weights that want one": (lambda h, _: h * ones(H).requires_grad_() * 0.5, ones()),
    "an embedding": (lambda h, x: h * 0.5 + module("Embedding", 9, H)(x[:, 0].long() % 9), ones()),
    "Python's own branch": (lambda h, _: h * (0.5 if h.shape[0] else 1.0), ones()),
}


@pytest.mark.parametrize("name", HALVING)
@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode, torch.enable_grad])
@pytest.mark.parametrize("dense", [True, False])
def test_odd_steps_have_their_jacobians(name: str, around: Any, dense: bool) -> None:
    from gradscope.torch import chain

    step, state = HALVING[name]
    with around():
        found = chain(step, state, inputs(), dense=dense)
        norms = lag_norms(found).log_norms
        forward = found.jvp(np.ones((B, 1, found.state_size)), T)

    lags = np.arange(1, T + 1)
    np.testing.assert_allclose(norms, np.outer(lags * np.log(0.5), np.ones(B)), rtol=1e-9)
    assert forward.max() == 0.5


@pytest.mark.parametrize("sizes", [(1, B), (T, 1), (1, 1)])
def test_one_step_and_one_sequence_are_enough(sizes: tuple[int, int]) -> None:
    from gradscope.torch import chain

    for width in (D, 0):
        found = chain(lambda h, _: h * 0.5, ones(sizes[1], H), torch.ones(*sizes, width))
        np.testing.assert_allclose(lag_norms(found).log_norms[-1], sizes[0] * np.log(0.5))


@pytest.mark.parametrize("scale", [1e30, 1e-200])
@pytest.mark.parametrize("dense", [True, False])
def test_numbers_near_the_ends_of_float64_are_carried(scale: float, dense: bool) -> None:
    from gradscope.torch import chain

    found = chain(lambda h, _: h * scale, ones(), inputs(), dense=dense)
    np.testing.assert_allclose(lag_norms(found).log_norms[-1], T * np.log(scale))


def test_an_operation_without_a_second_derivative_is_carried_forward_all_the_same() -> None:
    from gradscope.torch import chain

    step = lambda h, x: torch.nn.functional.hardsigmoid(2.0 * h)  # noqa: ARG005, E731
    found = chain(step, torch.zeros(B, H), inputs(), dense=False)

    # PyTorch takes its slope to be 1/6 in single precision.
    some = np.random.default_rng(1).standard_normal((B, 2, H))
    np.testing.assert_allclose(found.jvp(some, 1), some / 3.0, rtol=1e-7)


def batch_norm(h: Any, x: Any) -> Any:
    return module("BatchNorm1d", H)(h + x.sum(dim=1, keepdim=True))


def early_batch_norm(h: Any, x: Any) -> Any:
    return module("BatchNorm1d", H)(h) + x.sum(dim=1, keepdim=True)


def broken(h: Any, x: Any) -> Any:
    del h, x
    raise RuntimeError("of the step's own,\nwith two lines")


def counted() -> Any:
    calls: list[int] = []

    def step(h: Any, _: Any) -> Any:
        calls.append(1)
        return h * 0.5 + len(calls)

    return step


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize(
    ("step", "says"),
    [
        (lambda h, _: h + torch.randn_like(h), "random"),
        (lambda h, _: h * torch.bernoulli(torch.full_like(h, 0.5)), "random"),
        (counted(), "random"),
        (batch_norm, "mixes"),
        (early_batch_norm, "mixes"),
        (lambda h, _: h / h.norm(), "mixes"),
        (lambda h, _: torch.cat([h, h], dim=1), "shape"),
        (lambda h, _: h.detach() * 2.0, "detached"),
        (torch.no_grad()(lambda h, _: h * 2.0), "detached"),
        (lambda h, _: (h, h, 1), "pair"),
        (lambda *_: None, "pair"),
        (lambda *_: 1.0, "pair"),
        (lambda h, _: h.detach().numpy(), "numpy"),
        (lambda h, _: h * float("nan"), "not finite"),
        (lambda h, _: h * 1e200, "step 2 is not finite"),
        (lambda h, _: torch.sqrt(h - 1.0) + 1.0, "Jacobians of step"),
        (lambda h, _: h * 1j, "kinds"),
        (lambda h, x: h @ x, "RuntimeError: mat1 and mat2"),
        (broken, "RuntimeError: of the step's own,$"),
        (weights(H, H), "not callable"),
    ],
)
def test_a_step_without_jacobians_is_refused_with_one_line(
    step: Any, says: str, dense: bool
) -> None:
    from gradscope.torch import chain

    with pytest.raises(GradscopeError, match=says) as raised:
        lag_norms(chain(step, ones(), inputs(), dense=dense))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("state", "given", "says"),
    [
        (None, inputs(), "NoneType"),
        ((ones(), None), inputs(), "NoneType"),
        ((ones(), "a"), inputs(), "str"),
        ((ones(), 1.0), inputs(), "shapes"),
        (torch.tensor(1.0), inputs(), "shapes"),
        (ones(), None, "NoneType"),
        (ones(), torch.tensor(1.0), "shapes"),
        (ones(), list(inputs()), "shapes"),
        (ones(), inputs()[:0], "shapes"),
        (ones()[:0], inputs()[:, :0], "shapes"),
        (ones()[:, :0], inputs(), "no floating-point number"),
        (ones().to_sparse(), inputs(), "Sparse"),
        (ones().to("meta"), inputs(), "meta"),
        (ones() * float("inf"), inputs(), "step 0 is not finite"),
        (ones(), inputs() * float("nan"), "step 1 is not finite"),
        (ones(dtype=torch.bool), inputs(), "no floating-point number"),
    ],
)
def test_a_state_or_inputs_of_another_kind_are_refused_with_one_line(
    state: Any, given: Any, says: str
) -> None:
    from gradscope.torch import chain

    def step(state: Any, x: Any) -> Any:
        change: Callable[[Any], Any] = lambda each: each * 0.5 + x.sum()  # noqa: E731
        return torch.utils._pytree.tree_map_only(torch.Tensor, change, state)

    with pytest.raises(GradscopeError, match=says) as raised:
        chain(step, state, given)
    assert "\n" not in str(raised.value)


def test_shapes_that_do_not_belong_together_are_refused() -> None:
    from gradscope.torch import chain

    with pytest.raises(GradscopeError, match="shapes"):
        chain(elman()[0], torch.zeros(B + 1, H), inputs())
    with pytest.raises(GradscopeError, match="floating-point"):
        chain(lambda h, _: h, torch.zeros(B, H, dtype=torch.int64), inputs())
