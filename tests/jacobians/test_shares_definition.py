"""The gradient by lag: closed forms, and sums that are the gradient itself."""

from functools import reduce

import numpy as np
import pytest

from gradscope.data.batch import Targets
from gradscope.jacobians.chain import elman_chain
from gradscope.jacobians.shares import gradient_shares
from gradscope.learning.bptt import backpropagate, entering_errors
from gradscope.learning.losses import step_errors
from gradscope.model.activations import IDENTITY
from gradscope.model.elman import ElmanParameters
from gradscope.model.initializers import initialize
from gradscope.model.trajectory import unroll
from gradscope.names import ActivationName, ErrorName, InitializerName

STEPS, SEQUENCES = 8, 3


def test_a_constant_input_is_felt_less_by_each_lag_as_powers_of_w() -> None:
    # h_t = w h_{t−1} + u x_t: the error g at T is felt at lag ℓ by u as g w^ℓ x_{T−ℓ}.
    w, steps = 0.7, 6
    params = ElmanParameters(
        input_weights=np.ones((1, 1)),
        recurrent_weights=np.array([[w]]),
        hidden_bias=np.zeros(1),
        output_weights=np.ones((1, 1)),
        output_bias=np.zeros(1),
        activation=IDENTITY,
    )
    trajectory = unroll(params, np.ones((steps, 1, 1)))
    targets = Targets(np.zeros((steps, 1, 1)), np.arange(1, steps + 1) == steps)

    found = gradient_shares(params, trajectory, targets)

    lags = np.arange(steps)
    felt = 2.0 * trajectory.outputs[-1, 0, 0] * w**lags
    assert found.lags.tolist() == lags.tolist()
    np.testing.assert_allclose(found.norms["input_weights"], felt, rtol=1e-13)
    np.testing.assert_allclose(found.norms["hidden_bias"], felt, rtol=1e-13)
    before = trajectory.hidden[steps - 1 - lags, 0, 0]
    np.testing.assert_allclose(found.norms["recurrent_weights"], felt * before, rtol=1e-13)


@pytest.mark.parametrize("name", ActivationName)
@pytest.mark.parametrize("error", ErrorName)
def test_the_shares_add_up_to_the_gradient(name: ActivationName, error: ErrorName) -> None:
    rng = np.random.default_rng(1)
    params = initialize(rng, (2, 5, 4), activation=name, scheme=InitializerName.UNIFORM, gain=2.0)
    trajectory = unroll(params, rng.normal(size=(STEPS, SEQUENCES, 2)))
    values = np.eye(4)[rng.integers(0, 4, (STEPS, SEQUENCES))]
    targets = Targets(values, np.arange(STEPS) % 3 > 0, error)

    found = gradient_shares(params, trajectory, targets)

    exact = backpropagate(params, trajectory, targets).weights
    assert set(found.total) == {"input_weights", "recurrent_weights", "hidden_bias"}
    for each, total in found.total.items():
        np.testing.assert_allclose(total, exact[each], rtol=1e-10, atol=1e-15)


def test_a_share_is_the_double_sum_of_its_definition() -> None:
    # C_ℓ = Σ_t g_t J_t ⋯ J_{t−ℓ+1} ∂⁺h_{t−ℓ}/∂W, with ∂⁺h_i/∂W_jk = φ′(a_j) h_{t−ℓ−1,k}.
    rng = np.random.default_rng(2)
    params = initialize(rng, (2, 4, 3), scheme=InitializerName.UNIFORM, gain=2.0)
    trajectory = unroll(params, rng.normal(size=(STEPS, SEQUENCES, 2)))
    targets = Targets(rng.normal(size=(STEPS, SEQUENCES, 3)), np.ones(STEPS, dtype=np.bool_))
    chain = elman_chain(params, trajectory)
    entering = entering_errors(
        params,
        params.linearize(trajectory.cell_trajectory),
        step_errors(trajectory.outputs, targets)[1],
    )

    found = gradient_shares(params, trajectory, targets)

    for lag in range(STEPS):
        share = np.zeros((4, 4))
        for t in range(lag + 1, STEPS + 1):
            for b in range(SEQUENCES):
                factors = [chain.jacobian(s)[b] for s in range(t, t - lag, -1)]
                row = reduce(np.matmul, factors, entering[t - 1, b])
                here = t - lag
                share += np.outer(
                    row * trajectory.slopes[here - 1, b], trajectory.hidden[here - 1, b]
                )
        assert found.norms["recurrent_weights"][lag] == pytest.approx(
            float(np.linalg.norm(share)), rel=1e-11, abs=1e-15
        )
