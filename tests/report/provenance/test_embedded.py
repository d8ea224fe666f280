"""SVG and PDF give back the settings that made them; damage is one line, never a traceback."""

import io
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gradscope.analysis.settings import Settings
from gradscope.errors import ArchiveError, SettingError
from gradscope.report.figures.pages import picture_bytes
from gradscope.report.provenance.embedded import embedded_text, pdf_text
from gradscope.report.provenance.records import provenance_text, read_provenance

VECTOR = (".svg", ".pdf")
ALL = (".png", *VECTOR)

AWKWARD = (
    "a (b) c.csv",
    "(((",
    ")",
    "back\\slash\\",
    "<b>&amp;</b> </dc:description>",
    "line\nbreak\r\ttab",
    "Größe σ_max 数 🎈",
    "/Keywords (x) >> endobj trailer /Info 1 0 R",
    "\x00\x01\x7f\x9f",
    "&quot;&#40;&copy",
)


@cache
def picture_of_file(suffix: str, name: str) -> bytes:
    return picture(suffix, of_file(name))


def picture(suffix: str, values: Mapping[str, Any]) -> bytes:
    figure = Figure(figsize=(1, 1))
    FigureCanvasAgg(figure)
    return picture_bytes(figure, suffix, values)


def of_file(name: str) -> dict[str, Any]:
    return Settings(data=name, column=(name,), steps=7).as_dict()


@pytest.mark.parametrize("suffix", ALL)
@pytest.mark.parametrize("name", AWKWARD)
def test_settings_come_back_from_every_format_whatever_a_file_is_called(
    suffix: str, name: str, tmp_path: Path
) -> None:
    path = tmp_path / f"figure{suffix}"
    path.write_bytes(picture(suffix, of_file(name)))

    found = read_provenance(path)

    assert found["settings"] == of_file(name)
    assert list(found) == ["schema", "version", "gradscope", "settings", "environment"]
    assert found["schema"] == "gradscope.settings"


@given(st.text(max_size=40))
@settings(max_examples=15)
def test_any_text_comes_back_from_a_pdf_and_an_svg(name: str) -> None:
    text = provenance_text({"data": name})

    for suffix in VECTOR:
        found = embedded_text(picture(suffix, {"data": name}))
        assert found is not None
        assert json.loads(found) == json.loads(text)


def pdf_with(keywords: str | bytes) -> bytes:
    """Return a PDF that matplotlib wrote with other keywords."""
    buffer = io.BytesIO()
    figure = Figure(figsize=(1, 1))
    metadata: Any = {"Keywords": keywords, "CreationDate": None}
    figure.savefig(buffer, format="pdf", metadata=metadata)
    return buffer.getvalue()


@pytest.mark.parametrize("text", ["σ_max (γ) \\", "ÿþ", "🎈)("])
def test_a_pdf_text_beyond_ascii_stands_in_utf_16(text: str) -> None:
    content = pdf_with(text)

    assert b"\xfe\xff" in content
    assert pdf_text(content) == text.encode()


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (rb"(plain)", b"plain"),
        (rb"(a (nested (deep)) b)", b"a (nested (deep)) b"),
        (rb"(\(\)\\)", b"()\\"),
        (rb"(\n\r\t\b\f)", b"\n\r\t\b\f"),
        (rb"(\101\60\0)", b"A0\0"),
        (rb"(\1012)", b"A2"),
        (b"(one \\\nline)", b"one line"),
        (b"(one \\\r\nline)", b"one line"),
        (rb"(\q)", b"q"),
        (b"()", b""),
        (b"<48 65 6C6c 6F>", b"Hello"),
        (b"<485>", b"HP"),
        (b"<FEFF03C3>", "σ".encode()),
        (b"(never closed", None),
        (b"(never closed \\", None),
        (b"<4865", None),
        (b"<zz>", None),
        (b"17", None),
        (b"", None),
    ],
)
def test_pdf_strings_are_read_as_the_standard_says(written: bytes, text: bytes | None) -> None:
    content = b"%PDF-1.4\n7 0 obj\n<< /Keywords " + written
    whole = content + b" >>\nendobj\ntrailer\n<< /Info 7 0 R >>"

    # What is not closed must not find its end in what follows.
    assert pdf_text(whole if text is not None else content + b"\ntrailer\n<< /Info 7 0 R") == text


def test_the_last_of_several_objects_with_the_number_counts() -> None:
    content = (
        b"%PDF-1.4\n7 0 obj\n<< /Keywords (old) >>\nendobj\n17 0 obj\n<< /Keywords (other) >>\n"
        b"7 0 obj\n<< /Keywords (new) >>\nendobj\ntrailer\n<< /Info 7 0 R >>"
    )

    assert pdf_text(content) == b"new"


@pytest.mark.parametrize(
    "content",
    [
        b"%PDF-1.4",
        b"%PDF-1.4\ntrailer\n<< /Root 1 0 R >>",
        b"%PDF-1.4\ntrailer\n<< /Info 9 0 R >>",
        b"%PDF-1.4\n9 0 obj\n<< /Author (me) >>\ntrailer\n<< /Info 9 0 R >>",
        b"%PDF-1.4\n9 0 obj\n<< /Keywords (not json) >>\ntrailer\n<< /Info 9 0 R >>",
        b"%PDF-1.4\n9 0 obj\n<< /Keywords ([1]) >>\ntrailer\n<< /Info 9 0 R >>",
        b"<?xml version='1.0'?><svg/>",
        b"<svg><dc:description>never closed",
        b"<svg><dc:description>&lt;</dc:description></svg>",
        b"<svg><dc:description>\xff\xfe</dc:description></svg>",
        b'<svg><dc:description>{"schema": 1}</dc:description></svg>',
    ],
)
def test_a_picture_of_others_is_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "figure"
    path.write_bytes(content)

    with pytest.raises(ArchiveError, match="has no gradscope settings") as refused:
        read_provenance(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("suffix", ALL)
@settings(max_examples=100)
@given(data=st.data())
def test_damage_anywhere_is_refused_or_harmless(
    suffix: str, data: st.DataObject, tmp_path: Path
) -> None:
    whole = picture_of_file(suffix, "a (b).csv")
    start = data.draw(st.integers(0, len(whole) - 1))
    length = data.draw(st.integers(0, 60))
    junk = data.draw(st.binary(max_size=8))
    path = tmp_path / f"figure{suffix}"
    path.write_bytes(whole[:start] + junk + whole[start + length :])

    try:
        found = read_provenance(path)
    except (ArchiveError, SettingError) as refused:
        said = str(refused)
        # Damage may make any beginning, that of a saved run (PK) among them, and another name.
        kinds = "has no gradscope settings", "cannot be read as a saved run", "there is no setting"
        assert any(each in said for each in kinds)
    else:
        assert isinstance(found["settings"], dict)


@pytest.mark.parametrize("suffix", ALL)
def test_a_picture_cut_short_is_refused_or_complete_where_its_text_is(
    suffix: str, tmp_path: Path
) -> None:
    whole = picture_of_file(suffix, "x.csv")
    path = tmp_path / f"figure{suffix}"
    for end in range(0, len(whole), max(len(whole) // 60, 1)):
        path.write_bytes(whole[:end])
        try:
            assert read_provenance(path)["settings"] == of_file("x.csv")
        except ArchiveError:
            assert end < len(whole) - 1


def test_the_kinds_are_told_apart() -> None:
    texts = [embedded_text(picture_of_file(suffix, "x.csv")) for suffix in ALL]
    assert [json.loads(text or b"")["settings"] for text in texts] == [of_file("x.csv")] * 3
    document = b'{"schema": "gradscope.analysis"}'
    assert embedded_text(document) == document
