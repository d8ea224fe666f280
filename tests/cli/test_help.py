"""Help pages, the bare command, the version; and how little they load."""

import os
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer.main

import gradscope
from gradscope.cli.app import build_app
from gradscope.cli.help import MOST_NEEDED

Run = Callable[..., "subprocess.CompletedProcess[str]"]

COMMANDS = (
    "analyze",
    "compare",
    "train",
    "spectrum",
    "try",
    "forecast",
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


PAGES = (*COMMANDS, "explain", "explain bptt", "explain term")
ONE_SCREEN = 40


@pytest.mark.parametrize("command", PAGES)
def test_the_help_of_every_command_is_one_plain_screen(shown: Run, command: str) -> None:
    done = shown(*command.split(), "--help")
    lines = done.stdout.rstrip().splitlines()

    assert (done.returncode, done.stderr) == (0, "")
    assert shown(*command.split(), "-h").stdout == done.stdout
    assert len(lines) <= ONE_SCREEN
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith(f"Usage: gradscope {command} ")
    assert not set(done.stdout) & set("│╭─╯\x1b")


@pytest.mark.parametrize("columns", ["20", "60", "200"])
def test_the_short_page_does_not_depend_on_the_terminal(shown: Run, columns: str) -> None:
    assert shown("train", "--help", columns=columns).stdout == shown("train", "--help").stdout


def test_the_first_page_is_one_screen(shown: Run) -> None:
    lines = shown("--help").stdout.rstrip().splitlines()

    assert len(lines) <= 45
    assert max(map(len, lines)) <= 80


def options_of(command: str) -> list[Any]:
    """Return the parameters of a command that are options."""
    group: Any = typer.main.get_command(build_app())
    return [each for each in group.commands[command].params if each.param_type_name == "option"]


def names_on(page: str) -> set[str]:
    """Return the flags that a page names outside its examples."""
    before, _, after = page.partition("Examples:")
    closing = after.partition("And every setting of")[2]
    return set(re.findall(r"(?<![\w-])--?[A-Za-z][\w-]*", before + closing))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_stands_in_help_all(shown: Run, command: str) -> None:
    done = shown(command, "--help-all", columns="200")
    everything = names_on(done.stdout)
    settings = {
        spelled
        for each in options_of("analyze")
        if each.envvar
        for spelled in (*each.opts, *each.secondary_opts)
    }
    own = {s for each in options_of(command) for s in (*each.opts, *each.secondary_opts)}

    assert (done.returncode, done.stderr) == (0, "")
    if "And every setting of" in done.stdout:
        assert own - settings <= everything
        # A shared setting is on the page of analyze, or it is named here as an exception.
        assert settings - own <= everything | {
            spelled.replace("--", "--no-") for spelled in everything
        }
    else:
        assert own <= everything


@pytest.mark.parametrize("command", COMMANDS)
def test_what_stands_in_help_stands_in_help_all_too(shown: Run, command: str) -> None:
    short, everything = (shown(command, flag, columns="200") for flag in ("--help", "--help-all"))

    assert names_on(short.stdout.partition("All options")[0]) <= names_on(everything.stdout)


@pytest.mark.parametrize("command", tuple(MOST_NEEDED))
def test_the_options_called_most_needed_exist(command: str) -> None:
    group: Any = typer.main.get_command(build_app())

    assert set(MOST_NEEDED[command].split()) <= {
        each.name for each in group.commands[command].params
    }


def test_options_stand_in_panels_with_their_defaults(shown: Run) -> None:
    page = shown("analyze", "--help-all").stdout

    assert [panel for panel in PANELS if f"─ {panel} ─" not in page] == []
    for default in ("default 32", "default tanh", "default 0)", "default 0.2", "BLAS threads (def"):
        assert default in " ".join(page.replace("│", " ").split()), default
    assert max(map(len, page.splitlines())) <= 80


def examples(page: str) -> list[str]:
    """Return the examples on a page."""
    return re.findall(r"^ *(gradscope .*)$", page.partition("Examples:\n")[2], re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_two_examples_and_help_all_three(shown: Run, command: str) -> None:
    few = [e for e in examples(shown(command, "--help").stdout) if "--help-all" not in e]
    every = [e for e in examples(shown(command, "--help-all").stdout) if "--help-all" not in e]

    assert (len(few), len(every)) == (2, 3)
    assert every[:2] == few
    assert all(each.startswith(f"gradscope {command}") for each in every)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory, program: tuple[str, ...]) -> Path:
    """Return a folder with the files that examples name, and ``gradscope`` itself."""
    folder = tmp_path_factory.mktemp("examples")
    script = folder / "gradscope"
    script.write_text(f'#!/bin/sh\nexec {shlex.join(program)} "$@"\n')
    script.chmod(0o755)
    return folder


PREPARATION = """
import numpy as np
rng = np.random.default_rng(0)
values = rng.standard_normal(80)
open("series.csv", "w").write("NAME\\n" + "\\n".join(map(str, values)))
np.save("inputs.npy", rng.standard_normal((10, 3, 4)))
np.savez("cell.npz", **{"rnn.h2h.weight": rng.standard_normal((4, 4)) / 2,
                        "rnn.i2h.weight": rng.standard_normal((4, 3))})
grid = ["updates = 0", "hidden = 4", "[sweep]", "gain = '0.5:3:16'", "steps = [5, 9]"]
open("grid.toml", "w").write("\\n".join(grid))
"""
FEW_UPDATES = {"GRADSCOPE_UPDATES": "4"}
BEFORE = (
    "gradscope analyze --steps 6 --updates 2 --hidden 4 --save run.npz --png report.png",
    "gradscope analyze --steps 6 --updates 2 --hidden 4 --pdf report.pdf -o run.json",
    *(
        f"gradscope sweep -P gain=0.5:2:3 -P steps=5,9 --hidden 4 --updates 0 --seed {n} -o {store}"
        for n, store in enumerate(("sweep.db", "laptop.db", "cluster.db", "more.db"))
    ),
    "gradscope sweep --config grid.toml --shard 1/16 -o sweep.db",
    "gradscope sweep --config grid.toml --shard 2/16 -o sweep.db",
)


@pytest.mark.slow
def test_every_example_runs(
    program: tuple[str, ...], environment: dict[str, str], shown: Run, inputs: Path
) -> None:
    torch = pytest.importorskip("torch", reason="the example network is made by PyTorch")
    for name in ("model", "before", "after", "a", "b"):
        torch.save(torch.nn.RNN(4, 5).state_dict(), inputs / f"{name}.pt")
    variables = {**environment, "PATH": f"{inputs}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run([program[0], "-c", PREPARATION], cwd=inputs, env=variables, check=True)
    every = [each for c in COMMANDS for each in examples(shown(c, "--help-all").stdout)]
    for line in (*BEFORE, *every):
        if "--help-all" in line or "model.keras" in line:
            continue
        replaces = re.search(r"gradscope (analyze|train|merge|export)|--json -o|--png again", line)
        done = subprocess.run(
            ["/bin/sh", "-c", f"{line} --force" if replaces else line],
            cwd=inputs,
            env={
                **variables,
                **(FEW_UPDATES if re.search(r"compare --|train |try --", line) else {}),
            },
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=240,
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"


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
