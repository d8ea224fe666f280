"""What people do today, in NumPy: multiply the Jacobians, take the norm of each product."""

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.jacobians.chain import Chain, ElmanChain
from gradscope.model.elman import has_leak


def chain_and_norms(chain: Chain, lags: int) -> FloatArray:
    """Log σ_max at lags 1 … ``lags`` (L,B) by the singular values of every product, whose scale is
    kept beside it.
    """
    products = np.tile(np.eye(chain.state_size), (chain.n_sequences, 1, 1))
    exponents, logs = np.zeros(chain.n_sequences), np.empty((lags, chain.n_sequences))
    for lag in range(lags):
        products = _extended(chain, products, chain.n_steps - lag)
        largest = np.linalg.svd(products, compute_uv=False)[:, 0]
        with np.errstate(divide="ignore"):
            logs[lag] = np.log(largest) + exponents * np.log(2.0)
        shifts = np.maximum(np.frexp(largest)[1], -900)
        products *= np.ldexp(1.0, -shifts)[:, None, None]
        exponents += shifts
    return logs


def bare_products(chain: Chain, lags: int) -> None:
    """Multiply the Jacobians alone, no norm taken."""
    products = np.tile(np.eye(chain.state_size), (chain.n_sequences, 1, 1))
    for lag in range(lags):
        products = _extended(chain, products, chain.n_steps - lag)


def _extended(chain: Chain, products: FloatArray, step: int) -> FloatArray:
    """Multiply by the Jacobians of a step: of a vanilla RNN as one GEMM, as anyone would."""
    if isinstance(chain, ElmanChain) and not has_leak(chain.leak):
        scaled = products * chain.slopes[step - 1][:, None]
        return np.asarray(
            np.matmul(scaled.reshape(-1, chain.state_size), chain.recurrent_weights).reshape(
                products.shape
            )
        )
    return np.asarray(products @ chain.jacobian(step))
