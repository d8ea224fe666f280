"""How far back a series rewards looking: least squares on its last ℓ rows, for every ℓ.

The next row is predicted as c + Σ_{j=1…ℓ} A_j x_{n+1−j}, an autoregression of order ℓ (Box &
Jenkins 1970): least squares on the training rows, no penalty, and its error on held-out rows.
"""

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.data.series import Series, evenly_spaced

MAX_LAG, ROWS_PER_COEFFICIENT, MAX_COEFFICIENTS = 50, 5, 200
MAX_ENTRIES = 2_000_000  # of the design; of a longer series its latest training rows are used
MAX_HELD_OUT = 1024  # rows that are predicted, spread evenly over longer tails

NEAR_BEST, NEGLIGIBLE = 1.05, 1e-12  # times the smallest (convention); rounding, of the variance


def memoryless_error(inputs: FloatArray, wanted: FloatArray) -> float | None:
    """Return the mean squared error of the best linear readout of inputs (T,B,D) as ``wanted``
    (T,B,O); None where there are too few samples or too many inputs to fit it.
    """
    seen, values = (each.reshape(-1, each.shape[2]) for each in (inputs, wanted))
    design = np.hstack([np.ones((len(seen), 1)), seen])
    n_rows, size = design.shape
    if size > MAX_COEFFICIENTS or n_rows < ROWS_PER_COEFFICIENT * size:
        return None
    return float(np.mean(np.square(design @ np.linalg.lstsq(design, values)[0] - values)))


def rewarded_lag(errors: FloatArray) -> int:
    """Return the fewest past rows, from 1, whose error (L,) is within 5 % of the smallest."""
    return int(np.argmax(errors <= NEAR_BEST * errors.min() + NEGLIGIBLE)) + 1


def lag_errors(series: Series) -> FloatArray | None:
    """Return the held-out mean squared error (L,) of a linear predictor from 1 … L past rows, of
    the standardised columns; L is 50, less for few rows or many columns, None where it would be 0.
    """
    values, n_train = series.values, series.n_train
    n_rows, width = values.shape
    most = min(MAX_COEFFICIENTS, n_rows // ROWS_PER_COEFFICIENT) // width
    longest = min(MAX_LAG, most, n_train // (2 * width + 1))  # two rows to fit a coefficient
    if longest < 1:
        return None

    def past(rows: IntArray) -> FloatArray:
        before = values[rows[:, np.newaxis] - np.arange(1, longest + 1)]
        return np.hstack([np.ones((rows.size, 1)), before.reshape(rows.size, -1)])

    fitted = np.arange(longest, n_train)[-(MAX_ENTRIES // (longest * width + 1)) :]
    held_out = n_train + evenly_spaced(series.n_validation, MAX_HELD_OUT)
    # The leading blocks of this triangle are the least-squares problems of all shorter lags.
    triangle = np.linalg.qr(np.hstack([past(fitted), values[fitted]])).R
    design, wanted, errors = past(held_out), values[held_out], np.empty(longest)
    for lag in range(1, longest + 1):
        used = lag * width + 1
        # By singular values, since the columns of a noiseless series depend on one another.
        weights = np.linalg.lstsq(triangle[:used, :used], triangle[:used, -width:])[0]
        errors[lag - 1] = np.mean(np.square(design[:, :used] @ weights - wanted))
    return errors
