"""The layout of a page: an answer, titled sections within 80 columns, matrices as text."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from gradscope.arrays import LN_10, FloatArray
from gradscope.report.screen import Screen
from gradscope.report.words.numbers import number

DIGITS = 4
"""Significant digits of a number in a lesson: enough to follow a product by hand."""


@dataclass(frozen=True, eq=False, slots=True)
class Section:
    """A title and the lines under it."""

    title: str
    lines: Sequence[str]


@dataclass(frozen=True, eq=False, slots=True)
class Page:
    """An answer in one sentence, and the sections that explain it."""

    answer: str
    sections: Sequence[Section]

    def render(self, screen: Screen) -> RenderableType:
        """Return the page for a terminal."""
        parts: list[RenderableType] = [Text(screen.say(self.answer), style="bold")]
        for section in self.sections:
            parts += [Text(), Text(screen.say(section.title), style="bold")]
            parts += [Padding(Text(screen.say(line)), (0, 0, 0, 2)) for line in section.lines]
        return Group(*parts)


def matrix_lines(label: str, matrix: FloatArray) -> list[str]:
    """Return ``label = [ … ]``, a line for each row of a matrix (a vector is one row)."""
    rows = [[number(float(each), DIGITS) for each in row] for row in np.atleast_2d(matrix)]
    width = max(len(cell) for row in rows for cell in row)
    lines = [f"[ {'  '.join(cell.rjust(width) for cell in row)} ]" for row in rows]
    lead = f"{label} = "
    return [f"{lead if i == 0 else ' ' * len(lead)}{line}" for i, line in enumerate(lines)]


def table_lines(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table of text, its columns set to the right."""
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in (titles, *rows)
    ]


def scientific(nats: float) -> str:
    """Return exp(nats) to three digits, however far outside float64 it lies."""
    if np.isneginf(nats):
        return "0"
    exponent = int(np.floor(nats / LN_10))
    if abs(exponent) < 3:
        return number(float(np.exp(nats)))
    mantissa = float(np.exp(nats - exponent * LN_10))
    if f"{mantissa:.2f}" == "10.00":
        exponent, mantissa = exponent + 1, 1.0
    return f"{mantissa:.2f}e{'−' if exponent < 0 else '+'}{abs(exponent):02d}"
