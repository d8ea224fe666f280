"""One style for every picture: colours, text of 8 points, axes, the corridor around 1.

Colours are those of Okabe and Ito (2008), which colour-blind readers tell apart; each curve has its
own line style for grey prints. Pages and their bytes are made in ``pages``.
"""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from gradscope.arrays import LN_10, FloatArray
from gradscope.names import Regime
from gradscope.report.screen import printable
from gradscope.report.words.headline import REGIME_LOOKS
from gradscope.report.words.numbers import RAISED, fraction, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Colormap, Normalize

Look = dict[str, Any]
"""Keywords of Matplotlib."""

BLUE, GREEN, VERMILLION, GREY = (
    REGIME_LOOKS[each].color
    for each in (Regime.VANISHING, Regime.STABLE, Regime.EXPLODING, Regime.MIXED)
)
ORANGE, INK, PALE, FAINT = "#E69F00", "#222222", "#b0b0b0", "#d9d9d9"

LAG = "steps back in time (lag ℓ)"
SIGMA_MAX = r"$\sigma_{\max}(\partial h_T/\partial h_{T-\ell})$"
"""Labels of the axes of a lag profile."""

MATHEMATICS: Mapping[str, str] = MappingProxyType(
    {"σ_max": r"$\sigma_{\mathrm{max}}$", "λ_1": r"$\lambda_1$", "J_t": "$J_t$"}
)
"""Symbols with an index, as Matplotlib sets them."""

PLACED = "_placed"
"""What Matplotlib calls the texts that ``pages.place_labels`` places."""

SYMBOLS = re.compile("|".join(MATHEMATICS))

TITLE_SIZE, TEXT_SIZE = 11.0, 8.0
"""Points."""

POINTS_PER_INCH = 72.0

LEGEND_ROW = 1.5
"""Height of a row of a legend, in the size of its text."""

LONGEST_NAME = 125
"""Characters of a name of a file or layer that are drawn."""

LEGEND_LOOK: Mapping[str, Any] = MappingProxyType(
    {"frameon": False, "borderaxespad": 0.0, "fontsize": TEXT_SIZE}
    | {"handlelength": 2.0, "columnspacing": 1.2, "handletextpad": 0.5}
)

CORRIDOR = 3.0
"""Powers of ten on both sides of 1 that every view of σ_max holds, and the ends of the colours of
every map of it: 1/1000 is lost, 1000 too large."""

VIEW = 6.0
"""Powers of ten on both sides of 1 that a lag profile shows; what leaves the view is marked."""

RATE_END = 0.5
"""Nats per step at the ends of the colours of every phase diagram."""

GROWTH_STOPS = (0.0, 0.2, 0.4, 0.5, 0.75, 1.0)
GROWTH_SHADES = ("#08263f", BLUE, "#bcd9ea", "#ffffff", "#f6b48a", VERMILLION)
"""From lost over 1 to too large; blues go darker than oranges, so that grey prints keep order."""


def set_title(axes: "Axes", title: str, rows: float = 0.0) -> None:
    """Give an axes its title, above so many rows of a legend."""
    pad = 4.0 + rows * TEXT_SIZE * LEGEND_ROW
    axes.set_title(title, loc="left", size=TEXT_SIZE, weight="bold", color=INK, pad=pad)


def dress(axes: "Axes", x: str, y: str, title: str = "") -> None:
    """Give an axes its labels and the common look, and a title where ``PANELS`` has none for it."""
    if title:
        set_title(axes, title)
    axes.set_xlabel(x, size=TEXT_SIZE, color=INK)
    axes.set_ylabel(y, size=TEXT_SIZE, color=INK)
    dress_ticks(axes)
    axes.spines["right"].set_visible(False)


def dress_ticks(axes: "Axes") -> None:
    """Give ticks the common look, and leave the upper edge open."""
    axes.tick_params(labelsize=TEXT_SIZE, colors=INK, length=3, width=0.6, which="both")
    for side, spine in axes.spines.items():
        spine.set(visible=side != "top", color=GREY, linewidth=0.6)


def legend(axes: "Axes", columns: int = 3) -> None:
    """Name the curves of these axes, each once, in rows above them."""
    named = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    if named:
        look: Look = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.01), "ncols": columns}
        axes.legend(named.values(), named.keys(), **look, **LEGEND_LOOK)
        set_title(axes, axes.get_title(loc="left"), -(-len(named) // columns))


def write(
    axes: "Axes",
    text: str,
    at: tuple[float, float],
    offset: tuple[float, float] = (0, 0),
    *,
    color: str = INK,
    **look: Any,
) -> None:
    """Write a text at a place of an axes, moved by ``offset`` points."""
    look = {"size": TEXT_SIZE, "color": color, "textcoords": "offset points", **look}
    axes.annotate(text, at, xytext=offset, **look)


def label(axes: "Axes", text: str, at: tuple[float, float], **look: Any) -> None:
    """Write a text near a place of an axes, where ``pages.place_labels`` finds that nothing is."""
    leader = {"arrowstyle": "-", "color": look["color"], "linewidth": 0.6, "shrinkB": 3.0}
    look |= {"label": PLACED, "arrowprops": leader, "annotation_clip": False, "in_layout": False}
    write(axes, text, at, **look)


def write_above(axes: "Axes", text: str) -> None:
    """Write how to read an axes above its upper left corner, below its title."""
    write(axes, text, (0.0, 1.0), (0, 4), color=GREY, xycoords="axes fraction")
    set_title(axes, axes.get_title(loc="left"), 1.0)


def axes_below(axes: "Axes", y: str) -> "Axes":
    """Return axes over the same x, in the lower half of the place of these."""
    figure, place = axes.get_figure(root=False), axes.get_subplotspec()
    if figure is None or place is None:
        raise TypeError("only axes of a grid can be divided")
    halves = place.subgridspec(2, 1)
    axes.set_subplotspec(halves[0])
    other: Axes = figure.add_subplot(halves[1], sharex=axes)
    dress(other, axes.get_xlabel(), y)
    axes.set_xlabel("")
    axes.tick_params(labelbottom=False)
    return other


def power(log10: float) -> str:
    """Return a power of ten as it stands on an axis.

    >>> power(-3.0), power(-10.0), power(0.0)
    ('1/1000', '10⁻¹⁰', '1')
    """
    if abs(log10) <= CORRIDOR:
        return fraction(10.0**log10) if log10 < 0.0 else number(10.0**log10, 2)
    return "10" + number(log10).translate(RAISED)


def show_powers(drawn: "Axis", most: int = 5) -> None:
    """Label an axis of log10 values with powers of ten, or with round numbers within one."""
    from matplotlib.ticker import MaxNLocator

    low, high = drawn.get_view_interval()
    if high - low > 2.0:
        ticks = np.asarray(MaxNLocator(most, integer=True).tick_values(low, high))
        words = [power(float(each)) for each in ticks]
    else:
        rounds = np.asarray(MaxNLocator(most - 1).tick_values(10.0**low, 10.0**high))
        if high - low > 1.0:
            powers = np.arange(np.floor(low), high + 1.0)
            rounds = np.sort(np.outer((1.0, 2.0, 5.0), 10.0**powers), axis=None)
        ticks, words = np.log10(np.maximum(rounds, 1e-300)), [f"{each:g}" for each in rounds]
    inside = np.flatnonzero((ticks >= low) & (ticks <= high))
    drawn.set_ticks(ticks[inside], [words[place] for place in inside])


def show_corridor(axes: "Axes", vanishing: float, exploding: float) -> float:
    """Shade where the gradient is neither lost nor too large, and show the same powers of ten on
    both sides of 1 in every picture. Returns log10 of the view's end.
    """
    lost, large = float(np.log10(vanishing)), float(np.log10(exploding))
    end = max(VIEW, 2.0 * np.ceil(-lost), 2.0 * np.ceil(large))
    axes.axhspan(lost, large, color=GREEN, alpha=0.1, linewidth=0.0, zorder=0.1)
    axes.axhline(0.0, color=GREY, linewidth=0.6, zorder=0.2)
    axes.set_ylim(-end, end)
    words = (power(-end), fraction(vanishing), "1", f"{exploding:g}", power(end))
    axes.set_yticks((-end, lost, 0.0, large, end), words)
    return float(end)


def growth_colors(end: float) -> "tuple[Colormap, Normalize]":
    """Return the colours of maps and phase diagrams, from ``−end`` (blue: lost) over 0 (white) to
    ``end`` (orange: too large), the same in every picture of a kind: ``CORRIDOR``, ``RATE_END``.
    """
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    stops = list(zip(GROWTH_STOPS, GROWTH_SHADES, strict=True))
    colors = LinearSegmentedColormap.from_list("growth", stops, 257)
    return colors.with_extremes(bad=FAINT), Normalize(-end, end)


def typeset(text: str) -> str:
    """Return a text with its symbols as mathematics has them.

    >>> typeset("Eigenvalues of J_t")
    'Eigenvalues of $J_t$'
    """
    return SYMBOLS.sub(lambda found: MATHEMATICS[found.group()], text)


def plain_text(text: str) -> str:
    """Return the name of a file or layer as Matplotlib draws it: one line, no mathematics."""
    return printable(text)[:LONGEST_NAME].replace("$", r"\$")


def set_round_ticks(drawn: "Axis", limits: tuple[float, float], least: float = 0.0) -> None:
    """Put ticks at 1, 2, 5, 10 … of a logarithmic axis, ``least`` powers of ten or more apart; or
    nearer where fewer than two fit.
    """
    from matplotlib.ticker import MaxNLocator

    powers = range(-12, 13, max(1, int(np.ceil(least))))
    rounds = [m * 10.0**k for k in powers for m in ((1, 2, 5) if least < np.log10(2.0) else (1,))]
    for places in (rounds, MaxNLocator(5, integer=limits[1] > 2.0).tick_values(*limits)):
        ticks = [each for each in places if limits[0] <= each <= limits[1]]
        if len(ticks) > 1:
            break
    drawn.set_ticks(ticks, [f"{each:g}" for each in ticks])
    drawn.set_ticks([], minor=True)


def color_bar(
    image: "ScalarMappable", of: "Sequence[Axes]", label: str, ticks: Mapping[float, str]
) -> None:
    """Put beside axes what their colours mean; the arrows at its ends stand for all beyond."""
    figure = of[0].get_figure(root=False)
    if figure is not None:
        bar = figure.colorbar(image, ax=of, pad=0.02, aspect=30, extend="both")
        bar.set_ticks(list(ticks), labels=list(ticks.values()))
        bar.set_label(label, size=TEXT_SIZE, color=INK)
        bar.ax.tick_params(labelsize=TEXT_SIZE, colors=INK, length=3, width=0.6)
        bar.outline.set(color=GREY, linewidth=0.6)


def drawable(nats: FloatArray) -> FloatArray:
    """Return log10 values, NaN (a gap) where the product is exactly zero."""
    values: FloatArray = np.where(np.isfinite(nats), nats, np.nan) / LN_10
    return values


def say(axes: "Axes", text: str) -> None:
    """Write a sentence where there is nothing to draw."""
    look: Look = {"ha": "center", "va": "center", "size": TEXT_SIZE, "color": GREY}
    axes.text(0.5, 0.5, text, transform=axes.transAxes, **look)
    axes.set(xticks=[], yticks=[], xlabel="", ylabel="")
    axes.set_axis_off()
