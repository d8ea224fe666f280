"""The parameter profile is the Frobenius norm of ∂s_T by the parameters of one step alone."""

from typing import Any

import numpy as np
import pytest

from gradscope.arrays import FloatArray
from gradscope.jacobians.cell_chain import CellChain
from gradscope.jacobians.parameter_profile import parameter_profile
from gradscope.model.activations import ACTIVATIONS
from gradscope.model.cells import Cell
from gradscope.model.elman import ElmanParameters
from gradscope.model.lstm import LstmParameters
from gradscope.model.trajectory import Trajectory, unroll
from gradscope.names import ActivationName
from tests.drawn_cells import KINDS, drawn

SHARED = ("input_weights", "recurrent_weights", "hidden_bias")


@pytest.mark.torch
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_norm_of_the_jacobian_by_the_parameters_of_one_step(kind: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle here")
    from tests.torch_cells import step_of, tensor

    cell, inputs, first, _ = drawn(kind, n_steps=5, n_sequences=2)
    constant = {name: tensor(array) for name, array in cell.weights()}
    step = step_of(cell)
    names = [name for name in constant if not name.startswith("output")]

    def last_state(weights: dict[str, Any], used_at: int, which: int) -> Any:
        state = tensor(first[which])
        for t, x in enumerate(tensor(inputs)[:, which], start=1):
            state = step(x, state, {**constant, **weights} if t == used_at else constant)
        return state

    found = parameter_profile(cell, unroll(cell, inputs, first))

    some = {name: constant[name] for name in names}
    assert found.lags.tolist() == list(range(5))
    for lag in found.lags.tolist():
        for which in range(inputs.shape[1]):
            jacobian = torch.func.jacrev(last_state)(some, 5 - lag, which)
            sizes = {name: float(jacobian[name].norm()) for name in names}
            whole = float(np.linalg.norm(list(sizes.values())))
            assert np.exp(found.log_norms["norm"][lag, which]) == pytest.approx(whole, rel=1e-10)
            for name, size in sizes.items():
                block = np.exp(found.log_norms[name][lag, which])
                assert block == pytest.approx(size, rel=1e-9, abs=1e-300)


def dense_profile(cell: Cell, trajectory: Trajectory) -> FloatArray:
    """Return log ‖P_{T,T−ℓ} M‖_F (T,B) from explicit products, one power of two beside each."""
    linearization = cell.linearize(trajectory.cell_trajectory)
    chain = CellChain(linearization)
    rows = np.repeat(np.eye(chain.state_size)[None], chain.n_sequences, axis=0)
    logs, shift = np.empty((chain.n_steps, chain.n_sequences)), np.zeros(chain.n_sequences)
    for lag in range(chain.n_steps):
        at = (chain.n_steps - lag - 1, slice(None), None)
        local = np.empty((*rows.shape[:2], linearization.local_size))
        rows = linearization.vjp(rows, at, local)
        with np.errstate(divide="ignore"):
            logs[lag] = np.log(np.linalg.norm(local, axis=(1, 2))) + shift
        size = np.abs(rows).max(axis=(1, 2))
        rows, shift = rows / size[:, None, None], shift + np.log(size)
    return logs


@pytest.mark.parametrize("gain", [0.7, 1.5])
def test_dropped_rows_change_nothing(gain: float) -> None:
    rng = np.random.default_rng(3)
    size = 48
    cell = ElmanParameters(
        rng.normal(size=(size, 2)),
        gain * rng.normal(size=(size, size)) / np.sqrt(size),
        np.zeros(size),
        np.zeros((1, size)),
        np.zeros(1),
    )
    trajectory = unroll(cell, rng.normal(size=(120, 2, 2)))

    found = parameter_profile(cell, trajectory).log_norms["hidden_bias"]

    np.testing.assert_allclose(found, dense_profile(cell, trajectory), rtol=0, atol=1e-6)


def test_what_the_leading_direction_does_not_take_up_is_still_seen() -> None:
    # Unit 0 keeps its cell for ever, but its input gate is shut: nothing is written into what σ_max
    # sees. All others forget, 0.6 nats per step and more, and are written to.
    rng = np.random.default_rng(4)
    size, steps = 24, 80
    bias = np.zeros((4, size))
    bias[1] = -rng.uniform(0.0, 1.0, size)
    bias[:, 0] = -700.0, 40.0, 1.0, -700.0
    weights = np.zeros((4 * size, size))
    cell = LstmParameters(
        rng.normal(size=(4 * size, 2)) * np.repeat([[0.0], [0.0], [1.0], [0.0]], size, axis=0),
        weights,
        bias.ravel(),
        np.zeros((1, size)),
        np.zeros(1),
    )
    trajectory = unroll(cell, rng.normal(size=(steps, 2, 2)))

    found = parameter_profile(cell, trajectory).log_norms["hidden_bias"]

    np.testing.assert_allclose(found, dense_profile(cell, trajectory), rtol=0, atol=1e-9)
    assert (found[-1] < -30.0).all()


def scalar(w: float, name: ActivationName = ActivationName.IDENTITY) -> ElmanParameters:
    one = np.ones((1, 1))
    return ElmanParameters(
        one, w * one, np.zeros(1), one, np.zeros(1), activation=ACTIVATIONS[name]
    )


@pytest.mark.parametrize("w", [0.5, -0.5])
def test_ten_thousand_lags_of_a_linear_unit_have_a_closed_form(w: float) -> None:
    steps = 10_000
    trajectory = unroll(scalar(w), np.full((steps, 1, 1), 3.0))

    found = parameter_profile(scalar(w), trajectory)

    fed = np.hypot(np.hypot(3.0, 1.0), trajectory.hidden[steps - 1 :: -1, 0, 0])
    wanted = found.lags * np.log(abs(w)) + np.log(fed)
    np.testing.assert_allclose(found.log_norms["norm"][:, 0], wanted, rtol=1e-12)
    assert found.lags[-1] == steps - 1


def test_where_nothing_arrives_it_is_minus_infinity_and_lags_end_where_asked() -> None:
    cell = scalar(1.0, ActivationName.RELU)
    inputs = np.array([1.0, 1.0, -9.0, 1.0, 1.0])[:, None, None]

    found = parameter_profile(cell, unroll(cell, inputs), 3)

    assert np.isneginf(found.log_norms["norm"][:, 0]).tolist() == [False, False, True, True]
