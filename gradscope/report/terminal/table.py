"""What terminal pages are made of: an opening, tables without lines, titled lists of sentences; and
of lessons: titled sections within 80 columns, matrices as text.
"""

import re
from collections.abc import Container, Iterable, Sequence
from itertools import zip_longest
from textwrap import wrap
from typing import Literal, NamedTuple

import numpy as np
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gradscope.arrays import LN_10, FloatArray
from gradscope.report.screen import Screen
from gradscope.report.words.headline import REGIME_LOOKS
from gradscope.report.words.numbers import number

WORDY = frozenset(
    {"", "activation", "network", "gradient", "quantity", "against"}
    | {"layer", "kind", "gate", "array", "shape", "stored as"}
)
"""Columns of words, set to the left."""

NARROWEST = 12
"""Columns that are left to words in a table that is too wide."""


def opening(answer: str, about: str, screen: Screen) -> list[RenderableType]:
    """Return what a page begins with: the answer, what it is about, a blank line."""
    lines = (Text(screen.say(f"{answer}."), style="bold"), Text(screen.say(about), style="dim"))
    return [*lines, Text()]


def bullets(
    title: str, sentences: Sequence[str], screen: Screen, commands: Sequence[str | None] = ()
) -> list[RenderableType]:
    """Return a title and, below it, a bullet for each sentence, with its command, if it has one, on
    lines that a shell takes as one.
    """
    parts: list[RenderableType] = [Text(title, style="bold")]
    for sentence, command in zip_longest(sentences, commands):
        point = Table.grid(padding=(0, 1))
        point.add_row(Text(screen.say("•")), Text(screen.say(sentence)))
        parts.append(Padding(point, (0, 0, 0, 1)))
        parts += [] if command is None else [typed(command, screen)]
    return parts


def typed(command: str, screen: Screen) -> Text:
    """Return a command as it is copied: what is quoted stays on one line, however long."""
    lines = (f"   {line}" for line in command_lines(command, screen))
    return Text("\n".join(lines), no_wrap=True, overflow="ignore")


def command_lines(command: str, screen: Screen) -> list[str]:
    """Return a command in lines that a shell takes as one, indented by up to six columns."""
    # A line is broken before an option, and never within quotes.
    kept, line = r"""'[^']*'|"[^"]*"| (?!--)""", screen.say(command)
    joined = re.sub(kept, lambda part: part[0].replace(" ", "\0"), line)
    lines = wrap(joined, screen.width - 8, break_long_words=False, break_on_hyphens=False)
    return " \\\n".join(lines).replace("\0", " ").split("\n")


def table_of(
    titles: Sequence[str],
    rows: Iterable[Sequence[str]],
    screen: Screen,
    *,
    gap: int,
    left: Container[str] = WORDY,
) -> Table:
    """Return a table without rules, numbers to the right; an empty row is a blank line, and the
    symbol of a regime gives its colour. What is too wide is broken between words, and names after a
    dot, a dash, a slash or an underscore.
    """
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0))
    heads = ["\n".join(map(screen.say, title.split("\n"))) for title in titles]
    shown = [[screen.say(cell) for cell in row] for row in rows]
    widths, slack = [], []
    for title, head, *column in zip(titles, heads, *filter(None, shown), strict=True):
        most = NARROWEST if title in left else screen.width
        words = [min(len(word), most) for cell in column for word in cell.split()]
        widths.append(max(1, *map(len, (*head.split("\n"), *column))))
        slack.append(widths[-1] - max((1, *map(len, head.split()), *words)))
    for _ in range(sum(widths) + gap * (len(widths) - 1) - screen.width):
        place = slack.index(max(slack))
        widths[place] -= slack[place] > 0
        slack[place] -= 1
    for title, head, width in zip(titles, heads, widths, strict=True):
        side: Literal["left", "right"] = "left" if title in left else "right"
        table.add_column(_colored(head, screen), justify=side, overflow="fold", width=width)
    for row in shown:
        broken = (_broken(cell, width) for cell, width in zip(row, widths, strict=False))
        table.add_row(*(_colored(cell, screen) for cell in broken))
    return table


def _broken(cell: str, width: int) -> str:
    part = rf"\S{{1,{width}}}"
    parts = re.compile(rf"{part}(?:(?<=[._/-])|$)|{part}")
    return re.sub(r"\S+", lambda name: "\n".join(parts.findall(name[0])), cell)


def _colored(cell: str, screen: Screen) -> Text:
    """Return a cell in the colour of the regime whose symbol it begins with, if with any."""
    first = cell.split(" ", maxsplit=1)[0].split("\n", maxsplit=1)[0]
    looks = (each for each in REGIME_LOOKS.values() if screen.say(each.symbol) == first)
    return Text(cell, next((each.terminal for each in looks), ""))


def first_rows(
    titles: Sequence[str], rows: Sequence[Sequence[str]], screen: Screen, *, of: int, all_in: str
) -> list[RenderableType]:
    """Return a table of the first of so many rows, and where the others are."""
    rest = Text(screen.say(f"… and {of - len(rows)} more (all in {all_in})"), style="dim")
    return [table_of(titles, rows, screen, gap=2), *[rest][: of - len(rows)]]


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
