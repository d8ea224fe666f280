"""``gradscope check`` on a Keras file, on each backend that Keras may run on."""

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

h5py = pytest.importorskip("h5py", reason="Keras files are HDF5")
pytestmark = pytest.mark.torch

Run = Callable[..., subprocess.CompletedProcess[str]]
ASKED = ("check", "net.h5", "--data", "x.npy", "--activation", "tanh", "--gate-activation",
         "sigmoid", "--json")  # fmt: skip
D, H = 3, 4
SHAPES = {"kernel": (D, 4 * H), "recurrent_kernel": (H, 4 * H), "bias": (4 * H,)}
REMEDY = "set KERAS_BACKEND to one of torch, jax, tensorflow that is installed\n"


@pytest.fixture
def program() -> tuple[str, ...]:
    """Return what starts gradscope; the warnings of Keras and its backends are not ours."""
    return (sys.executable, "-m", "gradscope")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(3)
    with h5py.File(tmp_path / "net.h5", "w") as file:
        for name, shape in SHAPES.items():
            file[f"model_weights/lstm/lstm/lstm_cell/{name}:0"] = rng.normal(size=shape)
    np.save(tmp_path / "x.npy", rng.normal(size=(6, 2, D)))
    return tmp_path


def checked(run: Run, backend: str, **env: str) -> tuple[dict[str, float], str]:
    """Return each deviation by what it is against, and what was said on stderr."""
    done = run(*ASKED, env={"KERAS_BACKEND": backend, **env})
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["checks"]
    return {row["against"]: row["deviation"] for row in rows}, done.stderr


def require(*names: str) -> None:
    for name in names:
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed; Keras runs on it here")


@pytest.mark.parametrize("backend", ["torch", "jax", "tensorflow"])
def test_states_and_jacobians_are_held_against_keras(run: Run, backend: str) -> None:
    require("keras", backend)

    worst, said = checked(run, backend)

    assert worst["keras.layers.LSTMCell"] < 1e-6
    assert worst[f"LSTMCell on {backend}"] < 1e-6
    assert "compared" not in said
    assert "truncated" not in said  # JAX's word where float64 is asked of it


def test_a_backend_without_derivatives_is_said_and_states_are_compared(run: Run) -> None:
    require("keras")

    worst, said = checked(run, "numpy")

    assert list(worst)[2:] == ["keras.layers.LSTMCell"]
    assert said == (
        f"Jacobians are not compared with Keras: its backend numpy cannot differentiate; {REMEDY}"
    )


def test_a_backend_that_is_not_installed_is_told_from_keras_itself(
    run: Run, folder: Path, environment: dict[str, str]
) -> None:
    require("keras")
    paths = f"{folder}:{environment['PYTHONPATH']}"
    (folder / "jax.py").write_text("raise ModuleNotFoundError('not here', name='jax')\n")

    _, without_jax = checked(run, "jax", PYTHONPATH=paths)
    (folder / "keras.py").write_text("raise ModuleNotFoundError('not here', name='keras')\n")
    _, without_keras = checked(run, "jax", PYTHONPATH=paths)

    assert without_jax == f"not compared with Keras: it needs jax, which is not installed; {REMEDY}"
    assert without_keras == (
        "not compared with Keras: it is not installed; "
        "pip install '.[keras]' in a clone of gradscope\n"
    )
