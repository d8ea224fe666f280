"""``gradscope inspect``: what a weight file holds, and how to analyze it."""

from pathlib import Path
from typing import Annotated

import typer

from gradscope.cli.command import takes_place
from gradscope.cli.help import Command
from gradscope.cli.options import MODEL, Figure, option
from gradscope.cli.output import Place, note, show, write_file

EXAMPLES = """\
gradscope inspect model.pt
gradscope inspect model.keras --png eigenvalues.png
gradscope inspect cell.npz --map W=rnn.h2h.weight --map U=rnn.i2h.weight
"""

Mapping = Annotated[
    list[str] | None,
    option("--map", "Weights of a hand-written cell, letters W, U, b, V, c.", MODEL, "W=NAME"),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("inspect", cls=Command, epilog=EXAMPLES)(inspect)


@takes_place
def inspect(
    place: Place,
    file: Annotated[
        Path,
        typer.Argument(
            help="Weights: .npz, .pt, .pth, .safetensors, .keras, .weights.h5, .h5 or .mat.",
            metavar="FILE",
        ),
    ],
    map: Mapping = None,  # noqa: A002 (the flag's name)
    png: Figure = None,
) -> None:
    """List the recurrent layers of a weight file, their spectra, and how to analyze them."""
    place.prepare(figure=png)
    run_inspection(place, file, tuple(map or ()), png)


def run_inspection(place: Place, file: Path, mapping: tuple[str, ...], png: Path | None) -> None:
    """Show what a weight file holds, draw its eigenvalues."""
    from gradscope.analysis.inspect import inspect as read
    from gradscope.report.documents.inspection import inspection_document, inspection_rows
    from gradscope.report.terminal.inspection import COLUMNS, inspection_page

    inspection = read(file, mapping)
    show(
        place,
        lambda screen: inspection_page(inspection, screen),
        lambda: inspection_document(inspection),
        lambda: (COLUMNS, inspection_rows(inspection)),
    )
    if png is None:
        return
    if not inspection.layers:
        note(f"no picture {png}: there is no recurrent layer to draw")
        return
    from gradscope.report.figures.eigenvalues import eigenvalue_picture

    write_file(png, eigenvalue_picture(inspection, png.suffix.lower()), force=place.force)
