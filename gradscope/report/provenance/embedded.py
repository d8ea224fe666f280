"""Our text inside an SVG, a PDF or an HTML report; None where there is none.

An SVG carries it in ``<dc:description>`` (Dublin Core in RDF metadata). A PDF carries it under
``/Keywords`` in the document information dictionary, as a literal string or in UTF-16 with a byte
order mark (ISO 32000-1, sections 7.3.4, 7.9.2 and 14.3.3). Both are read by hand and within the
bytes given: no XML parser that expands entities, no PDF library. An HTML report carries it in
``<meta name="gradscope">``.
"""

import html
import re

SVG_OPEN, SVG_CLOSE = b"<dc:description>", b"</dc:description>"
META_OPEN, META_CLOSE = b'<meta name="gradscope" content="', b'">'
START = 1024
"""Bytes at the beginning of a file in which its kind shows."""

UTF16_MARK = b"\xfe\xff"
ESCAPED = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}
OCTAL = re.compile(rb"[0-7]{1,3}")
LINE_END = re.compile(rb"\r\n|\r|\n")


def is_svg(content: bytes) -> bool:
    """Whether a file looks like an SVG."""
    return b"<svg" in content[:START]


def is_pdf(content: bytes) -> bool:
    """Whether a file looks like a PDF."""
    return content.startswith(b"%PDF-")


def svg_text(content: bytes) -> bytes | None:
    """Return the description of an SVG."""
    return _between(content, SVG_OPEN, SVG_CLOSE)


def _between(content: bytes, opening: bytes, closing: bytes) -> bytes | None:
    """Return the text between two marks, its character references resolved."""
    _, opened, rest = content.partition(opening)
    text, closed, _ = rest.partition(closing)
    if not (opened and closed):
        return None
    return html.unescape(text.decode("utf-8", "replace")).encode()


def is_html(content: bytes) -> bool:
    """Whether a file looks like a page of HTML."""
    return content[:START].lstrip().lower().startswith(b"<!doctype html")


def html_text(content: bytes) -> bytes | None:
    """Return the meta entry of an HTML report."""
    return _between(content, META_OPEN, META_CLOSE)


def pdf_text(content: bytes) -> bytes | None:
    """Return the keywords of a PDF."""
    dictionary = _info_dictionary(content)
    if dictionary is None:
        return None
    found = re.search(rb"/Keywords\s*", dictionary)
    if found is None:
        return None
    raw = _string(dictionary, found.end())
    if raw is None or not raw.startswith(UTF16_MARK):
        return raw
    return raw[len(UTF16_MARK) :].decode("utf-16-be", "replace").encode()


def _info_dictionary(content: bytes) -> bytes | None:
    """Return what follows the opening of the object that the trailer names as ``/Info``."""
    trailer = content.rfind(b"trailer")
    reference = re.search(rb"/Info\s+(\d{1,10})\s+(\d{1,5})\s+R", content[max(trailer, 0) :])
    if trailer < 0 or reference is None:
        return None
    number, generation = reference.groups()
    opening = rb"(?:^|[\r\n])" + number + rb"\s+" + generation + rb"\s+obj\s*<<"
    objects = list(re.finditer(opening, content[:trailer]))
    return content[objects[-1].end() : trailer] if objects else None


def _string(content: bytes, place: int) -> bytes | None:
    """Return the string object that begins at a place; None where it is none, or has no end."""
    if content[place : place + 1] == b"<":
        digits, closed, _ = content[place + 1 :].partition(b">")
        return _from_hex(digits) if closed else None
    if content[place : place + 1] != b"(":
        return None
    return _literal(content, place + 1)


def _from_hex(digits: bytes) -> bytes | None:
    try:
        text = "".join(digits.decode("ascii").split())
        return bytes.fromhex(text if len(text) % 2 == 0 else f"{text}0")
    except ValueError:
        return None


def _literal(content: bytes, place: int) -> bytes | None:
    """Return a literal string from behind its opening parenthesis on."""
    pieces: list[bytes] = []
    depth = 1
    for token in re.finditer(rb"[^()\\]+|[()]|\\(?:[0-7]{1,3}|\r\n|.)", content[place:], re.DOTALL):
        piece = token.group()
        depth += {b"(": 1, b")": -1}.get(piece, 0)
        if depth == 0:
            return b"".join(pieces)
        pieces.append(_unescaped(piece[1:]) if piece.startswith(b"\\") else piece)
    return None


def _unescaped(piece: bytes) -> bytes:
    """Return what stands behind a backslash as the bytes it means."""
    if OCTAL.fullmatch(piece):
        return bytes([int(piece, 8) & 0xFF])
    if LINE_END.fullmatch(piece):
        return b""  # A line continued.
    return ESCAPED.get(piece, piece)
