"""What to run to make a file again: the command, its settings, and for a comparison its cells.

A picture names its command under ``made_by``; a document by its schema; a saved run comes from an
analysis.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

import gradscope
from gradscope.errors import ArchiveError, SettingError
from gradscope.names import ActivationName, CellName, ColumnWidth, PanelName
from gradscope.report.provenance import read_document
from gradscope.study.config import Settings


class MadeBy(StrEnum):
    """The commands whose results can be run again."""

    ANALYZE = "analyze"
    COMPARE = "compare"
    TRAIN = "train"
    SPECTRUM = "spectrum"
    CHECK = "check"


SCHEMAS: Mapping[str, MadeBy] = MappingProxyType(
    {
        "gradscope.analysis": MadeBy.ANALYZE,
        "gradscope.comparison": MadeBy.COMPARE,
        "gradscope.training": MadeBy.TRAIN,
        "gradscope.spectrum": MadeBy.SPECTRUM,
        "gradscope.check": MadeBy.CHECK,
    }
)

DRAWN_AGAIN: Mapping[str, str] = MappingProxyType(
    {
        "report": "shows the store of a sweep; draw it again with gradscope report STORE",
        "inspect": "shows a file of weights; draw it again with gradscope inspect FILE",
    }
)
"""Pictures that no settings tell how to make again, and what does."""


@dataclass(frozen=True, eq=False, slots=True)
class Recipe:
    """``cells``, ``activations`` and ``lengths`` are those of a comparison, else the settings' own
    one; ``panel`` is the one that a picture shows alone, None where it shows all; ``version`` is
    that of the gradscope that made the file.
    """

    command: MadeBy
    settings: Settings
    cells: tuple[CellName, ...]
    activations: tuple[ActivationName, ...]
    lengths: tuple[int, ...]
    version: str
    panel: PanelName | None = None
    width: ColumnWidth = ColumnWidth.DOUBLE

    @property
    def of_another_version(self) -> bool:
        """Whether another gradscope made the file, so that numbers may differ."""
        return self.version != gradscope.__version__


def read_recipe(path: Path) -> Recipe:
    """Return what made a picture, a document or a saved run.

    Raises
    ------
    ArchiveError
        If the file cannot be read, or does not say what made it.
    SettingError
        If its settings lie outside their limits.
    """
    document = read_document(path)
    try:
        _refuse_drawn(path, document)
        command = _command(document)
        axes = _axes(document) if command is MadeBy.COMPARE else {}
        first = {name: values[0] for name, values in axes.items()}
        settings = Settings.from_dict({**document["settings"], **first}, str(path))
        return Recipe(
            command=command,
            settings=settings,
            cells=tuple(CellName(each) for each in axes.get("cell", [settings.cell])),
            activations=tuple(
                ActivationName(each) for each in axes.get("activation", [settings.activation])
            ),
            lengths=tuple(_length(each) for each in axes.get("steps", [settings.steps])),
            version=str(document["gradscope"]),
            **_panel(document),
        )
    except (SettingError, ArchiveError):
        raise
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ArchiveError(
            f"{path} does not say which command made it; take its settings with gradscope "
            f"show-config {path}, and run analyze or compare with --config"
        ) from error


def _command(document: Mapping[str, Any]) -> MadeBy:
    made_by = document.get("made_by")
    return SCHEMAS[document["schema"]] if made_by is None else MadeBy(made_by["command"])


def command_words(document: Mapping[str, Any]) -> str:
    """Return the command that made a file as people type it, a comparison with what it set side by
    side; empty where the file does not say.
    """
    made_by = document.get("made_by")
    command = SCHEMAS.get(document["schema"]) if made_by is None else made_by["command"]
    if command is None:
        return ""
    axes = _axes(document) if command == MadeBy.COMPARE else {}
    options = (f"--{name} {','.join(map(str, values))}" for name, values in axes.items())
    return " ".join(("gradscope", str(command), *options))


def _refuse_drawn(path: Path, document: Mapping[str, Any]) -> None:
    """Refuse a picture that came of something else than settings, and say what draws it again."""
    command = document.get("made_by", {}).get("command")
    if command in DRAWN_AGAIN:
        raise ArchiveError(f"{path} {DRAWN_AGAIN[command]}")


def _panel(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the panel that a picture shows alone and its width; nothing for any other file."""
    made_by = document.get("made_by", {})
    if "panel" not in made_by:
        return {}
    return {"panel": PanelName(made_by["panel"]), "width": ColumnWidth(made_by["width"])}


def _axes(document: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return what a comparison set side by side, by the setting's name, in order."""
    names = ("cell", "activation", "steps")
    if "made_by" in document:
        return {name: list(document["made_by"][name]) for name in names}
    cells = document["cells"]
    return {name: list(dict.fromkeys(cell[name] for cell in cells)) for name in names}


def _length(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise TypeError(f"{value!r} is no number of steps")
