"""The picture of a bare lag profile, where there is no study around it: median, band, bound."""

import numpy as np

from gradscope.arrays import FloatArray, order_statistics
from gradscope.jacobians.lag_norms import LagNorms
from gradscope.report.figures_style import (
    BLUE,
    INK,
    VERMILLION,
    dress,
    legend,
    new_page,
    picture_bytes,
)
from gradscope.report.words import LN_10, fraction

SIZE = (8.0, 4.5)
"""Inches: half a slide."""


NOTEBOOK = {"command": "notebook"}
"""Made by hand: no settings tell how, so ``rerun`` refuses it."""


def profile_picture(
    norms: LagNorms, threshold: float, log_bound: FloatArray | None = None
) -> bytes:
    """Return a lag profile as the bytes of a PNG.

    Parameters
    ----------
    norms : LagNorms
        The profile of every sequence.
    threshold : float
        σ_max below which it has vanished; drawn as a line.
    log_bound : (L,) array, optional
        The bound in nats, whatever the cell.
    """
    n_sequences = norms.log_norms.shape[1]
    about = f"{norms.lags.size} lags, {n_sequences} sequences; dashed: {fraction(threshold)}"
    figure = new_page("How much of the gradient arrives, by lag", about, SIZE)
    axes = figure.add_axes((0.11, 0.13, 0.85, 0.68))
    dress(
        axes, "", "lag ℓ (steps back)",
        r"$\log_{10}\,\sigma_{\max}(\partial h_T/\partial h_{T-\ell})$",
    )  # fmt: skip
    low, median, high = (_log10_quantile(norms, level) for level in (0.05, 0.5, 0.95))
    axes.plot(norms.lags, median, color=BLUE, linewidth=2.4, label="median")
    axes.fill_between(
        norms.lags, low, high, color=BLUE, alpha=0.18, linewidth=0, label="5 % to 95 %"
    )
    if log_bound is not None and np.isfinite(log_bound).all():
        axes.plot(
            norms.lags, log_bound / LN_10, color=VERMILLION, linestyle=":", linewidth=2.0,
            label="bound",
        )  # fmt: skip
    axes.axhline(float(np.log10(threshold)), color=INK, linestyle=(0, (6, 4)), linewidth=1.0)
    legend(axes)
    return picture_bytes(figure, ".png", {}, NOTEBOOK)


def _log10_quantile(norms: LagNorms, level: float) -> FloatArray:
    """Return an order statistic over sequences as log10, NaN (a gap) for an exact zero."""
    (nats,) = order_statistics(norms.log_norms, (level,))
    values: FloatArray = np.where(np.isfinite(nats), nats, np.nan) / LN_10
    return values
