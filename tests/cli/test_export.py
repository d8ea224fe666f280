"""``gradscope export`` and ``gradscope report``: what a store holds, for people and for scripts."""

import csv
import io
import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradscope.names import ExecutorName
from gradscope.report.provenance.records import read_provenance
from gradscope.sweep.cell import CURVES, columns
from gradscope.sweep.executors import Workers
from gradscope.sweep.run import run_sweep
from tests.sweeping import cells_of, run


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "s.db"
    cells = cells_of("gain=0,0.5,1.5", "activation=tanh,sigmoid", "steps=6,12", seeds=2)
    run_sweep(cells, path, workers=Workers(ExecutorName.SERIAL))
    return path


def export(*words: str | Path) -> str:
    done = run("export", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_csv_has_the_columns_of_the_table_in_their_order(store: Path) -> None:
    rows = list(csv.reader(io.StringIO(export(store))))

    assert rows[0] == [name for name in columns() if name not in CURVES]
    assert len(rows) == 25
    (zero, *_) = list(csv.DictReader(io.StringIO(export(store, "--where", "gain = 0"))))
    assert zero["rate_nats_per_step"] == ""
    assert "the product is exactly zero" in zero["null_because"]


def test_jsonl_has_a_document_a_line_with_curves_and_without_nan(store: Path) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(word)

    lines = export(store, "--format", "jsonl").splitlines()
    documents = [json.loads(line, parse_constant=refuse) for line in lines]

    assert len(documents) == 24
    assert {len(each["log10_norm_median"]) for each in documents} == {6, 12}
    assert documents[0]["center_bias"] is False
    assert documents[0]["column"] == []


def test_a_text_with_newlines_and_commas_stays_one_row(store: Path, tmp_path: Path) -> None:
    odd = tmp_path / "odd.db"
    odd.write_bytes(store.read_bytes())
    connection = sqlite3.connect(odd)
    connection.execute("UPDATE cells SET data = 'a\nb,\"c\"\x7f|d.csv'")
    connection.commit()
    connection.close()

    lines = export(odd, "--format", "jsonl").splitlines()
    assert len(lines) == 24
    assert json.loads(lines[0])["data"] == 'a\nb,"c"\x7f|d.csv'
    rows = list(csv.DictReader(io.StringIO(export(odd))))
    assert (len(rows), rows[0]["data"]) == (24, r'a\nb,"c"\x7f|d.csv')


def test_npz_holds_plain_arrays(store: Path, tmp_path: Path) -> None:
    file = tmp_path / "s.npz"
    export(store, "-o", file, "--where", "steps = 6 OR gain = 1.5")

    with np.load(file, allow_pickle=False) as arrays:
        assert arrays["gain"].dtype == np.float64
        assert arrays["log10_norm_median"].shape == (16, 12)
        short = arrays["steps"] == 6
        assert np.isnan(arrays["log10_norm_median"][short, 6:]).all()
        assert not np.isnan(arrays["log10_norm_median"][short, :6]).any()
        assert set(arrays["activation"]) == {"tanh", "sigmoid"}
        assert json.loads(str(arrays["settings"]))["settings"]["hidden"] == 4


def test_markdown_is_a_table(store: Path) -> None:
    lines = export(store, "--format", "md", "--where", "gain = 1.5 AND seed = 0").splitlines()

    assert lines[0].startswith("| key | status |")
    assert len(lines) == 2 + 4


def test_a_files_ending_chooses_the_format(store: Path, tmp_path: Path) -> None:
    export(store, "-o", tmp_path / "s.jsonl")

    assert (tmp_path / "s.jsonl").read_text(encoding="utf-8").startswith('{"key":')


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--where", "nonsense"), "no such column: nonsense"),
        (("--where", "1; DROP TABLE cells"), "syntax error"),
        (("--format", "npz"), "name a file with -o"),
    ],
)
def test_a_mistake_is_one_line(store: Path, words: tuple[str, ...], part: str) -> None:
    done = run("export", store, *words)

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert part in done.stderr


def test_an_export_does_not_replace_a_file_without_force(store: Path, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("mine", encoding="utf-8")

    assert run("export", store, "-o", tmp_path / "s.csv").returncode == 2
    assert (tmp_path / "s.csv").read_text(encoding="utf-8") == "mine"
    export(store, "-o", tmp_path / "s.csv", "--force")


def test_a_report_shows_the_groups_and_draws_a_picture_that_knows_its_settings(
    store: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "phase.png"

    done = run("report", store, "--png", picture)

    assert done.returncode == 0, done.stderr
    assert "24 cells" in done.stdout
    assert done.stderr == f"wrote {picture}\n"
    assert picture.read_bytes().startswith(b"\x89PNG")
    settings = read_provenance(picture)["settings"]
    assert (settings["hidden"], settings["sequences"]) == (4, 2)
    assert "gain" not in settings


def test_rows_of_a_store_are_not_run_again_as_one_run(store: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.npz"
    assert run("export", store, "-o", rows).returncode == 0

    done = run("rerun", rows)

    assert (done.returncode, done.stdout) == (2, "")
    assert "holds the rows of a sweep, not one run" in done.stderr


def test_a_report_is_a_document_too(store: Path) -> None:
    document: dict[str, Any] = json.loads(run("report", store, "--json").stdout)

    assert document["schema"] == "gradscope.sweep-report"
    swept = {(group["activation"], group["gain"], group["steps"]) for group in document["groups"]}
    assert len(swept) == len(document["groups"]) > 2
    assert {activation for activation, *_ in swept} == {"sigmoid", "tanh"}
    assert sum(group["cells"] for group in document["groups"]) == 24


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--x", "hidden"), "hidden takes one value"),
        (("--x", "gain", "--y", "gain"), "choose two settings"),
        (("--where", "gain = 1.5 AND steps = 6", "--kind", "phase"), "--kind quantiles"),
        (("--where", "gain = 77"), "no cells that match"),
    ],
)
def test_a_picture_that_cannot_be_drawn_is_told(
    store: Path, tmp_path: Path, words: tuple[str, ...], part: str
) -> None:
    done = run("report", store, "--png", tmp_path / "p.png", *words)

    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert part in done.stderr
    assert not (tmp_path / "p.png").exists()


def test_analyze_writes_one_line_for_each_run(tmp_path: Path) -> None:
    words = ("--hidden", "4", "--steps", "6", "--sequences", "2", "--updates", "0")
    lines = []
    for seed in ("1", "2"):
        done = run("analyze", *words, "--seed", seed, "--format", "jsonl")
        assert (done.returncode, done.stderr) == (0, "")
        lines.append(done.stdout)

    assert [line.count("\n") for line in lines] == [1, 1]
    assert [json.loads(line)["settings"]["seed"] for line in lines] == [1, 2]
    lengths = ("--steps", "4,6", "--seeds", "1")
    compared = run("compare", *words[:2], *words[4:], *lengths, "--format", "jsonl")
    assert [json.loads(line)["settings"]["steps"] for line in compared.stdout.splitlines()] == [
        4, 6, 4, 6,
    ]  # fmt: skip
    assert list(tmp_path.iterdir()) == []
