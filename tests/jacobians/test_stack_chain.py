"""The joint chain of a stack, and how much of its gradient arrives at each layer: closed forms."""

import math

import numpy as np
import pytest

from gradscope.errors import SettingError, ShapeError
from gradscope.jacobians.adjoints import scaled_entering_errors
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.jacobians.chain import DenseChain
from gradscope.jacobians.lag_norms import lag_norms
from gradscope.jacobians.lyapunov import lyapunov_exponents
from gradscope.jacobians.stack_chain import StackChain, depth_map, stack_adjoint_norms
from gradscope.model.activations import TANH
from gradscope.model.cells import CellTrajectory
from gradscope.model.elman import ElmanParameters
from tests.stacks import BLOCKS, drawn, linear_layers, run

LAGS = np.arange(31)


def test_the_transport_through_layers_that_add_up_grows_binomially() -> None:
    # h^l_t = h^l_{t−1} + h^{l−1}_t: a path from layer l, ℓ steps back, goes up k layers at any of
    # ℓ + 1 steps each: C(ℓ + k, k) paths, each of weight 1. No layer above sees h_0 at step 0.
    found = depth_map(StackChain(linear_layers([1.0] * 4, 30)))

    paths = [[math.comb(lag + above, above) for lag in [*range(30), 29]] for above in (3, 2, 1, 0)]
    np.testing.assert_allclose(found.log_norms[..., 0], np.log(paths), atol=1e-12)


def test_the_joint_state_of_two_layers_that_add_up_is_sheared() -> None:
    # J = [[1, 0], [1, 1]], so Jᵏ = [[1, 0], [k, 1]] and log σ_max = arcsinh(k/2).
    profile = lag_norms(StackChain(linear_layers([1.0, 1.0], 30)))

    np.testing.assert_allclose(profile.log_norms[:, 0], np.arcsinh(LAGS[1:] / 2.0), atol=1e-12)


@pytest.mark.parametrize("longest", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_thousands_of_lags_keep_every_layer_in_range(longest: int) -> None:
    # The lower layer forgets by .9, the upper by .1: Σ .1^(ℓ−j) .9^j = (.9^(ℓ+1) − .1^(ℓ+1))/.8.
    lags = np.arange(longest + 1)

    found = depth_map(StackChain(linear_layers([0.9, 0.1], longest)))

    np.testing.assert_allclose(found.log_norms[1, :, 0], lags * np.log(0.1), rtol=1e-12, atol=1e-12)
    lower = (lags + 1) * np.log(0.9) - np.log(0.8)
    lower[:40] = np.log((0.9 ** (lags[:40] + 1) - 0.1 ** (lags[:40] + 1)) / 0.8)
    np.testing.assert_allclose(found.log_norms[0, :, 0], lower, rtol=1e-12, atol=1e-12)


def test_nothing_arrives_where_no_path_leads_and_lag_0_of_the_top_is_1() -> None:
    found = depth_map(StackChain(linear_layers([0.5, 0.0], 5)))

    assert found.log_norms[1, 0, 0] == 0.0
    assert np.isneginf(found.log_norms[1, 1:, 0]).all()
    np.testing.assert_allclose(found.log_norms[0, :, 0], np.arange(6) * np.log(0.5), atol=1e-15)


@pytest.mark.parametrize("kind", [kind for kind in BLOCKS if kind not in ("lstm", "pre")])
def test_the_top_row_is_the_lag_profile_of_the_top_layer(kind: str) -> None:
    rng = np.random.default_rng(1)
    layers = run([drawn(kind, 3, 5, rng), drawn(kind, 5, 4, rng)], rng.normal(size=(20, 2, 3)))

    found = depth_map(StackChain(layers), 12)

    profile = lag_norms(cell_chain(*layers[-1]), 12).log_norms
    np.testing.assert_allclose(found.log_norms[-1, 1:], profile, atol=1e-12)


@pytest.mark.parametrize("kind", BLOCKS)
def test_what_is_dropped_stays_within_the_certificate(kind: str) -> None:
    rng = np.random.default_rng(2)
    cells = [drawn(kind, 3, 24, rng), drawn(kind, 24, 20, rng)]
    chain = StackChain(run(cells, rng.normal(size=(60, 2, 3))))

    found, exact = depth_map(chain), depth_map(chain, tolerance=1e-13)

    assert 1e-13 < found.certificate <= 1e-6  # Something was dropped, and none of it came back.
    np.testing.assert_allclose(found.log_norms, exact.log_norms, rtol=0.0, atol=1e-6)


def test_a_direction_that_comes_back_is_not_lost() -> None:
    # Unit 0 passes all for 12 steps back, then a thousandth each step; unit 1 first 1e-12, then
    # all: from lag 24 on it is the larger one, long after it was negligible.
    cells = [
        ElmanParameters(np.eye(2), np.eye(2), np.zeros(2), np.zeros((0, 2)), np.zeros(0), TANH)
        for _ in range(2)
    ]
    slopes = np.ones((2, 40, 1, 2))
    slopes[:, :28, 0, 0], slopes[1, 39, 0, 1] = 1e-3, 1e-12
    layers = []
    for cell, slope in zip(cells, slopes, strict=True):
        a = np.arccosh(1.0 / np.sqrt(slope))
        states = np.zeros((41, 1, 2))
        layers.append((cell, CellTrajectory(np.zeros((40, 1, 2)), states, states, a, a)))
    chain = StackChain(layers)

    found = depth_map(chain)

    dense = DenseChain(np.stack([chain.jacobian(t) for t in range(1, 41)]))
    product = np.eye(4)[2:]
    for lag in range(1, 41):
        product = product @ dense.jacobians[40 - lag, 0]
        largest = np.log(np.linalg.norm(product[:, 2:], 2))
        assert found.log_norms[1, lag, 0] == pytest.approx(largest, abs=1e-6)
    assert found.log_norms[1, 40, 0] == pytest.approx(np.log(1e-12), abs=1e-6)


@pytest.mark.parametrize("kind", BLOCKS)
def test_the_joint_chain_is_that_of_its_jacobians(kind: str) -> None:
    rng = np.random.default_rng(3)
    layers = run([drawn(kind, 3, 4, rng), drawn(kind, 4, 3, rng)], rng.normal(size=(40, 2, 3)))
    chain = StackChain(layers)
    dense = DenseChain(np.stack([chain.jacobian(step) for step in range(1, 41)]))

    np.testing.assert_allclose(
        lag_norms(chain).log_norms, lag_norms(dense).log_norms, rtol=0, atol=1e-10
    )
    vectors = rng.normal(size=(2, 3, chain.state_size))
    np.testing.assert_allclose(chain.jvp(vectors, 7), dense.jvp(vectors, 7), atol=1e-14)
    ours, wanted = (lyapunov_exponents(each, count=2).exponents for each in (chain, dense))
    np.testing.assert_allclose(ours, wanted, atol=1e-10)


def test_adjoints_of_the_top_are_those_of_its_layer_alone_at_any_scale() -> None:
    # Errors as large as 1e200 on some steps, none on others: the plain sweep of one linear layer.
    layers = linear_layers([0.5, 0.25], 6)
    chain = StackChain(layers)
    slopes = np.array([0.0, 3.0, 0.0, 1e200, 0.0, 1.0])[:, None, None]
    top = ElmanParameters(
        np.ones((1, 1)), np.full((1, 1), 0.25), np.zeros(1), np.ones((1, 1)), np.zeros(1)
    )

    found = stack_adjoint_norms(chain, *scaled_entering_errors(top, chain.of[-1][1], slopes))

    upper, lower = np.zeros((2, 8))
    for step in range(6, -1, -1):
        upper[step] = (slopes[step - 1, 0, 0] if step else 0.0) + 0.25 * upper[step + 1]
        lower[step] = (upper[step] if step else 0.0) + 0.5 * lower[step + 1]
    np.testing.assert_allclose(found, np.log([lower[:7], upper[:7]]), rtol=1e-12)


def test_layers_that_do_not_see_the_one_below_are_refused() -> None:
    with pytest.raises(ShapeError, match="shows"):
        StackChain([*linear_layers([1.0], 4), *linear_layers([1.0], 5)])


@pytest.mark.parametrize(("lag", "tolerance"), [(5, 1e-6), (-1, 1e-6), (2, 0.0)])
def test_a_lag_beyond_the_steps_and_a_tolerance_of_nothing_are_refused(
    lag: int, tolerance: float
) -> None:
    with pytest.raises(SettingError, match="choose"):
        depth_map(StackChain(linear_layers([1.0, 1.0], 4)), lag, tolerance=tolerance)
