"""Settings travel in pictures, documents and runs, and damaged files are refused in one line."""

import json
import struct
import tomllib
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gradscope.analysis.archive import archive_bytes
from gradscope.analysis.results import Analysis
from gradscope.analysis.settings import Settings
from gradscope.errors import ArchiveError, GradscopeError
from gradscope.report.documents.analysis import analysis_document
from gradscope.report.formats import to_json
from gradscope.report.provenance.embedded import KEYWORD, PNG_SIGNATURE
from gradscope.report.provenance.records import (
    provenance_text,
    read_provenance,
    settings_to_toml,
)

SETTINGS = Settings(hidden=7, data="γ [x].csv", column=("a b", "c")).as_dict()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


HEADER = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)


def png(*chunks: bytes) -> bytes:
    return PNG_SIGNATURE + b"".join((chunk(b"IHDR", HEADER), *chunks, chunk(b"IEND", b"")))


def text_chunk(text: str) -> bytes:
    return chunk(b"tEXt", KEYWORD.encode() + b"\0" + text.encode())


def international(text: bytes, flags: bytes = b"\0\0") -> bytes:
    return chunk(b"iTXt", KEYWORD.encode() + b"\0" + flags + b"en\0key\0" + text)


PROVENANCE = provenance_text(SETTINGS)
PICTURES = {
    "plain": png(text_chunk(PROVENANCE)),
    "behind others": png(
        chunk(b"tEXt", b"Title\0x"), chunk(b"gAMA", bytes(4)), text_chunk(PROVENANCE)
    ),
    "international": png(international(PROVENANCE.encode())),
    "compressed": png(international(zlib.compress(PROVENANCE.encode()), b"\1\0")),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_a_picture_gives_its_settings_back(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.png").write_bytes(PICTURES[kind])

    assert read_provenance(tmp_path / "a.png")["settings"] == SETTINGS


def test_documents_and_runs_give_their_settings_back(
    tmp_path: Path, analyses: dict[str, Analysis]
) -> None:
    trained = analyses["trained"]
    (tmp_path / "a.json").write_text(to_json(analysis_document(trained)))
    (tmp_path / "a.npz").write_bytes(archive_bytes(trained))

    for name in ("a.json", "a.npz"):
        assert read_provenance(tmp_path / name)["settings"] == trained.settings.as_dict()


DAMAGED = {
    "no text": png(),
    "other text": png(chunk(b"tEXt", b"Title\0" + PROVENANCE.encode())),
    "no json": png(text_chunk("{")),
    "a list": png(text_chunk("[1]")),
    "settings a list": png(
        text_chunk(PROVENANCE.replace('"settings": {', '"settings": [], "x": {'))
    ),
    "empty international": png(chunk(b"iTXt", KEYWORD.encode() + b"\0")),
    "one flag": png(chunk(b"iTXt", KEYWORD.encode() + b"\0\1")),
    "not compressed": png(international(PROVENANCE.encode(), b"\1\0")),
    "cut short": PICTURES["plain"][:80],
    "unpacked without end": png(international(zlib.compress(b"[" * 2**24), b"\1\0")),
    "packed and cut short": png(international(zlib.compress(PROVENANCE.encode())[:-4], b"\1\0")),
    "an animation of no frames": png(chunk(b"acTL", bytes(8))),
    "a length that lies": PNG_SIGNATURE + struct.pack(">I", 2**31) + b"tEXt",
    "signature alone": PNG_SIGNATURE,
    "empty": b"",
    "nested beyond reason": b"[" * 200_000,
    "binary": bytes(range(128, 256)),
    "a zip that is none": b"PK\3\4nothing",
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_files_are_an_archive_error_of_one_line(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a").write_bytes(DAMAGED[kind])

    with pytest.raises(ArchiveError) as caught:
        read_provenance(tmp_path / "a")
    assert str(tmp_path / "a") in str(caught.value)
    assert "\n" not in str(caught.value)


@given(data=st.data())
@hypothesis_settings(max_examples=200)
def test_flipped_bytes_are_harmless_or_an_error_of_ours(
    data: st.DataObject, tmp_path: Path
) -> None:
    content = bytearray(PICTURES[data.draw(st.sampled_from(sorted(PICTURES)))])
    for place in data.draw(st.lists(st.integers(8, len(content) - 1), min_size=1, max_size=4)):
        content[place] ^= data.draw(st.integers(1, 255))
    (tmp_path / "a.png").write_bytes(content)

    try:
        found = read_provenance(tmp_path / "a.png")
    except GradscopeError:
        return
    assert isinstance(found["settings"], dict)


@pytest.mark.parametrize("name", ["none.png", "."])
def test_what_cannot_be_read_is_said(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArchiveError, match=r"does not exist|is a folder"):
        read_provenance(tmp_path / name)


@given(
    values=st.dictionaries(
        st.sampled_from(["data", "load"]),
        st.text(st.characters(exclude_categories=["Cs"])),
    ),
    column=st.lists(st.text(st.characters(exclude_categories=["Cs"]))),
    gain=st.floats(0, 1e100),
)
def test_toml_holds_every_text_and_number(
    values: dict[str, Any], column: list[str], gain: float
) -> None:
    settings = {**values, "column": column, "gain": gain, "center_bias": False}

    assert tomllib.loads(settings_to_toml(settings)) == settings


def test_what_is_none_is_left_out_of_toml() -> None:
    assert settings_to_toml({"delay": None, "steps": 3}) == "steps = 3\n"


def test_the_text_in_a_picture_is_one_line_of_ascii_json() -> None:
    assert PROVENANCE.isascii()
    assert "\n" not in PROVENANCE
    assert json.loads(PROVENANCE)["schema"] == "gradscope.settings"
