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


MOST_AT_CURVES = 3
"""Networks up to which each is named at its curve."""


def quantile_figure(quantiles: QuantileCurves, settings: Mapping[str, Any]) -> "Figure":
    """Return the quantiles of a measure over one setting; ``settings`` as in ``phase_figure``."""
    medians = {name: curve[2:3] for name, curve in quantiles.curves.items()}
    title = sweep_axes.finding(quantiles.measure, medians, quantiles.x, medians=quantiles.mixed)
    figure = pages.new_page(title, sweep_axes.subtitle(_bands(quantiles), settings))
    axes = figure.add_subplot()
    one_each = all(each.max(initial=0) <= 1 for each in quantiles.counts.values())
    for name, curve in quantiles.curves.items():
        _medians(axes, quantiles.x, name, curve, {"linestyle": ""} if one_each else {})
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
    if len(quantiles.curves) > MOST_AT_CURVES:
        style.legend(axes, columns=4)
        return figure
    for name, curve in quantiles.curves.items():
        known = np.flatnonzero(np.isfinite(curve[2]))
        if known.size:
            place = float(quantiles.x.places[known[-1]]), float(curve[2, known[-1]])
            look: Look = {"color": sweep_axes.line_style(name).color, "weight": "bold"}
            style.label(axes, style.plain_text(name), place, **look)
    return figure


def _bands(quantiles: QuantileCurves) -> str:
    over = " and ".join(word.replace("_", " ") for word in quantiles.mixed)
    most = max((int(each.max()) for each in quantiles.counts.values()), default=0)
    bands = f"line: median over {over}; bands: 50 % and 90 % of n ≤ {most} cells" if over else ""
    bands = bands or "one seed: dots, no trend"
    if any(np.isinf(curve[2]).any() for curve in quantiles.curves.values()):
        beyond = "beyond the lags" if quantiles.measure == "horizon" else "exactly zero"
        bands += f"; hollow at the edge: {beyond}"
    return bands


def _medians(axes: "Axes", x: Axis, name: str, curve: FloatArray, look: Look) -> None:
    """Draw the medians, hollow at the edge where infinite; the limits include all finite values."""
    line, finite = {**sweep_axes.line_style(name)._asdict(), **look}, np.isfinite(curve)
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
