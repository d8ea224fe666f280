"""‖∂E/∂s_t‖ for every t in the log domain, where the plain adjoints would underflow.

The backward sweep of ``learning.bptt`` on rows whose scale is kept beside them as a power of two,
one for each sequence.
"""

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.data.sequences import Targets
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.jacobians.lag_norms import LOG_2
from gradscope.learning.bptt import entering_errors
from gradscope.learning.losses import step_errors
from gradscope.model.cells import Cell
from gradscope.model.trajectory import Trajectory


def log_adjoint_norms(params: Cell, trajectory: Trajectory, targets: Targets) -> FloatArray:
    """Return log ‖∂E/∂s_t‖, the norm over sequences and the whole state together.

    Parameters
    ----------
    params : Cell
        The network.
    trajectory : Trajectory
        Its course over B sequences of T steps.
    targets : Targets
        What its outputs were to be.

    Returns
    -------
    (T+1,) array
        Nats, for t = 0 … T; −inf where no error reaches the state.

    Raises
    ------
    ShapeError
        If a slope or a weight is not finite.
    """
    chain = cell_chain(params, trajectory)
    _, output_slopes = step_errors(trajectory.outputs, targets)
    entering = entering_errors(params, params.linearize(trajectory.course), output_slopes)
    rows: FloatArray = np.zeros((chain.n_sequences, 1, chain.state_size))
    exponents: IntArray = np.zeros(chain.n_sequences, dtype=np.int64)
    log_norms = np.empty((chain.n_steps + 1, chain.n_sequences))
    for step in range(chain.n_steps, -1, -1):
        if step < chain.n_steps:
            rows = chain.pull_back(rows, step + 1)
        if step > 0:
            rows, exponents = _add(rows, exponents, entering[step - 1][:, None, :])
        rows, exponents = _rescale(rows, exponents)
        with np.errstate(divide="ignore"):
            log_norms[step] = np.log(np.linalg.norm(rows[:, 0], axis=1)) + exponents * LOG_2
    half: FloatArray = 0.5 * np.logaddexp.reduce(2.0 * log_norms, axis=1)
    return half


def _add(
    rows: FloatArray, exponents: IntArray, entering: FloatArray
) -> tuple[FloatArray, IntArray]:
    """Add errors of scale 1 to rows times 2**exponents, at the scale of the larger of both."""
    present = entering.any(axis=(1, 2))
    empty = ~rows.any(axis=(1, 2))
    common = np.where(empty, 0, np.where(present, np.maximum(exponents, 0), exponents))
    shifted = np.ldexp(rows, (exponents - common)[:, None, None])
    return shifted + np.ldexp(entering, np.where(present, -common, 0)[:, None, None]), common


def _rescale(rows: FloatArray, exponents: IntArray) -> tuple[FloatArray, IntArray]:
    """Bring the largest entry of each sequence to [½, 1) and count the power of two."""
    shift = np.frexp(np.max(np.abs(rows), axis=(1, 2)))[1].astype(np.int64)
    return np.ldexp(rows, -shift[:, None, None]), exponents + shift
