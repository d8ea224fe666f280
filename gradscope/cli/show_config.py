"""``gradscope show-config``: the settings that made a picture, a document or a run."""

import tomllib
from pathlib import Path
from typing import Annotated

import typer

from gradscope.cli.command import Call, takes_settings
from gradscope.cli.options import SETTING_OPTIONS, Format
from gradscope.cli.output import write_stdout
from gradscope.errors import ArchiveError

EXAMPLES = """\
gradscope show-config report.pdf
gradscope show-config run.npz > settings.toml
gradscope show-config run.json --json
"""

MADE_HELP = "A picture, .json or .npz that gradscope wrote."
MadeFile = Annotated[Path, typer.Argument(help=MADE_HELP, metavar="FILE")]


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
