"""Ω and its gradient: closed forms, differences of the function as defined, and PyTorch."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradscope.arrays import FloatArray
from gradscope.data.batch import Batch
from gradscope.learning.bptt import Gradients, backpropagate
from gradscope.learning.optimizers import sgd
from gradscope.learning.penalties import with_omega
from gradscope.learning.training import Limits, train
from gradscope.model.cells import Cell, Linearization
from gradscope.model.elman import ElmanParameters
from gradscope.model.trajectory import Trajectory, unroll
from tests.drawn_cells import KINDS, drawn

OMEGA = 0.7
VANILLA = [kind for kind in KINDS if isinstance(drawn(kind)[0], ElmanParameters)]


def case(kind: str) -> tuple[Cell, Trajectory, FloatArray]:
    """A network, its trajectory and adjoints; one step of one sequence that no error reaches."""
    cell, inputs, first, targets = drawn(kind)
    trajectory = unroll(cell, inputs, first)
    adjoints = backpropagate(cell, trajectory, targets).hidden_adjoints.copy()
    adjoints[3, 1] = 0.0
    return cell, trajectory, adjoints


def omega_and_gradient(
    cell: Cell, trajectory: Trajectory, adjoints: FloatArray
) -> tuple[float, FloatArray]:
    """Return Ω and ∂⁺Ω/∂W, of a loss whose own gradient is 0."""
    nothing = {"recurrent_weights": np.zeros_like(cell.recurrent_weights)}
    without = Gradients(0.0, np.zeros(trajectory.n_steps), nothing, adjoints)
    found = with_omega(cell, trajectory, without, OMEGA)
    assert found.omega is not None
    return found.omega, found.weights["recurrent_weights"] / OMEGA


def with_weights(linearization: Linearization, weights: FloatArray) -> Linearization:
    """The same trajectory and factors, J_t made with another W."""
    held: Any = linearization
    moved: Linearization = replace(held, cell=replace(held.cell, recurrent_weights=weights))
    return moved


def plain_omega(linearization: Linearization, adjoints: FloatArray) -> float:
    """Ω as the paper writes it, one step of one sequence after the other."""
    total, (n_states, n_sequences, _) = 0.0, adjoints.shape
    for step in range(1, n_states):
        for sequence in range(n_sequences):
            row = np.zeros_like(adjoints[step])
            row[sequence] = adjoints[step, sequence]
            if row.any():
                local = np.empty((n_sequences, linearization.local_size))
                back = linearization.vjp(row, step - 1, local)
                total += float(np.linalg.norm(back) / np.linalg.norm(row) - 1.0) ** 2
    return total / n_sequences


@pytest.mark.parametrize("kind", VANILLA)
def test_the_gradient_is_that_of_the_function_with_the_trajectory_held(kind: str) -> None:
    cell, trajectory, adjoints = case(kind)
    linearization = cell.linearize(trajectory.cell_trajectory)
    weights = cell.recurrent_weights

    value, gradient = omega_and_gradient(cell, trajectory, adjoints)

    assert value == pytest.approx(plain_omega(linearization, adjoints), rel=1e-12)
    differences = np.empty_like(weights)
    for entry in range(weights.size):
        moved = [weights.copy(), weights.copy()]
        for array, step in zip(moved, (1e-5, -1e-5), strict=True):
            array.flat[entry] += step
        high, low = (plain_omega(with_weights(linearization, each), adjoints) for each in moved)
        differences.flat[entry] = (high - low) / 2e-5
    np.testing.assert_allclose(
        gradient, differences, rtol=1e-6, atol=1e-8 * np.abs(differences).max()
    )


@pytest.mark.parametrize("scale", [1e-250, 1e250])
def test_omega_does_not_depend_on_the_size_of_the_error(scale: float) -> None:
    cell, trajectory, adjoints = case("vanilla")

    value, gradient = omega_and_gradient(cell, trajectory, adjoints)
    scaled, its_gradient = omega_and_gradient(cell, trajectory, scale * adjoints)

    assert scaled == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(its_gradient, gradient, rtol=1e-10)


def test_where_no_error_arrives_there_is_nothing_to_keep() -> None:
    cell, trajectory, adjoints = case("vanilla")

    value, gradient = omega_and_gradient(cell, trajectory, np.zeros_like(adjoints))

    assert value == 0.0
    assert not gradient.any()


@pytest.mark.parametrize("kind", VANILLA)
def test_training_descends_e_and_omega_by_its_weight(kind: str) -> None:
    cell, inputs, _, targets = drawn(kind)
    plain = backpropagate(cell, unroll(cell, inputs), targets)
    value, slope = omega_and_gradient(cell, unroll(cell, inputs), plain.hidden_adjoints)

    batch = Batch(inputs, targets)
    found = train(cell, lambda: batch, sgd(0.1), 1, limits=Limits(omega=OMEGA))

    wanted = cell.recurrent_weights - 0.1 * (plain.weights["recurrent_weights"] + OMEGA * slope)
    np.testing.assert_allclose(found.params.recurrent_weights, wanted, rtol=1e-12)
    assert found.history.omega is not None
    assert found.history.omega.tolist() == pytest.approx([value], rel=1e-12)
    assert found.history.loss.tolist() == [plain.loss]
    assert train(cell, lambda: batch, sgd(0.1), 1).history.omega is None


@pytest.mark.torch
def test_it_is_what_pytorch_finds_where_states_and_adjoints_are_constants() -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
    cell, inputs, _, targets = drawn("vanilla")
    u, w, b, v, c = (torch.from_numpy(each).clone() for _, each in cell.weights())
    w.requires_grad_()
    hidden = [torch.zeros(inputs.shape[1], w.shape[0], dtype=torch.float64)]
    for x in torch.from_numpy(inputs):
        hidden.append(torch.tanh(x @ u.T + hidden[-1] @ w.T + b))
        hidden[-1].retain_grad()
    outputs = torch.stack(hidden[1:]) @ v.T + c
    held = torch.from_numpy(targets.at_step)
    gap = (outputs - torch.from_numpy(targets.values))[held]
    (gap.square().mean(dim=(1, 2)).sum()).backward(retain_graph=True)
    total: Any = 0.0
    for state in hidden[1:]:
        delta = state.grad.detach()
        back = (delta * (1.0 - state.detach() ** 2)) @ w
        total = total + ((back.norm(dim=1) / delta.norm(dim=1) - 1.0) ** 2).mean()
    (wanted,) = torch.autograd.grad(total, w)

    trajectory = unroll(cell, inputs)
    adjoints = backpropagate(cell, trajectory, targets).hidden_adjoints
    value, gradient = omega_and_gradient(cell, trajectory, adjoints)

    assert value == pytest.approx(float(total.detach()), rel=1e-11)
    np.testing.assert_allclose(gradient, wanted.numpy(), rtol=1e-9, atol=1e-13)
