"""``gradscope compare``: cells, activations and sequence lengths side by side."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from gradscope.analysis.settings import GIVEN_SETTINGS
from gradscope.cli.analyze import EXIT_INTERRUPTED
from gradscope.cli.command import Call, takes_settings
from gradscope.cli.options import DATA, MODEL, Figure
from gradscope.cli.output import Place, note, progress_bar, show
from gradscope.errors import SettingError
from gradscope.names import ActivationName, CellName
from gradscope.report.files import write_whole
from gradscope.sweep.axes import parse_whole_numbers, parse_words

if TYPE_CHECKING:
    from gradscope.analysis.settings import Settings
    from gradscope.learning.training import Watcher
    from gradscope.model.cells import Cell

EXAMPLES = """\
[bold]Examples[/bold]

  gradscope compare --activation tanh,sigmoid --steps 10,50,100,200 --png compare.png

  gradscope compare --cell elman,gru,lstm --steps log:10:1000:5 --updates 0

  gradscope compare --task adding --steps 20,40,80 --format csv -o compare.csv
"""

Activations = Annotated[
    str,
    typer.Option(
        "--activation",
        help="Activations, as in tanh,sigmoid (default, for gated cells tanh).",
        rich_help_panel=MODEL,
        envvar="GRADSCOPE_ACTIVATIONS",
        show_envvar=False,
        show_default=False,
        metavar="LIST",
    ),
]
Cells = Annotated[
    str,
    typer.Option(
        "--cell",
        help="Recurrent cells, as in elman,gru,lstm (default elman).",
        rich_help_panel=MODEL,
        envvar="GRADSCOPE_CELLS",
        show_envvar=False,
        show_default=False,
        metavar="LIST",
    ),
]
Lengths = Annotated[
    str,
    typer.Option(
        "--steps",
        help="Sequence lengths: a list or a range, start:stop:count or log:start:stop:count.",
        rich_help_panel=DATA,
        envvar="GRADSCOPE_LENGTHS",
        show_envvar=False,
        metavar="LIST",
    ),
]

Word = TypeVar("Word", bound=StrEnum)


@dataclass(frozen=True, eq=False, slots=True)
class Axes:
    """What is set side by side."""

    cells: tuple[CellName, ...]
    activations: tuple[ActivationName, ...]
    lengths: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many networks."""
        return len(self.cells) * len(self.activations) * len(self.lengths)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compare", epilog=EXAMPLES)(compare)


@takes_settings("cell", "activation", "steps", "weights", *GIVEN_SETTINGS)
def compare(
    call: Call,
    activation: Activations = "",
    steps: Lengths = "10,50,100,200",
    cell: Cells = "elman",
    png: Figure = None,
) -> None:
    """Set cells, activations and sequence lengths side by side, all else alike."""
    call.prepare(figure=png)
    cells = _chosen(CellName, cell, "--cell")
    usual = "tanh,sigmoid" if cells == (CellName.ELMAN,) else "tanh"
    activations = _chosen(ActivationName, activation or usual, "--activation")
    lengths = parse_whole_numbers(steps, "--steps")
    from gradscope.analysis.prepare import resolve

    shared = resolve(call.values(cell=cells[0], activation=activations[0], steps=lengths[0]))
    run_comparison(call.place, shared, Axes(cells, activations, lengths), png)


def run_comparison(
    place: Place,
    shared: "Settings",
    axes: Axes,
    figure: Path | None,
) -> None:
    """Run every cell, show the table, draw the picture."""
    from gradscope.report.documents.analysis import analysis_document, comparison_document
    from gradscope.report.documents.rows import CELL_COLUMNS, comparison_rows
    from gradscope.report.terminal.analysis import comparison_page
    from gradscope.report.words.cells import short_name
    from gradscope.report.words.headline import training_sentence
    from gradscope.sweep.compare import compare as run

    total = max(shared.updates, 1) * axes.count
    with progress_bar("comparing", total) as advance:

        def watch_cell(_number: int, cell: "Settings") -> "Watcher":
            text = f"{cell.cell}, {cell.activation}, {cell.steps} steps"

            def watch(_update: int, _loss: float, _norm: float, _params: "Cell") -> None:
                advance(text)

            return watch

        comparison = run(shared, axes.activations, axes.lengths, kinds=axes.cells, watch=watch_cell)
    for each in comparison.analyses:
        said = "" if each.training is None else training_sentence(each.training)
        if said:
            note(f"warning: {short_name(each.settings)}, {each.settings.steps} steps: {said}")
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

            write_whole(
                figure, comparison_picture(comparison, figure.suffix.lower()), force=place.force
            )
            note(f"wrote {figure}")
    if comparison.interrupted:
        note(f"interrupted after {len(comparison.analyses)} of {axes.count}")
        raise typer.Exit(EXIT_INTERRUPTED)


def _chosen(kind: type[Word], text: str, name: str) -> tuple[Word, ...]:
    """Return the words of a list, each of them one that there is."""
    words = tuple(dict.fromkeys(parse_words(text, name)))
    for word in words:
        if word not in list(kind):
            raise SettingError(
                f"{name} is {text!r}, but there is no {word!r}; choose of {', '.join(kind)}"
            )
    return tuple(kind(word) for word in words)
