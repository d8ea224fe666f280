"""Help pages: ``--help`` is one screen of plain text, ``--help-all`` has every option in panels.

Neither imports NumPy, and ``--help`` does not import Rich. Both write to stdout themselves, as
Typer's Rich pages do: Click would send UTF-8 to a terminal that knows only ASCII.
"""

from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from textwrap import wrap
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from gradscope.analysis.settings import SETTINGS, flag
from gradscope.cli.options import SETTING_OPTIONS
from gradscope.cli.output import ReaderGoneError, write_stdout
from gradscope.errors import SettingError

WIDTH = 80
MAX_NAME_WIDTH = 20
"""The widest column of option names; a longer name has a line of its own."""

EXAMPLES = """\
gradscope analyze --activation tanh --steps 100
gradscope analyze model.pt --data inputs.npy --batch-first --activation tanh
gradscope analyze --data series.csv --column NAME --steps 50 --png series.png
gradscope compare --activation tanh,sigmoid --steps 10,50 --png lengths.png
gradscope compare before.pt after.pt --data inputs.npy --activation tanh
gradscope compare --task adding --cell elman,gru,lstm --steps 20,40 --seeds 9
gradscope train --task recall --delay 5 --steps 20 --save run.npz
gradscope train --task adding --steps 50 --clip-norm 1 --png training.png
gradscope train --data series.csv --column NAME --steps 50 --truncate 10 --json
gradscope spectrum --init gaussian --gain 1.5 --hidden 64
gradscope spectrum --load run.npz --png spectrum.png
gradscope spectrum --activation sigmoid --steps 500 --json -o spectrum.json
gradscope try --steps 100 --png try.png
gradscope try --data series.csv --column NAME --steps 50 --budget 100
gradscope try model.keras --data x.npy --readout dense --targets y.npy --budget 10min
gradscope forecast --input-scale 0.1 --png forecast.png
gradscope forecast --cell lstm --lags log:5:200:8 --budgets 200,2000
gradscope forecast --task adding --lags 10,20,40 --json
gradscope inspect model.pt
gradscope inspect model.keras --png eigenvalues.png
gradscope inspect cell.npz --weight-map W=rnn.h2h.weight --weight-map U=rnn.i2h.weight
gradscope sweep -P gain=0.5:3:6 -P activation=tanh,sigmoid --updates 0
gradscope sweep -P weights=a.pt,b.pt -P gain=0.5:2:16 --activation tanh
gradscope sweep --config grid.toml --seeds 8 --shard 3/16 -o sweep.db --dry-run
gradscope export sweep.db -o sweep.csv
gradscope export sweep.db --format jsonl --where "regime = 'exploding'"
gradscope export sweep.db -o sweep.npz --where "status = 'done'"
gradscope report sweep.db --png phase.png
gradscope report sweep.db --png horizon.png --x gain --y steps --value horizon
gradscope report sweep.db --png rate.png --kind quantiles --x steps
gradscope merge -o sweep.db sweep-*of16.db
gradscope merge -o both.db laptop.db cluster.db
gradscope merge -o saved.db sweep.db --salvage
gradscope check
gradscope check --activation sigmoid --hidden 32 --steps 50
gradscope check model.pt --data inputs.npy --activation tanh
gradscope explain bptt --steps 3
gradscope explain verdict run.npz
gradscope explain memory horizon
gradscope explain store
gradscope rerun report.png
gradscope rerun report.pdf --png again.png --save again.npz
gradscope rerun run.json --json -o again.json
gradscope show-config report.pdf
gradscope show-config run.npz > settings.toml
gradscope show-config run.json --json
"""
"""Of each command those that name it; the first two stand on its short page."""

EXAMPLES_ON_ONE_SCREEN = 2

COMMON = " ".join(name for name, each in SETTINGS.items() if each.common)

MOST_NEEDED: Mapping[str, str] = {
    "analyze": f"file {COMMON} batch_first png html save full output json fail_on",
    "compare": "files cells activations lengths seeds hidden gain task data column updates seed "
    "fail_on png output json workers",
    "train": "task delay data column steps activation cell hidden updates optimizer learning_rate "
    "clip_norm truncate seed png save output json",
    "spectrum": "file load data activation cell hidden init gain steps updates seed png output "
    "json",
    "try": "file task data column targets readout start steps activation cell budget seeds workers "
    "store explain apply png html json",
    "forecast": "lags budgets task data column activation cell hidden init gain input_scale batch "
    "seed png output json",
    "report": "store where kind value x y png html width theme format output json",
    "check": "file data activation cell hidden steps layer batch_first seed output json",
    "sweep": "file param seeds updates hidden data column config store dry_run workers shard "
    "scheduler retry_failed skip_contradictions json",
}
"""What ``--help`` shows of a command with many options, by parameter; else it shows all."""


class Command(TyperCommand):
    """A command with both pages of help."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(
            TyperOption(
                param_decls=["--help-all"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                required=False,
                help="Show all options and examples.",
                callback=_show_all,
            )
        )

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse a FILE beside another ``--weights``, unless from a variable or TOML file."""
        left = super().parse_args(ctx, args)
        file, weights = ctx.params.get("file"), ctx.params.get("weights")
        if None in (file, weights) or ctx.get_parameter_source("weights").name != "COMMANDLINE":
            return left
        if Path(file).resolve() != Path(weights).resolve():
            fault = "but one network is studied; leave --weights out"
            raise SettingError(f"FILE is {file} and --weights is {weights}, {fault}")
        return left

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return what follows the command's name, a required argument as FILE, not {FILE}."""
        pieces = super().collect_usage_pieces(ctx)
        return [piece.replace("{", "").replace("}", "") for piece in pieces]

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Write the short page: usage, purpose, the options most needed, two examples."""
        page = ctx.make_formatter()
        params = [each for each in self.params if each.name != "help_all"]
        needed = MOST_NEEDED.get(self.name or "", " ".join(each.name or "" for each in params))
        shown = [each for name in needed.split() for each in params if each.name == name]
        arguments = any(each.param_type_name == "argument" for each in shown)
        title = "Arguments and options" if arguments else "Options"
        _write_purpose(self, ctx, page)
        _write_table(page, title, [_row(each, ctx) for each in shown])
        _write_examples(self, page, EXAMPLES_ON_ONE_SCREEN)
        page.write(f"\nAll options and examples: {ctx.command_path} --help-all\n")
        if _takes_settings(self):
            page.write("and every setting of `analyze`: gradscope analyze --help-all\n")
        write_stdout(page.getvalue().rstrip())


class CommandGroup(TyperGroup):
    """A group whose ``--help`` is one screen: its commands and what each is for."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; an interrupt becomes an ``Abort``, where Typer would exit silently."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise typer.Abort from error

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Write the page, with examples or, as the epilog, a closing sentence."""
        page = ctx.make_formatter()
        commands = [(name, each.help or "") for name, each in self.commands.items()]
        _write_purpose(self, ctx, page)
        _write_table(page, "Commands", commands)
        _write_table(page, "Options", [_row(each, ctx) for each in self.get_params(ctx)])
        _write_examples(self, page)
        if self.epilog:
            page.write(f"\n{_filled(self.epilog)}\n")
        write_stdout(page.getvalue().rstrip())


def _show_all(ctx: Any, _param: Any, wanted: bool) -> None:
    """Show every option in panels (settings of ``analyze`` only there) and every example."""
    if not wanted or ctx.resilient_parsing:
        return
    command, needed = copy(ctx.command), MOST_NEEDED.get(ctx.command.name, "").split()
    if _takes_settings(command):
        command.params = [p for p in command.params if p.name in needed or not _is_setting(p)]
    try:
        TyperCommand.format_help(command, ctx, ctx.make_formatter())
    except SystemExit as error:  # Rich ends so where the reader is gone.
        raise ReaderGoneError from error
    formatter = ctx.make_formatter()
    _write_examples(ctx.command, formatter)
    if _takes_settings(ctx.command):
        own = {spelled for each in ctx.command.params for spelled in each.opts}
        lacking = [flag(name) for name in SETTING_OPTIONS if flag(name) not in own]
        but = f" except {', '.join(lacking)}" if lacking else ""
        formatter.write("\n" + _filled(f"And every setting of `analyze`{but}: see") + "\n")
        formatter.write("gradscope analyze --help-all\n")
    write_stdout(formatter.getvalue())
    raise typer.Exit


def _is_setting(param: Any) -> bool:
    """Whether an option is one of the settings of ``analyze``."""
    return getattr(param, "envvar", None) == f"GRADSCOPE_{param.name.upper()}"


def _takes_settings(command: Any) -> bool:
    """Whether a command refers to ``analyze`` for settings that they share."""
    return command.name != "analyze" and any(map(_is_setting, command.params))


def _row(param: Any, ctx: Any) -> tuple[str, str]:
    """Return an option as it is typed, without its ``--no-`` form, and what it does."""
    typed, text = param.get_help_record(ctx)
    return typed.partition(" / ")[0].partition("; ")[0], text


def _filled(text: str, width: int = WIDTH) -> str:
    return "\n".join(wrap(text, width, break_on_hyphens=False))


def _write_purpose(command: Any, ctx: Any, formatter: Any) -> None:
    command.format_usage(ctx, formatter)
    formatter.write(f"\n{_filled(command.help or '')}\n")


def _write_table(formatter: Any, title: str, rows: Sequence[tuple[str, str]]) -> None:
    left = min(max(len(name) for name, _ in rows), MAX_NAME_WIDTH)
    formatter.write(f"\n{title}:\n")
    for name, text in rows:
        lines = _filled(text, WIDTH - left - 4).splitlines()
        if len(name) > left:
            formatter.write(f"  {name}\n")
        for number, line in enumerate(lines):
            shown = name if number == 0 and len(name) <= left else ""
            formatter.write(f"  {shown:{left}}  {line}\n")


def _write_examples(command: Any, formatter: Any, most: int | None = None) -> None:
    lines = [line for line in EXAMPLES.splitlines() if line.split()[1] == command.name][:most]
    if lines:
        formatter.write("\nExamples:\n" + "".join(f"  {line}\n" for line in lines))
