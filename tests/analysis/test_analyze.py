"""The whole flow: stages, seeds, saved networks, held-out errors, comparisons, checkpoints."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from gradscope.analysis import stage as study
from gradscope.analysis.analyze import analyze
from gradscope.analysis.archive import archive_bytes, load_run
from gradscope.analysis.checkpoints import LOOKS, Checkpoint, CheckpointRecorder
from gradscope.analysis.memory import NEEDS, machine_memory, memory_needed, require_memory
from gradscope.analysis.network import Streams
from gradscope.analysis.prepare import prepare
from gradscope.analysis.results import Analysis, Profile
from gradscope.analysis.settings import Settings
from gradscope.analysis.stage import held_out_error
from gradscope.diagnosis.growth import CauseRates
from gradscope.errors import SettingError
from gradscope.learning.history import Stop
from gradscope.learning.losses import error_per_step
from gradscope.model.cells import Cell
from gradscope.model.trajectory import unroll
from gradscope.names import ActivationName, CellName, StageName, TaskName
from gradscope.report.documents.analysis import analysis_document
from gradscope.report.figures.panels import PANELS
from gradscope.sweep.compare import compare
from tests.present import present


def test_without_updates_there_is_one_stage_and_no_training(small: Settings) -> None:
    found = analyze(small.with_changes({"updates": 0}))

    assert [stage.name for stage in found.stages] == [StageName.INITIAL]
    assert found.training is None
    assert found.last is found.stages[0]


def test_the_last_stage_is_the_trained_network(analysis: Analysis, small: Settings) -> None:
    assert [stage.name for stage in analysis.stages] == [StageName.INITIAL, StageName.TRAINED]
    assert analysis.training is not None
    assert analysis.training.updates == small.updates
    assert analysis.last.profile.log_norms.shape == (6, 2)
    assert present(analysis.last.gradient).log_by_step.shape == (7,)
    assert analysis.last.slopes.median.shape == (6,)


def test_the_four_causes_add_up_to_the_growth_rate(analysis: Analysis) -> None:
    for stage in analysis.stages:
        causes = stage.causes
        assert isinstance(causes, CauseRates)
        terms = (causes.weights, causes.slope_ceiling, causes.misalignment, causes.saturation)
        assert sum(term for term in terms if term is not None) == pytest.approx(causes.total)
        assert causes.total == pytest.approx(stage.verdict.rate, abs=1e-9)


def test_the_same_seed_gives_the_same_study_and_another_one_another(small: Settings) -> None:
    first, second = analyze(small), analyze(small)
    other = analyze(small.with_changes({"seed": 1}))

    np.testing.assert_array_equal(first.last.profile.log_norms, second.last.profile.log_norms)
    assert not np.allclose(first.last.profile.log_norms, other.last.profile.log_norms)


def test_each_use_of_chance_has_a_stream_of_its_own(small: Settings) -> None:
    streams = Streams.from_seed(3)
    draws = {
        tuple(stream.standard_normal(2))
        for stream in (streams.weights, streams.training, streams.examined, streams.held_out)
    }
    one, more = (prepare(small.with_changes({"sequences": count})) for count in (2, 5))

    assert len(draws) == 4
    np.testing.assert_array_equal(one.network.recurrent_weights, more.network.recurrent_weights)
    np.testing.assert_array_equal(
        present(one.held_out).batch.inputs, present(more.held_out).batch.inputs
    )


def test_max_lag_cuts_the_profile(small: Settings) -> None:
    found = analyze(small.with_changes({"updates": 0, "max_lag": 3}))

    assert found.last.profile.lags.tolist() == [1, 2, 3]
    assert found.last.verdict.max_lag == 3


def test_a_state_that_overflows_is_followed_up_to_the_step_before() -> None:
    settings = Settings(
        hidden=3, steps=12, sequences=2, updates=0, activation=ActivationName.IDENTITY, gain=1e40
    )

    found = analyze(settings)

    step = found.last.verdict.reasons
    codes = {str(each.code): each.numbers for each in step}
    assert codes["state-overflows"]["step"] == found.trajectory.n_steps + 1
    assert math.isinf(present(found.last.error))
    assert found.examined.n_steps == found.trajectory.n_steps < 12


def test_a_gradient_is_not_zero_but_unknown_where_no_target_was_reached() -> None:
    settings = Settings(
        hidden=3, steps=12, sequences=2, updates=0, activation=ActivationName.IDENTITY, gain=1e80,
        shares=True,
    )  # fmt: skip

    found = analyze(settings)
    document = analysis_document(found)

    assert found.examined.n_steps < present(found.task_info.required_lag)
    assert present(found.last.gradient).norm is None
    (stage,) = document["stages"]
    assert stage["gradient"]["norm"] is None
    assert stage["gradient"]["norm_null_because"] == "no step that was reached has a target"
    assert "No step that was reached has a target" in PANELS["shares"].reading(found)


def test_the_held_out_error_in_parts_is_the_error_of_the_whole(
    small: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    studied = prepare(small.with_changes({"task": TaskName.SINE}))
    whole = error_per_step(
        unroll(studied.network, present(studied.held_out).batch.inputs).outputs,
        present(studied.held_out).batch.targets,
    )

    assert held_out_error(studied.network, present(studied.held_out)) == pytest.approx(
        whole, rel=1e-15
    )
    monkeypatch.setattr(study, "STATES_AT_ONCE", 6 * 4 * 100)
    assert held_out_error(studied.network, present(studied.held_out)) == pytest.approx(
        whole, rel=1e-12
    )
    monkeypatch.setattr(study, "STATES_AT_ONCE", 1)
    assert held_out_error(studied.network, present(studied.held_out)) == pytest.approx(
        whole, rel=1e-12
    )


# --- Saved networks -----------------------------------------------------------------------------


@pytest.fixture
def saved(analysis: Analysis, tmp_path: Path) -> str:
    (tmp_path / "run.npz").write_bytes(archive_bytes(analysis))
    return str(tmp_path / "run.npz")


def test_a_given_network_has_the_numbers_of_the_stage_it_was_saved_in(
    saved: str, analysis: Analysis, small: Settings
) -> None:
    found = analyze(small.with_changes({"load": saved, "updates": 0}))

    assert [stage.name for stage in found.stages] == [StageName.GIVEN]
    np.testing.assert_array_equal(found.last.profile.log_norms, analysis.last.profile.log_norms)
    assert found.last.error == analysis.last.error


def test_the_error_of_a_saved_run_on_a_series_stays_the_held_out_one(
    small: Settings, tmp_path: Path
) -> None:
    # The sequences that a run is saved with are of the part it was trained on.
    series, saved = tmp_path / "series.csv", tmp_path / "series.npz"
    series.write_text("\n".join(f"{np.sin(0.3 * t) + 0.01 * t:.6f}" for t in range(80)))
    first = analyze(small.with_changes({"data": str(series)}))
    saved.write_bytes(archive_bytes(first))
    series.unlink()

    found = analyze(first.settings.with_changes({"load": str(saved), "updates": 0}))

    assert found.last.error == first.last.error
    assert found.last.error != error_per_step(found.trajectory.outputs, found.examined.targets)


@pytest.mark.parametrize("error", [None, math.inf, 0.25])
def test_a_saved_error_comes_back_whatever_it_is(
    analysis: Analysis, tmp_path: Path, error: float | None
) -> None:
    last = dataclasses.replace(analysis.last, error=error)
    (tmp_path / "run.npz").write_bytes(
        archive_bytes(dataclasses.replace(analysis, stages=(analysis.stages[0], last)))
    )

    assert load_run(tmp_path / "run.npz").error == error


def test_a_given_network_can_be_shown_other_sequences(
    saved: str, analysis: Analysis, small: Settings
) -> None:
    found = analyze(small.with_changes({"load": saved, "updates": 0, "steps": 9}))

    assert found.trajectory.n_steps == 9
    np.testing.assert_array_equal(found.params.recurrent_weights, analysis.params.recurrent_weights)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden": 5}, "--hidden is 5, but the network in .* has 4; leave --hidden out"),
        ({"activation": "relu"}, "--activation is relu"),
        ({"task": "adding"}, "has 1 inputs, 4 hidden units and 1 outputs"),
    ],
)
def test_settings_that_contradict_the_saved_network_are_refused(
    saved: str, small: Settings, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(SettingError, match=words):
        analyze(small.with_changes({"load": saved, "updates": 0, **changes}))


# --- Comparisons --------------------------------------------------------------------------------


def test_a_comparison_goes_activation_by_activation_length_by_length(small: Settings) -> None:
    found = compare(
        small.with_changes({"updates": 0}), (ActivationName.RELU, ActivationName.TANH), (8, 4)
    )

    cells = [(each.settings.activation, each.settings.steps) for each in found.analyses]
    assert cells == [("relu", 8), ("relu", 4), ("tanh", 8), ("tanh", 4)]
    assert not found.interrupted


def test_a_comparison_refuses_an_impossible_cell_before_it_computes(small: Settings) -> None:
    seen: list[int] = []

    def watch(number: int, _settings: Settings) -> None:
        seen.append(number)

    with pytest.raises(SettingError, match="needs 21 or more"):
        compare(small.with_changes({"task": "copy", "steps": 21}), steps=(30, 20), watch=watch)
    with pytest.raises(SettingError, match="nothing to compare"):
        compare(small, (), (4,))
    assert seen == []


def test_an_interrupted_comparison_keeps_the_finished_cells(small: Settings) -> None:
    def watch(number: int, _settings: Settings) -> None:
        if number == 2:
            raise KeyboardInterrupt

    found = compare(small.with_changes({"updates": 0}), steps=(4, 6), watch=watch)

    assert found.interrupted
    assert [each.settings.steps for each in found.analyses] == [4, 6]


def test_an_interrupt_in_training_keeps_what_was_learned(small: Settings) -> None:
    def watch(update: int, _loss: float, _norm: float, _params: Cell) -> None:
        if update == 2:
            raise KeyboardInterrupt

    found = analyze(small, watch=watch)

    assert found.training is not None
    assert (found.training.stop, found.training.updates) == (Stop.INTERRUPTED, 2)
    assert found.last.name is StageName.TRAINED


# --- Checkpoints --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("updates", "looked_at"), [(3, [1, 2, 3]), (25, [1, *range(2, 25, 2), 25]), (1, [1])]
)
def test_the_lookout_looks_first_last_and_every_tenth_of_the_way(
    small: Settings, updates: int, looked_at: list[int]
) -> None:
    seen: list[Checkpoint] = []
    settings = small.with_changes({"updates": updates})
    recorder = CheckpointRecorder(prepare(settings), seen.append)

    found = analyze(settings, watch=recorder)

    assert found.training is not None
    assert [each.update for each in seen] == looked_at
    assert seen == recorder.checkpoints
    assert len(seen) <= LOOKS * 2
    assert [each.gradient_norm for each in seen] == [
        found.training.gradient_norm[update - 1] for update in looked_at
    ]


def test_the_last_checkpoint_sees_the_horizon_of_the_trained_stage() -> None:
    # Four sequences are looked at: with as many examined, the horizons are the same.
    settings = Settings(
        hidden=4, steps=20, sequences=4, updates=2, activation=ActivationName.SIGMOID, batch=2
    )
    seen: list[Checkpoint] = []

    found = analyze(settings, watch=CheckpointRecorder(prepare(settings), seen.append))

    assert found.last.verdict.horizon is not None
    assert seen[-1].horizon == found.last.verdict.horizon


# --- Results and memory -------------------------------------------------------------------------


def test_quantiles_keep_minus_infinity() -> None:
    log_norms = np.array([[-1.0, -2.0, -np.inf, -np.inf, -np.inf]])
    profile = Profile(np.array([1]), log_norms, np.zeros(1), 0.0)

    assert profile.median.tolist() == [-np.inf]
    assert profile.quantile(0.75).tolist() == [-2.0]
    np.testing.assert_allclose(profile.quantile(0.95), [-1.2])
    assert profile.quantile(0.05).tolist() == [-np.inf]


def test_memory_grows_with_every_size() -> None:
    base = memory_needed(Settings(), 1, 1)

    for name in ("hidden", "steps", "sequences", "batch"):
        larger = Settings(**{name: 2 * max(getattr(Settings(), name), 100)})
        assert memory_needed(larger, 1, 1) > base, name
    assert memory_needed(Settings(), 9, 9) > base


@pytest.mark.parametrize("cell", CellName)
def test_the_estimate_of_memory_covers_what_a_study_takes(cell: CellName) -> None:
    import tracemalloc

    settings = Settings(cell=cell, hidden=32, steps=100, sequences=8, updates=1, burn_in=0)
    # Modules and caches are not the study's.
    analyze(Settings(cell=cell, hidden=4, steps=6, updates=1, burn_in=0))
    tracemalloc.start()
    analyze(settings)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    held_out = 8 * 100 * 256 * (2 + NEEDS[cell].run * 32)
    estimate = memory_needed(settings, 1, 1) + held_out
    assert 0.9 * peak < estimate < 4 * peak


def test_what_does_not_fit_is_refused_with_value_limit_and_remedy() -> None:
    require_memory(Settings(), 1, 1, 256)
    with pytest.raises(
        SettingError,
        match=r"--hidden 100000, .* need about [\d,]+ GiB .* has \d+ GiB; choose smaller",
    ):
        require_memory(Settings(hidden=100_000), 1, 1, 256)
    assert machine_memory() > 2**28


def test_without_a_burn_in_the_rate_is_the_slope_of_the_profile() -> None:
    asked = Settings(hidden=6, steps=20, updates=0, burn_in=0)

    growth = analyze(asked).last.growth

    assert growth.tail is not None
    (first, last), (before, after) = growth.tail.lags, growth.tail.log_norms
    assert growth.rate == pytest.approx((after - before) / (last - first), rel=1e-12)
    assert (growth.burn_in, growth.steps) == (0, 10)


def test_a_net_that_diverges_has_no_burn_in() -> None:
    asked = Settings(
        activation="relu",  # type: ignore[arg-type]
        gain=3.0,
        steps=400,
        hidden=6,
        updates=0,
    )

    last = analyze(asked).last

    assert last.growth.burn_in == 0
    assert last.growth.rate == pytest.approx(np.log(3.0), abs=0.2)


@pytest.mark.parametrize("cell", ["elman", "lstm"])
def test_the_burn_in_changes_nothing_but_the_rate_and_its_causes(cell: str) -> None:
    base = Settings(cell=cell, hidden=6, steps=12, updates=2, batch=4)  # type: ignore[arg-type]

    one, other = (analyze(base.with_changes({"burn_in": n})) for n in (None, 17))

    np.testing.assert_array_equal(one.last.profile.log_norms, other.last.profile.log_norms)
    assert one.last.error == other.last.error
    assert one.last.verdict.horizon == other.last.verdict.horizon
    assert (other.last.growth.burn_in, one.last.growth.burn_in) == (17, 300)
    assert one.last.growth.rate != other.last.growth.rate
