"""Files of every origin become networks: what they leave open is asked for, what they say is
kept.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradscope.analysis.analyze import analyze
from gradscope.analysis.archive import archive_bytes
from gradscope.analysis.imported.resolve import settings_of_weights
from gradscope.analysis.prepare import prepare
from gradscope.analysis.results import Analysis
from gradscope.analysis.settings import Settings
from gradscope.arrays import FloatArray
from gradscope.diagnosis.reasons import ReasonCode
from gradscope.errors import GradscopeError, SettingError, WeightsError
from gradscope.model.elman import ElmanParameters
from gradscope.model.gru import GruParameters
from gradscope.names import ActivationName, CellName, StateName
from gradscope.report.words.headline import answer
from gradscope.sweep.compare import compare
from tests.present import present

RNG = np.random.default_rng(5)
W, U, b = 0.5 * RNG.normal(size=(4, 4)), RNG.normal(size=(4, 3)), RNG.normal(size=4)
V, c = RNG.normal(size=(2, 4)), RNG.normal(size=2)
INPUTS = RNG.normal(size=(9, 2, 3))
TORCH = {"rnn.weight_ih_l0": U, "rnn.weight_hh_l0": W, "fc.weight": V, "fc.bias": c}
TANH: dict[str, Any] = {"activation": "tanh"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.savez("net.npz", **TORCH)  # type: ignore[arg-type]
    np.savez("cell.npz", h2h=W, i2h=U, bias=b, out=V.T)
    np.savez("psychrnn.npz", W_rec=W, W_in=U, b_rec=b, W_out=V, b_out=c)
    np.save("x.npy", INPUTS)
    return tmp_path


def studied(weights: str, **values: Any) -> Analysis:
    return analyze(settings_of_weights({"weights": weights, "data": "x.npy", **values}))


def vanilla(**options: Any) -> ElmanParameters:
    return ElmanParameters(U, W, options.pop("bias", b), np.zeros((0, 4)), np.zeros(0), **options)


def states(cell: ElmanParameters) -> FloatArray:
    return cell.run(INPUTS, np.zeros((2, 4))).states


@pytest.mark.usefixtures("folder")
def test_a_hand_written_cell_is_what_its_author_says_it_is() -> None:
    named = {"weight_map": ["W=h2h", "U=i2h", "b=bias"]}

    found = studied("cell.npz", **named, **TANH, leak=0.3, state="pre")

    expected = states(vanilla(leak=0.3, state=StateName.PRE))
    np.testing.assert_allclose(found.trajectory.states, expected, rtol=0, atol=1e-14)
    assert found.settings.layer == "h2h[0]"
    with pytest.raises(WeightsError, match="leak α"):
        studied("cell.npz", **named, **TANH)
    with pytest.raises(WeightsError, match="activation φ"):
        studied("cell.npz", **named, leak=1.0)


@pytest.mark.usefixtures("folder")
def test_a_psychrnn_network_carries_its_pre_activation() -> None:
    found = studied("psychrnn.npz", activation="relu", leak=0.2, batch_first=False)

    activation = found.params.activation
    expected = states(vanilla(leak=0.2, state=StateName.PRE, activation=activation))
    assert activation.name is ActivationName.RELU
    np.testing.assert_allclose(found.trajectory.states, expected, rtol=0, atol=1e-14)
    assert "names as in PsychRNN" in found.task_info.description


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", ["psychrnn.npz", "run.npz", "torch.npz"])
def test_what_names_alone_say_is_overridden_by_an_option(name: str) -> None:
    arrays = {"weight_ih_l0": U, "weight_hh_l0": W, "bias_ih_l0": b, "bias_hh_l0": 0 * b}
    np.savez("torch.npz", **arrays)  # type: ignore[arg-type]
    np.savez("run.npz", input_weights=U, recurrent_weights=W, hidden_bias=b)

    for state in StateName:
        found = studied(name, **TANH, leak=0.2, state=str(state), batch_first=False)

        expected = states(vanilla(leak=0.2, state=state))
        np.testing.assert_allclose(found.trajectory.states, expected, rtol=0, atol=1e-14)
        said = "names as in" in found.task_info.description
        default = {"psychrnn.npz": StateName.PRE, "run.npz": StateName.POST}.get(name)
        assert said == (state is default)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("scales", "asked"),
    [
        ({"alpha": np.array(0.2)}, {}),
        ({"dt": np.array(0.02), "tau": np.array([[0.1]])}, {}),
        ({"tau": np.array(0.1)}, {"dt": 0.02}),
        ({"leaking_rate": np.full(4, 0.2)}, {}),
        ({}, {"dt": 0.02, "tau": 0.1}),
    ],
)
@pytest.mark.parametrize("names", ["psychrnn", "run"])
def test_time_scales_beside_known_names_are_used(
    names: str, scales: dict[str, Any], asked: dict[str, Any]
) -> None:
    words = {
        "psychrnn": ("W_rec", "W_in", "b_rec"),
        "run": ("recurrent_weights", "input_weights", "hidden_bias"),
    }
    arrays = dict(zip(words[names], (W, U, b), strict=True))
    np.savez("net.npz", **{**arrays, **scales})

    found = studied("net.npz", **TANH, **asked, batch_first=False)

    state = StateName.PRE if names == "psychrnn" else StateName.POST
    expected = states(vanilla(leak=0.2, state=state))
    np.testing.assert_allclose(found.trajectory.states, expected, rtol=0, atol=1e-14)


@pytest.mark.torch
@pytest.mark.usefixtures("folder")
def test_time_scales_of_a_checkpoint_are_used_and_those_of_its_optimizer_are_not() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch writes the file")
    cell = {"W_rec": torch.tensor(W), "W_in": torch.tensor(U), "b_rec": torch.tensor(b)}
    for name, more in (
        ("flat.pt", {"alpha": 0.2}),
        ("deep.pt", {"config": {"dt": 2, "tau": 10.0}}),
    ):
        torch.save({**cell, **more, "optimizer": {"param_groups": [{"alpha": 0.99}]}}, name)
        expected = states(vanilla(leak=0.2, state=StateName.PRE))
        found = studied(name, **TANH, batch_first=False).trajectory.states
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "arrays",
    [
        {"bias_ih_l0": b},
        {"bias_ih_l0": b, "bias_hh_l0": b, "alpha": np.array(0.3)},
        {"bias_ih_l0": b, "bias_hh_l0": b, "alpha": np.array(0.3), "loss.alpha": np.array(0.1)},
    ],
)
def test_a_reservoir_under_names_of_pytorch_is_asked_for_its_leak(arrays: dict[str, Any]) -> None:
    named = {"reservoir.weight_ih_l0": U, "reservoir.weight_hh_l0": W}
    inside = {f"reservoir.{name}" if "bias" in name else name: arrays[name] for name in arrays}
    np.savez("esn.npz", **{**named, **inside})

    with pytest.raises(WeightsError, match="the leak α"):
        studied("esn.npz", **TANH)

    bias = b if len(arrays) == 1 else 2 * b
    expected = states(vanilla(leak=0.3, bias=bias))
    if len(arrays) > 1:  # PyTorch-ESN has one bias, and its state after φ.
        with pytest.raises(WeightsError, match="--state pre / --state post"):
            studied("esn.npz", **TANH, leak=0.3)
    stated = {} if len(arrays) == 1 else {"state": "post"}
    found = studied("esn.npz", **TANH, leak=0.3, **stated).trajectory.states
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)


@pytest.mark.usefixtures("folder")
def test_whose_inputs_the_data_are_is_said_where_the_file_has_other_layers_too() -> None:
    encoder = {name.replace("rnn", "encoder"): array for name, array in TORCH.items()}
    np.savez("two.npz", **{**encoder, **TORCH})  # type: ignore[arg-type]

    said = [studied(name, **TANH).task_info.description for name in ("net.npz", "two.npz")]

    shape = "x.npy, 9 steps × 2 sequences"
    assert said == [f"inputs from {shape}", f"inputs of 'rnn[0]' from {shape}"]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("shape", [(1, 4), (4,)])
def test_a_psychrnn_network_starts_from_its_own_first_state(shape: tuple[int, ...]) -> None:
    first = np.array([0.5, -1.0, 2.0, 0.25])
    arrays = {"W_rec": W, "W_in": U, "b_rec": b, "W_out": V, "b_out": c}
    np.savez("net.npz", **arrays, init_state=first.reshape(shape))  # type: ignore[arg-type]
    wanted = RNG.normal(size=(9, 2, 2))
    np.save("y.npy", wanted)

    values = {"activation": "relu", "leak": 0.2, "readout": "W_out", "targets": "y.npy"}
    found = studied("net.npz", **values, batch_first=False)

    # PsychRNN's recurrent_timestep and output_timestep, without their noise.
    states, outputs = [np.tile(first, (2, 1))], []
    for x in INPUTS:
        driven = np.maximum(states[-1], 0) @ W.T + x @ U.T + b
        states.append(0.8 * states[-1] + 0.2 * driven)
        outputs.append(np.maximum(states[-1], 0) @ V.T + c)
    np.testing.assert_allclose(found.trajectory.states, states, rtol=0, atol=1e-13)
    assert found.last.error == pytest.approx(np.mean((wanted - outputs) ** 2), rel=1e-12)
    assert ", h_0 from the file" in found.task_info.description

    Path("run.npz").write_bytes(archive_bytes(found))
    again = analyze(prepare({"load": "run.npz"}))
    np.testing.assert_array_equal(again.last.profile.log_norms, found.last.profile.log_norms)
    assert again.task_info.description == found.task_info.description


@pytest.mark.usefixtures("folder")
def test_a_matlab_file_by_its_letters() -> None:
    scipy_io = pytest.importorskip("scipy.io", reason="SciPy writes the file")
    scipy_io.savemat("net.mat", {"Wrec": W, "Win": U, "bias": b[:, None]})
    named = ["W=Wrec", "U=Win", "b=bias"]

    found = studied("net.mat", weight_map=named, activation="tanh", leak=1.0)

    np.testing.assert_allclose(found.trajectory.states, states(vanilla()), rtol=0, atol=1e-14)


@pytest.mark.usefixtures("folder")
def test_the_settings_that_come_out_make_the_same_study_again() -> None:
    first = studied("net.npz", **TANH, readout="fc")
    again = analyze(Settings.from_dict(first.settings.as_dict()))

    assert first.settings.cell is CellName.ELMAN
    assert (first.settings.hidden, first.settings.steps, first.settings.sequences) == (4, 9, 2)
    assert first.settings.layer == "rnn[0]"
    np.testing.assert_array_equal(first.last.profile.log_norms, again.last.profile.log_norms)
    np.testing.assert_allclose(again.trajectory.outputs, again.trajectory.hidden[1:] @ V.T + c)


@pytest.mark.usefixtures("folder")
def test_without_targets_there_is_no_error_and_no_gradient() -> None:
    found = studied("net.npz", **TANH, readout="fc")

    assert found.last.error is None
    assert found.last.gradient is None
    assert found.task_info.baseline is None
    assert found.relative_error is None


@pytest.mark.usefixtures("folder")
def test_with_a_readout_and_targets_error_baseline_and_shares_are_measured() -> None:
    wanted = RNG.normal(size=(9, 2, 2))
    np.save("y.npy", wanted)

    found = studied("net.npz", **TANH, readout="fc", targets="y.npy", shares=True)

    assert found.last.error == pytest.approx(np.mean((found.trajectory.outputs - wanted) ** 2))
    assert found.task_info.baseline is not None
    assert found.task_info.baseline.error == pytest.approx(np.mean(np.var(wanted, axis=(0, 1))))
    assert found.details.shares is not None
    with pytest.raises(SettingError, match="--shares split the gradient"):
        studied("net.npz", **TANH, readout="fc", shares=True)


@pytest.mark.usefixtures("folder")
def test_targets_that_follow_from_the_inputs_at_once_need_no_memory() -> None:
    inputs = RNG.normal(size=(40, 2, 3))
    np.save("x.npy", inputs)
    np.save("y.npy", 3.0 * inputs[..., :1] * np.ones(2) + 1.0)

    found = studied("net.npz", **TANH, readout="fc", targets="y.npy").task_info

    baseline = present(found.baseline)
    assert baseline.error == baseline.memoryless == pytest.approx(0.0, abs=1e-20)
    assert present(baseline.constant) > 1.0


@pytest.mark.usefixtures("folder")
def test_the_required_lag_is_what_was_said_and_nothing_is_fine_on_noise() -> None:
    said = {"weights": "net.npz", **TANH, "steps": 30, "required_lag": 2}
    on_noise, on_data = analyze(settings_of_weights(said)), studied("net.npz", **TANH)

    assert on_noise.last.verdict.required_lag == 2
    assert (on_noise.last.verdict.white_noise, on_data.last.verdict.white_noise) == (True, False)
    assert on_data.last.verdict.required_lag is None
    assert on_noise.last.verdict.reason(ReasonCode.GRADIENT_FINE) is None
    assert answer(on_noise).startswith("On white noise ")
    assert "your task needs 2" in answer(on_noise)


@pytest.mark.usefixtures("folder")
def test_without_data_it_is_white_noise_of_the_stated_scale() -> None:
    values = {"weights": "net.npz", **TANH, "steps": 400, "sequences": 20, "noise_scale": 0.3}

    found = analyze(settings_of_weights(values))

    assert found.trajectory.inputs.std() == pytest.approx(0.3, rel=0.02)
    assert "white noise of scale 0.3" in found.task_info.description
    other = analyze(settings_of_weights({**values, "seed": 1}))
    assert not np.array_equal(found.trajectory.inputs, other.trajectory.inputs)


@pytest.mark.usefixtures("folder")
def test_data_are_inputs_as_they_are_in_any_layout() -> None:
    np.save("batch.npy", INPUTS.swapaxes(0, 1))
    np.save("one.npy", INPUTS[:, 0])
    np.savez("both.npz", x=INPUTS, y=INPUTS[:3])
    table = "\n".join(",".join(map(str, row)) for row in INPUTS[:, 0])
    Path("one.csv").write_text("p,q,r\n" + table + "\n")

    def seen(**values: Any) -> FloatArray:
        return studied("net.npz", **TANH, **values).trajectory.inputs

    np.testing.assert_array_equal(seen(), INPUTS)
    np.testing.assert_array_equal(seen(data="batch.npy", batch_first=True), INPUTS)
    np.testing.assert_array_equal(seen(data="both.npz", column=("x",)), INPUTS)
    np.testing.assert_array_equal(seen(data="one.npy"), INPUTS[:, :1])
    np.testing.assert_array_equal(seen(data="one.csv"), INPUTS[:, :1])
    np.testing.assert_array_equal(
        seen(data="one.csv", column=("r", "q", "p"))[:, 0, 0], INPUTS[:, 0, 2]
    )
    np.testing.assert_array_equal(seen(steps=4, sequences=1), INPUTS[:4, :1])
    scaled = seen(standardise=True)
    np.testing.assert_allclose(scaled.mean(axis=(0, 1)), 0.0, atol=1e-15)
    np.testing.assert_allclose(scaled.std(axis=(0, 1)), 1.0, rtol=1e-12)


@pytest.mark.usefixtures("folder")
def test_a_run_that_gradscope_saved_is_read_with_its_cell_leak_and_state() -> None:
    small = {"hidden": 4, "steps": 6, "updates": 0}
    for values in (
        {"leak": 0.4, "state": "pre", "activation": "sigmoid"},
        {"cell": "gru"},
        {"cell": "lstm"},
    ):
        made = analyze(Settings.from_dict({**small, **values}))
        Path("run.npz").write_bytes(archive_bytes(made))
        np.save("seen.npy", made.trajectory.inputs)

        found = studied("run.npz", data="seen.npy")

        np.testing.assert_array_equal(found.trajectory.states, made.trajectory.states)
        np.testing.assert_allclose(
            found.last.profile.log_norms, made.last.profile.log_norms, rtol=0, atol=1e-9
        )


@pytest.mark.usefixtures("folder")
def test_a_gru_of_unknown_convention_is_asked_about() -> None:
    stack = {"kernel": RNG.normal(size=(3, 12)), "recurrent_kernel": RNG.normal(size=(4, 12))}
    h5py = pytest.importorskip("h5py", reason="h5py writes the file")
    with h5py.File("g.weights.h5", "w") as file:
        for place, array in enumerate(stack.values()):
            file[f"layers/gru/cell/vars/{place}"] = array
    given = {"activation": "tanh", "gate_activation": "sigmoid"}

    for reset_after in (True, False):
        cell = studied("g.weights.h5", **given, reset_after=reset_after).params
        assert isinstance(cell, GruParameters)
        assert cell.reset_after is reset_after
    with pytest.raises(WeightsError, match="--no-reset-after"):
        studied("g.weights.h5", **given)
    with pytest.raises(WeightsError, match=r"\(sigmoid, hard-sigmoid.*--gate-activation NAME"):
        studied("g.weights.h5", activation="tanh", reset_after=True)


LAYERS = {
    f"{name}.weight_{part}_l{depth}{end}": array
    for name in ("enc", "dec")
    for depth in (0, 1)
    for end in ("", "_reverse")
    for part, array in (("hh", W), ("ih", np.ones((4, 3 if depth == 0 else 8))))
}


@pytest.mark.parametrize(
    ("asked", "title"),
    [
        (None, "dec[1]"),
        ("enc", "enc[1]"),
        ("enc:reverse", "enc[1]_reverse"),
        ("enc[0]", "enc[0]"),
        ("enc[0]:reverse", "enc[0]_reverse"),
        ("dec[1]_reverse", "dec[1]_reverse"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_a_layer_is_named_by_place_name_and_direction(asked: str | None, title: str) -> None:
    np.savez("several.npz", **LAYERS)  # type: ignore[arg-type]

    assert studied("several.npz", **TANH, layer=asked).settings.layer == title


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "for 'rnn\\[0\\]' the file does not state the activation"),
        (
            {**TANH, "weights": "leaky.npz", "leak": 0.5},
            "--leak contradicts the file: it says 'leak = 0.2'",
        ),
        ({**TANH, "cell": "gru"}, "--cell is gru, but 'rnn\\[0\\]'"),
        ({**TANH, "hidden": 9}, "--hidden is 9, but 'rnn\\[0\\]'"),
        ({**TANH, "updates": 5}, "--updates is 5, but net.npz is not trained"),
        ({**TANH, "input_scale": 2.0}, "--input-scale is for a randomly initialized network"),
        ({**TANH, "optimizer": "sgd"}, "--optimizer is for a randomly initialized network"),
        ({**TANH, "clip_norm": 1.0}, "--clip-norm is for a randomly initialized network"),
        ({**TANH, "noise_scale": 3.0}, "--noise-scale is 3.0, but the inputs come from x.npy"),
        ({**TANH, "reset_after": True}, "--reset-after is for a GRU, but 'rnn\\[0\\]' is an RNN"),
        ({**TANH, "gate_activation": "sigmoid"}, "is for gated cells, but 'rnn\\[0\\]' is an RNN"),
        ({"weights": "gru.npz", "reset_after": False}, "--no-reset-after contradicts the file"),
        ({**TANH, "layer": "1"}, "--layer '1' is not one of the layers"),
        ({**TANH, "layer": "0:reverse"}, "--layer '0:reverse' is not one of the layers"),
        ({**TANH, "readout": "head"}, "choose one of 'fc'"),
        ({**TANH, "targets": "y.npy"}, "without --readout NAME"),
        ({**TANH, "steps": 10}, "--steps is 10, but x.npy has 9"),
        ({**TANH, "data": "wide.npy"}, "wide.npy has 5 inputs per step, but 'rnn\\[0\\]'"),
        (
            {**TANH, "data": "nan.npy"},
            "nan.npy at \\[1, 0, 2\\]: the value is missing \\(1 in all\\)",
        ),
        ({**TANH, "data": "flat.npy"}, "flat.npy holds an array of shape \\(9,\\)"),
        ({**TANH, "data": "text.npy"}, "save real numbers"),
        ({**TANH, "weights": "cell.npz"}, "name the weights: --weight-map W=h2h"),
        ({**TANH, "weight_map": ["W=rnn.weight_hh"]}, "the mapping has no U"),
        ({**TANH, "weight_map": ["W=rnn.weight_hh_0", "U=x"]}, "did you mean"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_what_does_not_fit_is_refused(values: dict[str, Any], words: str) -> None:
    np.save("wide.npy", np.ones((9, 2, 5)))
    broken = INPUTS.copy()
    broken[1, 0, 2] = np.nan
    np.save("nan.npy", broken)
    np.save("flat.npy", np.ones(9))
    np.save("text.npy", np.array([["a"]]))
    thrice = {name: np.tile(TORCH[name], (3, 1)) for name in list(TORCH)[:2]}
    biases = {f"rnn.bias_{which}_l0": np.zeros(12) for which in ("ih", "hh")}
    np.savez("leaky.npz", W_rec=W, W_in=U, b_rec=b, alpha=0.2)
    np.savez("gru.npz", **thrice, **biases)  # type: ignore[arg-type]

    with pytest.raises(GradscopeError, match=words) as raised:
        studied(values.pop("weights", "net.npz"), **values)

    assert "\n" not in str(raised.value)


@pytest.mark.usefixtures("folder")
def test_given_networks_are_not_compared_and_need_their_file() -> None:
    settings = studied("net.npz", **TANH).settings
    with pytest.raises(SettingError, match="is given, not drawn; compare it with others"):
        compare(settings)
    with pytest.raises(SettingError, match="--readout is for a network from a weight file"):
        Settings(readout="fc")
    np.savez("net.npz", **{**TORCH, "rnn.weight_hh_l0": np.eye(3), "rnn.weight_ih_l0": U[:3]})  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="--hidden is 4, but 'rnn"):
        analyze(settings)
    np.save("x.npy", INPUTS[:3])
    np.savez("net.npz", **TORCH)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="--steps is 9, but x\\.npy has 3 steps"):
        analyze(settings)
