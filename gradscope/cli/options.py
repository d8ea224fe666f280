"""Options, declared once: each setting is one flag, one ``GRADSCOPE_*`` variable and one key of a
TOML file.

Every default is None here, so that what was given can be told from what was not; the defaults shown
are those of ``analysis.settings.Settings``.
"""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from gradscope.analysis.setting_values import flag
from gradscope.analysis.settings import Settings
from gradscope.names import (
    ActivationName,
    CellName,
    ColumnWidth,
    GateName,
    InitializerName,
    MissingCells,
    OptimizerName,
    PanelName,
    StateName,
    TaskName,
)

HELP = (
    "See how gradient travels through time in a recurrent network: whether, how fast, "
    "how far back and why it vanishes or explodes."
)
LAYERS_HELP = (
    "A setting comes from its flag, else from GRADSCOPE_NAME, else from --config FILE.toml, "
    "else from its default."
)

MODEL, DATA, TRAINING = "Model", "Data", "Training"
GIVEN = "Given network"
ANALYSIS, OUTPUT, EXECUTION = "Analysis", "Output", "Execution"

METAVARS = {
    "data": "FILE",
    "column": "NAME",
    "weights": "FILE",
    "weight_map": "W=NAME",
    "layer": "N|NAME",
    "readout": "NAME",
    "targets": "FILE",
}

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
    """Which regimes end with exit code 1."""

    VANISHING = "vanishing"
    EXPLODING = "exploding"
    ANY = "any"


def _setting(name: str, kind: Any, panel: str, text: str) -> Any:
    """Return the annotation of one setting's option; its words and default stand in its help."""
    default: Any = Settings.__dataclass_fields__[name].default
    words = isinstance(kind, type) and issubclass(kind, StrEnum)
    spelled = f"{flag(name)}/--no-{flag(name)[2:]}" if kind is bool else flag(name)
    if words:
        text = f"{text.rstrip('.')}: {', '.join(kind)}."
    if default is not None and default is not False and default != ():
        text = f"{text.rstrip('.')} (default {default})."
    option = typer.Option(
        spelled,
        help=text,
        rich_help_panel=panel,
        envvar=f"GRADSCOPE_{name.upper()}",
        show_envvar=False,
        show_default=False,
        metavar=METAVARS.get(name)
        or {int: "N", float: "X"}.get(kind)
        or ("WORD" if words else None),
    )
    return Annotated[kind | None, option]


SETTING_OPTIONS: Mapping[str, Any] = {
    each[0]: _setting(*each)
    for each in (
        ("cell", CellName, MODEL, "The recurrent cell."),
        ("leak", float, MODEL, "Leak α = dt/τ of a vanilla RNN."),
        ("state", StateName, MODEL, "A vanilla RNN's state: after φ or before it."),
        ("forget_bias", float, MODEL, "Bias of the gate that keeps the state (LSTM f, GRU z)."),
        ("activation", ActivationName, MODEL, "The nonlinearity φ."),
        ("hidden", int, MODEL, "Hidden units H."),
        (
            "init",
            InitializerName,
            MODEL,
            "How W is drawn (orthogonal: as Keras's SimpleRNN, uniform: as PyTorch's nn.RNN).",
        ),
        ("gain", float, MODEL, "Factor on W."),
        ("input_scale", float, MODEL, "Factor on U."),
        ("center_bias", bool, MODEL, "Start a sigmoid net at rest at ½: b = −W·½."),
        ("weights", str, GIVEN, "Somebody else's network: the same as FILE."),
        (
            "weight_map",
            list[str],
            GIVEN,
            "Weights of a hand-written cell, letters W, U, b, V, c; --map W=NAME is the same.",
        ),
        (
            "layer",
            str,
            GIVEN,
            "Layer to study, by place from 0 or name; :reverse for backward (default: the last).",
        ),
        ("readout", str, GIVEN, "Its linear output layer, by name."),
        ("gate_activation", GateName, GIVEN, "The gates' function where the file is silent."),
        (
            "reset_after",
            bool,
            GIVEN,
            "Whether a GRU's reset gate acts after W, where the file is silent.",
        ),
        ("batch_first", bool, GIVEN, "--data is (B,T,D) instead of (T,B,D)."),
        ("standardise", bool, GIVEN, "Bring each input to mean 0 and deviation 1."),
        ("targets", str, GIVEN, "Wanted outputs of --readout, shaped as --data."),
        ("noise_scale", float, GIVEN, "Scale of white noise where there is no --data."),
        ("steps", int, DATA, "Sequence length T."),
        ("task", TaskName, DATA, "Synthetic task."),
        ("delay", int, DATA, "How far back recall reaches (default: half of the steps)."),
        (
            "data",
            str,
            DATA,
            "Your own series (.csv, .tsv, .txt, .npy); with FILE, its inputs.",
        ),
        ("column", list[str], DATA, "Column of --data by name or number; repeat for several."),
        ("missing", MissingCells, DATA, "What to do about empty cells."),
        ("validation", float, DATA, "Fraction of the series held out at its end."),
        ("updates", int, TRAINING, "Training updates; 0 for none."),
        ("batch", int, TRAINING, "Sequences in a training batch."),
        ("optimizer", OptimizerName, TRAINING, "Update rule."),
        (
            "learning_rate",
            float,
            TRAINING,
            "Learning rate (default: adam 0.003, rmsprop 0.001, else 0.01).",
        ),
        ("clip_norm", float, TRAINING, "Clip the global gradient norm."),
        ("clip_value", float, TRAINING, "Clip each gradient entry."),
        ("truncate", int, TRAINING, "Send each error back over at most this many lags."),
        ("sequences", int, ANALYSIS, "Sequences examined."),
        ("max_lag", int, ANALYSIS, "Longest lag (default: all steps)."),
        ("vanishing", float, ANALYSIS, "σ_max below this has vanished."),
        ("exploding", float, ANALYSIS, "σ_max above this has exploded."),
        ("transient_growth", float, ANALYSIS, "Growth before vanishing worth a word."),
        ("agreement", float, ANALYSIS, "Fraction of sequences that must agree."),
        ("tolerance", float, ANALYSIS, "Largest relative error of σ_max."),
        ("truncation_error", float, ANALYSIS, "Gradient error that truncation may leave."),
        ("map", bool, ANALYSIS, "Measure all pairs of states: the heat map."),
        ("shares", bool, ANALYSIS, "Split the gradient by lag; truncation length."),
        ("spectrum", bool, ANALYSIS, "Singular values, Lyapunov exponents, theory."),
        ("verify", bool, ANALYSIS, "Compute sampled lags again by an exact SVD."),
        ("seed", int, EXECUTION, "Source of every random draw."),
    )
}

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", help="Settings from a TOML file.", rich_help_panel=EXECUTION, metavar="FILE"
    ),
]
Load = Annotated[
    str | None,
    typer.Option(
        "--load",
        help="Take the network of a saved run (FILE.npz).",
        rich_help_panel=MODEL,
        metavar="FILE",
    ),
]
WeightsFile = Annotated[
    str | None,
    typer.Argument(
        help="Somebody else's network: .npz, .pt, .pth, .safetensors, .keras, .weights.h5, .h5 or "
        ".mat. Without it one is drawn.",
        metavar="[FILE]",
        show_default=False,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        help="BLAS threads (default: as the environment says, else 1).",
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
        help="When to colour the page: auto, always, never (default auto).",
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
        help="Write the result there; - is stdout.",
        rich_help_panel=OUTPUT,
        metavar="FILE",
    ),
]
Figure = Annotated[
    Path | None,
    typer.Option(
        "--png",
        "--svg",
        "--pdf",
        help="Draw the report; .png, .svg or .pdf by the name's ending.",
        rich_help_panel=OUTPUT,
        metavar="FILE",
    ),
]
Panel = Annotated[
    PanelName | None,
    typer.Option(
        "--panel",
        help=f"Draw one panel alone, for a paper: {', '.join(PanelName)}.",
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
    bool, typer.Option("--force", help="Replace files that exist.", rich_help_panel=OUTPUT)
]
FailWhen = Annotated[
    FailOn | None,
    typer.Option(
        "--fail-on",
        help="Exit with 1 if the last stage shows this: vanishing, exploding, any.",
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
