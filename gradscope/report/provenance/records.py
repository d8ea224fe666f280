"""Which settings and versions made a file: written into every picture, read back from pictures,
documents and runs.

A PNG carries them as JSON in its text chunk ``gradscope`` (W3C PNG specification, section 11.3.3);
how an SVG and a PDF do lives in ``provenance_text``, what to run again is read in ``recipe``.
"""

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gradscope.analysis.archive import read_settings
from gradscope.errors import ArchiveError
from gradscope.report.formats import head
from gradscope.report.provenance.embedded import (
    html_text,
    is_html,
    is_pdf,
    is_svg,
    pdf_text,
    svg_text,
)

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
KEYWORD = "gradscope"

ANALYSIS: Mapping[str, Any] = MappingProxyType({"command": "analyze"})
"""What ``made_by`` says where one analysis made the file."""

KEPT = ("schema", "version", "gradscope", "settings", "environment")


def provenance_text(settings: Mapping[str, Any], made_by: Mapping[str, Any] = ANALYSIS) -> str:
    """Return settings, versions and the command that made the file as one line of JSON."""
    return json.dumps({**head("settings", settings), "made_by": dict(made_by)}, allow_nan=False)


def read_provenance(path: Path) -> dict[str, Any]:
    """Return the settings and versions that made a file.

    Raises
    ------
    ArchiveError
        If the file cannot be read, or gradscope did not make it.
    """
    document = read_document(path)
    return {name: document[name] for name in KEPT}


def read_document(path: Path) -> dict[str, Any]:
    """Return all that a file says about what made it: a document itself, a picture's text, or the
    settings of a saved run. Errors as in ``read_provenance``.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ArchiveError(f"{path} cannot be read: {error.strerror}; check the name") from error
    if content.startswith(b"PK"):
        return {**head("settings", read_settings(path, content)), "made_by": dict(ANALYSIS)}
    return _parse(path, _text(content))


def _text(content: bytes) -> bytes | None:
    """Return our text in a picture, a document as it is; None where a picture has none."""
    if content.startswith(PNG_SIGNATURE):
        return _png_text(content)
    if is_pdf(content):
        return pdf_text(content)
    if is_html(content):
        return html_text(content)
    return svg_text(content) if is_svg(content) else content


def settings_to_toml(settings: Mapping[str, Any]) -> str:
    """Return settings as a TOML file that ``--config`` reads; what is None is left out."""
    lines = (f"{name} = {_toml(value)}" for name, value in settings.items() if value is not None)
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """Return a string, number, boolean or list of these: as in JSON, but for two things.

    TOML has no surrogate pairs, so letters stand for themselves, and it wants DEL escaped.
    """
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _parse(path: Path, text: bytes | None) -> dict[str, Any]:
    try:
        document = json.loads(text or b"")
        kept = {name: document[name] for name in KEPT}
        return {**document, "settings": dict(**kept["settings"])}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ArchiveError(
            f"{path} carries no settings of gradscope; give a picture, .json or .npz that it wrote"
        ) from error


def _png_text(content: bytes) -> bytes | None:
    """Return the text under our keyword, None where there is none."""
    for kind, data in _png_chunks(content):
        keyword, _, rest = data.partition(b"\0")
        if keyword != KEYWORD.encode():
            continue
        if kind == b"tEXt":
            return rest
        if kind == b"iTXt":
            return _international_text(rest)
    return None


def _international_text(rest: bytes) -> bytes | None:
    """Return the text of an iTXt chunk (section 11.3.3.4), None where it is damaged."""
    flags, (_language, _, after) = rest[:2], rest[2:].partition(b"\0")
    _translated, _, text = after.partition(b"\0")
    if flags[:1] != b"\1":
        return text
    try:
        return zlib.decompress(text)
    except zlib.error:
        return None


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and data of every whole chunk."""
    place = len(PNG_SIGNATURE)
    while place + 12 <= len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        yield content[place + 4 : place + 8], content[place + 8 : place + 8 + length]
        place += length + 12
