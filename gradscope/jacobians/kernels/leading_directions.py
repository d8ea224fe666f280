"""The direction at h_{T−ℓ} that ∂h_T/∂h_{T−ℓ} stretches most: the leading right singular vector of
P_ℓ = L R + E, of which ``rank_adaptive`` keeps R (r,S), by a singular value decomposition of R.
"""

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.jacobians.chain import Chain
from gradscope.jacobians.diagonal import DiagonalChain, channel_norms
from gradscope.jacobians.kernels.powers_of_two import LOG_2
from gradscope.jacobians.kernels.rank_adaptive import RankAdaptiveProduct
from gradscope.progress import tracked

DROPPED = 1e-10
"""Rows of R below this part of ‖R‖ are dropped; it costs 1e-20 of σ_max², unless later steps favour
them, which shows against ``lag_norms``."""


def leading_directions(
    chain: Chain, lags: IntArray, *, dropped: float = DROPPED
) -> tuple[FloatArray, FloatArray]:
    """Return the leading right singular vectors v (K,B,S) of P_ℓ, unit vectors at h_{T−ℓ}, and log
    ‖P_ℓ v‖ (K,B) in nats, at ``lags`` (K,), ascending in 1 … T. Rows below the part ``dropped`` of
    ‖R‖ are dropped. For an exactly zero product v is any and the logarithm −inf. Of a diagonal
    chain v is the channel that holds most.
    """
    if isinstance(chain, DiagonalChain):
        logs = channel_norms(chain, lags).log_values
        largest = np.arange(logs.shape[-1]) == logs.argmax(axis=-1)[..., None]
        return largest.astype(np.float64), logs.max(axis=-1)
    many = chain.n_sequences
    product = RankAdaptiveProduct(chain, np.full(many, chain.n_steps), np.arange(many), dropped)
    directions = np.empty((lags.size, many, chain.state_size))
    log_norms = np.empty((lags.size, many))
    stretch = product.extend(int(lags[-1]))
    for index, lag in enumerate(tracked(lags, "directions by lag")):
        while product.lag < lag:
            product.compress(np.linalg.norm(stretch.kept[-1], axis=(1, 2)))
            stretch = product.extend(int(lags[-1]) - product.lag)
        rows = stretch.kept[lag - stretch.lag - 1]
        directions[index] = np.linalg.svd(rows, full_matrices=False)[2][:, 0]
        lengths = np.linalg.norm(rows @ directions[index, :, :, None], axis=(1, 2))
        with np.errstate(divide="ignore"):
            log_norms[index] = np.log(lengths) + stretch.exponents[lag - stretch.lag - 1] * LOG_2
    return directions, log_norms
