"""``gradscope report``: what a sweep's store shows, as a page and as pictures."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gradscope.cli.command import set_blas_threads
from gradscope.cli.export import StoreFile, Where
from gradscope.cli.options import (
    ANALYSIS,
    Color,
    ColorWhen,
    Debug,
    Figure,
    Force,
    FormatChoice,
    Json,
    Output,
    option,
)
from gradscope.cli.output import Place, choose_format, note, prepare_files, show
from gradscope.errors import SettingError
from gradscope.names import SweepPicture, SweepValue
from gradscope.report.files import write_whole

if TYPE_CHECKING:
    from gradscope.report.provenance.recipe import StoreSource
    from gradscope.sweep.query import Rows

EXAMPLES = """\
[bold]Examples[/bold]

  gradscope report sweep.db --png phase.png

  gradscope report sweep.db --png horizon.png --x gain --y steps --value horizon

  gradscope report sweep.db --png rate.png --kind quantiles --x steps --where "gain = 1"
"""


MEASURE = {SweepValue.RATE: "rate_nats_per_step", SweepValue.HORIZON: "horizon"}

KIND = (
    "The picture: phase (two settings), quantiles (one, such as the steps; over seeds) (default "
    "phase)."
)
VALUE = "What it shows: rate, horizon (default rate)."
ACROSS = "Swept setting to the right (default: the first swept number)."
UP = "Swept setting upwards (default: the next swept number)."


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report", epilog=EXAMPLES)(report)


def report(  # noqa: PLR0913 (each is a flag)
    store: StoreFile,
    *,
    where: Where = None,
    kind: Annotated[
        SweepPicture, option(KIND, ANALYSIS, "--kind", metavar="WORD")
    ] = SweepPicture.PHASE,
    value: Annotated[
        SweepValue, option(VALUE, ANALYSIS, "--value", metavar="WORD")
    ] = SweepValue.RATE,
    x: Annotated[str | None, option(ACROSS, ANALYSIS, "--x", metavar="NAME")] = None,
    y: Annotated[str | None, option(UP, ANALYSIS, "--y", metavar="NAME")] = None,
    png: Figure = None,
    output: Output = None,
    format: FormatChoice = None,  # noqa: A002 (the flag's name)
    json: Json = False,
    force: Force = False,
    color: ColorWhen = Color.AUTO,
    debug: Debug = False,  # noqa: ARG001 (read where errors are shown)
) -> None:
    """Show what a sweep found: a table, and a phase diagram or quantiles as a picture."""
    set_blas_threads(None)
    prepare_files((output,), force=force, figure=png)
    place = Place(choose_format(format, json, output), output, color, force)

    from gradscope.report.provenance.recipe import StoreSource

    run_report(place, StoreSource(str(store), where, kind, value, x, y), png)


def run_report(place: Place, source: "StoreSource", png: Path | None) -> None:
    """Show the table of a store, draw its picture."""
    from gradscope.report.documents.sweep import GROUP_COLUMNS, group_rows, store_document
    from gradscope.report.terminal.sweep import store_page
    from gradscope.sweep.query import read_rows
    from gradscope.sweep.summary import summarize

    store = Path(source.store)
    rows = read_rows(store, source.where, curves=False)
    if not rows.values:
        raise SettingError(
            f"{store} has no cells{' that fit --where' if source.where else ''}; sweep first"
        )
    summary = summarize(rows)
    picture = None if png is None else _picture(rows, source, png.suffix.lower())
    show(
        place,
        lambda screen: store_page(summary, store, screen),
        lambda: store_document(summary, store, rows),
        lambda: (GROUP_COLUMNS, group_rows(summary)),
    )
    if png is not None and picture is not None:
        write_whole(png, picture, force=place.force)
        note(f"wrote {png}")


def _picture(rows: "Rows", source: "StoreSource", suffix: str) -> bytes:
    from gradscope.report.figures.phase import phase_picture
    from gradscope.report.figures.quantiles import quantile_picture
    from gradscope.sweep.summary import grid_of_values, quantile_curves, shared_settings

    x, y = (None if each is None else each.replace("-", "_") for each in (source.x, source.y))
    settings, made_by = shared_settings(rows), source.made_by()
    measure, rate = MEASURE[source.value], MEASURE[SweepValue.RATE]
    if source.kind is SweepPicture.QUANTILES:
        return quantile_picture(quantile_curves(rows, x, measure), settings, suffix, made_by)
    fields = (grid_of_values(rows, x, y, each) for each in (measure, rate))
    return phase_picture(*fields, settings, suffix, made_by)
