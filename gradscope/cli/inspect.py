"""``gradscope inspect``: what a weight file holds, and how to analyze it."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from gradscope.analysis.settings import SETTINGS
from gradscope.cli.command import takes_place
from gradscope.cli.options import MODEL, Figure, option
from gradscope.cli.output import Place, note, progress_bar, show, write_figures
from gradscope.weights.readers import READABLE

MAP_HELP = SETTINGS["weight_map"].help
Mapping = Annotated[list[str] | None, option("--weight-map", MAP_HELP, MODEL, "W=NAME")]


@takes_place
def inspect(
    place: Place,
    file: Annotated[Path, typer.Argument(help=f"Weights: {READABLE}.", metavar="FILE")],
    weight_map: Mapping = None,
    png: Figure = None,
) -> None:
    """List the recurrent layers of a weight file, their spectra, and how to analyze them."""
    place.prepare(figures=png)
    from gradscope.analysis.inspect import inspect as read
    from gradscope.report.documents.inspection import inspection_document, inspection_rows
    from gradscope.report.terminal.inspection import inspection_page

    with progress_bar("reading"):
        inspection = read(file, tuple(weight_map or ()))
    show(place, (inspection,), inspection_page, inspection_document, inspection_rows)
    if png and inspection.layers:
        from gradscope.report.figures.eigenvalues import eigenvalue_picture

        write_figures(png, partial(eigenvalue_picture, inspection), force=place.force)
    elif png:
        note(f"no picture {png[0]}: there is no recurrent layer to draw")
