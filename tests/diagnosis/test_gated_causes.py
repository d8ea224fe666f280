"""The causes of a gated cell add up to what was measured, and name what was done to it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradscope.arrays import FloatArray
from gradscope.diagnosis.causes import Causes, GatedCauses, causes, cell_causes
from gradscope.errors import SettingError
from gradscope.jacobians.cell_chain import CellChain
from gradscope.jacobians.chain import elman_chain
from gradscope.model.activations import ACTIVATIONS
from gradscope.model.cells import Cell
from gradscope.model.elman import ElmanParameters
from gradscope.model.gru import GruParameters
from gradscope.model.lstm import LstmParameters
from gradscope.model.trajectory import unroll
from gradscope.names import ActivationName, StateName
from tests.drawn_cells import HIDDEN, INPUTS, KINDS, OUTPUTS, drawn, elman

GATED = ("gru", "gru, reset before", "lstm")
WIDE = 40.0


def causes_of(
    cell: Cell, inputs: FloatArray, first: FloatArray | None = None
) -> Causes | GatedCauses:
    return cell_causes(CellChain(cell.linearize(unroll(cell, inputs, first).cell_trajectory)))


def sum_of_terms(found: Causes | GatedCauses) -> FloatArray:
    names = [name for name in found.__slots__ if name not in ("lags", "total")]
    summed: FloatArray = np.sum([getattr(found, name) for name in names], axis=0)
    return summed


def gated_at(kind: str, biases: tuple[float, ...], weight: float = 0.0) -> Cell:
    """Return a gated cell whose gates stand where their biases put them, W_n or W_g set alone."""
    blocks = len(biases)
    recurrent = np.zeros((blocks * HIDDEN, HIDDEN))
    recurrent[2 * HIDDEN : 3 * HIDDEN] = weight * np.eye(HIDDEN)
    made = GruParameters if kind == "gru" else LstmParameters
    return made(
        input_weights=np.zeros((blocks * HIDDEN, INPUTS)),
        recurrent_weights=recurrent,
        hidden_bias=np.repeat(biases, HIDDEN),
        output_weights=np.zeros((OUTPUTS, HIDDEN)),
        output_bias=np.zeros(OUTPUTS),
    )


QUIET = np.zeros((6, 2, INPUTS))


@settings(max_examples=30)
@given(kind=st.sampled_from(list(KINDS)), seed=st.integers(0, 2**32 - 1))
def test_the_terms_add_up_to_the_measured_norm(kind: str, seed: int) -> None:
    cell, inputs, first, _ = drawn(kind, n_steps=9, seed=seed)

    found = causes_of(cell, inputs, first)

    assert isinstance(found, GatedCauses if kind in GATED else Causes)
    np.testing.assert_allclose(sum_of_terms(found), found.total, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", ["vanilla", "sigmoid", "leaky"])
def test_where_both_apply_they_are_the_causes_of_the_elman_chain(kind: str) -> None:
    cell, inputs, first, _ = drawn(kind, n_steps=9)
    assert isinstance(cell, ElmanParameters)
    wanted = causes(elman_chain(cell, unroll(cell, inputs, first)))

    found = causes_of(cell, inputs, first)

    for name in ("weights", "slope_ceiling", "misalignment", "saturation", "total"):
        np.testing.assert_allclose(getattr(found, name), getattr(wanted, name), atol=1e-9)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in GATED])
def test_without_a_leak_misalignment_and_saturation_only_take(kind: str) -> None:
    cell, inputs, first, _ = drawn(kind, n_steps=9)

    found = causes_of(cell, inputs, first)

    assert isinstance(found, Causes)
    assert found.misalignment.max() <= 1e-9
    if "leak" not in kind:
        assert found.saturation.max() <= 1e-9


def test_without_weights_a_gru_has_its_update_gate_alone() -> None:
    found = causes_of(gated_at("gru", (0.0, np.log(3.0), 0.0)), QUIET)

    assert isinstance(found, GatedCauses)
    np.testing.assert_allclose(found.direct[:, 0], np.log(0.75) * np.arange(1, 7), rtol=1e-12)
    for term in (
        found.recurrent_weights,
        found.candidate_saturation,
        found.closed_gates,
        found.gate_slopes,
    ):
        np.testing.assert_allclose(term, 0.0, atol=1e-12)


def test_a_saturated_candidate_costs_saturation() -> None:
    # z = ½, W_n = 1, reset open; at a_n = 2 φ′ is 0.0707.
    flat, live = (gated_at("gru", (WIDE, 0.0, bias), 1.0) for bias in (2.0, 0.0))

    at_flat_ends, in_the_middle = causes_of(flat, QUIET), causes_of(live, QUIET)

    assert isinstance(at_flat_ends, GatedCauses)
    np.testing.assert_allclose(at_flat_ends.direct[-1], 6 * np.log(0.5), rtol=1e-12)
    np.testing.assert_allclose(at_flat_ends.recurrent_weights[-1], 6 * np.log(2.0), rtol=1e-12)
    slope = 1.0 / np.cosh(2.0) ** 2
    first = causes_of(flat, QUIET[:1])
    assert isinstance(first, GatedCauses)
    assert isinstance(in_the_middle, GatedCauses)
    np.testing.assert_allclose(first.candidate_saturation[0], np.log(0.5 + 0.5 * slope), rtol=1e-12)
    np.testing.assert_allclose(in_the_middle.candidate_saturation, 0.0, atol=1e-12)


@pytest.mark.parametrize(("kind", "closed"), [("gru", (-2.0, 0.0, 0.0)), ("lstm", (-2.0, 0, 0, 0))])
def test_a_closed_gate_costs_gates(kind: str, closed: tuple[float, ...]) -> None:
    opened = (WIDE, *closed[1:])

    shut = causes_of(gated_at(kind, closed, 1.0), QUIET)
    wide = causes_of(gated_at(kind, opened, 1.0), QUIET)

    assert isinstance(shut, GatedCauses)
    assert isinstance(wide, GatedCauses)
    assert shut.closed_gates[-1].max() < -1.0
    np.testing.assert_allclose(wide.closed_gates, 0.0, atol=1e-12)


def scalar(kind: str, biases: tuple[float, ...], weight: float) -> Cell:
    """Return a gated cell of one unit, W_n or W_g its only recurrent weight."""
    blocks = len(biases)
    recurrent = np.zeros((blocks, 1))
    recurrent[2] = weight
    shared = np.zeros((blocks, 1)), recurrent, np.array(biases), np.zeros((1, 1)), np.zeros(1)
    if kind == "lstm":
        return LstmParameters(*shared)
    return GruParameters(*shared, np.zeros(1) if kind == "gru" else None)


def first_step(cell: Cell) -> dict[str, float]:
    found = causes_of(cell, np.zeros((1, 1, 1)))
    assert isinstance(found, GatedCauses)
    names = ("direct", "recurrent_weights", "candidate_saturation", "closed_gates", "gate_slopes")
    return {name: float(getattr(found, name)[0, 0]) for name in names}


def logs_of(stages: list[float]) -> list[float]:
    return [float(each) for each in np.diff(np.log([1.0, *stages]))]


@pytest.mark.parametrize("kind", ["gru", "gru, reset before"])
def test_every_term_of_one_gru_unit_by_hand(kind: str) -> None:
    r, z, a, w = 0.3, 0.6, 0.8, 1.7
    slope = 1.0 / np.cosh(a) ** 2
    biases = (np.log(r / (1 - r)), np.log(z / (1 - z)), a)

    found = first_step(scalar(kind, biases, w))

    passed = [0.0, w, slope * w, slope * r * w, slope * r * w]
    wanted = logs_of([z + (1 - z) * each for each in passed])
    np.testing.assert_allclose(list(found.values()), wanted, rtol=1e-12, atol=1e-14)


def test_every_term_of_one_lstm_unit_by_hand() -> None:
    i, f, a, o, w = 0.3, 0.6, 0.8, 0.9, 1.7
    slope, c = 1.0 / np.cosh(a) ** 2, i * np.tanh(a)
    biases = (np.log(i / (1 - i)), np.log(f / (1 - f)), a, np.log(o / (1 - o)))

    found = first_step(scalar("lstm", biases, w))

    # J has the rank one: it sees v = (∂c/∂h, f) and shows what comes of it as (q, 1).
    by_h = i * slope * w
    along_h, along_c = np.array([by_h, f]) / np.hypot(by_h, f)
    shown = np.hypot(o / np.cosh(c) ** 2, 1.0)
    passed = [0.0, w, slope * w, by_h, by_h]
    wanted = logs_of([shown * (f * along_c + each * along_h) for each in passed])
    np.testing.assert_allclose(list(found.values()), wanted, rtol=1e-12, atol=1e-14)


def test_an_lstm_with_its_forget_gate_half_shut_loses_by_it() -> None:
    found = causes_of(gated_at("lstm", (0.0, 0.0, 0.0, 0.0), 0.0), QUIET)

    assert isinstance(found, GatedCauses)
    # The last step shows c in h as well: (½, 1) instead of 1.
    wanted = np.log(0.5) * np.arange(1, 7) + 0.5 * np.log(1.25)
    np.testing.assert_allclose(found.direct[:, 0], wanted, rtol=1e-12)
    np.testing.assert_allclose(found.total, found.direct, rtol=1e-12)


def test_a_gate_closed_to_the_last_bit_passes_its_share_to_the_weights() -> None:
    found = causes_of(gated_at("gru", (WIDE, -800.0, 0.0), 0.5), QUIET)

    assert isinstance(found, GatedCauses)
    np.testing.assert_array_equal(found.direct, 0.0)
    np.testing.assert_allclose(found.recurrent_weights[-1], 6 * np.log(0.5), rtol=1e-12)
    np.testing.assert_allclose(sum_of_terms(found), found.total, rtol=1e-12)


@pytest.mark.parametrize("closed", [-360.0, -380.0, -400.0, -500.0])
def test_a_gate_so_far_closed_that_squares_underflow_keeps_what_it_keeps(closed: float) -> None:
    found = causes_of(gated_at("gru", (0.0, closed, 0.0), 0.0), QUIET)

    assert isinstance(found, GatedCauses)
    np.testing.assert_allclose(found.direct[-1], found.lags[-1] * closed, rtol=1e-12)
    np.testing.assert_allclose(sum_of_terms(found), found.total, rtol=1e-12)


def test_a_product_that_is_exactly_zero_is_minus_infinity_without_nan() -> None:
    dead = gated_at("gru", (0.0, -800.0, 0.0), 0.0)

    found = causes_of(dead, QUIET)

    assert isinstance(found, GatedCauses)
    assert np.isneginf(found.total).all()
    assert np.isneginf(found.direct).all()
    assert np.isneginf(sum_of_terms(found)).all()


def test_a_dead_relu_whose_state_is_its_pre_activation_is_minus_infinity() -> None:
    drawn_net = elman(np.random.default_rng(0), 1.0, StateName.PRE)
    weights = {**dict(drawn_net.weights()), "hidden_bias": np.full(HIDDEN, -WIDE)}
    net = ElmanParameters(
        input_weights=weights["input_weights"],
        recurrent_weights=weights["recurrent_weights"],
        hidden_bias=weights["hidden_bias"],
        output_weights=weights["output_weights"],
        output_bias=weights["output_bias"],
        activation=ACTIVATIONS[ActivationName.RELU],
        state=StateName.PRE,
    )

    found = causes_of(net, QUIET)

    assert isinstance(found, Causes)
    assert np.isneginf(found.total).all()
    assert np.isneginf(found.saturation).all()


def test_a_net_without_recurrent_weights_has_its_weights_as_the_only_cause() -> None:
    net = elman(np.random.default_rng(0), 1.0, StateName.PRE)
    bare = net.with_weights({**dict(net.weights()), "recurrent_weights": np.zeros((HIDDEN,) * 2)})

    found = causes_of(bare, QUIET)

    assert isinstance(found, Causes)
    assert np.isneginf(found.weights).all()
    assert np.isneginf(sum_of_terms(found)).all()


@pytest.mark.parametrize("lags", [[0, 1], [2, 2], [7], []])
def test_lags_that_the_chain_does_not_have_are_refused(lags: list[int]) -> None:
    cell = gated_at("gru", (0.0, 0.0, 0.0))
    chain = CellChain(cell.linearize(unroll(cell, QUIET).cell_trajectory))

    with pytest.raises(SettingError, match="choose ascending lags from 1 to 6"):
        cell_causes(chain, np.array(lags, dtype=np.int64))
