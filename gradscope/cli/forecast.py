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
LAGS_HELP = f"Lags to ask about: a list or range (default {LAGS})."
Lags = Annotated[str, option("--lags", LAGS_HELP, DATA, "LIST")]
BUDGETS_HELP = f"Numbers of updates (default {BUDGETS})."
Budgets = Annotated[str, option("--budgets", BUDGETS_HELP, TRAINING, "LIST")]


@takes_settings("updates", "delay", "required_lag", "weights", "max_lag", "vanishing")
def forecast(
    call: Call, *, lags: Lags = LAGS, budgets: Budgets = BUDGETS, png: Figure = None
) -> None:
    """Say which lags a network will learn, before any training."""
    call.place.prepare(figures=png)
    asked = sorted(set(parse_values("max_lag", lags, "--lags")))
    budget = sorted(set(parse_values("updates", budgets, "--budgets")))
    from gradscope.analysis.prepare import resolve
    from gradscope.remedy.forecast import forecast as expect
    from gradscope.report.documents.forecast import forecast_document, forecast_rows
    from gradscope.report.terminal.forecast import forecast_page

    settings = resolve(call.values())
    with progress_bar("asking about lags"):
        found = expect(settings, asked, budget)
    show(call.place, (found, settings), forecast_page, forecast_document, forecast_rows)
    if png:
        from gradscope.report.figures.forecast import forecast_picture

        write_figures(png, partial(forecast_picture, found, settings), force=call.place.force)
