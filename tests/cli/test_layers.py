"""Flag over variable over config file over default; and names that try to be something else."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def settings_of(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["settings"]
    return found


def test_a_flag_beats_a_variable_beats_the_config_file_beats_the_default(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "c.toml").write_text("hidden = 3\nsteps = 5\nupdates = 0\nsequences = 2\n")
    variables = {"GRADSCOPE_HIDDEN": "4", "GRADSCOPE_STEPS": "6"}

    found = settings_of(
        run("analyze", "--config", "c.toml", "--steps", "7", "--json", env=variables)
    )

    assert (found["steps"], found["hidden"], found["updates"]) == (7, 4, 0)
    assert (found["sequences"], found["batch"]) == (2, 32)


def test_every_kind_of_setting_can_be_a_variable(run: Run) -> None:
    variables = {
        "GRADSCOPE_ACTIVATION": "sigmoid",
        "GRADSCOPE_CENTER_BIAS": "1",
        "GRADSCOPE_GAIN": "1.5",
        "GRADSCOPE_UPDATES": "0",
        "GRADSCOPE_HIDDEN": "3",
        "GRADSCOPE_STEPS": "6",
        "GRADSCOPE_SEQUENCES": "2",
        "GRADSCOPE_TASK": "sine",
    }

    found = settings_of(run("analyze", "--json", env=variables))

    assert (found["activation"], found["center_bias"], found["gain"]) == ("sigmoid", True, 1.5)
    assert (found["task"], found["hidden"]) == ("sine", 3)


def test_a_bad_variable_is_one_line_that_names_it(run: Run) -> None:
    done = run("analyze", env={"GRADSCOPE_HIDDEN": "many"})

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: Invalid value for '--hidden'")
    assert done.stderr.count("\n") == 1


def test_hyphens_in_a_config_file_count_as_underscores(run: Run, tmp_path: Path) -> None:
    lines = ("input-scale = 0.5", "hidden = 3", "steps = 4", "updates = 0", "sequences = 1")
    (tmp_path / "c.toml").write_text("\n".join(lines))

    assert settings_of(run("analyze", "--config", "c.toml", "--json"))["input_scale"] == 0.5


def test_check_is_small_by_default_but_obeys_what_is_given(run: Run) -> None:
    plain = settings_of(run("check", "--json"))
    given = settings_of(run("check", "--steps", "5", "--json", env={"GRADSCOPE_HIDDEN": "3"}))

    assert (plain["hidden"], plain["steps"]) == (8, 12)
    assert (given["hidden"], given["steps"], given["sequences"]) == (3, 5, 3)


ODD_NAMES = {
    "[bold]two  spaces[x] 'quo\"ted'": ".json",
    "new\nline": ".png",
    "-dash γσ…": ".npz",
}
FLAGS = {".json": "--output", ".png": "--png", ".npz": "--save"}


@pytest.mark.parametrize("name", ODD_NAMES, ids=repr)
def test_odd_names_of_files_and_columns_come_through_unharmed(
    run: Run, tmp_path: Path, name: str
) -> None:
    quoted = name.replace('"', '""')
    rows = "\n".join(f"{0.5 * (k % 7) - k % 3},{k}" for k in range(40))
    (tmp_path / f"{name}.csv").write_text(f'"{quoted}",other\n{rows}')
    sizes = ("--hidden", "3", "--steps", "4", "--updates", "1", "--sequences", "2")
    source = (f"--data={name}.csv", f"--column={name}")
    written = f"{name}{ODD_NAMES[name]}"

    done = run("analyze", *source, *sizes, f"{FLAGS[ODD_NAMES[name]]}={written}")

    assert done.returncode == 0, done.stderr
    assert done.stderr == f"wrote {written}\n".replace("\n", "\\n", written.count("\n"))
    (tmp_path / "again.toml").write_text(run("show-config", "--", written).stdout)
    again = run("analyze", "--config", "again.toml", "--json")
    document = json.loads(again.stdout)
    assert document["settings"]["column"] == [name]
    assert document["settings"]["data"] == f"{name}.csv"


def test_an_odd_name_stands_on_the_page_as_it_is(run: Run, tmp_path: Path) -> None:
    rows = "\n".join(f"{0.5 * (k % 7) - k % 3}" for k in range(40))
    (tmp_path / "s.csv").write_text(f'"[bold]x[/bold]\n\x1b[31my"\n{rows}')

    page = run(
        "analyze", "--data", "s.csv", "--steps", "4", "--updates", "0", "--hidden", "3", "--full"
    )

    text = " ".join(page.stdout.split())
    assert "predict the next value of [bold]x[/bold]\\n\\x1b[31my (s.csv)" in text


@pytest.mark.parametrize("name", ["[red]x[/red].csv", "new\nline.csv", "\x1b[31mred.csv"], ids=repr)
def test_an_error_names_an_odd_file_on_one_line_without_its_magic(run: Run, name: str) -> None:
    done = run("analyze", f"--data={name}")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "\x1b" not in done.stderr
    spelled = name.replace("\n", "\\n").replace("\x1b", "\\x1b")
    assert done.stderr.startswith(f"error: {spelled} does not exist")


def test_the_same_seed_gives_the_same_bytes_in_two_processes(
    run: Run, small: tuple[str, ...]
) -> None:
    arguments = ("analyze", *small, "--threads", "1", "--json")
    first, second = (run(*arguments, env={"PYTHONHASHSEED": seed}) for seed in ("1", "2"))
    other = run(*arguments, "--seed", "1")

    assert first.stdout == second.stdout
    assert first.stdout != other.stdout
    profiles = [json.loads(each.stdout)["stages"][0]["profile"] for each in (first, other)]
    assert profiles[0]["log10_norm"] != profiles[1]["log10_norm"]


def test_the_initial_stage_does_not_depend_on_how_long_one_trains(
    run: Run, small: tuple[str, ...]
) -> None:
    short, long = (
        json.loads(run("analyze", *small, "--updates", count, "--json").stdout)["stages"][0]
        for count in ("0", "5")
    )

    assert short == long
