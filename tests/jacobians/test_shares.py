"""Shares against their definition, against truncated backpropagation and against closed forms."""

from dataclasses import replace

import numpy as np
import pytest

from gradscope.arrays import FloatArray
from gradscope.data.batch import Targets
from gradscope.errors import SettingError, ShapeError
from gradscope.jacobians import shares
from gradscope.jacobians.adjoints import log_adjoint_norms
from gradscope.jacobians.chain import elman_chain
from gradscope.jacobians.shares import GradientShares, gradient_shares
from gradscope.learning.bptt import backpropagate
from gradscope.learning.losses import step_errors
from gradscope.model.activations import IDENTITY, TANH, Activation
from gradscope.model.elman import ElmanParameters
from gradscope.model.initializers import initialize
from gradscope.model.trajectory import Trajectory, unroll
from gradscope.names import ActivationName, InitializerName

Case = tuple[ElmanParameters, Trajectory, Targets]
NAMES = ("recurrent_weights", "input_weights", "hidden_bias")


def _case(
    name: ActivationName = ActivationName.TANH,
    gain: float = 1.2,
    n_steps: int = 25,
    every: int = 1,
) -> Case:
    """A random net over three sequences, from a random state; a target at every so many steps."""
    rng = np.random.default_rng(3)
    params = initialize(rng, (2, 6, 2), activation=name, scheme=InitializerName.GAUSSIAN, gain=gain)
    trajectory = unroll(
        params, rng.standard_normal((n_steps, 3, 2)), 0.5 * rng.standard_normal((3, 6))
    )
    at_step = np.arange(1, n_steps + 1) % every == 0
    return params, trajectory, Targets(rng.standard_normal((n_steps, 3, 2)), at_step)


def _scalar_case(weight: float, n_steps: int) -> Case:
    """One linear unit at rest whose only error, −2, enters at the last step: C_ℓ of b is −2 w^ℓ."""
    one = np.ones((1, 1))
    params = ElmanParameters(one, weight * one, np.zeros(1), one, np.zeros(1), IDENTITY)
    trajectory = unroll(params, np.zeros((n_steps, 1, 1)))
    return params, trajectory, Targets(np.ones((n_steps, 1, 1)), np.arange(n_steps) == n_steps - 1)


def _given_slopes(pre_activations: FloatArray, activation: Activation = TANH) -> Case:
    """One unit with w = 1 whose pre-activations (T,B) were given; its error enters at the end."""
    one = np.ones((1, 1))
    n_steps, n_sequences = pre_activations.shape
    params = ElmanParameters(one, one, np.zeros(1), one, np.zeros(1), activation)
    still = np.zeros((n_steps, n_sequences, 1))
    hidden = np.zeros((n_steps + 1, n_sequences, 1))
    given = pre_activations[:, :, None]
    trajectory = Trajectory(still, hidden, hidden, given, given, still, activation)
    at_end = np.arange(n_steps) == n_steps - 1
    return params, trajectory, Targets(np.full((n_steps, n_sequences, 1), -0.5), at_end)


def _joint_norm(arrays: dict[str, FloatArray]) -> float:
    return float(np.sqrt(sum(np.sum(np.square(arrays[name])) for name in NAMES)))


CASES = [
    (ActivationName.TANH, 1.2, 1),
    (ActivationName.SIGMOID, 4.0, 1),
    (ActivationName.TANH, 3.0, 7),
    (ActivationName.RELU, 1.0, 25),
]


@pytest.mark.parametrize(("name", "gain", "every"), CASES)
def test_the_shares_add_up_to_the_gradient_of_backpropagation(
    name: ActivationName, gain: float, every: int
) -> None:
    case = _case(name, gain, every=every)

    found = gradient_shares(*case)

    exact = backpropagate(*case).weights
    for array in NAMES:
        largest = np.abs(exact[array]).max()
        assert np.abs(found.total[array] - exact[array]).max() <= 1e-10 * largest
    assert found.truncation_errors[-1] < 1e-10


@pytest.mark.parametrize(("name", "gain", "every"), CASES)
def test_each_share_is_what_its_definition_says(
    name: ActivationName, gain: float, every: int
) -> None:
    params, trajectory, targets = case = _case(name, gain, n_steps=9, every=min(every, 9))
    chain = elman_chain(params, trajectory)
    entering = step_errors(trajectory.outputs, targets)[1] @ params.output_weights

    found = gradient_shares(*case)

    for lag in range(9):
        share = {array: np.zeros_like(getattr(params, array)) for array in NAMES}
        for t in range(lag + 1, 10):
            rows = entering[t - 1]
            for step in range(t, t - lag, -1):
                rows = np.einsum("bi,bij->bj", rows, chain.jacobian(step))
            local = rows * trajectory.slopes[t - lag - 1]
            share["recurrent_weights"] += local.T @ trajectory.hidden[t - lag - 1]
            share["input_weights"] += local.T @ trajectory.inputs[t - lag - 1]
            share["hidden_bias"] += local.sum(axis=0)
        for array in NAMES:
            np.testing.assert_allclose(
                found.norms[array][lag], np.linalg.norm(share[array]), rtol=1e-11, atol=1e-300
            )


@pytest.mark.parametrize("every", [1, 4])
def test_partial_sums_and_their_errors_are_those_of_truncated_backpropagation(every: int) -> None:
    case = _case(gain=1.5, every=every)
    exact = backpropagate(*case).weights
    norm = _joint_norm(exact)

    found = gradient_shares(*case)

    for lag in (0, 1, 5, 12):
        truncated = backpropagate(*case, truncation=lag).weights
        missing = {name: exact[name] - truncated[name] for name in NAMES}
        partial = np.log(_joint_norm(truncated))
        assert found.log_partial_norms[lag] == pytest.approx(partial, abs=1e-11)
        assert found.truncation_errors[lag] == pytest.approx(_joint_norm(missing) / norm, rel=1e-9)
        so_far = sum(
            np.sqrt(sum(found.norms[name][each] ** 2 for name in NAMES)) for each in range(lag + 1)
        )
        assert found.cancellation[lag] == pytest.approx(_joint_norm(truncated) / so_far)
    assert found.cancellation[0] == pytest.approx(1.0)


def test_truncation_at_the_length_keeps_the_error_and_one_less_does_not() -> None:
    case = _case(gain=1.5)
    exact = backpropagate(*case).weights

    k = gradient_shares(*case).truncation_length(error=0.05)

    assert k is not None
    for length, kept in ((k, True), (k - 1, False)):
        truncated = backpropagate(*case, truncation=length).weights
        missing = {name: exact[name] - truncated[name] for name in NAMES}
        assert (_joint_norm(missing) <= 0.05 * _joint_norm(exact)) == kept


def test_the_truncation_length_looks_past_an_error_that_comes_back() -> None:
    errors = np.array([0.5, 0.01, 0.2, 0.03, 0.0])
    found = GradientShares(np.arange(5), {}, {}, errors, errors, errors)

    assert found.truncation_length(0.05) == 3
    assert found.truncation_length(0.3) == 1
    assert found.truncation_length(0.6) == 0


def test_the_truncation_length_is_unknown_where_the_lags_end_too_early() -> None:
    case = _case(gain=2.0)

    found = gradient_shares(*case, max_lag=2)

    assert found.lags.tolist() == [0, 1, 2]
    assert found.truncation_length(0.01) is None
    whole = gradient_shares(*case)
    np.testing.assert_allclose(found.truncation_errors, whole.truncation_errors[:3], rtol=1e-9)


@pytest.mark.parametrize("weight", [1e-30, 1e-3, 0.7, 1e3, 1e30])
def test_a_share_keeps_its_norm_where_floats_end(weight: float) -> None:
    found = gradient_shares(*_scalar_case(weight, 300))

    expected = np.log(2.0) + np.arange(300) * np.log(weight)
    np.testing.assert_allclose(found.log_norms["hidden_bias"], expected, rtol=1e-12)
    # The sum of a geometric series, most of it in the largest term.
    ends = np.logaddexp.accumulate(expected)
    np.testing.assert_allclose(found.log_partial_norms, ends, rtol=1e-12)
    if weight > 1.0:
        assert found.truncation_errors[0] == pytest.approx(1.0)
        assert found.truncation_length(0.05) == 299
    else:
        assert found.truncation_errors[3] == pytest.approx(weight**4, rel=1e-3)


def test_rows_of_very_different_size_are_not_lost_where_the_smaller_one_wins_in_the_end() -> None:
    # One sequence is shut early, the other late: each has lost 1e-5000 on the way back.
    shut, n_half = 300.0, 20
    pre_activations = np.zeros((2 * n_half, 2))
    pre_activations[:n_half, 0] = shut
    pre_activations[n_half:-1, 1] = shut

    found = gradient_shares(*_given_slopes(pre_activations))

    log_slope = np.log(4.0) - 2.0 * shut
    lags = np.arange(2 * n_half)
    first = np.maximum(lags + 1 - n_half, 0) * log_slope
    second = np.minimum(lags, n_half - 1) * log_slope
    # Each of both sequences has ∂E/∂y = 2 · ½ / 2.
    expected = np.log(0.5) + np.logaddexp(first, second)
    np.testing.assert_allclose(found.log_norms["hidden_bias"], expected, rtol=1e-12)


def test_where_no_error_enters_every_share_is_zero_and_nothing_is_lost_by_truncation() -> None:
    params, trajectory, targets = _case(n_steps=5)
    silent = Targets(targets.values, np.zeros(5, dtype=np.bool_))

    found = gradient_shares(params, trajectory, silent)

    assert all(np.isneginf(logs).all() for logs in found.log_norms.values())
    assert all((total == 0.0).all() for total in found.total.values())
    assert (found.truncation_errors == 0.0).all()
    assert found.truncation_length() == 0


def test_one_step_has_one_share_which_is_the_gradient() -> None:
    case = _case(n_steps=1)

    found = gradient_shares(*case)

    assert found.lags.tolist() == [0]
    assert found.truncation_length() == 0
    exact = backpropagate(*case).weights
    np.testing.assert_allclose(found.total["recurrent_weights"], exact["recurrent_weights"])


def test_slopes_that_are_not_finite_are_refused() -> None:
    params, trajectory, targets = _case(n_steps=3)
    unknown = np.full_like(trajectory.pre_activations, np.nan)
    broken = replace(trajectory, pre_activations=unknown, candidates=unknown)

    with pytest.raises(ShapeError, match="finite"):
        gradient_shares(params, broken, targets)


def test_without_a_longest_lag_the_cost_is_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    case = _case(n_steps=12)
    of_one = 2 * 3 * 6 * (2 * 6 + 2 + 1)
    monkeypatch.setattr(shares, "MAX_OPERATIONS", of_one * (12 + 11 + 10))

    assert gradient_shares(*case).lags.tolist() == [0, 1, 2]
    assert gradient_shares(*case, max_lag=11).lags.size == 12


@pytest.mark.parametrize("max_lag", [-1, 25])
def test_lags_that_the_trajectory_does_not_have_are_refused(max_lag: int) -> None:
    with pytest.raises(SettingError, match="choose 0 to 24"):
        gradient_shares(*_case(), max_lag=max_lag)


@pytest.mark.parametrize("error", [0.0, 1.0, float("nan")])
def test_a_truncation_error_outside_its_range_is_refused(error: float) -> None:
    with pytest.raises(SettingError, match="between 0 and 1"):
        gradient_shares(*_case(n_steps=3)).truncation_length(error)


@pytest.mark.parametrize(("name", "gain", "every"), CASES)
def test_adjoint_norms_are_those_of_backpropagation(
    name: ActivationName, gain: float, every: int
) -> None:
    case = _case(name, gain, every=every)

    found = log_adjoint_norms(*case)

    adjoints = backpropagate(*case).hidden_adjoints
    with np.errstate(divide="ignore"):
        expected = np.log(np.linalg.norm(adjoints, axis=(1, 2)))
    np.testing.assert_allclose(found, expected, rtol=1e-11)


def test_shares_are_right_where_the_errors_that_enter_are_out_of_range() -> None:
    # V = 2**700 and an error of −2**701 instead of −2: every share is 2**1400 times as large.
    params, trajectory, targets = _scalar_case(0.5, 20)
    far = 2.0**700
    large = replace(params, output_weights=far * params.output_weights)
    wanted = replace(targets, values=far * targets.values)

    found = gradient_shares(large, trajectory, wanted)

    expected = gradient_shares(params, trajectory, targets)
    np.testing.assert_allclose(
        found.log_norms["hidden_bias"],
        expected.log_norms["hidden_bias"] + 1400 * np.log(2.0),
        rtol=1e-12,
    )
    np.testing.assert_allclose(found.truncation_errors, expected.truncation_errors, rtol=1e-9)


@pytest.mark.parametrize("weight", [1e-3, 1e3])
def test_adjoint_norms_keep_their_size_where_floats_end(weight: float) -> None:
    found = log_adjoint_norms(*_scalar_case(weight, 600))

    np.testing.assert_allclose(
        found, np.log(2.0) + (600.0 - np.arange(601)) * np.log(weight), rtol=1e-12
    )
