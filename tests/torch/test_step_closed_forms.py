"""Steps of PyTorch whose products of Jacobians are known in closed form."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradscope.arrays import FloatArray
from gradscope.jacobians.chain import ElmanChain
from gradscope.jacobians.lag_norms import lag_norms
from gradscope.jacobians.singular_values import singular_values

torch = pytest.importorskip("torch", reason="PyTorch steps are what is measured")
pytestmark = pytest.mark.torch

T, B, D, H = 12, 2, 3, 4
LAGS = np.arange(1, T + 1)

Ways = pytest.mark.parametrize("dense", [True, False])


def drawn(*shape: int) -> Any:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


X = drawn(T, B, D)


def norms(step: Any, state: Any, dense: bool, inputs: Any = X) -> FloatArray:
    from gradscope.torch import chain

    return lag_norms(chain(step, state, inputs, dense=dense)).log_norms


@Ways
def test_rotation_blocks_shrink_as_their_moduli(dense: bool) -> None:
    # The real form of an LRU: σ_max is the largest |λ| to the power of the lag, whatever the turn.
    blocks = [
        r * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
        for r, a in ((0.5, 1.0), (0.99, 2.5))
    ]
    w, u = torch.block_diag(*map(torch.tensor, blocks)), drawn(4, D)

    found = norms(lambda h, x: h @ w.T + x @ u.T, torch.zeros(B, 4), dense)

    np.testing.assert_allclose(found, np.outer(LAGS * np.log(0.99), np.ones(B)), rtol=1e-9)


def test_corrections_along_keys_at_right_angles_shrink_each_as_often_as_it_came() -> None:
    from gradscope.torch import chain

    keys, beta, values = torch.linalg.qr(drawn(H, H))[0], 0.3, drawn(D, 1)

    def step(state: Any, x: Any) -> Any:
        # The delta rule on a memory of one value; the key is the first, the third, the first …
        memory, n = state
        k = keys[n % 2 * 2]
        stored = (memory * k).sum(dim=1, keepdim=True)
        return memory + beta * k * (x @ values - stored), n + 1

    start = torch.zeros(B, H), torch.zeros(B, dtype=torch.int64)
    found = singular_values(chain(step, start, X), LAGS).log_values[:, 0]

    times = np.stack([LAGS * 0, LAGS * 0, LAGS // 2, (LAGS + 1) // 2], axis=1)
    np.testing.assert_allclose(found, times * np.log(1.0 - beta), rtol=1e-12, atol=1e-12)


@Ways
def test_a_gated_scalar_is_the_product_of_its_slopes(dense: bool) -> None:
    w = 1.7

    def step(h: Any, x: Any) -> Any:
        return torch.sigmoid(w * h + x[:, :1]) * h

    h, slopes = np.full((B, 1), 0.8), []
    for x in X.numpy():
        gate = 1.0 / (1.0 + np.exp(-w * h - x[:, :1]))
        slopes.append(gate + h * w * gate * (1.0 - gate))
        h = gate * h
    expected = np.cumsum(np.log(np.abs(slopes[::-1])), axis=0)[..., 0]

    found = norms(step, torch.full((B, 1), 0.8, dtype=torch.float64), dense)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@Ways
@pytest.mark.parametrize("scale", [1.0, 1e6])
def test_noise_that_leaks_away_does_so_at_one_rate_whatever_its_size(
    scale: float, dense: bool
) -> None:
    leak = 0.05

    found = norms(lambda h, x: (1.0 - leak) * h + leak * x, torch.zeros(B, D), dense, scale * X)
    np.testing.assert_allclose(found, np.outer(LAGS * np.log1p(-leak), np.ones(B)), rtol=1e-12)


def leaky_loop(w: Any, u: Any) -> Callable[[Any, Any], Any]:
    return lambda h, x: 0.7 * h + 0.3 * torch.tanh(h @ w.T + x @ u.T)


def plain_loop(w: Any, u: Any) -> Callable[[Any, Any], Any]:
    return lambda h, x: torch.tanh(h @ w.T + x @ u.T)


def module(w: Any, u: Any) -> Callable[[Any, Any], Any]:
    cell = torch.nn.RNNCell(D, H, bias=False, dtype=torch.float64)
    with torch.no_grad():
        cell.weight_hh.copy_(w)
        cell.weight_ih.copy_(u)
    return lambda h, x: cell(x, h)


@Ways
@pytest.mark.parametrize(("make", "leak"), [(leaky_loop, 0.3), (plain_loop, 1.0), (module, 1.0)])
def test_an_elman_loop_is_the_elman_chain(make: Any, leak: float, dense: bool) -> None:
    from gradscope.torch import chain

    w, u = drawn(H, H), drawn(H, D)
    h, slopes = np.zeros((B, H)), np.empty((T, B, H))
    for t, x in enumerate(X.numpy()):
        phi = np.tanh(h @ w.numpy().T + x @ u.numpy().T)
        slopes[t] = 1.0 - phi**2
        h = (1.0 - leak) * h + leak * phi
    expected = ElmanChain(slopes, w.numpy(), leak)

    found = chain(make(w, u), torch.zeros(B, H), X, dense=dense)

    for t in (1, T):
        np.testing.assert_allclose(found.jacobian(t), expected.jacobian(t), rtol=1e-12, atol=1e-14)
    wanted = lag_norms(expected, tolerance=1e-9).log_norms
    np.testing.assert_allclose(lag_norms(found, tolerance=1e-9).log_norms, wanted, atol=1e-8)


@Ways
def test_a_kink_has_the_slope_that_pytorch_gives_it(dense: bool) -> None:
    from gradscope.torch import chain

    # At exactly 0 a ReLU has slope 0, and |h| has slope 0: the framework's own choice.
    state = torch.tensor([[0.0, 1.0, -1.0, 0.0]], dtype=torch.float64)
    step = lambda h, _: torch.cat([torch.relu(h[:, :2]), h[:, 2:].abs()], dim=1)  # noqa: E731
    found = chain(step, state, torch.zeros(1, 1, 1), dense=dense)
    np.testing.assert_array_equal(found.jacobian(1)[0], np.diag([0.0, 1.0, -1.0, 0.0]))
