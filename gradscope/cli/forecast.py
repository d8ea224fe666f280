"""``gradscope forecast``: which lags a network will learn, before any training."""

from functools import partial
from typing import Annotated

from gradscope.cli.command import Call, takes_settings
from gradscope.cli.options import DATA, TRAINING, Figure, option
from gradscope.cli.output import progress_bar, show, write_figures
from gradscope.sweep.axes import parse_values

EXAMPLES = """\
gradscope forecast --input-scale 0.1 --png forecast.png
gradscope forecast --cell lstm --lags log:5:200:8 --budgets 200,2000
gradscope forecast --task adding --lags 10,20,40 --json
"""
LAGS, BUDGETS = "log:5:200:8", "100,200,500,1000,2000"
Lags = Annotated[
    str,
    option("--lags", f"Lags to ask about: a list or range (default {LAGS}).", DATA, "LIST"),
]
Budgets = Annotated[
    str,
    option("--budgets", f"Numbers of updates (default {BUDGETS}).", TRAINING, "LIST"),
]


@takes_settings("updates", "delay", "required_lag", "weights", "load", "max_lag")
def forecast(
    call: Call, *, lags: Lags = LAGS, budgets: Budgets = BUDGETS, png: Figure = None
) -> None:
    """Say for each lag and number of updates whether a network will learn it: yes, no or
    undecided. Nothing is trained.
    """
    call.place.prepare(figures=png)
    chosen = sorted(set(parse_values("max_lag", lags, "--lags")))
    updates = sorted(set(parse_values("updates", budgets, "--budgets")))
    from gradscope.analysis.prepare import resolve
    from gradscope.remedy.forecast import forecast as expect
    from gradscope.report.documents.forecast import forecast_document, forecast_rows
    from gradscope.report.terminal.forecast import forecast_page

    settings = resolve(call.values())
    with progress_bar("asking about lags", len(chosen)) as move:
        found = expect(settings, chosen, updates, ended=lambda: move("lags"))
    show(
        call.place,
        lambda screen: forecast_page(found, settings, screen),
        lambda: forecast_document(found, settings),
        lambda: forecast_rows(found),
    )
    if png:
        from gradscope.report.figures.forecast import forecast_picture

        write_figures(png, partial(forecast_picture, found, settings), force=call.place.force)
