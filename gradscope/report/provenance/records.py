"""Which settings and versions made a file: written into every picture, read back from pictures,
documents and runs. ``embedded`` has how each kind of picture carries them.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradscope.analysis.archive import read_settings
from gradscope.data.intake import Intake, content
from gradscope.errors import ArchiveError
from gradscope.report.formats import head
from gradscope.report.provenance.embedded import embedded_text

ANALYSIS: Mapping[str, Any] = {"command": "analyze"}
"""What ``made_by`` says where one analysis made the file."""

KEPT = ("schema", "version", "gradscope", "settings", "environment")


def provenance_text(settings: Mapping[str, Any], made_by: Mapping[str, Any] = ANALYSIS) -> str:
    """Return settings, versions and the command that made the file as one line of JSON."""
    return json.dumps({**head("settings", settings), "made_by": dict(made_by)}, allow_nan=False)


def read_provenance(path: Path) -> dict[str, Any]:
    """Return the settings and versions that made a file.

    ArchiveError if the file cannot be read, or gradscope did not make it.
    """
    document = read_document(path)
    return {name: document[name] for name in KEPT}


def read_document(path: Path) -> dict[str, Any]:
    """Return all that a document, a picture's text or a saved run says about what made it."""
    raw = content(path, ArchiveError)
    if raw.startswith(b"PK"):
        settings, environment = read_settings(path, raw)
        document = {**head("settings", settings), "made_by": dict(ANALYSIS)}
        document["gradscope"] = environment.get("gradscope", document["gradscope"])
        document["environment"] = {k: v for k, v in environment.items() if k != "gradscope"}
        return document
    try:
        document = Intake(path, ArchiveError).parsed_json(embedded_text(raw) or b"")
        kept = {name: document[name] for name in KEPT}
        return {**document, "settings": dict(**kept["settings"])}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ArchiveError(
            f"{path} has no gradscope settings; give a picture, .json or .npz that gradscope wrote"
        ) from error


def settings_to_toml(settings: Mapping[str, Any]) -> str:
    """Return settings as a TOML file that ``--config`` reads; what is None is left out.

    Values are written as in JSON, but for two things: TOML has no surrogate pairs, so letters stand
    for themselves, and it wants DEL escaped.
    """
    text = "\n".join(
        f"{name} = {json.dumps(value, ensure_ascii=False)}"
        for name, value in settings.items()
        if value is not None
    )
    return text.replace("\x7f", "\\u007f") + "\n"
