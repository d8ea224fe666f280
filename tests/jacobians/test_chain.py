"""The factors of the chain: what autograd finds, and the same however they are applied."""

from collections.abc import Callable, Mapping
from typing import Any

import autograd.numpy as anp  # type: ignore[import-untyped]
import numpy as np
import pytest
from autograd import jacobian

from gradscope.arrays import FloatArray
from gradscope.errors import SettingError, ShapeError
from gradscope.jacobians.chain import Chain, DenseChain, ElmanChain, elman_chain
from gradscope.model.initializers import initialize
from gradscope.model.trajectory import unroll
from gradscope.names import ActivationName, InitializerName

STEPS, SEQUENCES, INPUTS, HIDDEN = 5, 3, 2, 4


def random_chain(leak: float = 1.0) -> ElmanChain:
    rng = np.random.default_rng(1)
    slopes = rng.uniform(0.1, 1.0, (STEPS, SEQUENCES, HIDDEN))
    return ElmanChain(slopes, rng.normal(size=(HIDDEN, HIDDEN)), leak=leak)


def dense(chain: Chain) -> DenseChain:
    return DenseChain(np.stack([chain.jacobian(step) for step in range(1, chain.n_steps + 1)]))


@pytest.mark.parametrize("name", ActivationName)
def test_a_factor_is_the_jacobian_that_autograd_finds(
    name: ActivationName, oracle: Mapping[ActivationName, Callable[[Any], Any]]
) -> None:
    rng = np.random.default_rng(2)
    sizes = (INPUTS, HIDDEN, 1)
    params = initialize(rng, sizes, activation=name, scheme=InitializerName.UNIFORM, gain=3.0)
    trajectory = unroll(params, rng.normal(size=(STEPS, SEQUENCES, INPUTS)))
    chain = elman_chain(params, trajectory)

    def step(before: FloatArray, x: FloatArray) -> Any:
        a = anp.dot(params.recurrent_weights, before) + anp.dot(params.input_weights, x)
        return oracle[name](a + params.hidden_bias)

    for t in range(1, STEPS + 1):
        for b in range(SEQUENCES):
            expected = jacobian(step)(trajectory.hidden[t - 1, b], trajectory.inputs[t - 1, b])
            np.testing.assert_allclose(chain.jacobian(t)[b], expected, rtol=1e-10, atol=1e-15)
    assert chain.slope_ceiling == params.activation.slope_ceiling


def test_rows_of_a_factor_are_the_later_state() -> None:
    chain = ElmanChain(np.array([[[2.0, 3.0]]]), np.array([[0.0, 1.0], [5.0, 7.0]]))

    np.testing.assert_array_equal(chain.jacobian(1)[0], [[0.0, 2.0], [15.0, 21.0]])


def test_a_leak_holds_back_part_of_the_state() -> None:
    chain = ElmanChain(np.array([[[2.0, 3.0]]]), np.array([[0.0, 1.0], [5.0, 7.0]]), leak=0.25)

    np.testing.assert_array_equal(chain.jacobian(1)[0], [[0.75, 0.5], [3.75, 0.75 + 5.25]])


def test_without_a_word_nothing_leaks_and_the_ceiling_is_that_of_tanh() -> None:
    chain = ElmanChain(np.ones((1, 1, 2)), np.eye(2))

    assert (chain.leak, chain.slope_ceiling) == (1.0, 1.0)


@pytest.mark.parametrize("leak", [1.0, 0.3, 0.01])
@pytest.mark.parametrize("kind", ["elman", "dense"])
def test_vjp_multiplies_rows_from_the_left_and_jvp_vectors_from_the_right(
    leak: float, kind: str
) -> None:
    elman = random_chain(leak)
    chain: Chain = elman if kind == "elman" else dense(elman)
    rows = np.random.default_rng(3).normal(size=(SEQUENCES, 2, HIDDEN))

    for t in range(1, STEPS + 1):
        factor = elman.jacobian(t)
        pulled = np.einsum("bri,bij->brj", rows, factor)
        pushed = np.einsum("bij,brj->bri", factor, rows)
        np.testing.assert_allclose(chain.vjp(rows, t), pulled, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(chain.jvp(rows, t), pushed, rtol=1e-12, atol=1e-14)


def test_a_dense_chain_hands_out_copies() -> None:
    chain = dense(random_chain())
    before = chain.jacobians.copy()

    factor = chain.jacobian(1)
    factor += 1.0

    np.testing.assert_array_equal(chain.jacobians, before)


@pytest.mark.parametrize("kind", ["elman", "dense"])
def test_a_chain_knows_its_sizes(kind: str) -> None:
    chain: Chain = random_chain() if kind == "elman" else dense(random_chain())

    assert (chain.n_steps, chain.n_sequences, chain.state_size) == (STEPS, SEQUENCES, HIDDEN)


@pytest.mark.parametrize(
    ("slopes", "weights"),
    [((5, 3, 4), (4, 3)), ((5, 3, 4), (3, 3)), ((5, 4), (4, 4)), ((0, 3, 4), (4, 4))],
)
def test_shapes_that_do_not_belong_together_are_refused(
    slopes: tuple[int, ...], weights: tuple[int, ...]
) -> None:
    with pytest.raises(ShapeError, match="slopes have shape"):
        ElmanChain(np.ones(slopes), np.ones(weights))


@pytest.mark.parametrize("shape", [(5, 3, 4), (5, 3, 4, 3), (5, 0, 4, 4)])
def test_jacobians_that_are_not_square_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"give \(T,B,S,S\)"):
        DenseChain(np.ones(shape))


@pytest.mark.parametrize("leak", [0.0, -0.5, 1.5, np.nan])
def test_a_leak_outside_zero_to_one_is_refused(leak: float) -> None:
    with pytest.raises(SettingError, match=f"the leak is {leak:g}; choose a number in"):
        ElmanChain(np.ones((1, 1, 2)), np.eye(2), leak=leak)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_factor_that_is_not_finite_is_refused_with_its_place(bad: float) -> None:
    slopes, weights = np.ones((5, 3, 4)), np.eye(4)
    spoiled = slopes.copy()
    spoiled[2, 1, 3] = bad
    jacobians = np.zeros((5, 3, 4, 4))
    jacobians[4, 0, 1, 2] = bad

    with pytest.raises(ShapeError, match=rf"the slopes hold {bad} at \[2, 1, 3\]"):
        ElmanChain(spoiled, weights)
    with pytest.raises(ShapeError, match=rf"the entries of W hold {bad} at \[1, 1\]"):
        ElmanChain(slopes, np.where(np.diag([0, 1, 0, 0]), bad, weights))
    with pytest.raises(ShapeError, match=rf"the Jacobians hold {bad} at \[4, 0, 1, 2\]"):
        DenseChain(jacobians)
