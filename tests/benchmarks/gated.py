"""The rows of large gated cells, against the bare products of their own chain. All that ``analyze``
shows, the fit of a readout and remedies too, has its row in ``engine``.
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from gradscope.analysis.analyze import analyze
from gradscope.analysis.settings import Settings
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.jacobians.chain import Chain
from gradscope.jacobians.lag_norms import lag_norms
from gradscope.names import CellName
from tests.benchmarks.measure import Row, Side, compare

FLOORS = {CellName.LSTM: (0.8, 0.45), CellName.GRU: (0.5, 0.18)}
"""Of norms with directions, and of a study without the fit of a readout and remedies."""


def rows() -> Iterator[Row]:
    """Yield the rows."""
    for cell, floors in FLOORS.items():
        yield from against_bare_products(cell, 256, floors)


def against_bare_products(
    cell: CellName, hidden: int, floors: tuple[float, float]
) -> Iterator[Row]:
    """Yield norms with directions at every tenth lag, then a study, of eight sequences against
    R ← R J at full rank.
    """
    settings = Settings(cell=cell, hidden=hidden, sequences=8, updates=0)
    studied = analyze(settings)
    chain = cell_chain(studied.params, studied.trajectory)
    name, bare = f"{cell.value}, H = {hidden}, 8 sequences", Side(lambda: bare_products(chain))
    lags = range(10, chain.n_steps + 1, 10)
    sides: dict[str, Callable[[], object]] = {
        "norms and directions": lambda: lag_norms(chain, directions_at=lags),
        "analyze, no readout, no remedies": partial(analyze, settings, readout=False, advise=False),
    }
    for (what, ours), floor in zip(sides.items(), floors, strict=True):
        yield compare(f"{name}: {what} vs bare products", floor, Side(ours), bare)


def bare_products(chain: Chain) -> None:
    """Multiply the Jacobians by the chain's own way alone, every row kept, no norm taken."""
    many, size = chain.n_sequences, chain.state_size
    rows, sequences = None, np.arange(many)
    buffers = np.empty((2, 1, many, size, size))
    for step in range(chain.n_steps, 0, -1):
        out = buffers[step % 2]
        chain.accumulate_vjp(rows, np.full((1, many), step), sequences, out)
        rows = out[0]
