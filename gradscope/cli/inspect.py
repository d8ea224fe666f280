"""``gradscope inspect``: what a weight file holds, and how to analyze it."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from gradscope.analysis.settings import SETTINGS
from gradscope.cli.command import takes_place
from gradscope.cli.options import MODEL, Figure, option
from gradscope.cli.output import Place, note, progress_bar, show, titled, write_figures
from gradscope.weights.readers import READABLE

EXAMPLES = """\
gradscope inspect model.pt
gradscope inspect model.keras --png eigenvalues.png
gradscope inspect cell.npz --weight-map W=rnn.h2h.weight --weight-map U=rnn.i2h.weight
"""

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
    run_inspection(place, file, tuple(weight_map or ()), png)


def run_inspection(
    place: Place, file: Path, mapping: tuple[str, ...], figures: Sequence[Path] | None
) -> None:
    """Show what a weight file holds, draw its eigenvalues."""
    from gradscope.analysis.inspect import inspect as read
    from gradscope.report.documents.inspection import inspection_document, inspection_rows
    from gradscope.report.terminal.inspection import COLUMNS, inspection_page

    with progress_bar("reading"):
        inspection = read(file, mapping)
    table = titled(COLUMNS, inspection_rows)
    show(place, (inspection,), inspection_page, inspection_document, table)
    if figures and inspection.layers:
        from gradscope.report.figures.eigenvalues import eigenvalue_picture

        write_figures(figures, partial(eigenvalue_picture, inspection), force=place.force)
    elif figures:
        note(f"no picture {figures[0]}: there is no recurrent layer to draw")
