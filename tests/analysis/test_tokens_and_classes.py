"""Token ids through an embedding, classes as targets, and windows of a long sequence."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradscope.analysis.analyze import analyze
from gradscope.analysis.check import check
from gradscope.analysis.imported.resolve import settings_of_weights
from gradscope.analysis.prepare import prepare
from gradscope.analysis.results import Analysis
from gradscope.arrays import FloatArray
from gradscope.errors import GradscopeError
from gradscope.learning.bptt import backpropagate
from gradscope.names import ErrorName
from gradscope.report.words.headline import answer
from tests.present import present

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
pytestmark = pytest.mark.torch

RNG = np.random.default_rng(11)
IDS = RNG.integers(20, size=(12, 6))
LENGTHS = np.array([4, 12, 7, 12, 1, 9])
ENDS = LENGTHS - 1


class Tagger(torch.nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self, kind: str, outputs: int) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(20, 5)
        self.rnn = getattr(torch.nn, kind)(5, 7)
        self.fc = torch.nn.Linear(7, outputs)
        self.double()

    def forward(self, ids: Any) -> Any:
        return self.fc(self.rnn(self.embed(ids))[0])


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.save("ids.npy", IDS)
    np.save("lengths.npy", LENGTHS)
    return tmp_path


def saved(kind: str = "LSTM", outputs: int = 3) -> Tagger:
    torch.manual_seed(4)
    model = Tagger(kind, outputs)
    torch.save(model.state_dict(), "net.pt")
    return model


def asked(**values: Any) -> dict[str, Any]:
    return {"weights": "net.pt", "data": "ids.npy", "readout": "fc", **values}


def studied(**values: Any) -> Analysis:
    return analyze(prepare(asked(**values)))


def gradients_of(found: Analysis) -> dict[str, FloatArray]:
    return backpropagate(found.params, found.trajectory, found.examined.targets).weights


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_classes_by_step_are_pytorchs_cross_entropy_through_the_files_embedding(kind: str) -> None:
    model = saved(kind)
    classes = RNG.integers(3, size=(12, 6))
    classes[3, 2] = classes[0, 0] = -100
    np.save("y.npy", classes)
    phi = {"activation": "tanh"} if kind == "RNN" else {}

    found = studied(targets="y.npy", shares=True, **phi)

    outputs = model(torch.tensor(IDS))
    mean = torch.nn.functional.cross_entropy(outputs.reshape(-1, 3), torch.tensor(classes).ravel())
    np.testing.assert_allclose(found.trajectory.outputs, outputs.detach().numpy(), atol=1e-12)
    assert found.last.error == pytest.approx(mean.item(), rel=1e-12)
    assert found.task_info.error is ErrorName.CROSS_ENTROPY
    part = np.bincount(classes[classes >= 0]) / np.count_nonzero(classes >= 0)
    baseline = present(found.task_info.baseline)
    assert baseline.error == pytest.approx(-np.sum(part * np.log(part)), rel=1e-12)
    (mean * np.count_nonzero(classes >= 0) / 6).backward()
    gradients = gradients_of(found)
    for name, parameter in (
        ("recurrent_weights", model.rnn.weight_hh_l0),
        ("input_weights", model.rnn.weight_ih_l0),
        ("output_weights", model.fc.weight),
    ):
        np.testing.assert_allclose(gradients[name], parameter.grad.numpy(), atol=1e-12)
    total = present(found.details.shares).total["recurrent_weights"]
    np.testing.assert_allclose(total, model.rnn.weight_hh_l0.grad.numpy(), atol=1e-12)
    assert "embed.weight" in found.task_info.description
    assert found.settings.embedding == "embed.weight"
    assert all(row.passed for row in check(prepare(asked(targets="y.npy", **phi))))


@pytest.mark.parametrize("outputs", [1, 4])
@pytest.mark.parametrize("shape", [(6,), (6, 1), (1, 6)])
def test_one_class_for_each_sequence_is_wanted_at_its_own_last_step(
    outputs: int, shape: tuple[int, ...]
) -> None:
    model = saved("GRU", outputs)
    classes = RNG.integers(max(outputs, 2), size=6)
    classes[:2] = 0, 1
    np.save("y.npy", classes.reshape(shape))

    found = studied(targets="y.npy", sequence_lengths="lengths.npy")

    logits = model(torch.tensor(IDS))[ENDS, np.arange(6)]
    if outputs > 1:
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(classes))
    else:
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            logits[:, 0], torch.tensor(classes, dtype=torch.float64)
        )
    loss.backward()
    assert found.last.error == pytest.approx(loss.item(), rel=1e-12)
    gradients = gradients_of(found)
    np.testing.assert_allclose(
        gradients["recurrent_weights"], model.rnn.weight_hh_l0.grad.numpy(), atol=1e-13
    )
    np.testing.assert_allclose(gradients["output_bias"], model.fc.bias.grad.numpy(), atol=1e-13)


@pytest.mark.parametrize("shape", [(6, 3), (1, 6, 3), (6, 1, 3)])
def test_numbers_for_each_sequence_keep_the_squared_error(shape: tuple[int, ...]) -> None:
    model = saved()
    wanted = RNG.normal(size=(6, 3))
    np.save("y.npy", wanted.reshape(shape))

    found = studied(targets="y.npy", sequence_lengths="lengths.npy")

    outputs = model(torch.tensor(IDS))[ENDS, np.arange(6)].detach().numpy()
    assert found.last.error == pytest.approx(np.mean((outputs - wanted) ** 2), rel=1e-12)
    spread = np.mean((wanted - wanted.mean(axis=0)) ** 2)
    assert present(found.task_info.baseline).constant == pytest.approx(spread, rel=1e-12)


@pytest.mark.parametrize("outputs", [1, 4])
@pytest.mark.parametrize("by_step", [False, True])
def test_whole_numbers_of_a_text_are_classes_as_those_of_an_array(
    outputs: int, by_step: bool
) -> None:
    saved(outputs=outputs)
    classes = RNG.integers(max(outputs, 2), size=IDS.shape if by_step else (6, 1))
    np.save("y.npy", classes)
    np.savetxt("y.csv", classes, fmt="%d", delimiter=",")

    stored, text = studied(targets="y.npy"), studied(targets="y.csv")

    assert text.task_info.error is ErrorName.CROSS_ENTROPY
    assert text.last.error == stored.last.error


@pytest.mark.parametrize(
    ("outputs", "values"),
    [(1, np.arange(6)), (3, np.arange(18).reshape(6, 3) % 2), (1, np.arange(6) / 2)],
)
def test_other_numbers_of_a_text_keep_the_squared_error(outputs: int, values: FloatArray) -> None:
    saved(outputs=outputs)
    np.savetxt("y.csv", values, delimiter=",")

    assert studied(targets="y.csv").task_info.error is ErrorName.SQUARED


@pytest.mark.parametrize("values", [[0.0, 1.0, 0.0, 1.0, 1.0, 0.0], [0, 1, 2, 3, 4, 5]])
def test_fractions_or_counts_for_one_output_keep_the_squared_error(values: list[float]) -> None:
    saved(outputs=1)
    np.save("y.npy", np.array(values))

    assert studied(targets="y.npy").task_info.error is ErrorName.SQUARED


def test_batch_first_turns_ids_and_classes() -> None:
    saved()
    classes = RNG.integers(3, size=(12, 6))
    np.save("y.npy", classes)
    first = studied(targets="y.npy")
    np.save("ids.npy", IDS.T)
    np.save("y.npy", classes.T)

    again = studied(targets="y.npy", batch_first=True)

    assert again.last.error == first.last.error
    np.testing.assert_array_equal(again.last.profile.log_norms, first.last.profile.log_norms)


def test_one_sequence_of_ids_and_text_with_a_named_embedding() -> None:
    saved()
    np.save("ids.npy", IDS[:, 0])
    Path("ids.csv").write_text("token\n" + "\n".join(map(str, IDS[:, 0])) + "\n", "utf-8")

    one, other = studied(), studied(data="ids.csv", embedding="embed.weight")

    np.testing.assert_array_equal(one.trajectory.states, other.trajectory.states)


def test_an_embedding_of_another_name_is_asked_about_and_not_taken_for_one() -> None:
    state = {name.replace("embed", "encoder"): a for name, a in saved().state_dict().items()}
    torch.save(state, "net.pt")

    with pytest.raises(GradscopeError, match=r"'encoder.weight'.*--embedding"):
        studied()
    # As a head without a bias: whole numbers may be inputs (T,5).
    np.save("counts.npy", RNG.integers(9, size=(12, 5)))
    with pytest.raises(GradscopeError, match="floats") as error:
        studied(data="counts.npy")
    assert len(str(error.value)) <= 300
    np.save("floats.npy", np.load("counts.npy").astype(np.float64))
    assert studied(data="floats.npy").settings.embedding is None

    torch.save({**state, "other.weight": state["encoder.weight"]}, "net.pt")
    with pytest.raises(GradscopeError, match="--embedding"):
        studied()
    assert studied(embedding="other.weight").settings.embedding == "other.weight"
    with pytest.raises(GradscopeError, match="nothing"):
        studied(embedding="nothing")


@pytest.mark.parametrize(
    ("bad", "place"), [(20, "20 at [2, 1]"), (-1, "-1 at [2, 1]"), (100, "100 at [2, 1]")]
)
def test_ids_beyond_the_embedding_are_named(bad: int, place: str) -> None:
    saved()
    ids = IDS.copy()
    ids[2, 1] = bad
    np.save("ids.npy", ids)

    with pytest.raises(GradscopeError) as error:
        studied()
    assert place in str(error.value)
    assert "0 to 19" in str(error.value)
    assert len(str(error.value)) <= 300


def test_without_data_noise_enters_past_the_embedding() -> None:
    saved()

    found = analyze(settings_of_weights({"weights": "net.pt", "steps": 40}))

    assert found.settings.embedding is None
    assert answer(found).startswith("On white noise")
    with pytest.raises(GradscopeError, match="--embedding is given without --data"):
        settings_of_weights({"weights": "net.pt", "embedding": "embed.weight"})


@pytest.mark.parametrize(
    ("outputs", "classes", "part"),
    [
        (3, [0, 1, 2, 3, 0, 1], "class 3"),
        (3, [0, -1, 2, 1, 0, 1], "class -1"),
        (3, [-100] * 6, "no class"),
        (3, [0, 1, 2], r"\(3, 1\)"),
    ],
)
def test_classes_that_no_output_stands_for_are_refused(
    outputs: int, classes: list[int], part: str
) -> None:
    saved(outputs=outputs)
    np.save("y.npy", np.array(classes))

    with pytest.raises(GradscopeError, match=part) as error:
        studied(targets="y.npy")
    assert len(str(error.value)) <= 300


def test_a_long_recording_is_cut_into_windows_with_its_targets() -> None:
    saved()
    long = RNG.normal(size=(1000, 5))
    wanted = RNG.normal(size=(1000, 3))
    np.save("long.npy", long)
    np.save("y.npy", wanted)
    Path("long.csv").write_text("\n".join(",".join(map(repr, r)) for r in long.tolist()), "utf-8")

    found = studied(data="long.npy", targets="y.npy", steps=100)
    table = studied(data="long.csv", targets="y.npy", steps=100)

    inputs, targets = found.examined.inputs, found.examined.targets.values
    assert inputs.shape == (100, 10, 5)
    np.testing.assert_array_equal(inputs.swapaxes(0, 1).reshape(1000, 5), long)
    np.testing.assert_array_equal(targets.swapaxes(0, 1).reshape(1000, 3), wanted)
    np.testing.assert_array_equal(table.examined.inputs, inputs)
    assert (found.settings.steps, found.settings.sequences) == (100, 10)
    few = prepare(asked(data="long.npy", steps=100, sequences=3)).batch.batch.inputs
    np.testing.assert_array_equal(few[0], long[[0, 400, 900]])
    assert prepare(asked(data="long.npy")).batch.batch.inputs.shape == (1000, 1, 5)


def test_windows_of_one_sequence_take_its_targets_with_the_sequences_first() -> None:
    saved()
    long, wanted = RNG.normal(size=(300, 5)), RNG.integers(3, size=(300, 1))
    np.save("long.npy", long[np.newaxis])
    np.save("y.npy", wanted.T)

    found = studied(data="long.npy", targets="y.npy", steps=100, batch_first=True)

    values = found.examined.targets.values.swapaxes(0, 1).reshape(300, 3)
    np.testing.assert_array_equal(values.argmax(axis=1), wanted[:, 0])


@pytest.mark.parametrize("padded", [False, True])
def test_targets_of_the_end_of_a_sequence_are_not_moved_to_where_it_is_cut(padded: bool) -> None:
    saved()
    np.save("y.npy", RNG.integers(3, size=6))
    np.save("lengths.npy", np.minimum(LENGTHS, 9))
    lengths = {"sequence_lengths": "lengths.npy"} if padded else {}

    with pytest.raises(GradscopeError, match="--steps"):
        studied(targets="y.npy", steps=8, **lengths)
    assert studied(targets="y.npy", steps=9 if padded else 12, **lengths).settings.steps >= 9


def test_whole_numbers_beyond_an_int64_stay_positive() -> None:
    saved()
    inputs = np.full((12, 5), 2**63, dtype=np.uint64)
    np.save("inputs.npy", inputs)

    np.testing.assert_array_equal(studied(data="inputs.npy").examined.inputs[:, 0], inputs)


def test_settings_of_tokens_lengths_and_windows_make_the_same_study_again() -> None:
    saved()
    np.save("y.npy", RNG.integers(3, size=6))
    np.save("long.npy", RNG.normal(size=(300, 5)))

    for values in (
        {"targets": "y.npy", "sequence_lengths": "lengths.npy"},
        {"data": "long.npy", "steps": 30, "sequences": 4},
    ):
        first = studied(**values)
        again = analyze(prepare(first.settings.as_dict()))
        np.testing.assert_array_equal(again.last.profile.log_norms, first.last.profile.log_norms)
        assert again.last.error == first.last.error
