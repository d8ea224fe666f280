"""Products whose scale stands beside them: matrices of ordinary size times 2**exponent, exactly."""

import numpy as np

from gradscope.arrays import FloatArray, IntArray

LOG_2 = float(np.log(2.0))
"""One power of two in nats."""

MIN_SHIFT = -1000
"""The exponent below which one factor, itself an ordinary number, does not undo it."""


def rescaled(matrices: FloatArray, exponents: IntArray) -> tuple[FloatArray, IntArray]:
    """Bring the largest entry of each matrix (B,r,S) to [½, 1), or 2**1000 nearer, and count the
    power of two in its exponent (B,); a matrix of zeros stays as it is.
    """
    shift = np.frexp(np.max(np.abs(matrices), axis=(1, 2)))[1].astype(np.int64)
    shift = np.maximum(shift, MIN_SHIFT)
    return matrices * np.ldexp(1.0, -shift)[:, None, None], exponents + shift
