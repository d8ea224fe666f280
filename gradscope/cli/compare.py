"""``gradscope compare``: activations and sequence lengths side by side."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gradscope.cli.analyze import EXIT_INTERRUPTED
from gradscope.cli.command import Call, takes_settings
from gradscope.cli.options import DATA, MODEL, Figure
from gradscope.cli.output import Place, note, progress_bar, show
from gradscope.errors import SettingError
from gradscope.names import ActivationName
from gradscope.report.files import write_whole
from gradscope.study.ranges import parse_whole_numbers, parse_words

if TYPE_CHECKING:
    from gradscope.learning.training import Watcher
    from gradscope.model.cells import ElmanParameters
    from gradscope.study.config import Settings

EXAMPLES = """\
[bold]Examples[/bold]

  gradscope compare --activation tanh,sigmoid --steps 10,50,100,200 --png compare.png

  gradscope compare --activation tanh,relu,sigmoid --steps log:10:1000:5 --updates 0

  gradscope compare --task adding --steps 20,40,80 --format csv -o compare.csv
"""

Activations = Annotated[
    str,
    typer.Option(
        "--activation",
        help="Activations, as in tanh,sigmoid.",
        rich_help_panel=MODEL,
        envvar="GRADSCOPE_ACTIVATIONS",
        show_envvar=False,
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


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compare", epilog=EXAMPLES)(compare)


@takes_settings("activation", "steps")
def compare(
    call: Call,
    activation: Activations = "tanh,sigmoid",
    steps: Lengths = "10,50,100,200",
    png: Figure = None,
) -> None:
    """Set activations and sequence lengths side by side, all else alike."""
    call.prepare(figure=png)
    activations = _activations(activation)
    lengths = parse_whole_numbers(steps, "--steps")
    shared = call.settings(activation=activations[0], steps=lengths[0])
    run_comparison(call.place, shared, activations, lengths, png)


def run_comparison(
    place: Place,
    shared: "Settings",
    activations: tuple[ActivationName, ...],
    lengths: tuple[int, ...],
    figure: Path | None,
) -> None:
    """Run every cell, show the table, draw the picture."""
    from gradscope.report.documents import analysis_document, comparison_document
    from gradscope.report.rows import CELL_COLUMNS, comparison_rows
    from gradscope.report.tables import comparison_page
    from gradscope.study.study import compare as run

    total = max(shared.updates, 1) * len(activations) * len(lengths)
    with progress_bar("comparing", total) as advance:

        def watch_cell(_number: int, cell: "Settings") -> "Watcher":
            text = f"{cell.activation}, {cell.steps} steps"

            def watch(_update: int, _loss: float, _norm: float, _params: "ElmanParameters") -> None:
                advance(text)

            return watch

        comparison = run(shared, activations, lengths, watch=watch_cell)
    if comparison.analyses:
        show(
            place,
            lambda screen: comparison_page(comparison, screen),
            lambda: comparison_document(comparison),
            lambda: (CELL_COLUMNS, comparison_rows(comparison)),
            lambda: map(analysis_document, comparison.analyses),
        )
        if figure is not None:
            from gradscope.report.figures import comparison_picture

            write_whole(
                figure, comparison_picture(comparison, figure.suffix.lower()), force=place.force
            )
            note(f"wrote {figure}")
    if comparison.interrupted:
        note(f"interrupted after {len(comparison.analyses)} of {len(activations) * len(lengths)}")
        raise typer.Exit(EXIT_INTERRUPTED)


def _activations(text: str) -> tuple[ActivationName, ...]:
    words = tuple(dict.fromkeys(parse_words(text, "--activation")))
    for word in words:
        if word not in list(ActivationName):
            choices = ", ".join(ActivationName)
            raise SettingError(
                f"--activation is {text!r}, but there is no {word!r}; choose of {choices}"
            )
    return tuple(ActivationName(word) for word in words)
