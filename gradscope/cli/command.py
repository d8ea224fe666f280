"""What every command that takes settings has in common: its options, gathered into one ``Call``.

A flag goes over a ``GRADSCOPE_*`` variable (Typer does that), both over a TOML file. A saved run or
a file of weights answers for the rest in ``analysis.prepare``.
"""

import inspect
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any, get_type_hints

from gradscope.analysis.settings import Settings, check_names
from gradscope.cli.options import (
    SETTING_OPTIONS,
    Card,
    Color,
    ColorWhen,
    ConfigFile,
    Debug,
    Dpi,
    Force,
    FormatChoice,
    Given,
    Json,
    Output,
    Panels,
    PanelWidth,
    Sheet,
    ThemeChoice,
    Threads,
)
from gradscope.cli.output import Place, choose_format, note
from gradscope.data.columns import quoted
from gradscope.errors import SettingError
from gradscope.machine import THREAD_VARIABLES
from gradscope.names import ColumnWidth, Theme
from gradscope.report.figures.panels import View


def set_blas_threads(threads: int | None) -> None:
    """Set the number of BLAS threads; None keeps what the environment has, else 1."""
    for name in THREAD_VARIABLES:
        if threads is not None:
            os.environ[name] = str(threads)
        else:
            os.environ.setdefault(name, "1")


@dataclass(frozen=True, eq=False, slots=True)
class Call:
    """One call of a command: the settings that were given, and where the result goes; ``made`` are
    those of a file that is made again, and all that count.
    """

    given: Given
    config: Path | None
    place: Place
    made: Settings | None = None

    def values(
        self, *, defaults: Given | None = None, load: str | None = None, **chosen: Any
    ) -> Given:
        """Return ``chosen`` over given over config file over ``defaults`` (of a drawn network)."""
        if self.made is not None:
            return self.made.as_dict()
        values = {**settings_in(read_toml(self.config), self.config), **self.given, **chosen}
        if load is not None:
            values["load"] = load
        saved, weights = values.get("load"), values.get("weights")
        if saved is None:
            return values if weights is not None else {**(defaults or {}), **values}
        if not isinstance(saved, str):
            raise SettingError(f"--load is {quoted(saved)}; name a file written by --save")
        if weights is not None:
            both = f"--load {saved} and the weights {weights}"
            raise SettingError(f"{both} are both given; choose one network")
        return values


def settings_in(content: dict[str, Any], path: Path | None) -> dict[str, Any]:
    """Return the settings in a TOML file's content, without its axes of a sweep, ``[sweep]``."""
    values = {name: value for name, value in content.items() if name != "sweep"}
    settings = {name.replace("-", "_"): value for name, value in values.items()}
    check_names(settings, f"--config {path}")
    return settings


def read_toml(path: Path | None) -> dict[str, Any]:
    """Return the content of a TOML file, nothing for no file."""
    if path is None:
        return {}
    from gradscope.data.intake import content, parsed_toml

    try:
        return parsed_toml(content(path, SettingError, "--config").decode())
    except ValueError as error:
        fault = f"is not valid TOML: {error}; correct the file"
        raise SettingError(f"--config {path} {fault}") from error


def _shared(
    output: Output = None,
    format: FormatChoice = None,  # noqa: A002 (the flag's name)
    json: Json = False,
    force: Force = False,
    color: ColorWhen = Color.AUTO,
    config: ConfigFile = None,
    threads: Threads = None,
    debug: Debug = False,  # noqa: ARG001 (read where errors are shown)
) -> tuple[Path | None, Place]:
    """Set the threads; return the config file and the place of the result."""
    set_blas_threads(threads)
    return config, Place(choose_format(format, json, output), output, color, force)


def _view(
    panel: Panels = None,
    width: PanelWidth = ColumnWidth.DOUBLE,
    sheet: Sheet = False,
    card: Card = False,
    theme: ThemeChoice = Theme.PAPER,
    dpi: Dpi = None,
) -> View:
    if (sheet or card) and width is ColumnWidth.SINGLE:
        raise SettingError("--width is single, but a sheet and a card have a width; leave it out")
    return View(tuple(panel or ()), width, sheet, card, theme, dpi)


OF_PICTURES, OF_ANALYSES = ("theme", "dpi", "width", "panel"), ("sheet", "card")
"""Options of every command that draws, and of those that draw one analysis."""


def takes_settings(*left_out: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command, as a ``Call``, all settings and shared options but those left out."""
    names = [name for name in SETTING_OPTIONS if name not in left_out]
    settings = {name: _keyword(name, SETTING_OPTIONS[name], None) for name in names}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = _parameters(command)
        shared = {name: each for name, each in _parameters(_shared).items() if name not in left_out}
        fit = {*(OF_PICTURES if "png" in own else ())}
        fit |= {*(OF_ANALYSES if {"png", "load"} <= {*own} else ())}
        drawn = {name: each for name, each in _parameters(_view).items() if name in fit}

        @wraps(command)
        def gathered(**arguments: Any) -> None:
            given = {name: arguments.pop(name) for name in names}
            config, place = _shared(**{name: arguments.pop(name) for name in shared})
            view = _view(**{name: arguments.pop(name) for name in drawn})
            if view.panels and "sheet" not in drawn:
                fault = "but this command draws one picture; leave it out"
                raise SettingError(f"--panel is {view.panels[0]}, {fault}")
            place = replace(place, view=view)
            present = {name: value for name, value in given.items() if value not in (None, [])}
            command(Call(present, config, place), **arguments)

        # Typer reads the options from the signature.
        options = settings | own | drawn | shared
        vars(gathered)["__signature__"] = inspect.Signature([*options.values()])
        gathered.__annotations__ = {name: each.annotation for name, each in options.items()}
        return gathered

    return decorate


def takes_place(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command, as its ``place``, the options that every result has, and no settings."""

    @wraps(command)
    def placed(call: Call, **arguments: Any) -> None:
        command(call.place, **arguments)

    return takes_settings("config", *SETTING_OPTIONS)(placed)


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return a function's parameters, but ``call`` and ``place``, with resolved annotations."""
    hints = get_type_hints(function, include_extras=True)
    return {
        name: _keyword(name, hints[name], parameter.default)
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in ("call", "place")
    }


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def weights_of(file: str | None) -> Given:
    """Return the setting that a FILE among the arguments is."""
    return {} if file is None else {"weights": file}


def current_spelling(arguments: Sequence[str]) -> list[str]:
    """Spell the old ``--map`` ``--weight-map`` before W=NAME, else ``--lag-map``, with a note."""
    current, used = [], set()
    for word, after in zip(arguments, [*arguments[1:], ""], strict=False):
        flag, joined, value = word.partition("=")
        renamed = {"--map": "--lag-map", "--no-map": "--no-lag-map"}.get(flag, flag)
        pair = joined or ("=" in after[1:] and not after.startswith("-"))
        if flag == "--map" and (pair or arguments[0] == "inspect"):
            renamed = "--weight-map"
        if renamed != flag:
            used.add(f"{renamed} W=NAME" if renamed == "--weight-map" else renamed)
        current.append(f"{renamed}{joined}{value}")
    if used:
        note(f"--map is now spelled {' or '.join(sorted(used))}; the old spelling still works")
    return current
