"""A user's time series as windows to learn from: standardised, split in time, the next row wanted.

Each column becomes ``z = (v − mean) / scale``, with mean and scale of the training part alone, so
that nothing of the held-out tail leaks into training. A window that starts at row s has inputs
``x_t = z[s + t − 1]`` and targets ``A_t = z[s + t]``, t = 1 … steps.

How far back a series rewards looking: its next row is predicted as c + Σ_{j=1…ℓ} A_j x_{n+1−j}, an
autoregression of order ℓ (Box & Jenkins 1970), for every ℓ: least squares on the training rows, no
penalty, and its error on held-out rows.
"""

import math
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from gradscope.arrays import FloatArray, IntArray
from gradscope.data.batch import Batch, Targets
from gradscope.data.columns import quoted
from gradscope.data.table import Table
from gradscope.errors import DataError, SettingError

# A column whose standard deviation is below this part of its magnitude is constant but for
# rounding: float64 keeps about 2e-16, and the sum of a long column loses a few digits of it.
NEGLIGIBLE_VARIATION = 1e-12
# Standardised values up to this can be squared and summed without leaving float64 (1.8e308).
MAX_STANDARDISED = 1e100

MAX_LAG, ROWS_PER_COEFFICIENT, MAX_COEFFICIENTS = 50, 5, 200
MAX_ENTRIES = 2_000_000  # of the design; of a longer series its latest training rows are used
MAX_HELD_OUT = 1024  # rows that are predicted, spread evenly over longer tails

NEAR_BEST, NEGLIGIBLE = 1.05, 1e-12  # times the smallest (convention); rounding, of the variance


@dataclass(frozen=True, eq=False, slots=True)
class Series:
    """A standardised series (N,C), its split in time, and the windows that are cut from it.

    ``values`` have mean 0 and standard deviation 1 over the training part, rows 0 … n_train − 1;
    ``mean`` and ``scale`` (C,) are in the units of the file. A window is ``steps`` long.
    """

    names: tuple[str, ...]
    mean: FloatArray
    scale: FloatArray
    values: FloatArray
    n_train: int
    steps: int

    @property
    def n_validation(self) -> int:
        """Number of held-out rows."""
        return len(self.values) - self.n_train

    def training_batch(self, rng: np.random.Generator, n_sequences: int) -> Batch:
        """Return windows that start anywhere in the training part, drawn with replacement: inputs
        (T,B,C), and the next row as the target of every step. Raises SettingError unless n ≥ 1.
        """
        _check_count(n_sequences)
        return self._windows(rng.integers(self.n_train - self.steps, size=n_sequences))

    def examination_batch(self, n_sequences: int) -> Batch:
        """Return at most so many different windows, evenly spaced over the whole training part."""
        return self._windows(evenly_spaced(self.n_train - self.steps, n_sequences))

    def follow(self, batch: Batch, count: int) -> Batch:
        """Add to an examination batch the rows that come next, after the last row the first."""
        starts = evenly_spaced(self.n_train - self.steps, batch.n_sequences)
        rows = (starts + self.steps + np.arange(count)[:, np.newaxis]) % self.n_train
        span = max(int(starts[-1] - starts[0]), 1)
        stride = max(-(-self.steps * (starts.size - 1) // span), 1)
        return replace(batch, further=self.values[rows], stride=stride)

    def validation_batch(self, max_sequences: int | None = None) -> Batch:
        """Return one sequence for each held-out row, or for ``max_sequences`` evenly spaced ones:
        the ``steps`` rows before it, perhaps of the training part, and a target at the last.
        """
        count = self.n_validation if max_sequences is None else max_sequences
        rows = self.n_train + evenly_spaced(self.n_validation, count)
        return self._windows(rows - self.steps, last_step_only=True)

    def halves(self) -> tuple[Batch, Batch]:
        """Return windows that cover the training part and the held-out one, a target at each step;
        no window of a part that is shorter.
        """
        count = self.n_validation // self.steps
        starts = self.n_train - 1 + self.steps * np.arange(count)
        return self.examination_batch(self.n_train // self.steps), self._windows(starts)

    def _windows(self, starts: IntArray, *, last_step_only: bool = False) -> Batch:
        """Return the windows that start at these rows (B,)."""
        rows = starts + np.arange(self.steps)[:, np.newaxis]
        at_step = np.ones(self.steps, dtype=np.bool_)
        if last_step_only:
            at_step[:-1] = False
        return Batch(self.values[rows], Targets(self.values[rows + 1], at_step))


def prepare_series(table: Table, steps: int, validation_fraction: float = 0.2) -> Series:
    """Standardise a table by its training part, and hold out its tail.

    ``steps`` is the length T of a window, 1 or more; ``validation_fraction`` the part of the rows
    that is held out, in (0, 1), rounded up to whole rows. Raises SettingError if either is outside
    its limits, DataError if the training part has fewer than steps + 1 rows, or a column is
    constant over it or too large to standardise.
    """
    n_train = _training_rows(len(table.values), steps, validation_fraction)
    training = table.values[:n_train]
    with np.errstate(over="ignore", invalid="ignore"):  # Judged below, by name.
        mean, scale = training.mean(axis=0), training.std(axis=0)
    _check_magnitude(table, scale)
    constant = scale <= NEGLIGIBLE_VARIATION * np.abs(training).max(axis=0)
    if constant.any():
        column = quoted(table.names[constant.argmax()])
        raise DataError(
            f"column {column} is constant, or nearly, over the training part (rows 1 to {n_train});"
            " choose another column (--column)"
        )
    with np.errstate(over="ignore", invalid="ignore"):  # Judged below, by name.
        values = (table.values - mean) / scale
    _check_magnitude(table, values)
    return Series(table.names, mean, scale, values, n_train, steps)


def _training_rows(n_rows: int, steps: int, validation_fraction: float) -> int:
    """Return the number of rows in the training part, at least steps + 1."""
    if steps < 1:
        raise SettingError(f"--steps is {steps}; choose 1 or more")
    if not 0.0 < validation_fraction < 1.0:
        raise SettingError(
            f"the validation fraction is {validation_fraction}; choose a number between 0 and 1"
        )
    # Exact, because 0.07 · 100 is 7.000000000000001 in float64 and would round up to 8 rows.
    fraction = Fraction(str(float(validation_fraction)))
    n_train = n_rows - math.ceil(n_rows * fraction)
    if n_train < steps + 1:
        needed = math.ceil((steps + 1) / (1 - fraction))
        raise DataError(
            f"the series has {n_rows} rows, but --steps {steps} with {float(fraction):g} held out "
            f"needs {needed}; give more rows or choose fewer steps"
        )
    return n_train


def _check_magnitude(table: Table, derived: FloatArray) -> None:
    """Raise DataError where numbers derived from a column, (C,) or (N,C), overflow when squared."""
    too_large = ~(np.abs(np.atleast_2d(derived)) <= MAX_STANDARDISED).all(axis=0)  # NaN too
    if too_large.any():
        column = too_large.argmax()
        largest = np.abs(table.values[:, column]).max()
        raise DataError(
            f"column {quoted(table.names[column])} has values up to {largest:.3g}, too large to "
            "standardise in float64; rescale it or choose another column (--column)"
        )


def evenly_spaced(n_places: int, at_most: int) -> IntArray:
    """Return at most this many different places from 0 … n_places − 1, both ends in (from 2 on)."""
    _check_count(at_most)
    count = min(at_most, n_places)
    return np.linspace(0, n_places - 1, count).round().astype(np.int64)


def _check_count(n_sequences: int) -> None:
    if n_sequences < 1:
        raise SettingError(f"the number of sequences is {n_sequences}; choose 1 or more")


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
