"""Central differences: exact on what is quadratic, close to backpropagation elsewhere."""

import numpy as np
import pytest

from gradscope.data.batch import Batch, Targets
from gradscope.jacobians.reference import central_differences, loss, relative_deviation
from gradscope.learning.bptt import backpropagate
from gradscope.model.elman import ElmanParameters
from gradscope.model.initializers import initialize
from gradscope.model.trajectory import unroll
from gradscope.names import InitializerName


def small_case() -> tuple[ElmanParameters, Batch]:
    rng = np.random.default_rng(1)
    params = initialize(rng, (2, 4, 3), scheme=InitializerName.UNIFORM, gain=2.0)
    targets = Targets(rng.normal(size=(6, 3, 3)), np.ones(6, dtype=np.bool_))
    return params, Batch(rng.normal(size=(6, 3, 2)), targets)


def test_the_loss_is_the_one_that_backpropagation_reports() -> None:
    params, batch = small_case()

    gradients = backpropagate(params, unroll(params, batch.inputs), batch.targets)

    assert loss(params, batch) == gradients.loss


def test_differences_of_a_quadratic_are_its_slope() -> None:
    # E is quadratic in the output bias: E = Σ_t mean (A − y)², ∂E/∂c = 2 Σ_t mean (y − A).
    params, batch = small_case()
    outputs = unroll(params, batch.inputs).outputs
    gaps = outputs - batch.targets.values

    found = central_differences(params, batch, "output_bias", np.arange(3))

    np.testing.assert_allclose(found, 2.0 * gaps.sum(axis=(0, 1)) / 9.0, rtol=1e-9)


@pytest.mark.parametrize("name", ["input_weights", "recurrent_weights", "hidden_bias"])
def test_differences_meet_backpropagation_entry_by_entry(name: str) -> None:
    params, batch = small_case()
    exact = backpropagate(params, unroll(params, batch.inputs), batch.targets).weights[name]
    entries = np.random.default_rng(2).permutation(exact.size)[:4]

    found = central_differences(params, batch, name, entries)

    np.testing.assert_allclose(found, exact.flat[entries], rtol=1e-7)


def test_the_network_is_as_it_was() -> None:
    params, batch = small_case()
    before = {name: array.copy() for name, array in params.weights()}

    central_differences(params, batch, "recurrent_weights", np.arange(16))

    for name, array in params.weights():
        np.testing.assert_array_equal(array, before[name])


def test_the_deviation_is_relative_to_the_second_and_plain_where_that_is_zero() -> None:
    assert relative_deviation(np.array([3.0, 4.4]), np.array([3.0, 4.0])) == pytest.approx(0.08)
    assert relative_deviation(np.array([3.0, 4.0]), np.zeros(2)) == 5.0
    assert relative_deviation(np.zeros(2), np.zeros(2)) == 0.0
