"""What to run to make a file again: the command, its settings, and for a comparison its cells.

A picture names its command under ``made_by``; a document by its schema; a saved run comes from an
analysis. A picture of another file than those names it there: ``sources``.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

import gradscope
from gradscope.analysis.setting_values import flag
from gradscope.analysis.settings import Settings
from gradscope.errors import ArchiveError, SettingError
from gradscope.names import ActivationName, CellName, ColumnWidth, PanelName
from gradscope.report.provenance.records import read_document
from gradscope.report.provenance.sources import Source, read_source, source_words

SAID_OF_WEIGHTS = ("activation", "leak", "state")
"""What a file of weights may leave open, and a command must say even where it is the default."""


def command_line(settings: Settings, command: str = "analyze") -> str:
    """Return what to type: the flags of all settings that differ from their default.

    >>> command_line(Settings(activation="sigmoid", center_bias=True, steps=50))
    'gradscope analyze --activation sigmoid --center-bias --steps 50'
    """
    words = ["gradscope", command]
    defaults: Mapping[str, Any] = Settings().as_dict()
    for name, value in settings.as_dict().items():
        said = settings.weights is not None and name in SAID_OF_WEIGHTS
        if value != defaults[name] or said:
            words += _words(name, value)
    return shlex.join(words)


def _words(name: str, value: Any) -> list[str]:
    if value is True:
        return [flag(name)]
    if value is False:
        return [f"--no-{flag(name)[2:]}"]
    values = value if isinstance(value, list) else [value]
    return [word for each in values for word in (flag(name), str(each))]


class MadeBy(StrEnum):
    """The commands whose results can be run again."""

    ANALYZE = "analyze"
    COMPARE = "compare"
    TRAIN = "train"
    SPECTRUM = "spectrum"
    CHECK = "check"
    INSPECT = "inspect"
    REPORT = "report"


SCHEMAS: Mapping[str, MadeBy] = MappingProxyType(
    {
        "gradscope.analysis": MadeBy.ANALYZE,
        "gradscope.comparison": MadeBy.COMPARE,
        "gradscope.training": MadeBy.TRAIN,
        "gradscope.spectrum": MadeBy.SPECTRUM,
        "gradscope.check": MadeBy.CHECK,
    }
)

DRAWN_AGAIN: Mapping[MadeBy, str] = MappingProxyType(
    {
        MadeBy.REPORT: "the store of a sweep and does not say which; draw it again with gradscope "
        "report STORE",
        MadeBy.INSPECT: "a file of weights and does not say which; draw it again with gradscope "
        "inspect FILE",
    }
)
"""What a picture shows that came of another file, and what draws it again."""


DAMAGE = (ValueError, LookupError, TypeError, AttributeError)
"""What reading a damaged ``made_by`` ends in."""


@dataclass(frozen=True, eq=False, slots=True)
class Recipe:
    """``cells``, ``activations`` and ``lengths`` are those of a comparison, else the settings' own
    one; ``panel`` is the one that a picture shows alone, None where it shows all; ``source`` is the
    file that a picture was drawn from, None where settings tell it all; ``version`` is that of the
    gradscope that made the file, on the machine that ``environment`` describes.
    """

    command: MadeBy
    settings: Settings
    cells: tuple[CellName, ...]
    activations: tuple[ActivationName, ...]
    lengths: tuple[int, ...]
    version: str
    environment: Mapping[str, Any]
    panel: PanelName | None = None
    width: ColumnWidth = ColumnWidth.DOUBLE
    source: Source | None = None

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
        command = _command(document)
        source = _source(path, document)
        axes = _axes(document) if command is MadeBy.COMPARE else {}
        first = {name: values[0] for name, values in axes.items()}
        given = {} if source else {**document["settings"], **first}
        settings = Settings.from_dict(given, str(path))
        return Recipe(
            command=command,
            settings=settings,
            cells=tuple(CellName(each) for each in axes.get("cell", [settings.cell])),
            activations=tuple(
                ActivationName(each) for each in axes.get("activation", [settings.activation])
            ),
            lengths=tuple(_length(each) for each in axes.get("steps", [settings.steps])),
            version=str(document["gradscope"]),
            environment=dict(document["environment"]),
            source=source,
            **_panel(document),
        )
    except (SettingError, ArchiveError):
        raise
    except DAMAGE as error:
        raise ArchiveError(
            f"{path} does not say which command made it; take its settings with gradscope "
            f"show-config {path}, and run analyze or compare with --config"
        ) from error


def _command(document: Mapping[str, Any]) -> MadeBy:
    made_by = document.get("made_by")
    return SCHEMAS[document["schema"]] if made_by is None else MadeBy(made_by["command"])


def command_words(document: Mapping[str, Any]) -> str:
    """Return the command that made a file as people type it, a comparison with what it set side by
    side, a picture of another file with that file; empty where the file does not say, or says what
    is no command.
    """
    try:
        command = _command(document)
        words = ["gradscope", str(command)]
        made_by = document.get("made_by", {})
        source = read_source(made_by) if len(made_by) > 1 else None
        words += source_words(source) if source else []
        axes = _axes(document) if command is MadeBy.COMPARE else {}
        words += (f"--{name} {','.join(map(str, values))}" for name, values in axes.items())
    except DAMAGE:
        return ""
    return " ".join(words)


def _source(path: Path, document: Mapping[str, Any]) -> Source | None:
    """Return the file that a picture was drawn from; refuse one that does not name it, and say what
    draws it again.
    """
    made_by = document.get("made_by")
    if made_by is None:
        return None
    if made_by["command"] in DRAWN_AGAIN and len(made_by) == 1:
        raise ArchiveError(f"{path} shows {DRAWN_AGAIN[made_by['command']]}")
    return read_source(made_by)


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
