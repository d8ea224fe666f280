"""``gradscope sweep`` and ``gradscope merge`` as people type them."""

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gradscope.cli.sweep import sweep_bar
from gradscope.sweep.run import Progress
from tests.sweeping import (
    PATIENCE,
    TINY_FLAGS,
    count_cells,
    environment,
    lasting_rows,
    run,
    running_in_group,
    start,
    wait_until,
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, so that files are named by their bare names."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sweep(*words: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return run("sweep", *TINY_FLAGS, "--executor", "serial", *words, **options)


def names() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


def document(*words: str | Path) -> dict[str, Any]:
    done = sweep(*words, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def error_of(*words: str | Path) -> str:
    done = sweep(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_a_sweep_writes_its_store_and_shows_a_summary() -> None:
    done = sweep("-P", "gain=1,2", "-P", "activation=tanh,sigmoid", "--seeds", "2", "-o", "s.db")

    assert done.returncode == 0
    assert "8 cells computed" in done.stdout
    assert "sigmoid" in done.stdout
    assert done.stderr == ""
    assert names() == ["s.db"]
    assert count_cells(Path("s.db")) == 8


def test_a_report_has_the_exponents_that_were_measured_and_draws_one_setting_over_it() -> None:
    words = ("-P", "gain=1,2", "-P", "cell=lstm", "--updates", "0")
    assert sweep(*words, "-o", "plain.db").returncode == 0
    assert sweep(*words, "--spectrum", "-o", "spectra.db").returncode == 0

    done = run("report", "spectra.db", "--value", "lyapunov", "--png", "one.png")
    groups = json.loads(run("report", "spectra.db", "--json").stdout)["groups"]
    (plain, _) = json.loads(run("report", "plain.db", "--json").stdout)["groups"]
    refused = run("report", "plain.db", "--value", "lyapunov")

    shown = [float(line.split()[-1].replace("−", "-")) for line in done.stdout.split("\n")[4:6]]
    exponents = [group["lyapunov_exponent"] for group in groups]
    assert shown == pytest.approx(exponents, rel=5e-3)
    assert plain["lyapunov_exponent"] is None
    assert plain["lyapunov_null_because"]
    assert json.loads(run("rerun", "one.png", "--json").stdout)["groups"] == groups
    assert (refused.returncode, "--spectrum" in refused.stderr) == (2, True)


def test_processes_are_the_default_and_give_the_same_rows() -> None:
    words = ("-P", "gain=1:2:4", *TINY_FLAGS)
    assert run("sweep", *words, "-o", "process.db").returncode == 0
    assert sweep(*words, "-o", "serial.db").returncode == 0

    assert lasting_rows(Path("process.db")) == lasting_rows(Path("serial.db"))


def test_the_same_command_again_does_what_is_missing() -> None:
    assert document("-P", "gain=1,2", "-o", "s.db")["done"] == 2

    again = document("-P", "gain=1,2,3", "-o", "s.db")

    assert (again["cells"], again["kept"], again["done"], again["missing"]) == (3, 2, 1, 0)
    assert again["swept"] == {"gain": [1.0, 2.0, 3.0]}
    assert again["settings"]["hidden"] == 4


def test_a_dry_run_counts_shows_and_estimates_and_writes_nothing() -> None:
    done = sweep("-P", "gain=1:2:6", "-P", "max_lag=3,6", "-o", "s.db", "--dry-run")

    assert done.returncode == 0
    assert done.stdout.startswith("12 cells, none in s.db yet: ")
    assert "timed on one cell of each of 2 of 2 sizes" in " ".join(done.stdout.split())
    assert "… and 7 more" in done.stdout
    assert names() == []


def test_a_dry_run_knows_what_is_there() -> None:
    document("-P", "gain=1,2", "-o", "s.db")

    seen = document("-P", "gain=1,2,3", "-o", "s.db", "--dry-run")

    assert (seen["cells"], seen["missing"]) == (3, 1)
    assert seen["estimated_seconds"] > 0
    assert seen["first"][0] == {"gain": 1.0}


def test_failed_cells_end_with_code_3_and_are_tried_again_where_asked_for() -> None:
    words = ("-P", "steps=6,10000000", "--hidden", "4", "--sequences", "1000", "--updates", "0")

    def larger(*more: str) -> subprocess.CompletedProcess[str]:
        return run("sweep", *words, "--executor", "serial", "-o", "s.db", *more)

    first, second, third = larger(), larger(), larger("--retry-failed", "--json")

    assert (first.returncode, second.returncode, third.returncode) == (3, 3, 3)
    assert "1 of 2 cells failed" in first.stderr
    assert "this machine has" in first.stdout
    assert json.loads(third.stdout)["kept"] == 1


def test_settings_and_axes_come_from_a_toml_file_and_flags_go_before() -> None:
    Path("grid.toml").write_text(
        'task = "adding"\ngain = 9.0\n\n[sweep]\ngain = "1:2:3"\nactivation = ["tanh", "relu"]\n'
        "input-scale = [0.5, 1.0]\nseeds = 2\n",
        encoding="utf-8",
    )

    whole = document("--config", "grid.toml", "-o", "whole.db")
    less = document(
        "--config",
        "grid.toml",
        "-P",
        "gain=7",
        "--activation",
        "tanh",
        "--seeds",
        "1",
        "-o",
        "s.db",
    )

    assert whole["cells"] == 3 * 2 * 2 * 2
    assert whole["settings"]["task"] == "adding"
    assert less["cells"] == 2
    assert less["settings"]["gain"] == 7.0


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("[sweep]\ngian = [1]", "did you mean 'gain'?"),
        ("sweep = 3", "write a table, [sweep]"),
        ("[sweep]\nseeds = 'two'", "seeds is 'two'"),
        ("[sweep]\ngain = []", "an empty list"),
    ],
)
def test_a_slip_in_the_toml_file_is_answered(content: str, part: str) -> None:
    Path("grid.toml").write_text(content, encoding="utf-8")

    assert part in error_of("--config", "grid.toml")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("-P", "gain"), "as in -P gain=0.5:3:26"),
        (("-P", "gain=1,2", "--gain", "3"), "swept over too"),
        (("-P", "gain=1,-1"), "--gain is -1.0; choose 0 to"),
        (("--shard", "4/3"), "as in 3/16"),
        (("--executor", "dask", "--scheduler", "none.json"), "is no address and no file"),
        (("--workers", "0", "--executor", "process"), "--workers is 0"),
        (("-o", "."), "is a folder"),
        (("-o", "missing/s.db"), "is not a folder"),
    ],
)
def test_a_mistake_is_one_line(words: tuple[str, ...], part: str) -> None:
    pytest.importorskip("distributed", reason="its absence is told first") if "dask" in words else 0

    assert part in error_of(*words)


def test_a_file_that_is_no_store_is_kept() -> None:
    Path("notes.db").write_text("my notes", encoding="utf-8")

    assert "is not a gradscope store" in error_of("-P", "gain=1,2", "-o", "notes.db")
    assert Path("notes.db").read_text(encoding="utf-8") == "my notes"


def test_contradictions_are_told_first_or_left_out() -> None:
    words = ("-P", "activation=tanh,sigmoid", "-P", "center-bias=true,false", "-o", "s.db")

    assert "--skip-contradictions" in error_of(*words)
    done = sweep(*words, "--skip-contradictions")
    assert done.returncode == 0
    assert "left out 1 combinations" in done.stderr
    assert count_cells(Path("s.db")) == 3


def test_shards_have_stores_of_their_own_and_merge_to_the_whole() -> None:
    words = ("-P", "gain=1:2:8", "-o", "s.db")
    for part in ("1/3", "2/3", "3/3"):
        assert sweep(*words, "--shard", part).returncode == 0
    assert names() == ["s-1of3.db", "s-2of3.db", "s-3of3.db"]

    merged = run("merge", "-o", "s.db", *names(), "--json")
    sweep("-P", "gain=1:2:8", "-o", "whole.db")

    assert merged.returncode == 0
    assert json.loads(merged.stdout)["cells"] == 8
    assert lasting_rows(Path("s.db")) == lasting_rows(Path("whole.db"))
    # The joined store is a store like any other: the sweep goes on in it.
    assert document(*words)["kept"] == 8


def test_merge_does_not_replace_a_file_without_force() -> None:
    sweep("-P", "gain=1,2", "-o", "s.db")

    refused = run("merge", "-o", "s.db", "s.db")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "already exists" in refused.stderr
    assert run("merge", "-o", "s.db", "s.db", "--force").returncode == 0
    assert count_cells(Path("s.db")) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="signals are a matter of POSIX")
@pytest.mark.parametrize("executor", ["serial", "process"])
def test_ctrl_c_keeps_what_ended_says_so_and_leaves_nobody_behind(executor: str) -> None:
    words = ("-P", "gain=0.5:3:3000", *TINY_FLAGS, "--executor", executor, "-o", "s.db")
    with start("sweep", *words, start_new_session=True) as process:
        wait_until(lambda: count_cells(Path("s.db")) > 5)
        # As a terminal does it: to every process of the group.
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)

    assert process.returncode == 130
    assert err.startswith("interrupted with ")
    assert err.count("\n") == 1
    assert "missing" in out
    kept = count_cells(Path("s.db"))
    assert 5 < kept < 3000
    assert f"{3000 - kept} of 3000 cells missing" in err
    wait_until(lambda: not running_in_group(process.pid))


@pytest.mark.skipif(sys.platform == "win32", reason="terminals are a matter of POSIX")
def test_a_bar_on_a_terminal_shows_rate_time_left_and_failures() -> None:
    code = (
        "from gradscope.cli import output; output.BAR_AFTER = 0.0\n"
        "from gradscope.cli.sweep import sweep_bar\n"
        "from gradscope.sweep.run import Progress\n"
        "with sweep_bar() as watch: watch(Progress(total=40, kept=2, done=3)); input()\n"
    )
    leader, follower = pty.openpty()
    shown, variables = b"", {**environment(), "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stderr=follower, env=variables
    ) as process:
        os.close(follower)
        while not all(
            word in shown for word in (b"3 of 38", b"cells per second, 0 failed", b" left")
        ):
            shown += os.read(leader, 65536)
        process.communicate(b"\n", timeout=PATIENCE)
    os.close(leader)

    assert process.returncode == 0


def test_help_imports_neither_numpy_nor_the_machinery_of_processes() -> None:
    script = (
        "import sys\nfrom gradscope.cli.app import run\nrun(['sweep', '--help'])\n"
        "found = {'numpy', 'multiprocessing', 'sqlite3', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(repr(found) if found else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, check=False
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_local_dask_cluster_gives_the_same_rows() -> None:
    pytest.importorskip("distributed", reason="dask is not installed: pip install '.[dask]'")
    words = ("-P", "gain=1:2:6", *TINY_FLAGS)
    done = run("sweep", *words, "--executor", "dask", "--workers", "2", "-o", "dask.db")
    assert done.returncode == 0, done.stderr
    sweep(*words, "-o", "serial.db")

    assert lasting_rows(Path("dask.db")) == lasting_rows(Path("serial.db"))


def test_that_no_worker_is_there_is_said_once_for_each_absence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with sweep_bar() as watch:
        for absence in (0.0, 16.0, 17.0, 0.0, 15.0):
            watch(Progress(total=5, absence=absence))

    lines = capsys.readouterr().err.splitlines()
    assert [("16 s" in line, "15 s" in line) for line in lines] == [(True, False), (False, True)]
