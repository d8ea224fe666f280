"""Our text inside a picture or an HTML report; None where there is none.

A PNG carries it in the text chunk ``gradscope`` (W3C PNG specification, section 11.3.3), an SVG in
``<dc:description>``, an HTML report in ``<meta name="gradscope">``, a PDF under ``/Keywords`` (ISO
32000-1, sections 7.3.4, 7.9.2 and 14.3.3). All are read by hand, as XML parsers expand entities and
others unpack what is compressed.
"""

import html
import re
import zlib
from collections import deque

from gradscope.data.intake import unfold

KEYWORD = "gradscope"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")
SVG_MARKS = b"<dc:description>", b"</dc:description>"
HTML_MARKS = b'<meta name="gradscope" content="', b'">'
LONGEST_TEXT = 2**21
"""Bytes; a setting for each of 50,000 units takes half of it."""

START = 1024
"""Bytes at the beginning of a file in which its kind shows."""

UTF16_MARK = b"\xfe\xff"
ESCAPED = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}
TOKEN = re.compile(rb"[^()\\]+|[()]|\\(?:[0-7]{1,3}|\r\n|.)", re.DOTALL)
OCTAL = re.compile(rb"[0-7]{1,3}")
LINE_END = re.compile(rb"\r\n|\r|\n")


def embedded_text(content: bytes) -> bytes | None:
    """Return our text in a picture or a report; any other file is returned as it is."""
    start = content[:START]
    if content.startswith(PNG_SIGNATURE):
        return _png_text(content)
    if content.startswith(b"%PDF-"):
        return pdf_text(content)
    if start.lstrip().lower().startswith(b"<!doctype html"):
        return _between(content, *HTML_MARKS)
    return _between(content, *SVG_MARKS) if b"<svg" in start else content


def _png_text(content: bytes) -> bytes | None:
    """Return the text under our keyword, which other programs may have packed."""
    place = len(PNG_SIGNATURE)
    while place < len(content):
        size, kind = int.from_bytes(content[place : place + 4]), content[place + 4 : place + 8]
        keyword, _, text = content[place + 8 : place + 8 + size].partition(b"\0")
        place += size + 12  # With its size, its kind and its checksum
        checksum = zlib.crc32(content[place - size - 8 : place - 4]).to_bytes(4)
        ours = kind in TEXT_CHUNKS and keyword == KEYWORD.encode()
        if ours and content.startswith(checksum, place - 4):
            packed = kind == b"zTXt" or (kind == b"iTXt" and text.startswith(b"\1"))
            text = text[2:].split(b"\0", 2)[-1] if kind == b"iTXt" else text[kind == b"zTXt" :]
            try:
                text = unfold(text, LONGEST_TEXT) if packed else text
            except (ValueError, zlib.error):
                return None
            return text.decode("utf-8" if kind == b"iTXt" else "latin-1", "replace").encode()
    return None


def _between(content: bytes, opening: bytes, closing: bytes) -> bytes | None:
    """Return the text between two marks, its character references resolved."""
    start = content.find(opening) + len(opening)
    end = content.find(closing, start, start + LONGEST_TEXT)
    if start < len(opening) or end < 0:
        return None
    return html.unescape(content[start:end].decode("utf-8", "replace")).encode()


def pdf_text(content: bytes) -> bytes | None:
    """Return the keywords of a PDF, from the object that its trailer names as ``/Info``."""
    trailer = content.rfind(b"trailer")
    reference = re.search(rb"/Info\s+(\d{1,10})\s+(\d{1,5})\s+R", content[max(trailer, 0) :])
    if trailer < 0 or reference is None:
        return None
    opening = rb"(?:^|[\r\n])%b\s+%b\s+obj\s*<<" % reference.groups()
    last = deque(re.finditer(opening, content[:trailer]), maxlen=1)
    dictionary = content[last[0].end() : trailer] if last else b""
    found = re.search(rb"/Keywords\s*", dictionary)
    raw = None if found is None else _string(dictionary, found.end())
    if raw is None or not raw.startswith(UTF16_MARK):
        return raw
    return raw[len(UTF16_MARK) :].decode("utf-16-be", "replace").encode()


def _string(content: bytes, place: int) -> bytes | None:
    """Return the string object that begins at a place; None where it is none, or has no end."""
    if content[place : place + 1] == b"(":
        return _literal(content, place + 1)
    digits, closed, _ = content[place + 1 :].partition(b">")
    if content[place : place + 1] != b"<" or not closed:
        return None
    try:
        text = "".join(digits.decode("ascii").split())
        return bytes.fromhex(text + "0" * (len(text) % 2))
    except ValueError:
        return None


def _literal(content: bytes, place: int) -> bytes | None:
    """Return a literal string from behind its opening parenthesis on."""
    pieces: list[bytes] = []
    depth = 1
    for token in TOKEN.finditer(content, place, place + LONGEST_TEXT):
        piece = token.group()
        depth += {b"(": 1, b")": -1}.get(piece, 0)
        if depth == 0:
            return b"".join(pieces)
        escaped = piece.removeprefix(b"\\")
        if escaped == piece:
            pieces.append(piece)
        elif OCTAL.fullmatch(escaped):
            pieces.append(bytes([int(escaped, 8) & 0xFF]))
        elif not LINE_END.fullmatch(escaped):  # A line that is continued adds nothing.
            pieces.append(ESCAPED.get(escaped, escaped))
    return None
