"""What people do today, in NumPy: multiply the Jacobians, take the norm of each product."""

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.jacobians.chain import ElmanChain


def chain_and_norms(chain: ElmanChain, lags: int) -> FloatArray:
    """σ_max at lags 1 … ``lags`` of the first sequence by ``norm(P, 2)`` of every product."""
    product = np.eye(chain.state_size)
    norms = np.empty(lags)
    for lag in range(lags):
        product = (product * chain.slopes[chain.n_steps - 1 - lag, 0]) @ chain.recurrent_weights
        norms[lag] = np.linalg.norm(product, 2)
    return norms


def bare_products(chain: ElmanChain, lags: int) -> None:
    """Multiply the Jacobians alone, in place, no norm taken."""
    product = np.eye(chain.state_size)
    scaled = np.empty_like(product)
    for lag in range(lags):
        np.multiply(product, chain.slopes[chain.n_steps - 1 - lag, 0], out=scaled)
        np.matmul(scaled, chain.recurrent_weights, out=product)
