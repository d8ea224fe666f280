"""A grid is every combination once; a key is what decides a cell's numbers, and nothing else."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gradscope
from gradscope.analysis.settings import IMPORTED_SETTINGS, Settings
from gradscope.errors import SettingError
from gradscope.sweep import grid as grid_module
from gradscope.sweep.axes import parse_axes
from gradscope.sweep.grid import Grid, Shard, cell_key, make_plan
from tests.sweeping import TINY, cells_of


def test_the_grid_of_the_readme_has_its_cells() -> None:
    axes = parse_axes(["gain=0.5:3:26", "activation=tanh,sigmoid", "steps=log:10:1000:7"])

    assert Grid({}, axes, seeds=8).size == 26 * 2 * 7 * 8


def test_the_last_axis_moves_fastest_and_seeds_faster_still() -> None:
    cells = cells_of("gain=1,2", "hidden=3,4", seeds=2, seed=5)

    found = [(c.settings.gain, c.settings.hidden, c.settings.seed) for c in cells]
    assert found == [(g, h, s) for g in (1.0, 2.0) for h in (3, 4) for s in (5, 6)]


def test_a_grid_without_axes_is_one_cell() -> None:
    assert len(cells_of()) == 1


def test_keys_are_the_same_in_every_grid_and_in_every_process() -> None:
    (cell,) = make_plan(Grid({}, {})).cells

    assert cell.key == cell_key(Settings(), {})
    assert cells_of("gain=1,2")[1].key == cells_of("gain=2", "hidden=4")[0].key


def test_every_setting_changes_the_key() -> None:
    base = Settings(data="series.csv", column=("a",), load="run.npz")
    digests = {"series.csv": "1", "run.npz": "2", "other": "3"}
    changed = {
        "activation": "relu", "hidden": 5, "init": "uniform", "gain": 1.5, "input_scale": 2.0,
        "steps": 7, "task": "copy", "column": ("b",), "missing": "interpolate", "validation": 0.3,
        "updates": 3, "batch": 3, "optimizer": "sgd", "learning_rate": 0.5, "clip_norm": 1.0,
        "clip_value": 1.0, "truncate": 4, "sequences": 3, "max_lag": 3, "vanishing": 0.1,
        "exploding": 10.0, "transient_growth": 3.0, "agreement": 0.9, "seed": 3, "data": "other",
        "load": "other", "required_lag": 3, "map": True, "shares": True, "spectrum": True,
        "verify": True, "tolerance": 1e-3, "truncation_error": 0.2, "cell": "gru", "leak": 0.5,
        "state": "pre", "burn_in": 3, "omega": 0.1, "floss": 3,
        "memory": True, "held_out": 3, "dt": 0.1, "noise": 0.1, "discretization": "exponential",
    }  # fmt: skip

    keys = {cell_key(base, digests)}
    keys |= {cell_key(base.with_changes({k: v}), digests) for k, v in changed.items()}

    assert len(keys) == len(changed) + 1
    # Those that contradict this base have cells of their own.
    sigmoid = Settings(activation="sigmoid")  # type: ignore[arg-type]
    assert cell_key(sigmoid, {}) != cell_key(sigmoid.with_changes({"center_bias": True}), {})
    assert cell_key(Settings(), {}) != cell_key(Settings(delay=3), {})
    gated = Settings(cell="lstm")  # type: ignore[arg-type]
    assert cell_key(gated, {}) != cell_key(gated.with_changes({"forget_bias": 3.0}), {})
    assert cell_key(gated, {}) != cell_key(gated.with_changes({"chrono": 30}), {})
    timed = Settings(dt=0.1, tau=0.2)
    assert cell_key(timed, {}) != cell_key(timed.with_changes({"tau": (0.2,) * 31 + (0.3,)}), {})
    alone = {"center_bias", "delay", "forget_bias", "chrono", "tau"}
    of_files = {"weights", *IMPORTED_SETTINGS}
    assert {*changed} | alone | of_files == set(Settings().as_dict())


def test_every_setting_of_a_network_from_a_file_changes_the_key() -> None:
    given: dict[str, Any] = {"weights": "net.pt", "updates": 0, "readout": "fc"}
    base = Settings.from_dict({**given, "data": "x.npy", "targets": "y.npy"})
    noise = Settings.from_dict(given)
    digests = {"net.pt": "1", "x.npy": "2", "y.npy": "3", "other": "4"}
    changed = {
        "weights": "other", "targets": "other", "weight_map": ("W=w",), "layer": "1",
        "readout": "out", "gate_activation": "sigmoid", "reset_after": True, "batch_first": True,
        "standardise": True, "gain": 2.0, "seed": 3, "sequence_lengths": "other",
        "embedding": "embed.weight", "start": "given",
    }  # fmt: skip

    keys = {cell_key(base, digests), cell_key(noise, digests)}
    keys |= {cell_key(base.with_changes({k: v}), digests) for k, v in changed.items()}
    keys.add(cell_key(noise.with_changes({"noise_scale": 2.0}), digests))

    assert len(keys) == len(changed) + 3
    assert {*changed, "noise_scale"} >= set(IMPORTED_SETTINGS)
    # The content of a file is the network, not its name.
    renamed = base.with_changes({"weights": "other"})
    assert cell_key(renamed, {**digests, "other": "1"}) == cell_key(base, digests)


def test_seeds_are_refused_where_they_would_draw_nothing() -> None:
    with pytest.raises(SettingError, match="nothing is drawn"):
        Grid({"weights": "net.pt", "data": "x.npy"}, {}, 2)


def test_another_algorithm_version_gives_other_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    before = cell_key(Settings(), {})
    monkeypatch.setattr(grid_module, "ALGORITHM_VERSION", 99)

    assert cell_key(Settings(), {}) != before


def test_equal_numbers_have_one_key_however_they_are_written() -> None:
    assert cell_key(Settings(gain=1), {}) == cell_key(Settings(gain=1.0), {})
    assert cell_key(Settings(gain=0.0), {}) == cell_key(Settings(gain=-0.0), {})


def test_a_series_counts_by_its_content_and_not_by_its_name(tmp_path: Path) -> None:
    one, copy, other = (tmp_path / name for name in ("one.npy", "copy.npy", "other.npy"))
    np.save(one, np.sin(np.arange(200.0)))
    shutil.copy(one, copy)
    np.save(other, np.cos(np.arange(200.0)))

    keys = [cells_of(data=str(path))[0].key for path in (one, copy, other)]

    assert keys[0] == keys[1]
    assert keys[0] != keys[2]


def test_a_saved_network_can_be_swept_over(tmp_path: Path) -> None:
    from gradscope.analysis.archive import archive_bytes

    paths = []
    for gain in (0.5, 1.5):
        paths.append(tmp_path / f"{gain}.npz")
        settings = gradscope.Settings.from_dict({**TINY, "gain": gain})
        paths[-1].write_bytes(archive_bytes(gradscope.analyze(settings)))

    cells = make_plan(Grid({}, {"load": tuple(map(str, paths))})).cells

    assert [cell.settings.gain for cell in cells] == [0.5, 1.5]
    assert len({cell.key for cell in cells}) == 2


@given(st.integers(1, 12), st.integers(1, 20))
def test_shards_part_a_grid_without_loss_or_overlap(count: int, cells: int) -> None:
    grid = Grid(TINY, {}, seeds=cells)
    whole = [cell.key for cell in make_plan(grid).cells]

    parts = [
        [cell.key for cell in make_plan(grid, Shard(number, count)).cells]
        for number in range(1, count + 1)
    ]

    assert sorted(key for part in parts for key in part) == sorted(whole)


def test_a_cell_stays_in_its_shard_when_the_grid_grows() -> None:
    shard = Shard.parse("2/3")
    small = make_plan(Grid(TINY, {}, seeds=20), shard).cells
    large = make_plan(Grid(TINY, parse_axes(["gain=1,2"]), seeds=30), shard).cells

    assert {cell.key for cell in small} <= {cell.key for cell in large}
    assert small


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "1/0", "-1/3", "1/2/3"])
def test_a_shard_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="as in 3/16"):
        Shard.parse(text)


def test_a_contradiction_is_told_before_anything_is_computed() -> None:
    grid = Grid({**TINY, "center_bias": True}, parse_axes(["activation=sigmoid,tanh"]))

    with pytest.raises(SettingError, match="activation=tanh: --center-bias is for sigmoid"):
        make_plan(grid)


def test_contradictions_can_be_left_out() -> None:
    grid = Grid(TINY, parse_axes(["activation=sigmoid,tanh", "center-bias=true,false"]))

    plan = make_plan(grid, skip_contradictions=True)

    assert [(c.settings.activation, c.settings.center_bias) for c in plan.cells] == [
        ("sigmoid", True),
        ("sigmoid", False),
        ("tanh", False),
    ]
    assert len(plan.left_out) == 1


def test_a_task_that_does_not_fit_its_steps_is_a_contradiction() -> None:
    with pytest.raises(SettingError, match="delay=50"):
        cells_of("delay=2,50")


def test_a_grid_of_contradictions_alone_is_refused_even_then() -> None:
    grid = Grid({**TINY, "center_bias": True}, parse_axes(["activation=tanh,relu"]))

    with pytest.raises(SettingError, match="every combination contradicts itself"):
        make_plan(grid, skip_contradictions=True)


@pytest.mark.parametrize(
    ("shared", "axes", "seeds", "part"),
    [
        ({"gain": 2.0}, ["gain=1,2"], 1, "swept over too"),
        ({}, ["seed=1,2"], 3, "choose one"),
        ({}, [], 0, "--seeds is 0"),
        ({}, ["gain=1:2:1001", "input_scale=1:2:1001"], 1, "1002001 cells"),
    ],
)
def test_a_grid_that_means_two_things_is_refused(
    shared: dict[str, float], axes: list[str], seeds: int, part: str
) -> None:
    with pytest.raises(SettingError, match=part):
        Grid(shared, parse_axes(axes), seeds)
