"""A neuroscientist's files: a leaky network under names of its own, trials as they were saved.

What is expected is computed here, step by step, from the equations of the literature.
"""

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradscope.analysis.analyze import analyze
from gradscope.analysis.imported.resolve import settings_of_weights
from gradscope.analysis.inspect import inspect
from gradscope.analysis.results import Analysis
from gradscope.arrays import FloatArray
from gradscope.errors import WeightsError
from gradscope.report.documents.analysis import analysis_document
from gradscope.report.documents.inspection import inspection_document
from gradscope.report.screen import Screen
from gradscope.report.terminal.inspection import inspection_page
from gradscope.report.words.headline import describe

RNG = np.random.default_rng(3)
H, D, T, B = 5, 2, 6, 9
ARRAYS: dict[str, FloatArray] = {
    "J": 0.6 * RNG.normal(size=(H, H)),
    "B": RNG.normal(size=(H, D)),
    "bias": RNG.normal(size=H),
    "x0": 2.0 * RNG.normal(size=H),
    "wOut": RNG.normal(size=(H, 3)),
}
MAP = ("W=J", "U=B", "b=bias")
TRIALS = RNG.normal(size=(T, B, D))
TANH = {"activation": "tanh"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("trials.npy", TRIALS)


def studied(arrays: dict[str, Any], **values: Any) -> Analysis:
    np.savez("net.npz", **arrays)
    given = {"weights": "net.npz", "data": "trials.npy", **TANH, **values}
    return analyze(settings_of_weights(given))


def trajectory(form: str, alpha: float, first: FloatArray, inputs: FloatArray) -> FloatArray:
    """Return the states (T+1,B,H): of Song et al. 2016 (pre), of an echo state network (post)."""
    states = [np.tile(first, (inputs.shape[1], 1))]
    for x in inputs:
        h, driven = states[-1], x @ ARRAYS["B"].T + ARRAYS["bias"]
        if form == "pre":
            new = np.tanh(h) @ ARRAYS["J"].T + driven
        else:
            new = np.tanh(h @ ARRAYS["J"].T + driven)
        states.append((1.0 - alpha) * h + alpha * new)
    return np.array(states)


@pytest.mark.parametrize("form", ["pre", "post"])
@pytest.mark.parametrize(
    ("pair", "first"),
    [
        (("h0=x0",), ARRAYS["x0"]),
        (("h0=x0 / 2 - bias",), ARRAYS["x0"] / 2 - ARRAYS["bias"]),
        ((), np.zeros(H)),
    ],
)
def test_a_mapped_network_starts_where_its_author_says(
    form: str, pair: tuple[str, ...], first: FloatArray
) -> None:
    found = studied(ARRAYS, weight_map=(*MAP, *pair), leak=0.2, state=form)

    expected = trajectory(form, 0.2, first, TRIALS)
    np.testing.assert_allclose(found.trajectory.states, expected, rtol=0, atol=1e-13)
    document = analysis_document(found)
    assert document["network"]["initial_state"] == ("file" if pair else "zeros")
    assert ("h_0 from the file" in found.task_info.description) == bool(pair)
    assert ("h_0 = 0 (or --weight-map h0='x0')" in found.task_info.description) == (not pair)
    assert found.task_info.description in describe(found.settings, found)


@pytest.mark.parametrize("name", ["h0", "h_0", "init_state", "initial_state", "net.x0", "r_init"])
def test_a_first_state_is_part_of_what_is_suggested_for_a_hand_written_cell(name: str) -> None:
    arrays = {name if key == "x0" else key: array for key, array in ARRAYS.items()}
    np.savez("net.npz", **arrays)  # type: ignore[arg-type]

    with pytest.raises(WeightsError) as refused:
        analyze(settings_of_weights({"weights": "net.npz", **TANH}))

    assert f"h0={name}" in shlex.split(str(refused.value))
    assert f"--weight-map h0={name}" in page(())
    inspected = inspect(Path("net.npz"), (*MAP, f"h0={name}"))
    assert inspection_document(inspected)["layers"][0]["initial_state"] is True
    assert inspection_document(inspect(Path("net.npz"), MAP))["layers"][0]["initial_state"] is False
    assert name in page(MAP)


@pytest.mark.parametrize(
    "names", [("W_rec", "W_in", "b_rec"), ("recurrent_weights", "input_weights")]
)
def test_a_first_state_beside_known_names_is_used_and_two_are_asked_about(
    names: tuple[str, ...],
) -> None:
    arrays = dict(zip(names, (ARRAYS["J"], ARRAYS["B"], ARRAYS["bias"]), strict=False))
    arrays["h0"] = ARRAYS["x0"]

    found = studied(arrays, leak=0.2)

    np.testing.assert_array_equal(found.trajectory.states[0, 0], ARRAYS["x0"])
    with pytest.raises(WeightsError, match="'h0', 'x0'"):
        studied({**arrays, "x0": ARRAYS["x0"]}, leak=0.2)


@pytest.mark.parametrize(
    ("arrays", "asked"),
    [({}, {"leak": 0.2}), ({"alpha": 0.2}, {}), ({}, {"dt": 0.02, "tau": 0.1})],
)
def test_whether_a_leaky_state_is_before_phi_is_asked(
    arrays: dict[str, Any], asked: dict[str, Any]
) -> None:
    with pytest.raises(WeightsError, match="--state pre / --state post"):
        studied({**ARRAYS, **arrays}, weight_map=MAP, **asked)

    unknown = inspection_document(inspect(Path("net.npz"), MAP))
    assert "state" in unknown["layers"][0]["unknown"]
    assert unknown["layers"][0]["state"] is None
    assert unknown["command"].endswith("--state pre / --state post")
    torch = {"weight_hh_l0": ARRAYS["J"], "weight_ih_l0": ARRAYS["B"]}
    with pytest.raises(WeightsError, match="--state pre / --state post"):
        studied({**torch, **arrays}, leak=0.2)


def test_without_a_leak_the_state_is_the_usual_one_and_the_page_says_which() -> None:
    asked = {"weight_map": MAP, "leak": 1.0}
    after, before = studied(ARRAYS, **asked), studied(ARRAYS, **asked, state="pre")

    expected = trajectory("post", 1.0, np.zeros(H), TRIALS)
    np.testing.assert_allclose(after.trajectory.states, expected, rtol=0, atol=1e-13)
    expected = trajectory("pre", 1.0, np.zeros(H), TRIALS)
    np.testing.assert_allclose(before.trajectory.states, expected, rtol=0, atol=1e-13)
    assert "state after φ" in describe(after.settings, after)
    assert "state before φ" in describe(before.settings, before)
    studied({**ARRAYS, "alpha": 1.0}, weight_map=MAP)
    told = inspection_document(inspect(Path("net.npz"), MAP))["layers"][0]
    assert (told["state"], *told["unknown"]) == ("post", "activation")


def test_which_axis_of_the_trials_is_time_is_said() -> None:
    asked = {"weight_map": MAP, "leak": 1.0}
    found = studied(ARRAYS, **asked)

    for said in (found.task_info.description, str(analysis_document(found))):
        assert f"{T} steps × {B} sequences" in said
        assert "--batch-first" in said
    np.save("trials.npy", TRIALS.swapaxes(0, 1))
    turned = studied(ARRAYS, **asked, batch_first=True)
    np.testing.assert_array_equal(turned.trajectory.states, found.trajectory.states)
    assert f"{T} steps × {B} sequences" in turned.task_info.description
    assert "--batch-first" not in turned.task_info.description
    long = studied(ARRAYS, **asked)
    assert f"{B} steps × {T} sequences" in long.task_info.description
    assert "--batch-first" not in long.task_info.description
    np.save("trials.npy", TRIALS[:, 0])
    assert "sequences" not in studied(ARRAYS, **asked).task_info.description


def test_psychrnn_has_the_trials_first() -> None:
    names = {"W_rec": ARRAYS["J"], "W_in": ARRAYS["B"], "b_rec": ARRAYS["bias"]}
    np.save("trials.npy", TRIALS.swapaxes(0, 1))

    found = studied(names, leak=0.2)

    expected = trajectory("pre", 0.2, np.zeros(H), TRIALS)
    np.testing.assert_allclose(found.trajectory.states, expected, rtol=0, atol=1e-13)
    assert found.settings.batch_first
    assert "--no-batch-first" in found.task_info.description
    assert "--no-batch-first" in page(())
    again = analyze(found.settings)
    np.testing.assert_array_equal(again.trajectory.states, found.trajectory.states)
    overridden = studied(names, leak=0.2, batch_first=False)
    assert overridden.trajectory.inputs.shape == (B, T, D)
    assert "--no-batch-first" not in overridden.task_info.description


def test_time_constants_that_look_like_milliseconds_are_said() -> None:
    asked = {"weight_map": MAP, "state": "pre"}
    found = studied({**ARRAYS, "dt": 20.0, "tau": 100.0}, **asked)
    meant = studied({**ARRAYS, "dt": 20.0, "tau": 100.0}, **asked, dt=0.02, tau=0.1)

    said = describe(found.settings, found)
    assert "τ = 100 s" in said
    assert "--dt 0.02 --tau 0.1" in said
    assert "--dt 0.02 --tau 0.1" in page(MAP)
    assert "--tau" not in describe(meant.settings, meant)
    rates, seconds = found.last.rate_per, meant.last.rate_per
    assert seconds["time_constant"] == pytest.approx(rates["time_constant"], rel=1e-12)
    assert seconds["second"] == pytest.approx(1000.0 * rates["second"], rel=1e-12)
    units = studied(ARRAYS, **asked, dt=20.0, tau=np.linspace(50.0, 250.0, H).tolist())
    assert "--tau 0.05 … 0.25" in describe(units.settings, units)


def test_inspect_says_the_time_scales_and_the_embedding_that_it_found() -> None:
    vectors = RNG.normal(size=(30, D))
    np.savez("net.npz", **ARRAYS, alpha=0.2, **{"emb.weight": vectors})  # type: ignore[arg-type]

    assert "α = 0.2" in page(MAP)
    assert "'emb.weight'" in page(MAP)
    np.savez("net.npz", **ARRAYS, dt=0.02, taus=np.full(H, 0.1))  # type: ignore[arg-type]
    assert "dt = 0.02, τ = 0.1" in page(MAP)
    told = inspection_document(inspect(Path("net.npz"), MAP))["layers"][0]
    assert (told["dt"], told["tau"]) == (0.02, 0.1)


@pytest.mark.parametrize("asked", ["wOut", "wOut.T"])
def test_a_mapped_readout_has_the_name_of_its_array(asked: str) -> None:
    mapped = (*MAP, "h0=x0", "V=wOut.T")

    found = studied(ARRAYS, weight_map=mapped, leak=0.2, state="pre", readout=asked)

    outputs = np.tanh(found.trajectory.states[1:]) @ ARRAYS["wOut"]
    np.testing.assert_allclose(found.trajectory.outputs, outputs, rtol=0, atol=1e-13)
    (readout,) = inspection_document(inspect(Path("net.npz"), mapped))["readouts"]
    assert readout["name"] == "wOut"


def test_a_readout_is_named_by_its_unique_ending() -> None:
    torch = {"m.rnn.weight_hh_l0": ARRAYS["J"], "m.rnn.weight_ih_l0": ARRAYS["B"]}
    torch["m.fc.weight"] = ARRAYS["wOut"].T

    found = studied(torch, readout="fc")

    expected = found.trajectory.states[1:] @ ARRAYS["wOut"]
    np.testing.assert_allclose(found.trajectory.outputs, expected, rtol=0, atol=1e-13)
    with pytest.raises(WeightsError, match=r"choose one of 'm\.fc', 'n\.fc'"):
        studied({**torch, "n.fc.weight": ARRAYS["wOut"].T}, readout="fc")
    for part in ("c", ""):
        with pytest.raises(WeightsError, match=r"choose one of 'm\.fc'"):
            studied(torch, readout=part)


def test_a_name_of_a_file_reaches_a_message_quoted() -> None:
    name = "\x1b[31m\u202e"
    torch = {f"{name}.weight_hh_l0": ARRAYS["J"], f"{name}.weight_ih_l0": ARRAYS["B"]}

    for values in ({"cell": "gru"}, {"hidden": 9}, {"readout": "z"}, {"leak": 0.2}):
        with pytest.raises(Exception, match="x1b") as refused:
            studied({**torch, f"{name}.fc.weight": ARRAYS["wOut"].T}, **values)
        assert str(refused.value).isprintable()


def page(mapping: tuple[str, ...]) -> str:
    """Return the page of ``inspect``, unwrapped."""
    from rich.console import Console

    console = Console(width=1000)
    with console.capture() as captured:
        console.print(inspection_page(inspect(Path("net.npz"), mapping), Screen(1000)))
    return captured.get()
