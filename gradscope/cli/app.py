"""The application: its commands, and the one place where errors become a line and an exit code."""

import errno
import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.exceptions import TyperException

import gradscope
from gradscope.cli import analyze, check, compare, show_config, train
from gradscope.cli.options import HELP, LAYERS_HELP
from gradscope.errors import GradscopeError

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

WELCOME = """\
gradscope shows how gradient travels through time in a recurrent network:
whether it vanishes or explodes, how fast, how far back, and why.

Start here:
  gradscope analyze --activation tanh --steps 100
  gradscope compare --activation tanh,sigmoid --steps 10,50,100,200 --png compare.png
  gradscope analyze --data series.csv --column NAME --steps 50 --png report.png

More: gradscope --help, gradscope COMMAND --help
"""

app = typer.Typer(
    name="gradscope",
    help=HELP,
    epilog=LAYERS_HELP,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (analyze, compare, train, check, show_config):
    command.register(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"gradscope {gradscope.__version__}\n")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def welcome(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001 (answered by its callback)
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Say what to type, where nothing was typed."""
    if context.invoked_subcommand is None:
        sys.stdout.write(WELCOME)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; every error becomes one line on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        code = app(list(arguments), prog_name="gradscope", standalone_mode=False)
        _flush()
    except (TyperException, GradscopeError) as error:
        return _fail(_one_line(error), arguments, EXIT_USAGE)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", arguments, EXIT_INTERRUPTED)
    except BrokenPipeError:
        return _leave_quietly()
    except MemoryError as error:
        text = f"out of memory ({error}); choose fewer --steps, --sequences or --hidden units"
        return _fail(text, arguments, EXIT_USAGE)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            _abandon_stdout()
        where = error.filename or "the output"
        text = f"{where}: {error.strerror}; make room, or choose another place"
        return _fail(text, arguments, EXIT_USAGE)
    return code if isinstance(code, int) else 0


def _flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


def _one_line(error: TyperException | GradscopeError) -> str:
    if isinstance(error, GradscopeError):
        return str(error)
    text = " ".join(error.format_message().split())
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "gradscope"
    return f"{text.rstrip('.')}; see {path} --help"


def _fail(text: str, arguments: Sequence[str], code: int) -> int:
    if "--debug" in arguments:
        traceback.print_exc()
    if sys.stderr is not None:
        sys.stderr.write(f"error: {' '.join(text.split())}\n")
    return code


def _abandon_stdout() -> None:
    """Point stdout nowhere, so that the interpreter's own last flush does not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _leave_quietly() -> int:
    """Leave as a program does whose reader has gone (128 + SIGPIPE)."""
    _abandon_stdout()
    return 141
