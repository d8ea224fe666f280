"""The picture of ``report --kind quantiles``: medians and bands over one setting, by network."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gradscope.arrays import FloatArray
from gradscope.report.figures import pages, style, sweep_axes
from gradscope.report.figures.style import INK, Look
from gradscope.sweep.summary import Axis, QuantileCurves

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def quantile_figure(quantiles: QuantileCurves, settings: Mapping[str, Any]) -> "Figure":
    """Return the quantiles of a measure over one setting; ``settings`` as in ``phase_figure``."""
    what = sweep_axes.MEASURE_WORDS[quantiles.measure].partition(",")[0]
    over = sweep_axes.words(quantiles.x).partition(",")[0]
    title = f"{what[0].upper()}{what[1:]} against {over}"
    title += f": {sweep_axes.named(quantiles.curves, ', ')}"
    figure = pages.new_page(title, sweep_axes.subtitle(_bands(quantiles), settings))
    axes = figure.add_subplot()
    for name, curve in quantiles.curves.items():
        _medians(axes, quantiles.x, name, curve)
    style.dress(axes, sweep_axes.words(quantiles.x), sweep_axes.MEASURE_WORDS[quantiles.measure])
    sweep_axes.set_ticks(axes.xaxis, quantiles.x)
    axes.margins(y=0.08)
    if quantiles.measure == "horizon":
        axes.set_yscale("log")
        if not any(np.isfinite(curve).any() for curve in quantiles.curves.values()):
            axes.set_ylim(1.0, 10.0)  # Nothing says where the axis should lie
        style.set_round_ticks(axes.yaxis, axes.get_ylim())
    else:
        axes.axhline(0.0, color=INK, linewidth=1.2)
    for name, curve in quantiles.curves.items():
        _fill_bands(axes, quantiles.x, name, curve)
    pages.page_legend(figure, *axes.get_legend_handles_labels())
    return figure


def _bands(quantiles: QuantileCurves) -> str:
    over = " and ".join(word.replace("_", " ") for word in quantiles.mixed)
    most = max((int(each.max()) for each in quantiles.counts.values()), default=0)
    bands = f"line: median over {over}; bands: 50 % and 90 % of n ≤ {most} cells" if over else ""
    if any(np.isinf(curve[2]).any() for curve in quantiles.curves.values()):
        beyond = "beyond the lags" if quantiles.measure == "horizon" else "exactly zero"
        bands += f"; hollow at the edge: {beyond}"
    return bands


def _medians(axes: "Axes", x: Axis, name: str, curve: FloatArray) -> None:
    """Draw the medians, hollow at the edge where infinite; the limits include all finite values."""
    line, finite = sweep_axes.line_style(name)._asdict(), np.isfinite(curve)
    drawn = np.where(finite[2], curve[2], np.nan)
    axes.plot(x.places, drawn, linewidth=2.2, label=style.plain_text(name), **line)
    axes.update_datalim(np.c_[np.broadcast_to(x.places, curve.shape)[finite], curve[finite]])
    for beyond, edge in ((np.isposinf(curve[2]), 0.985), (np.isneginf(curve[2]), 0.015)):
        hollow: Look = {**line, "linestyle": "", "fillstyle": "none", "clip_on": False}
        height = np.full(int(beyond.sum()), edge)
        axes.plot(x.places[beyond], height, transform=axes.get_xaxis_transform(), **hollow)


def _fill_bands(axes: "Axes", x: Axis, name: str, curve: FloatArray) -> None:
    """Fill the bands between the quantiles, to the limits of the axes where these are infinite."""
    color = sweep_axes.line_style(name).color
    limits = axes.get_ylim()
    drawn = np.clip(curve, *limits)
    for low, high, alpha in ((0, 4, 0.15), (1, 3, 0.25)):
        axes.fill_between(x.places, drawn[low], drawn[high], color=color, alpha=alpha, linewidth=0)
    axes.set_ylim(limits)
