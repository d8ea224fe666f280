"""The application: its commands, and where errors become one line on stderr and an exit code."""

import codecs
import io
import sys
import traceback
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Annotated

import typer
from typer.exceptions import TyperException

import gradscope
from gradscope.cli.command import current_spelling
from gradscope.cli.help import Command, CommandGroup
from gradscope.cli.options import HELP, LAYERS_HELP
from gradscope.cli.output import ReaderGoneError, detach_stream, note, write_stdout
from gradscope.errors import GradscopeError
from gradscope.report.screen import printable, to_ascii

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

WELCOME = """\
gradscope shows how gradients travel through time in a recurrent network:
whether they vanish or explode, how fast, how far back, and why.

Start here:
  gradscope analyze --activation tanh --steps 100
  gradscope compare --activation tanh,sigmoid --steps 10,50,100,200 --png compare.png
  gradscope analyze --data series.csv --column NAME --steps 50 --png report.png

More: gradscope --help, gradscope COMMAND --help, gradscope explain
"""

COMMANDS = (
    *("analyze", "compare", "train", "spectrum", "try", "forecast", "inspect", "sweep"),
    *("export", "report", "merge", "check", "explain", "rerun", "show-config"),
)
"""Every command, in the order of the help page: a function or an app in a module of ``cli``."""

MODULES = {
    **dict.fromkeys(("train", "spectrum", "inspect"), "analyze"),
    **dict.fromkeys(("try", "forecast"), "trial"),
    **dict.fromkeys(("export", "merge"), "report"),
    "show-config": "rerun",
}
"""Where a command is that has no module of its name."""


def build_app(commands: Iterable[str] = COMMANDS) -> typer.Typer:
    """Return the application with these commands; the modules of others are not imported."""
    app = typer.Typer(
        name="gradscope",
        cls=CommandGroup,
        help=HELP,
        epilog=LAYERS_HELP,
        add_completion=False,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(welcome)
    for command in commands:
        name = {"try": "trial"}.get(command, command.replace("-", "_"))  # `try` is a keyword.
        found = getattr(import_module(f"gradscope.cli.{MODULES.get(command, command)}"), name)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=command)
        else:
            app.command(command, cls=Command)(found)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        write_stdout(f"gradscope {gradscope.__version__}\n")
        raise typer.Exit


def welcome(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001 (answered by its callback)
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Show what to type first, where no command was given."""
    if context.invoked_subcommand is None:
        write_stdout(WELCOME)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; every error becomes one line on stderr."""
    try:
        _replace_unencodable_characters()
        # Without a known command first, the page of all commands or an error needs all of them.
        app = build_app([arg for arg in arguments[:1] if arg in COMMANDS] or COMMANDS)
        code = app(current_spelling(arguments), prog_name="gradscope", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except (TyperException, GradscopeError) as error:
        text = str(error) if isinstance(error, GradscopeError) else _misuse(error)
        return _fail(text, arguments, EXIT_USAGE)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", arguments, EXIT_INTERRUPTED)
    except (ReaderGoneError, BrokenPipeError):
        # As a program ends whose reader has gone: 128 + SIGPIPE.
        detach_stream(sys.stdout)
        return 141
    except MemoryError as error:
        text = f"out of memory ({error}); choose fewer --steps, --sequences or --hidden units"
        return _fail(text, arguments, EXIT_USAGE)
    except OSError as error:
        if sys.stdout is not None:
            detach_stream(sys.stdout)
        where = error.filename or "stdout"
        text = f"{where} cannot be used: {error.strerror}; free some space, or choose another file"
        return _fail(text, arguments, EXIT_USAGE)
    return code if isinstance(code, int) else 0


def _replace_unencodable_characters() -> None:
    """Make stdout and stderr spell out characters that their encoding lacks."""

    def spelled(error: UnicodeError) -> tuple[str, int]:
        if not isinstance(error, UnicodeEncodeError):
            raise error
        return to_ascii(error.object[error.start : error.end]), error.end

    codecs.register_error("gradscope", spelled)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="gradscope")


def _misuse(error: TyperException) -> str:
    text = " ".join(error.format_message().split())
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "gradscope"
    return f"{text.rstrip('.')}; see {path} --help"


def _fail(text: str, arguments: Sequence[str], code: int) -> int:
    if "--debug" in arguments:
        traceback.print_exc()
    line = printable(f"error: {text}")
    most = max([300, *(4 * len(each) for each in arguments)])  # A path may be long.
    note(line if len(line) <= most else f"{line[: most // 2]} … {line[3 - most // 2 :]}")
    return code
