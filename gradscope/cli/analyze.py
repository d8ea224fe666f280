"""``gradscope analyze``, and what other commands share with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from gradscope.analysis.settings import Settings
from gradscope.cli.command import Call, takes_settings, weights_of
from gradscope.cli.options import (
    FailOn,
    FailWhen,
    Figure,
    Given,
    Html,
    Load,
    Panel,
    PanelWidth,
    Save,
    WeightsFile,
)
from gradscope.cli.output import Place, note, progress_bar, show, write_figures, write_file
from gradscope.errors import SettingError
from gradscope.names import ColumnWidth, Regime
from gradscope.report.figures.panels import PANELS

if TYPE_CHECKING:
    from gradscope.analysis.results import Analysis
    from gradscope.report.documents.rows import Rows

EXAMPLES = """\
gradscope analyze --activation tanh --steps 100
gradscope analyze model.pt --data inputs.npy --batch-first --activation tanh
gradscope analyze --data series.csv --column NAME --steps 50 --png series.png
"""
EXIT_CHECK_FAILED = 1
EXIT_INTERRUPTED = 130

REGIMES: dict[FailOn, tuple[Regime, ...]] = {
    FailOn.VANISHING: (Regime.VANISHING, Regime.TRANSIENT),
    FailOn.EXPLODING: (Regime.EXPLODING,),
    FailOn.SHUT: (),
    FailOn.DIVERGED: (),
    FailOn.ANY: (Regime.VANISHING, Regime.TRANSIENT, Regime.EXPLODING, Regime.MIXED),
}


@dataclass(frozen=True, eq=False, slots=True)
class Files:
    """The files of an analysis: its picture (or one panel of it), a saved run, a report."""

    figures: Sequence[Path] | None = None
    save: Path | None = None
    html: Path | None = None
    panel: str | None = None
    width: ColumnWidth = ColumnWidth.DOUBLE


@takes_settings()
def analyze(  # noqa: PLR0913, PLR0917 (a parameter is an option)
    call: Call,
    file: WeightsFile = None,
    load: Load = None,
    png: Figure = None,
    panel: Panel = None,
    width: PanelWidth = ColumnWidth.DOUBLE,
    html: Html = None,
    save: Save = None,
    fail_on: FailWhen = None,
) -> None:
    """Analyze a recurrent network, trained here or from a file: whether gradients vanish or
    explode, how far back they reach, and why.
    """
    call.place.prepare(save, html, figures=png)
    details: Given = {}
    if panel is not None and PANELS[panel].needs:
        details[PANELS[panel].needs] = True
    asked = call.values(load=load, **{**weights_of(file), **details})
    if panel is not None and not png:
        raise SettingError(f"--panel is {panel}, but no picture is requested; add --png FILE")
    analysis = run_analysis(call.place, asked, Files(png, save, html, panel, width))
    exit_with_status(analysis, fail_on)


def run_analysis(place: Place, asked: Settings | Given, files: Files) -> "Analysis":
    """Analyze, show the page, write picture, run and report; return the analysis."""
    from gradscope.report.documents.analysis import analysis_document
    from gradscope.report.documents.rows import profile_rows
    from gradscope.report.terminal.analysis import analysis_page

    analysis = analysis_with_bars(asked)
    if files.panel is not None and not PANELS[files.panel].shown(analysis):
        raise SettingError(f"--panel is {files.panel}, but {PANELS[files.panel].why_empty}")
    show(place, (analysis,), analysis_page, analysis_document, profile_rows)
    write_files(analysis, files, force=place.force)
    return analysis


def analysis_with_bars(asked: Settings | Given) -> "Analysis":
    """Prepare and analyze, with a bar."""
    from gradscope.analysis.analyze import analyze as run
    from gradscope.analysis.prepare import prepare

    prepared = prepare(asked)
    targets = prepared.batch.batch.targets.count
    with progress_bar("examining") as tell:

        def watch(update: int, loss: float, *_: Any) -> None:
            done = update == prepared.resolved.updates
            tell("" if done else f"error per step {loss / targets:.4g},")

        return run(prepared, watch=watch)


def write_files(
    analysis: "Analysis",
    files: Files,
    *,
    force: bool,
    command: str = "analyze",
    progress: "Rows | None" = None,
) -> None:
    """Write the saved run, the picture and the report of a ``command``, where asked for."""
    if files.save is not None:
        from gradscope.analysis.archive import archive_bytes

        write_file(files.save, archive_bytes(analysis), force=force)
    if files.figures:
        from gradscope.report.figures.analysis import analysis_picture, panel_picture

        draw = partial(analysis_picture, analysis)
        if files.panel is not None:
            draw = partial(panel_picture, analysis, files.panel, width=files.width)
        write_figures(files.figures, draw, force=force)
    if files.html is not None:
        from gradscope.explain.glossary import DEFINITIONS
        from gradscope.report.html import analysis_html

        page = analysis_html(analysis, DEFINITIONS, command, progress)
        write_file(files.html, page.encode(), force=force)


def exit_with_status(analysis: "Analysis", fail_on: FailOn | None = None) -> None:
    """Report on stderr a training that ended early; exit 130 if interrupted, 1 by --fail-on."""
    from gradscope.learning.history import Stop
    from gradscope.report.words.headline import training_sentence

    history, verdict, fault = analysis.training, analysis.last.verdict, ""
    stop = Stop.DONE if history is None else history.stop
    if history is not None and stop is not Stop.DONE:
        note(f"warning: {training_sentence(history)}")
    if stop is Stop.INTERRUPTED:
        raise typer.Exit(EXIT_INTERRUPTED)
    if fail_on is FailOn.DIVERGED and stop is Stop.NOT_FINITE:
        fault = "training diverged"
    elif fail_on is FailOn.SHUT and verdict.shut:
        fault = "nothing is written"
    elif fail_on is not None and verdict.shows(REGIMES[fail_on]):
        fault = f"the gradient is {verdict.regime}"
    if fault:
        note(f"failed: --fail-on {fail_on}, and {fault}")
        raise typer.Exit(EXIT_CHECK_FAILED)
