"""What theory says before anything is measured: the bound on the product of Jacobians.

σ_max(P_ℓ) ≤ (γ σ_max(W))^ℓ. So σ_max(W) < 1/γ is sufficient for vanishing, while σ_max(W) > 1/γ is
only necessary for exploding. Source: Pascanu, Mikolov & Bengio (2013), arXiv:1211.5063, section
2.1.
"""

import numpy as np

from gradscope.arrays import FloatArray


def log_spectral_norm(weights: FloatArray) -> float:
    """Return log σ_max(W) in nats, −inf for a matrix of zeros."""
    with np.errstate(divide="ignore"):
        return float(np.log(np.linalg.norm(weights, 2)))


def log_bound_per_step(weights: FloatArray, slope_ceiling: float, leak: float = 1.0) -> float:
    """Return log(1 − α + α γ σ_max(W)), the most that one step can add to log σ_max(P), in nats."""
    norm = float(np.linalg.norm(weights, 2))
    with np.errstate(divide="ignore"):
        return float(np.log(1.0 - leak + leak * slope_ceiling * norm))
