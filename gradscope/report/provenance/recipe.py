"""What to run to make a file again: the command, its settings, and for a comparison its cells.

A picture names its command under ``made_by``; a document by its schema; a saved run comes from an
analysis. A picture of a file of weights or of a store names that file there, as it was given.
"""

import os
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from gradscope.analysis.archive import DAMAGE
from gradscope.analysis.settings import CODE, SETTINGS, Settings, flag
from gradscope.data.columns import SHOWN_CHARACTERS
from gradscope.errors import ArchiveError, SettingError
from gradscope.names import (
    ActivationName,
    CellName,
    ColumnWidth,
    SweepPicture,
    SweepValue,
    Theme,
)
from gradscope.report.figures.panels import View, checked_panels
from gradscope.report.provenance.records import read_document

T = TypeVar("T")

SAID_OF_WEIGHTS = ("activation", "leak", "state")
"""What a file of weights may leave open, and a command must say even where it is the default."""


OF_CODE = ("cell", "weights", "updates", "hidden", "activation", "leak", "state")
"""What is typed as code, or follows from it."""


def command_line(
    settings: Settings, command: str = "analyze", *, said: Collection[str] = ()
) -> str:
    """Return what to type: the flags of all settings that differ from their default, and of those
    to be ``said`` even so.

    >>> command_line(Settings(activation="sigmoid", center_bias=True, steps=50))
    'gradscope analyze --activation sigmoid --center-bias --steps 50'
    """
    words = ["gradscope", *command.split()]
    defaults: Mapping[str, Any] = Settings().as_dict()
    given = settings.as_dict()
    if settings.cell is None:
        if not CODE.fullmatch(code := str(settings.weights)):
            return code  # A call in Python.
        words.append(code)
        given = {name: each for name, each in given.items() if name not in OF_CODE}
    for name, value in given.items():
        of_file = settings.weights is not None and name in SAID_OF_WEIGHTS
        if value != defaults[name] or of_file or (name in said and value is not None):
            if isinstance(value, bool):
                words.append(flag(name) if value else f"--no-{flag(name)[2:]}")
            else:
                values = value if isinstance(value, list) else [value]
                if SETTINGS[name].per_unit:
                    values = [",".join(map(str, values))]
                words += (word for each in values for word in (flag(name), str(each)))
    return " ".join(map(_quoted, words))


class MadeBy(StrEnum):
    """The commands whose results can be run again."""

    ANALYZE = "analyze"
    COMPARE = "compare"
    TRAIN = "train"
    SPECTRUM = "spectrum"
    CHECK = "check"
    INSPECT = "inspect"
    REPORT = "report"


NOUNS = ("analysis", "comparison", "training", "spectrum", "check")
SCHEMAS = {f"gradscope.{noun}": by for noun, by in zip(NOUNS, MadeBy, strict=False)}

DRAWN_AGAIN: Mapping[MadeBy, str] = {MadeBy.REPORT: "STORE", MadeBy.INSPECT: "FILE"}
"""The other file from which a command draws a picture, as its help page names it."""

REPEATED = ("try", "forecast", "explain backprop", "explain bptt", "explain vanishing")
"""Commands that are named in full rather than run again: they take long, or keep a store."""


@dataclass(frozen=True, eq=False, slots=True)
class Recipe:
    """``axes`` are the ``kinds``, ``activations``, ``steps`` and number of ``seeds`` of a
    comparison, else the settings' own one; ``view`` says what a picture shows, in which form,
    ``source`` the file that it was drawn from, then the options of its command; ``version`` and
    ``environment`` are of the gradscope that made it.
    """

    command: MadeBy
    settings: Settings
    axes: Mapping[str, Any]
    version: str
    environment: Mapping[str, Any]
    view: View
    source: Mapping[str, Any]


def read_recipe(path: Path) -> Recipe:
    """Return what made a picture, a document or a saved run.

    ArchiveError if the file cannot be read, or does not say what made it; SettingError if its
    settings lie outside their limits.
    """
    document = read_document(path)
    made_by = document.get("made_by", {})
    if files := _compared_files(document):
        raise ArchiveError(f"{path} compares files; run again: gradscope compare {' '.join(files)}")
    if again := in_full(document):
        raise ArchiveError(f"{path} is run again by: {again}")
    try:
        command = _command(document)
        source = _source(made_by) if made_by else {}
        axes = _axes(document) if command is MadeBy.COMPARE else {}
        first = {name: values[0] for name, values in axes.items()}
        seeds = first.pop("seeds", 1)
        given = {} if source else {**document["settings"], **first}
        settings = Settings.from_dict(given, str(path))
        return Recipe(
            command,
            settings,
            {
                "kinds": tuple(map(CellName, axes.get("cell", [settings.cell]))),
                "activations": tuple(
                    map(ActivationName, axes.get("activation", [settings.activation]))
                ),
                "steps": tuple(_instance(n, int) for n in axes.get("steps", [settings.steps])),
                "seeds": _instance(seeds, int),
            },
            str(document["gradscope"])[:SHOWN_CHARACTERS],
            dict(document["environment"]),
            _view(made_by),
            source,
        )
    except (SettingError, ArchiveError):
        raise
    except DAMAGE as error:
        for drawing, file in DRAWN_AGAIN.items():
            if made_by == {"command": drawing}:
                remedy = f"draw it again with gradscope {drawing} {file}"
                raise ArchiveError(f"{path} does not name its {file}; {remedy}") from error
        remedy = f"gradscope show-config {path}, and run analyze or compare with --config"
        fault = "does not say which command made it"
        raise ArchiveError(f"{path} {fault}; take its settings with {remedy}") from error


def _view(made_by: Mapping[str, Any]) -> View:
    """Return the view that a picture names: the report, where it names none."""
    panels = checked_panels([made_by["panel"]] if "panel" in made_by else [])
    width = made_by.get("width", ColumnWidth.DOUBLE)
    theme = made_by.get("theme", Theme.PAPER)
    dpi = None if made_by.get("dpi") is None else _instance(made_by["dpi"], int)
    kinds = "sheet" in made_by, "card" in made_by
    return View(tuple(panels), ColumnWidth(width), *kinds, Theme(theme), dpi)


def _command(document: Mapping[str, Any]) -> MadeBy:
    made_by = document.get("made_by")
    return SCHEMAS[document["schema"]] if made_by is None else MadeBy(made_by["command"])


def command_words(document: Mapping[str, Any]) -> str:
    """Return the command that made a file as people type it; empty where the file names none."""
    try:
        command = _command(document)
        words = ["gradscope", str(command)]
        made_by = document.get("made_by", {})
        source = _source(made_by) if len(made_by) > 1 else {}
        words += _source_words(source) if source else []
        files = _compared_files(document)
        words += files
        axes = _axes(document) if command is MadeBy.COMPARE and not files else {}
        words += (f"--{name} {_quoted(','.join(map(str, axes[name])))}" for name in axes)
    except DAMAGE:
        return ""
    return " ".join(words)


def in_full(document: Mapping[str, Any]) -> str:
    """Return the command of a trial or forecast with all its flags, and of what comes of code of a
    person's own; empty for other documents.
    """
    try:
        if document["settings"].get("cell", "") is None:
            return command_line(Settings.from_dict(document["settings"]))
        command, *options = (made_by := document["made_by"])
        if made_by[command] not in REPEATED:
            return ""
        asked = command_line(Settings.from_dict(document["settings"]), made_by[command])
        return " ".join([asked, *(f"--{name} {_quoted(str(made_by[name]))}" for name in options)])
    except DAMAGE:
        return ""


def _source(made_by: Mapping[str, Any]) -> dict[str, Any]:
    """Return the file that a picture names, then the options of its command; nothing for no file,
    an error of ``DAMAGE`` if it says too little.
    """

    def text(name: str) -> str | None:
        return None if made_by[name] is None else _instance(made_by[name], str)

    if made_by["command"] == MadeBy.INSPECT:
        names = [_instance(name, str) for name in _instance(made_by["map"], list)]
        return {"file": _instance(made_by["file"], str), "map": names}
    if made_by["command"] == MadeBy.REPORT:
        kind, value = SweepPicture(made_by["kind"]), SweepValue(made_by["value"])
        shown = {"where": text("where"), "kind": kind, "value": value, "x": text("x")}
        return {"store": _instance(made_by["store"], str), **shown, "y": text("y")}
    return {}


def _source_words(source: Mapping[str, Any]) -> list[str]:
    """Return what follows the command's name as people type it: the file, then the options."""
    (_, file), *options = source.items()
    words = [f"./{file}" if file.startswith("-") else file]
    for name, value in options:
        option = "--weight-map" if name == "map" else f"--{name}"
        for each in value if isinstance(value, list) else [value]:
            words += [] if each is None else [option, each]
    return [_quoted(word) for word in words]


def _quoted(word: str) -> str:
    """Quote a word for a shell on one line, as in bash where a letter cannot be seen."""
    if word.isprintable():
        return shlex.quote(word)
    # Byte by byte what is not seen: the name of a file need not be UTF-8.
    unseen = {each: os.fsencode(each) for each in word if not each.isprintable()}
    codes = {ord(c): "".join(f"\\x{byte:02x}" for byte in raw) for c, raw in unseen.items()}
    escaped = word.translate({ord("\\"): r"\\", ord("'"): r"\'", **codes})
    return f"$'{escaped}'"


def _axes(document: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return what a comparison set side by side, by the setting's name, and how many seeds."""
    names = ("cell", "activation", "steps")
    if "made_by" in document:
        made_by = document["made_by"]
        return {**{n: list(made_by[n]) for n in names}, "seeds": [made_by.get("seeds", 1)]}
    cells = document["cells"]
    axes = {name: list(dict.fromkeys(cell[name] for cell in cells)) for name in names}
    return {**axes, "seeds": [len({cell.get("seed") for cell in cells})]}


def _compared_files(document: Mapping[str, Any]) -> list[str]:
    """Return the files that a comparison set side by side, as they are typed; none of others."""
    try:
        in_cells = (cell["file"] for cell in document.get("cells", []))
        files = document["made_by"]["files"] if "made_by" in document else in_cells
        return [_quoted(str(each)) for each in dict.fromkeys(files) if each is not None]
    except DAMAGE:
        return []


def _instance(value: Any, kind: type[T]) -> T:
    """Return a value of a picture; a TypeError if it is not of this type itself."""
    if type(value) is not kind:
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value
