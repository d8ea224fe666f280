"""The rows of learning: one training step against PyTorch's ``nn.RNN``, float64, one thread.

A step is forward, loss, backward through time and an SGD update, T = 100, D = 8 inputs, one output
a step. Without PyTorch there are no rows.
"""

import importlib.util
from collections.abc import Callable, Iterator

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.data.batch import Batch, Targets
from gradscope.learning.bptt import backpropagate
from gradscope.learning.optimizers import sgd
from gradscope.model.initializers import initialize
from gradscope.model.trajectory import unroll
from gradscope.names import InitializerName
from tests.benchmarks.measure import Row, Side, compare

STEPS, INPUTS = 100, 8
OPERATIONS, MAX_TIMES = 2e8, 40
"""Multiplications a side makes in one measurement; small steps are repeated up to these."""


def rows() -> Iterator[Row]:
    """Yield a row for each width and batch, where PyTorch is installed."""
    if importlib.util.find_spec("torch") is None:
        return
    for hidden in (16, 64, 256):
        for n_sequences in (1, 32, 128):
            yield step_against_torch(hidden, n_sequences)


def step_against_torch(hidden: int, n_sequences: int) -> Row:
    """Compare one step of one size."""
    work = 6 * STEPS * n_sequences * hidden**2
    times = min(max(1, int(OPERATIONS / work)), MAX_TIMES)
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((STEPS, n_sequences, INPUTS))
    wanted = rng.standard_normal((STEPS, n_sequences, 1))
    return compare(
        f"training step, H = {hidden}, B = {n_sequences}, vs torch nn.RNN",
        1.0,
        Side(_repeated(_our_step(hidden, inputs, wanted), times), times),
        Side(_repeated(_torch_step(hidden, inputs, wanted), times), times),
        note="float64",
        repeats=5,
    )


def _repeated(step: Callable[[], None], times: int) -> Callable[[], None]:
    def run() -> None:
        for _ in range(times):
            step()

    return run


def _our_step(hidden: int, inputs: FloatArray, wanted: FloatArray) -> Callable[[], None]:
    sizes = (INPUTS, hidden, 1)
    params = initialize(np.random.default_rng(0), sizes, scheme=InitializerName.UNIFORM)
    batch = Batch(inputs, Targets(wanted, np.ones(STEPS, dtype=np.bool_)))
    update = sgd(1e-3)

    def step() -> None:
        nonlocal params
        gradients = backpropagate(params, unroll(params, batch.inputs), batch.targets)
        params = params.with_weights(update(dict(params.weights()), gradients.weights))

    return step


def _torch_step(hidden: int, inputs: FloatArray, wanted: FloatArray) -> Callable[[], None]:
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    layer = torch.nn.RNN(INPUTS, hidden, dtype=torch.float64)
    readout = torch.nn.Linear(hidden, 1, dtype=torch.float64)
    optimizer = torch.optim.SGD([*layer.parameters(), *readout.parameters()], lr=1e-3)
    x, y = torch.from_numpy(inputs), torch.from_numpy(wanted)

    def step() -> None:
        optimizer.zero_grad()
        states, _ = layer(x)
        loss = torch.square(readout(states) - y).mean(dim=(1, 2)).sum()
        torch.autograd.backward(loss)
        optimizer.step()

    return step
