"""Sensitivity is E‖∂s_T/∂θ‖², θ changed at the last ℓ steps; on linear networks it has laws."""

from typing import Any

import numpy as np
import pytest

from gradscope.arrays import FloatArray
from gradscope.jacobians.parameter_profile import sensitivity
from gradscope.model.activations import ACTIVATIONS
from gradscope.model.elman import ElmanParameters
from gradscope.model.trajectory import unroll
from gradscope.names import ActivationName
from tests.drawn_cells import KINDS, drawn

SCALES = np.array([0.5, 0.7, 0.85, 0.93, 0.97, 0.99])


@pytest.mark.torch
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_norm_of_the_jacobian_by_parameters_used_at_the_last_steps(kind: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle here")
    from tests.torch_cells import step_of, tensor

    cell, inputs, first, _ = drawn(kind, n_steps=5, n_sequences=2)
    constant = {name: tensor(array) for name, array in cell.weights()}
    step = step_of(cell)
    some = {name: each for name, each in constant.items() if not name.startswith("output")}

    def last_state(weights: dict[str, Any], reach: int, which: int) -> Any:
        state = tensor(first[which])
        for t, x in enumerate(tensor(inputs)[:, which], start=1):
            state = step(x, state, {**constant, **weights} if t > 5 - reach else constant)
        return state

    found = sensitivity(cell, unroll(cell, inputs, first), 5)

    assert set(found) == {"norm", *some}
    for reach in range(1, 6):
        jacobians = [torch.func.jacrev(last_state)(some, reach, which) for which in range(2)]
        squares = {
            name: np.mean([float(each[name].norm()) ** 2 for each in jacobians]) for name in some
        }
        for name, square in {**squares, "norm": sum(squares.values())}.items():
            assert found[name][reach - 1] == pytest.approx(square, rel=1e-10, abs=1e-300)


@pytest.mark.parametrize("kind", ["vanilla", "leaky pre", "gru, reset before", "lstm"])
def test_over_all_steps_it_is_what_finite_differences_find(kind: str) -> None:
    cell, inputs, first, _ = drawn(kind, n_steps=6, n_sequences=3)
    weights, shift, total = dict(cell.weights()), 1e-6, 0.0
    for name in [each for each in weights if not each.startswith("output")]:
        for place in np.ndindex(weights[name].shape):
            ends = []
            for sign in (1.0, -1.0):
                moved = weights[name].copy()
                moved[place] += sign * shift
                changed = cell.with_weights({**weights, name: moved})
                ends.append(unroll(changed, inputs, first).states[-1])
            total += float(np.square((ends[0] - ends[1]) / (2.0 * shift)).sum(axis=1).mean())

    found = sensitivity(cell, unroll(cell, inputs, first), 6)["norm"][-1]

    assert found == pytest.approx(total, rel=1e-7)


def linear(weights: FloatArray) -> ElmanParameters:
    size = len(weights)
    nothing = np.zeros(size), np.zeros((1, size)), np.zeros(1)
    identity = ACTIVATIONS[ActivationName.IDENTITY]
    return ElmanParameters(np.eye(size), weights, *nothing, activation=identity)


def measured(weights: FloatArray, reach: int, sequences: int) -> FloatArray:
    """Return E‖∂h_T/∂W‖² by last steps, after as many steps of white noise again."""
    cell, rng = linear(weights), np.random.default_rng(1)
    found = np.zeros(reach)
    for _ in range(sequences // 20):
        noise = rng.normal(size=(2 * reach, 20, len(weights)))
        found += sensitivity(cell, unroll(cell, noise), reach)["recurrent_weights"]
    return found / (sequences // 20)


def expected(scale: float, turn: FloatArray, reach: int) -> FloatArray:
    """Return E‖∂h_T/∂(λQ)‖² under white noise: Σ_ij λ^(i+j+|i−j|) tr(Q^(i−j))² / (1 − λ²)."""
    apart = np.arange(reach)
    traces = (np.linalg.eigvals(turn)[:, None] ** apart).sum(axis=0).real
    lags = np.abs(apart[:, None] - apart)
    pairs = scale ** (apart[:, None] + apart + lags) * np.square(traces[lags])
    squares: FloatArray = pairs.cumsum(axis=0).cumsum(axis=1).diagonal() / (1.0 - scale**2)
    return squares


def orthogonal(size: int) -> FloatArray:
    return np.linalg.qr(np.random.default_rng(5).normal(size=(size, size)))[0]


def test_of_a_unit_the_expectation_is_the_law_of_zucchet_and_orvieto() -> None:
    law = (1.0 + SCALES**2) / (1.0 - SCALES**2) ** 3

    found = [expected(scale, np.eye(1), 1000)[-1] for scale in SCALES.tolist()]

    np.testing.assert_allclose(found, law, rtol=1e-6)


def test_of_an_orthogonal_network_it_is_the_closed_form_at_every_number_of_steps() -> None:
    turn = orthogonal(6)

    found = measured(0.8 * turn, 40, 200)

    np.testing.assert_allclose(found, expected(0.8, turn, 40), rtol=0.06)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 2])
def test_it_grows_with_the_third_power_of_memory(size: int) -> None:
    # By random Q of H units only where 1 − λ is well below 1/H: of the H² pairs of modes, the H of
    # a mode with itself go with the third power, the others with the second.
    turn = orthogonal(size)
    reaches = [min(500, int(8.0 / (1.0 - scale))) for scale in SCALES.tolist()]

    found = [
        measured(scale * turn, reach, 200)[-1]
        for scale, reach in zip(SCALES.tolist(), reaches, strict=True)
    ]

    exponent = -np.polyfit(np.log(1.0 - SCALES), np.log(found), 1)[0]
    assert exponent == pytest.approx(3.0, rel=0.1)


def test_by_a_bias_it_is_a_geometric_series_and_infinite_beyond_float64() -> None:
    steps, w = 700, 2.0
    cell = linear(np.full((1, 1), w))

    found = sensitivity(cell, unroll(cell, np.zeros((steps, 1, 1))), steps)

    series = w ** np.arange(1, 501) - 1.0
    np.testing.assert_allclose(found["hidden_bias"][:500], series**2, rtol=1e-12)
    assert np.isposinf(found["norm"][600:]).all()
    assert not found["recurrent_weights"][:500].any()
