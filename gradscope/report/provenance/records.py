"""Which settings and versions made a file: written into pictures, read back from all files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradscope.analysis.archive import DAMAGE, read_settings
from gradscope.analysis.setting_values import checked
from gradscope.analysis.settings import SETTINGS, check_names
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
    """Return what made a file; ArchiveError if it cannot be read, or gradscope did not make it."""
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
        json.dumps(kept, allow_nan=False)  # As what is read must be written again.
        check_names(kept["settings"], str(path))
        return {**document, "settings": dict(**kept["settings"])}
    except DAMAGE as error:
        remedy = "give a picture, .json or .npz that gradscope wrote"
        raise ArchiveError(f"{path} has no gradscope settings; {remedy}") from error


def settings_to_toml(settings: Mapping[str, Any]) -> str:
    """Return settings as a TOML file that ``--config`` reads; what is None is left out.

    SettingError if a value is not one of its setting. A letter that cannot be seen is written by
    its number; of a lone surrogate that is no valid TOML, which cannot hold it.
    """
    lines = (
        f"{name} = {json.dumps(checked(SETTINGS[name], value), ensure_ascii=False)}"
        for name, value in settings.items()
        if value is not None
    )
    seen = ("".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in each) for each in lines)
    return "".join(f"{line}\n" for line in seen)
