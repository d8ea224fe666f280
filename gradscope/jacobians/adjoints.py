"""∂E/∂s_t for every t in the log domain, where the plain adjoints would underflow or overflow: the
backward sweep of ``learning.bptt`` on rows with a power of two beside each.
"""

from collections.abc import Iterator

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.data.batch import Targets
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.jacobians.chain import step_shifts
from gradscope.jacobians.kernels.powers_of_two import LOG_2, added, rescaled
from gradscope.learning.bptt import entering_errors
from gradscope.learning.losses import step_errors
from gradscope.model.cells import Cell, Linearization
from gradscope.model.trajectory import Trajectory


def log_adjoint_norms(params: Cell, trajectory: Trajectory, targets: Targets) -> FloatArray:
    """Return log ‖∂E/∂s_t‖ (T+1,) for t = 0 … T in nats, the norm over sequences and the whole
    state; −inf where no error reaches it. Raises ShapeError if a slope or a weight is not finite.
    """
    log_norms = np.empty((trajectory.n_steps + 1, trajectory.n_sequences))
    for step, rows, exponents in scaled_adjoints(params, trajectory, targets):
        with np.errstate(divide="ignore"):
            log_norms[step] = np.log(np.linalg.norm(rows, axis=1)) + exponents * LOG_2
    return np.asarray(0.5 * np.logaddexp.reduce(2.0 * log_norms, axis=1))


def scaled_adjoints(
    params: Cell, trajectory: Trajectory, targets: Targets
) -> Iterator[tuple[int, FloatArray, IntArray]]:
    """Yield (t, rows (B,S), exponents (B,)) for t = T … 0, ∂E/∂s_t being rows times 2**exponents;
    the largest entry of a row is in [½, 1), or 0 where no error reaches the state.
    """
    chain = cell_chain(params, trajectory)
    _, output_slopes = step_errors(trajectory.outputs, targets)
    shifts = step_shifts(chain)
    linearization = params.linearize(trajectory.cell_trajectory)
    entering, scales = scaled_entering_errors(params, linearization, output_slopes)
    rows: FloatArray = np.zeros((chain.n_sequences, 1, chain.state_size))
    exponents: IntArray = np.zeros(chain.n_sequences, dtype=np.int64)
    for step in range(chain.n_steps, -1, -1):
        if step < chain.n_steps:
            rows, exponents = chain.vjp(rows, step + 1), exponents + shifts[step]
        if step > 0:
            errors = entering[step - 1][:, None, :]
            rows, exponents = added((rows, exponents), (errors, scales[step - 1]))
        rows, exponents = rescaled(rows, exponents)
        yield step, rows[:, 0], exponents


def scaled_entering_errors(
    params: Cell, linearization: Linearization, output_slopes: FloatArray
) -> tuple[FloatArray, IntArray]:
    """Return the errors (T,B,S) that enter at each step, and the exponent (T,) of the power of two
    by which each step's are to be multiplied: 0 but where ∂E_t/∂y_t is large.
    """
    exponents = np.frexp(np.abs(output_slopes).max(axis=(1, 2), initial=0.0))[1]
    scales = np.maximum(exponents, 0).astype(np.int64)
    scaled = np.ldexp(output_slopes, -scales[:, None, None])
    return entering_errors(params, linearization, scaled), scales
