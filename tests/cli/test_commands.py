"""``compare``, ``train``, ``check`` and ``show-config`` as people and scripts use them."""

import csv
import io
import json
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]

TINY = ("--hidden", "4", "--updates", "2", "--sequences", "2")


def test_compare_sets_every_activation_beside_every_length(run: Run) -> None:
    done = run("compare", *TINY, "--activation", "tanh,sigmoid", "--steps", "4:8:2", "--json")

    document = json.loads(done.stdout)
    assert (document["schema"], done.stderr) == ("gradscope.comparison", "")
    cells = [(cell["activation"], cell["steps"], cell["stage"]) for cell in document["cells"]]
    assert cells == [
        (activation, steps, stage)
        for activation in ("tanh", "sigmoid")
        for steps in (4, 8)
        for stage in ("initial", "trained")
    ]
    assert [each["schema"] for each in document["analyses"]] == ["gradscope.analysis"] * 4


def test_a_cell_of_a_comparison_is_the_analysis_of_its_settings(run: Run) -> None:
    compared = json.loads(run("compare", *TINY, "--steps", "6", "--json").stdout)
    alone = run("analyze", *TINY, "--activation", "sigmoid", "--steps", "6", "--json").stdout

    assert compared["analyses"][1] == json.loads(alone)


def test_the_table_of_compare_fits_eighty_columns_and_starts_with_the_answer(run: Run) -> None:
    lines = run("compare", *TINY, "--activation", "hard-tanh,relu", "--steps", "4,8").stdout
    page = lines.splitlines()

    assert page[0].startswith("Over 8 steps: hard-tanh ")
    assert max(map(len, page)) <= 80
    assert "…" not in lines
    rows = [line.split()[:2] for line in page if line.split()[:1] in (["hard-tanh"], ["relu"])]
    assert rows == [["hard-tanh", "4"], ["hard-tanh", "8"], ["relu", "4"], ["relu", "8"]]


def test_compare_draws_its_picture_and_writes_its_table(run: Run, tmp_path: Path) -> None:
    done = run("compare", *TINY, "--steps", "4,6", "--png", "c.png", "-o", "c.csv")

    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "wrote c.csv\nwrote c.png\n"
    rows = list(csv.DictReader(io.StringIO((tmp_path / "c.csv").read_text())))
    assert len(rows) == 8
    shown = tomllib.loads(run("show-config", "c.png").stdout)
    assert (shown["hidden"], shown["sequences"]) == (4, 2)


def test_train_says_on_stderr_how_it_goes_and_on_stdout_what_came_of_it(run: Run) -> None:
    done = run("train", *TINY, "--steps", "6", "--updates", "20", "--json", "--save", "t.npz")

    document = json.loads(done.stdout)
    assert document["schema"] == "gradscope.training"
    updates = [each["update"] for each in document["checkpoints"]]
    assert updates == [1, *range(2, 21, 2)]
    lines = done.stderr.splitlines()
    assert [line.partition(":")[0] for line in lines[:-1]] == [f"update {n}" for n in updates]
    for line in lines[:-1]:
        assert "error per step " in line
        assert "gradient norm " in line
        assert "horizon " in line
    assert lines[-1] == "wrote t.npz"
    assert len(document["training"]["gradient_norm"]) == 20


def test_the_norm_that_train_reports_is_the_unclipped_one(run: Run) -> None:
    sizes = (*TINY, "--steps", "6", "--updates", "1", "--json")
    free = json.loads(run("train", *sizes).stdout)["training"]
    clipped = json.loads(run("train", *sizes, "--clip-norm", "1e-3").stdout)["training"]

    assert clipped["gradient_norm"] == free["gradient_norm"]
    assert free["gradient_norm"][0] > 1e-3
    assert (free["clipped_fraction"], clipped["clipped_fraction"]) == (0.0, 1.0)


def test_check_compares_everything_it_promises_and_passes(run: Run) -> None:
    done = run("check", "--hidden", "4", "--steps", "5", "--format", "csv")

    assert (done.returncode, done.stderr) == (0, "")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert {row["passed"] for row in rows} == {"True"}
    compared = {(row["quantity"], row["against"]) for row in rows}
    for name in ("input weights", "recurrent weights", "hidden bias", "output weights"):
        assert (f"gradient of {name}", "central differences") in compared
    assert ("gradient of recurrent weights", "sum of shares by lag") in compared
    assert ("σ_max at every lag", "its four causes") in compared


BROKEN_CHECK = """
import sys
from gradscope.jacobians import chain
chain.ElmanChain.vjp = lambda self, rows, step: 1.001 * rows @ self.jacobian(step)
from gradscope.cli.app import run
sys.exit(run(["check", "--hidden", "3", "--steps", "4"]))
"""


def test_check_ends_with_one_where_the_numerics_are_broken(
    program: tuple[str, ...], environment: dict[str, str]
) -> None:
    done = subprocess.run(
        [program[0], "-c", BROKEN_CHECK],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )

    assert done.returncode == 1
    assert "checks fail." in done.stdout.splitlines()[0]
    assert "FAILS" in done.stdout


@pytest.mark.parametrize("name", ["r.png", "r.json", "r.npz"])
def test_show_config_reads_settings_from_everything_that_was_written(
    run: Run, small: tuple[str, ...], name: str
) -> None:
    flag = {".png": "--png", ".json": "-o", ".npz": "--save"}[Path(name).suffix]
    run("analyze", *small, "--activation", "sigmoid", "--center-bias", flag, name)

    shown = tomllib.loads(run("show-config", name).stdout)
    document = json.loads(run("show-config", name, "--json").stdout)

    assert (shown["activation"], shown["center_bias"], shown["hidden"]) == ("sigmoid", True, 4)
    assert {key: value for key, value in document["settings"].items() if value is not None} == shown
    assert set(document["environment"]) >= {"python", "numpy"}


def test_pictures_in_other_formats_are_written_too(run: Run, tmp_path: Path) -> None:
    sizes = (*TINY, "--steps", "4", "--json", "-o", "-")

    assert run("analyze", *sizes, "--svg", "r.svg").stderr == "wrote r.svg\n"
    assert run("train", *sizes, "--pdf", "r.pdf").returncode == 0
    assert "<svg" in (tmp_path / "r.svg").read_text()
    assert (tmp_path / "r.pdf").read_bytes().startswith(b"%PDF")


def test_a_series_from_npy_is_read_like_one_from_csv(run: Run, tmp_path: Path) -> None:
    values = np.sin(0.3 * np.arange(60))
    np.save(tmp_path / "s.npy", values)
    (tmp_path / "s.csv").write_text("\n".join(map(repr, values.tolist())))
    sizes = (*TINY, "--steps", "5", "--json")

    one, other = (
        json.loads(run("analyze", "--data", name, *sizes).stdout) for name in ("s.npy", "s.csv")
    )

    assert one["stages"] == other["stages"]
    assert one["problem"]["required_lag"] == other["problem"]["required_lag"] == 2
