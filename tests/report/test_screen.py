"""What a screen can show: every letter we write has a spelling, and every text is one line."""

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gradscope
from gradscope.report.screen import SPELLED, Screen, printable, to_ascii

PACKAGE = Path(gradscope.__file__).parent
SHOWN = ("report", "cli", "analysis", "remedy", "learning", "data", "diagnosis")
NOT_FOR_TERMINALS = ("figures", "html.py", "screen.py")


def strings_of(path: Path) -> set[str]:
    """Return the characters of all strings in a file but its docstrings."""
    tree = ast.parse(path.read_text())
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docs = {
        ast.get_docstring(node, clean=False)
        for node in ast.walk(tree)
        if isinstance(node, documented)
    }
    strings = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return set("".join(string for string in strings if string not in docs))


@pytest.mark.parametrize("room", SHOWN)
def test_every_letter_that_may_be_shown_has_a_spelling(room: str) -> None:
    every = (PACKAGE / room).rglob("*.py")
    files = [path for path in every if not {*NOT_FOR_TERMINALS} & {*path.parts}]
    written = set().union(*map(strings_of, files))

    assert {letter for letter in written if not letter.isascii()} - set(SPELLED) == set()


@given(text=st.text())
def test_ascii_is_ascii_and_leaves_ascii_alone(text: str) -> None:
    assert to_ascii(text).isascii()
    assert to_ascii(to_ascii(text)) == to_ascii(text)
    if text.isascii():
        assert to_ascii(text) == text


@given(text=st.text())
def test_a_printable_text_is_one_line_without_control_characters(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(printable(text)) == printable(text)
    if text.isprintable():
        assert printable(text) == text


def test_known_letters_are_spelled_as_people_type_them() -> None:
    assert to_ascii("σ_max(∂h_T/∂h_T−ℓ) ≥ ½·γ") == "sigma_max(dh_T/dh_T-l) >= 1/2*gamma"
    assert to_ascii("日") == "?"
    assert printable("a\nb\x1b[1m") == "a\\nb\\x1b[1m"
    assert Screen(80, unicode=False).say("σ\n") == "sigma\\n"
    assert Screen(80).say("σ\n") == "σ\\n"
