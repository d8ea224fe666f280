"""A saved run comes back as it was, and what is damaged is refused in one line."""

import io
import json
import math
import tracemalloc
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import gradscope
from gradscope.analysis.archive import (
    NEEDED,
    archive_bytes,
    holds_run,
    load_run,
    read_settings,
)
from gradscope.analysis.prepare import prepare
from gradscope.analysis.results import Analysis
from gradscope.errors import ArchiveError, GradscopeError
from gradscope.machine import environment
from gradscope.model.cells import WEIGHT_NAMES
from tests.present import present


@pytest.fixture
def saved(analysis: Analysis, tmp_path: Path) -> Path:
    place = tmp_path / "run.npz"
    place.write_bytes(archive_bytes(analysis))
    return place


def rewritten(saved: Path, **changes: Any) -> Path:
    """Return the archive with some arrays changed, or left out where the change is None."""
    with np.load(saved) as archive:
        arrays: dict[str, Any] = {name: archive[name] for name in archive.files}
    arrays |= changes
    buffer = io.BytesIO()
    np.savez(buffer, **{name: value for name, value in arrays.items() if value is not None})
    saved.write_bytes(buffer.getvalue())
    return saved


def test_network_sequences_facts_and_settings_come_back_bit_by_bit(
    saved: Path, analysis: Analysis
) -> None:
    run = load_run(saved)

    assert run.settings.as_dict() == analysis.settings.as_dict()
    assert run.evaluation.task_info.description == analysis.task_info.description
    assert run.evaluation.task_info.required_lag == 3
    assert asdict(present(run.evaluation.task_info.baseline)) == asdict(
        present(analysis.task_info.baseline)
    )
    for name, array in analysis.params.weights():
        np.testing.assert_array_equal(getattr(run.params, name), array)
    np.testing.assert_array_equal(run.evaluation.batch.inputs, analysis.trajectory.inputs)
    np.testing.assert_array_equal(
        run.evaluation.batch.targets.values, analysis.examined.targets.values
    )
    assert run.params.activation is analysis.params.activation


def test_what_a_series_rewards_comes_back_and_older_runs_do_without(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("\n".join(f"{np.sin(n * n):.6f}" for n in range(60)))
    settings = gradscope.Settings(
        data=str(tmp_path / "s.csv"), steps=6, hidden=3, sequences=2, updates=0
    )
    made = gradscope.analyze(settings)
    (tmp_path / "run.npz").write_bytes(archive_bytes(made))
    with np.load(tmp_path / "run.npz") as archive:
        arrays = dict(archive)
    facts = json.loads(str(arrays["facts"]))
    del facts["lag_errors"], facts["baseline"]["constant"], facts["baseline"]["memoryless"]
    np.savez(tmp_path / "old.npz", **{**arrays, "facts": json.dumps(facts)})

    new, old = (load_run(tmp_path / name).evaluation.task_info for name in ("run.npz", "old.npz"))

    np.testing.assert_array_equal(present(new.lag_errors), present(made.task_info.lag_errors))
    assert new.required_lag == old.required_lag == made.task_info.required_lag
    assert (old.lag_errors, present(old.baseline).memoryless) == (None, None)


def test_plain_numpy_reads_it_without_pickle(saved: Path, analysis: Analysis) -> None:
    with np.load(saved, allow_pickle=False) as archive:
        assert set(archive.files) >= set(NEEDED)
        assert set(WEIGHT_NAMES) <= set(archive.files)
        assert archive["hidden"].shape == (7, 2, 4)
        assert archive["pre_activations"].shape == (6, 2, 4)
        assert archive["outputs"].shape == (6, 2, 1)
        assert json.loads(str(archive["settings"])) == analysis.settings.as_dict()


def test_whether_a_file_is_a_run_is_told_without_unfolding_it(tmp_path: Path, saved: Path) -> None:
    names = {"run.npz": "facts", "weights.npz": "W"}
    for file, name in names.items():
        arrays: dict[str, Any] = {name: np.zeros(2**21), "more": np.zeros(2**20)}
        np.savez_compressed(tmp_path / file, **arrays)
    (tmp_path / "none").write_bytes(b"PK\3\4nothing")

    tracemalloc.start()
    found = [holds_run(tmp_path / each) for each in (*names, "none", "missing")]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert found == [True, False, False, False]
    assert holds_run(saved)
    assert peak < 2**20


def test_the_settings_alone_can_be_read(saved: Path, analysis: Analysis) -> None:
    settings, made = read_settings(saved)
    assert settings == analysis.settings.as_dict()
    assert made == {"gradscope": gradscope.__version__, **environment()}


BOUNDLESS = {
    "title": "a",
    "cell": "elman",
    "direction": "forward",
    "input_size": 1,
    "hidden_size": math.inf,
    "verdict": None,
}


@pytest.mark.parametrize("name", NEEDED)
def test_an_archive_without_one_of_its_arrays_is_refused(saved: Path, name: str) -> None:
    with pytest.raises(ArchiveError, match=f"it has no {name}"):
        load_run(rewritten(saved, **{name: None}))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"settings": "[]x"}, "damaged"),
        ({"settings": "[1, 2]"}, "damaged"),
        ({"facts": "{}"}, "damaged"),
        ({"facts": "[" * 100_000}, "damaged"),
        ({"settings": '{"hiden": 3}'}, "there is no setting 'hiden'"),
        ({"recurrent_weights": np.eye(3)}, "damaged"),
        ({"hidden_bias": np.array(["a"] * 4)}, "damaged"),
        ({"inputs": np.zeros((6, 2))}, "damaged"),
        ({"inputs": np.full((6, 2, 1), np.inf)}, "inputs holds a number that is not finite"),
        ({"network": "{}"}, "damaged"),
        ({"network": '{"studied": "a", "layers": [{"title": "a"}]}'}, "damaged"),
        ({"network": "[" * 100_000}, "damaged"),
        ({"network": json.dumps({"studied": "a", "layers": [BOUNDLESS]})}, "damaged"),
        ({"target_steps": np.ones(5, dtype=bool)}, "damaged"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    saved: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(GradscopeError, match=words):
        load_run(rewritten(saved, **changes))


@pytest.mark.parametrize("settings", ["[1]", "nonsense", "3", "[" * 100_000])
def test_settings_that_are_none_are_refused(saved: Path, settings: str) -> None:
    with pytest.raises(ArchiveError, match="holds no settings of gradscope"):
        read_settings(rewritten(saved, settings=settings))


@pytest.mark.parametrize("name", [*WEIGHT_NAMES, "inputs", "initial_state", "targets", "stride",
                                  "target_steps", "held_out_error"])  # fmt: skip
@pytest.mark.parametrize("kind", ["U4", "S4", "M8[D]", "m8[D]", "c16"])
def test_what_is_no_real_number_is_refused(saved: Path, name: str, kind: str) -> None:
    with np.load(saved) as archive:
        shape = np.ones(()).shape if name == "stride" else archive[name].shape

    with pytest.raises(ArchiveError, match="not real numbers") as caught:
        load_run(rewritten(saved, **{name: np.ones(shape, np.int64).astype(kind)}))

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"required_lag": -3}, {"required_lag": "3"}, {"required_lag": 2.7}, {"required_lag": 10**9},
        {"required_lag": True}, {"lag_errors": ["a"]}, {"lag_errors": "2020-01-01"},
        {"baseline": {"error": "0.5", "meaning": "m"}}, {"columns": {"a": 1}}, {"columns": [1.5]},
        {"baseline": {"error": 1.0, "meaning": "m", "constant": [1, 2]}},
    ],
)  # fmt: skip
def test_facts_are_held_to_the_limits_of_their_settings(saved: Path, wrong: dict[str, Any]) -> None:
    with np.load(saved) as archive:
        facts = json.loads(str(archive["facts"]))

    with pytest.raises(ArchiveError, match="is damaged"):
        load_run(rewritten(saved, facts=json.dumps({**facts, **wrong})))


@pytest.mark.parametrize(
    "wrong", [{"hidden": 7}, {"required_lag": -3}, {"steps": "6"}, {"leak": [0.1, 0.2]}]
)
def test_settings_are_held_to_their_limits_and_to_the_network(
    saved: Path, analysis: Analysis, wrong: dict[str, Any]
) -> None:
    changed = json.dumps({**analysis.settings.as_dict(), **wrong})

    with pytest.raises(ArchiveError, match="is damaged"):
        load_run(rewritten(saved, settings=changed))


@pytest.mark.parametrize("wrong", [{"stride": 0}, {"stride": -3}, {"targets": np.zeros((2, 1, 1))}])
def test_steps_that_do_not_fit_are_refused(saved: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ArchiveError, match="is damaged"):
        load_run(rewritten(saved, **wrong))


def test_nothing_is_unpickled(saved: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
            return (Path.touch, (tmp_path / "sprung",))

    with pytest.raises(ArchiveError, match="is damaged"):
        load_run(rewritten(saved, hidden_bias=np.array([Trap()], dtype=object)))
    assert not (tmp_path / "sprung").exists()


@given(data=st.data())
@hypothesis_settings(max_examples=150)
def test_damaged_bytes_are_an_archive_error_or_harmless(
    data: st.DataObject, analysis: Analysis, tmp_path: Path
) -> None:
    content = bytearray(archive_bytes(analysis))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
            content[place] ^= data.draw(st.integers(1, 255))
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(content)

    complaint = refusal(damaged)

    assert complaint is None or "damaged.npz" in complaint
    assert complaint is None or "\n" not in complaint


def refusal(path: Path) -> str | None:
    """Return what is said of an archive that cannot be read, None where it can."""
    try:
        run = load_run(path)
    except GradscopeError as error:
        return str(error)
    assert np.isfinite(run.params.recurrent_weights).all()
    return None


def test_the_inputs_that_follow_come_back_and_older_runs_have_none(
    saved: Path, analysis: Analysis
) -> None:
    found = load_run(saved).evaluation.batch
    older = load_run(rewritten(saved, further_inputs=None, stride=None)).evaluation.batch

    np.testing.assert_array_equal(present(found.further), present(analysis.examined.further))
    assert (older.further, older.stride) == (None, 1)
    again = gradscope.analyze(prepare({"load": str(saved)}))
    assert again.last.growth.burn_in == analysis.trajectory.n_steps // 2


def test_inputs_that_follow_another_network_are_refused(saved: Path, analysis: Analysis) -> None:
    _, sequences, width = analysis.examined.inputs.shape

    with pytest.raises(ArchiveError, match="is damaged"):
        load_run(rewritten(saved, further_inputs=np.zeros((5, sequences, width + 1))))


@pytest.mark.parametrize("name", ["recurrent_weights", "inputs", "initial_state", "further_inputs"])
@pytest.mark.parametrize("kind", ["c16", "U8", "M8[s]"])
def test_what_is_no_real_number_is_refused_and_not_cut_to_one(
    saved: Path, name: str, kind: str
) -> None:
    with np.load(saved) as archive:
        array = archive[name] if name in archive else np.zeros((1, 1, 1))

    with pytest.raises(ArchiveError, match=r"is damaged \(.*real numbers"):
        load_run(rewritten(saved, **{name: np.full(array.shape, 1).astype(kind)}))
