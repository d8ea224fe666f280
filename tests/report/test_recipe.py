"""What made a file is read from it, or the file is refused."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import gradscope
from gradscope.errors import ArchiveError, SettingError
from gradscope.names import ActivationName, CellName
from gradscope.report.export import head
from gradscope.report.provenance import read_document
from gradscope.report.recipe import MadeBy, command_words, read_recipe
from gradscope.study.config import Settings

AXES = ("cell", "activation", "steps")


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "made.json"
    document = {**head("settings", Settings(steps=9).as_dict()), **changes}
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("schema", "command"),
    [
        ("gradscope.analysis", MadeBy.ANALYZE),
        ("gradscope.training", MadeBy.TRAIN),
        ("gradscope.spectrum", MadeBy.SPECTRUM),
        ("gradscope.check", MadeBy.CHECK),
    ],
)
def test_a_document_is_made_again_by_what_its_schema_says(
    schema: str, command: MadeBy, tmp_path: Path
) -> None:
    recipe = read_recipe(written(tmp_path, schema=schema))

    assert recipe.command is command
    assert recipe.settings.as_dict() == Settings(steps=9).as_dict()
    assert (recipe.activations, recipe.lengths) == ((ActivationName.TANH,), (9,))
    assert not recipe.of_another_version


def test_a_comparison_keeps_the_order_of_its_cells(tmp_path: Path) -> None:
    shared = {k: v for k, v in Settings().as_dict().items() if k not in AXES}
    order = product(("gru", "elman"), ("sigmoid", "tanh"), (30, 10))
    cells = [dict(zip(AXES, each, strict=True)) for each in order]

    recipe = read_recipe(
        written(tmp_path, schema="gradscope.comparison", settings=shared, cells=cells)
    )

    assert recipe.command is MadeBy.COMPARE
    assert recipe.cells == (CellName.GRU, CellName.ELMAN)
    assert recipe.activations == (ActivationName.SIGMOID, ActivationName.TANH)
    assert recipe.lengths == (30, 10)
    assert (recipe.settings.activation, recipe.settings.steps) == (ActivationName.SIGMOID, 30)
    assert recipe.settings.cell is CellName.GRU


@pytest.mark.parametrize("command", ["report", "inspect"])
def test_what_was_drawn_from_another_file_is_refused_with_the_command_to_give(
    command: str, tmp_path: Path
) -> None:
    with pytest.raises(ArchiveError, match=f"draw it again with gradscope {command}"):
        read_recipe(written(tmp_path, made_by={"command": command}))


def test_a_comparison_is_told_with_all_that_it_set_side_by_side(tmp_path: Path) -> None:
    axes = {"cell": ["elman"], "activation": ["tanh", "sigmoid"], "steps": [10, 50]}
    document = read_document(written(tmp_path, made_by={"command": "compare", **axes}))

    assert command_words(document) == (
        "gradscope compare --cell elman --activation tanh,sigmoid --steps 10,50"
    )
    assert command_words({"schema": "gradscope.training"}) == "gradscope train"
    assert command_words({"schema": "gradscope.settings"}) == ""


def test_another_version_is_told(tmp_path: Path) -> None:
    recipe = read_recipe(written(tmp_path, schema="gradscope.analysis", gradscope="0.0.1"))

    assert recipe.of_another_version
    assert recipe.version != gradscope.__version__


COMPARE = {"command": "compare", "cell": ["elman"], "activation": ["tanh"], "steps": [5]}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"schema": "gradscope.sweep"},
        {"schema": ["gradscope.analysis"]},
        {"made_by": {}},
        {"made_by": "analyze"},
        {"made_by": {"command": "rm"}},
        {"made_by": {"command": "analyze", "panel": "moon", "width": "double"}},
        {"made_by": {"command": "analyze", "panel": "map"}},
        {"made_by": {**COMPARE, "activation": []}},
        {"made_by": {**COMPARE, "activation": ["tanh", "tan"]}},
        {"made_by": {**COMPARE, "cell": ["elman", "elm"]}},
        {"made_by": {**COMPARE, "steps": ["5"]}},
        {"made_by": {**COMPARE, "steps": [5, True]}},
        {"schema": "gradscope.comparison", "cells": None},
    ],
    ids=str,
)
def test_a_file_that_does_not_say_what_made_it_is_refused_with_a_way_out(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises((ArchiveError, SettingError)) as refused:
        read_recipe(written(tmp_path, **changes))

    assert "\n" not in str(refused.value)
    if isinstance(refused.value, ArchiveError):
        assert "gradscope show-config" in str(refused.value)


@pytest.mark.parametrize(
    ("command", "way_out"),
    [("report", "gradscope report STORE"), ("inspect", "gradscope inspect FILE")],
)
def test_a_picture_of_what_no_analysis_made_names_the_command_that_draws_it_again(
    command: str, way_out: str, tmp_path: Path
) -> None:
    with pytest.raises(ArchiveError, match=way_out):
        read_recipe(written(tmp_path, made_by={"command": command}))
