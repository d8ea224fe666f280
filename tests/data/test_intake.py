"""The budget of a file: what is counted, and what each kind of content may claim."""

import io
import json
import time
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradscope.data.columns import listed, quoted
from gradscope.data.intake import (
    ALWAYS_ALLOWED,
    DEEPEST,
    MAX_ITEMS,
    Intake,
    ZipMembers,
    content,
    parsed_toml,
)
from gradscope.errors import DataError


@pytest.fixture
def intake(tmp_path: Path) -> Intake:
    (tmp_path / "a").write_bytes(b"12345678")
    return Intake(tmp_path / "a", DataError)


def zipped(size: int, said: int) -> io.BytesIO:
    """Return a zip of a member of so many zeros that says another size in its directory."""
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x", bytes(size))
    whole = raw.getvalue()
    place = whole.index(b"PK\1\2") + 24
    return io.BytesIO(whole[:place] + said.to_bytes(4, "little") + whole[place + 4 :])


def test_a_member_is_read_as_far_as_it_says_it_goes(intake: Intake) -> None:
    members = ZipMembers(zipped(2**26, 100), intake)

    tracemalloc.start()
    with pytest.raises(zipfile.BadZipFile):
        members.read("x")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 2**22


def test_bytes_are_counted_once_and_no_further_than_allowed(intake: Intake) -> None:
    intake.spend(ALWAYS_ALLOWED - 10, "W")
    intake.require(10, "U")
    with pytest.raises(DataError, match="11 bytes, but only 10 more"):
        intake.spend(11, "U")


def test_a_slash_in_front_of_a_member_is_passed_over(intake: Intake) -> None:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as file:
        file.writestr("/a.npy", b"x")

    assert ZipMembers(raw, intake).names == ("a.npy",)


@pytest.mark.parametrize("depth", [DEEPEST, DEEPEST + 1])
def test_json_nests_as_deep_as_is_allowed(intake: Intake, depth: int) -> None:
    raw = b"[" * depth + b"]" * depth

    if depth == DEEPEST:
        assert intake.parsed_json(raw) == json.loads(raw)
    else:
        with pytest.raises(ValueError, match="deep"):
            intake.parsed_json(raw)


def test_json_of_many_items_is_refused_before_it_is_parsed(intake: Intake) -> None:
    with pytest.raises(ValueError, match="items"):
        intake.parsed_json(b"[" + b"1," * MAX_ITEMS + b"1]")


def test_json_in_an_array_is_read_whatever_its_letters(intake: Intake) -> None:
    text = json.dumps({"a": "σ\U0001f600"}, ensure_ascii=False)

    assert intake.parsed_json(np.array(text)) == json.loads(text)
    with pytest.raises(ValueError, match="decode"):
        intake.parsed_json(np.array([0x110000], "<u4").view("<U1"))
    with pytest.raises(ValueError, match="no text"):
        intake.parsed_json(np.array(1.0))


@pytest.mark.parametrize(
    "text",
    [
        "a = [0.1, 0.2, " + "0.5, " * 500 + "]",
        'a = "' + "x." * 500 + '"',
        "a = ['" + "', '".join(f"r/{n}.npz" for n in range(500)) + "']",
        'a.b.c.d = """x.\n' + "a." * 500 + '"""  # ' + "y." * 500,
    ],
)
def test_toml_of_many_points_that_part_no_key_is_read(text: str) -> None:
    assert "a" in parsed_toml(text)


@pytest.mark.parametrize("part", ["a", "'='", '"]"', '"\\"="', "1", " a "])
def test_toml_of_a_key_of_many_parts_is_refused(part: str) -> None:
    for line in (".".join([part] * 5000) + " = 1", "[" + ".".join([part] * 5000) + "]"):
        with pytest.raises(ValueError, match="many parts"):
            parsed_toml(line)


def test_toml_of_a_long_word_is_searched_once() -> None:
    word = "a" * 2**16
    start = time.process_time()
    with pytest.raises(ValueError, match="Expected '='"):
        parsed_toml(word)

    assert time.process_time() - start < 1.0  # It takes 0.03 s, and from every letter on, 4 s.


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is a folder or a device.*\(--data\)"):
        content(tmp_path, DataError, "--data")


@pytest.mark.parametrize(
    "value", ["\U000e0001" * 99, "\x1b" * 99, "'\"" * 99, [[]], (1, 2), {}, b"x", 3, None, 0.5]
)
def test_whatever_is_quoted_is_short_and_one_line(value: Any) -> None:
    said = quoted(value)

    assert len(said) <= 45
    assert said.isprintable()
    assert len(listed((str(value),) * 99)) <= 200
