"""``gradscope spectrum``: singular values by lag, Lyapunov exponents, theory."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from gradscope.analysis.settings import Settings
from gradscope.cli.analyze import Files, analysis_with_bars, exit_with_status, write_files
from gradscope.cli.command import Call, takes_settings, weights_of
from gradscope.cli.options import Figure, Given, Html, Load, WeightsFile
from gradscope.cli.output import Place, show, write_figures

EXAMPLES = """\
gradscope spectrum --init gaussian --gain 1.5 --hidden 64
gradscope spectrum --load run.npz --png spectrum.png
gradscope spectrum --activation sigmoid --steps 500 --json -o spectrum.json
"""


@takes_settings("map", "shares", "spectrum", "verify")
def spectrum(
    call: Call, file: WeightsFile = None, load: Load = None, png: Figure = None, html: Html = None
) -> None:
    """Show all singular values by lag, the Lyapunov exponents, and what theory predicts."""
    call.place.prepare(html, figures=png)
    chosen = {"spectrum": True, **weights_of(file)}
    # The network as drawn, unless updates are asked for.
    run_spectrum(call.place, call.values(defaults={"updates": 0}, load=load, **chosen), png, html)


def run_spectrum(
    place: Place,
    asked: Settings | Given,
    figures: Sequence[Path] | None,
    html: Path | None = None,
) -> None:
    """Compute the spectra, show the page, draw the picture."""
    from gradscope.report.documents.analysis import spectrum_document
    from gradscope.report.figures.panels import PANELS
    from gradscope.report.terminal.spectrum import spectrum_page

    analysis = analysis_with_bars(asked)
    show(place, (analysis,), spectrum_page, spectrum_document, PANELS["singular"].rows)
    if figures:
        from gradscope.report.figures.analysis import spectrum_picture

        write_figures(figures, partial(spectrum_picture, analysis), force=place.force)
    write_files(analysis, Files(html=html), force=place.force, command="spectrum")
    exit_with_status(analysis)
