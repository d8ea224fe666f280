"""``gradscope merge``: the shards of a sweep become one store."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from gradscope.cli.command import set_blas_threads
from gradscope.cli.options import OUTPUT, Color, Debug, Force, FormatChoice, Json, option
from gradscope.cli.output import Place, choose_format, show
from gradscope.report.files import require_free

EXAMPLES = """\
gradscope merge -o sweep.db sweep-*of16.db
gradscope merge -o both.db laptop.db cluster.db
gradscope merge -o saved.db sweep.db --salvage
"""

SALVAGE_HELP = "Save of damaged stores the cells that are whole."
Salvage = Annotated[bool, option("--salvage", SALVAGE_HELP, OUTPUT)]
Target = Annotated[Path, option("--output -o", "The joined store.", OUTPUT, "FILE")]


def merge(
    stores: Annotated[list[Path], typer.Argument(help="Stores that gradscope sweep wrote.")],
    output: Target,
    format: FormatChoice = None,  # noqa: A002 (the flag's name)
    json: Json = False,
    force: Force = False,
    salvage: Salvage = False,
    debug: Debug = False,  # noqa: ARG001 (read where errors are shown)
) -> None:
    """Join stores into one: duplicates are resolved, disagreements refused."""
    set_blas_threads(None)
    require_free(output, force=force)
    place = Place(choose_format(format, json, None), None, Color.AUTO, force=False)

    from gradscope.report.documents.sweep import merge_document
    from gradscope.report.terminal.sweep import merge_page
    from gradscope.sweep.merge import merge_stores

    merged = merge_stores(stores, output, salvage=salvage)
    show(
        place,
        lambda screen: merge_page(merged, output, screen),
        lambda: merge_document(merged, output),
        lambda: (tuple(asdict(merged)), [list(asdict(merged).values())]),
    )
