"""What ``inspect`` suggests for a file, run as it is typed, only the blanks filled in."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gradscope.analysis.inspect import Inspection, inspect
from gradscope.analysis.prepare import Prepared, prepare
from gradscope.errors import ShapeError, WeightsError
from gradscope.report.terminal.inspection import analyze_command
from gradscope.weights.files.contents import WeightFile
from gradscope.weights.layers import manual_names

BLANKS: dict[str, Any] = {
    "--activation": "tanh",
    "--leak": 0.5,
    "--state": "post",
    "--gate-activation": "sigmoid",
    "--reset-after": True,
}
FEW = {"steps": 3, "sequences": 2, "burn_in": 0}
INCOMPLETE = "save the stack whole"
"""What is said of a file whose suggestion cannot be followed as it is."""

MOST = 20
"""Files of one test whose suggestions are run."""


def suggested_inspection(path: Path) -> Inspection:
    """Return what ``inspect`` shows, after the mapping that it suggests where it finds no layer."""
    found = inspect(path)
    pairs = () if found.layers else manual_names.suggested(found.found.file)
    return inspect(path, tuple(shlex.split(manual_names.options(pairs))[1::2])) if pairs else found


def typed(command: str) -> dict[str, Any]:
    """Return the settings of a suggested ``gradscope analyze …``, without data."""
    words = [word for word in shlex.split(command) if word not in ("/", "--no-reset-after")]
    assert words[:2] == ["gradscope", "analyze"]
    values: dict[str, Any] = {"weights": words[2]}
    for flag, value in zip(words[3:], [*words[4:], ""], strict=True):
        if flag == "--weight-map":
            values.setdefault("weight_map", []).append(value)
        elif flag == "--layer":
            values["layer"] = value
        elif flag in BLANKS:
            values[flag.removeprefix("--").replace("-", "_")] = BLANKS[flag]
    return values


def run_suggestion(path: Path, **more: Any) -> Prepared | None:
    """Run what is suggested; None where a file is refused by ``inspect`` or suggests nothing."""
    try:
        inspection = suggested_inspection(path)
    except WeightsError:
        return None
    command = analyze_command(inspection)
    try:
        return None if command is None else prepare({**FEW, **typed(command), **more})
    except (WeightsError, ShapeError) as error:
        if isinstance(error, WeightsError) and INCOMPLETE not in str(error):
            raise
        return None  # Layers are missing, or do not fit one another.


@pytest.fixture(autouse=True)
def every_suggestion_runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run what is suggested for each file that a test looked into."""
    looked: list[Path] = []
    original = manual_names.candidates

    def remember(file: WeightFile) -> Any:
        looked.append(file.path)
        return original(file)

    with monkeypatch.context() as patch:
        patch.setattr(manual_names, "candidates", remember)
        yield
    for path in [each for each in dict.fromkeys(looked) if each.is_file()][:MOST]:
        run_suggestion(path)
