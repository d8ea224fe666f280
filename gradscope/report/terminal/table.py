"""What terminal pages are made of: tables without lines, and titled lists of sentences."""

from collections.abc import Iterable, Sequence

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gradscope.report.screen import Screen

WORDY = frozenset(
    {"", "activation", "network", "gradient", "quantity", "against"}
    | {"layer", "kind", "gate", "array", "shape", "stored as"}
)
"""Columns of words, set to the left; numbers are set to the right."""


def bullets(title: str, sentences: Sequence[str], screen: Screen) -> list[RenderableType]:
    """Return a title and, below it, a bullet for each sentence."""
    points = Table.grid(padding=(0, 1))
    for sentence in sentences:
        points.add_row(Text(screen.say("•")), Text(screen.say(sentence)))
    return [Text(title, style="bold"), Padding(points, (0, 0, 0, 1))]


def columns_of(titles: Sequence[str], screen: Screen, gap: int) -> Table:
    """Return an empty table with these columns, numbers to the right."""
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0))
    for title in titles:
        header = "\n".join(screen.say(line) for line in title.split("\n"))
        table.add_column(
            Text(header), justify="left" if title in WORDY else "right", overflow="fold"
        )
    return table


def add_row(table: Table, cells: Iterable[str], screen: Screen) -> None:
    """Add a row of cells as this screen can show them."""
    table.add_row(*(Text(screen.say(cell)) for cell in cells))
