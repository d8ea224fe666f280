"""The memory horizon: how far back the network can learn.

The first lag at which the median lag profile falls below the vanishing threshold; none if it never
does. Where it lies beyond the lags measured, the growth rate says when it would come.
"""

import numpy as np

from gradscope.arrays import FloatArray


def memory_horizon(median: FloatArray, threshold: float) -> int | None:
    """Return the first lag, in steps, at which the profile (L,) in nats is below log(threshold)."""
    below = median < np.log(threshold)
    return int(np.argmax(below)) + 1 if below.any() else None


def extrapolated_horizon(median: FloatArray, rate: float, threshold: float) -> int | None:
    """Return the lag at which a profile would reach a threshold, below or above; None if never."""
    if not rate * np.log(threshold) > 0.0:
        return None
    missing = (np.log(threshold) - float(median[-1])) / rate
    lag = median.size + max(missing, 0.0)
    return int(np.ceil(lag)) if lag < 1e15 else None
