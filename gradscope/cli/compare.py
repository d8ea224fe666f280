"""``gradscope compare``: cells, activations and lengths over several seeds, or files."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import partial
from math import prod
from pathlib import Path
from typing import Annotated, Any

import typer

from gradscope.analysis.settings import Settings
from gradscope.cli.analyze import EXIT_CHECK_FAILED, EXIT_INTERRUPTED
from gradscope.cli.command import Call, takes_settings
from gradscope.cli.options import ANALYSIS, DATA, EXECUTION, MODEL, Figure, Given, Html, option
from gradscope.cli.output import Place, note, progress_bar, show, write_figures, write_file
from gradscope.cli.sweep import WorkerCount
from gradscope.errors import SettingError
from gradscope.names import CellName, ExecutorName
from gradscope.progress import work
from gradscope.sweep.axes import parse_values
from gradscope.weights.readers import READABLE

SEEDS = 5
LENGTHS = "10,50,100,200"
ACTIVATIONS_HELP = "Activations to compare (default tanh,sigmoid; for gated cells tanh)."
CELLS_HELP = f"Cells to compare: {', '.join(CellName)} (default elman)."
LENGTHS_HELP = f"Sequence lengths: a list or start:stop:count (default {LENGTHS})."
FAIL_HELP = "worse: exit with 1 if a file is worse than the first by more than its interval."


class FailOnChange(StrEnum):
    """Which change against the first file ends with exit code 1."""

    WORSE = "worse"


Files = Annotated[
    list[str] | None,
    typer.Argument(
        help=f"Networks to set against the first: {READABLE}, saved runs, folders.",
        metavar="[FILE]...",
        show_default=False,
    ),
]

Activations = Annotated[
    str | None,
    option("--activation", ACTIVATIONS_HELP, MODEL, "LIST", envvar="GRADSCOPE_ACTIVATIONS"),
]
Cells = Annotated[str | None, option("--cell", CELLS_HELP, MODEL, "LIST", envvar="GRADSCOPE_CELLS")]
Lengths = Annotated[
    str | None, option("--steps", LENGTHS_HELP, DATA, "LIST", envvar="GRADSCOPE_LENGTHS")
]
SEEDS_HELP = f"Seeds of each, from --seed on (default {SEEDS})."
Seeds = Annotated[int | None, option("--seeds", SEEDS_HELP, EXECUTION, "N")]
FailWhen = Annotated[FailOnChange | None, option("--fail-on", FAIL_HELP, ANALYSIS, "worse")]


Axes = Mapping[str, Any]
"""What is compared: ``kinds``, ``activations`` and ``steps``, and over how many ``seeds``."""


@takes_settings("cell", "activation", "steps", "weights")
def compare(  # noqa: PLR0913 (each is a flag)
    call: Call,
    files: Files = None,
    cells: Cells = None,
    activations: Activations = None,
    lengths: Lengths = None,
    *,
    seeds: Seeds = None,
    workers: WorkerCount = None,
    png: Figure = None,
    html: Html = None,
    fail_on: FailWhen = None,
) -> None:
    """Compare cells, activations and sequence lengths over several seeds, all other settings
    equal; or networks in files: whether the others are better or worse than the first.
    """
    call.place.prepare(html, figures=png)
    cell_names = parse_values("cell", cells or "elman", "--cell")
    usual = "tanh,sigmoid" if cell_names == (CellName.ELMAN,) else "tanh"
    activation_names = parse_values("activation", activations or usual, "--activation")
    steps = parse_values("steps", lengths or LENGTHS, "--steps")
    axes: Given = {"kinds": cell_names, "activations": activation_names, "steps": steps}
    axes["seeds"] = SEEDS if seeds is None else seeds
    first: Given = {"cell": cell_names[0], "activation": activation_names[0], "steps": steps[0]}
    if files:
        texts = {"cell": cells or "", "activation": activations or "", "steps": lengths or ""}
        if seeds is not None or {",", ":"} & set("".join(texts.values())):
            remedy = "leave them out with files"
            raise SettingError(f"lists and --seeds are for drawn networks; {remedy}")
        from gradscope.sweep.compare import cells_of_files

        given = call.values(**{name: first[name] for name, text in texts.items() if text})
        run_comparison(call.place, cells_of_files(files, given), axes, png, html, fail_on=fail_on)
        return
    if fail_on is not None:
        raise SettingError("--fail-on worse is about files: name two or more")
    from gradscope.analysis.prepare import resolve

    run_comparison(call.place, resolve(call.values(**first)), axes, png, html, workers)


def run_comparison(
    place: Place,
    networks: Settings | Sequence[Given],
    axes: Axes,
    figures: Sequence[Path] | None,
    html: Path | None = None,
    workers: int | None = None,
    fail_on: FailOnChange | None = None,
) -> None:
    """Analyze every network, show the table, draw the picture; fail where one is worse."""
    from gradscope.report.documents.analysis import analysis_document, comparison_document
    from gradscope.report.documents.rows import comparison_rows
    from gradscope.report.figures.comparison import comparison_picture
    from gradscope.report.terminal.sweep import comparison_page
    from gradscope.report.words.cells import short_name
    from gradscope.report.words.headline import training_sentence
    from gradscope.sweep.changes import changes
    from gradscope.sweep.compare import compare as run
    from gradscope.sweep.executors import Workers

    by = ExecutorName.SERIAL if workers == 1 else ExecutorName.PROCESS
    drawn = prod(each if isinstance(each, int) else len(each) for each in axes.values())
    total = len(networks) if isinstance(networks, list) else drawn
    with progress_bar("comparing"), work("networks", total) as at:
        pool = Workers(by, workers, threads=None)
        comparison = run(networks, **axes, workers=pool, ended=at.advance)
    for each in comparison.analyses:
        if each.training is not None and (ended := training_sentence(each.training)):
            of = each.settings
            note(f"warning: {short_name(of)}, {of.steps} steps, seed {of.seed}: {ended}")
    if comparison.analyses:
        pages = comparison_page, comparison_document, comparison_rows
        show(place, (comparison,), *pages, lambda of: map(analysis_document, of.analyses))
        write_figures(place, figures, partial(comparison_picture, comparison))
        if html is not None:
            from gradscope.report.html_of_networks import comparison_html

            write_file(html, comparison_html(comparison).encode(), force=place.force)
    if comparison.interrupted:
        note(f"interrupted after {len(comparison.analyses)} of {total} networks")
        raise typer.Exit(EXIT_INTERRUPTED)
    worse = [one.analysis for one in changes(comparison) if one.worse] if fail_on else []
    for each in worse:
        note(f"failed: --fail-on worse, and {short_name(each.settings)} is worse")
    if worse:
        raise typer.Exit(EXIT_CHECK_FAILED)
