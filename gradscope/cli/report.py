"""``gradscope report``, ``export`` and ``merge``: the stores of sweeps as tables and pictures, as
rows, and joined.
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gradscope.cli.command import Call, takes_place, takes_settings
from gradscope.cli.options import ANALYSIS, DATA, OUTPUT, SETTING_OPTIONS, Figure, Html, option
from gradscope.cli.output import Place, progress_bar, show, write_figures, write_file, write_result
from gradscope.errors import SettingError
from gradscope.names import SweepPicture, SweepValue
from gradscope.report.files import require_free

if TYPE_CHECKING:
    from gradscope.sweep.query import Rows


StoreFile = Annotated[Path, typer.Argument(help="A store that sweep wrote.", metavar="STORE")]
WHERE_HELP = "Only rows that meet this SQL condition on columns."
Where = Annotated[str | None, option("--where", WHERE_HELP, DATA, "SQL")]
MEASURE = dict(zip(SweepValue, ("rate_nats_per_step", "horizon", "lyapunov_exponent"), strict=True))

KIND_HELP = "The picture: phase, over two settings (default if two are swept); quantiles, over one."
KindChoice = Annotated[SweepPicture | None, option("--kind", KIND_HELP, ANALYSIS, "WORD")]
VALUE_HELP = f"What it shows: {', '.join(SweepValue)} (default rate)."
ValueChoice = Annotated[SweepValue, option("--value", VALUE_HELP, ANALYSIS, "WORD")]
X_HELP = "Swept setting on the x axis (default: the first)."
Across = Annotated[str | None, option("--x", X_HELP, ANALYSIS, "NAME")]
Y_HELP = "Swept setting on the y axis (default: the second)."
Up = Annotated[str | None, option("--y", Y_HELP, ANALYSIS, "NAME")]


@takes_place
def report(  # noqa: PLR0913 (each is a flag)
    place: Place,
    store: StoreFile,
    *,
    where: Where = None,
    kind: KindChoice = None,
    value: ValueChoice = SweepValue.RATE,
    x: Across = None,
    y: Up = None,
    png: Figure = None,
    html: Html = None,
) -> None:
    """Summarize a sweep in a table, and draw its phase diagram or quantiles over seeds."""
    place.prepare(html, figures=png)
    from gradscope.report.documents.sweep import group_rows, store_document
    from gradscope.report.html_of_networks import store_html
    from gradscope.report.terminal.sweep import store_page
    from gradscope.sweep.query import read_rows
    from gradscope.sweep.summary import summarize

    rows = read_rows(store, where, curves=html is not None)
    if not rows.values:
        which = " that match --where" if where else ""
        raise SettingError(f"{store} has no cells{which}; run a sweep first")
    if value is SweepValue.LYAPUNOV and not any(rows.column("spectrum")):
        raise SettingError("no cell has Lyapunov exponents; run the sweep with --spectrum")
    summary = summarize(rows)
    made_by = {"command": "report", "store": str(store), "where": where, "kind": kind}
    made_by |= {"value": value, "x": x, "y": y}
    draw = _drawing(rows, {**made_by}) if png else None
    page = store_html(rows, summary, made_by) if html is not None else ""
    document = partial(store_document, rows=rows)
    show(place, (summary, store), store_page, document, group_rows)
    if draw is not None:
        write_figures(place, png, draw)
    if html is not None:
        write_file(html, page.encode(), force=place.force)


def _drawing(rows: "Rows", made_by: dict[str, Any]) -> Callable[[str], bytes]:
    """Return what draws a store as the bytes of a picture, by its ending; ``made_by`` are the
    options that the picture will name.
    """
    from gradscope.report.figures.pages import picture_bytes
    from gradscope.report.figures.phase import phase_figure
    from gradscope.report.figures.quantiles import quantile_figure
    from gradscope.sweep import summary
    from gradscope.sweep.theory import theory_grids

    alone, value = len(summary.swept_axes(rows)) == 1, made_by["value"]
    made_by["kind"] = made_by["kind"] or (SweepPicture.QUANTILES if alone else SweepPicture.PHASE)
    x, y = (made_by[name] and made_by[name].replace("-", "_") for name in ("x", "y"))
    settings = summary.shared_settings(rows)
    measure, rate = MEASURE[value], MEASURE[SweepValue.RATE]
    if value is SweepValue.LYAPUNOV:
        measured = zip(rows.values, rows.column("spectrum"), strict=True)
        rows = replace(rows, values=tuple(row for row, spectrum in measured if spectrum))
        rate = measure
    if made_by["kind"] is SweepPicture.QUANTILES:
        figure = partial(quantile_figure, summary.quantile_curves(rows, x, measure), settings)
    else:
        shown, rates, lags = (
            summary.grid_of_values(rows, x, y, each) for each in (measure, rate, "lags")
        )
        with progress_bar("mean field"):
            theories = theory_grids(rows, shown)
        figure = partial(phase_figure, shown, rates, settings, theories, lags)
    return lambda suffix: picture_bytes(figure(), suffix, settings, made_by)


class ExportFormat(StrEnum):
    """How rows are written."""

    CSV = "csv"
    JSONL = "jsonl"
    NPZ = "npz"
    MARKDOWN = "md"


FORMAT_HELP = "How rows are written: csv, jsonl, npz, md (default: by the extension, else csv)."
RowFormat = Annotated[ExportFormat | None, option("--format", FORMAT_HELP, OUTPUT, "WORD")]


@takes_settings("format", "json", "color", "config", "threads", *SETTING_OPTIONS)
def export(
    call: Call,
    store: StoreFile,
    where: Where = None,
    format: RowFormat = None,  # noqa: A002 (the flag's name)
) -> None:
    """Write the rows of a sweep: settings and results; as jsonl or npz the curves too."""
    output = call.place.output
    ending = "" if output is None else output.suffix.lower().removeprefix(".")
    by_name = ExportFormat(ending) if ending in list(ExportFormat) else ExportFormat.CSV
    chosen = format or by_name
    call.place.prepare()
    if call.place.to_stdout and chosen is ExportFormat.NPZ:
        raise SettingError("--format npz is binary; name a file with -o FILE.npz")

    from gradscope.report.documents.sweep import row_documents, rows_archive
    from gradscope.report.formats import to_csv, to_jsonl, to_markdown
    from gradscope.sweep.query import read_rows

    rows = read_rows(store, where, curves=chosen in (ExportFormat.JSONL, ExportFormat.NPZ))
    if chosen is ExportFormat.NPZ:
        content = rows_archive(rows)
    elif chosen is ExportFormat.JSONL:
        content = to_jsonl(row_documents(rows)).encode()
    else:
        write = to_csv if chosen is ExportFormat.CSV else to_markdown
        content = write(rows.columns, rows.values).encode()
    write_result(output, content, force=call.place.force)


Salvage = Annotated[bool, option("--salvage", "Save what is whole of damaged ones.", OUTPUT)]
Target = Annotated[Path, option("--output -o", "The joined store.", OUTPUT, "FILE")]


@takes_settings("config", "output", *SETTING_OPTIONS)
def merge(
    call: Call,
    stores: Annotated[list[Path], typer.Argument(help="Stores that gradscope sweep wrote.")],
    output: Target,
    *,
    salvage: Salvage = False,
) -> None:
    """Join stores into one: duplicates are resolved, disagreements refused."""
    require_free(output, force=call.place.force)

    from gradscope.report.documents.sweep import merge_document
    from gradscope.report.terminal.sweep import merge_page
    from gradscope.sweep.merge import merge_stores

    merged = merge_stores(stores, output, salvage=salvage)
    row = asdict(merged)
    table = [*row], [[*row.values()]]
    show(call.place, (merged, output), merge_page, merge_document, lambda *_: table)
