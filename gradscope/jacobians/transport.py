"""∂s_T/∂s_0 of the first sequence, twice: as the explicit product of Jacobians, and by moving s_0.

For checks on short sequences; the products that are measured live in ``lag_norms`` and never leave
the log domain.
"""

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.learning.differences import CUBE_ROOT_OF_EPSILON
from gradscope.model.cells import Cell
from gradscope.model.trajectory import unroll


def product_transport(
    params: Cell, inputs: FloatArray, first_state: FloatArray | None = None
) -> FloatArray:
    """Return J_T ⋯ J_1 (S,S) along the first sequence of inputs (T,B,D) from s_0 (S,), by default
    0.
    """
    first = None if first_state is None else first_state[None]
    chain = cell_chain(params, unroll(params, inputs[:, :1], first))
    rows: FloatArray = np.eye(chain.state_size)[None]
    for step in range(chain.n_steps, 0, -1):
        rows = chain.pull_back(rows, step)
    product: FloatArray = rows[0]
    return product


def difference_transport(
    params: Cell, inputs: FloatArray, first_state: FloatArray | None = None
) -> FloatArray:
    """Return ∂s_T/∂s_0 (S,S) along the first sequence by central differences at s_0 (S,), by
    default 0.

    All moved states run as one batch: cost of 2S sequences.
    """
    size = params.state_size
    moves = CUBE_ROOT_OF_EPSILON * np.concatenate([np.eye(size), -np.eye(size)])
    if first_state is not None:
        moves += first_state
    last = unroll(params, np.repeat(inputs[:, :1], 2 * size, axis=1), moves).states[-1]
    columns: FloatArray = (last[:size] - last[size:]) / (2.0 * CUBE_ROOT_OF_EPSILON)
    transport: FloatArray = columns.T
    return transport
