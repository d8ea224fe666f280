"""The README: its generated part is current, its length and its order are kept."""

import re

from tests.readme import README, renewed

MAX_LINES = 450
SECTIONS = (
    "What would help?",
    "Is my network sick?",
    "Your own network",
    "Sweeps",
    "What people ask",
    "How to read the report",
    "What it cannot do",
    "Commands",
    "Where things are",
    "Changes",
)


def test_the_list_of_commands_in_the_readme_is_current() -> None:
    text = README.read_text(encoding="utf-8")

    assert renewed(text) == text, "run make docs"


def test_the_readme_stays_short_and_in_order() -> None:
    text = README.read_text(encoding="utf-8")

    assert len(text.splitlines()) <= MAX_LINES
    assert tuple(re.findall(r"^## (.*)$", text, re.MULTILINE)) == SECTIONS


def test_where_things_are_fits_forty_lines_and_names_packages_that_exist() -> None:
    text = README.read_text(encoding="utf-8")
    section = text.partition("## Where things are\n")[2].partition("\n## ")[0]
    package = README.parent / "gradscope"

    assert len(section.splitlines()) <= 40
    for row in re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE):
        for name in re.findall(r"\w+", row):
            assert (package / name).is_dir() or (package / f"{name}.py").is_file(), name
    for path in re.findall(r"`((?:model|weights|report|diagnosis)/[\w/]+(?:\.py)?)/?`", section):
        assert (package / path).exists(), path
