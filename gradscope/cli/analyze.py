"""``gradscope analyze``: train, multiply the Jacobians, say what is wrong; and what its cousins
share.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gradscope.cli.command import Call, takes_settings
from gradscope.cli.options import FailOn, FailWhen, Figure, Load, Save
from gradscope.cli.output import Place, note, progress_bar, show
from gradscope.names import Regime
from gradscope.report.files import write_whole

if TYPE_CHECKING:
    from gradscope.learning.training import Watcher
    from gradscope.model.cells import ElmanParameters
    from gradscope.study.config import Settings
    from gradscope.study.results import Analysis

EXAMPLES = """\
[bold]Examples[/bold]

  gradscope analyze --activation tanh --steps 100

  gradscope analyze --activation sigmoid --steps 1000 --updates 0 --json | jq '.stages[0].verdict'

  gradscope analyze --data series.csv --column NAME --steps 50 --png report.png --save run.npz
"""
EXIT_CHECK_FAILED = 1
EXIT_INTERRUPTED = 130

FAILING: dict[FailOn, tuple[Regime, ...]] = {
    FailOn.VANISHING: (Regime.VANISHING, Regime.TRANSIENT),
    FailOn.EXPLODING: (Regime.EXPLODING,),
    FailOn.ANY: (Regime.VANISHING, Regime.TRANSIENT, Regime.EXPLODING, Regime.MIXED),
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("analyze", epilog=EXAMPLES)(analyze)


@takes_settings()
def analyze(
    call: Call,
    load: Load = None,
    png: Figure = None,
    save: Save = None,
    fail_on: FailWhen = None,
) -> None:
    """Train a vanilla RNN, multiply its Jacobians, and say what its gradient does and why."""
    call.prepare(save, figure=png)
    settings = call.settings(load=load)

    from gradscope.study.study import analyze as run

    with training_bar(settings) as watch, map_bar(settings) as progress:
        analysis = run(settings, watch=watch, progress=progress)
    show_analysis(call.place, analysis)
    write_files(analysis, png, save, force=call.place.force)
    leave(analysis, fail_on)


def show_analysis(place: Place, analysis: "Analysis") -> None:
    """Write the analysis in the format asked for."""
    from gradscope.report.documents import analysis_document
    from gradscope.report.rows import PROFILE_COLUMNS, profile_rows
    from gradscope.report.tables import analysis_page

    show(
        place,
        lambda screen: analysis_page(analysis, screen),
        lambda: analysis_document(analysis),
        lambda: (PROFILE_COLUMNS, profile_rows(analysis)),
    )


def write_files(
    analysis: "Analysis", figure: Path | None, save: Path | None, *, force: bool
) -> None:
    """Write the picture and the saved run, where asked for."""
    if save is not None:
        from gradscope.study.archive import archive_bytes

        write_whole(save, archive_bytes(analysis), force=force)
        note(f"wrote {save}")
    if figure is not None:
        from gradscope.report.figures import analysis_picture

        write_whole(figure, analysis_picture(analysis, figure.suffix.lower()), force=force)
        note(f"wrote {figure}")


@contextmanager
def training_bar(settings: "Settings") -> "Iterator[Watcher]":
    """Show a progress bar over the updates of one training; gives the watcher that moves it."""
    with progress_bar("training", settings.updates) as advance:

        def watch(_update: int, loss: float, norm: float, _params: "ElmanParameters") -> None:
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


def leave(analysis: "Analysis", fail_on: FailOn | None = None) -> None:
    """Say on stderr how training ended if not as planned, and leave with the exit code that
    fits.
    """
    from gradscope.learning.history import Stop
    from gradscope.report.words import training_sentence

    history = analysis.training
    if history is not None and history.stop is not Stop.DONE:
        note(f"warning: {training_sentence(history)}")
    if history is not None and history.stop is Stop.INTERRUPTED:
        raise typer.Exit(EXIT_INTERRUPTED)
    if fail_on is not None and analysis.last.verdict.shows(FAILING[fail_on]):
        note(f"failed: --fail-on {fail_on}, and the gradient is {analysis.last.verdict.regime}")
        raise typer.Exit(EXIT_CHECK_FAILED)
