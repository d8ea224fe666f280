"""Case A5: nets that meet the bound (γ σ_max(W))^ℓ with equality."""

import numpy as np
import pytest

from gradscope.diagnosis.diagnose import diagnose
from gradscope.jacobians.chain import elman_chain
from gradscope.jacobians.lag_norms import lag_norms
from gradscope.jacobians.reference import product_transport
from gradscope.model.initializers import initialize
from gradscope.model.trajectory import unroll
from gradscope.names import ActivationName, InitializerName


@pytest.mark.parametrize("gain", [0.9, 1.0, 1.1])
def test_a5_orthogonal_tanh_nets_at_rest_have_every_singular_value_at_the_bound(
    gain: float,
) -> None:
    params = initialize(np.random.default_rng(1), (1, 16, 1), gain=gain)
    silence = np.zeros((100, 1, 1))

    found = diagnose(elman_chain(params, unroll(params, silence)))

    lags = np.arange(1, 101)
    np.testing.assert_allclose(np.exp(found.norms.log_norms[:, 0]), gain**lags, rtol=1e-12)
    np.testing.assert_allclose(found.log_bound, found.norms.log_norms[:, 0], atol=1e-12)
    for lag in (1, 10, 100):
        values = np.linalg.svd(product_transport(params, silence[:lag]), compute_uv=False)
        np.testing.assert_allclose(values, gain**lag, rtol=1e-12)


def test_a5_an_identity_relu_net_with_a_positive_state_forgets_nothing_in_500_steps() -> None:
    rng = np.random.default_rng(2)
    params = initialize(
        rng, (1, 16, 1), activation=ActivationName.RELU, scheme=InitializerName.IDENTITY
    )
    trajectory = unroll(params, np.zeros((500, 1, 1)), rng.uniform(0.1, 1.0, (1, 16)))

    log_norms = lag_norms(elman_chain(params, trajectory)).log_norms

    assert log_norms.shape == (500, 1)
    np.testing.assert_allclose(np.exp(log_norms), 1.0, rtol=1e-12)
