"""Update rules and clipping. Each optimizer keeps its own running averages.

=========  =========================================================================================
sgd        θ ← θ − η g
momentum   v ← μ v + g, θ ← θ − η v, μ = 0.9 (Polyak 1964, as PyTorch's ``SGD(momentum=0.9)``)
rmsprop    s ← ρ s + (1 − ρ) g², θ ← θ − η g/(√s + ε), ρ = 0.99, ε = 1e-8 (Tieleman & Hinton 2012,
           as PyTorch)
adam       m, s with β = (0.9, 0.999), bias-corrected, θ ← θ − η m̂/(√ŝ + ε) (Kingma & Ba 2015,
           algorithm 1)
=========  =========================================================================================

Clipping by norm scales the gradient (Pascanu et al. 2013, algorithm 1); by value cuts each entry.
"""

from collections.abc import Callable, Mapping

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.names import OptimizerName

Weights = dict[str, FloatArray]
Optimizer = Callable[[Weights, Weights], Weights]

DEFAULT_LEARNING_RATE: Mapping[OptimizerName, float] = {
    OptimizerName.SGD: 0.01,
    OptimizerName.MOMENTUM: 0.01,
    OptimizerName.RMSPROP: 0.001,
    OptimizerName.ADAM: 0.003,
}


def momentum(learning_rate: float, decay: float = 0.9) -> Optimizer:
    """Gradient descent with a velocity."""
    velocity: Weights = {}

    def update(weights: Weights, gradient: Weights) -> Weights:
        for name, slope in gradient.items():
            velocity[name] = decay * velocity.get(name, 0.0) + slope
        return {name: weights[name] - learning_rate * velocity[name] for name in weights}

    return update


def sgd(learning_rate: float) -> Optimizer:
    """Plain gradient descent: a velocity that is forgotten at once."""
    return momentum(learning_rate, decay=0.0)


def rmsprop(learning_rate: float, decay: float = 0.99, epsilon: float = 1e-8) -> Optimizer:
    """Steps divided by a running root mean square of the gradient."""
    squares: Weights = {}

    def update(weights: Weights, gradient: Weights) -> Weights:
        for name, slope in gradient.items():
            squares[name] = decay * squares.get(name, 0.0) + (1.0 - decay) * np.square(slope)
        roots = {name: np.sqrt(squares[name]) + epsilon for name in weights}
        return {n: weights[n] - learning_rate * gradient[n] / roots[n] for n in weights}

    return update


def adam(
    learning_rate: float, decays: tuple[float, float] = (0.9, 0.999), epsilon: float = 1e-8
) -> Optimizer:
    """Running mean over running root mean square, both corrected for their start at zero."""
    means: Weights = {}
    squares: Weights = {}
    count, (slow, slower) = 0, decays

    def update(weights: Weights, gradient: Weights) -> Weights:
        nonlocal count
        count += 1
        corrections = [1.0 - decay**count for decay in decays]
        stepped = {}
        for name, slope in gradient.items():
            means[name] = slow * means.get(name, 0.0) + (1.0 - slow) * slope
            squares[name] = slower * squares.get(name, 0.0) + (1.0 - slower) * np.square(slope)
            root = np.sqrt(squares[name] / corrections[1]) + epsilon
            stepped[name] = weights[name] - learning_rate * means[name] / corrections[0] / root
        return stepped

    return update


OPTIMIZERS: Mapping[OptimizerName, Callable[[float], Optimizer]] = {
    OptimizerName.SGD: sgd,
    OptimizerName.MOMENTUM: momentum,
    OptimizerName.RMSPROP: rmsprop,
    OptimizerName.ADAM: adam,
}


def clip_by_norm(gradient: Weights, norm: float, limit: float) -> tuple[Weights, bool]:
    """Scale a gradient of global norm ``norm`` down to ``limit``; say whether that was needed."""
    if norm <= limit:
        return gradient, False
    return {name: slope * (limit / norm) for name, slope in gradient.items()}, True


def clip_by_value(gradient: Weights, limit: float) -> tuple[Weights, bool]:
    """Cut every entry to ±limit; say whether any was cut."""
    if all(float(np.max(np.abs(slope), initial=0.0)) <= limit for slope in gradient.values()):
        return gradient, False
    return {name: np.clip(slope, -limit, limit) for name, slope in gradient.items()}, True
