"""A command opens each of its input files once, whoever asks for what is in it."""

import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradscope.cli.app import run as run_line

opened: Counter[Path] = Counter()


def count(event: str, arguments: tuple[Any, ...]) -> None:
    """Count every file that Python reports to be opened, by whatever means."""
    if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        opened[Path(os.fsdecode(arguments[0])).absolute()] += 1


@pytest.fixture(scope="module", autouse=True)
def _counting() -> None:
    sys.addaudithook(count)  # It stays for as long as the process, and does nothing but count.


NET = ("--hidden", "4", "--steps", "6", "--sequences", "2", "--batch", "4")
RNG = np.random.default_rng(3)
STATE = {
    "rnn.weight_ih_l0": RNG.normal(size=(4, 3)),
    "rnn.weight_hh_l0": 0.4 * RNG.normal(size=(4, 4)),
    "fc.weight": RNG.normal(size=(2, 4)),
    "fc.bias": RNG.normal(size=2),
}


def openings(folder: Path, *command: str) -> dict[str, int]:
    """Return how often a command opened each file of the folder that was there before."""
    inputs = list(folder.iterdir())
    opened.clear()
    assert run_line(list(command)) == 0
    return {path.name: opened[path] for path in inputs if opened[path]}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    series = "\n".join(f"{np.sin(0.3 * t) + 0.01 * t:.6f}" for t in range(80))
    (tmp_path / "series.csv").write_text(f"value\n{series}\n")
    np.save(tmp_path / "x.npy", RNG.normal(size=(9, 2, 3)))
    np.save(tmp_path / "y.npy", RNG.normal(size=(9, 2, 2)))
    return tmp_path


SERIES = ("--data", "series.csv", *NET)
TARGETS = ("--data", "x.npy", "--readout", "fc", "--targets", "y.npy", "--activation", "tanh")


@pytest.mark.parametrize(
    ("command", "updates"),
    [("analyze", "0"), ("analyze", "2"), ("train", "2"), ("spectrum", "0"), ("compare", "1")],
)
def test_a_series_is_opened_once(folder: Path, command: str, updates: str) -> None:
    size = ("--data", "series.csv", *NET[:2], *NET[4:]) if command == "compare" else SERIES
    lengths = ("--steps", "4,6") if command == "compare" else ()

    assert openings(folder, command, *size, *lengths, "--updates", updates) == {"series.csv": 1}


def test_a_config_file_and_the_series_it_names_are_opened_once(folder: Path) -> None:
    (folder / "study.toml").write_text(
        'data = "series.csv"\nhidden = 4\nsteps = 6\nupdates = 1\nbatch = 4\n'
    )

    assert openings(folder, "analyze", "--config", "study.toml") == {
        "study.toml": 1,
        "series.csv": 1,
    }


@pytest.mark.parametrize("updates", ["0", "2"])
def test_a_saved_run_is_opened_once(folder: Path, updates: str) -> None:
    made = openings(folder, "analyze", *SERIES, "--updates", "1", "--save", "run.npz")
    assert made == {"series.csv": 1}

    loaded = openings(folder, "analyze", "--load", "run.npz", "--updates", updates)

    assert loaded == {"run.npz": 1, **({} if updates == "0" else {"series.csv": 1})}
    for command in (("rerun",), ("show-config",), ("explain", "verdict")):
        assert openings(folder, *command, "run.npz")["run.npz"] == 1
    trained = openings(folder, "train", "--load", "run.npz", "--updates", "2")
    assert trained == {"run.npz": 1, "series.csv": 1}


@pytest.mark.parametrize("command", ["analyze", "check"])
def test_weights_data_and_targets_are_opened_once(folder: Path, command: str) -> None:
    np.savez(folder / "net.npz", **STATE)  # type: ignore[arg-type]

    assert openings(folder, command, "net.npz", *TARGETS) == {"net.npz": 1, "x.npy": 1, "y.npy": 1}


@pytest.mark.torch
@pytest.mark.parametrize("command", ["analyze", "check"])
def test_a_checkpoint_of_pytorch_is_opened_once(folder: Path, command: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch writes the file")
    torch.save({name: torch.tensor(array) for name, array in STATE.items()}, folder / "net.pt")

    assert openings(folder, command, "net.pt", *TARGETS) == {"net.pt": 1, "x.npy": 1, "y.npy": 1}


def written_by_safetensors(path: Path) -> None:
    package: Any = pytest.importorskip("safetensors.numpy", reason="safetensors writes the file")
    package.save_file(STATE, path)


def written_by_h5py(path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py writes the file")
    with h5py.File(path, "w") as file:
        for place, shape in enumerate([(3, 4), (4, 4), (4,)]):
            file[f"layers/simple_rnn/cell/vars/{place}"] = RNG.normal(size=shape)


def written_by_scipy(path: Path) -> None:
    scipy_io = pytest.importorskip("scipy.io", reason="SciPy writes the file")
    scipy_io.savemat(path, {"W": np.eye(4), "U": np.ones((4, 3))})


@pytest.mark.parametrize(
    ("name", "write", "options"),
    [
        ("net.safetensors", written_by_safetensors, ("--activation", "tanh")),
        ("net.weights.h5", written_by_h5py, ("--activation", "tanh")),
        (
            "net.mat",
            written_by_scipy,
            ("--activation", "tanh", "--weight-map", "W=W", "--weight-map", "U=U", "--leak", "1"),
        ),
    ],
)
@pytest.mark.parametrize("command", ["analyze", "inspect"])
def test_weights_of_every_format_are_opened_once(
    folder: Path, name: str, write: Any, options: tuple[str, ...], command: str
) -> None:
    write(folder / name)
    named = options if command == "analyze" else ()

    assert openings(folder, command, name, *named) == {name: 1}
