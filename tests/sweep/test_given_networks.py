"""A sweep over networks from files: their W scaled, their noise drawn, their exponents kept."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradscope
from gradscope.cli.app import run
from gradscope.names import ExecutorName
from gradscope.sweep.axes import parse_axes
from gradscope.sweep.cell import curve_from_blob
from gradscope.sweep.executors import Workers
from gradscope.sweep.grid import Grid, make_plan
from gradscope.sweep.query import read_rows
from gradscope.sweep.run import run_sweep

RNG = np.random.default_rng(11)
U, W = RNG.normal(size=(4, 3)), 0.4 * RNG.normal(size=(4, 4))
SHORT = {"activation": "tanh", "steps": 12, "sequences": 3, "spectrum": True}


def write(path: Path, recurrent: Any = W) -> str:
    np.savez(path, **{"rnn.weight_ih_l0": U, "rnn.weight_hh_l0": recurrent})
    return str(path)


def analysed(path: str, **more: Any) -> Any:
    return gradscope.analyze(gradscope.settings_of_weights({"weights": path, **SHORT, **more}))


@pytest.mark.parametrize("gain", [1.0, 0.5, 2.0])
def test_a_gain_scales_the_weights_of_a_file(tmp_path: Path, gain: float) -> None:
    scaled = analysed(write(tmp_path / "scaled.npz", gain * W))

    found = analysed(write(tmp_path / "a.npz"), gain=gain)

    np.testing.assert_array_equal(found.params.recurrent_weights, gain * W)
    np.testing.assert_array_equal(found.last.profile.log_norms, scaled.last.profile.log_norms)


def test_the_gain_reaches_every_layer_of_a_stack(tmp_path: Path) -> None:
    arrays = {"rnn.weight_ih_l0": U, "rnn.weight_hh_l0": W}
    arrays |= {"rnn.weight_ih_l1": W.T, "rnn.weight_hh_l1": W}
    for name, gain in (("a.npz", 1.0), ("scaled.npz", 1.7)):
        states = {k: gain * v if "hh" in k else v for k, v in arrays.items()}
        np.savez(tmp_path / name, **states)  # type: ignore[arg-type]

    found = analysed(str(tmp_path / "a.npz"), gain=1.7)

    scaled = analysed(str(tmp_path / "scaled.npz"))
    np.testing.assert_array_equal(found.trajectory.hidden, scaled.trajectory.hidden)


def test_files_gains_and_seeds_are_swept_and_kept_with_their_exponents(tmp_path: Path) -> None:
    files = ",".join(write(tmp_path / name, w) for name, w in (("a.npz", W), ("b.npz", W.T)))
    axes = parse_axes([f"weights={files}", "gain=0.5,1.5"])
    store = tmp_path / "s.db"
    serial = Workers(ExecutorName.SERIAL)

    cells = make_plan(Grid(SHORT, axes, 2)).cells
    done = run_sweep(cells, store, workers=serial)

    assert (done.done, done.failed) == (8, 0)
    rows = read_rows(store)
    exponents = dict(zip(rows.column("key"), rows.column("lyapunov_exponents"), strict=True))
    for cell in cells:
        of = cell.settings
        found = analysed(str(of.weights), gain=of.gain, seed=of.seed).details.spectrum.lyapunov
        kept = curve_from_blob(exponents[cell.key])
        np.testing.assert_allclose(kept, np.median(found.exponents, axis=0), rtol=1e-12)
    largest = rows.column("lyapunov_exponent")
    first = [curve_from_blob(each)[0] for each in rows.column("lyapunov_exponents")]
    np.testing.assert_array_equal(largest, first)
    assert len(set(largest)) == 8
    # The same files under another name are the same cells; other weights are others.
    (tmp_path / "c.npz").write_bytes((tmp_path / "a.npz").read_bytes())
    renamed = make_plan(Grid({**SHORT, "weights": str(tmp_path / "c.npz")}, {"gain": (0.5,)})).cells
    assert run_sweep(renamed, store, workers=serial).kept == 1
    write(tmp_path / "c.npz", 2.0 * W)
    changed = make_plan(Grid({**SHORT, "weights": str(tmp_path / "c.npz")}, {"gain": (0.5,)})).cells
    assert run_sweep(changed, store, workers=serial).done == 1


def test_a_sweep_without_spectrum_has_no_exponents(tmp_path: Path) -> None:
    store = tmp_path / "s.db"
    shared = {**SHORT, "spectrum": False, "weights": write(tmp_path / "a.npz")}

    run_sweep(make_plan(Grid(shared, {})).cells, store, workers=Workers(ExecutorName.SERIAL))

    rows = read_rows(store)
    assert rows.column("lyapunov_exponent") == rows.column("lyapunov_exponents") == (None,)
    assert rows.column("null_because") == (None,)


@pytest.mark.torch
def test_checkpoints_of_pytorch_are_swept(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch writes the file")
    torch.manual_seed(0)
    layer = torch.nn.RNN(3, 4)
    path = tmp_path / "net.pt"
    torch.save(layer.state_dict(), path)

    cells = make_plan(Grid({**SHORT, "weights": str(path)}, parse_axes(["gain=1,2"]))).cells
    run_sweep(cells, tmp_path / "s.db", workers=Workers(ExecutorName.SERIAL))

    for gain, rate in read_rows(tmp_path / "s.db", names=("gain", "rate_nats_per_step")).values:
        found = analysed(str(path), gain=gain)
        assert rate == found.last.verdict.rate
        weights = layer.weight_hh_l0.detach().double().numpy()
        np.testing.assert_array_equal(found.params.recurrent_weights, gain * weights)


def test_a_file_among_the_arguments_is_the_network_that_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("a.npz"))
    words = ["--activation", "tanh", "--steps", "5", "-P", "gain=0.5,1", "--executor", "serial"]

    assert run(["sweep", "a.npz", *words, "-o", "one.db"]) == 0
    assert run(["sweep", *words, "--weights", "a.npz", "-o", "other.db"]) == 0

    found = [
        read_rows(Path(place), names=("key", "gain")).values for place in ("one.db", "other.db")
    ]
    assert found[0] == found[1]
    assert len(found[0]) == 2
