"""The chain of any step function of PyTorch, against ``jacrev`` and closed forms."""

import copy
from collections.abc import Callable
from typing import Any

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

    wanted = jacobians_by_jacrev(*wide(make()), inputs().double())
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


def batch_norm() -> Any:
    norm = torch.nn.BatchNorm1d(H)
    return lambda h, x: norm(h + x.sum(dim=1, keepdim=True))


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (lambda h, _: h + torch.randn_like(h), "random"),
        (batch_norm(), "mixes"),
        (lambda h, _: torch.cat([h, h], dim=1), "shape"),
        (lambda h, _: h.detach() * 2.0, "detached"),
        (lambda h, _: (h, h, 1), "pair"),
        (lambda h, _: h * float("nan"), "not finite"),
    ],
)
def test_a_step_without_jacobians_is_refused_with_one_line(step: Any, says: str) -> None:
    from gradscope.torch import chain

    with pytest.raises(GradscopeError, match=says) as raised:
        chain(step, torch.ones(B, H), inputs())
    assert "\n" not in str(raised.value)


def test_shapes_that_do_not_belong_together_are_refused() -> None:
    from gradscope.torch import chain

    with pytest.raises(GradscopeError, match="shapes"):
        chain(elman()[0], torch.zeros(B + 1, H), inputs())
    with pytest.raises(GradscopeError, match="floating-point"):
        chain(lambda h, _: h, torch.zeros(B, H, dtype=torch.int64), inputs())
