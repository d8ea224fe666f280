"""Help pages, the bare command, the version; and how little they load."""

import re
import subprocess
from collections.abc import Callable

import pytest

import gradscope
from gradscope.cli.app import build_app

Run = Callable[..., "subprocess.CompletedProcess[str]"]

COMMANDS = (
    "analyze",
    "compare",
    "train",
    "spectrum",
    "inspect",
    "sweep",
    "export",
    "report",
    "merge",
    "check",
    "rerun",
    "show-config",
)
PANELS = ("Model", "Data", "Training", "Analysis", "Output", "Execution")


def test_a_bare_gradscope_tells_a_newcomer_what_to_type(run: Run) -> None:
    done = run()

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n  gradscope ") == 3
    assert "gradscope --help" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_version_is_one_line(run: Run) -> None:
    for arguments in (("--version",), ("--version", "--help")):
        done = run(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"gradscope {gradscope.__version__}\n"


def test_the_first_help_page_names_every_command(run: Run) -> None:
    done = run("--help")

    assert (done.returncode, done.stderr) == (0, "")
    for command in COMMANDS:
        assert f" {command} " in done.stdout


def test_the_commands_tested_here_are_all_there_are() -> None:
    registered = {command.name for command in build_app().registered_commands}

    assert registered == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_stands_in_the_help_of_its_command(shown: Run, command: str) -> None:
    import typer.main

    done = shown(command, "-h", columns="200")

    assert (done.returncode, done.stderr) == (0, "")
    group = typer.main.get_command(build_app())
    parameters = group.commands[command].params  # type: ignore[attr-defined]
    spellings = [spelled for each in parameters for spelled in (*each.opts, *each.secondary_opts)]
    assert len(spellings) >= 3
    for spelled in spellings:
        if spelled.startswith("-"):
            assert re.search(rf"{re.escape(spelled)}\b", done.stdout), spelled


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_ends_with_three_examples(shown: Run, command: str) -> None:
    examples = shown(command, "-h", columns="200").stdout.partition("Examples")[2]

    assert len(re.findall(rf"^ *gradscope {command}\b", examples, re.MULTILINE)) == 3


@pytest.mark.parametrize("command", ["analyze", "train"])
def test_options_stand_in_panels_with_their_defaults(run: Run, command: str) -> None:
    page = run(command, "--help").stdout

    assert [panel for panel in PANELS if f"─ {panel} ─" not in page] == []
    for default in ("default 32", "default tanh", "default 0)", "default 0.2", "BLAS threads (def"):
        assert default in " ".join(page.replace("│", " ").split()), default
    assert max(len(line) for line in page.splitlines()) <= 80


@pytest.mark.parametrize(
    "arguments", [("--help",), ("--version",), ("analyze", "--help"), ("compare", "--help"), ()]
)
def test_help_and_version_import_neither_numpy_nor_matplotlib(
    run: Run, arguments: tuple[str, ...]
) -> None:
    loaded = imported(run, *arguments)

    assert not loaded & {"numpy", "matplotlib", "scipy"}
    assert ("typer" in loaded) is (arguments != ("--version",))


def test_an_analysis_without_picture_does_not_import_matplotlib(
    run: Run, small: tuple[str, ...]
) -> None:
    loaded = imported(run, "analyze", *small)

    assert "numpy" in loaded
    assert "matplotlib" not in loaded


def imported(run: Run, *arguments: str) -> set[str]:
    """Return the names of the packages that a command line imports."""
    done = run(*arguments, env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert done.returncode == 0, done.stderr
    names = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines()]
    return {name.partition(".")[0] for name in names}


def test_importing_the_package_loads_no_numpy_either(
    program: tuple[str, ...], environment: dict[str, str]
) -> None:
    code = "import gradscope, sys; print('numpy' in sys.modules)"
    done = subprocess.run(
        [program[0], "-c", code], env=environment, capture_output=True, check=True, text=True
    )

    assert done.stdout == "False\n"
