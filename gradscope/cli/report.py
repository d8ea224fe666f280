"""``gradscope report``: what a sweep's store shows, as a page and as pictures."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
)
from gradscope.cli.output import Place, choose_format, note, prepare_files, show
from gradscope.cli.threads import set_blas_threads
from gradscope.errors import SettingError
from gradscope.report.files import write_whole

if TYPE_CHECKING:
    from gradscope.study.query import Rows

EXAMPLES = """\
[bold]Examples[/bold]

  gradscope report sweep.db --png phase.png

  gradscope report sweep.db --png horizon.png --x gain --y steps --value horizon

  gradscope report sweep.db --png rate.png --kind quantiles --x steps --where "gain = 1"
"""


class Kind(StrEnum):
    """What is drawn."""

    PHASE = "phase"
    QUANTILES = "quantiles"


class Value(StrEnum):
    """What is shown of each cell."""

    RATE = "rate"
    HORIZON = "horizon"


MEASURE = {Value.RATE: "rate_nats_per_step", Value.HORIZON: "horizon"}

KindChoice = Annotated[
    Kind,
    typer.Option(
        "--kind",
        help="The picture: phase (two settings), quantiles (one, such as the steps; over seeds) "
        "(default phase).",
        rich_help_panel=ANALYSIS,
        metavar="WORD",
        show_default=False,
    ),
]
ValueChoice = Annotated[
    Value,
    typer.Option(
        "--value",
        help="What it shows: rate, horizon (default rate).",
        rich_help_panel=ANALYSIS,
        metavar="WORD",
        show_default=False,
    ),
]
Across = Annotated[
    str | None,
    typer.Option(
        "--x",
        help="Swept setting to the right (default: the first swept number).",
        rich_help_panel=ANALYSIS,
        metavar="NAME",
    ),
]
Up = Annotated[
    str | None,
    typer.Option(
        "--y",
        help="Swept setting upwards (default: the next swept number).",
        rich_help_panel=ANALYSIS,
        metavar="NAME",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report", epilog=EXAMPLES)(report)


def report(  # noqa: PLR0913 (each is a flag)
    store: StoreFile,
    *,
    where: Where = None,
    kind: KindChoice = Kind.PHASE,
    value: ValueChoice = Value.RATE,
    x: Across = None,
    y: Up = None,
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

    from gradscope.report.sweep_export import GROUP_COLUMNS, group_rows, store_document
    from gradscope.report.sweep_tables import store_page
    from gradscope.study.aggregate import summarize
    from gradscope.study.query import read_rows

    rows = read_rows(store, where, curves=False)
    if not rows.values:
        raise SettingError(
            f"{store} has no cells{' that fit --where' if where else ''}; sweep first"
        )
    summary = summarize(rows)
    picture = None if png is None else _picture(rows, kind, MEASURE[value], (x, y), png)
    show(
        place,
        lambda screen: store_page(summary, store, screen),
        lambda: store_document(summary, store, rows),
        lambda: (GROUP_COLUMNS, group_rows(summary)),
    )
    if png is not None and picture is not None:
        write_whole(png, picture, force=force)
        note(f"wrote {png}")


def _picture(
    rows: "Rows", kind: Kind, measure: str, axes: tuple[str | None, str | None], file: Path
) -> bytes:
    from gradscope.report.sweep_figures import fan_picture, phase_picture
    from gradscope.study.aggregate import fan_of, field_of, shared_settings

    names = tuple(None if each is None else each.replace("-", "_") for each in axes)
    settings, suffix = shared_settings(rows), file.suffix.lower()
    if kind is Kind.PHASE:
        field = field_of(rows, names[0], names[1], measure)
        rate = field_of(rows, names[0], names[1], MEASURE[Value.RATE])
        return phase_picture(field, rate, settings, suffix)
    return fan_picture(fan_of(rows, names[0], measure), settings, suffix)
