"""The training loop: unroll, backpropagate, clip, update; and what ends it early.

The first quantity that is not finite ends training with the update, the time step and the factor
named; the weights of the last finished update are kept. An update that makes a network too large
for its first step is not finished. Ctrl-C ends it the same way: what was learned is kept.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.data.batch import Batch
from gradscope.learning.bptt import Gradients, backpropagate
from gradscope.learning.history import History, NonFinite, Stop
from gradscope.learning.optimizers import Optimizer, clip_by_norm, clip_by_value
from gradscope.learning.penalties import flossing_gradient, with_omega
from gradscope.machine import held_threads
from gradscope.model.cells import Cell
from gradscope.model.trajectory import Trajectory, unroll
from gradscope.notebook_repr import CompactRepr
from gradscope.progress import tracked

Watcher = Callable[[int, float, float, Cell], None]
Fits = Callable[[Cell], bool]


@dataclass(frozen=True, eq=False, slots=True)
class Limits:
    """How the gradient is cut: by global norm, by value, at which lag. None leaves it as it is.
    ``omega`` is the weight of Ω; with ``exponents`` so many are flossed, and E is not descended.
    """

    clip_norm: float | None = None
    clip_value: float | None = None
    truncation: int | None = None
    omega: float = 0.0
    exponents: int = 0


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Trained(CompactRepr):
    """The network after its last finished update, and the history of training."""

    params: Cell
    history: History


@held_threads()
def train(
    params: Cell,
    draw_batch: Callable[[], Batch],
    optimizer: Optimizer,
    updates: int,
    *,
    limits: Limits | None = None,
    watch: Watcher | None = None,
    fits: Fits | None = None,
    flossed: Trained | None = None,
) -> Trained:
    """Train by backpropagation through time; ``history.stop`` of the result says whether all
    updates were made, a number stopped being finite, or Ctrl-C came.

    The network to start from is not changed. ``watch`` is called after each update with its number
    (from 1), the loss, the unclipped gradient norm and the network; ``fits`` says whether a network
    is small enough for its first step: an update after which it is not ends training unkept.
    ``flossed`` is the phase before, which it starts from, if that came to its end.
    """
    limits, rows, target_steps = limits or Limits(), [], 1
    stop, non_finite = Stop.DONE, None
    if flossed is not None:
        params, past = flossed.params, flossed.history
        stop, non_finite, updates = past.stop, past.non_finite, updates * (past.stop is Stop.DONE)
    try:
        doing = "flossing" if limits.exponents else "training"
        for update in tracked(range(1, updates + 1), doing):
            batch = draw_batch()
            done = _update(params, batch, optimizer, limits, update, fits)
            if isinstance(done, NonFinite):
                stop, non_finite = Stop.NOT_FINITE, done
                break
            params, row = done
            rows.append(row)
            target_steps = max(int(batch.targets.count), 1)
            if watch is not None:
                watch(update, *row[:2], params)
    except KeyboardInterrupt:
        stop = Stop.INTERRUPTED
    loss, norm, clipped, omega = np.array(rows, dtype=np.float64).reshape(-1, 4).T.copy()
    made = (loss, norm, clipped.astype(np.bool_), target_steps, stop, non_finite)
    rms = None if flossed is None else np.sqrt(flossed.history.loss)
    return Trained(params, History(*made, omega if limits.omega else None, rms))


def _update(
    params: Cell, batch: Batch, optimizer: Optimizer, limits: Limits, update: int, fits: Fits | None
) -> tuple[Cell, tuple[float, float, bool, float | None]] | NonFinite:
    """Return the network, its loss, norm, whether it was clipped, and Ω; or what is not finite."""
    trajectory = unroll(params, batch.inputs, noise=batch.noise)
    if limits.exponents:
        gradients = flossing_gradient(params, trajectory, limits.exponents)
    else:
        gradients = backpropagate(params, trajectory, batch.targets, truncation=limits.truncation)
        if limits.omega:
            gradients = with_omega(params, trajectory, gradients, limits.omega)
    bad = first_non_finite(trajectory, gradients, update)
    if bad is not None:
        return bad
    gradient, norm, clipped = gradients.weights, gradients.norm, False
    if limits.clip_norm is not None:
        gradient, clipped = clip_by_norm(gradient, norm, limits.clip_norm)
    elif limits.clip_value is not None:
        gradient, clipped = clip_by_value(gradient, limits.clip_value)
    with np.errstate(over="ignore", invalid="ignore"):
        weights = optimizer(dict(params.weights()), gradient)
    for name, array in weights.items():
        if not np.isfinite(array).all():
            return NonFinite(update, None, f"{name.replace('_', ' ')} after the update")
    stepped = params.with_weights(weights)
    if fits is not None and not fits(stepped):
        return NonFinite(update, 1, "square of a pre-activation or state after the update")
    return stepped, (gradients.loss, norm, clipped, gradients.omega)


def first_non_finite(trajectory: Trajectory, gradients: Gradients, update: int) -> NonFinite | None:
    """Name the first quantity of an update that is not finite, in the order of computation."""
    forward = {
        "pre-activation": trajectory.pre_activations,
        "hidden state": trajectory.states[1:],
        "output": trajectory.outputs,
        "step error": gradients.step_errors,
    }
    found = [(step, name) for name, array in forward.items() if (step := _first_bad(array))]
    if found:
        return NonFinite(update, *min(found, key=lambda each: each[0]))
    backward = _first_bad(gradients.hidden_adjoints[::-1])
    if backward:
        return NonFinite(update, trajectory.n_steps + 1 - backward, "hidden adjoint ∂E/∂h_t")
    for name, array in gradients.weights.items():
        if not np.isfinite(array).all():
            return NonFinite(update, None, f"gradient of the {name.replace('_', ' ')}")
    return None


def _first_bad(array: FloatArray) -> int:
    """Return the first index (from 1) along time with an entry that is not finite, 0 if none."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(array.sum()):  # Then all are, which nearly always is so.
            return 0
    bad = ~np.isfinite(array.reshape(array.shape[0], -1)).all(axis=1)
    return int(np.argmax(bad)) + 1 if bad.any() else 0
