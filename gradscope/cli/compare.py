"""``gradscope compare``: cells, activations and sequence lengths side by side."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from gradscope.analysis.settings import IMPORTED_SETTINGS
from gradscope.cli.analyze import EXIT_INTERRUPTED
from gradscope.cli.command import Call, takes_settings
from gradscope.cli.help import Command
from gradscope.cli.options import DATA, MODEL, Figure, option
from gradscope.cli.output import Place, note, progress_bar, show, write_file
from gradscope.errors import SettingError
from gradscope.names import ActivationName, CellName
from gradscope.sweep.axes import parse_whole_numbers, parse_words

if TYPE_CHECKING:
    from gradscope.analysis.settings import Settings
    from gradscope.learning.training import Watcher
    from gradscope.model.cells import Cell

EXAMPLES = """\
gradscope compare --activation tanh,sigmoid --steps 10,50 --png lengths.png
gradscope compare --cell elman,gru,lstm --steps log:10:1000:5 --updates 0
gradscope compare --task adding --steps 20,40,80 --format csv -o compare.csv
"""

Activations = Annotated[
    str | None,
    option(
        "--activation",
        "Activations to compare (default tanh,sigmoid; for gated cells tanh).",
        MODEL,
        "LIST",
        envvar="GRADSCOPE_ACTIVATIONS",
    ),
]
Cells = Annotated[
    str,
    option(
        "--cell",
        f"Cells to compare: {', '.join(CellName)} (default elman).",
        MODEL,
        "LIST",
        envvar="GRADSCOPE_CELLS",
    ),
]
Lengths = Annotated[
    str,
    option(
        "--steps",
        "Sequence lengths: a list or start:stop:count (default 10,50,100,200).",
        DATA,
        "LIST",
        envvar="GRADSCOPE_LENGTHS",
    ),
]

Word = TypeVar("Word", bound=StrEnum)


@dataclass(frozen=True, eq=False, slots=True)
class Axes:
    """The settings that are compared."""

    cells: tuple[CellName, ...]
    activations: tuple[ActivationName, ...]
    lengths: tuple[int, ...]

    @property
    def count(self) -> int:
        """The number of networks."""
        return len(self.cells) * len(self.activations) * len(self.lengths)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compare", cls=Command, epilog=EXAMPLES)(compare)


@takes_settings("cell", "activation", "steps", "weights", *IMPORTED_SETTINGS)
def compare(
    call: Call,
    cells: Cells = "elman",
    activations: Activations = None,
    lengths: Lengths = "10,50,100,200",
    png: Figure = None,
) -> None:
    """Compare cells, activations and sequence lengths, all other settings equal."""
    call.place.prepare(figure=png)
    cell_names = _chosen(CellName, cells, "--cell")
    usual = "tanh,sigmoid" if cell_names == (CellName.ELMAN,) else "tanh"
    axes = Axes(
        cell_names,
        _chosen(ActivationName, activations or usual, "--activation"),
        parse_whole_numbers(lengths, "--steps"),
    )
    from gradscope.analysis.prepare import resolve

    shared = call.values(cell=axes.cells[0], activation=axes.activations[0], steps=axes.lengths[0])
    run_comparison(call.place, resolve(shared), axes, png)


def run_comparison(place: Place, shared: "Settings", axes: Axes, figure: Path | None) -> None:
    """Analyze every network, show the table, draw the picture."""
    from gradscope.report.documents.analysis import analysis_document, comparison_document
    from gradscope.report.documents.rows import CELL_COLUMNS, comparison_rows
    from gradscope.report.terminal.analysis import comparison_page
    from gradscope.report.words.cells import short_name
    from gradscope.report.words.headline import training_sentence
    from gradscope.sweep.compare import compare as run

    total = max(shared.updates, 1) * axes.count
    with progress_bar("comparing", total) as move:

        def watch_cell(_number: int, cell: "Settings") -> "Watcher":
            text = f"{cell.cell}, {cell.activation}, {cell.steps} steps"

            def watch(_update: int, _loss: float, _norm: float, _params: "Cell") -> None:
                move(text)

            return watch

        comparison = run(shared, axes.activations, axes.lengths, kinds=axes.cells, watch=watch_cell)
    for each in comparison.analyses:
        ended = "" if each.training is None else training_sentence(each.training)
        if ended:
            note(f"warning: {short_name(each.settings)}, {each.settings.steps} steps: {ended}")
    if comparison.analyses:
        show(
            place,
            lambda screen: comparison_page(comparison, screen),
            lambda: comparison_document(comparison),
            lambda: (CELL_COLUMNS, comparison_rows(comparison)),
            lambda: map(analysis_document, comparison.analyses),
        )
        if figure is not None:
            from gradscope.report.figures.comparison import comparison_picture

            picture = comparison_picture(comparison, figure.suffix.lower())
            write_file(figure, picture, force=place.force)
    if comparison.interrupted:
        note(f"interrupted after {len(comparison.analyses)} of {axes.count} networks")
        raise typer.Exit(EXIT_INTERRUPTED)


def _chosen(kind: type[Word], text: str, name: str) -> tuple[Word, ...]:
    """Return the words of a list as members of an enum."""
    words = tuple(dict.fromkeys(parse_words(text, name)))
    for word in words:
        if word not in list(kind):
            raise SettingError(
                f"{name} is {text!r}, but there is no {word!r}; choose from {', '.join(kind)}"
            )
    return tuple(kind(word) for word in words)
