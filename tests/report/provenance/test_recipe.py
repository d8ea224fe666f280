"""What made a file is read from it, or the file is refused."""

import json
import shutil
import subprocess
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import gradscope
from gradscope.analysis.settings import Settings
from gradscope.errors import ArchiveError, SettingError
from gradscope.names import ActivationName, CellName, SweepPicture, SweepValue
from gradscope.report.formats import head
from gradscope.report.provenance.recipe import (
    MadeBy,
    command_words,
    read_recipe,
)
from gradscope.report.provenance.records import read_document

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
    assert (recipe.axes["activations"], recipe.axes["steps"]) == ((ActivationName.TANH,), (9,))
    assert recipe.version == gradscope.__version__


def test_a_comparison_keeps_the_order_of_its_cells(tmp_path: Path) -> None:
    shared = {k: v for k, v in Settings().as_dict().items() if k not in AXES}
    order = product(("gru", "elman"), ("sigmoid", "tanh"), (30, 10))
    cells = [dict(zip(AXES, each, strict=True)) for each in order]

    recipe = read_recipe(
        written(tmp_path, schema="gradscope.comparison", settings=shared, cells=cells)
    )

    assert recipe.command is MadeBy.COMPARE
    assert recipe.axes["kinds"] == (CellName.GRU, CellName.ELMAN)
    assert recipe.axes["activations"] == (ActivationName.SIGMOID, ActivationName.TANH)
    assert recipe.axes["steps"] == (30, 10)
    assert (recipe.settings.activation, recipe.settings.steps) == (ActivationName.SIGMOID, 30)
    assert recipe.settings.cell is CellName.GRU


def test_a_comparison_is_told_with_all_that_it_set_side_by_side(tmp_path: Path) -> None:
    axes = {"cell": ["elman"], "activation": ["tanh", "sigmoid"], "steps": [10, 50]}
    document = read_document(written(tmp_path, made_by={"command": "compare", **axes}))

    assert command_words(document) == (
        "gradscope compare --cell elman --activation tanh,sigmoid --steps 10,50 --seeds 1"
    )
    assert command_words({"schema": "gradscope.training"}) == "gradscope train"
    assert command_words({"schema": "gradscope.settings"}) == ""


DAMAGED: tuple[Any, ...] = (
    "x",
    [],
    {},
    None,
    {"command": ["a"]},
    {"command": "compare"},
    {"command": "compare", "cell": 3, "activation": [], "steps": []},
    {"command": "report", "store": None},
    {"command": "inspect", "file": "a", "map": "W"},
)


@pytest.mark.parametrize("made_by", DAMAGED)
def test_what_is_no_command_is_not_told_as_one(tmp_path: Path, made_by: Any) -> None:
    path = written(tmp_path, made_by=made_by)

    assert command_words(read_document(path)) == ""


@pytest.mark.parametrize(
    ("file", "typed"),
    [("-x.pt", "./-x.pt"), ("a\nb's \\.pt", r"$'a\x0ab\'s \\.pt'"), ("\x1b[2J", r"$'\x1b[2J'")],
)
def test_a_command_is_one_line_that_a_shell_reads_back(
    tmp_path: Path, file: str, typed: str
) -> None:
    path = written(tmp_path, made_by={"command": "inspect", "file": file, "map": []})

    words = command_words(read_document(path))

    assert words == f"gradscope inspect {typed}"
    bash = shutil.which("bash")
    if bash is not None and not file.startswith("-"):
        line = f"LC_ALL=C.UTF-8; printf %s {words.removeprefix('gradscope inspect ')}"
        assert subprocess.run([bash, "-c", line], stdout=-1, check=True).stdout.decode() == file


INSPECTED = {"command": "inspect", "file": "my nets/net.pt", "map": ["W=h2h", "U=i2h"]}
SHOWN = {
    "command": "report",
    "store": "s.db",
    "where": "gain < 2",
    "kind": "quantiles",
    "value": "horizon",
    "x": "hidden",
    "y": None,
}


def test_a_picture_of_a_weight_file_says_which_file_and_how_it_was_read(tmp_path: Path) -> None:
    path = written(tmp_path, settings={}, made_by=INSPECTED)

    recipe = read_recipe(path)

    assert recipe.command is MadeBy.INSPECT
    assert recipe.source == {"file": "my nets/net.pt", "map": ["W=h2h", "U=i2h"]}
    assert command_words(read_document(path)) == (
        "gradscope inspect 'my nets/net.pt' --weight-map W=h2h --weight-map U=i2h"
    )


def test_a_picture_of_a_sweep_says_which_store_and_what_of_it(tmp_path: Path) -> None:
    path = written(tmp_path, settings={"hidden": 9}, made_by=SHOWN)

    recipe = read_recipe(path)

    assert recipe.command is MadeBy.REPORT
    assert (recipe.source["store"], recipe.source["where"]) == ("s.db", "gain < 2")
    assert recipe.source["kind"] is SweepPicture.QUANTILES
    assert recipe.source["value"] is SweepValue.HORIZON
    assert command_words(read_document(path)) == (
        "gradscope report s.db --where 'gain < 2' --kind quantiles --value horizon --x hidden"
    )


@pytest.mark.parametrize("made_by", [INSPECTED, SHOWN])
def test_what_a_source_says_of_itself_is_what_is_read_of_it(
    made_by: dict[str, Any], tmp_path: Path
) -> None:
    source = read_recipe(written(tmp_path, made_by=made_by)).source

    assert {"command": made_by["command"], **source} == made_by


def test_another_version_is_told(tmp_path: Path) -> None:
    recipe = read_recipe(written(tmp_path, schema="gradscope.analysis", gradscope="0.0.1"))

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
        {"made_by": {**INSPECTED, "map": "W=h2h"}},
        {"made_by": {**INSPECTED, "map": [1]}},
        {"made_by": {**INSPECTED, "file": 3}},
        {"made_by": {**SHOWN, "kind": "pie"}},
        {"made_by": {**SHOWN, "value": ["rate"]}},
        {"made_by": {**SHOWN, "where": 3}},
        {"made_by": {"command": "report", "store": "s.db"}},
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
def test_a_picture_that_does_not_name_its_source_names_the_command_that_draws_it_again(
    command: str, way_out: str, tmp_path: Path
) -> None:
    with pytest.raises(ArchiveError, match=way_out):
        read_recipe(written(tmp_path, made_by={"command": command}))
