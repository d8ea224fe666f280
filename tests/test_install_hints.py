"""What a message tells a person to install can be installed.

The name ``gradscope`` on the index belongs to another project, so every hint is a clone's.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from gradscope.errors import install_line

TOP = Path(__file__).parents[1]
PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
EXTRA_AT = {"install_line": 0, "open_hdf5": 1}
"""Which argument of a function is the name of an extra."""


def extras_asked_for() -> Iterator[str]:
    """Yield every extra that the code names in a hint."""
    for path in (TOP / "gradscope").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id=name), args=arguments) if name in EXTRA_AT:
                    match arguments[EXTRA_AT[name]]:
                        case ast.Constant(value=str(extra)):
                            yield extra


def test_every_extra_that_a_message_names_exists() -> None:
    asked = set(extras_asked_for())

    assert {"weights", "matlab", "dask", "torch", "keras"} <= asked
    assert asked <= set(EXTRAS)


def test_every_install_line_is_that_of_a_clone() -> None:
    texts = [TOP / "README.md", TOP / "Makefile", *(TOP / "gradscope").rglob("*.py")]
    for path in texts:
        for asked in re.findall(r"pip install (?!--)([^`\n]+)", path.read_text("utf-8")):
            found = re.match(r"'?\.(?:\[([\w,{}]+)\])?'?(?=[\s,;.]|$)", asked)
            assert found, f"{path}: {asked}"
            extra = found[1]
            assert extra in {None, "{extra}", *EXTRAS}, f"{path}: {asked}"
    assert "pip install '.[dask]'" in install_line("dask")


def test_the_distribution_has_a_name_of_its_own_and_the_command_keeps_its() -> None:
    assert PROJECT["name"] == "gradscope-rnn"
    assert set(PROJECT["scripts"]) == {"gradscope"}


def test_no_requirement_is_an_open_name() -> None:
    required = [*PROJECT["dependencies"], *(each for extra in EXTRAS.values() for each in extra)]

    assert [each for each in required if not re.fullmatch(r"[\w-]+>=[\d.]+,<[\d.]+", each)] == []
