"""‖∂E/∂h_t‖ in the log domain: the plain adjoints where those exist, and right beyond them."""

from dataclasses import replace

import numpy as np
import pytest

from gradscope.data.batch import Targets
from gradscope.jacobians.adjoints import log_adjoint_norms
from gradscope.learning.bptt import backpropagate
from gradscope.model.activations import IDENTITY, RELU
from gradscope.model.elman import ElmanParameters
from gradscope.model.initializers import initialize
from gradscope.model.trajectory import unroll
from gradscope.names import ActivationName, InitializerName


def diagonal(w: list[float], units: int = 1) -> ElmanParameters:
    """A linear net of independent units with their sum as output."""
    size = len(w) * units
    return ElmanParameters(
        input_weights=np.zeros((size, 1)),
        recurrent_weights=np.diag(w * units),
        hidden_bias=np.zeros(size),
        output_weights=np.ones((1, size)),
        output_bias=np.zeros(1),
        activation=IDENTITY,
    )


def only(step: int, steps: int, sequences: int = 1) -> Targets:
    """One is wanted at one step of a net that says zero: the error entering is −2/B there."""
    return Targets(np.ones((steps, sequences, 1)), np.arange(1, steps + 1) == step)


@pytest.mark.parametrize("name", ActivationName)
@pytest.mark.parametrize("every", [1, 4])
def test_they_are_the_logarithms_of_the_plain_adjoints(name: ActivationName, every: int) -> None:
    rng = np.random.default_rng(1)
    params = initialize(rng, (2, 5, 3), activation=name, scheme=InitializerName.UNIFORM, gain=2.0)
    trajectory = unroll(params, rng.normal(size=(20, 3, 2)))
    targets = Targets(rng.normal(size=(20, 3, 3)), np.arange(20) % every == every - 1)

    found = log_adjoint_norms(params, trajectory, targets)

    adjoints = backpropagate(params, trajectory, targets).hidden_adjoints
    np.testing.assert_allclose(found, np.log(np.linalg.norm(adjoints, axis=(1, 2))), rtol=1e-11)


@pytest.mark.parametrize("w", [1e-9, 1e9])
def test_they_are_right_where_the_plain_adjoints_leave_the_floats(w: float) -> None:
    steps = 300
    params = diagonal([w])
    trajectory = unroll(params, np.zeros((steps, 1, 1)))

    found = log_adjoint_norms(params, trajectory, only(steps, steps))

    distance = steps - np.arange(steps + 1)
    np.testing.assert_allclose(found, np.log(2.0) + distance * np.log(w), rtol=1e-13)


@pytest.mark.parametrize("step", [1, 3, 6])
def test_they_are_right_where_the_error_that_enters_is_out_of_range(step: int) -> None:
    # y = c = 1e200 and V = 1e200: at the step with the target (∂E/∂y) V = 2·1e400.
    params = replace(
        diagonal([0.5]), output_weights=np.full((1, 1), 1e200), output_bias=np.full(1, 1e200)
    )

    found = log_adjoint_norms(params, unroll(params, np.zeros((6, 1, 1))), only(step, 6))

    t = np.arange(step + 1)
    expected = np.log(2.0) + 400 * np.log(10.0) + (step - t) * np.log(0.5)
    np.testing.assert_allclose(found[: step + 1], expected, rtol=1e-13)
    assert np.isneginf(found[step + 1 :]).all()


@pytest.mark.parametrize("w", [1e-30, 1e30])
@pytest.mark.parametrize("young", [1, 30, 299])
def test_errors_of_very_different_age_add_up(w: float, young: int) -> None:
    # δ_t = −2 Σ_s w^{s−t} over the two targets s ≥ t: a factor of up to 1e8970 lies between them.
    steps = 300
    params = diagonal([w])
    at_step = np.isin(np.arange(1, steps + 1), [young, steps])
    targets = Targets(np.ones((steps, 1, 1)), at_step)

    found = log_adjoint_norms(params, unroll(params, np.zeros((steps, 1, 1))), targets)

    t = np.arange(steps + 1)
    oldest = np.log(2.0) + np.log(w) * (steps - t)
    youngest = np.where(t <= young, np.log(2.0) + np.log(w) * (young - t), -np.inf)
    np.testing.assert_allclose(found, np.logaddexp(oldest, youngest), rtol=1e-13)


def test_the_norm_runs_over_units_and_sequences_together() -> None:
    # Four sequences of nine units, each with the error −2/4.
    params = diagonal([1.0], units=9)
    trajectory = unroll(params, np.zeros((3, 4, 1)))

    found = log_adjoint_norms(params, trajectory, only(3, 3, sequences=4))

    np.testing.assert_allclose(found, np.log(0.5 * np.sqrt(36.0)), rtol=1e-13)


def test_a_state_that_no_error_reaches_has_minus_infinity() -> None:
    params = diagonal([0.5])

    found = log_adjoint_norms(params, unroll(params, np.zeros((6, 1, 1))), only(4, 6))

    np.testing.assert_array_equal(np.isneginf(found), [False] * 5 + [True] * 2)


def test_a_dead_unit_stops_the_error_without_a_warning() -> None:
    params = ElmanParameters(
        input_weights=np.ones((1, 1)),
        recurrent_weights=np.ones((1, 1)),
        hidden_bias=np.zeros(1),
        output_weights=np.ones((1, 1)),
        output_bias=np.zeros(1),
        activation=RELU,
    )
    inputs = np.array([1.0, 1.0, -9.0, 1.0, 1.0]).reshape(5, 1, 1)

    found = log_adjoint_norms(params, unroll(params, inputs), only(5, 5))

    # At step 3 the unit is off: what was before it is not felt.
    np.testing.assert_array_equal(np.isneginf(found), [True, True, True, False, False, False])
