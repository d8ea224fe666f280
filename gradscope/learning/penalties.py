"""What a vanilla RNN may learn beside its task: to keep its gradient's length, or exponents of 0.

Ω asks the gradient to keep its length from step to step:

    Ω = mean over sequences of Σ_k (‖δ_{k+1} J_{k+1}‖/‖δ_{k+1}‖ − 1)²,    δ_k = ∂E/∂s_k,
    J_{k+1} = ∂s_{k+1}/∂s_k.

Its gradient is the paper's ∂⁺Ω/∂W: states, slopes and δ are held, so that W acts through the J
alone. Steps that no error reaches (δ = 0) are left out. Source: Pascanu, Mikolov & Bengio (2013),
arXiv:1211.5063, equations 9 and 10; their code (pascanur/trainingRNNs) holds the same.

Gradient flossing pulls the largest finite-time Lyapunov exponents to 0:

    L = mean over sequences and the k exponents of λ_i²,        λ_i = (1/T) Σ log|R_ii|,
    J_t ⋯ J_{s+1} Q_s = Q_t R,        Q_0 the same random orthonormal (S,k) for all,

with a QR every few steps (L does not depend on how many), so that nothing over- or underflows. Its
gradient is exact: back through each QR, with c the adjoints of log|R_ii| and Q̄ those of Q,

    Ā = (Q̄ + Q (tril M)ᵀ) R^{−T},        M = diag(c) − Q̄ᵀ Q (L sees spans alone: M is upper),

through every J_t, and through the states that J_t depends on, which takes φ″. Engelken (2023),
NeurIPS, arXiv:2312.17306; QR: Walter, Lehmann & Lamour (2012), Optim. Methods Softw. 27(2).
"""

from dataclasses import replace

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.errors import SettingError
from gradscope.learning.bptt import Gradients, sent_back
from gradscope.model.cells import Cell, Linearization, product
from gradscope.model.elman import ElmanParameters, require_vanilla
from gradscope.model.initializers import orthogonal
from gradscope.model.trajectory import Trajectory
from gradscope.names import StateName

STEPS_PER_QR, LEAST_PIVOT, FLOSSED_SEQUENCES = 4, 1e-10, 16
"""Steps per factorization; part of a column below which its pivot may be rounding: the direction is
dead; most sequences in a flossing batch (Engelken's)."""


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


def exponents_by_qr(
    linearization: Linearization, count: int
) -> tuple[FloatArray, FloatArray, dict[int, FloatArray]]:
    """Return λ (B,k) in nats per step, −inf from the first direction on that dies, the vectors
    (T+1,B,k,S) at each state, and R (B,k,k) by the step after which it was made.
    """
    n_steps, n_sequences, size = linearization.cell_trajectory.states[1:].shape
    vectors = np.empty((n_steps + 1, n_sequences, count, size))
    vectors[0] = orthogonal(np.random.default_rng(0), size, count).T
    triangles: dict[int, FloatArray] = {}
    for step in range(1, n_steps + 1):
        vectors[step] = linearization.jvp(vectors[step - 1], (step - 1, slice(None), None))
        if step % STEPS_PER_QR == 0 or step == n_steps:
            basis, triangles[step] = np.linalg.qr(vectors[step].swapaxes(1, 2))
            vectors[step] = basis.swapaxes(1, 2)
    every = np.stack(list(triangles.values()))
    pivots = np.abs(np.diagonal(every, axis1=2, axis2=3))
    resolved = (pivots > LEAST_PIVOT * np.linalg.norm(every, axis=2)).all(axis=0)
    alive = np.logical_and.accumulate(resolved, axis=1)
    logs = np.log(np.where(alive, pivots, 1.0)).sum(axis=0) / n_steps
    return np.where(alive, logs, -np.inf), vectors, triangles


@np.errstate(over="ignore", invalid="ignore")
def flossing_gradient(params: Cell, trajectory: Trajectory, count: int) -> Gradients:
    """Return L, of those of the ``count`` largest exponents that are finite, and its gradient.

    Cost: four GEMMs of k·B rows per step, T/4 QRs (S,k) per sequence, and a sweep back; T·B·k·S
    numbers are kept. Raises SettingError for another cell than a vanilla RNN, a φ without
    curvature, or where no exponent is finite.
    """
    cell = require_vanilla(params)
    linearization = cell.linearize(trajectory.cell_trajectory)
    exponents, vectors, triangles = exponents_by_qr(linearization, count)
    alive = np.isfinite(exponents)
    if not alive.any():
        raise SettingError("--floss finds no finite Lyapunov exponent; choose another --activation")
    slopes = np.where(alive, exponents, 0.0) * (2.0 / (trajectory.n_steps * alive.sum()))
    rows, unit = np.zeros_like(vectors[0]), np.eye(count)
    local, through_jacobians = np.empty_like(rows), np.zeros_like(cell.recurrent_weights)
    entering, fed = np.zeros((2, *trajectory.states.shape))
    for step in range(trajectory.n_steps, 0, -1):
        if step in triangles:
            # Below the diagonal Q̄ᵀ Q is 0 but for rounding, which would grow as (R_ii/R_jj)^t if it
            # stayed. Adjoints of the dead stay 0.
            lower = np.tril(slopes[..., None] * unit - rows @ vectors[step].swapaxes(1, 2))
            upper = np.where(alive[..., None], triangles[step], unit)
            rows = np.linalg.solve(upper, rows + lower @ vectors[step]).astype(np.float64)
        before, at = vectors[step - 1], (step - 1, slice(None), None)
        fed[step], entering[step - 1] = _through_slopes(cell, trajectory, rows, before, step)
        rows = linearization.vjp(rows, at, local)
        through_jacobians += linearization.recurrent_gradient(local, before, at)
    adjoints, through_states = sent_back(linearization, entering[1:], None)
    through_states += fed[1:]
    weights = {name: np.zeros_like(each) for name, each in params.weights()}
    weights |= linearization.weight_gradients(through_states, slice(trajectory.n_steps))
    weights["recurrent_weights"] += through_jacobians
    loss = float(np.mean(np.square(exponents[alive])))
    return Gradients(loss, np.zeros(trajectory.n_steps), weights, adjoints)


def _through_slopes(
    cell: ElmanParameters, ran: Trajectory, rows: FloatArray, vectors: FloatArray, step: int
) -> tuple[FloatArray, FloatArray]:
    """Return ∂(Σ rows · J_t v)/∂a_t and /∂s_{t−1} (B,H), W held, for rows and v (B,k,H)."""
    weights, curvature = cell.recurrent_weights, cell.activation.curvature
    if curvature is None:
        raise SettingError(f"--floss takes the curvature of φ, but {cell.activation.name} has none")
    bent = curvature(ran.cell_trajectory.candidates[step - 1])
    if cell.state is StateName.PRE:
        bent *= np.sum(product(cell.leak * rows, weights) * vectors, axis=1)
        return np.zeros_like(bent), bent
    bent *= cell.leak * np.sum(rows * product(vectors, weights.T), axis=1)
    return bent, bent @ weights
