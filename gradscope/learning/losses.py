"""Step errors E_t and their slopes ∂E_t/∂y_t; the loss is their sum over steps with a target.

squared        E_t = mean over batch and outputs of (A_t − y_t)²
               ∂E_t/∂y_t = 2 (y_t − A_t)/(B·O)
cross-entropy  E_t = mean over the batch of −Σ_o A_t,o log softmax(y_t)_o
               ∂E_t/∂y_t = (softmax(y_t) − A_t)/B
               of one output y_t: softmax over (0, y_t), that is, σ(y_t) for class 1
"""

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.data.batch import Targets
from gradscope.errors import ShapeError
from gradscope.names import ErrorName


def step_errors(outputs: FloatArray, targets: Targets) -> tuple[FloatArray, FloatArray]:
    """Return E_t (T,) and ∂E_t/∂y_t (T,B,O) for every step, 0 where the step has no target.

    ``outputs`` (T,B,O) holds y_t at ``[t-1]``. Raises ShapeError if the targets differ in shape.
    """
    if outputs.shape != targets.values.shape:
        raise ShapeError(f"outputs {outputs.shape} and targets {targets.values.shape} must agree")
    wanted = targets.values
    single = targets.error is ErrorName.CROSS_ENTROPY and outputs.shape[2] == 1
    if single:
        outputs, wanted = (
            np.concatenate([first, each], axis=2)
            for first, each in ((np.zeros_like(outputs), outputs), (1.0 - wanted, wanted))
        )
    # Nothing is wanted of zeros: no error, no slope.
    outputs, wanted = (np.where(targets.held[..., None], a, 0.0) for a in (outputs, wanted))
    with np.errstate(over="ignore", invalid="ignore"):
        if targets.error is ErrorName.SQUARED:
            gap = outputs - wanted
            return np.mean(np.square(gap), axis=(1, 2)), gap * (2.0 / gap[0].size)
        shifted = outputs - outputs.max(axis=2, keepdims=True)
        exponentials = np.exp(shifted)
        total, n_sequences = exponentials.sum(axis=2, keepdims=True), outputs.shape[1]
        log_probabilities = shifted - np.log(total)
        errors = -np.sum(wanted * log_probabilities, axis=(1, 2)) / n_sequences
        mass = wanted.sum(axis=2, keepdims=True)
        slopes = (mass * exponentials / total - wanted) / n_sequences
    return errors, slopes[..., 1:] if single else slopes


def error_per_step(outputs: FloatArray, targets: Targets) -> float:
    """Return the mean of E_t over the steps that have a target; 0 where none has."""
    errors, _ = step_errors(outputs, targets)
    return float(errors.sum() / max(targets.count, 1))
