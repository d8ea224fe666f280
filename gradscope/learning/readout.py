"""How much of a target a linear readout of the state explains: R², and the memory function.

R² = 1 − mean‖A − Z w‖² / var A on rows that w was not fitted to, Z = [h, 1], w by least squares.
Source: Jaeger (2001), GMD report 152, whose memory capacity is Σ_d R²_d over the delays d of a
white input: at most H, and H for a linear network that keeps them (White, Lee & Sompolinsky 2004,
Phys. Rev. Lett. 92(14)).
"""

from collections.abc import Callable, Iterable

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.data.batch import Batch
from gradscope.errors import ShapeError
from gradscope.model.cells import Cell
from gradscope.model.trajectory import unroll

ROWS_PER_COEFFICIENT = 100
"""Rows in each half for every coefficient: the fit then costs R² about 1/100 of the variance."""

RIDGE = 1e-9
"""Penalty on w, in parts of the largest variance of the state."""


class Moments:
    """Sums over rows from which least squares follow: of 1, the states (H) and the targets (K),
    and of their products; of any number of rows in the memory of one batch.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.products: FloatArray = np.zeros((1, 1))

    def add(self, states: FloatArray, targets: FloatArray) -> None:
        """Add rows of states (N,H) and targets (N,K)."""
        rows = np.hstack([np.ones((len(states), 1)), states, targets])
        self.products = self.products + rows.T @ rows
        self.rows += len(rows)

    def covariance(self, about: FloatArray | None = None) -> FloatArray:
        """Return the mean products (H+K,H+K) about the means, or ``about`` other ones (H+K,)."""
        mean = self.products[0, 1:] / self.rows
        shift = mean - (mean if about is None else about)
        return (
            self.products[1:, 1:] / self.rows - np.outer(mean, mean) + np.outer(shift, shift)
        )

    @property
    def mean(self) -> FloatArray:
        """Means (H+K,) of states and targets."""
        mean: FloatArray = self.products[0, 1:] / self.rows
        return mean


def explained(fitted: Moments, fresh: Moments, n_states: int) -> tuple[FloatArray, FloatArray]:
    """Return the error of the readout and the variance on ``fresh`` rows, both (K,)."""
    inside = fitted.covariance()
    states, cross = inside[:n_states, :n_states], inside[:n_states, n_states:]
    ridge = RIDGE * max(float(np.linalg.eigvalsh(states)[-1]), np.finfo(np.float64).tiny)
    weights = np.linalg.solve(states + ridge * np.eye(n_states), cross)
    outside = fresh.covariance(about=fitted.mean)
    mixed = np.vstack([-weights, np.eye(weights.shape[1])])
    error = np.einsum("ik,ij,jk->k", mixed, outside, mixed)
    return error, np.diagonal(fresh.covariance())[n_states:]


def readout_score(states: FloatArray, targets: FloatArray) -> FloatArray:
    """Return R² (K,) of a linear readout with intercept of states (N,H) as targets (N,K), fitted to
    the first half of the rows and measured on the others.

    With x_{t−d} as the targets of h_t, a column for each d, this is the memory function. Of fewer
    than ``ROWS_PER_COEFFICIENT`` (H + 1) rows a half, R² scatters. Raises ShapeError if the rows
    differ in number, or there are fewer than two.
    """
    if states.ndim != 2 or targets.ndim != 2 or len(states) != len(targets) or len(states) < 2:
        raise ShapeError(
            f"states have shape {states.shape} and targets {targets.shape}; give (N,H) and (N,K)"
        )
    halves = []
    for rows in (slice(len(states) // 2), slice(len(states) // 2, None)):
        halves.append(moments := Moments())
        moments.add(states[rows], targets[rows])
    error, variance = explained(*halves, states.shape[1])
    return 1.0 - error / variance
