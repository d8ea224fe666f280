"""The README shows the help pages that the commands print."""

from tests.readme import README, renewed


def test_the_help_pages_in_the_readme_are_those_of_the_commands() -> None:
    text = README.read_text(encoding="utf-8")

    assert renewed(text) == text, "run make docs"
