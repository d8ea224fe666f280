"""Seeded ways to change a file: its bytes, or what its grammar says is there.

Each takes the bytes of a whole file and a generator, and returns the bytes of another. What does
not fit a mutator (a file without a zip inside, say) is changed by its bytes.
"""

import contextlib
import io
import json
import pickletools
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from tests.fuzz.odd import odd_json, odd_npy_header, odd_toml
from tests.weights.mutating import damaged

Mutator = Callable[[bytes, np.random.Generator], bytes]
Generator = np.random.Generator

LARGE = 2**24
"""Bytes from which a member is packed fast."""

NUMBERS = (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\1\0\0\0", b"\0\0\0\x80")


def flipped(raw: bytes, rng: Generator) -> bytes:
    """Change bytes, cut, delete, repeat; sometimes several times, or a block many times over."""
    kind = rng.integers(6)
    if kind == 0:
        place, length = int(rng.integers(len(raw))), int(rng.integers(1, 200))
        return raw[:place] + raw[place : place + length] * int(rng.integers(2, 400)) + raw[place:]
    if kind == 1:
        one, other = sorted(int(each) for each in rng.integers(len(raw), size=2))
        return raw[other:] + raw[one:other] + raw[:one]
    for _ in range(int(rng.integers(1, 4))):
        raw = damaged(raw, rng) or b"\0"
    return raw


def numbered(raw: bytes, rng: Generator) -> bytes:
    """Replace aligned four-byte numbers: sizes, counts and types of old formats."""
    found = bytearray(raw)
    for _ in range(int(rng.integers(1, 3))):
        place = 4 * int(rng.integers(max(1, len(raw) // 4)))
        number = int(rng.integers(0, 40)).to_bytes(4, "little")
        found[place : place + 4] = number if rng.random() < 0.5 else _one(NUMBERS, rng)
    return bytes(found)


def _one(choices: Any, rng: Generator) -> Any:
    return choices[int(rng.integers(len(choices)))]


def _members(raw: bytes) -> dict[str, bytes] | None:
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, ValueError):
        return None


def _zipped(members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            level = 1 if len(content) > LARGE else None
            archive.writestr(zipfile.ZipInfo(name), content, method, level)  # Of no date.
    return buffer.getvalue()


def zip_changed(raw: bytes, rng: Generator) -> bytes:
    """Rename, damage, swap or swell a member, checksums right; or make a record lie about sizes."""
    members = _members(raw)
    if not members:
        return flipped(raw, rng)
    name, kind = _one(list(members), rng), rng.integers(7)
    if kind == 0:
        members[_one(ODD_NAMES, rng)] = members.pop(name)
    elif kind == 1:
        members[name] = flipped(members[name], rng)
    elif kind == 2:
        other = _one(list(members), rng)
        members[name], members[other] = members[other], members[name]
    elif kind == 3:
        return _swollen(members, name, rng)
    elif kind == 4:
        del members[name]
        members[f"{name}/"] = b""
    else:
        return _lying(raw, rng)
    return _zipped(members, _one((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED), rng))


def _swollen(members: Mapping[str, bytes], name: str, rng: Generator) -> bytes:
    """Return a zip with a member of zeros without end, which half of the time says it is small."""
    raw = _zipped({**members, name: bytes(int(rng.integers(1, 9)) * 80 * 2**20)})
    if rng.random() < 0.5:
        size = len(members[name]).to_bytes(4, "little")
        for mark, sizes, names in ((b"PK\x03\x04", 22, 30), (b"PK\x01\x02", 24, 46)):
            for found in re.finditer(re.escape(mark), raw):
                at = found.start()
                if raw[at + names :].startswith(name.encode()):
                    raw = raw[: at + sizes] + size + raw[at + sizes + 4 :]
    return raw


ODD_NAMES = (
    *("../../x.npy", "/abs.npy", "a\x1b[2Jb.npy", "x" * 5000, "a/b/c/d.npy", "\u202e.npy", " "),
    *("W\ngain = 9.npy", "config.json", "data.pkl", "=1+1.npy", "settings.npy", "a$b$.npy"),
)


def _lying(raw: bytes, rng: Generator) -> bytes:
    """Change a number in a record of a zip's directory: sizes, method, flags, offsets."""
    records = [found.start() for found in re.finditer(rb"PK\x01\x02|PK\x03\x04|PK\x05\x06", raw)]
    place = int(_one(records, rng)) + 4 + 2 * int(rng.integers(20))
    number: bytes = _one(
        (b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\0\0\0\x10"), rng
    )
    return raw[:place] + number + raw[place + 4 :]


def _inside(ending: str, change: Mutator) -> Mutator:
    """Return what changes a member of a zip whose name ends so."""

    def changed(raw: bytes, rng: Generator) -> bytes:
        members = _members(raw) or {}
        names = [name for name in members if name.endswith(ending)]
        if not names:
            return flipped(raw, rng)
        name = _one(names, rng)
        return _zipped({**members, name: change(members[name], rng)}, zipfile.ZIP_STORED)

    return changed


def npy_changed(raw: bytes, rng: Generator) -> bytes:
    """Give an array another header: shape, type, order, version; its numbers stay."""
    length = int.from_bytes(raw[8:10], "little")
    header = odd_npy_header(raw[10 : 10 + length].decode("latin-1"), rng).encode("latin-1")
    version: bytes = _one((b"\1\0", b"\1\0", b"\1\0", b"\2\0", b"\3\0", b"\x09\0"), rng)
    size = len(header).to_bytes(2 if version[0] == 1 else 4, "little")
    return raw[:6] + version + size + header + raw[10 + length :]


def pickle_changed(raw: bytes, rng: Generator) -> bytes:
    """Swap, repeat, replace or insert opcodes."""
    places: list[int] = []
    start = raw.find(b"\x80")
    with contextlib.suppress(Exception):  # As far as they can be read.
        places += (place for _, _, place in pickletools.genops(raw[start:]) if place is not None)
    places = [start + each for each in places]
    if len(places) < 3:
        return flipped(raw, rng)
    at = int(rng.integers(len(places) - 2))
    one, two, three = places[at], places[at + 1], places[at + 2]
    kind = rng.integers(5)
    if kind == 0:
        return raw[:one] + raw[two:three] + raw[one:two] + raw[three:]
    if kind == 1:
        return raw[:one] + raw[one:two] * int(rng.integers(2, 2000)) + raw[two:]
    if kind == 2:
        return raw[:one] + bytes([int(_one(OPCODES, rng))]) + raw[one + 1 :]
    if kind == 3:
        return raw[:one] + raw[two:]
    inserted: bytes = _one(INSERTED, rng)
    return raw[:two] + inserted + raw[two:]


OPCODES = b"".join(each.code.encode("latin-1") for each in pickletools.opcodes)
INSERTED = (
    *(b"2\x86" * 60, b"]q\xf02h\xf0a", b"cos\nsystem\nX\2\0\0\0id\x85R", b"(" * 3000, b"0" * 50),
    *(b"cbuiltins\nlist\n)R", b"\x8a\xff" + b"\x7f" * 255, b"]" * 2000 + b"a" * 1999),
    *(b"X\xff\xff\xff\x7f", b"ctorch\nSize\nX\4\0\0\0abcd\x85R", b"G\x7f\xf0\0\0\0\0\0\0"),
)
"""Doubled tuples, a list that holds itself, calls, depth, a huge number, a length that lies."""


def json_changed(raw: bytes, rng: Generator) -> bytes:
    """Put odd values into a JSON text."""
    try:
        return odd_json(json.loads(raw), rng).encode("utf-8", "surrogatepass")
    except ValueError:
        return flipped(raw, rng)


def json_inside(raw: bytes, rng: Generator) -> bytes:
    """Put odd values into the JSON that stands in a picture or a page, whatever is around it."""
    place = raw.find(b'{"schema')
    escaped = place < 0
    if escaped:
        place = raw.find(b"{&quot;schema")
    end = raw.find(b"}}", place) + 2
    text = raw[place:end].replace(b"&quot;", b'"')
    if place < 0:
        return flipped(raw, rng)
    changed = json_changed(text, rng)
    return raw[:place] + (changed.replace(b'"', b"&quot;") if escaped else changed) + raw[end:]


def toml_changed(raw: bytes, rng: Generator) -> bytes:
    """Put odd lines and values into a TOML text."""
    return odd_toml(raw.decode(), rng).encode("utf-8", "surrogatepass")


def safetensors_changed(raw: bytes, rng: Generator) -> bytes:
    """Put odd values into the header, its length right."""
    length = int.from_bytes(raw[:8], "little")
    header = json_changed(raw[8 : 8 + length], rng)
    return len(header).to_bytes(8, "little") + header + raw[8 + length :]


def png_changed(raw: bytes, rng: Generator) -> bytes:
    """Change the text in a picture, or its kind of chunk, checksums right."""
    chunks, place = [], 8
    while place + 12 <= len(raw):
        size = int.from_bytes(raw[place : place + 4], "big")
        chunks.append((raw[place + 4 : place + 8], raw[place + 8 : place + 8 + size]))
        place += 12 + size
    kind = rng.integers(4)
    for at, (name, content) in enumerate(chunks):
        keyword, _, text = content.partition(b"\0")
        if name != b"tEXt" or keyword != b"gradscope":
            continue
        if kind == 0:
            swollen = text + b" " * (int(rng.integers(1, 300)) * 2**20)
            chunks[at] = (b"zTXt", b"gradscope\0\0" + zlib.compress(swollen, 1))
        elif kind == 1:
            packed = zlib.compress(json_changed(text, rng))
            chunks[at] = (b"iTXt", b"gradscope\0\1\0\0\0" + packed)
        elif kind == 2:
            chunks[at] = (name, b"gradscope\0" + flipped(text, rng))
        else:
            changed = json_changed(text, rng).decode("utf-8", "replace")
            chunks[at] = (name, b"gradscope\0" + changed.encode("latin-1", "replace"))
    return raw[:8] + b"".join(_chunk(*each) for each in chunks)


def _chunk(name: bytes, content: bytes) -> bytes:
    check = zlib.crc32(name + content).to_bytes(4, "big")
    return len(content).to_bytes(4, "big") + name + content + check


def table_changed(raw: bytes, rng: Generator) -> bytes:
    """Change cells, names, separators, quotes or the encoding of a table."""
    lines = [line.split(",") for line in raw.decode().splitlines()]
    kind = rng.integers(7)
    for _ in range(int(rng.integers(1, 4))):
        row = _one(lines, rng)
        row[int(rng.integers(len(row)))] = _one(ODD_CELLS, rng)
    if kind == 0:
        lines[0] = [_one(ODD_CELLS, rng) for _ in lines[0]]
    if kind == 1:
        return "\n".join(map(";".join, lines)).encode("utf-16", "surrogatepass")
    if kind == 2:
        lines = [line * int(rng.integers(1, 300)) for line in lines]
    if kind == 3:
        return "\r".join(map("\t".join, lines)).encode("utf-8", "surrogatepass")
    if kind == 4:
        return flipped("\n".join(map(",".join, lines)).encode("utf-8", "surrogatepass"), rng)
    return "\n".join(map(",".join, lines)).encode("utf-8", "surrogatepass")


ODD_CELLS = (
    *("nan", "inf", "-1e999", "9" * 5000, "1,5", '"', '"a\nb"', "=1+1", "\x1b[2J", "\x9b31m", "NA"),
    *("\u202evalue", "\0", "x" * 20_000, "1e-320", "12:30", "-", "1_000", "٣", "5 %", "\ud800"),
)

MUTATORS: Mapping[str, Mutator] = MappingProxyType(
    {
        "bytes": flipped,
        "numbers": numbered,
        "zip": zip_changed,
        "npy": npy_changed,
        "npy-in-zip": _inside(".npy", npy_changed),
        "json-in-zip": _inside(".json", json_changed),
        "pickle": pickle_changed,
        "pickle-in-zip": _inside(".pkl", pickle_changed),
        "json": json_changed,
        "json-inside": json_inside,
        "toml": toml_changed,
        "safetensors": safetensors_changed,
        "png": png_changed,
        "table": table_changed,
    }
)
"""By name; those that need a library to write their format are in ``library_mutators``."""
