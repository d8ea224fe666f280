"""log σ_max(∂h_T/∂h_{T−ℓ}) for every lag ℓ: how strongly the last state feels the state ℓ steps
before.

The product P_ℓ = J_T J_{T−1} ⋯ J_{T−ℓ+1} grows to the right by one factor a lag. Its scale is kept
beside it as an integer power of two, exactly, so no lag can underflow: a sigmoid net's product is
*exactly* 0 in float64 after a few hundred lags, while its logarithm stays right at ten thousand.
Source: ``DESIGN`` section "The quantities"; Golub & Van Loan (2013), section 5.4 for the singular
values.
"""

from dataclasses import dataclass

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.errors import SettingError
from gradscope.jacobians.chain import Chain
from gradscope.shown import Shown

LOG_2 = float(np.log(2.0))


@dataclass(frozen=True, eq=False, slots=True)
class LagNorms(Shown):
    """The lag profile of every sequence.

    ``lags`` (L,) are 1 … L in steps; ``log_norms`` (L,B) are in nats, −inf from the lag on at which
    the product is exactly zero; ``certificate`` (L,B) bounds the relative error of σ_max.
    """

    lags: IntArray
    log_norms: FloatArray
    certificate: FloatArray


def lag_norms(chain: Chain, max_lag: int | None = None, *, tolerance: float = 1e-6) -> LagNorms:
    """Return log σ_max(∂h_T/∂h_{T−ℓ}) for every lag ℓ = 1 … max_lag.

    Parameters
    ----------
    chain : Chain
        Factors of T steps and B sequences.
    max_lag : int, optional
        Longest lag, in steps. All T by default.
    tolerance : float
        Largest relative error of σ_max; the full product meets any down to rounding.

    Returns
    -------
    LagNorms
        ``log_norms`` (L,B) in nats, −inf where the product is exactly zero; ``certificate`` (L,B).

    Raises
    ------
    SettingError
        If ``max_lag`` is not in 1 … T, or the tolerance is not in (0, 1).

    Notes
    -----
    Cost: one GEMM of B·S rows and B singular value decompositions of (S,S) a lag.
    """
    longest = check_max_lag(chain, max_lag)
    if not 0.0 < tolerance < 1.0:
        raise SettingError(f"the tolerance is {tolerance}; choose a number between 0 and 1")
    lags = np.arange(1, longest + 1)
    log_norms = np.full((longest, chain.n_sequences), -np.inf)
    product = ScaledProduct(chain)
    for lag in lags:
        product.extend()
        sigma = np.linalg.svd(product.rows, compute_uv=False)[:, 0].astype(np.float64)
        log_norms[lag - 1] = product.log(sigma)
        if not sigma.any():
            break
    rounding = np.finfo(np.float64).eps * np.sqrt(chain.state_size) * lags
    return LagNorms(lags, log_norms, np.repeat(rounding[:, None], chain.n_sequences, axis=1))


def check_max_lag(chain: Chain, max_lag: int | None) -> int:
    """Return the longest lag asked for, all T by default; refuse what the chain does not have."""
    if max_lag is None:
        return chain.n_steps
    if not 1 <= max_lag <= chain.n_steps:
        raise SettingError(
            f"the longest lag is {max_lag}, but the trajectory has {chain.n_steps} steps; "
            f"choose 1 to {chain.n_steps}, or record more steps (--steps)"
        )
    return max_lag


class ScaledProduct:
    """P_ℓ of every sequence as ``rows`` (B,S,S) times 2**``exponents`` (B,), growing to the right
    by one factor a lag.
    """

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self.lag = 0
        self.rows = np.repeat(np.eye(chain.state_size)[None], chain.n_sequences, axis=0)
        self.exponents = np.zeros(chain.n_sequences, dtype=np.int64)

    def extend(self) -> None:
        """Go one lag further back: P_{ℓ+1} = P_ℓ J_{T−ℓ}."""
        self.rows = self._chain.pull_back(self.rows, self._chain.n_steps - self.lag)
        self.lag += 1
        largest = np.max(np.abs(self.rows), axis=(1, 2))
        shift = np.frexp(largest)[1].astype(np.int64)
        self.rows = np.ldexp(self.rows, -shift[:, None, None])
        self.exponents += shift

    def log(self, norms: FloatArray) -> FloatArray:
        """Return the logarithm (nats) of norms (B,) of ``rows`` as norms of the product, −inf for
        0.
        """
        with np.errstate(divide="ignore"):
            logs: FloatArray = np.log(norms) + self.exponents * LOG_2
        return logs


def leading_directions(chain: Chain, lags: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return log σ_max and the leading right singular vector of P_ℓ at chosen lags.

    Parameters
    ----------
    chain : Chain
        Factors of T steps and B sequences.
    lags : (K,) array of int
        Lags in 1 … T, ascending.

    Returns
    -------
    log_norms : (K,B) array
        log σ_max in nats, −inf for an exactly zero product.
    directions : (K,B,S) array
        Unit vectors at h_{T−ℓ} that ∂h_T/∂h_{T−ℓ} stretches most.
    """
    log_norms = np.empty((lags.size, chain.n_sequences))
    directions = np.empty((lags.size, chain.n_sequences, chain.state_size))
    product = ScaledProduct(chain)
    for index, lag in enumerate(lags):
        while product.lag < lag:
            product.extend()
        _, sigma, right = np.linalg.svd(product.rows)
        log_norms[index] = product.log(sigma[:, 0])
        directions[index] = right[:, 0]
    return log_norms, directions
