"""The layout of a page: an answer, titled sections within 80 columns, matrices as text."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from gradscope.arrays import LN_10, FloatArray
from gradscope.report.screen import Screen
from gradscope.report.words.numbers import number

DIGITS = 4
"""Significant digits of a number in a lesson: enough to follow a product by hand."""


class Page(NamedTuple):
    """An answer in one sentence, and the sections that explain it: titles, and lines under each."""

    answer: str
    sections: Iterable[tuple[str, Sequence[str]]]

    def render(self, screen: Screen) -> RenderableType:
        """Return the page for a terminal."""
        parts: list[RenderableType] = [Text(screen.say(self.answer), style="bold")]
        for title, lines in self.sections:
            parts += [Text(), Text(screen.say(title), style="bold")]
            parts += [Padding(Text(screen.say(line)), (0, 0, 0, 2)) for line in lines]
        return Group(*parts)


def matrix_lines(label: str, matrix: FloatArray) -> list[str]:
    """Return ``label = [ … ]``, a line for each row of a matrix (a vector is one row)."""
    rows = [[number(float(each), DIGITS) for each in row] for row in np.atleast_2d(matrix)]
    width = max(len(cell) for row in rows for cell in row)
    lines = [f"[ {'  '.join(cell.rjust(width) for cell in row)} ]" for row in rows]
    leads = [f"{label} = ", *[" " * (len(label) + 3)] * (len(rows) - 1)]
    return [lead + line for lead, line in zip(leads, lines, strict=True)]


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
