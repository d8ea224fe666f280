"""Central differences of the loss: slow, plain, and independent of ``bptt``, which they check.

∂E/∂θ_i ≈ (E(θ + s e_i) − E(θ − s e_i))/2s with s = ε^⅓ max(1, |θ_i|), where rounding and curvature
balance (Nocedal & Wright 2006, section 8.1). Good to about 1e-9, less at kinks.
"""

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.data.batch import Batch
from gradscope.learning.bptt import step_errors
from gradscope.model.cells import Cell
from gradscope.model.trajectory import unroll
from gradscope.progress import tracked

CUBE_ROOT_OF_EPSILON = float(np.finfo(np.float64).eps ** (1.0 / 3.0))


def loss(params: Cell, batch: Batch) -> float:
    """Return E = Σ_t E_t on a batch."""
    outputs = unroll(params, batch.inputs, noise=batch.noise).outputs
    errors, _ = step_errors(outputs, batch.targets)
    return float(errors.sum())


def central_differences(params: Cell, batch: Batch, name: str, entries: IntArray) -> FloatArray:
    """Return ∂E/∂(entries of one weight array) on a batch, (n,).

    ``name`` is that of the array, ``entries`` (n,) flat indices; cost: two trajectories each.
    """
    weights = dict(params.weights())
    slopes = np.empty(entries.size)
    for index, entry in enumerate(tracked(entries, "entries")):
        here = weights[name].flat[entry]
        step = CUBE_ROOT_OF_EPSILON * max(1.0, abs(here))
        losses = []
        for moved in (here + step, here - step):
            array = weights[name].copy()
            array.flat[entry] = moved
            losses.append(loss(params.with_weights({**weights, name: array}), batch))
        slopes[index] = (losses[0] - losses[1]) / (2.0 * step)
    return slopes


def relative_deviation(one: FloatArray, other: FloatArray) -> float:
    """Return ‖one − other‖/‖other‖, the plain difference where the second is zero."""
    size = float(np.linalg.norm(other))
    return float(np.linalg.norm(one - other)) / (size if size > 0.0 else 1.0)
