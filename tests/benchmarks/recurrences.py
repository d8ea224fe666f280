"""The rows of chains beyond the built-in cells: diagonal ones, and rows carried through a step."""

from collections.abc import Iterator
from itertools import chain as chained

import numpy as np

from gradscope.jacobians.cell_chain import cell_chain
from gradscope.jacobians.chain import Chain, DenseChain
from gradscope.jacobians.diagonal import DiagonalChain, channel_norms
from gradscope.jacobians.lag_norms import lag_norms
from gradscope.jacobians.stack_chain import StackChain, depth_map
from tests.benchmarks.measure import Row, Side, compare
from tests.stacks import drawn, run

CHANNELS, STEPS = 4096, 10_000
STEPPED = 60


def rows() -> Iterator[Row]:
    """Yield the rows."""
    yield diagonal_against_its_floor()
    yield blocks_against_their_floor()
    yield diagonal_against_dense()
    yield stack_against_its_layers()
    for hidden, floor in ((32, 0.5), (128, 1.5), (256, 1.5)):
        yield rows_against_jacobians(hidden, floor)


def gates(steps: int, channels: int) -> np.ndarray[tuple[int, int, int], np.dtype[np.float64]]:
    """Return keep gates like those of a minGRU, (T,1,S)."""
    normal = np.random.default_rng(0).standard_normal((steps, 1, channels))
    return 1.0 / (1.0 + np.exp(-4.0 - normal))


def diagonal_against_its_floor() -> Row:
    """4096 channels over 10,000 lags, against one multiplication and one maximum a lag."""
    factors = gates(STEPS, CHANNELS)

    def floor() -> None:
        product = np.ones(CHANNELS)
        for step in factors[::-1, 0]:
            np.multiply(product, step, out=product)
            product.max()

    name = "diagonal, 4096 channels, T = 10,000, vs one product and one max"
    ours = Side(lambda: lag_norms(DiagonalChain(factors)))
    return compare(name, 0.25, ours, Side(floor))


def blocks_against_their_floor() -> Row:
    """24,576 channels over 100,000 lags from blocks, against one multiplication and one maximum."""
    channels, block_steps, n_blocks = 24_576, 50, 2000
    block = gates(block_steps, channels)

    def ours() -> None:
        channel_norms(DiagonalChain(block for _ in range(n_blocks)), [block_steps * n_blocks])

    def floor() -> None:
        product = np.ones(channels)
        for step in chained.from_iterable([block[:, 0]] * 100):
            np.multiply(product, step, out=product)
            product.max()

    name = "diagonal, 24,576 channels, T = 100,000, blocks, vs one product and one max"
    reference = Side(floor, 100 / n_blocks)
    return compare(name, 0.15, Side(ours), reference, note="reference: a 20th", repeats=1)


def diagonal_against_dense() -> Row:
    """256 channels over 1000 lags, against the dense chain."""
    factors = gates(1000, 256)
    dense = DenseChain(factors[..., None] * np.eye(256))
    name = "diagonal, 256 channels, T = 1000, vs DenseChain"
    ours = Side(lambda: lag_norms(DiagonalChain(factors)))
    reference = Side(lambda: lag_norms(dense, 50), 50 / 1000)
    return compare(name, 100.0, ours, reference, note="reference: 50 of 1000 lags", repeats=3)


def stack_against_its_layers() -> Row:
    """The map of four LSTMs by layer and lag, against the profile of each of them by itself."""
    rng, hidden = np.random.default_rng(0), 64
    cells = [drawn("lstm", hidden, hidden, rng) for _ in range(4)]
    layers = run(cells, rng.standard_normal((STEPPED, 2, hidden)))
    chains = [cell_chain(*each) for each in layers]
    name = f"stack of 4 LSTMs, H = {hidden}, T = {STEPPED}, by layer and lag vs each layer apart"
    ours = Side(lambda: depth_map(StackChain(layers)))
    return compare(name, 0.1, ours, Side(lambda: list(map(lag_norms, chains))), repeats=3)


def rows_against_jacobians(hidden: int, floor: float) -> Row:
    """An LSTM's step in PyTorch: rows carried through it, against its Jacobians made and kept."""
    import torch

    from gradscope.torch import chain

    cell = torch.nn.LSTMCell(8, hidden)
    state = (torch.zeros(4, hidden), torch.zeros(4, hidden))
    inputs = torch.randn(STEPPED, 4, 8, generator=torch.Generator().manual_seed(0))

    def made(*, dense: bool) -> Chain:
        return chain(lambda state, x: cell(x, state), state, inputs, dense=dense)

    name = f"LSTM step, H = {hidden}, T = {STEPPED}, rows carried vs Jacobians made"
    ours = Side(lambda: lag_norms(made(dense=False)))
    return compare(name, floor, ours, Side(lambda: lag_norms(made(dense=True))), repeats=3)
