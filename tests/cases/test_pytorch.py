"""Cases A2 and A13: PyTorch's nn.RNN, differentiated by PyTorch and as it is drawn by default."""

from typing import Any

import numpy as np
import pytest

from gradscope.arrays import FloatArray
from gradscope.data.batch import Targets
from gradscope.jacobians.chain import Chain, ElmanChain, elman_chain
from gradscope.jacobians.lag_norms import lag_norms
from gradscope.jacobians.reference import product_transport, relative_deviation
from gradscope.jacobians.shares import gradient_shares
from gradscope.learning.bptt import backpropagate
from gradscope.model.initializers import initialize
from gradscope.model.trajectory import unroll
from gradscope.names import InitializerName

REASON = "compares with PyTorch, which is not installed"


@pytest.mark.torch
def test_a2_jacobians_products_gradient_and_shares_equal_automatic_differentiation() -> None:
    torch: Any = pytest.importorskip("torch", reason=REASON)
    steps, hidden = 40, 16
    rng = np.random.default_rng(1)
    params = initialize(rng, (3, hidden, 2), scheme=InitializerName.GAUSSIAN, gain=1.5)
    inputs, wanted = rng.normal(size=(steps, 1, 3)), rng.normal(size=(steps, 1, 2))

    cell = torch.nn.RNN(3, hidden, dtype=torch.float64)
    with torch.no_grad():
        cell.weight_ih_l0.copy_(torch.from_numpy(params.input_weights))
        cell.weight_hh_l0.copy_(torch.from_numpy(params.recurrent_weights))
        cell.bias_ih_l0.zero_()
        cell.bias_hh_l0.zero_()
    x = torch.from_numpy(inputs)

    def run(state: Any, first: int, last: int) -> Any:
        """Return h_last as a function of h_{first−1}."""
        return cell(x[first - 1 : last], state.reshape(1, 1, hidden))[0][-1, 0]

    states, _ = cell(x)
    outputs = states @ torch.from_numpy(params.output_weights).T
    loss = ((torch.from_numpy(wanted) - outputs) ** 2).mean(dim=2).sum()
    loss.backward()
    before = torch.cat([torch.zeros(1, hidden, dtype=torch.float64), states.detach()[:, 0]])
    jacobian = torch.autograd.functional.jacobian

    trajectory = unroll(params, inputs)
    chain = elman_chain(params, trajectory)
    targets = Targets(wanted, np.ones(steps, dtype=np.bool_))
    gradient = backpropagate(params, trajectory, targets).weights["recurrent_weights"]

    for t in range(1, steps + 1):
        theirs = jacobian(lambda h, t=t: run(h, t, t), before[t - 1]).numpy()
        assert relative_deviation(chain.jacobian(t)[0], theirs) <= 1e-12
    transport = jacobian(lambda h: run(h, 1, steps), before[0]).numpy()
    assert relative_deviation(product_transport(params, inputs), transport) <= 1e-12
    profile = lag_norms(chain, tolerance=1e-13).log_norms[:, 0]
    for lag in (1, 10, steps):
        theirs = jacobian(lambda h, lag=lag: run(h, steps - lag + 1, steps), before[steps - lag])
        assert np.exp(profile[lag - 1]) == pytest.approx(
            np.linalg.norm(theirs.numpy(), 2), rel=1e-12
        )
    assert relative_deviation(gradient, cell.weight_hh_l0.grad.numpy()) <= 1e-12
    shares = gradient_shares(params, trajectory, targets).total["recurrent_weights"]
    assert relative_deviation(shares, cell.weight_hh_l0.grad.numpy()) <= 1e-12


def frobenius_slope(chain: Chain, longest: int) -> float:
    """Return the slope of log ‖P_ℓ‖_F over lags 1 … longest by least squares, nats per step."""
    rows: FloatArray = np.eye(chain.state_size)[None]
    norms = []
    for step in range(chain.n_steps, chain.n_steps - longest, -1):
        rows = chain.vjp(rows, step)
        norms.append(np.log(np.linalg.norm(rows)))
    return float(np.polyfit(np.arange(1, longest + 1), norms, 1)[0])


def resting_chain(w: FloatArray) -> ElmanChain:
    """The chain of a tanh net at h = 0, where every slope is 1."""
    return ElmanChain(np.ones((20, 1, w.shape[0])), w)


@pytest.mark.parametrize("seed", range(3))
def test_a13_the_default_of_nn_rnn_forgets_at_half_the_logarithm_of_three_a_step(seed: int) -> None:
    rng = np.random.default_rng(seed)
    params = initialize(rng, (1, 256, 1), scheme=InitializerName.UNIFORM)

    slope = frobenius_slope(resting_chain(params.recurrent_weights), 20)

    assert slope == pytest.approx(-0.5 * np.log(3.0), abs=0.02)


@pytest.mark.torch
def test_a13_so_does_the_layer_that_pytorch_itself_draws() -> None:
    torch: Any = pytest.importorskip("torch", reason=REASON)
    torch.manual_seed(1)

    w = torch.nn.RNN(1, 256).weight_hh_l0.detach().numpy().astype(np.float64)

    assert frobenius_slope(resting_chain(w), 20) == pytest.approx(-0.5 * np.log(3.0), abs=0.02)
