"""``gradscope inspect``: what a weight file holds, and how to analyse it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gradscope.cli.command import set_blas_threads
from gradscope.cli.options import (
    MODEL,
    Color,
    ColorWhen,
    Debug,
    Figure,
    Force,
    FormatChoice,
    Json,
    Output,
    Threads,
)
from gradscope.cli.output import Place, choose_format, note, prepare_files, require_stdout, show
from gradscope.report.files import write_whole
from gradscope.weights.readers import READABLE

if TYPE_CHECKING:
    from gradscope.analysis.inspect import Inspection

EXAMPLES = """\
[bold]Examples[/bold]

  gradscope inspect model.pt

  gradscope inspect model.keras --png eigenvalues.png

  gradscope inspect cell.npz --weight-map W=rnn.h2h.weight --weight-map U=rnn.i2h.weight --json
"""

Mapping = Annotated[
    list[str] | None,
    typer.Option(
        "--weight-map",
        help="Name the weights of a hand-written cell, LETTER=NAME; letters W, U, b, V, c.",
        rich_help_panel=MODEL,
        metavar="W=NAME",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("inspect", epilog=EXAMPLES)(inspect)


def inspect(  # noqa: PLR0913, PLR0917 (one for each option)
    file: Annotated[
        Path,
        typer.Argument(
            help=f"Weights: {READABLE}.",
            metavar="FILE",
        ),
    ],
    weight_map: Mapping = None,
    output: Output = None,
    format: FormatChoice = None,  # noqa: A002 (the flag's name)
    json: Json = False,
    png: Figure = None,
    force: Force = False,
    color: ColorWhen = Color.AUTO,
    threads: Threads = None,
    debug: Debug = False,  # noqa: ARG001 (read where errors are shown)
) -> None:
    """Look into a weight file: its recurrent layers, their spectra, and how to analyse it."""
    set_blas_threads(threads)
    place = Place(choose_format(format, json, output), output, color, force)
    if place.to_stdout:
        require_stdout()
    prepare_files((output,), force=force, figure=png)
    run_inspection(place, file, tuple(weight_map or ()), png)


def run_inspection(place: Place, file: Path, mapping: tuple[str, ...], png: Path | None) -> None:
    """Show what a weight file holds, draw its eigenvalues."""
    from gradscope.analysis.inspect import inspect as look

    inspection = look(file, mapping)
    _show(place, inspection)
    if png is not None:
        _draw(inspection, png, force=place.force)


def _show(place: Place, inspection: "Inspection") -> None:
    from gradscope.report.documents.inspection import inspection_document, inspection_rows
    from gradscope.report.terminal.inspection import COLUMNS, inspection_page

    show(
        place,
        lambda screen: inspection_page(inspection, screen),
        lambda: inspection_document(inspection),
        lambda: (COLUMNS, inspection_rows(inspection)),
    )


def _draw(inspection: "Inspection", png: Path, *, force: bool) -> None:
    from gradscope.report.figures.eigenvalues import eigenvalue_picture

    if not inspection.layers:
        note(f"no picture {png}: there is no recurrent layer to draw")
        return
    write_whole(png, eigenvalue_picture(inspection, png.suffix.lower()), force=force)
    note(f"wrote {png}")
