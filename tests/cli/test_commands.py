"""``compare``, ``train``, ``check`` and ``show-config`` as people and scripts use them."""

import csv
import io
import itertools
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
    words = ("--activation", "tanh,sigmoid", "--steps", "4:8:2", "--seeds", "2", "--seed", "3")
    done = run("compare", *TINY, *words, "--json")

    document = json.loads(done.stdout)
    assert (document["schema"], done.stderr) == ("gradscope.comparison", "")
    names = ("activation", "steps", "seed", "stage")
    cells = [tuple(cell[name] for name in names) for cell in document["cells"]]
    stages = ("initial", "trained")
    assert cells == list(itertools.product(("tanh", "sigmoid"), (4, 8), (3, 4), stages))
    assert [each["schema"] for each in document["analyses"]] == ["gradscope.analysis"] * 8
    assert [each["seeds"] for each in document["medians"]] == [2] * 8


def test_a_comparison_has_the_medians_of_its_seeds(run: Run) -> None:
    words = ("--activation", "relu", "--gain", "0.5", "--steps", "12", "--json")
    document = json.loads(run("compare", *TINY, *words).stdout)

    assert [each["settings"]["seed"] for each in document["analyses"]] == [0, 1, 2, 3, 4]
    for place, row in enumerate(document["medians"]):
        verdicts = [each["stages"][place]["verdict"] for each in document["analyses"]]
        rates = [each["rate_nats_per_step"] for each in verdicts]
        middle = np.median([-np.inf if rate is None else rate for rate in rates])
        assert row["rate_nats_per_step"] == (middle if np.isfinite(middle) else None)
        assert row["horizon"] == np.median([each["horizon"] or np.inf for each in verdicts])


def test_a_cell_of_a_comparison_is_the_analysis_of_its_settings(run: Run) -> None:
    compared = json.loads(run("compare", *TINY, "--steps", "6", "--seeds", "1", "--json").stdout)
    alone = run("analyze", *TINY, "--activation", "sigmoid", "--steps", "6", "--json").stdout

    assert compared["analyses"][1] == json.loads(alone)


def test_the_table_of_compare_fits_eighty_columns_and_starts_with_the_answer(run: Run) -> None:
    lines = run("compare", *TINY, "--activation", "hard-tanh,relu", "--steps", "4,8").stdout
    page = lines.splitlines()

    assert page[0].startswith("Over 8 steps, median of 5 seeds: hard-tanh ")
    assert max(map(len, page)) <= 80
    assert "…" not in lines
    rows = [line.split()[:2] for line in page if line.split()[:1] in (["hard-tanh"], ["relu"])]
    assert rows == [["hard-tanh", "4"], ["hard-tanh", "8"], ["relu", "4"], ["relu", "8"]]


def test_compare_draws_its_picture_and_writes_its_table(run: Run, tmp_path: Path) -> None:
    pictures = ("--png", "c.png", "--pdf", "c.pdf")
    done = run("compare", *TINY, "--steps", "4,6", "--seeds", "1", *pictures, "-o", "c.csv")

    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "wrote c.csv\nwrote c.png\nwrote c.pdf\n"
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "c.pdf").read_bytes().startswith(b"%PDF")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "c.csv").read_text())))
    assert len(rows) == 8
    shown = tomllib.loads(run("show-config", "c.png").stdout)
    assert (shown["hidden"], shown["sequences"]) == (4, 2)


@pytest.fixture
def two_files(tmp_path: Path) -> tuple[str, str]:
    """Return the names of a network that halves its gradient at each step, and one that keeps
    more.
    """
    for name, factor in (("worse.npz", 0.5), ("better.npz", 0.8)):
        arrays = {"rnn.weight_ih_l0": np.ones((2, 3)), "rnn.weight_hh_l0": factor * np.eye(2)}
        np.savez(tmp_path / name, **arrays)  # type: ignore[arg-type]
    return "better.npz", "worse.npz"


FILES = ("--activation", "identity", "--steps", "40", "--sequences", "5")


@pytest.mark.parametrize(("reverse", "code"), [(False, 1), (True, 0)])
def test_files_are_set_against_the_first_and_a_worse_one_can_fail(
    run: Run, two_files: tuple[str, str], reverse: bool, code: int
) -> None:
    files = two_files[:: -1 if reverse else 1]
    pictures = ("--png", "c.png")

    done = run("compare", *files, *FILES, "--fail-on", "worse", *pictures, "--json")

    document = json.loads(done.stdout)
    assert done.returncode == code
    assert ("failed: --fail-on worse" in done.stderr) == bool(code)
    assert [cell["file"] for cell in document["cells"]] == list(files)
    (change,) = document["changes"]
    horizons = {"better.npz": 31, "worse.npz": 10}  # ln(1000)/ln(1/0.8), /ln 2
    assert change["horizon"]["change"] == horizons[files[1]] - horizons[files[0]]
    assert (change["worse"], change["better"]) == (bool(code), not code)
    again = run("rerun", "c.png")
    assert again.returncode == 2
    assert f"gradscope compare {' '.join(files)}" in again.stderr


def test_the_page_of_files_fits_eighty_columns(run: Run, two_files: tuple[str, str]) -> None:
    page = run("compare", *two_files, *FILES).stdout.splitlines()

    assert page[0].startswith("Against better.npz: worse.npz is worse")
    assert max(map(len, page)) <= 80


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("better.npz",), "two files or more"),
        (("better.npz", "gone.npz"), "gone.npz"),
        (("better.npz", "worse.npz", "--seeds", "2"), "--seeds are for drawn networks"),
        (("better.npz", "worse.npz", "--steps", "5,6"), "lists"),
        (("--fail-on", "worse"), "about files"),
        (("--workers", "0"), "--workers is 0"),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    run: Run, two_files: tuple[str, str], words: tuple[str, ...], part: str
) -> None:
    assert two_files
    done = run("compare", "--activation", "identity", *words)

    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert part in done.stderr


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
