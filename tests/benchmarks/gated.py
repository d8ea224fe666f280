"""The rows of large gated cells: a whole study against the bare products of its own chain."""

from collections.abc import Iterator

import numpy as np

from gradscope.analysis.analyze import analyze
from gradscope.analysis.settings import Settings
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.jacobians.chain import Chain
from gradscope.jacobians.lag_norms import lag_norms
from gradscope.names import CellName
from tests.benchmarks.measure import Row, Side, compare

FLOORS = {CellName.LSTM: (0.6, 0.2), CellName.GRU: (0.5, 0.07)}
"""Of norms with directions, and of all that ``analyze`` shows."""


def rows() -> Iterator[Row]:
    """Yield the rows."""
    for cell, (of_norms, of_study) in FLOORS.items():
        yield from against_bare_products(cell, 256, of_norms, of_study)


def against_bare_products(
    cell: CellName, hidden: int, of_norms: float, of_study: float
) -> Iterator[Row]:
    """Yield norms with directions at every tenth lag, then ``analyze``, of eight sequences against
    R ← R J at full rank.
    """
    settings = Settings(cell=cell, hidden=hidden, sequences=8, updates=0)
    studied = analyze(settings)
    chain = cell_chain(studied.params, studied.trajectory)
    name, bare = f"{cell.value}, H = {hidden}, 8 sequences", Side(lambda: bare_products(chain))
    lags = range(10, chain.n_steps + 1, 10)
    ours = Side(lambda: lag_norms(chain, directions_at=lags))
    yield compare(f"{name}: norms and directions vs bare products", of_norms, ours, bare)
    ours = Side(lambda: analyze(settings))
    yield compare(f"{name}: analyze --updates 0 vs bare products", of_study, ours, bare)


def bare_products(chain: Chain) -> None:
    """Multiply the Jacobians by the chain's own way alone, every row kept, no norm taken."""
    many, size = chain.n_sequences, chain.state_size
    rows, sequences = None, np.arange(many)
    buffers = np.empty((2, 1, many, size, size))
    for step in range(chain.n_steps, 0, -1):
        out = buffers[step % 2]
        chain.accumulate_vjp(rows, np.full((1, many), step), sequences, out)
        rows = out[0]
