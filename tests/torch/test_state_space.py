"""State-space recurrences, each written as a step of ten lines: the chain that differentiates the
step against the one that is given its decays.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradscope.arrays import FloatArray
from gradscope.jacobians.diagonal import DiagonalChain
from gradscope.jacobians.lag_norms import lag_norms
from gradscope.jacobians.rank_one import DiagonalPlusRankOneChain

torch = pytest.importorskip("torch", reason="PyTorch steps are what is measured")
pytestmark = pytest.mark.torch

T, B, D, S, V = 25, 2, 3, 4, 2
DTYPE = torch.float64

Case = tuple[Any, ...]
"""A step, its initial state, the chain of its decays, and the inputs where they are not ``X``."""


def drawn(*shape: int) -> Any:
    return torch.randn(*shape, dtype=DTYPE, generator=torch.Generator().manual_seed(sum(shape)))


X = drawn(T, B, D)


def zeros(*shape: int) -> Any:
    return torch.zeros(B, *shape, dtype=DTYPE)


def array(tensor: Any) -> FloatArray:
    found: FloatArray = tensor.numpy()
    return found


def min_gru() -> Case:
    """Feng et al. (2024), arXiv:2410.01201."""
    gate, candidate = drawn(D, S), drawn(D, S) / 2.0

    def step(h: Any, x: Any) -> Any:
        z = torch.sigmoid(x @ gate)
        return (1.0 - z) * h + z * (x @ candidate)

    return step, zeros(S), DiagonalChain(array(1.0 - torch.sigmoid(X @ gate)))


def min_lstm() -> Case:
    """The same paper: f and i normalised."""
    forget, enter, candidate = drawn(D, S), drawn(D, S) / 2.0, drawn(D, S) / 3.0

    def gates(x: Any) -> tuple[Any, Any]:
        f, i = torch.sigmoid(x @ forget), torch.sigmoid(x @ enter)
        return f / (f + i), i / (f + i)

    def step(h: Any, x: Any) -> Any:
        f, i = gates(x)
        return f * h + i * (x @ candidate)

    return step, zeros(S), DiagonalChain(array(gates(X)[0]))


def linear_recurrent_unit() -> Case:
    """LRU of Orvieto et al. (2023), arXiv:2303.06349: a complex diagonal, the same at each step."""
    decay = torch.polar(torch.linspace(0.7, 0.99, S, dtype=DTYPE), drawn(S))
    enter = drawn(D, S).to(torch.complex128)

    def step(h: Any, x: Any) -> Any:
        return decay * h + x.to(torch.complex128) @ enter

    return step, zeros(S).to(torch.complex128), DiagonalChain(decay.expand(T, B, S).numpy())


def selective() -> Case:
    """Mamba, Gu & Dao (2023), arXiv:2312.00752: S states of each channel, steps of their own."""
    rates, widths, enter = -torch.arange(1.0, S + 1, dtype=DTYPE), drawn(D, V), drawn(D, S)

    def decays(x: Any) -> Any:
        delta = torch.nn.functional.softplus(x @ widths)
        return torch.exp(delta[..., None] * rates), delta

    def step(h: Any, x: Any) -> Any:
        decay, delta = decays(x)
        return decay * h + (delta * x[:, :V])[..., None] * (x @ enter)[:, None]

    factors = decays(X)[0].reshape(T, B, V * S)
    return step, zeros(V, S), DiagonalChain(array(factors))


def diagonal_state_space() -> Case:
    """S4D, Gu et al. (2022), arXiv:2206.11893: N complex states of each channel, zero-order hold,
    the same at each step.
    """
    rates = torch.complex(-drawn(V, S).abs(), drawn(V, S))
    width = torch.exp(drawn(V, 1) - 2.0)
    decay = torch.exp(width * rates)
    enter = (decay - 1.0) / rates

    def step(h: Any, x: Any) -> Any:
        return decay * h + enter * x[:, :V, None]

    factors = decay.flatten().expand(T, B, V * S).numpy()
    return step, zeros(V, S).to(torch.complex128), DiagonalChain(factors)


def simplified_state_space() -> Case:
    """S5, Smith et al. (2023), arXiv:2208.04933: one complex state for all channels, entered by a
    matrix, with steps between the inputs of lengths of their own.
    """
    rates, enter = torch.complex(-drawn(S).abs(), drawn(S)), drawn(D, S).to(torch.complex128)

    def decays(x: Any) -> Any:
        return torch.exp(x[..., :1].abs() * rates)

    def step(h: Any, x: Any) -> Any:
        return decays(x) * h + (decays(x) - 1.0) / rates * (x.to(torch.complex128) @ enter)

    return step, zeros(S).to(torch.complex128), DiagonalChain(decays(X).numpy())


def matrix_lstm() -> Case:
    """mLSTM, Beck et al. (2024), arXiv:2405.04517: matrix and normaliser decay together, the gates
    stabilised by m, the running maximum of their logarithms, which follows from the inputs alone.
    """
    gates, key, value = drawn(D, 2), drawn(D, S), drawn(D, V)
    of_time, entering = (X @ gates).split(1, dim=-1)
    forgetting, high = torch.nn.functional.logsigmoid(of_time), [torch.zeros(B, 1, dtype=DTYPE)]
    for t in range(T):
        high.append(torch.maximum(forgetting[t] + high[-1], entering[t]))
    m = torch.stack(high)
    forget, enter = torch.exp(forgetting + m[:-1] - m[1:]), torch.exp(entering - m[1:])

    def step(state: Any, given: Any) -> Any:
        (c, n), (x, f, i) = state, given
        k, v = x @ key / S**0.5, x @ value
        c = f[..., None] * c + i[..., None] * v[:, :, None] * k[:, None]
        n = f * n + i * k
        return (c @ k[..., None])[..., 0] / (n * k).sum(-1, keepdim=True).abs().clamp(1.0), (c, n)

    factors = DiagonalChain(array(forget))
    return step, (zeros(V, S), zeros(S)), factors, (X, forget, enter)


def scalar_decay() -> Case:
    """Mamba-2, RetNet: a matrix state, one decay for all of it."""
    gate, key, value = drawn(D, 1), drawn(D, S), drawn(D, V)

    def step(m: Any, x: Any) -> Any:
        decay = torch.sigmoid(x @ gate + 2.0)[..., None]
        return decay * m + (x @ key)[:, :, None] * (x @ value)[:, None]

    decay = torch.sigmoid(X @ gate + 2.0)
    return step, zeros(S, V), DiagonalChain(array(decay))


def rwkv_4() -> Case:
    """Peng et al. (2023), arXiv:2305.13048: numerator and denominator decay together."""
    rate, key, value = torch.exp(-torch.exp(drawn(S))), drawn(D, S) / 3.0, drawn(D, S)

    def step(state: Any, x: Any) -> Any:
        above, below = state
        k = torch.exp(x @ key)
        out = (above + k * (x @ value)) / (below + k)
        return out, (rate * above + k * (x @ value), rate * below + k)

    return step, (zeros(S), zeros(S)), DiagonalChain(array(rate.repeat(2).expand(T, B, 2 * S)))


def keys(x: Any) -> Any:
    return torch.nn.functional.normalize(x @ drawn(D, S), dim=-1)


def delta_rule() -> Case:
    """DeltaNet, Yang et al. (2024), arXiv:2406.06484."""
    beta, value = drawn(D, 1), drawn(D, V)

    def step(m: Any, x: Any) -> Any:
        k, b = keys(x), torch.sigmoid(x @ beta)
        stored = torch.einsum("bs,bsv->bv", k, m)
        return m + (b * k)[:, :, None] * (x @ value - stored)[:, None]

    k, b = keys(X), torch.sigmoid(X @ beta)
    return step, zeros(S, V), DiagonalPlusRankOneChain(np.ones(1), array(-b * k), array(k))


def gated_delta_rule() -> Case:
    """Gated DeltaNet, Yang et al. (2025), arXiv:2412.06464."""
    beta, gate, value = drawn(D, 1), drawn(D, 1) / 2.0, drawn(D, V)

    def step(m: Any, x: Any) -> Any:
        k, b, a = keys(x), torch.sigmoid(x @ beta), torch.sigmoid(x @ gate + 2.0)
        kept = a[:, :, None] * m
        stored = torch.einsum("bs,bsv->bv", k, kept)
        return kept + (b * k)[:, :, None] * (x @ value - stored)[:, None]

    k, b, a = keys(X), torch.sigmoid(X @ beta), torch.sigmoid(X @ gate + 2.0)
    return step, zeros(S, V), DiagonalPlusRankOneChain(array(a), array(-a * b * k), array(k))


def rwkv_7() -> Case:
    """Peng et al. (2025), arXiv:2503.14456: a decay per channel, and a key removed at its own rate;
    the state is written here as its transpose, keys by values.
    """
    decay, rate, value = drawn(D, S), drawn(D, S) / 2.0, drawn(D, V)

    def step(m: Any, x: Any) -> Any:
        w, a, k = torch.sigmoid(x @ decay + 2.0), torch.sigmoid(x @ rate), keys(x)
        removed = (a * k)[:, :, None] * torch.einsum("bs,bsv->bv", k, m)[:, None]
        return w[:, :, None] * m - removed + k[:, :, None] * (x @ value)[:, None]

    w, a, k = torch.sigmoid(X @ decay + 2.0), torch.sigmoid(X @ rate), keys(X)
    return step, zeros(S, V), DiagonalPlusRankOneChain(array(w), array(-a * k), array(k))


def gated_linear_attention() -> Case:
    """GLA, Yang et al. (2024), arXiv:2312.06635: a decay per key channel, the same for all values,
    given once.
    """
    gate, value = drawn(D, S), drawn(D, V)

    def step(m: Any, x: Any) -> Any:
        decay = torch.sigmoid(x @ gate + 2.0)[:, :, None]
        return decay * m + keys(x)[:, :, None] * (x @ value)[:, None]

    return step, zeros(S, V), DiagonalChain(array(torch.sigmoid(X @ gate + 2.0)))


CASES = (
    *(min_gru, min_lstm, linear_recurrent_unit, selective),
    *(diagonal_state_space, simplified_state_space, matrix_lstm),
    *(scalar_decay, rwkv_4, delta_rule, gated_delta_rule, rwkv_7, gated_linear_attention),
)


@pytest.mark.parametrize("case", CASES)
def test_the_step_and_its_decays_have_the_same_norms(case: Callable[[], Case]) -> None:
    from gradscope.torch import chain

    step, state, decays, *inputs = case()
    found, wanted = lag_norms(chain(step, state, *(inputs or [X]))), lag_norms(decays)

    np.testing.assert_allclose(found.log_norms, wanted.log_norms, rtol=1e-9, atol=1e-9)
