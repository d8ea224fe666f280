"""``gradscope spectrum``: singular values by lag, Lyapunov exponents, theory."""

import typer

from gradscope.cli.analyze import leave, training_bar
from gradscope.cli.command import Call, takes_settings
from gradscope.cli.options import Figure, Load
from gradscope.cli.output import note, show
from gradscope.report.files import write_whole

EXAMPLES = """\
[bold]Examples[/bold]

  gradscope spectrum --init gaussian --gain 1.5 --hidden 64

  gradscope spectrum --load run.npz --png spectrum.png

  gradscope spectrum --activation sigmoid --steps 500 --json | jq '.spectrum.lyapunov'
"""

UNTRAINED = {"updates": 0}
"""The network as drawn, unless updates are asked for."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("spectrum", epilog=EXAMPLES)(spectrum)


@takes_settings("map", "shares", "spectrum", "verify")
def spectrum(call: Call, load: Load = None, png: Figure = None) -> None:
    """Show all singular values by lag, the Lyapunov exponents, and what theory expects."""
    call.prepare(figure=png)
    settings = call.settings(defaults=UNTRAINED, load=load, spectrum=True)

    from gradscope.report.closer_export import spectrum_document
    from gradscope.report.closer_rows import singular_rows
    from gradscope.report.spectrum_page import spectrum_page
    from gradscope.study.study import analyze

    with training_bar(settings) as watch:
        analysis = analyze(settings, watch=watch)
    show(
        call.place,
        lambda screen: spectrum_page(analysis, screen),
        lambda: spectrum_document(analysis),
        lambda: singular_rows(analysis),
    )
    if png is not None:
        from gradscope.report.figures import spectrum_picture

        picture = spectrum_picture(analysis, png.suffix.lower())
        write_whole(png, picture, force=call.place.force)
        note(f"wrote {png}")
    leave(analysis)
