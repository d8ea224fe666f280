"""Text from a file: spelled out, cut and harmless in every place that it reaches."""

import csv
import io
import json
import tomllib
import unicodedata
from pathlib import Path
from typing import Any
from xml.dom.minidom import parseString

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradscope.analysis.inspect import inspect
from gradscope.analysis.settings import Settings
from gradscope.data.columns import SHOWN_CHARACTERS, quoted
from gradscope.errors import SettingError
from gradscope.report.figures.eigenvalues import eigenvalue_picture
from gradscope.report.figures.sweep_axes import line_style, tick_labels
from gradscope.report.formats import to_csv
from gradscope.report.provenance.recipe import command_words
from gradscope.report.provenance.records import read_document, settings_to_toml
from gradscope.sweep.summary import Axis

UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Controls C0 and C1, bidi marks and other formats, lone surrogates, separators of lines."""

HOSTILE = {
    "escape": "a\x1b[2Jb",
    "c1": "a\x9b31mb",
    "bidi": "a\u202eb\u2066c\u200fd",
    "mathematics": "a$\\frac$b$x$",
    "separator": "a\u2028b\u2029c",
    "letters without a glyph": "日本\u0f00",
    "markup": "<b>\"'&]]>",
    "long": "x" * 900,
}


def unseen(text: str) -> set[str]:
    return {each for each in text if unicodedata.category(each) in UNSEEN and each != "\n"}


@given(st.text(st.characters(), max_size=300))
def test_a_quoted_text_is_short_and_can_be_seen(text: str) -> None:
    shown = quoted(text)

    assert len(shown) <= SHOWN_CHARACTERS + 10
    assert not unseen(shown)
    assert "\n" not in shown


@pytest.mark.parametrize("value", [[[1] * 99] * 99, {"a" * 999: 1}, -1.5, {"\x1b": "\x9b"}, None])
def test_a_quoted_value_is_short_and_can_be_seen(value: Any) -> None:
    assert len(quoted(value)) < 200
    assert not unseen(quoted(value))


@given(data=st.text(st.characters()), names=st.lists(st.text(st.characters()), max_size=3))
def test_toml_gives_any_text_back_or_is_refused_and_each_setting_is_one_line(
    data: str, names: list[str]
) -> None:
    toml = settings_to_toml({"data": data, "column": names, "gain": 0.5})

    assert toml.count("\n") == 3
    assert not unseen(toml)
    if any("\ud800" <= each <= "\udfff" for each in data + "".join(names)):
        with pytest.raises(tomllib.TOMLDecodeError):
            tomllib.loads(toml)
    else:
        assert tomllib.loads(toml) == {"data": data, "column": names, "gain": 0.5}


@pytest.mark.parametrize("value", [{"a": 1}, [1, "x"], float("nan"), "tahn\nload = 'x'"])
def test_toml_of_what_is_no_setting_is_refused(value: Any) -> None:
    with pytest.raises(SettingError):
        settings_to_toml({"activation": value})


def test_names_that_are_no_settings_are_refused_whatever_file_holds_them(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    kept = {"schema": "gradscope.settings", "version": 1, "gradscope": "1", "environment": {}}
    path.write_text(json.dumps({**kept, "settings": {"\x1b]0;k\x07\nload": "x"}}))

    with pytest.raises(SettingError, match="there is no setting") as refusal:
        read_document(path)

    assert not unseen(str(refusal.value))


def test_words_of_a_command_cannot_become_a_line_of_toml() -> None:
    injected = 'elman\nload = "evil.npz"\n# x'
    made_by = {"command": "compare", "cell": [injected], "activation": ["tanh"], "steps": [5]}

    words = command_words({"schema": "gradscope.settings", "made_by": made_by})

    assert "\n" not in words
    assert not unseen(words)


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_a_text_in_a_csv_is_no_formula_and_a_number_stays_one(start: str) -> None:
    text = f"{start}HYPERLINK(1)\x1b\r\n\t\u202e"

    _, (shown, number) = csv.reader(io.StringIO(to_csv(("name", "x"), [[text, -1.5]])))

    assert shown.startswith(f"'{start}")
    assert not unseen(shown)
    assert "\n" not in shown
    assert float(number) == -1.5


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_a_picture_of_a_layer_of_any_name_is_whole_and_without_a_warning(
    tmp_path: Path, name: str
) -> None:
    # Warnings are errors here: a font that lacks a letter says so in one.
    path = tmp_path / "net.npz"
    rng = np.random.default_rng(0)
    arrays = {"weight_ih_l0": rng.normal(size=(4, 2)), "weight_hh_l0": rng.normal(size=(4, 4))}
    named: dict[str, Any] = {f"{name}.{k}".replace("/", "_"): v for k, v in arrays.items()}
    np.savez(path, **named)

    picture = eigenvalue_picture(inspect(path), ".svg")

    assert parseString(picture).documentElement is not None  # noqa: S318 (our own)
    assert not unseen(picture.decode())


@pytest.mark.parametrize("name", [*HOSTILE.values(), "a\nb", "a\udcff"])
def test_a_swept_file_of_any_name_is_one_line_beside_its_tick(name: str) -> None:
    (label,) = tick_labels(Axis("weights", (name,)))

    assert label.isprintable()
    assert "$" not in label.replace("\\$", "")


@pytest.mark.parametrize("name", ["gru net.pt", "lstm \x1b", "relu GRU"])
def test_a_file_that_is_called_like_a_cell_has_a_line_style(name: str) -> None:
    assert line_style(name).color


def test_settings_name_a_value_of_a_file_in_one_short_line() -> None:
    with pytest.raises(SettingError) as refusal:
        Settings.from_dict({"sequences": [1] * 10_000})

    assert len(str(refusal.value)) < 200
