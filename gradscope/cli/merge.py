"""``gradscope merge``: the shards of a sweep become one store."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from gradscope.cli.command import Call, takes_settings
from gradscope.cli.options import OUTPUT, SETTING_OPTIONS, option
from gradscope.cli.output import show, titled
from gradscope.report.files import require_free

EXAMPLES = """\
gradscope merge -o sweep.db sweep-*of16.db
gradscope merge -o both.db laptop.db cluster.db
gradscope merge -o saved.db sweep.db --salvage
"""

Salvage = Annotated[bool, option("--salvage", "Save what is whole of damaged ones.", OUTPUT)]
Target = Annotated[Path, option("--output -o", "The joined store.", OUTPUT, "FILE")]


@takes_settings("config", "output", *SETTING_OPTIONS)
def merge(
    call: Call,
    stores: Annotated[list[Path], typer.Argument(help="Stores that gradscope sweep wrote.")],
    output: Target,
    *,
    salvage: Salvage = False,
) -> None:
    """Join stores into one: duplicates are resolved, disagreements refused."""
    require_free(output, force=call.place.force)

    from gradscope.report.documents.sweep import merge_document
    from gradscope.report.terminal.sweep import merge_page
    from gradscope.sweep.merge import merge_stores

    merged = merge_stores(stores, output, salvage=salvage)
    table = titled([*asdict(merged)], lambda *_: [[*asdict(merged).values()]])
    show(call.place, (merged, output), merge_page, merge_document, table)
