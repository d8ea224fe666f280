"""How far apart two machines may be that compute the same run: rounding, amplified by its growth.

Machines with another BLAS kernel add up in another order. Each of the ``T`` steps then differs by
at most γ_n ≈ n u relative, u = 2⁻⁵³, for dot products of n terms (Higham 2002, Accuracy and
Stability of Numerical Algorithms, section 3.1), and a difference grows by exp(λ) per step where
the rate λ is above 0 (Strogatz 2015, Nonlinear Dynamics and Chaos, section 9.3). Of a run:

    n u T exp(max(λ T, R, 0))

R is the largest rise of log ‖∂E/∂h_t‖ from a step back to an earlier one. It stands for what the
rate, which is taken over the last lags, does not see: a stretch of growth within a trajectory that
contracts later, or one sequence that grows among others that do not.

Training hands the difference from update to update. Without growth the differences add up in the
optimizer's momentum, and those of the momentum in the weights: 1 + 2 + … + K, below K². With
growth every update amplifies what the update before left, so that the exponents add up too (Metz
et al. 2021, Gradients are not all you need, arXiv:2111.05803, section 2). With K = updates + 1:

    n u T K² exp(max(λ T K, R, 0))

It is an estimate: R and λ are those of the sequences examined, before and after training. Measured
between OpenBLAS's kernels Haswell and Nehalem on 468 nets of tanh and sigmoid (gains 0.4 to 4, 10
to 300 steps) the difference was up to 1.6 times the estimate; ``SAFETY`` covers that.
"""

import math
from collections.abc import Iterable, Sequence

UNIT_ROUNDOFF = 2.0**-53

SAFETY = 10.0

COMPARABLE = 1e-2
"""The largest relative tolerance at which comparing still says something."""


def largest_rise(log_by_step: Sequence[float | None]) -> float:
    """Return R in the unit of the logarithm; 0 where the finite log ‖∂E/∂h_t‖ only fall."""
    rise, lowest = 0.0, math.inf
    for value in reversed(log_by_step):
        if value is not None and math.isfinite(value):
            lowest = min(lowest, value)
            rise = max(rise, value - lowest)
    return rise


def amplified_rounding(
    rates: Iterable[float], *, steps: int, width: int, updates: int = 0, rise: float = 0.0
) -> float:
    """Return the natural logarithm of the relative difference between two machines.

    ``rates`` are growth rates before and after training, in nats per step, of which the largest
    counts (−inf, an exact zero, is no growth); ``width`` is n, the units of the hidden state;
    ``updates`` came before; ``rise`` is R in nats, as from ``largest_rise``.
    """
    rate = max((0.0, *rates))
    passes = updates + 1
    per_step = SAFETY * UNIT_ROUNDOFF * width
    return math.log(per_step * steps * passes**2) + max(rate * steps * passes, rise)


def relative_tolerance(log_rounding: float, accuracy: float) -> float | None:
    """Return the tolerance within which numbers of two machines agree; None where rounding is
    amplified beyond comparison. ``accuracy`` is that to which σ_max is computed at all.
    """
    if log_rounding >= math.log(COMPARABLE):
        return None
    return max(math.exp(log_rounding), accuracy)
