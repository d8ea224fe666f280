"""How far apart two machines may be that compute the same run: rounding, amplified by its growth.

Machines with another BLAS kernel add up in another order. Each of the ``T`` steps then differs by
at most γ_n ≈ n u relative, u = 2⁻⁵³, for dot products of n terms (Higham 2002, Accuracy and
Stability of Numerical Algorithms, section 3.1), and a difference grows by exp(λ) per step where
the rate λ is above 0 (Strogatz 2015, Nonlinear Dynamics and Chaos, section 9.3). Of a run:

    n u T exp(max(λ, 0) T)

Training hands the difference from update to update. Without growth the differences add up in the
optimizer's momentum, and those of the momentum in the weights: 1 + 2 + … + K, below K². With
growth every update amplifies what the update before left, so that the exponents add up too (Metz
et al. 2021, Gradients are not all you need, arXiv:2111.05803, section 2). With K = updates + 1:

    n u T K² exp(max(λ, 0) T K)
"""

import math
from collections.abc import Iterable

UNIT_ROUNDOFF = 2.0**-53

COMPARABLE = 1e-2
"""The largest relative tolerance at which comparing still says something."""


def amplified_rounding(
    rates: Iterable[float], *, steps: int, width: int, updates: int = 0
) -> float:
    """Return the natural logarithm of the relative difference between two machines.

    Parameters
    ----------
    rates : iterable of float
        Growth rates of the run before and after training, in nats per step; the largest counts
        (−inf, an exact zero, is no growth).
    steps : int
        Length of the sequences.
    width : int
        Terms of a dot product: units of the hidden state.
    updates : int
        Updates of the training that came before.
    """
    rate = max((0.0, *rates))
    passes = updates + 1
    return math.log(UNIT_ROUNDOFF * width * steps * passes**2) + rate * steps * passes


def relative_tolerance(log_rounding: float, accuracy: float) -> float | None:
    """Return the tolerance within which numbers of two machines agree; None where rounding is
    amplified beyond comparison. ``accuracy`` is that to which σ_max is computed at all.
    """
    if log_rounding >= math.log(COMPARABLE):
        return None
    return max(math.exp(log_rounding), accuracy)
