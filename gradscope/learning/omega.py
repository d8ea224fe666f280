"""Ω, which asks the gradient of a vanilla RNN to keep its length from step to step.

    Ω = mean over sequences of Σ_k (‖δ_{k+1} J_{k+1}‖/‖δ_{k+1}‖ − 1)²,    δ_k = ∂E/∂s_k,
    J_{k+1} = ∂s_{k+1}/∂s_k.

Its gradient is the paper's ∂⁺Ω/∂W: states, slopes and δ are held, so that W acts through the J
alone. Steps that no error reaches (δ = 0) are left out. Source: Pascanu, Mikolov & Bengio (2013),
arXiv:1211.5063, equations 9 and 10; their code (pascanur/trainingRNNs) holds the same.
"""

from dataclasses import replace

import numpy as np

from gradscope.learning.bptt import Gradients
from gradscope.model.cells import Cell
from gradscope.model.elman import require_vanilla
from gradscope.model.trajectory import Trajectory


@np.errstate(over="ignore", invalid="ignore")
def with_omega(params: Cell, trajectory: Trajectory, found: Gradients, weight: float) -> Gradients:
    """Return the gradients of E with ``omega``, and its ``weight`` times ∂⁺Ω/∂W in that of W.

    Where δ J is 0 its length has no derivative, and 0 stands in its place. Cost: one VJP of all
    steps at once, and one GEMM. Raises SettingError for another cell.
    """
    linearization = require_vanilla(params).linearize(trajectory.cell_trajectory)
    deltas = found.hidden_adjoints[1:]
    # Of length 1 each, by way of the largest entry: the square of 1e-200 is 0.
    sizes = np.abs(deltas).max(axis=2, keepdims=True)
    rows = deltas / np.where(sizes > 0.0, sizes, 1.0)
    rows /= np.maximum(np.linalg.norm(rows, axis=2, keepdims=True), 1.0)
    local = np.empty((*rows.shape[:2], linearization.local_size))
    carried = linearization.vjp(rows, slice(len(rows)), local)
    kept = np.linalg.norm(carried, axis=2, keepdims=True)
    excess = np.where(sizes > 0.0, kept - 1.0, 0.0) / np.sqrt(trajectory.n_sequences)
    slopes = 2.0 * excess / np.sqrt(trajectory.n_sequences) * carried
    slopes /= np.where(kept > 0.0, kept, 1.0)
    gradient = linearization.recurrent_gradient(local, slopes, slice(len(rows)))
    weights = dict(found.weights)
    weights["recurrent_weights"] = weights["recurrent_weights"] + weight * gradient
    return replace(found, weights=weights, omega=float(np.sum(np.square(excess))))
