"""``gradscope check``: whether the instrument measures right, here and now."""

import typer

from gradscope.cli.analyze import EXIT_CHECK_FAILED
from gradscope.cli.command import Call, takes_settings
from gradscope.cli.output import show

EXAMPLES = """\
[bold]Examples[/bold]

  gradscope check

  gradscope check --activation sigmoid --hidden 32 --steps 50

  gradscope check --task copy --steps 30 --json
"""

SMALL = {"hidden": 8, "steps": 12, "sequences": 3, "updates": 0}
"""A network on which every comparison takes well under a second; any of it can be set."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("check", epilog=EXAMPLES)(check)


@takes_settings(
    "updates", "batch", "optimizer", "learning_rate", "clip_norm", "clip_value", "truncate"
)
def check(call: Call) -> None:
    """Check gradient, shares, Jacobians and causes against independent numbers."""
    call.prepare()
    settings = call.settings(defaults=SMALL)

    from gradscope.report.documents import check_document
    from gradscope.report.rows import CHECK_COLUMNS, check_rows
    from gradscope.report.tables import check_page
    from gradscope.study.check import check as run

    rows = run(settings)
    show(
        call.place,
        lambda screen: check_page(rows, screen),
        lambda: check_document(rows, settings.as_dict()),
        lambda: (CHECK_COLUMNS, check_rows(rows)),
    )
    if not all(row.passed for row in rows):
        raise typer.Exit(EXIT_CHECK_FAILED)
