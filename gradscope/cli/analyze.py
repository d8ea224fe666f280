"""``gradscope analyze``: train, multiply the Jacobians, say what is wrong; and what its cousins
share.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gradscope.cli.command import Call, MapsWeights, takes_settings, weights_of
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
from gradscope.cli.output import Place, note, progress_bar, show
from gradscope.errors import SettingError
from gradscope.names import ColumnWidth, PanelName, Regime
from gradscope.report.files import write_whole

if TYPE_CHECKING:
    from gradscope.analysis.results import Analysis
    from gradscope.analysis.settings import Settings
    from gradscope.learning.training import Watcher
    from gradscope.model.cells import Cell

EXAMPLES = """\
[bold]Examples[/bold]

  gradscope analyze --activation tanh --steps 100

  gradscope analyze --data series.csv --column NAME --steps 50 --png report.png --save run.npz

  gradscope analyze model.pt --data inputs.npy --batch-first --activation tanh
"""
EXIT_CHECK_FAILED = 1
EXIT_INTERRUPTED = 130

PANELS_OF_LOOKS: dict[str, tuple[PanelName, ...]] = {
    "map": (PanelName.MAP,),
    "shares": (PanelName.SHARES,),
    "spectrum": (
        PanelName.SINGULAR,
        PanelName.LYAPUNOV,
        PanelName.EIGENVALUES,
        PanelName.THEORY,
    ),
}
"""Panels that show a closer look, by the setting that takes it."""

LACKING: dict[PanelName, str] = {
    PanelName.GRADIENT: "there are no targets; give --readout NAME and --targets FILE",
    PanelName.TRAINING: "nothing was trained; give --updates N",
    PanelName.THEORY: "no theory applies to this cell; choose --panel lyapunov",
}
"""Why a run may have nothing for a panel to show, and what to do about it."""

FAILING: dict[FailOn, tuple[Regime, ...]] = {
    FailOn.VANISHING: (Regime.VANISHING, Regime.TRANSIENT),
    FailOn.EXPLODING: (Regime.EXPLODING,),
    FailOn.ANY: (Regime.VANISHING, Regime.TRANSIENT, Regime.EXPLODING, Regime.MIXED),
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("analyze", epilog=EXAMPLES, cls=MapsWeights)(analyze)


@dataclass(frozen=True, eq=False, slots=True)
class Files:
    """What an analysis leaves beside its page: a picture (or one panel of it), a run, a report."""

    figure: Path | None = None
    save: Path | None = None
    html: Path | None = None
    panel: PanelName | None = None
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
    """Train a recurrent net or take one from a file, multiply its Jacobians, and say what its
    gradient does and why.
    """
    call.prepare(save, html, figure=png)
    asked = call.values(load=load, **weights_of(file), **_looks_of(panel))
    if panel is not None and png is None:
        raise SettingError(f"--panel is {panel}, but no picture is asked for; add --png FILE")
    analysis = run_analysis(call.place, asked, Files(png, save, html, panel, width))
    exit_with_status(analysis, fail_on)


def _looks_of(panel: PanelName | None) -> Given:
    """Return the closer look that a panel shows, as a setting."""
    for look, panels in PANELS_OF_LOOKS.items():
        if panel in panels:
            return {look: True}
    return {}


def run_analysis(place: Place, asked: "Settings | Given", files: Files) -> "Analysis":
    """Analyze, show the page, write picture, run and report; return what was found."""
    analysis = analysis_with_bars(asked)
    _require_panel(analysis, files.panel)
    show_analysis(place, analysis)
    write_files(analysis, files, force=place.force)
    return analysis


def analysis_with_bars(asked: "Settings | Given") -> "Analysis":
    """Prepare and analyze, with bars for training and for the map of all pairs."""
    from gradscope.analysis.analyze import analyze as run
    from gradscope.analysis.prepare import prepare

    prepared = prepare(asked)
    with training_bar(prepared.resolved) as watch, map_bar(prepared.resolved) as progress:
        return run(prepared, watch=watch, progress=progress)


def _require_panel(analysis: "Analysis", panel: PanelName | None) -> None:
    """Refuse to draw an empty panel."""
    if panel in LACKING:
        from gradscope.report.figures.panels import PANELS

        if not PANELS[panel].shown(analysis):
            raise SettingError(f"--panel is {panel}, but {LACKING[panel]}")


def show_analysis(place: Place, analysis: "Analysis") -> None:
    """Write the analysis in the format asked for."""
    from gradscope.report.documents.analysis import analysis_document
    from gradscope.report.documents.rows import PROFILE_COLUMNS, profile_rows
    from gradscope.report.terminal.analysis import analysis_page

    show(
        place,
        lambda screen: analysis_page(analysis, screen),
        lambda: analysis_document(analysis),
        lambda: (PROFILE_COLUMNS, profile_rows(analysis)),
    )


def write_files(analysis: "Analysis", files: Files, *, force: bool) -> None:
    """Write the saved run, the picture and the report, where asked for."""
    if files.save is not None:
        from gradscope.analysis.archive import archive_bytes

        _write(files.save, archive_bytes(analysis), force=force)
    if files.figure is not None:
        _write(files.figure, _picture(analysis, files, files.figure.suffix.lower()), force=force)
    if files.html is not None:
        from gradscope.report.html import analysis_html

        _write(files.html, analysis_html(analysis).encode(), force=force)


def _picture(analysis: "Analysis", files: Files, suffix: str) -> bytes:
    from gradscope.report.figures.analysis import analysis_picture, panel_picture

    if files.panel is None:
        return analysis_picture(analysis, suffix)
    return panel_picture(analysis, files.panel, suffix, files.width)


def _write(path: Path, content: bytes, *, force: bool) -> None:
    write_whole(path, content, force=force)
    note(f"wrote {path}")


@contextmanager
def training_bar(settings: "Settings") -> "Iterator[Watcher]":
    """Show a progress bar over the updates of one training; gives the watcher that moves it."""
    with progress_bar("training", settings.updates) as advance:

        def watch(_update: int, loss: float, norm: float, _params: "Cell") -> None:
            advance(f"loss {loss:.4g}  gradient norm {norm:.3g}")

        yield watch


@contextmanager
def map_bar(settings: "Settings") -> "Iterator[Callable[[int, int], None]]":
    """Show a progress bar over the map of all pairs, where one is made."""
    with progress_bar("all pairs", 100 if settings.map else 0) as advance:
        shown = 0

        def progress(done: int, total: int) -> None:
            nonlocal shown
            while shown < 100 * done // total:
                advance("")
                shown += 1

        yield progress


def exit_with_status(analysis: "Analysis", fail_on: FailOn | None = None) -> None:
    """Say on stderr how training ended if not as planned, and leave with the exit code that
    fits.
    """
    from gradscope.learning.history import Stop
    from gradscope.report.words.headline import training_sentence

    history = analysis.training
    if history is not None and history.stop is not Stop.DONE:
        note(f"warning: {training_sentence(history)}")
    if history is not None and history.stop is Stop.INTERRUPTED:
        raise typer.Exit(EXIT_INTERRUPTED)
    if fail_on is not None and analysis.last.verdict.shows(FAILING[fail_on]):
        note(f"failed: --fail-on {fail_on}, and the gradient is {analysis.last.verdict.regime}")
        raise typer.Exit(EXIT_CHECK_FAILED)
