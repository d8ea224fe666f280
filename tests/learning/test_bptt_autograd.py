"""Backpropagation through time against automatic differentiation, on every activation and error."""

from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import autograd.numpy as anp  # type: ignore[import-untyped]
import numpy as np
import pytest
from autograd import grad

from gradscope.arrays import FloatArray
from gradscope.data.batch import Batch, Targets
from gradscope.jacobians.shares import gradient_shares
from gradscope.learning.bptt import backpropagate
from gradscope.model.cells import WEIGHT_NAMES
from gradscope.model.elman import ElmanParameters
from gradscope.model.initializers import initialize
from gradscope.model.trajectory import Trajectory, unroll
from gradscope.names import ActivationName, ErrorName, InitializerName

STEPS, SEQUENCES, INPUTS, HIDDEN, OUTPUTS = 7, 3, 2, 5, 4

Oracle = Mapping[ActivationName, Callable[[Any], Any]]
CASES = list(product(ActivationName, ErrorName))


def make_case(name: ActivationName, error: ErrorName) -> tuple[ElmanParameters, Batch, Trajectory]:
    """A network away from every symmetry, with some steps that have no target and an h_0."""
    rng = np.random.default_rng(list(ActivationName).index(name))
    sizes = (INPUTS, HIDDEN, OUTPUTS)
    params = initialize(rng, sizes, activation=name, scheme=InitializerName.UNIFORM, gain=2.5)
    values = rng.normal(size=(STEPS, SEQUENCES, OUTPUTS))
    if error is ErrorName.CROSS_ENTROPY:
        values = np.eye(OUTPUTS)[rng.integers(0, OUTPUTS, (STEPS, SEQUENCES))]
    at_step = np.array([True, True, False, True, False, True, True])
    batch = Batch(rng.normal(size=(STEPS, SEQUENCES, INPUTS)), Targets(values, at_step, error))
    return params, batch, unroll(params, batch.inputs, rng.normal(size=(SEQUENCES, HIDDEN)))


def loss_by_step(phi: Callable[[Any], Any], batch: Batch) -> Callable[..., Any]:
    """Return a function of (weights, what is added to h_0 … h_T, h before step ``first``, first,
    last) that unrolls the steps and gives E_last, or Σ_t E_t where ``last`` is None.
    """
    targets = batch.targets

    def error_of(outputs: Any, step: int) -> Any:
        wanted = targets.values[step - 1]
        if targets.error is ErrorName.SQUARED:
            return anp.mean((wanted - outputs) ** 2)
        log_sum = anp.log(anp.sum(anp.exp(outputs), axis=1, keepdims=True))
        return -anp.mean(anp.sum(wanted * (outputs - log_sum), axis=1))

    def loss(weights: Any, added: Any, start: Any, first: int = 1, last: int | None = None) -> Any:
        u, w, b, v, c = (weights[name] for name in WEIGHT_NAMES)
        hidden, total = start + added[first - 1], 0.0
        for step in range(first, (last or STEPS) + 1):
            a = anp.dot(batch.inputs[step - 1], u.T) + anp.dot(hidden, w.T) + b
            hidden = phi(a) + added[step]
            if targets.at_step[step - 1] and last in (None, step):
                total = total + error_of(anp.dot(hidden, v.T) + c, step)
        return total

    return loss


def close(found: FloatArray, expected: FloatArray) -> None:
    scale = float(np.abs(expected).max())
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13 * scale)


@pytest.mark.parametrize(("name", "error"), CASES)
def test_gradient_and_adjoints_are_what_autograd_finds(
    name: ActivationName, error: ErrorName, oracle: Oracle
) -> None:
    params, batch, trajectory = make_case(name, error)
    loss = loss_by_step(oracle[name], batch)
    weights, nothing = dict(params.weights()), np.zeros_like(trajectory.hidden)

    found = backpropagate(params, trajectory, batch.targets)

    assert found.loss == pytest.approx(loss(weights, nothing, trajectory.hidden[0]), rel=1e-12)
    expected = grad(loss, 0)(weights, nothing, trajectory.hidden[0])
    assert set(found.weights) == set(WEIGHT_NAMES)
    for each in WEIGHT_NAMES:
        close(found.weights[each], expected[each])
    close(found.hidden_adjoints, grad(loss, 1)(weights, nothing, trajectory.hidden[0]))


@pytest.mark.parametrize("truncation", [0, 1, 3, STEPS - 1])
@pytest.mark.parametrize(("name", "error"), CASES)
def test_the_truncated_gradient_treats_older_states_as_given(
    name: ActivationName, error: ErrorName, truncation: int, oracle: Oracle
) -> None:
    # E_t over lags 0 … k is E_t of a net that was handed h_{t−k−1} and knows nothing before it.
    params, batch, trajectory = make_case(name, error)
    loss = loss_by_step(oracle[name], batch)
    weights, nothing = dict(params.weights()), np.zeros_like(trajectory.hidden)
    expected = {each: np.zeros_like(array) for each, array in weights.items()}
    for last in np.flatnonzero(batch.targets.at_step) + 1:
        first = max(int(last) - truncation, 1)
        part = grad(loss, 0)(weights, nothing, trajectory.hidden[first - 1], first, last)
        for each in WEIGHT_NAMES:
            expected[each] += part[each]

    found = backpropagate(params, trajectory, batch.targets, truncation=truncation)

    for each in WEIGHT_NAMES:
        close(found.weights[each], expected[each])


@pytest.mark.parametrize("name", ActivationName)
def test_the_truncated_gradient_is_the_sum_of_the_shares_up_to_its_lag(
    name: ActivationName,
) -> None:
    params, batch, trajectory = make_case(name, ErrorName.SQUARED)
    shares = gradient_shares(params, trajectory, batch.targets)

    cut = [
        backpropagate(params, trajectory, batch.targets, truncation=lag).weights
        for lag in range(STEPS)
    ]

    for each, norms in shares.norms.items():
        steps = np.diff([np.zeros_like(cut[0][each]), *(one[each] for one in cut)], axis=0)
        measured = np.linalg.norm(steps.reshape(STEPS, -1), axis=1)
        np.testing.assert_allclose(norms, measured, rtol=1e-9, atol=1e-13)
        close(shares.total[each], cut[-1][each])
