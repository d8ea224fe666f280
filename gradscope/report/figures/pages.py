"""Pages: a figure with the answer at its top, a panel for a column, and how a figure becomes bytes.

A figure has the size at which it is printed. pyplot is never imported, and nothing global is set.
"""

import io
import logging
import re
import textwrap
import warnings
from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from gradscope.arrays import BoolArray, FloatArray
from gradscope.names import ColumnWidth, Theme
from gradscope.report.figures.panels import REPORT, View
from gradscope.report.figures.style import (
    BLUE,
    FAINT,
    GREEN,
    GREY,
    INK,
    PLACED,
    POINTS_PER_INCH,
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

MORE_LINES = 0.6
"""Inches that the longer title of a page of one column takes."""

DOTS_PER_INCH, DIGITS = 300, 5
"""Of a picture; of the place of an axes, in parts of the page."""

LINE_HEIGHT, EDGE = 1.25, 0.1
"""Of a line of text, in its size; of the margin of a page, in inches."""

CHARACTER, BOLD_CHARACTER = 0.54, 0.61
"""Mean width of a letter in its size, a little more than in sentences."""

LONG_WORD = re.compile(r"(\S{30})\S{12,}(\S{20})")
"""A word, as of a file's name, of which only the ends are written."""

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

TRIED, BESIDE = 7.0 * np.mgrid[-13:14, -13:14].reshape(2, -1).T, 7.6
"""Points from its place at which the middle of a label is tried, within its axes; and between its
place and its edge, where it is tried first."""

LED, LEAD = 14.0, np.linspace(0.0, 1.0, 12)[:, None, None]
"""Points from which on a thin line leads to a label; places along the line."""

AROUND, CLEAR, SPACED, MOST_PLACES = 6.0, 1.5, 2.0, 4000
"""Points around a dot that are its own, and around a text; between places of a curve, and how many
of these count."""

HIDDEN, COVERED = 20.0, 1000.0
"""What it costs, in points of distance, to hide a place of a curve, and to cover a text."""

BY_HAND = {"command": "notebook"}
"""No settings tell how such a picture was made, so ``rerun`` refuses it."""

VIEW: ContextVar[View] = ContextVar("view")
"""In which form pictures are written: its theme, dots per inch and width count."""


def is_narrow() -> bool:
    """Whether pictures are as wide as one column of a paper."""
    return VIEW.get(REPORT).width is ColumnWidth.SINGLE


def new_page(
    title: str, subtitle: str = "", size: tuple[float, float] = PAGE, foot: str = ""
) -> "Figure":
    """Return an empty figure with the answer in words at its top, and a command at its ``foot``;
    Matplotlib's constrained layout keeps what is added between them.
    """
    if narrow := is_narrow():
        size = PANEL_SIZES[ColumnWidth.SINGLE][0], size[1] + MORE_LINES
    figure = _new_figure(size)
    top = size[1] - EDGE
    for text, points, character, weight, color in (
        (title, TITLE_SIZE - narrow, BOLD_CHARACTER, "bold", INK),
        (subtitle, TEXT_SIZE, CHARACTER, "normal", GREY),
    ):
        across = int((size[0] - 2 * EDGE) * POINTS_PER_INCH / (points * character))
        lines = _wrapped(printable(text), across, 4 if narrow else 2)
        # What stands in a file's name is not mathematics.
        look: Look = {"size": points, "weight": weight, "color": color, "parse_math": False}
        look |= {"linespacing": LINE_HEIGHT, "va": "top"}
        figure.text(EDGE / size[0], top / size[1], "\n".join(lines), **look)
        top -= len(lines) * points * LINE_HEIGHT / POINTS_PER_INCH + EDGE / 2
    if foot:
        look = {"size": TEXT_SIZE, "color": GREY, "family": "monospace", "parse_math": False}
        said = textwrap.shorten(foot, across, placeholder=" …")
        figure.text(1.0 - EDGE / size[0], EDGE / size[1] / 2, said, ha="right", **look)
    bottom = TEXT_SIZE * LINE_HEIGHT / POINTS_PER_INCH + EDGE if foot else 0.0
    side = EDGE / 2.0 / size[0]
    rect = (side, bottom / size[1], 1.0 - 2.0 * side, (top - bottom) / size[1])
    figure.set_layout_engine("constrained", rect=rect)
    return figure


def _new_figure(size: tuple[float, float]) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(size, DOTS_PER_INCH, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _wrapped(text: str, across: int, most: int = 2) -> list[str]:
    """Return a text on one line, or on ``most`` of about one length, cut between clauses if that
    is enough; of a word that is too long its ends.
    """
    text = LONG_WORD.sub(r"\1…\2", text)
    for end in ("; ", ": "):
        cuts = [found.start() + 1 for found in re.finditer(end, text)]
        clauses = [cut for cut in cuts if max(cut, len(text) - cut) <= across < len(text)]
        if clauses:
            cut = min(clauses, key=lambda each: abs(2 * each - len(text)))
            return [text[:cut], text[cut:].strip()]
    even = range(max(len(text) // most, 1), across if len(text) > across else 0)
    width = next((n for n in even if len(textwrap.wrap(text, n)) <= most), across)
    return textwrap.wrap(text, width, max_lines=most, placeholder=" …")


def new_panel(width: ColumnWidth) -> "tuple[Figure, Axes]":
    """Return a figure of one axes, as wide as a column or a page of a paper."""
    figure = _new_figure(PANEL_SIZES[width])
    return figure, figure.add_subplot()


def place_labels(figure: "Figure") -> None:
    """Move each label of ``style.label`` from its place to where it covers neither a text nor a
    curve and stays in its axes, as near as there is room; from afar a thin line leads to it.
    """
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation, Text

    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # Another draw would move the axes under their labels.
    for part in figure.axes:  # The solver's last digits are not the same twice.
        part.set_position(np.round(part.get_position(original=True).bounds, DIGITS).tolist())
    texts = [each for each in figure.findobj(Text) if isinstance(each, Text)]
    free = [each for each in texts if each.get_label() == PLACED and isinstance(each, Annotation)]
    shown = [each for each in texts if each.get_visible() and each.get_text() and each not in free]
    taken = [np.array(Text.get_window_extent(each).extents) for each in shown]
    point = figure.dpi / POINTS_PER_INCH
    inks = {axes: _ink(axes, point) for axes in figure.axes}
    for each in free:
        axes = each.axes
        if not isinstance(axes, Axes):
            continue
        size = np.array(Text.get_window_extent(each).size)
        start = np.asarray(axes.transData.transform(each.xy))
        frame = axes.get_window_extent().padded(-CLEAR * point)
        near = np.mgrid[-1:2, -1:2].reshape(2, -1).T * (size / 2.0 + BESIDE * point)
        middles = start + np.concatenate([near, point * TRIED])
        corners = np.clip(middles - size / 2.0, frame.min, frame.max - size)
        boxes = np.hstack([corners, corners + size])
        apart = np.maximum(np.maximum(corners - start, start - corners - size), 0.0)
        far = np.hypot(*apart.T) / point
        clear = CLEAR * point * np.array([-1.0, -1.0, 1.0, 1.0])
        cost = far + HIDDEN * _holds(boxes + clear, inks[axes]).sum(axis=1)
        leads = start + LEAD * (corners + size / 2.0 - start)
        for other in taken:
            over = ((boxes[:, :2] < other[2:]) & (boxes[:, 2:] > other[:2])).all(axis=1)
            through = _holds(other[None], leads.reshape(-1, 2)).reshape(len(LEAD), -1).any(axis=0)
            cost += COVERED * (over | (through & (far >= LED)))
        best = int(np.argmin(cost))
        each.set(position=(corners[best] - start) / point, ha="left", va="bottom")
        if each.arrow_patch is not None:
            each.arrow_patch.set_visible(far[best] >= LED)
        taken.append(boxes[best])
        if far[best] >= LED:
            inks[axes] = np.concatenate([inks[axes], leads[:, best]])


def _ink(axes: "Axes", point: float) -> FloatArray:
    """Return places (N,2), in dots, that the curves of an axes go through and their dots cover."""
    found = [np.empty((0, 2))]
    for line in axes.lines:
        at = np.asarray(line.get_transform().transform_path(line.get_path()).vertices)
        at = at[np.isfinite(at).all(axis=1)]
        way = np.append(0.0, np.cumsum(np.hypot(*np.diff(at, axis=0).T)))
        if line.get_linestyle() != "None" and at.size:
            along = np.linspace(0.0, way[-1], int(min(way[-1] / SPACED / point, MOST_PLACES)) + 2)
            found.append(np.column_stack([np.interp(along, way, each) for each in at.T]))
        if line.get_marker() != "None":
            around = np.mgrid[-1:2, -1:2].reshape(2, -1).T
            found.append((at[:, None] + AROUND * point * around).reshape(-1, 2))
    return np.concatenate(found)


def _holds(boxes: FloatArray, places: FloatArray) -> BoolArray:
    """Return whether each of the boxes (M,4) holds each of the places (N,2)."""
    inside = (places > boxes[:, None, :2]) & (places < boxes[:, None, 2:])
    return np.asarray(inside.all(axis=2), dtype=np.bool_)


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
    form = {name: getattr(view, name) for name in ("theme", "dpi", "width")}
    changed = {name: each for name, each in form.items() if each != getattr(REPORT, name)}
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
        fonts = logging.getLogger("fontTools")  # It remarks upon the dates inside DejaVu.
        level = fonts.level
        fonts.setLevel(logging.ERROR)
        try:
            kind: Any = {"format": suffix[1:], "metadata": metadata[suffix]}
            figure.savefig(buffer, dpi=view.dpi or figure.dpi, **kind)
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
