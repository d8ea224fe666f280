"""Padded batches: every sequence counts as far as it goes, as if it were analysed alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradscope.analysis.analyze import analyze
from gradscope.analysis.archive import archive_bytes
from gradscope.analysis.check import check
from gradscope.analysis.imported.resolve import settings_of_weights
from gradscope.analysis.prepare import prepare
from gradscope.analysis.results import Analysis
from gradscope.arrays import FloatArray
from gradscope.diagnosis.causes import TOLERANCE
from gradscope.diagnosis.growth import terms_of
from gradscope.errors import GradscopeError
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.jacobians.shares import GradientShares
from gradscope.learning.bptt import backpropagate
from gradscope.sweep.changes import changes
from gradscope.sweep.compare import compare
from tests.present import present

RNG = np.random.default_rng(3)
LENGTHS = np.array([5, 14, 9, 14, 6])
PADDED = RNG.normal(size=(14, 5, 3))
WANTED = RNG.normal(size=(14, 5, 2))
RAGGED = {"sequence_lengths": "lengths.npy"}
KINDS = {"RNN": 1, "GRU": 3, "LSTM": 4}


def weights(gates: int, depth: int = 1, *, both: bool = False) -> dict[str, FloatArray]:
    """Return the arrays of a stack of 4 units under PyTorch's names, with a readout of 2."""
    made: dict[str, FloatArray] = {}
    for layer in range(depth):
        size = 3 if layer == 0 else 8 if both else 4
        for end in ("", "_reverse") if both else ("",):
            place = f"l{layer}{end}"
            made[f"rnn.weight_ih_{place}"] = 0.5 * RNG.normal(size=(4 * gates, size))
            made[f"rnn.weight_hh_{place}"] = 0.5 * RNG.normal(size=(4 * gates, 4))
            made |= {f"rnn.bias_{n}_{place}": RNG.normal(size=4 * gates) for n in ("ih", "hh")}
    return {**made, "fc.weight": RNG.normal(size=(2, 4)), "fc.bias": RNG.normal(size=2)}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, gates in KINDS.items():
        np.savez(f"{name}.npz", **weights(gates))  # type: ignore[arg-type]
    np.save("x.npy", PADDED)
    np.save("y.npy", WANTED)
    np.save("lengths.npy", LENGTHS)
    return tmp_path


def studied(kind: str, **values: Any) -> Analysis:
    phi = {"activation": "tanh"} if kind.startswith("RNN") else {}
    asked = {"weights": f"{kind}.npz", "data": "x.npy", "readout": "fc", "targets": "y.npy"}
    return analyze(prepare({**asked, **phi, **values}))


def alone(kind: str, **values: Any) -> list[Analysis]:
    """Analyse every sequence by itself, cut to its own steps."""
    found = []
    for place, steps in enumerate(LENGTHS):
        np.save("one.npy", PADDED[:steps, place : place + 1])
        np.save("one_y.npy", WANTED[:steps, place : place + 1])
        found.append(studied(kind, data="one.npy", targets="one_y.npy", **values))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_profiles_rates_causes_and_writing_are_those_of_each_sequence_alone(kind: str) -> None:
    together, each = studied(kind, **RAGGED), alone(kind)

    stage, stages = together.last, [one.last for one in each]
    for place, one in enumerate(stages):
        own = stage.profile.log_norms[:, place]
        np.testing.assert_allclose(own[: LENGTHS[place]], one.profile.log_norms[:, 0], atol=1e-9)
        assert np.isnan(own[LENGTHS[place] :]).all()
    # A tangent of each sequence, the one it has in the batch, from the middle of the sequence on.
    vectors = np.random.default_rng(0).standard_normal((5, together.params.state_size))
    rates = []
    for first, it in zip(vectors, each, strict=True):
        chain, logs, vector = cell_chain(it.params, it.trajectory), [], first
        for step in range(1, chain.n_steps + 1):
            before, vector = vector, chain.jacobian(step)[0] @ vector
            logs.append(np.log(np.linalg.norm(vector) / np.linalg.norm(before)))
        rates.append(np.mean(logs[chain.n_steps // 2 :]))
    assert stage.growth.rate == pytest.approx(np.mean(rates), rel=1e-9)
    assert sum(map(present, terms_of(stage.causes).values())) == pytest.approx(stage.growth.rate)
    assert present(stage.causes.total) == pytest.approx(stage.growth.rate, rel=1e-9)
    median = stage.profile.median
    for lag in range(1, 15):
        has = [one.profile.log_norms[lag - 1, 0] for one in stages if one.profile.lags.size >= lag]
        assert median[lag - 1] == pytest.approx(np.median(has), abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_error_gradient_and_shares_are_the_means_over_the_sequences(kind: str) -> None:
    together, each = (
        studied(kind, **RAGGED, shares=True),
        alone(kind, shares=True),
    )

    errors = [present(one.last.error) for one in each]
    assert together.last.error == pytest.approx(np.average(errors, weights=LENGTHS), rel=1e-12)
    found = backpropagate(together.params, together.trajectory, together.examined.targets)
    singly = [backpropagate(one.params, one.trajectory, one.examined.targets) for one in each]
    for name, gradient in found.weights.items():
        expected = np.mean([one.weights[name] for one in singly], axis=0)
        np.testing.assert_allclose(gradient, expected, rtol=1e-10, atol=1e-14)
    shares: GradientShares = present(together.details.shares)
    for name, total in shares.total.items():
        np.testing.assert_allclose(total, found.weights[name], rtol=1e-10, atol=1e-13)
    assert together.last.gradient is not None
    squares = np.zeros(15)
    for one in each:
        by_step = present(one.last.gradient).log_by_step
        squares[: by_step.size] += np.exp(2.0 * by_step) / 25.0
    np.testing.assert_allclose(
        together.last.gradient.log_by_step, 0.5 * np.log(squares), rtol=0, atol=1e-9
    )


def test_write_level_and_slopes_leave_padded_steps_out() -> None:
    np.save("x.npy", np.where(np.arange(14)[:, None, None] < LENGTHS[:, None], PADDED, 1e3))

    padded = studied("RNN", **RAGGED).last
    clean = [one.trajectory.slopes for one in alone("RNN")]

    assert padded.write_level > 0.3
    for step in range(14):
        own = np.concatenate([each[step].ravel() for each in clean if len(each) > step])
        assert padded.slopes.median[step] == pytest.approx(np.median(own), rel=1e-12)
        assert padded.slopes.histogram[step].sum() == pytest.approx(1.0)


def test_standardising_looks_at_the_steps_that_count() -> None:
    counted = np.arange(14)[:, None] < LENGTHS
    np.save("x.npy", np.where(counted[..., None], 7.0 + 3.0 * PADDED, 1e6))

    inputs = studied("RNN", **RAGGED, standardise=True).examined.inputs[counted]

    np.testing.assert_allclose(inputs.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(inputs.std(axis=0), 1.0, rtol=1e-12)


@pytest.mark.torch
@pytest.mark.parametrize("kind", KINDS)
def test_a_stack_in_both_directions_is_pytorchs_packed_one(kind: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    arrays = weights(KINDS[kind], 2, both=True)
    np.savez(f"{kind}2.npz", **arrays)  # type: ignore[arg-type]
    module = getattr(torch.nn, kind)(3, 4, num_layers=2, bidirectional=True, dtype=torch.float64)
    own = {name[4:]: torch.tensor(a) for name, a in arrays.items() if name.startswith("rnn.")}
    module.load_state_dict(own)
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        torch.tensor(PADDED), torch.tensor(LENGTHS), enforce_sorted=False
    )
    outputs, _ = torch.nn.utils.rnn.pad_packed_sequence(module(packed)[0])
    theirs = outputs.detach().numpy()

    asked = {
        "weights": f"{kind}2.npz",
        "data": "x.npy",
        **RAGGED,
        "layer": "1",
    }
    phi = {"activation": "tanh"} if kind == "RNN" else {}
    ran = present(prepare({**asked, **phi}, keep_stack=True).stack).trajectories
    for place, steps in enumerate(LENGTHS):
        forward = ran["rnn[1]"].hidden[1 : steps + 1, place]
        backward = ran["rnn[1]_reverse"].hidden[1 : steps + 1, place][::-1]
        ours = np.concatenate([forward, backward], axis=1)
        np.testing.assert_allclose(ours, theirs[:steps, place], atol=1e-12)


def test_a_saved_run_keeps_the_lengths() -> None:
    made = studied("LSTM", **RAGGED)
    Path("run.npz").write_bytes(archive_bytes(made))

    again = analyze(prepare({"load": "run.npz"}))

    np.testing.assert_array_equal(again.last.profile.log_norms, made.last.profile.log_norms)
    assert again.last.growth.rate == made.last.growth.rate
    assert present(again.last.gradient).norm == present(made.last.gradient).norm


def test_closer_measurements_take_the_whole_sequences() -> None:
    found = studied("GRU", **RAGGED, map=True, spectrum=True, verify=True).details
    np.save("x.npy", PADDED[:, [1, 3]])
    np.save("y.npy", WANTED[:, [1, 3]])
    whole = studied("GRU", map=True, spectrum=True, verify=True).details

    assert present(found.verification).worst < 10 * TOLERANCE
    ours, theirs = present(found.spectrum).lyapunov, present(whole.spectrum).lyapunov
    np.testing.assert_allclose(ours.exponents, theirs.exponents, rtol=1e-9)
    np.testing.assert_allclose(
        present(found.map).log_norms, present(whole.map).log_norms, atol=1e-9
    )


def test_check_passes_and_fewer_steps_or_sequences_cut_the_lengths_too() -> None:
    values = {
        "weights": "RNN.npz",
        "activation": "tanh",
        "data": "x.npy",
        **RAGGED,
    }
    targets = {"readout": "fc", "targets": "y.npy"}

    rows = check(prepare({**values, **targets}))
    assert all(row.passed for row in rows)
    few = prepare({**values, "steps": 8, "sequences": 3}).batch.batch
    assert present(few.lengths).tolist() == [5, 8, 8]
    np.save("lengths.npy", np.minimum(LENGTHS, 9))
    assert settings_of_weights(values).steps == 9


def test_files_with_padding_are_compared() -> None:
    np.savez("other.npz", **weights(1))  # type: ignore[arg-type]
    asked = {"data": "x.npy", "readout": "fc", "targets": "y.npy", "activation": "tanh", **RAGGED}
    files = ("RNN.npz", "RNN.npz", "other.npz")

    same, other = changes(compare([{**asked, "weights": each} for each in files]))

    assert not same.better
    assert not same.worse
    assert same.of["error"] == (0.0, 0.0)
    assert other.judged_by == "error"
    assert other.of["error"][1] is not None


@pytest.mark.parametrize(
    ("lengths", "part"),
    [
        ([5, 14], "2 numbers"),
        ([], "shape"),
        ([0, 1, 2, 3, 4], "from 0"),
        ([5, 15, 9, 9, 9], "to 15"),
    ],
)
def test_lengths_that_do_not_fit_are_refused(lengths: list[int], part: str) -> None:
    np.save("lengths.npy", np.array(lengths))

    with pytest.raises(GradscopeError, match=part) as error:
        studied("RNN", **RAGGED)
    assert len(str(error.value)) <= 300
