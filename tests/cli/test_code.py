"""``gradscope analyze FILE.py:NAME``: whose code is run, where, and what is said where it fails."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

CODE = """
import torch
from beside import GAIN

open("ran", "w").close()

class Mine(torch.nn.LSTMCell):
    pass

def cell():
    torch.manual_seed(0)
    return Mine(2, 4)

def pair():
    weights = GAIN * torch.eye(3)
    def step(state, x):
        return {"h": state["h"] @ weights, "n": state["n"] + 1}
    return step, {"h": torch.zeros(1, 3), "n": torch.zeros(1, dtype=torch.int64)}

def fails():
    return (lambda state, x: state @ torch.zeros(7, 7)), torch.zeros(1, 3)

def three():
    return 1, 2, 3

def raises():
    raise ValueError("of\\nmine")

NUMBER = 3
"""

Call = Callable[..., Any]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(CODE)
    (tmp_path / "beside.py").write_text("GAIN = 0.5\n")
    (tmp_path / "broken.py").write_text("def cell(:\n")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((20, 1, 2)))


def test_a_cell_is_studied_on_the_data(call: Call) -> None:
    done = call("analyze", "mine.py:cell", "--data", "x.npy", "--required-lag", "9", "--json")

    assert done.returncode == 0, done.stderr
    assert "mine.py" in done.stderr
    document = json.loads(done.stdout)
    assert document["network"]["kind"] == "step"
    assert document["network"]["state_size"] == 8
    (stage,) = document["stages"]
    assert stage["verdict"]["required_lag"] == 9
    assert sum(v for k, v in stage["causes"].items() if "→" in k) == pytest.approx(
        stage["causes"]["total"], abs=1e-9
    )


def test_a_step_and_its_state_are_exact_and_made_again_by_what_is_said(
    call: Call, tmp_path: Path
) -> None:
    done = call("analyze", "mine.py:pair", "--data", "x.npy", "--json", "--html", "p.html")

    assert done.returncode == 0, done.stderr
    (stage,) = json.loads(done.stdout)["stages"]
    assert stage["causes"]["total"] == pytest.approx(np.log(0.5), abs=1e-9)
    page = (tmp_path / "p.html").read_text()
    (typed,) = re.findall(r"<code>gradscope (analyze mine.py:pair [^<]*)</code>", page)
    again = call(*shlex.split(typed), "--json")
    assert json.loads(again.stdout)["stages"] == [stage]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("mine.py:cell",), "--data"),
        (("none.py:cell", "--data", "x.npy"), "none.py"),
        (("mine.py:none", "--data", "x.npy"), "none"),
        (("broken.py:cell", "--data", "x.npy"), "SyntaxError"),
        (("mine.py:fails", "--data", "x.npy"), "RuntimeError"),
        (("mine.py:raises", "--data", "x.npy"), "ValueError: of mine"),
        (("mine.py:three", "--data", "x.npy"), "3 things"),
        (("mine.py:NUMBER", "--data", "x.npy"), "NUMBER"),
        (("mine.py:cell", "--data", "none.npy"), "none.npy"),
        (("mine.py:cell", "--data", "x.npy", "--updates", "3"), "--updates"),
        (("mine.py:cell", "--data", "x.npy", "--save", "r.npz"), "--save"),
    ],
)
def test_what_cannot_be_studied_is_one_line(
    call: Call, arguments: tuple[str, ...], said: str
) -> None:
    done = call("analyze", *arguments)

    assert done.returncode == 2
    *notes, last = done.stderr.splitlines()
    assert last.startswith("error: ")
    assert said in last
    assert all("runs the Python" in each for each in notes)


@pytest.mark.parametrize("command", ["analyze", "train", "spectrum", "compare", "try", "inspect"])
def test_code_is_run_only_where_it_is_typed_to_be_analyzed(
    call: Call, tmp_path: Path, command: str
) -> None:
    (tmp_path / "c.toml").write_text('weights = "mine.py:cell"\ndata = "x.npy"\n')
    typed = [command, "--config", "c.toml"] if command == "analyze" else [command, "mine.py:cell"]
    typed = ["compare", "mine.py:cell", "mine.py:pair"] if command == "compare" else typed

    done = call(*typed)

    assert done.returncode == 2
    assert not (tmp_path / "ran").exists()


def test_a_document_of_code_does_not_run_it_again(call: Call, tmp_path: Path) -> None:
    call("analyze", "mine.py:cell", "--data", "x.npy", "--json", "--output", "a.json")
    (tmp_path / "ran").unlink()

    done = call("rerun", "a.json")

    assert done.returncode == 2
    assert "gradscope analyze" in done.stderr
    assert not (tmp_path / "ran").exists()


MODEL = """
import transformers

def make():
    small = {"vocab_size": 17, "hidden_size": 8, "state_size": 4, "num_hidden_layers": 2}
    return transformers.MambaModel(transformers.MambaConfig(**small))
"""


@pytest.mark.torch
def test_a_model_with_state_space_layers_is_studied_layer_by_layer(
    call: Call, tmp_path: Path
) -> None:
    pytest.importorskip("transformers", reason="transformers has the models to study")
    (tmp_path / "model.py").write_text(MODEL)
    np.save(tmp_path / "ids.npy", np.random.default_rng(0).integers(0, 17, (12, 2)))
    asked = ("analyze", "model.py:make", "--data", "ids.npy", "--required-lag", "9")

    page, done, table = (call(*asked, "--format", each) for each in ("table", "json", "csv"))

    assert page.returncode == 0, page.stderr
    assert "layers.0.mixer" in page.stdout
    assert max(map(len, page.stdout.splitlines())) <= 80
    document = json.loads(done.stdout)
    assert document["required_lag"] == 9
    assert [each["layer"] for each in document["layers"]] == ["layers.0.mixer", "layers.1.mixer"]
    assert len(table.stdout.splitlines()) == 3
    assert document["settings"]["data"] == "ids.npy"
    assert len(page.stdout.splitlines()) >= 5
    for more in (("--png", "p.png"), ("--lag-map",), ("--steps", "5"), ("--save", "r.npz")):
        refused = call(*asked, *more)
        assert (refused.returncode, more[0] in refused.stderr) == (2, True)


ODD = """
import sys
import torch

print("hello")

class Cell(torch.nn.Module):
    def forward(self, x, h):
        return torch.tanh(x[:, :1] + h)

def needs():
    return Cell()

def layers():
    return torch.nn.GRU(2, 3)

def leaves():
    sys.exit(3)

def ids():
    emb = torch.nn.Embedding(9, 4)
    return (lambda h, x: torch.tanh(h + emb(x))), torch.zeros(2, 4)

def late():
    def step(h, x):
        return h @ torch.zeros(3, 3)
    return step, torch.zeros(1, 4)
"""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("needs", "(cell, state)"),
        ("layers", "Cell"),
        ("leaves", "SystemExit: 3"),
        ("late", "(line 26)"),
    ],
)
def test_what_a_person_would_stumble_over_is_one_line(
    call: Call, tmp_path: Path, name: str, said: str
) -> None:
    (tmp_path / "odd.py").write_text(ODD)

    done = call("analyze", f"odd.py:{name}", "--data", "x.npy", "--json")

    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr.splitlines()[-1]


def test_what_code_prints_is_no_part_of_the_result_and_ids_stay_whole(
    call: Call, tmp_path: Path
) -> None:
    (tmp_path / "odd.py").write_text(ODD)
    np.save(tmp_path / "ids.npy", np.arange(24).reshape(12, 2) % 9)

    done = call("analyze", "odd.py:ids", "--data", "ids.npy", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["settings"]["steps"] == 12
    assert json.loads(done.stdout)["settings"]["sequences"] == 2
    assert "hello" in done.stderr
