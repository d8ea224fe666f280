"""∂h_T/∂h_0 twice: as a product, and by moving the state."""

import numpy as np
import pytest

from gradscope.jacobians.reference import (
    difference_transport,
    product_transport,
    relative_deviation,
)
from gradscope.model.activations import IDENTITY
from gradscope.model.elman import ElmanParameters
from gradscope.model.initializers import initialize
from gradscope.names import ActivationName, InitializerName


def test_the_transport_of_a_linear_net_is_a_power_of_w() -> None:
    w = np.array([[0.5, 2.0, 0.0], [0.0, 0.3, 1.0], [-1.0, 0.0, 0.2]])
    params = ElmanParameters(
        input_weights=np.ones((3, 1)),
        recurrent_weights=w,
        hidden_bias=np.zeros(3),
        output_weights=np.ones((1, 3)),
        output_bias=np.zeros(1),
        activation=IDENTITY,
    )
    inputs = np.random.default_rng(1).normal(size=(4, 2, 1))

    power = np.linalg.matrix_power(w, 4)
    np.testing.assert_allclose(product_transport(params, inputs), power, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(difference_transport(params, inputs), power, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", ActivationName)
def test_the_product_of_jacobians_is_what_moving_the_first_state_does(
    name: ActivationName,
) -> None:
    rng = np.random.default_rng(2)
    params = initialize(rng, (2, 5, 1), activation=name, scheme=InitializerName.UNIFORM, gain=2.0)
    inputs = rng.normal(size=(4, 3, 2))

    product, moved = product_transport(params, inputs), difference_transport(params, inputs)

    assert relative_deviation(product, moved) < 1e-8


def test_both_follow_the_first_sequence() -> None:
    rng = np.random.default_rng(3)
    params = initialize(rng, (2, 5, 1), gain=1.5)
    inputs = rng.normal(size=(4, 3, 2))

    for transport in (product_transport, difference_transport):
        np.testing.assert_array_equal(transport(params, inputs), transport(params, inputs[:, :1]))
        assert not np.allclose(transport(params, inputs), transport(params, inputs[:, 1:]))
