"""``gradscope analyze``, ``train``, ``spectrum`` and ``inspect``, and what other commands share."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gradscope.analysis.settings import CODE, IMPORTED_SETTINGS, SETTINGS
from gradscope.cli.code import show_mixers, study_code
from gradscope.cli.command import Call, takes_place, takes_settings, weights_of
from gradscope.cli.options import (
    MODEL,
    FailOn,
    FailWhen,
    Figure,
    FileOrCode,
    Full,
    Given,
    Html,
    Load,
    Save,
    Summary,
    WeightsFile,
    option,
)
from gradscope.cli.output import (
    Place,
    append,
    note,
    progress_bar,
    show,
    write_figures,
    write_file,
)
from gradscope.errors import SettingError
from gradscope.names import Regime
from gradscope.report.figures.panels import PANELS
from gradscope.weights.readers import READABLE

if TYPE_CHECKING:
    from gradscope.analysis.checkpoints import Checkpoint
    from gradscope.analysis.results import Analysis
    from gradscope.report.documents.rows import Rows

EXIT_CHECK_FAILED = 1
EXIT_INTERRUPTED = 130

REGIMES: dict[FailOn, tuple[Regime, ...]] = {
    FailOn.VANISHING: (Regime.VANISHING, Regime.TRANSIENT),
    FailOn.EXPLODING: (Regime.EXPLODING,),
    FailOn.ANY: (Regime.VANISHING, Regime.TRANSIENT, Regime.EXPLODING, Regime.MIXED),
}


@takes_settings()
def analyze(  # noqa: PLR0913, PLR0917 (each is an option)
    call: Call,
    file: FileOrCode = None,
    load: Load = None,
    png: Figure = None,
    html: Html = None,
    save: Save = None,
    fail_on: FailWhen = None,
    summary: Summary = None,
    full: Full = False,
) -> None:
    """Analyze a recurrent network, trained here or from a file: whether gradients vanish or
    explode, how far back they reach, and why.
    """
    prepare_pictures(call.place, png, save, html)
    if summary is not None:
        append(summary, "")
    asked = call.values(load=load, **{**weights_of(file), **call.place.view.needs})
    from gradscope.analysis.results import Analysis
    from gradscope.report.documents.analysis import analysis_document
    from gradscope.report.documents.rows import profile_rows
    from gradscope.report.terminal.analysis import analysis_page

    place = replace(call.place, full=full)
    code = CODE.fullmatch(file or "")
    if code and save:
        raise SettingError("--save is given, but code of your own is not saved; leave it out")
    analysis = study_code(asked) if code else analysis_with_bars(asked)
    if not isinstance(analysis, Analysis):
        unmade = {"--png": png, "--html": html, "--fail-on": fail_on, "--summary": summary}
        show_mixers(place, analysis, asked, unmade)
        return
    call.place.view.require(analysis)
    show(place, (analysis,), analysis_page, analysis_document, profile_rows)
    if summary is not None:
        from gradscope.report.summary import analysis_summary

        append(summary, analysis_summary(analysis))
    finish(place, analysis, "analyze", png, html, save, fail_on)


def prepare_pictures(place: Place, png: Sequence[Path] | None, *files: Path | None) -> None:
    """Refuse, before anything is computed, a view without a picture, and places that could not be
    written.
    """
    if place.view.chosen and not png:
        raise SettingError(f"{place.view.chosen}, but no picture is requested; add --png FILE")
    place.prepare(*files, figures=[path for _, path in place.view.files(png)])


def finish(
    place: Place,
    analysis: "Analysis",
    command: str,
    png: Sequence[Path] | None,
    html: Path | None,
    save: Path | None = None,
    fail_on: FailOn | None = None,
    progress: "Rows | None" = None,
) -> None:
    """Write, where asked for, the saved run, each panel of the pictures, and the page, all as
    ``command`` made them; exit as the analysis ended.
    """
    save_run(place, analysis, save)
    if png:
        from gradscope.report.figures.analysis import analysis_picture

        draw = partial(analysis_picture, analysis, view=place.view, command=command)
        for panel, path in place.view.files(png):
            write_figures(place, [path], partial(draw, panel=panel))
    if html is not None:
        from gradscope.explain.glossary import DEFINITIONS
        from gradscope.report.html import analysis_html

        page = analysis_html(analysis, DEFINITIONS, command, progress)
        write_file(html, page.encode(), force=place.force)
    exit_with_status(analysis, fail_on)


def analysis_with_bars(asked: Given) -> "Analysis":
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


def save_run(place: Place, analysis: "Analysis", path: Path | None) -> None:
    """Write the saved run, where asked for."""
    if path is not None:
        from gradscope.analysis.archive import archive_bytes

        write_file(path, archive_bytes(analysis), force=place.force)


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
    elif fail_on is not None and verdict.shows(REGIMES.get(fail_on, ())):
        fault = f"the gradient is {verdict.regime}"
    if fault:
        note(f"failed: --fail-on {fail_on}, and {fault}")
        raise typer.Exit(EXIT_CHECK_FAILED)


@takes_settings("weights", *IMPORTED_SETTINGS)
def train(
    call: Call,
    load: Load = None,
    png: Figure = None,
    html: Html = None,
    save: Save = None,
    fail_on: FailWhen = None,
    full: Full = False,
) -> None:
    """Train a recurrent network; report error, unclipped gradient norm and memory horizon."""
    prepare_pictures(call.place, png, save, html)
    from gradscope.analysis.analyze import analyze as run
    from gradscope.analysis.checkpoints import CheckpointRecorder
    from gradscope.analysis.prepare import prepare
    from gradscope.report.documents.analysis import training_document
    from gradscope.report.documents.rows import checkpoint_rows
    from gradscope.report.terminal.analysis import training_page

    prepared = prepare(call.values(load=load, **call.place.view.needs))
    if prepared.task is None:
        raise SettingError("--updates is 0; choose 1 or more to train")
    targets = prepared.batch.batch.targets.count

    def tell(checkpoint: "Checkpoint") -> None:
        far = checkpoint.horizon
        reach = "none" if far is None else f"{far} steps"
        error = f"error per step {checkpoint.loss / targets:.4g}"
        norm = f"gradient norm {checkpoint.gradient_norm:.3g}"
        note(f"update {checkpoint.update}: {error}, {norm}, horizon {reach}")

    recorder = CheckpointRecorder(prepared, tell)
    with progress_bar("examining"):
        analysis = run(prepared, watch=recorder)
    call.place.view.require(analysis)
    result = analysis, recorder.checkpoints
    place = replace(call.place, full=full)
    show(place, result, training_page, training_document, checkpoint_rows)
    finish(place, analysis, "train", png, html, save, fail_on, checkpoint_rows(*result))


@takes_settings("map", "shares", "spectrum", "verify")
def spectrum(
    call: Call, file: WeightsFile = None, load: Load = None, png: Figure = None, html: Html = None
) -> None:
    """Show all singular values by lag, the Lyapunov exponents, and what theory predicts."""
    prepare_pictures(call.place, png, html)
    from gradscope.report.documents.analysis import spectrum_document
    from gradscope.report.terminal.spectrum import spectrum_page

    chosen = {"spectrum": True, **weights_of(file), **call.place.view.needs}
    # The network as drawn, unless updates are asked for.
    analysis = analysis_with_bars(call.values(defaults={"updates": 0}, load=load, **chosen))
    call.place.view.require(analysis)
    show(call.place, (analysis,), spectrum_page, spectrum_document, PANELS["singular"].rows)
    finish(call.place, analysis, "spectrum", png, html)


MAP_HELP = SETTINGS["weight_map"].help
Mapping = Annotated[list[str] | None, option("--weight-map", MAP_HELP, MODEL, "W=NAME")]


@takes_place
def inspect(
    place: Place,
    file: Annotated[Path, typer.Argument(help=f"Weights: {READABLE}.", metavar="FILE")],
    weight_map: Mapping = None,
    png: Figure = None,
) -> None:
    """List the recurrent layers of a weight file, their spectra, and how to analyze them."""
    place.prepare(figures=png)
    from gradscope.analysis.inspect import inspect as read
    from gradscope.report.documents.inspection import inspection_document, inspection_rows
    from gradscope.report.terminal.inspection import inspection_page

    with progress_bar("reading"):
        inspection = read(file, tuple(weight_map or ()))
    show(place, (inspection,), inspection_page, inspection_document, inspection_rows)
    if png and inspection.layers:
        from gradscope.report.figures.eigenvalues import eigenvalue_picture

        write_figures(place, png, partial(eigenvalue_picture, inspection))
    elif png:
        note(f"no picture {png[0]}: there is no recurrent layer to draw")
