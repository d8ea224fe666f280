"""∂E/∂W split by lag: what the errors say about the state ℓ steps before them.

C_ℓ = Σ_t (∂E_t/∂h_t) P_{t,t−ℓ} ∂⁺h_{t−ℓ}/∂W, ℓ = 0 … T−1, so that Σ_ℓ C_ℓ = ∂E/∂W exactly; the same
for U and b. Source: Pascanu, Mikolov & Bengio (2013), arXiv:1211.5063, equations 3 to 5.
"""

from dataclasses import dataclass

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.data.sequences import Targets
from gradscope.learning.bptt import (
    adjoints_by_lag,
    entering_errors,
    global_norm,
    local_adjoints,
)
from gradscope.learning.losses import step_errors
from gradscope.model.cells import Cell
from gradscope.model.trajectory import Trajectory


@dataclass(frozen=True, eq=False, slots=True)
class GradientShares:
    """The shares of the gradient by lag.

    ``lags`` (L,) are 0 … T−1; ``norms`` maps the names of the recurrent layer's weights
    to ‖C_ℓ‖ (L,); ``total`` maps the same names to Σ_ℓ C_ℓ, of the shape of the array.
    """

    lags: IntArray
    norms: dict[str, FloatArray]
    total: dict[str, FloatArray]


def gradient_shares(params: Cell, trajectory: Trajectory, targets: Targets) -> GradientShares:
    """Split ∂E/∂U, ∂E/∂W and ∂E/∂b (and what else a cell has) by lag.

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
    GradientShares

    Notes
    -----
    Cost: T backward sweeps, each made as one GEMM over all anchors.
    """
    _, output_slopes = step_errors(trajectory.outputs, targets)
    tangent = params.linearize(trajectory.course)
    entering = entering_errors(params, tangent, output_slopes)
    n_steps = trajectory.n_steps
    norms: dict[str, list[float]] = {}
    total: dict[str, FloatArray] = {}
    for lag, rows in adjoints_by_lag(tangent, entering, n_steps - 1):
        # Row 0 belongs to h_0 once the lag is 1 or more; nothing but the given state made it.
        states = rows if lag == 0 else rows[1:]
        share = tangent.weight_gradients(local_adjoints(tangent, states))
        for name, array in share.items():
            norms.setdefault(name, []).append(global_norm({name: array}))
            total[name] = total.get(name, np.zeros_like(array)) + array
    by_lag = {name: np.array(values) for name, values in norms.items()}
    return GradientShares(np.arange(n_steps), by_lag, total)
