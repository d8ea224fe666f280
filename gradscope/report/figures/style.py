"""One style for every picture, and how a picture becomes bytes.

Colours are those of Okabe and Ito (2008), which colour-blind readers tell apart; each curve has its
own line style for grey prints. pyplot is never imported, and nothing global is set.
"""

import io
import re
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from gradscope.arrays import FloatArray, IntArray
from gradscope.names import ColumnWidth
from gradscope.report.provenance.embedded import KEYWORD
from gradscope.report.provenance.records import ANALYSIS, provenance_text
from gradscope.report.screen import printable

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.patheffects import AbstractPathEffect

Look = dict[str, Any]
"""Keywords of Matplotlib."""

BLUE, VERMILLION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
INK, GREY, FAINT = "#222222", "#6b6b6b", "#d9d9d9"

SLIDE = (13.33, 7.5)
"""Inches: a slide of 16 to 9."""

LAG = "lag ℓ (steps back)"
SIGMA_MAX = r"$\log_{10}\,\sigma_{\max}(\partial h_T/\partial h_{T-\ell})$"
"""Labels of the axes of a lag profile."""

MATHEMATICS: Mapping[str, str] = MappingProxyType(
    {"σ_max": r"$\sigma_{\mathrm{max}}$", "λ_1": r"$\lambda_1$", "J_t": "$J_t$"}
)
"""Symbols with an index, as Matplotlib sets them."""

SYMBOLS = re.compile("|".join(MATHEMATICS))

DOTS_PER_INCH = 150
PANEL_DOTS_PER_INCH = 300
TITLE_SIZE, TEXT_SIZE, LABEL_SIZE, TICK_SIZE = 16, 12, 12, 10.5

TITLE_CHARACTERS, SUBTITLE_CHARACTERS = (92, 134), (140, 210)
"""What fits on one line of a slide, of title and subtitle: at full size, at the smallest size."""

LONGEST_NAME = 125
"""Characters of a name of a file or layer that are drawn."""

BACKING: Mapping[str, Any] = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5}
"""Behind a text that stands on lines."""

LEGEND_LOOK: Mapping[str, Any] = MappingProxyType(
    {"frameon": False, "borderaxespad": 0.0}
    | {"handlelength": 2.2, "columnspacing": 1.4, "handletextpad": 0.6}
)

LEGEND_TOP, LEGEND_ROW = 0.76, 0.23
"""Inches: from a slide's upper edge to the legend of all its panels, and from row to row."""

LEGEND_COLUMNS = 7
"""The longest names of networks that fit side by side on a slide."""


def new_page(title: str, subtitle: str, size: tuple[float, float] = SLIDE) -> "Figure":
    """Return an empty figure with the answer in words at its top, on one line or two."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=DOTS_PER_INCH, facecolor="white")
    FigureCanvasAgg(figure)
    for below_edge, text, full_size, (fits, most), weight, color in (
        (0.2, title, TITLE_SIZE, TITLE_CHARACTERS, "bold", INK),
        (0.555, subtitle, TEXT_SIZE, SUBTITLE_CHARACTERS, "normal", GREY),
    ):
        shown, width = printable(text), most
        if len(shown) > most:  # Two lines of about one length, where that is enough.
            even = range(len(shown) // 2, most)
            width = next((n for n in even if len(textwrap.wrap(shown, n)) <= 2), most)
        lines = textwrap.wrap(shown, width, max_lines=2, placeholder=" …")
        scale = fits / (most if lines[1:] else max([fits, *map(len, lines)]))
        look: Look = {"size": full_size * scale, "weight": weight, "color": color}
        # What stands in a file's name is not mathematics.
        look |= {"linespacing": 1.0, "va": "top", "parse_math": False}
        figure.text(0.03, 1.0 - below_edge / size[1], "\n".join(lines), **look)
    return figure


PANEL_SIZES: Mapping[ColumnWidth, tuple[float, float]] = MappingProxyType(
    {ColumnWidth.SINGLE: (3.5, 2.9), ColumnWidth.DOUBLE: (7.2, 4.2)}
)
"""Inches: 89 and 183 mm wide, as Nature and the IEEE have their columns."""

PANEL_COLUMNS = {PANEL_SIZES[ColumnWidth.SINGLE][0]: 2, PANEL_SIZES[ColumnWidth.DOUBLE][0]: 3}
"""Names of curves that fit side by side above a panel alone, by its width."""

MIN_TEXT = 0.62
"""Text shrinks with its figure to this part at the least: 7.5 points in a single column."""


def text_scale(axes: "Axes") -> float:
    """Return the factor on text sizes and line widths in a figure narrower than both columns."""
    return min(1.0, max(MIN_TEXT, figure_width(axes) / PANEL_SIZES[ColumnWidth.DOUBLE][0]))


def figure_width(axes: "Axes") -> float:
    """Return the width of the whole figure in inches."""
    figure = axes.get_figure(root=True)
    return figure.get_figwidth() if figure is not None else SLIDE[0]


def set_title(axes: "Axes", title: str) -> None:
    """Give an axes its title."""
    axes.set_title(title, loc="left", size=LABEL_SIZE + 1, weight="bold", color=INK, pad=26)


def dress(axes: "Axes", x: str, y: str, title: str = "") -> None:
    """Give an axes its labels and the common look, and a title where ``PANELS`` has none for it."""
    scale = text_scale(axes)
    if title:
        set_title(axes, title)
    axes.set_xlabel(x, size=LABEL_SIZE * scale, color=INK)
    axes.set_ylabel(y, size=LABEL_SIZE * scale, color=INK)
    dress_ticks(axes, scale)
    axes.grid(visible=True, color=FAINT, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines["right"].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GREY)


def dress_ticks(axes: "Axes", scale: float) -> None:
    """Give ticks the common look, and leave the upper edge open."""
    axes.tick_params(labelsize=TICK_SIZE * scale, colors=INK, length=3)
    axes.spines["top"].set_visible(False)


def legend(axes: "Axes", others: Sequence["Axes"] = ()) -> None:
    """Name the curves of these axes, each once, in the columns that fit above them."""
    named: dict[str, Any] = {}
    for each in (axes, *others):
        for handle, label in zip(*each.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    if named:
        axes.legend(
            named.values(),
            named.keys(),
            loc="lower left",
            bbox_to_anchor=(-0.01, 0.985),
            ncols=PANEL_COLUMNS.get(figure_width(axes), len(named)),
            fontsize=TICK_SIZE * text_scale(axes),
            **LEGEND_LOOK,
        )


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
    size = TICK_SIZE * text_scale(axes)
    look = {"size": size, "color": color, "textcoords": "offset points", **look}
    axes.annotate(text, at, xytext=offset, **look)


def write_above(axes: "Axes", text: str) -> None:
    """Write how to read an axes above its upper left corner."""
    write(axes, text, (0.0, 1.02), color=GREY, xycoords="axes fraction")


def second_axis(axes: "Axes", label: str) -> "Axes":
    """Return axes over the same x whose y stands at the right."""
    other = axes.twinx()
    other.set_ylabel(label, size=LABEL_SIZE * text_scale(axes), color=INK)
    dress_ticks(other, text_scale(axes))
    return other


def draw_band(axes: "Axes", x: FloatArray | IntArray, low: FloatArray, high: FloatArray) -> None:
    """Fill what lies between the quantiles 5 % and 95 %."""
    axes.fill_between(x, low, high, color=BLUE, alpha=0.18, linewidth=0, label="5 % to 95 %")


def page_legend(figure: "Figure", handles: Sequence["Artist"], labels: Sequence[str]) -> None:
    """Show curves in rows below the subtitle, for all panels of a slide."""
    figure.legend(
        handles,
        labels,
        loc="upper left",
        bbox_to_anchor=(0.026, 1.0 - LEGEND_TOP / SLIDE[1]),
        ncols=LEGEND_COLUMNS,
        fontsize=TICK_SIZE,
        **LEGEND_LOOK,
    )


def height_of_rows(entries: int) -> float:
    """Return the inches by which the rows of a page's legend after the first push panels down."""
    return LEGEND_ROW * ((entries - 1) // LEGEND_COLUMNS)


def typeset(text: str) -> str:
    """Return a text with its symbols as mathematics has them.

    >>> typeset("Eigenvalues of J_t")
    'Eigenvalues of $J_t$'
    """
    return SYMBOLS.sub(lambda found: MATHEMATICS[found.group()], text)


def plain_text(text: str) -> str:
    """Return the name of a file or layer as Matplotlib draws it: one line, no mathematics."""
    return printable(text)[:LONGEST_NAME].replace("$", r"\$")


def halo() -> "list[AbstractPathEffect]":
    """Return what lets a text stand on lines and areas without hiding them."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=2.5, foreground="white")]


def set_round_ticks(drawn: "Axis", limits: tuple[float, float]) -> None:
    """Put ticks at 1, 2, 5, 10 … of a logarithmic axis, or nearer where fewer than two fit."""
    from matplotlib.ticker import MaxNLocator

    rounds = [m * 10.0**k for k in range(8) for m in (1, 2, 5)]
    for places in (rounds, MaxNLocator(5, integer=True).tick_values(*limits)):
        ticks = [each for each in places if limits[0] <= each <= limits[1]]
        if len(ticks) > 1:
            break
    drawn.set_ticks(ticks, [f"{each:g}" for each in ticks])
    drawn.set_ticks([], minor=True)


def picture_bytes(
    figure: "Figure",
    suffix: str,
    settings: Mapping[str, Any],
    made_by: Mapping[str, Any] = ANALYSIS,
) -> bytes:
    """Return a figure as the bytes of a ``.png``, ``.svg`` or ``.pdf``, settings in its metadata.

    ``made_by`` says which command to run again. The same figure gives the same bytes: no dates are
    written.
    """
    import matplotlib as mpl

    text = provenance_text(settings, made_by)
    metadata: Mapping[str, dict[str, Any]] = {
        ".png": {KEYWORD: text, "Software": "gradscope"},
        ".svg": {"Description": text, "Creator": "gradscope", "Date": None},
        ".pdf": {"Keywords": text, "Creator": "gradscope", "CreationDate": None},
    }
    buffer = io.BytesIO()
    # The ids inside an SVG are random without a salt; it is taken back before this returns.
    with mpl.rc_context({"svg.hashsalt": "gradscope"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")
        figure.savefig(buffer, format=suffix[1:], metadata=metadata[suffix])
    return buffer.getvalue()
