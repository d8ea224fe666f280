"""``gradscope export``: the rows of a sweep's store as a table, lines or arrays."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gradscope.cli.command import Call, takes_settings
from gradscope.cli.options import DATA, OUTPUT, SETTING_OPTIONS, option
from gradscope.cli.output import write_result
from gradscope.errors import SettingError

EXAMPLES = """\
gradscope export sweep.db -o sweep.csv
gradscope export sweep.db --format jsonl --where "regime = 'exploding'"
gradscope export sweep.db -o sweep.npz --where "status = 'done'"
"""


class ExportFormat(StrEnum):
    """How rows are written."""

    CSV = "csv"
    JSONL = "jsonl"
    NPZ = "npz"
    MARKDOWN = "md"


StoreFile = Annotated[Path, typer.Argument(help="A store that sweep wrote.", metavar="STORE")]
WHERE_HELP = "Only rows that meet this SQL condition on columns."
Where = Annotated[str | None, option("--where", WHERE_HELP, DATA, "SQL")]
FORMAT_HELP = "How rows are written: csv, jsonl, npz, md (default: by the extension, else csv)."
RowFormat = Annotated[ExportFormat | None, option("--format", FORMAT_HELP, OUTPUT, "WORD")]


@takes_settings("format", "json", "color", "config", "threads", *SETTING_OPTIONS)
def export(
    call: Call,
    store: StoreFile,
    where: Where = None,
    format: RowFormat = None,  # noqa: A002 (the flag's name)
) -> None:
    """Write the rows of a sweep: settings and results; as jsonl or npz the curves too."""
    output = call.place.output
    ending = "" if output is None else output.suffix.lower().removeprefix(".")
    by_name = ExportFormat(ending) if ending in list(ExportFormat) else ExportFormat.CSV
    chosen = format or by_name
    call.place.prepare()
    if call.place.to_stdout and chosen is ExportFormat.NPZ:
        raise SettingError("--format npz is binary; name a file with -o FILE.npz")

    from gradscope.report.documents.sweep import row_documents, rows_archive
    from gradscope.report.formats import to_csv, to_jsonl, to_markdown
    from gradscope.sweep.query import read_rows

    rows = read_rows(store, where, curves=chosen in (ExportFormat.JSONL, ExportFormat.NPZ))
    if chosen is ExportFormat.NPZ:
        content = rows_archive(rows)
    elif chosen is ExportFormat.JSONL:
        content = to_jsonl(row_documents(rows)).encode()
    else:
        write = to_csv if chosen is ExportFormat.CSV else to_markdown
        content = write(rows.columns, rows.values).encode()
    write_result(output, content, force=call.place.force)
