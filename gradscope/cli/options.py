"""Options, declared once: a setting is one flag, ``GRADSCOPE_*`` variable and key of a TOML file.

Every default is None here, so that a given value is known from a default; the defaults shown
are those of ``analysis.settings.Settings``.
"""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from gradscope.analysis.setting_values import OptionPanel, Setting
from gradscope.analysis.settings import SETTINGS
from gradscope.names import ColumnWidth, Theme
from gradscope.report.figures.panels import HERO, PANELS, checked_panels
from gradscope.weights.readers import READABLE

HELP = (
    "See how gradient travels through time in a recurrent network: whether, how fast, "
    "how far back and why it vanishes or explodes."
)
LAYERS_HELP = (
    "A setting comes from its flag, else from GRADSCOPE_NAME, else from --config FILE.toml, "
    "else from its default."
)

MODEL, DATA, ANALYSIS = OptionPanel.MODEL, OptionPanel.DATA, OptionPanel.ANALYSIS
TRAINING, OUTPUT, EXECUTION = OptionPanel.TRAINING, OptionPanel.OUTPUT, OptionPanel.EXECUTION

Given = dict[str, Any]
"""Settings that were given, by name."""


class Format(StrEnum):
    """How the result is written."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    MARKDOWN = "md"


class Color(StrEnum):
    """When to colour."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class FailOn(StrEnum):
    """Which regimes, or what else of network or training, end with exit code 1."""

    VANISHING = "vanishing"
    EXPLODING = "exploding"
    SHUT = "shut"
    DIVERGED = "diverged"
    ANY = "any"


def option(flags: str, text: str, panel: str, metavar: str | None = None, **more: Any) -> Any:
    """Return an option of one command, its flags separated by spaces."""
    more = {"metavar": metavar, "show_default": False, "show_envvar": False} | more
    return typer.Option(*flags.split(), help=text, rich_help_panel=panel, **more)


def _setting_option(setting: Setting, envvar: str | None = None) -> Any:
    """Return the option of a setting; its words and its default stand in its help."""
    kind, flag, text = setting.kind, setting.flag, setting.help
    words = isinstance(kind, type) and issubclass(kind, StrEnum)
    if words:
        text = f"{text.rstrip('.')}: {', '.join(kind)}."
    default = setting.default
    if default is not None and default is not False and default != ():
        text = f"{text.rstrip('.')} (default {default})."
    return option(
        f"{flag}/--no-{flag[2:]}" if kind is bool else flag,
        text,
        setting.panel,
        setting.metavar or {int: "N", float: "X"}.get(kind) or ("WORD" if words else None),
        envvar=envvar,
    )


SETTING_OPTIONS: Mapping[str, Any] = {
    name: Annotated[
        (list[str] if each.kind == tuple[str, ...] else str if each.per_unit else each.kind) | None,
        _setting_option(each, f"GRADSCOPE_{name.upper()}"),
    ]
    for name, each in SETTINGS.items()
    if name != "load"
}
"""The options of all settings but ``--load``, which only commands of one network have."""

Load = Annotated[str | None, _setting_option(SETTINGS["load"])]
ConfigFile = Annotated[Path | None, option("--config", "Settings in TOML.", EXECUTION, "FILE")]
WeightsFile = Annotated[
    str | None,
    typer.Argument(
        help=f"A network from a file: {READABLE}. Without it, a random network.",
        metavar="[FILE]",
        show_default=False,
    ),
]
CODE_HELP = (
    f"A network from a file: {READABLE}; or FILE.py:NAME, which runs your Python for a cell "
    "or step."
)
FileOrCode = Annotated[
    str | None, typer.Argument(help=CODE_HELP, metavar="[FILE]", show_default=False)
]
THREADS_HELP = "BLAS threads (default: from the environment, else 1)."
Threads = Annotated[int | None, option("--threads", THREADS_HELP, EXECUTION, "N", min=1)]
Debug = Annotated[bool, option("--debug", "Show the traceback of an error.", EXECUTION)]
COLOR_HELP = "When to use color: auto, always, never (default auto)."
ColorWhen = Annotated[Color, option("--color", COLOR_HELP, OUTPUT, "WORD")]
FORMAT_HELP = "How the result is written: table, json, jsonl, csv, md (default table)."
FormatChoice = Annotated[Format | None, option("--format", FORMAT_HELP, OUTPUT, "WORD")]
Json = Annotated[bool, option("--json", "Short for --format json.", OUTPUT)]
OUTPUT_HELP = "Write the result to FILE; - is stdout."
Output = Annotated[Path | None, option("--output -o", OUTPUT_HELP, OUTPUT, "FILE")]
FIGURE_HELP = "Draw the report, in the format of the file's extension; repeat for several."
Figure = Annotated[list[Path] | None, option("--png --svg --pdf", FIGURE_HELP, OUTPUT, "FILE")]
PANEL_HELP = f"Draw a panel alone; repeat for several: {HERO}, {', '.join(PANELS)}."
Panels = Annotated[
    list[str] | None, option("--panel", PANEL_HELP, OUTPUT, "WORD", callback=checked_panels)
]
WIDTH_HELP = "Width of pictures, in columns of a paper: single, double (default double)."
PanelWidth = Annotated[ColumnWidth, option("--width", WIDTH_HELP, OUTPUT, "WORD")]
SHEET_HELP = "Draw all panels on a page of A4."
Sheet = Annotated[bool, option("--sheet", SHEET_HELP, OUTPUT)]
CARD_HELP = "Draw a card for web pages: 1200 by 630 dots, with the command."
Card = Annotated[bool, option("--card", CARD_HELP, OUTPUT)]
THEME_HELP = f"What pictures are for: {', '.join(Theme)} (default paper)."
ThemeChoice = Annotated[Theme, option("--theme", THEME_HELP, OUTPUT, "WORD")]
DPI_HELP = "Dots per inch of a .png (default 300)."
Dpi = Annotated[int | None, option("--dpi", DPI_HELP, OUTPUT, "N", min=50, max=1200)]
HTML_HELP = "Write the whole report as one self-contained page."
Html = Annotated[Path | None, option("--html", HTML_HELP, OUTPUT, "FILE")]
SAVE_HELP = "Save network, trajectory, settings (FILE.npz, of NumPy)."
Save = Annotated[Path | None, option("--save", SAVE_HELP, OUTPUT, "FILE")]
SUMMARY_HELP = "Append answer, reasons and advice to FILE.md, for the summary of a CI job."
Summary = Annotated[Path | None, option("--summary", SUMMARY_HELP, OUTPUT, "FILE")]
Full = Annotated[bool, option("--full", "Show all numbers, not the first screen alone.", OUTPUT)]
Force = Annotated[bool, option("--force", "Overwrite existing files.", OUTPUT)]
FAIL_HELP = "Exit with 1 if it is: vanishing, exploding, shut, any; diverged (in training)."
FailWhen = Annotated[FailOn | None, option("--fail-on", FAIL_HELP, ANALYSIS, "WORD")]
