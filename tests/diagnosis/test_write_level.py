"""The write level is the norm of ∂⁺s/∂θ over that with every slope at its ceiling."""

from dataclasses import replace

import numpy as np
import pytest

from gradscope.arrays import FloatArray
from gradscope.diagnosis.reasons import Reason, ReasonCode
from gradscope.diagnosis.write_level import Writing, write_level
from gradscope.model.activations import ACTIVATIONS
from gradscope.model.cells import Cell
from gradscope.model.elman import ElmanParameters
from gradscope.model.gru import GruParameters
from gradscope.model.lstm import LstmParameters
from gradscope.model.trajectory import Trajectory, unroll
from gradscope.names import ActivationName, StateName
from tests.drawn_cells import HIDDEN, INPUTS, KINDS, drawn

NO_READOUT = (np.zeros((0, 1)), np.zeros(0))


def sigmoid(a: float) -> float:
    return float(1.0 / (1.0 + np.exp(-a)))


def sigmoid_slope(a: float) -> float:
    return sigmoid(a) * sigmoid(-a)


def tanh_slope(a: float) -> float:
    return float(1.0 / np.cosh(a) ** 2)


def held(bias: list[float], kind: str) -> tuple[Cell, Trajectory]:
    """Return a cell of one unit whose pre-activations are its biases at all steps but for W."""
    blocks, u, w = len(bias), np.zeros((len(bias), 1)), np.zeros((len(bias), 1))
    cell: Cell
    if kind == "lstm":
        cell = LstmParameters(u, w, np.array(bias), *NO_READOUT)
    elif kind == "gru":
        cell = GruParameters(u[:3], w[:3], np.array(bias[:3]), *NO_READOUT, np.array(bias[3:]))
    else:
        assert blocks == 1
        name = ActivationName.SIGMOID if kind == "sigmoid" else ActivationName.TANH
        state = StateName.PRE if kind == "pre" else StateName.POST
        leak = 0.3 if kind == "leaky" else 1.0
        cell = ElmanParameters(
            u, w, np.array(bias), *NO_READOUT, ACTIVATIONS[name], leak=leak, state=state
        )
    return cell, unroll(cell, np.ones((4, 2, 1)))


@pytest.mark.parametrize(
    ("kind", "slope"),
    [
        ("tanh", tanh_slope(1.5)),
        ("leaky", tanh_slope(1.5)),
        ("pre", tanh_slope(1.5)),
        ("sigmoid", 4.0 * sigmoid_slope(1.5)),
    ],
)
def test_of_one_unit_it_is_the_slope_over_its_ceiling(kind: str, slope: float) -> None:
    found = write_level(*held([1.5], kind))

    assert found.level == pytest.approx(slope, rel=1e-12)
    assert found.by_block == pytest.approx(
        dict.fromkeys(("input_weights", "recurrent_weights", "hidden_bias"), slope), rel=1e-12
    )


def test_of_an_lstm_it_is_the_closed_form() -> None:
    i, f, g, o = bias = [0.5, -1.0, 2.0, 1.5]
    cells = [0.0]
    for _ in range(4):
        cells.append(sigmoid(f) * cells[-1] + sigmoid(i) * np.tanh(g))

    def size(step: int, gate: float | None, candidate: float | None) -> float:
        def slope(a: float) -> float:
            return sigmoid_slope(a) if gate is None else gate

        def phi(a: float) -> float:
            return tanh_slope(a) if candidate is None else candidate

        before, after = cells[step - 1], cells[step]
        to_cell = (
            np.tanh(g) * slope(i),
            before * slope(f),
            sigmoid(i) * phi(g),
        )
        shown = sigmoid(o) * phi(after)
        return float(
            np.hypot(np.linalg.norm(to_cell) * np.hypot(1.0, shown), np.tanh(after) * slope(o))
        )

    wanted = np.median([size(t, None, None) / size(t, 0.25, 1.0) for t in range(1, 5)])

    assert write_level(*held(bias, "lstm")).level == pytest.approx(wanted, rel=1e-12)


def test_of_a_gru_each_block_counts_what_it_feeds() -> None:
    r, z, n, inner = bias = [0.5, -1.0, 2.0, 1.2]
    cell, trajectory = held(bias, "gru")
    entering = n + sigmoid(r) * inner
    ratios: dict[str, list[float]] = {"input_weights": [], "recurrent_weights": []}
    for before in trajectory.states[:-1, 0, 0]:
        sizes = []
        for gate, phi in (
            ((sigmoid_slope(r), sigmoid_slope(z)), tanh_slope(entering)),
            ((0.25, 0.25), 1.0),
        ):
            candidate = sigmoid(-z) * phi
            to_reset = candidate * inner * gate[0]
            to_update = (before - np.tanh(entering)) * gate[1]
            sizes.append((to_reset, to_update, candidate, candidate * sigmoid(r)))
        open_, most = (np.array(each) for each in sizes)
        for name, last in (("input_weights", 2), ("recurrent_weights", 3)):
            fed = [0, 1, last]
            ratios[name].append(float(np.linalg.norm(open_[fed]) / np.linalg.norm(most[fed])))

    found = write_level(cell, trajectory).by_block

    for name, each in ratios.items():
        assert found[name] == pytest.approx(np.median(each), rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_what_a_unit_row_takes_back(kind: str) -> None:
    cell, inputs, first, _ = drawn(kind)
    trajectory = unroll(cell, inputs, first)
    linearization = cell.linearize(trajectory.cell_trajectory)
    rows = np.repeat(np.eye(cell.state_size)[None], inputs.shape[1], axis=0)

    for t in range(inputs.shape[0]):
        local = np.empty((*rows.shape[:2], linearization.local_size))
        entering = rows
        if "pre" in kind:  # No weight sees the state before φ.
            entering = rows * cell.activation.slope(trajectory.states[t + 1])[:, None]
        linearization.vjp(entering, (t, slice(None), None), local)
        np.testing.assert_allclose(
            np.abs(linearization.written[t]), np.linalg.norm(local, axis=1), rtol=1e-12, atol=1e-300
        )


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_at_rest_writes_freely(kind: str) -> None:
    cell = KINDS[kind](np.random.default_rng(0))
    nothing = cell.with_weights({name: 0.0 * array for name, array in cell.weights()})

    found = write_level(nothing, unroll(nothing, np.zeros((5, 2, INPUTS))))

    assert found.level == 1.0
    assert found.reasons == ()


def codes(found: Writing) -> list[ReasonCode]:
    return [each.code for each in found.reasons]


def reason(found: Writing, code: ReasonCode) -> Reason:
    return next(each for each in found.reasons if each.code is code)


def test_units_that_are_never_active_are_counted_and_alone_do_no_harm() -> None:
    bias = np.array([-50.0, -50.0, 1.0, 1.0, 1.0])
    cell = ElmanParameters(
        np.ones((HIDDEN, 1)),
        np.zeros((HIDDEN, HIDDEN)),
        bias,
        np.zeros((0, HIDDEN)),
        np.zeros(0),
        ACTIVATIONS[ActivationName.RELU],
    )

    found = write_level(cell, unroll(cell, np.zeros((6, 2, 1))))

    assert reason(found, ReasonCode.UNITS_DEAD).numbers == {"units": 2, "of": 5}
    assert codes(found) == [ReasonCode.UNITS_DEAD]
    assert not found.hindered
    assert found.level == pytest.approx(np.sqrt(3 / 5))


def test_saturation_is_named_with_its_side() -> None:
    found = write_level(*held([-9.0, 9.0, -9.0, 9.0], "lstm"))

    of_gates = found.reasons[1].numbers
    assert codes(found)[:3] == [ReasonCode.NOTHING_WRITTEN, *[ReasonCode.UNITS_SATURATED] * 2]
    assert of_gates == {"of": "gates", "fraction": 1.0, "low": pytest.approx(1 / 3)}
    assert found.hindered


def scaled(inputs: FloatArray, columns: tuple[str, ...] | None = ()) -> Writing:
    rng = np.random.default_rng(1)
    cell = ElmanParameters(
        0.1 * rng.normal(size=(8, 3)), np.zeros((8, 8)), np.zeros(8), np.zeros((0, 8)), np.zeros(0)
    )
    return write_level(cell, unroll(cell, inputs), columns)


def test_the_worst_of_unscaled_inputs_is_named() -> None:
    rng = np.random.default_rng(2)
    inputs = rng.normal(size=(40, 3, 3)) * [1.0, 2.0, 1.0] + [0.0, 50.0, 0.0]

    numbers = reason(scaled(inputs, ("a", "b", "c")), ReasonCode.INPUTS_UNSCALED).numbers

    assert (numbers["column"], numbers["name"]) == (2, "b")
    assert numbers["mean"] == pytest.approx(50.0, abs=0.5)
    assert numbers["standard_deviation"] == pytest.approx(2.0, abs=0.3)
    assert (
        reason(scaled(1e-3 * inputs / 50), ReasonCode.INPUTS_UNSCALED).numbers.get("name") is None
    )


def test_inputs_of_unit_scale_and_the_states_of_another_layer_are_not() -> None:
    rng = np.random.default_rng(2)
    inputs = rng.normal(size=(40, 3, 3))

    assert ReasonCode.INPUTS_UNSCALED not in codes(scaled(inputs))
    assert ReasonCode.INPUTS_UNSCALED not in codes(scaled(0.0 * inputs))
    assert ReasonCode.INPUTS_UNSCALED not in codes(scaled(1e4 * inputs, None))


def test_a_relu_net_that_is_active_half_the_time_is_not_saturated() -> None:
    cell = drawn("vanilla")[0].with_weights(
        {name: array - 0.3 for name, array in drawn("vanilla")[0].weights()}
    )
    rectified = replace(cell, activation=ACTIVATIONS[ActivationName.RELU])  # type: ignore[call-arg]
    trajectory = unroll(rectified, drawn("vanilla", n_steps=50)[1])

    assert 0.5 < np.mean(trajectory.slopes == 0.0) < 0.9
    assert ReasonCode.UNITS_SATURATED not in codes(write_level(rectified, trajectory))


def test_the_name_of_an_array_is_not_taken_for_that_of_a_column() -> None:
    inputs = np.random.default_rng(2).normal(size=(40, 3, 3)) * 100.0

    assert "name" not in reason(scaled(inputs, ("x",)), ReasonCode.INPUTS_UNSCALED).numbers


@pytest.mark.parametrize(("name", "named"), [("tanh", True), ("identity", False)])
def test_large_input_weights_are_named_where_they_saturate(name: str, named: bool) -> None:
    rng = np.random.default_rng(5)
    cell = ElmanParameters(
        30.0 * rng.normal(size=(8, 3)),
        np.zeros((8, 8)),
        np.zeros(8),
        np.zeros((0, 8)),
        np.zeros(0),
        ACTIVATIONS[ActivationName(name)],
    )

    found = write_level(cell, unroll(cell, rng.normal(size=(40, 3, 3))))

    assert (ReasonCode.INPUTS_UNSCALED in codes(found)) is named
