"""The table of panels names functions that are there, settings that are there, and terms."""

from dataclasses import fields
from pathlib import Path
from pkgutil import resolve_name

import pytest

from gradscope.analysis.details import Details
from gradscope.analysis.settings import SETTINGS
from gradscope.errors import SettingError
from gradscope.explain.glossary import find_term
from gradscope.report.figures.panels import PANELS, Panel, View, checked_panels

EVERY = tuple(PANELS.values())


@pytest.mark.parametrize("panel", EVERY, ids=PANELS)
def test_every_row_names_functions_of_its_own_panel(panel: Panel) -> None:
    for place in (
        f"figures.{panel.drawn_in}.{panel.name}_panel",
        f"words.captions.{panel.name}_caption",
        f"documents.rows.{panel.name}_rows",
    ):
        assert callable(resolve_name(f"gradscope.report.{place}"))


@pytest.mark.parametrize("panel", EVERY, ids=PANELS)
def test_every_panel_is_measured_by_a_setting_and_explained(panel: Panel) -> None:
    # The map of a stack is made of every one, without a setting.
    assert panel.needs in {"", "depth", *SETTINGS} & {"", *(each.name for each in fields(Details))}
    assert find_term(panel.name).name


def test_a_word_that_is_no_panel_is_refused_with_those_that_are() -> None:
    assert checked_panels(["map", "hero", "map"]) == ["map", "hero"]
    assert checked_panels(None) == []
    with pytest.raises(SettingError, match="choose one of hero, profile, parameters, causes"):
        checked_panels(["histogram"])


def test_several_panels_lend_their_files_their_names() -> None:
    paths = [Path("a.png"), Path("a.svg")]

    assert View(("hero",)).files(paths) == [("hero", path) for path in paths]
    assert [path.name for _, path in View(("hero", "map")).files(paths)] == [
        "a-hero.png", "a-hero.svg", "a-map.png", "a-map.svg",
    ]  # fmt: skip
