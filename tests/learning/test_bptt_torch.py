"""Backpropagation through time against PyTorch's own recurrent layer."""

import numpy as np
import pytest

from gradscope.data.batch import Targets
from gradscope.learning.bptt import backpropagate
from gradscope.model.initializers import initialize
from gradscope.model.trajectory import unroll
from gradscope.names import ActivationName, ErrorName, InitializerName

STEPS, SEQUENCES, INPUTS, HIDDEN, OUTPUTS = 12, 4, 3, 8, 5


@pytest.mark.torch
@pytest.mark.parametrize("error", ErrorName)
@pytest.mark.parametrize("name", [ActivationName.TANH, ActivationName.RELU])
def test_gradient_and_adjoints_are_those_of_nn_rnn(name: ActivationName, error: ErrorName) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
    rng = np.random.default_rng(1)
    sizes = (INPUTS, HIDDEN, OUTPUTS)
    params = initialize(rng, sizes, activation=name, scheme=InitializerName.UNIFORM, gain=2.0)
    inputs = rng.normal(size=(STEPS, SEQUENCES, INPUTS))
    classes = rng.integers(0, OUTPUTS, (STEPS, SEQUENCES))
    values = np.eye(OUTPUTS)[classes]
    targets = Targets(values, np.ones(STEPS, dtype=np.bool_), error)

    cell = torch.nn.RNN(INPUTS, HIDDEN, nonlinearity=str(name), dtype=torch.float64)
    head = torch.nn.Linear(HIDDEN, OUTPUTS, dtype=torch.float64)
    theirs = {
        "input_weights": cell.weight_ih_l0,
        "recurrent_weights": cell.weight_hh_l0,
        "hidden_bias": cell.bias_ih_l0,
        "output_weights": head.weight,
        "output_bias": head.bias,
    }
    with torch.no_grad():
        cell.bias_hh_l0.zero_()
        for each, array in params.weights():
            theirs[each].copy_(torch.from_numpy(array))
    hidden, _ = cell(torch.from_numpy(inputs))
    hidden.retain_grad()
    outputs = head(hidden)
    if error is ErrorName.SQUARED:
        # The mean over batch and outputs, summed over time.
        loss = STEPS * torch.nn.functional.mse_loss(outputs, torch.from_numpy(values))
    else:
        flat = outputs.reshape(-1, OUTPUTS), torch.from_numpy(classes).reshape(-1)
        loss = STEPS * torch.nn.functional.cross_entropy(*flat)
    loss.backward()

    found = backpropagate(params, unroll(params, inputs), targets)

    assert found.loss == pytest.approx(loss.item(), rel=1e-12)
    for each, tensor in theirs.items():
        np.testing.assert_allclose(found.weights[each], tensor.grad.numpy(), rtol=1e-9, atol=1e-13)
    # hidden.grad holds the error that enters at h_t from the head alone.
    entering = hidden.grad.numpy()
    np.testing.assert_allclose(found.hidden_adjoints[-1], entering[-1], rtol=1e-11)
