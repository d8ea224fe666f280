"""``gradscope inspect`` as a process: its formats, its picture, its one line of refusal."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.sweeping import PATIENCE
from tests.weights.forging import Call, checkpoint

ARRAYS: dict[str, Any] = {
    "rnn.weight_ih_l0": np.ones((3, 2)),
    "rnn.weight_hh_l0": np.diag([0.5, 1.0, 2.0]),
}


def inspected(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "gradscope", "inspect", *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    np.savez(tmp_path / "net.npz", **ARRAYS)
    return tmp_path


def test_the_page_goes_to_stdout_and_nothing_to_stderr(folder: Path) -> None:
    done = inspected(folder, "net.npz")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("1 vanilla RNN layer.\n")
    assert "gradscope analyze net.npz --data FILE --activation NAME" in done.stdout


def test_json_is_one_document(folder: Path) -> None:
    done = inspected(folder, "net.npz", "--json")

    document = json.loads(done.stdout)
    assert document["layers"][0]["gates"]["h"]["sigma_max"] == 2.0
    assert document["layers"][0]["unknown"] == ["activation"]


@pytest.mark.parametrize(("format", "start"), [("csv", "layer,kind,"), ("md", "| layer | kind |")])
def test_rows_come_as_csv_and_markdown(folder: Path, format: str, start: str) -> None:  # noqa: A002
    done = inspected(folder, "net.npz", "--format", format)

    assert done.stdout.startswith(start)
    assert len(done.stdout.splitlines()) == (2 if format == "csv" else 3)


def test_a_picture_is_written_once_and_only_forced_twice(folder: Path) -> None:
    first = inspected(folder, "net.npz", "--png", "eigen.png")
    again = inspected(folder, "net.npz", "--png", "eigen.png")
    forced = inspected(folder, "net.npz", "--png", "eigen.png", "--force")

    assert (first.returncode, first.stderr) == (0, "wrote eigen.png\n")
    assert (again.returncode, again.stdout) == (2, "")
    assert "already exists" in again.stderr
    assert forced.returncode == 0
    assert (folder / "eigen.png").read_bytes().startswith(b"\x89PNG")


def test_a_file_without_layers_is_shown_and_not_drawn(folder: Path) -> None:
    np.savez(folder / "cell.npz", h2h=np.eye(2), i2h=np.ones((2, 1)))

    done = inspected(folder, "cell.npz", "--png", "eigen.png")

    assert done.returncode == 0
    assert "gradscope inspect cell.npz --weight-map W=h2h --weight-map U=i2h" in done.stdout
    assert done.stderr == "no picture eigen.png: there is no recurrent layer to draw\n"
    assert not (folder / "eigen.png").exists()


def test_the_suggested_command_does_what_it_says(folder: Path) -> None:
    np.savez(folder / "cell.npz", h2h=np.eye(2), i2h=np.ones((2, 1)))

    done = inspected(folder, "cell.npz", "--weight-map", "W=h2h", "--weight-map", "U=i2h")

    assert done.stdout.startswith("1 vanilla RNN layer.\n")
    assert "--activation NAME --leak ALPHA" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("absent.pt",), "absent.pt does not exist"),
        (("net.npz", "--weight-map", "W"), "write LETTER=NAME"),
        (("net.npz", "--png", "eigen.txt"), "ends in .txt"),
        (("net.npz", "--json", "--format", "md"), "choose one"),
        (("bad.pt",), "asks for 'os.system'"),
        ((), "Missing argument"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_two(
    folder: Path, arguments: tuple[str, ...], words: str
) -> None:
    checkpoint(folder / "bad.pt", Call("os.system", "touch ran"))

    done = inspected(folder, *arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert words in done.stderr
    assert not (folder / "ran").exists()


@pytest.mark.torch
def test_a_checkpoint_is_read_where_pytorch_cannot_be_imported(folder: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch writes the file")
    torch.save(torch.nn.LSTM(2, 3).state_dict(), folder / "net.pt")
    (folder / "torch.py").write_text("raise ImportError('not here')\n")

    done = inspected(folder, "net.pt")

    assert done.stdout.startswith("1 LSTM layer.\n")


def test_a_table_of_many_layers_is_cut_and_the_document_has_them_all(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {
        f"net.{part}_l{layer}": np.eye(2) / 2
        for layer in range(120)
        for part in ("weight_ih", "weight_hh")
    }
    np.savez(tmp_path / "net.npz", **arrays)

    page, document = (inspected(tmp_path, "net.npz", *how) for how in ((), ("--json",)))

    assert "net[99]" in page.stdout
    assert "net[100]" not in page.stdout
    assert "20 more" in page.stdout
    assert len(json.loads(document.stdout)["layers"]) == 120


def test_many_layers_in_one_stack_are_refused_before_they_are_paired(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {
        f"net.{part}_l{layer}": np.ones((1, 1))
        for layer in range(1300)
        for part in ("weight_ih", "weight_hh")
    }
    np.savez(tmp_path / "net.npz", **arrays)

    done = inspected(tmp_path, "net.npz")

    assert done.returncode == 2
    assert "1300 layers among 2600 names" in done.stderr


def test_without_a_known_layer_the_page_names_what_was_left_out(tmp_path: Path) -> None:
    np.savez(tmp_path / "net.npz", A=np.eye(3), label=np.array(["text"]))

    done = inspected(tmp_path, "net.npz")

    assert done.returncode == 0
    assert "label (" in done.stdout
