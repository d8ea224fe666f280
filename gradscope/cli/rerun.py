"""``gradscope rerun``: make a picture, a document or a saved run again from what it carries."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradscope.cli.analyze import Files, exit_with_status, run_analysis
from gradscope.cli.check import run_check
from gradscope.cli.command import takes_place
from gradscope.cli.compare import run_comparison
from gradscope.cli.inspect import run_inspection
from gradscope.cli.options import Figure, Html, Save
from gradscope.cli.output import Place, note
from gradscope.cli.report import run_report
from gradscope.cli.show_config import MadeFile
from gradscope.cli.spectrum import run_spectrum
from gradscope.cli.train import run_training
from gradscope.errors import SettingError

if TYPE_CHECKING:
    from gradscope.report.provenance.recipe import Recipe

EXAMPLES = """\
gradscope rerun report.png
gradscope rerun report.pdf --png again.png --save again.npz
gradscope rerun run.json --json -o again.json
"""

UNSAVED = ("compare", "spectrum", "inspect", "report")
"""Commands that keep no run."""


@takes_place
def rerun(
    place: Place, file: MadeFile, png: Figure = None, html: Html = None, save: Save = None
) -> None:
    """Run again what made a picture, document or saved run: bit for bit on the same type of
    machine, elsewhere as closely as it then states.
    """
    place.prepare(save, html, figures=png)
    from gradscope.report.provenance.recipe import MadeBy, read_recipe
    from gradscope.report.provenance.reproducible import reproducible

    recipe = read_recipe(file)
    if recipe.command is not MadeBy.ANALYZE:
        _refuse(html, "--html", f"what {recipe.command} makes")
    if recipe.command in UNSAVED:
        _refuse(save, "--save", f"what {recipe.command} makes")
    if recipe.of_another_version:
        note(f"warning: {file} was made by gradscope {recipe.version}; numbers may differ")

    def complete(document: Mapping[str, Any]) -> Mapping[str, Any]:
        found = reproducible(recipe.environment, document, recipe.version)
        if not recipe.of_another_version:
            note(f"reproducible: {found['because']}")
        return {**document, "reproducible": found}

    if recipe.source is None:
        place = replace(place, complete=complete)
    _run(recipe, place, Files(png, save, html, recipe.panel, recipe.width))


def _run(recipe: "Recipe", place: Place, files: Files) -> None:
    from gradscope.report.provenance.recipe import MadeBy, StoreSource, WeightsSource

    settings, source, figures = recipe.settings, recipe.source, files.figures
    if isinstance(source, WeightsSource):
        run_inspection(place, Path(source.file), source.mapping, figures)
    elif isinstance(source, StoreSource):
        run_report(place, source, figures)
    elif recipe.command is MadeBy.COMPARE:
        axes = {"kinds": recipe.cells, "activations": recipe.activations, "steps": recipe.lengths}
        run_comparison(place, settings, {**axes, "seeds": recipe.seeds}, figures)
    elif recipe.command is MadeBy.TRAIN:
        run_training(place, settings, Files(figures, files.save))
    elif recipe.command is MadeBy.SPECTRUM:
        run_spectrum(place, settings, figures)
    elif recipe.command is MadeBy.CHECK:
        _refuse(files.save or next(iter(figures or ()), None), "a picture or --save", "a check")
        run_check(place, settings)
    else:
        exit_with_status(run_analysis(place, settings, files))


def _refuse(path: Path | None, option: str, made: str) -> None:
    if path is not None:
        raise SettingError(f"{option} is asked for ({path}), but {made} has none; leave it out")
