"""Pages: a figure with the answer at its top, a panel for a column, and how a figure becomes bytes.

A figure has the size at which it is printed. pyplot is never imported, and nothing global is set.
"""

import io
import itertools
import logging
import textwrap
import warnings
from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from gradscope.names import ColumnWidth, Theme
from gradscope.report.figures.panels import REPORT, View
from gradscope.report.figures.style import (
    BLUE,
    FAINT,
    GREEN,
    GREY,
    INK,
    PLACED,
    TEXT_SIZE,
    TITLE_SIZE,
    VERMILLION,
    Look,
)
from gradscope.report.provenance.embedded import KEYWORD
from gradscope.report.provenance.records import ANALYSIS, provenance_text
from gradscope.report.screen import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FONTS = ("DejaVu Sans", "Verdana", "Helvetica", "Arial", "sans-serif")
"""The first comes with Matplotlib, so that a picture has one layout everywhere; Verdana is as wide,
the others are narrower, where an SVG is shown without it."""

PAGE = (7.2, 4.05)
"""Inches: as wide as both columns of a paper; 16 to 9, as a slide is."""

PANEL_SIZES: Mapping[ColumnWidth, tuple[float, float]] = MappingProxyType(
    {ColumnWidth.SINGLE: (3.5, 2.6), ColumnWidth.DOUBLE: (7.2, 3.6)}
)
"""Inches: 89 and 183 mm wide, as Nature and the IEEE have their columns."""

DOTS_PER_INCH, DIGITS = 300, 5
"""Of a picture; of the place of an axes, in parts of the page."""

POINTS_PER_INCH, LINE_HEIGHT, EDGE = 72.0, 1.25, 0.1
"""Of a line of text, in its size; of the margin of a page, in inches."""

CHARACTER, BOLD_CHARACTER = 0.54, 0.61
"""Mean width of a letter in its size, a little more than in sentences."""

DARK: Mapping[str, str] = MappingProxyType(
    {
        "#ffffff": "#14181d",
        "#000000": "#e8e8e8",
        INK: "#e8e8e8",
        GREY: "#a8a8a8",
        FAINT: "#3a3f45",
        BLUE.lower(): "#56b4e9",
        VERMILLION.lower(): "#ff8a3d",
        GREEN.lower(): "#2fc49a",
    }
)
"""What each colour becomes on a dark slide."""


DISTANCES, LED = (0.0, 5.0, 9.0, 14.0, 20.0, 28.0, 38.0, 50.0, 70.0, 95.0), 14.0
"""Points from its place at which a label is tried, and from which on a line leads to it."""

DIRECTIONS = ((0, 0), (1, 1), (1, 0), (1, -1), (0, 1), (0, -1), (-1, 1), (-1, 0), (-1, -1))
HORIZONTAL, VERTICAL = (
    {1: "left", 0: "center", -1: "right"},
    {1: "bottom", 0: "center", -1: "top"},
)


VIEW: ContextVar[View] = ContextVar("view")
"""In which form pictures are written: its theme and dots per inch count."""


def new_page(
    title: str, subtitle: str = "", size: tuple[float, float] = PAGE, foot: str = ""
) -> "Figure":
    """Return an empty figure with the answer in words at its top, and a command at its ``foot``;
    Matplotlib's constrained layout keeps what is added between them.
    """
    figure = _new_figure(size)
    top = size[1] - EDGE
    for text, points, character, weight, color in (
        (title, TITLE_SIZE, BOLD_CHARACTER, "bold", INK),
        (subtitle, TEXT_SIZE, CHARACTER, "normal", GREY),
    ):
        across = int((size[0] - 2 * EDGE) * POINTS_PER_INCH / (points * character))
        lines = _wrapped(printable(text), across)
        # What stands in a file's name is not mathematics.
        look: Look = {"size": points, "weight": weight, "color": color, "parse_math": False}
        look |= {"linespacing": LINE_HEIGHT, "va": "top"}
        figure.text(EDGE / size[0], top / size[1], "\n".join(lines), **look)
        top -= len(lines) * points * LINE_HEIGHT / POINTS_PER_INCH + EDGE / 2
    if foot:
        across = int((size[0] - 2 * EDGE) * POINTS_PER_INCH / (TEXT_SIZE * BOLD_CHARACTER))
        look = {"size": TEXT_SIZE, "color": GREY, "family": "monospace", "parse_math": False}
        place = 1.0 - EDGE / size[0], EDGE / size[1] / 2
        figure.text(*place, textwrap.shorten(foot, across, placeholder=" …"), ha="right", **look)
    bottom = TEXT_SIZE * LINE_HEIGHT / POINTS_PER_INCH + EDGE if foot else 0.0
    rect = (0.0, bottom / size[1], 1.0, (top - bottom) / size[1])
    figure.set_layout_engine("constrained", rect=rect)
    return figure


def _new_figure(size: tuple[float, float]) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(
        size,
        DOTS_PER_INCH,
        facecolor="white",
    )
    FigureCanvasAgg(figure)
    return figure


def _wrapped(text: str, across: int, most: int = 2) -> list[str]:
    """Return a text on one line, or on ``most`` of about one length, cut between clauses if that
    is enough.
    """
    cuts = [cut + 1 for cut in range(len(text)) if text[cut : cut + 2] in {"; ", ": "}]
    clauses = [cut for cut in cuts if max(cut, len(text) - cut) <= across < len(text)]
    if clauses:
        cut = min(clauses, key=lambda each: abs(2 * each - len(text)))
        return [text[:cut], text[cut:].strip()]
    even = range(len(text) // most, across)
    width = next((n for n in even if len(textwrap.wrap(text, n)) <= most), across)
    if len(text) <= across:
        width = across
    return textwrap.wrap(text, width, max_lines=most, placeholder=" …")


def new_panel(width: ColumnWidth) -> "tuple[Figure, Axes]":
    """Return a figure of one axes, as wide as a column or a page of a paper."""
    figure = _new_figure(PANEL_SIZES[width])
    figure.set_layout_engine("constrained")
    return figure, figure.add_subplot()


def place_labels(figure: "Figure") -> None:
    """Move each label of ``style.label`` from its place to where it covers neither a text nor a
    curve and stays in its axes, as near as there is room; from afar a thin line leads to it.
    """
    from matplotlib.path import Path
    from matplotlib.text import Annotation, Text
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # Another draw would move the axes under their labels.
    for part in figure.axes:  # The solver's last digits are not the same twice.
        x, y, width, height = np.round(part.get_position(original=True).bounds, DIGITS).tolist()
        part.set_position((x, y, width, height))
    texts = [each for each in figure.findobj(Text) if isinstance(each, Text)]
    free = [each for each in texts if each.get_label() == PLACED]
    shown = [each for each in texts if each.get_visible() and each.get_text() and each not in free]
    taken, point = [Text.get_window_extent(each) for each in shown], figure.dpi / POINTS_PER_INCH
    for each in free:
        axes = each.axes
        if axes is None or not isinstance(each, Annotation):
            continue
        lines = [line.get_transform().transform_path(line.get_path()) for line in axes.lines]
        dots = [
            dot
            for path, line in zip(lines, axes.lines, strict=True)
            if line.get_marker() != "None"
            for dot in np.asarray(path.vertices)
        ]
        size = np.array(Text.get_window_extent(each).size)
        inside = axes.get_window_extent()
        start, found = axes.transData.transform(each.xy), []
        for distance, (right, up) in itertools.product(DISTANCES, DIRECTIONS):
            offset = distance * np.array([right, up]) / max(np.hypot(right, up), 1.0)
            corner = start + offset * point - size * (1.0 - np.sign([right, up])) / 2.0
            box = Bbox([corner, corner + size])
            out = not (inside.x0 <= box.x0 and box.x1 <= inside.x1)
            out |= not (inside.y0 <= box.y0 and box.y1 <= inside.y1)
            crossed = sum(path.intersects_bbox(box, filled=False) for path in lines)
            crossed += sum(box.padded(4.0 * point).contains(dot[0], dot[1]) for dot in dots)
            if distance >= LED:
                way = Path(np.array([start, corner + size / 2.0]))
                crossed += sum(way.intersects_bbox(other, filled=False) for other in taken)
            cost = distance + 100.0 * crossed + 1000.0 * (sum(map(box.overlaps, taken)) + out)
            found.append((cost, distance, right, up, tuple(offset), box))
        _, distance, right, up, offset, box = min(found, key=lambda option: option[0])
        each.set(position=offset, ha=HORIZONTAL[right], va=VERTICAL[up])
        if each.arrow_patch is not None:
            each.arrow_patch.set_visible(distance >= LED)
        taken.append(box)


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

    view = VIEW.get(REPORT)
    form = {"theme": str(view.theme), "dpi": view.dpi}
    usual = {"theme": str(Theme.PAPER), "dpi": None}
    changed = {name: each for name, each in form.items() if each != usual[name]}
    text = provenance_text(settings, {**made_by, **changed})
    metadata: Mapping[str, dict[str, Any]] = {
        ".png": {KEYWORD: text, "Software": "gradscope"},
        ".svg": {"Description": text, "Creator": "gradscope", "Date": None},
        ".pdf": {"Keywords": text, "Creator": "gradscope", "CreationDate": None},
    }
    buffer = io.BytesIO()
    if view.theme is not Theme.PAPER:
        width, height = figure.get_size_inches()
        figure.set_size_inches(width, max(height, width * PAGE[1] / PAGE[0]))
    # Text stays text. The ids inside an SVG are random without a salt. All is taken back after.
    written: Any = {"svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": "gradscope"}
    written |= {"font.sans-serif": list(FONTS), "font.family": ["sans-serif"]}
    with mpl.rc_context(written), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")
        place_labels(figure)
        if view.theme is Theme.DARK:
            _darken(figure)
        dpi = view.dpi or figure.dpi
        fonts = logging.getLogger("fontTools")  # It remarks upon the dates inside DejaVu.
        level = fonts.level
        fonts.setLevel(logging.ERROR)
        try:
            figure.savefig(buffer, format=suffix[1:], metadata=metadata[suffix], dpi=dpi)
        finally:
            fonts.setLevel(level)
    return buffer.getvalue()


def _darken(figure: "Figure") -> None:
    """Give every artist of a figure the colour that stands for its own on a dark slide."""
    from matplotlib.artist import get, setp
    from matplotlib.colors import to_hex, to_rgba_array
    from matplotlib.text import Annotation

    figure.draw_without_rendering()  # Ticks are made as they are needed.
    arrows = [each.arrow_patch for each in figure.findobj(Annotation)]
    for artist in (*figure.findobj(), *filter(None, arrows)):
        for name in ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor"):
            if not hasattr(artist, f"get_{name}") or not hasattr(artist, f"set_{name}"):
                continue
            rgba = to_rgba_array(get(artist, name))
            dark = [(DARK.get(to_hex(each), to_hex(each)), each[3]) for each in rgba]
            if dark:
                setp(artist, name, dark if dark[1:] else dark[0])
