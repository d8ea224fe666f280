"""The joint Jacobian of a stack, and all that its map and adjoints hold, are those of PyTorch."""

from typing import Any

import numpy as np
import pytest

from gradscope.arrays import FloatArray
from gradscope.jacobians.stack_chain import StackChain, depth_map, stack_adjoint_norms
from gradscope.model.cells import Cell
from tests.stacks import drawn, run

torch = pytest.importorskip("torch", reason="PyTorch is the oracle here")
pytestmark = pytest.mark.torch

from gradscope.torch import chain  # noqa: E402
from tests.torch_cells import hidden_of, step_of, tensor, weights_of  # noqa: E402

T, B, SIZES = 9, 2, (4, 5, 3)
STACKS = [
    *(["elman"] * 3, ["pre"] * 2, ["gru"] * 2, ["gru-before"] * 3, ["lstm"] * 3),
    ["pre", "lstm", "gru"],
]


class Stack:
    """A stack in both worlds: our layers, and one joint step of PyTorch."""

    def __init__(self, kinds: list[str]) -> None:
        rng, widths = np.random.default_rng(len(kinds)), (3, *SIZES)
        pairs = zip(kinds, widths, SIZES, strict=False)
        self.cells: list[Cell] = [drawn(*each, rng) for each in pairs]
        self.inputs = rng.normal(size=(T, B, 3))
        self.layers = run(self.cells, self.inputs)
        self.chain = StackChain(self.layers)
        self.weights = [
            {name: each.detach() for name, each in weights_of(cell).items()} for cell in self.cells
        ]
        self.sizes = [cell.state_size for cell in self.cells]
        self.states = np.concatenate([ran.states for _, ran in self.layers], axis=2)

    def step(self, state: Any, x: Any, moved: Any = None) -> Any:
        """Return the joint state after a step of one sequence, each layer's moved by so much."""
        after = []
        for at, (cell, before) in enumerate(zip(self.cells, state.split(self.sizes), strict=True)):
            found = step_of(cell)(x[None], before[None], self.weights[at])[0]
            found = found if moved is None else found + moved.split(self.sizes)[at]
            after.append(found)
            x = hidden_of(cell, found)
        return torch.cat(after)

    def shown(self, moved: Any, sequence: int) -> Any:
        """Return what the top shows at every step (T,H), the states of all steps moved."""
        state, shown = tensor(self.states[0, sequence]) + moved[0], []
        for t in range(T):
            state = self.step(state, tensor(self.inputs[t, sequence]), moved[t + 1])
            shown.append(hidden_of(self.cells[-1], state.split(self.sizes)[-1]))
        return torch.stack(shown)

    def still(self) -> Any:
        return torch.zeros(T + 1, sum(self.sizes), dtype=torch.float64)

    def of_layers(self, array: FloatArray) -> list[FloatArray]:
        return np.split(array, np.cumsum(self.sizes)[:-1], axis=-1)


@pytest.mark.parametrize("kinds", STACKS, ids="-".join)
def test_a_step_of_the_stack_has_the_jacobian_of_jacrev(kinds: list[str]) -> None:
    stack = Stack(kinds)

    for t in (1, T):
        for b in range(B):
            x = tensor(stack.inputs[t - 1, b])
            wanted = torch.func.jacrev(lambda s, x=x: stack.step(s, x))(
                tensor(stack.states[t - 1, b])
            )
            found = stack.chain.jacobian(t)[b]
            np.testing.assert_allclose(found, wanted.detach().numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kinds", STACKS, ids="-".join)
def test_what_arrives_at_every_layer_and_lag_is_the_whole_derivative(kinds: list[str]) -> None:
    stack = Stack(kinds)

    found = depth_map(stack.chain, tolerance=1e-13)

    for b in range(B):
        moved = torch.func.jacrev(lambda m, b=b: stack.shown(m, b)[-1])(stack.still())
        blocks = stack.of_layers(moved.detach().numpy())
        wanted = [[np.linalg.norm(each[:, T - lag], 2) for lag in range(T + 1)] for each in blocks]
        np.testing.assert_allclose(found.log_norms[..., b], np.log(wanted), rtol=0, atol=1e-10)


@pytest.mark.parametrize("kinds", STACKS, ids="-".join)
def test_adjoints_of_every_layer_and_step_are_those_of_autograd(kinds: list[str]) -> None:
    stack = Stack(kinds)
    errors = np.random.default_rng(5).normal(size=(T, B, stack.cells[-1].hidden_size))
    entering = stack.chain.of[-1][1].enter(errors)

    found = stack_adjoint_norms(stack.chain, entering, np.zeros(T, dtype=np.int64))

    squares: Any = 0.0
    for b in range(B):
        moved = stack.still().requires_grad_()
        (stack.shown(moved, b) * tensor(errors[:, b])).sum().backward()
        blocks = stack.of_layers(moved.grad.numpy())
        squares = squares + np.array([np.square(each).sum(axis=1) for each in blocks])
    np.testing.assert_allclose(found, 0.5 * np.log(squares), rtol=0, atol=1e-10)


@pytest.mark.parametrize("dense", [True, False])
def test_modules_with_residuals_and_norms_are_one_step_over_all_states(*, dense: bool) -> None:
    # The nest of the states of all layers is a state like any other; PyTorch takes rows back
    # through the layers one by one.
    torch.manual_seed(0)
    modules = [torch.nn.GRUCell(3, 3), torch.nn.LSTMCell(3, 3)]
    norm = torch.nn.LayerNorm(3)
    for each in (*modules, norm):
        each.double()

    def step(state: Any, x: Any) -> Any:
        lower = modules[0](norm(x), state["gru"])
        upper = modules[1](norm(x + lower), state["lstm"])
        return x + lower + upper[0], {"gru": lower, "lstm": upper}

    def joint(vector: Any, x: Any) -> Any:
        parts = vector[None].split(3, dim=1)
        after = step({"gru": parts[0], "lstm": parts[1:]}, x)[1]
        return torch.cat([after["gru"], *after["lstm"]], dim=1)[0]

    zeros, inputs = torch.zeros(1, 3), torch.randn(T, 1, 3, dtype=torch.float64)
    found = chain(step, {"gru": zeros, "lstm": (zeros, zeros)}, inputs, dense=dense)

    state = torch.zeros(9, dtype=torch.float64)
    for t in range(T):
        wanted = torch.func.jacrev(joint)(state, inputs[t]).detach().numpy()
        np.testing.assert_allclose(found.jacobian(t + 1)[0], wanted, rtol=0, atol=1e-12)
        state = joint(state, inputs[t]).detach()
