"""The eigenvalues of each recurrent weight matrix in the complex plane, beside the unit circle.

One row a layer, one panel for the block of W of each gate; hollow points lie outside the circle.
"""

from typing import TYPE_CHECKING

import numpy as np

from gradscope.analysis.inspect import Inspection, WeightSpectrum
from gradscope.names import CellName
from gradscope.report.figures import pages, style
from gradscope.report.figures.style import BLUE, GREY, INK, VERMILLION
from gradscope.report.terminal.inspection import describe, headline
from gradscope.report.words.numbers import number
from gradscope.weights.layers.recurrent_layer import RecurrentLayer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_ROWS = 6
"""Layers that fit on a page that is still read."""

PANEL, HEAD = 2.4, 0.7
"""Inches: the height of a row of panels, the space above them."""

MAX_POINT, MIN_POINT = 26.0, 5.0
"""Areas of a point, in square points: the more eigenvalues, the smaller."""

CANDIDATES = ("n", "g")
"""Rows of W that make a candidate and no gate: of a GRU and of an LSTM."""

MARGIN = 1.12
"""How far the axes reach beyond the farthest of what is drawn."""


def eigenvalue_picture(inspection: Inspection, suffix: str) -> bytes:
    """Return the eigenvalues of the first ``MAX_ROWS`` layers as the bytes of a picture."""
    shown = inspection.layers[:MAX_ROWS]
    gated = any(len(each.spectra) > 1 for each in shown)
    height = HEAD + (PANEL if gated or len(shown) > 1 else 1.5 * PANEL) * len(shown)
    missing = len(inspection.layers) - len(shown)
    title = headline(inspection) + (f", the first {len(shown)} drawn" if missing else "")
    columns = max(*(len(each.spectra) for each in shown), 2)
    height *= columns if pages.is_narrow() else 1
    figure = pages.new_page(title, describe(inspection), (pages.PAGE[0], height))
    spectra = [spectrum for each in shown for spectrum in each.spectra.values()]
    reach = MARGIN * max(1.0, *(spectrum.sigma_max for spectrum in spectra))
    many = len(shown) * columns
    across = 1 if pages.is_narrow() else columns
    grid = figure.add_gridspec(many // across, across)
    cells = [grid[divmod(each, across)] for each in range(many)]
    for row, each in enumerate(shown):
        for column, (gate, spectrum) in enumerate(each.spectra.items()):
            panel = figure.add_subplot(cells[row * columns + column])
            _plane(panel, spectrum, _title(each.layer, gate), reach)
        if len(each.spectra) == 1:
            _ranks(figure.add_subplot(cells[row * columns + 1]), spectrum)
    file, names = str(inspection.found.file.path), list(inspection.mapping)
    made_by = {"command": "inspect", "file": file, "map": names}
    return pages.picture_bytes(figure, suffix, {}, made_by)


def _title(layer: RecurrentLayer, gate: str) -> str:
    """Return whose eigenvalues a panel shows; the layer is named above the first of its row."""
    title = style.plain_text(layer.title)
    if layer.cell is CellName.ELMAN:
        return f"{title}, W"
    name = f"W of {'candidate' if gate in CANDIDATES else 'gate'} {gate}"
    return f"{title}\n{name}" if gate == layer.gates[0] else name


def _plane(axes: "Axes", spectrum: WeightSpectrum, title: str, reach: float) -> None:
    """Draw eigenvalues in the complex plane, with the unit circle and that of radius σ_max."""
    style.set_title(axes, title)
    style.dress(axes, "Re λ", "Im λ")
    sigma, outside = spectrum.sigma_max, spectrum.outside
    area = min(MAX_POINT, max(MIN_POINT, MAX_POINT * 64 / outside.size))
    # A line of numbers below the title, where a legend would stand in other pictures.
    sizes = f"|λ| ≤ {number(spectrum.spectral_radius)}; dashed: σ_max {number(sigma)}"
    style.write_above(axes, style.typeset(sizes))
    angles = np.linspace(0.0, 2.0 * np.pi, 361)
    circle = np.array([np.cos(angles), np.sin(angles)])
    axes.plot(*circle, color=INK, linewidth=1.2)
    axes.plot(*(sigma * circle), color=GREY, linewidth=1.2, linestyle="--")
    for chosen, color, face in ((~outside, BLUE, BLUE), (outside, VERMILLION, "white")):
        points = spectrum.eigenvalues[chosen]
        axes.scatter(
            points.real, points.imag, s=area, color=color, facecolors=face, linewidths=1.3, zorder=3
        )
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")


def _ranks(axes: "Axes", spectrum: WeightSpectrum) -> None:
    """Draw singular values and moduli of eigenvalues by rank: apart where W is not normal."""
    style.dress(axes, "rank", "σ and |λ|", f"Departure from normality {spectrum.departure:.0%}")
    ranks = np.arange(1, spectrum.singular_values.size + 1)
    axes.plot(ranks, spectrum.singular_values, "-", color=INK, linewidth=2, label="σ")
    axes.plot(ranks, np.abs(spectrum.eigenvalues), "o", color=BLUE, markersize=4.5, label="|λ|")
    axes.axhline(1.0, color=GREY, linestyle=":", linewidth=1.5)
    axes.set_ylim(bottom=0.0)
    style.legend(axes)
