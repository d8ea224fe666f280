"""``gradscope rerun`` and ``show-config``: what a picture, a document or a saved run carries."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from inspect import unwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import gradscope
from gradscope.cli.analyze import analyze, inspect, spectrum, train
from gradscope.cli.check import check
from gradscope.cli.command import Call, takes_place, takes_settings
from gradscope.cli.compare import run_comparison
from gradscope.cli.options import SETTING_OPTIONS, Figure, Format, Full, Html, Save
from gradscope.cli.output import Place, note, write_stdout
from gradscope.cli.report import report
from gradscope.errors import ArchiveError, SettingError
from gradscope.report.figures.panels import REPORT

if TYPE_CHECKING:
    from gradscope.report.provenance.recipe import Recipe

MADE_HELP = "A picture, .json or .npz that gradscope wrote."
MadeFile = Annotated[Path, typer.Argument(help=MADE_HELP, metavar="FILE")]

UNSAVED = ("compare", "spectrum", "inspect", "report")
"""Commands that keep no run."""

PAGELESS = ("check", "inspect")
"""Commands that make no page."""


@takes_place
def rerun(
    place: Place,
    file: MadeFile,
    png: Figure = None,
    html: Html = None,
    save: Save = None,
    full: Full = False,
) -> None:
    """Run again what made a picture, document or saved run: bit for bit on the same type of
    machine, elsewhere as closely as it then states.
    """
    place.prepare(save, html, figures=png)
    from gradscope.report.provenance.recipe import read_recipe
    from gradscope.report.provenance.reproducible import reproducible

    recipe = read_recipe(file)
    if recipe.command in PAGELESS:
        _refuse(html, "--html", f"what {recipe.command} makes")
    if recipe.command in UNSAVED:
        _refuse(save, "--save", f"what {recipe.command} makes")
    other_version = recipe.version != gradscope.__version__
    if other_version:
        note(f"warning: {file} was made by gradscope {recipe.version}; numbers may differ")

    def complete(document: Mapping[str, Any]) -> Mapping[str, Any]:
        found = reproducible(recipe.environment, document, recipe.version)
        if not other_version:
            note(f"reproducible: {found['because']}")
        return {**document, "reproducible": found}

    form = {name: getattr(place.view, name) for name in ("theme", "dpi", "width")}
    form = {name: each for name, each in form.items() if each != getattr(REPORT, name)}
    place = replace(place, view=replace(recipe.view, **form) if png else REPORT)
    place = replace(place, full=full, complete=None if recipe.source else complete)
    _run(recipe, place, png, html, save)


def _run(
    recipe: "Recipe",
    place: Place,
    png: Sequence[Path] | None,
    html: Path | None,
    save: Path | None,
) -> None:
    """Call the command, as it is below its options."""
    from gradscope.report.provenance.recipe import MadeBy

    call, source = Call({}, None, place, recipe.settings), {**recipe.source}
    if recipe.command is MadeBy.INSPECT:
        unwrap(inspect)(place, Path(source["file"]), source["map"], png)
    elif recipe.command is MadeBy.REPORT:
        unwrap(report)(place, Path(source.pop("store")), **source, png=png, html=html)
    elif recipe.command is MadeBy.COMPARE:
        run_comparison(place, recipe.settings, recipe.axes, png, html)
    elif recipe.command is MadeBy.TRAIN:
        unwrap(train)(call, png=png, html=html, save=save)
    elif recipe.command is MadeBy.SPECTRUM:
        unwrap(spectrum)(call, png=png, html=html)
    elif recipe.command is MadeBy.CHECK:
        _refuse(save or next(iter(png or ()), None), "a picture or --save", "a check")
        unwrap(check)(call)
    else:
        unwrap(analyze)(call, png=png, html=html, save=save)


def _refuse(path: Path | None, option: str, made: str) -> None:
    if path is not None:
        raise SettingError(f"{option} is asked for ({path}), but {made} has none; leave it out")


@takes_settings("format", "output", "force", "color", "config", "threads", *SETTING_OPTIONS)
def show_config(call: Call, file: MadeFile) -> None:
    """Print the settings that made a picture, a JSON document or a saved run, as TOML."""
    from gradscope.report.formats import to_json
    from gradscope.report.provenance.recipe import MadeBy, command_words
    from gradscope.report.provenance.records import read_document, read_provenance, settings_to_toml

    if call.place.format is Format.JSON:
        write_stdout(to_json(read_provenance(file)))
        return
    document = read_document(file)
    made_by = command_words(document)
    comment = f"# {made_by}\n" if made_by not in ("", f"gradscope {MadeBy.ANALYZE}") else ""
    toml = settings_to_toml(document["settings"])
    try:
        tomllib.loads(toml)
    except tomllib.TOMLDecodeError as error:
        fault = "names a file that is not UTF-8, as TOML is; use gradscope rerun, or --json"
        raise ArchiveError(f"{file} {fault}") from error
    write_stdout(comment + toml)
