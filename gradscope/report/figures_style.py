"""One style for every picture, and how a picture becomes bytes.

Colours are Okabe and Ito's (2008), told apart by colour-blind readers; each curve also has a line
style of its own, so that grey prints read as well. Nothing global is set: pyplot is never imported,
and the style goes onto each axes.
"""

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gradscope.report.provenance import KEYWORD, provenance_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, VERMILLION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
INK, GREY, FAINT = "#222222", "#6b6b6b", "#d9d9d9"

SLIDE = (13.33, 7.5)
"""Inches: a slide of 16 to 9."""

DOTS_PER_INCH = 150
TITLE_SIZE, TEXT_SIZE, LABEL_SIZE, TICK_SIZE = 16, 12, 12, 10.5

TITLE_CHARACTERS, LONGEST_TITLE, LONGEST_SUBTITLE = 92, 125, 130
"""What fits on one line of a slide: at full size, at the smallest size, below the title."""


def new_page(title: str, subtitle: str, size: tuple[float, float] = SLIDE) -> "Figure":
    """Return an empty figure with the answer in words at its top, on one line."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=DOTS_PER_INCH, facecolor="white")
    FigureCanvasAgg(figure)
    large = textwrap.shorten(title, LONGEST_TITLE, placeholder=" …")
    small = textwrap.shorten(subtitle, LONGEST_SUBTITLE, placeholder=" …")
    shrunk = TITLE_SIZE * min(1.0, TITLE_CHARACTERS / len(large))
    _page_text(figure, 0.973, large, size=shrunk, weight="bold", color=INK)
    _page_text(figure, 0.926, small, size=TEXT_SIZE, color=GREY)
    return figure


def _page_text(figure: "Figure", top: float, text: str, **look: Any) -> None:
    """Write a line at the left margin; what stands in a file's name is not mathematics."""
    figure.text(0.03, top, text, va="top", parse_math=False, **look)


def dress(axes: "Axes", title: str, x: str, y: str) -> None:
    """Give an axes its title, its labels and the common look."""
    axes.set_title(title, loc="left", size=LABEL_SIZE + 1, weight="bold", color=INK, pad=26)
    axes.set_xlabel(x, size=LABEL_SIZE, color=INK)
    axes.set_ylabel(y, size=LABEL_SIZE, color=INK)
    axes.tick_params(labelsize=TICK_SIZE, colors=INK, length=3)
    axes.grid(visible=True, color=FAINT, linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GREY)


def legend(axes: "Axes", others: Sequence["Axes"] = ()) -> None:
    """Show the curves of these axes in one row between title and axes, where it hides nothing."""
    handles, labels = [], []
    for each in (axes, *others):
        more_handles, more_labels = each.get_legend_handles_labels()
        handles += more_handles
        labels += more_labels
    if handles:
        axes.legend(
            handles,
            labels,
            loc="lower left",
            bbox_to_anchor=(-0.01, 0.985),
            ncols=len(handles),
            fontsize=TICK_SIZE,
            frameon=False,
            borderaxespad=0.0,
            handlelength=2.2,
            columnspacing=1.4,
            handletextpad=0.6,
        )


def picture_bytes(figure: "Figure", suffix: str, settings: Mapping[str, Any]) -> bytes:
    """Return a figure as the bytes of a ``.png``, ``.svg`` or ``.pdf``, settings in its metadata.

    The same figure gives the same bytes: no dates are written.
    """
    import matplotlib as mpl

    text = provenance_text(settings)
    metadata: Mapping[str, dict[str, Any]] = {
        ".png": {KEYWORD: text, "Software": "gradscope"},
        ".svg": {"Description": text, "Creator": "gradscope", "Date": None},
        ".pdf": {"Keywords": text, "Creator": "gradscope", "CreationDate": None},
    }
    buffer = io.BytesIO()
    # The ids inside an SVG are random without a salt; it is taken back before this returns.
    with mpl.rc_context({"svg.hashsalt": "gradscope"}):
        figure.savefig(buffer, format=suffix[1:], metadata=metadata[suffix])
    return buffer.getvalue()
