"""Several seeds come to the same bits on every worker; files are set against the first of them."""

from concurrent.futures import as_completed
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradscope
from gradscope.analysis.archive import archive_bytes
from gradscope.errors import SettingError
from gradscope.names import ActivationName, ExecutorName
from gradscope.sweep import compare as module
from gradscope.sweep.changes import Change, changes
from gradscope.sweep.compare import cells_of_files, compare
from gradscope.sweep.executors import Workers
from tests.present import present

SMALL = gradscope.Settings(hidden=4, steps=6, sequences=2, batch=4, updates=2, seed=7)
RNG = np.random.default_rng(5)
SEQUENCES, STEPS = 8, 40
T_7 = 2.364624251592785
"""Student's quantile 0.975 at 7 degrees of freedom (any table)."""


def write_linear(path: Path, factor: float, readout: float = 1.0) -> None:
    """Write a network h_t = x_t + factor · h_{t−1} of two units that reads out their sum."""
    np.savez(
        path,
        **{
            "rnn.weight_ih_l0": np.eye(2),
            "rnn.weight_hh_l0": factor * np.eye(2),
            "fc.weight": np.full((1, 2), readout),
            "fc.bias": np.zeros(1),
        },  # type: ignore[arg-type]
    )


def change_of(paths: list[Path], **given: Any) -> Change:
    cells = cells_of_files(paths, {"activation": "identity", "steps": STEPS, **given})
    (found,) = changes(compare(cells))
    return found


def test_seeds_come_fastest_and_each_is_the_analysis_of_its_settings() -> None:
    found = compare(SMALL, [ActivationName.TANH], [4, 6], seeds=2)

    assert [(a.settings.steps, a.settings.seed) for a in found.analyses] == [
        (4, 7), (4, 8), (6, 7), (6, 8),
    ]  # fmt: skip
    assert [len(group) for group in found.groups] == [2, 2]
    alone = gradscope.analyze(SMALL.with_changes({"seed": 8}))
    last = found.analyses[3].last.profile.log_norms
    np.testing.assert_array_equal(last, alone.last.profile.log_norms)


def test_processes_find_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUICK", 0)
    ended = []

    here = compare(SMALL, seeds=2, steps=[6])
    there = compare(
        SMALL,
        seeds=2,
        steps=[6],
        workers=Workers(ExecutorName.PROCESS, 2, threads=None),
        ended=lambda: ended.append(1),
    )

    assert len(ended) == len(there.analyses) == 4
    for one, other in zip(here.analyses, there.analyses, strict=True):
        assert one.settings.as_dict() == other.settings.as_dict()
        for name, weights in one.params.weights():
            np.testing.assert_array_equal(weights, dict(other.params.weights())[name])
        np.testing.assert_array_equal(one.last.profile.log_norms, other.last.profile.log_norms)


def test_an_interrupt_keeps_what_workers_have_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(futures: Any, **_: Any) -> None:
        next(as_completed(futures))
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "QUICK", 0)
    monkeypatch.setattr(module, "wait", interrupted)

    found = compare(
        SMALL.with_changes({"updates": 0}), steps=[6], workers=Workers(ExecutorName.PROCESS, 1)
    )
    assert found.interrupted
    assert found.analyses[0].settings.activation is ActivationName.TANH


def test_a_longer_reach_is_better_and_a_shorter_one_worse(tmp_path: Path) -> None:
    # σ_max of lag ℓ is factor**ℓ: below 1/1000 first at 10 and at 20 steps.
    short, long = tmp_path / "short.npz", tmp_path / "long.npz"
    write_linear(short, 0.5)
    write_linear(long, 0.7)

    there, back = change_of([short, long]), change_of([long, short])

    assert (there.of["horizon"], there.judged_by) == ((10.0, 0.0), "horizon")
    assert (there.better, there.worse, back.better, back.worse) == (True, False, False, True)
    rate, within = there.of["rate"]
    assert rate == pytest.approx(np.log(0.7 / 0.5), rel=1e-9)
    assert within == pytest.approx(0.0, abs=1e-12)


def test_a_horizon_beyond_the_lags_has_no_change_but_a_direction(tmp_path: Path) -> None:
    write_linear(tmp_path / "a.npz", 0.5)
    write_linear(tmp_path / "b.npz", 0.99)

    there = change_of([tmp_path / "a.npz", tmp_path / "b.npz"])
    back = change_of([tmp_path / "b.npz", tmp_path / "a.npz"])

    assert (there.of["horizon"][0], there.better, there.worse) == (None, True, False)
    assert (back.of["horizon"][0], back.better, back.worse) == (None, False, True)


def test_a_gradient_that_explodes_is_worse_than_one_that_vanishes(tmp_path: Path) -> None:
    write_linear(tmp_path / "a.npz", 0.5)
    write_linear(tmp_path / "b.npz", 2.0)

    there = change_of([tmp_path / "a.npz", tmp_path / "b.npz"])
    back = change_of([tmp_path / "b.npz", tmp_path / "a.npz"])

    assert (there.better, there.worse, back.better, back.worse) == (False, True, True, False)


def test_an_error_that_overflows_is_worse_and_needs_no_interval(tmp_path: Path) -> None:
    inputs, targets = tmp_path / "inputs.npy", tmp_path / "targets.npy"
    np.save(inputs, RNG.standard_normal((STEPS, SEQUENCES, 2)))
    np.save(targets, RNG.standard_normal((STEPS, SEQUENCES, 1)))
    write_linear(tmp_path / "a.npz", 0.5)
    write_linear(tmp_path / "b.npz", 1e6)
    given = {"data": str(inputs), "targets": str(targets), "readout": "fc"}

    there = change_of([tmp_path / "a.npz", tmp_path / "b.npz"], **given)
    back = change_of([tmp_path / "b.npz", tmp_path / "a.npz"], **given)

    assert (there.judged_by, there.of["error"]) == ("error", (None, None))
    assert (there.better, there.worse, back.better, back.worse) == (False, True, True, False)


def test_too_few_sequences_decide_nothing(tmp_path: Path) -> None:
    write_linear(tmp_path / "a.npz", 0.5)
    write_linear(tmp_path / "b.npz", 0.6)

    found = change_of([tmp_path / "a.npz", tmp_path / "b.npz"], sequences=2)

    assert found.of["horizon"] == (4.0, None)
    assert not found.better
    assert not found.worse


def test_the_interval_of_an_error_is_that_of_differences_by_sequence(tmp_path: Path) -> None:
    inputs = RNG.normal(size=(STEPS, SEQUENCES, 2))
    targets = RNG.normal(size=(STEPS, SEQUENCES, 1))
    np.save(tmp_path / "x.npy", inputs)
    np.save(tmp_path / "y.npy", targets)
    write_linear(tmp_path / "a.npz", 0.5)
    write_linear(tmp_path / "b.npz", 0.5, readout=1.01)
    given = {"data": str(tmp_path / "x.npy"), "targets": str(tmp_path / "y.npy"), "readout": "fc"}

    found = change_of([tmp_path / "a.npz", tmp_path / "b.npz"], **given)

    state, errors = np.zeros((SEQUENCES, 2)), np.zeros((2, STEPS, SEQUENCES))
    for t in range(STEPS):
        state = inputs[t] + 0.5 * state
        for net, readout in enumerate((1.0, 1.01)):
            errors[net, t] = (readout * state.sum(axis=1) - targets[t, :, 0]) ** 2
    differences = (errors[1] - errors[0]).mean(axis=0)
    change, within = found.of["error"]
    assert change == pytest.approx(differences.mean(), rel=1e-9)
    half = T_7 * differences.std(ddof=1) / np.sqrt(SEQUENCES)
    assert within == pytest.approx(half, rel=3e-3)
    assert found.judged_by == "error"
    assert found.worse == (differences.mean() > half)


def test_networks_on_other_sequences_are_compared_by_two_means(tmp_path: Path) -> None:
    runs = [gradscope.analyze(SMALL.with_changes({"seed": s, "sequences": 9})) for s in (1, 2)]
    paths = [tmp_path / f"{s}.npz" for s in (1, 2)]
    for path, run in zip(paths, runs, strict=True):
        path.write_bytes(archive_bytes(run))

    (found,) = changes(compare(cells_of_files(paths, {})))

    errors = [
        np.square(run.trajectory.outputs - run.examined.targets.values)[
            run.examined.targets.at_step
        ].mean(axis=(0, 2))
        for run in runs
    ]
    t_8 = 2.306004135204166
    half = t_8 * np.hypot(*(each.std(ddof=1) / 3.0 for each in errors))
    change, within = found.of["error"]
    assert within == pytest.approx(half, rel=3e-3)
    assert change == pytest.approx(present(runs[1].last.error) - present(runs[0].last.error))


def test_a_folder_holds_its_files_in_natural_order_and_runs_are_told_from_weights(
    tmp_path: Path,
) -> None:
    for number in (10, 2, 1):
        write_linear(tmp_path / f"step-{number}.npz", 0.5)
    (tmp_path / "notes.txt").write_text("no network")
    run = gradscope.analyze(SMALL.with_changes({"updates": 0}))
    (tmp_path / "step-3.npz").write_bytes(archive_bytes(run))

    cells = cells_of_files([tmp_path], {"steps": 9})

    named = [(name, Path(each[name]).stem) for each in cells for name in each if name != "steps"]
    assert named == [
        ("weights", "step-1"), ("weights", "step-2"), ("load", "step-3"), ("weights", "step-10"),
    ]  # fmt: skip


@pytest.mark.parametrize("names", [["a.npz"], ["a.npz", "a.npz"], []])
def test_one_network_is_not_compared(names: list[str]) -> None:
    with pytest.raises(SettingError, match="two files or more"):
        cells_of_files(names, {})


@pytest.mark.torch
def test_checkpoints_of_pytorch_are_compared(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch writes the files")
    torch.manual_seed(0)
    layer = torch.nn.LSTM(3, 8)
    paths = [tmp_path / name for name in ("before.pt", "after.pt")]
    torch.save(layer.state_dict(), paths[0])
    with torch.no_grad():
        layer.bias_ih_l0[8:16] += 3.0  # the forget gate: the state is kept longer
    torch.save(layer.state_dict(), paths[1])

    cells = cells_of_files(paths, {"steps": 60, "sequences": 6})
    (found,) = changes(compare(cells))

    assert (found.better, found.worse) == (True, False)
    change, within = found.of["rate"]
    assert present(change) > present(within) > 0.0
