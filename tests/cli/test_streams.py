"""Pipes, closed streams, full disks, colours and poor terminals."""

import os
import pty
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]

FULL = Path("/dev/full")
UNBUFFERED = pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
needs_full = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")


def closing(*descriptors: int) -> Callable[[], None]:
    """Return what closes descriptors in the child, before Python starts."""

    def close() -> None:
        for descriptor in descriptors:
            os.close(descriptor)

    return close


def limited(size: int) -> Callable[[], None]:
    """Return what limits the size of files in the child, as a full disk would."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_a_closed_stdin_changes_nothing(run: Run, shown: Run, small: tuple[str, ...]) -> None:
    done = run("analyze", *small, "--json", stdin=None, preexec_fn=closing(0))

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == shown("analyze", *small, "--json").stdout


@pytest.mark.parametrize("line", ["", "--version", "analyze", "check", "train", "compare"])
def test_a_closed_stdout_is_one_line_before_anything_is_computed(run: Run, line: str) -> None:
    done = run(*line.split(), preexec_fn=closing(1))

    assert done.returncode == 2
    assert done.stderr == "error: stdout is closed; open it, or name a file with -o FILE\n"


def test_with_stdout_closed_a_result_still_goes_to_its_file(
    run: Run, small: tuple[str, ...], tmp_path: Path
) -> None:
    done = run("analyze", *small, "-o", "a.json", preexec_fn=closing(1))

    assert (done.returncode, done.stderr) == (0, "wrote a.json\n")
    assert (tmp_path / "a.json").stat().st_size > 1000


def test_a_closed_stderr_does_not_cost_the_result(run: Run, small: tuple[str, ...]) -> None:
    done = run("train", *small, "--format", "csv", preexec_fn=closing(2))

    assert done.returncode == 0
    assert done.stdout.startswith("update,")
    assert run("analyze", "--steps", "0", preexec_fn=closing(2)).returncode == 2


@needs_full
def test_a_full_stderr_does_not_cost_the_result(run: Run, small: tuple[str, ...]) -> None:
    with FULL.open("w") as full:
        arguments = ("train", *small, "--format", "csv")
        done = run(*arguments, stdout=subprocess.PIPE, stderr=full, capture_output=False)

    assert done.returncode == 0
    assert done.stdout.startswith("update,")


@UNBUFFERED
def test_a_reader_that_leaves_early_ends_the_command_quietly(
    program: tuple[str, ...], environment: dict[str, str], small: tuple[str, ...], unbuffered: str
) -> None:
    with subprocess.Popen(
        [*program, "analyze", *small, "--steps", "4000", "--updates", "0", "--json"],
        env={**environment, "PYTHONUNBUFFERED": unbuffered},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"{\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 141


@needs_full
@pytest.mark.parametrize("line", ["--version", "--help", "analyze", "analyze --json", "check"])
def test_a_full_disk_behind_stdout_is_one_line(run: Run, small: tuple[str, ...], line: str) -> None:
    sizes = small if line.startswith("analyze") else ()
    with FULL.open("w") as full:
        done = run(*line.split(), *sizes, stdout=full)

    assert done.returncode == 2
    assert done.stderr.startswith("error: stdout cannot be used: No space left on device; free")
    assert done.stderr.count("\n") == 1


@needs_full
def test_a_full_device_as_output_is_one_line(run: Run, small: tuple[str, ...]) -> None:
    done = run("analyze", *small, "-o", str(FULL))

    assert done.returncode == 2
    assert done.stderr.startswith("error: /dev/full cannot be written: No space left on device")


@pytest.mark.parametrize("name", ["a.json", "a.npz", "a.png"])
@pytest.mark.parametrize("existed", [False, True])
def test_a_disk_that_fills_up_leaves_what_was_there_before(
    run: Run, small: tuple[str, ...], tmp_path: Path, name: str, existed: bool
) -> None:
    if existed:
        (tmp_path / name).write_text("mine")
    flag = {".json": "-o", ".npz": "--save", ".png": "--png"}[Path(name).suffix]

    done = run("analyze", *small, flag, name, "--force", preexec_fn=limited(1024))

    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"error: {name} cannot be written: File too")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == (
        [(name, "mine")] if existed else []
    )


@UNBUFFERED
def test_a_disk_that_fills_up_behind_stdout_is_one_line(
    run: Run, small: tuple[str, ...], tmp_path: Path, unbuffered: str
) -> None:
    variables = {"PYTHONUNBUFFERED": unbuffered}
    with (tmp_path / "out").open("w") as out:
        done = run("analyze", *small, "--json", stdout=out, env=variables, preexec_fn=limited(1024))

    assert done.returncode == 2
    assert done.stderr.startswith("error: stdout cannot be used: File too large; free some space")
    assert done.stderr.count("\n") == 1


BOLD = "\x1b[1m"


@pytest.mark.parametrize(
    ("color", "variables", "colored"),
    [
        ("always", {}, True),
        ("always", {"TERM": "dumb"}, True),
        ("never", {}, False),
        ("auto", {}, False),
        ("auto", {"FORCE_COLOR": "1"}, False),
    ],
)
def test_colour_in_a_pipe_is_what_was_asked_for(
    run: Run, small: tuple[str, ...], color: str, variables: dict[str, str], colored: bool
) -> None:
    done = run("analyze", *small, "--color", color, env=variables)

    assert (BOLD in done.stdout) is colored


@pytest.mark.parametrize(
    ("variables", "colored"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_colour_on_a_terminal_is_on_unless_no_color_is_set(
    program: tuple[str, ...],
    environment: dict[str, str],
    small: tuple[str, ...],
    variables: dict[str, str],
    colored: bool,
) -> None:
    page = on_a_terminal([*program, "analyze", *small], {**environment, **variables})

    assert "The gradient" in page.splitlines()[0]
    assert ("\x1b[" in page) is colored


@pytest.mark.skipif(sys.platform == "win32", reason="terminals are a matter of POSIX")
@pytest.mark.parametrize("after", [0.0, 3600.0])
def test_a_bar_comes_after_its_time_and_tells_the_time_left(
    environment: dict[str, str], after: float
) -> None:
    code = (
        "from gradscope.cli import output; from gradscope.progress import tracked\n"
        f"output.BAR_AFTER = {after}\n"
        "with output.progress_bar('examining'):\n"
        "    for lag in tracked(range(2), 'lags'): lag and input()\n"
    )
    ours, theirs = pty.openpty()
    shown, variables = b"", environment | {"TERM": "xterm"}
    with subprocess.Popen(
        [sys.executable, "-c", code], env=variables, stdin=subprocess.PIPE, stderr=theirs
    ) as child:
        while after == 0.0 and b" left" not in shown:
            shown += os.read(ours, 65536)
        child.communicate(b"\n")
    os.write(theirs, b"end")
    while not shown.endswith(b"end"):
        shown += os.read(ours, 65536)
    os.close(ours)
    os.close(theirs)

    assert child.returncode == 0
    assert (b"lags, 1 of 2" in shown) is (after == 0.0)


def on_a_terminal(arguments: list[str], variables: dict[str, str]) -> str:
    """Return what a command shows on a terminal of its own."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(arguments, env=variables, stdout=theirs, stderr=subprocess.PIPE) as child:
        os.close(theirs)
        seen = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # Linux reports the closed end so
                break
            if not part:
                break
            seen += part
        assert child.wait(30) == 0
    os.close(ours)
    return seen.decode()


ASCII_LINES = {
    "analyze": "sigma_max(dh_T/dh_T-l)",
    "compare": "1/2 in ",
    "check": "sigma_max at every lag",
}


@pytest.mark.parametrize("command", ASCII_LINES)
def test_an_ascii_terminal_gets_words_and_never_question_marks(
    run: Run, small: tuple[str, ...], command: str
) -> None:
    sizes: Any = {"analyze": small, "compare": (*small[:2], "--steps", "4"), "check": ()}[command]

    done = run(command, *sizes, env={"PYTHONIOENCODING": "ascii"})

    assert done.returncode == 0
    assert ASCII_LINES[command] in done.stdout
    assert done.stdout.isascii()
    assert "?" not in done.stdout


def test_an_ascii_terminal_gets_errors_and_help_in_words_too(run: Run) -> None:
    error = run("analyze", "--dt", "2", "--tau", "1", env={"PYTHONIOENCODING": "ascii"})
    page = run("analyze", "--help", env={"PYTHONIOENCODING": "ascii"})

    assert "alpha = dt/tau" in error.stderr
    assert "nonlinearity phi" in page.stdout
    assert "?" not in page.stdout + error.stderr


NOISY = """\
import ctypes, logging, os, subprocess, sys, warnings
import gradscope.weights.load, gradscope.analysis.stage as stage
from gradscope.__main__ import main

def noisy(*arguments, **options):
    warnings.warn("noise of a library")
    logging.getLogger("matplotlib").warning("noise of a logger")
    logger = logging.getLogger("distributed.client")
    logger.addHandler(logging.StreamHandler())
    logger.error("noise of a logger with a handler of its own")
    os.write(2, b"noise of a library in C\\n")
    subprocess.run([sys.executable, "-c", "import sys; sys.exit('noise of a child')"])
    if "lstm" in sys.argv:
        raise ZeroDivisionError("an error of ours")
    return examine(*arguments, **options)

examine, stage.examine = stage.examine, noisy
main()
"""


def test_what_libraries_write_to_stderr_stays_off_it_and_our_own_notes_do_not(
    environment: dict[str, str], small: tuple[str, ...], tmp_path: Path
) -> None:
    def noisy(*words: str) -> "subprocess.CompletedProcess[str]":
        arguments = [sys.executable, "-c", NOISY, "analyze", *small, *words]
        options: Any = {"cwd": tmp_path, "env": environment, "encoding": "utf-8"}
        return subprocess.run(arguments, capture_output=True, check=False, **options)

    done, shown, failed = noisy("-o", "a.json"), noisy("--debug"), noisy("--cell", "lstm")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "wrote a.json\n")
    assert shown.returncode == 0
    assert shown.stderr.count("noise of a") >= 5
    assert failed.returncode == 1
    assert failed.stderr.endswith("ZeroDivisionError: an error of ours\n")
    assert "noise" not in failed.stderr.partition("Traceback")[0]


@pytest.mark.parametrize("command", ["analyze", "spectrum", "report"])
def test_a_picture_is_drawn_where_no_cache_can_be_written(
    environment: dict[str, str], small: tuple[str, ...], tmp_path: Path, command: str
) -> None:
    fonts = tmp_path / "fc-list"
    fonts.write_text("#!/bin/sh\necho 'Fontconfig error: No writable cache directories' >&2\n")
    fonts.chmod(0o755)
    nowhere = "/dev/null/nowhere"
    broken = dict.fromkeys(("HOME", "MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"), nowhere)
    variables = {**environment, **broken, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    options: Any = {"cwd": tmp_path, "env": variables, "encoding": "utf-8", "check": False}
    start = [sys.executable, "-m", "gradscope"]
    words = [command, *small]
    if command == "report":
        axes = ("-P", "gain=1,2", "-P", "leak=0.5,1", "--executor", "serial")
        sweep = [*start, "sweep", *small, *axes]
        swept = subprocess.run(sweep, capture_output=True, **options)  # noqa: PLW1510 (is given)
        assert (swept.returncode, swept.stderr) == (0, "")
        words = [command, "sweep.db"]

    drawing = [*start, *words, "--png", "a.png"]
    done = subprocess.run(drawing, capture_output=True, **options)  # noqa: PLW1510 (is given)

    assert (done.returncode, done.stderr) == (0, "wrote a.png\n")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("line", ["", "--help", "--version", "sweep --help", "sweep --help-all"])
def test_a_reader_that_is_gone_ends_every_page_alike(
    program: tuple[str, ...], environment: dict[str, str], line: str
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [*program, *line.split()],
            env=environment,
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(writing)

    assert (done.returncode, done.stderr) == (141, b"")
