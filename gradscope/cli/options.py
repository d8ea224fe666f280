"""Options, declared once: each setting is one flag, one ``GRADSCOPE_*`` variable and one key of a
TOML file.

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
from gradscope.names import ColumnWidth
from gradscope.report.figures.panels import PANELS, checked_panel
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


def _setting_option(setting: Setting, envvar: str | None = None) -> Any:
    """Return the option of a setting; its words and its default stand in its help."""
    kind, flag, text = setting.kind, setting.flag, setting.help
    words = isinstance(kind, type) and issubclass(kind, StrEnum)
    if words:
        text = f"{text.rstrip('.')}: {', '.join(kind)}."
    default = setting.default
    if default is not None and default is not False and default != ():
        text = f"{text.rstrip('.')} (default {default})."
    return typer.Option(
        f"{flag}/--no-{flag[2:]}" if kind is bool else flag,
        help=text,
        rich_help_panel=setting.panel,
        envvar=envvar,
        show_envvar=False,
        show_default=False,
        metavar=setting.metavar or {int: "N", float: "X"}.get(kind) or ("WORD" if words else None),
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
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", help="Settings from a TOML file.", rich_help_panel=EXECUTION, metavar="FILE"
    ),
]
WeightsFile = Annotated[
    str | None,
    typer.Argument(
        help=f"A network from a file: {READABLE}. Without it, a random network.",
        metavar="[FILE]",
        show_default=False,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        help="BLAS threads (default: from the environment, else 1).",
        min=1,
        rich_help_panel=EXECUTION,
        metavar="N",
    ),
]
Debug = Annotated[
    bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=EXECUTION)
]
ColorWhen = Annotated[
    Color,
    typer.Option(
        "--color",
        help="When to use color: auto, always, never (default auto).",
        rich_help_panel=OUTPUT,
        metavar="WORD",
        show_default=False,
    ),
]
FormatChoice = Annotated[
    Format | None,
    typer.Option(
        "--format",
        help="How the result is written: table, json, jsonl, csv, md (default table).",
        rich_help_panel=OUTPUT,
        metavar="WORD",
        show_default=False,
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Short for --format json.", rich_help_panel=OUTPUT)
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="Write the result to FILE; - is stdout.",
        rich_help_panel=OUTPUT,
        metavar="FILE",
    ),
]
Figure = Annotated[
    list[Path] | None,
    typer.Option(
        "--png",
        "--svg",
        "--pdf",
        help="Draw the report, in the format of the file's extension; repeat for several.",
        rich_help_panel=OUTPUT,
        metavar="FILE",
    ),
]
Panel = Annotated[
    str | None,
    typer.Option(
        "--panel",
        help=f"Draw one panel alone, for a paper: {', '.join(PANELS)}.",
        callback=checked_panel,
        rich_help_panel=OUTPUT,
        metavar="WORD",
    ),
]
PanelWidth = Annotated[
    ColumnWidth,
    typer.Option(
        "--width",
        help="Width of the panel, in columns of a paper: single, double (default double).",
        rich_help_panel=OUTPUT,
        metavar="WORD",
        show_default=False,
    ),
]
Html = Annotated[
    Path | None,
    typer.Option(
        "--html",
        help="Write the whole report as one self-contained page.",
        rich_help_panel=OUTPUT,
        metavar="FILE",
    ),
]
Save = Annotated[
    Path | None,
    typer.Option(
        "--save",
        help="Save network, trajectory and settings (FILE.npz, plain NumPy).",
        rich_help_panel=OUTPUT,
        metavar="FILE",
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Overwrite existing files.", rich_help_panel=OUTPUT)
]
FailWhen = Annotated[
    FailOn | None,
    typer.Option(
        "--fail-on",
        help="Exit with 1 if it is: vanishing, exploding, shut, any; diverged (in training).",
        metavar="WORD",
        rich_help_panel=ANALYSIS,
        show_default=False,
    ),
]


def option(flags: str, text: str, panel: str, metavar: str | None = None, **more: Any) -> Any:
    """Return an option of one command, its flags separated by spaces."""
    return typer.Option(
        *flags.split(),
        help=text,
        rich_help_panel=panel,
        metavar=metavar,
        show_default=False,
        show_envvar=False,
        **more,
    )
