"""``inspect``: every gate of every layer, and the bound where the file says enough for one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradscope
from gradscope.analysis.archive import archive_bytes
from gradscope.analysis.inspect import inspect
from gradscope.errors import WeightsError


def saved(path: Path, arrays: dict[str, Any]) -> Path:
    np.savez(path, **arrays)
    return path


def test_every_gate_has_the_spectrum_of_its_own_block(tmp_path: Path) -> None:
    blocks = np.concatenate([scale * np.eye(3) for scale in (0.5, 1.0, 2.0)])
    arrays = {"weight_ih_l0": np.ones((9, 2)), "weight_hh_l0": blocks}

    (inspected,) = inspect(saved(tmp_path / "net.npz", arrays)).layers

    assert {gate: each.sigma_max for gate, each in inspected.spectra.items()} == {
        "r": 0.5,
        "z": 1.0,
        "n": 2.0,
    }
    assert inspected.log_bound is None


@pytest.mark.parametrize(("activation", "ceiling"), [("tanh", 1.0), ("sigmoid", 0.25)])
def test_the_bound_of_a_saved_run_is_log_gamma_sigma_max(
    tmp_path: Path, activation: str, ceiling: float
) -> None:
    settings = gradscope.Settings.from_dict(
        {"activation": activation, "gain": 1.5, "hidden": 4, "steps": 5, "updates": 0}
    )
    path = tmp_path / "run.npz"
    path.write_bytes(archive_bytes(gradscope.analyze(settings)))

    (inspected,) = inspect(path).layers

    assert inspected.log_bound == pytest.approx(np.log(1.5 * ceiling), abs=1e-12)


def test_there_is_no_bound_where_the_activation_is_not_said(tmp_path: Path) -> None:
    arrays = {"weight_ih_l0": np.ones((3, 2)), "weight_hh_l0": np.eye(3)}

    (inspected,) = inspect(saved(tmp_path / "net.npz", arrays)).layers

    assert inspected.log_bound is None


def test_a_hand_written_cell_is_inspected_as_it_is_named(tmp_path: Path) -> None:
    arrays = {"a": np.diag([3.0, 1.0]), "b": np.ones((2, 1))}

    inspection = inspect(saved(tmp_path / "net.npz", arrays), ("W=a", "U=b"))

    assert inspection.layers[0].spectra["h"].sigma_max == 3.0
    assert inspection.mapping == ("W=a", "U=b")


def test_a_file_without_layers_is_no_error_here(tmp_path: Path) -> None:
    assert inspect(saved(tmp_path / "net.npz", {"a": np.eye(2)})).layers == ()


def test_a_mapping_that_is_malformed_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="LETTER=NAME"):
        inspect(saved(tmp_path / "net.npz", {"a": np.eye(2)}), ("W",))
