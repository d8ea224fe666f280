"""``gradscope report``: a sweep's store as a table and as pictures."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from gradscope.cli.command import takes_place
from gradscope.cli.export import StoreFile, Where
from gradscope.cli.options import ANALYSIS, Figure, Html, option
from gradscope.cli.output import Place, show, titled, write_figures, write_file
from gradscope.errors import SettingError
from gradscope.names import SweepPicture, SweepValue

if TYPE_CHECKING:
    from gradscope.report.provenance.recipe import StoreSource
    from gradscope.sweep.query import Rows

EXAMPLES = """\
gradscope report sweep.db --png phase.png
gradscope report sweep.db --png horizon.png --x gain --y steps --value horizon
gradscope report sweep.db --png rate.png --kind quantiles --x steps
"""

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
def report(  # noqa: PLR0913 (a parameter is an option)
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
    from gradscope.report.provenance.recipe import StoreSource

    run_report(place, StoreSource(str(store), where, kind, value, x, y), png, html)


def run_report(
    place: Place,
    source: "StoreSource",
    figures: Sequence[Path] | None,
    html: Path | None = None,
) -> None:
    """Show the table of a store and draw its picture."""
    from gradscope.report.documents.sweep import GROUP_COLUMNS, group_rows, store_document
    from gradscope.report.html import store_html
    from gradscope.report.terminal.sweep import store_page
    from gradscope.sweep.query import read_rows
    from gradscope.sweep.summary import summarize

    store = Path(source.store)
    rows = read_rows(store, source.where, curves=html is not None)
    if not rows.values:
        which = " that match --where" if source.where else ""
        raise SettingError(f"{store} has no cells{which}; run a sweep first")
    if source.value is SweepValue.LYAPUNOV and not any(rows.column("spectrum")):
        raise SettingError("no cell has Lyapunov exponents; run the sweep with --spectrum")
    summary = summarize(rows)
    draw = _drawing(rows, source) if figures else None
    page = "" if html is None else store_html(rows, summary, source)
    document = partial(store_document, rows=rows)
    table = titled(GROUP_COLUMNS, lambda *_: group_rows(summary))
    show(place, (summary, store), store_page, document, table)
    if draw is not None:
        write_figures(figures, draw, force=place.force)
    if html is not None:
        write_file(html, page.encode(), force=place.force)


def _drawing(rows: "Rows", source: "StoreSource") -> Callable[[str], bytes]:
    """Return what draws a store as the bytes of a picture, by its ending."""
    from gradscope.report.figures.phase import phase_figure
    from gradscope.report.figures.quantiles import quantile_figure
    from gradscope.report.figures.style import picture_bytes
    from gradscope.sweep.summary import (
        grid_of_values,
        quantile_curves,
        shared_settings,
        swept_axes,
    )

    if source.kind is None:
        alone = len(swept_axes(rows)) == 1
        source = replace(source, kind=SweepPicture.QUANTILES if alone else SweepPicture.PHASE)
    x, y = (None if each is None else each.replace("-", "_") for each in (source.x, source.y))
    settings, made_by = shared_settings(rows), source.made_by()
    measure, rate = MEASURE[source.value], MEASURE[SweepValue.RATE]
    if source.value is SweepValue.LYAPUNOV:
        measured = zip(rows.values, rows.column("spectrum"), strict=True)
        rows = replace(rows, values=tuple(row for row, spectrum in measured if spectrum))
        rate = measure
    if source.kind is SweepPicture.QUANTILES:
        figure = partial(quantile_figure, quantile_curves(rows, x, measure), settings)
    else:
        shown, rates = (grid_of_values(rows, x, y, each) for each in (measure, rate))
        figure = partial(phase_figure, shown, rates, settings)
    return lambda suffix: picture_bytes(figure(), suffix, settings, made_by)
