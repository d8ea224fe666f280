"""Results as text: JSON whose field names are a promise, CSV with a stable column order, Markdown.

JSON holds finite numbers only; where there is none the field is null, with the reason beside it.
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import gradscope
from gradscope.arrays import plain
from gradscope.machine import environment
from gradscope.report.screen import printable

Document = dict[str, Any]


def to_json(document: Mapping[str, Any]) -> str:
    """Return a document as JSON text; NaN and infinity are errors here, not output."""
    return json.dumps(document, allow_nan=False, indent=1) + "\n"


def to_jsonl(documents: Iterable[Mapping[str, Any]]) -> str:
    """Return documents as JSON Lines: one line each, whatever their texts hold."""
    lines = (json.dumps(each, allow_nan=False, separators=(",", ":")) for each in documents)
    return "".join(f"{line}\n" for line in lines)


def head(kind: str, settings: Mapping[str, Any]) -> Document:
    """Return what every document opens with: schema, versions, settings, environment."""
    return {
        "schema": f"gradscope.{kind}",
        "version": 1,
        "gradscope": gradscope.__version__,
        "settings": dict(settings),
        "environment": environment(),
    }


def named(value: object, *names: str, **others: str) -> Document:
    """Return these fields of a value under their own names, ``others`` under new ones."""
    fields = {**dict(zip(names, names, strict=True)), **others}
    return {name: getattr(value, field) for name, field in fields.items()}


def to_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as CSV; the cell of a missing or infinite number is empty. A text is one line,
    after an apostrophe where a spreadsheet would take it for a formula.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_text(v) if isinstance(v, str) else v for v in plain(row)] for row in rows)
    return buffer.getvalue()


def _text(cell: str) -> str:
    return "'" * cell.startswith(("=", "+", "-", "@")) + printable(cell)


def to_markdown(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as a Markdown table; the cell of a missing or infinite number is empty."""
    lines = [f"| {' | '.join(columns)} |", f"| {' | '.join('---' for _ in columns)} |"]
    for row in map(plain, rows):
        cells = ["" if v is None else f"{v:.6g}" if isinstance(v, float) else str(v) for v in row]
        escaped = " | ".join(printable(cell).replace("|", r"\|") for cell in cells)
        lines.append(f"| {escaped} |")
    return "\n".join(lines) + "\n"
