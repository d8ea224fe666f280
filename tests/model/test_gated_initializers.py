"""Gated cells start where Keras and PyTorch start them."""

from typing import Any

import numpy as np
import pytest

from gradscope.errors import SettingError
from gradscope.model.gru import GruParameters
from gradscope.model.initializers import Draw, initialize_gru, initialize_lstm
from gradscope.model.lstm import LstmParameters
from gradscope.model.trajectory import unroll
from gradscope.names import InitializerName

SIZES = (3, 64, 2)
GATED: dict[str, Any] = {"gru": initialize_gru, "lstm": initialize_lstm}


def drawn(kind: str, scheme: InitializerName, **factors: Any) -> GruParameters | LstmParameters:
    cell = GATED[kind](np.random.default_rng(0), SIZES, draw=Draw(scheme, **factors))
    assert isinstance(cell, GruParameters | LstmParameters)
    return cell


@pytest.mark.parametrize("kind", GATED)
def test_orthogonal_weights_have_orthonormal_columns_and_biases_zero(kind: str) -> None:
    cell = drawn(kind, InitializerName.ORTHOGONAL, gain=2.0)

    gram = cell.recurrent_weights.T @ cell.recurrent_weights
    np.testing.assert_allclose(gram, 4.0 * np.eye(64), atol=1e-12)
    blocks = cell.hidden_bias.reshape(-1, 64)
    wanted = np.zeros_like(blocks)
    if kind == "lstm":
        wanted[1] = 1.0
    np.testing.assert_array_equal(blocks, wanted)


@pytest.mark.parametrize(("kind", "blocks"), [("gru", 3), ("lstm", 4)])
def test_glorot_inputs_count_the_units_of_every_block(kind: str, blocks: int) -> None:
    limit = np.sqrt(6.0 / (blocks * 64 + 3))

    weights = drawn(kind, InitializerName.ORTHOGONAL).input_weights

    assert 0.97 * limit < np.abs(weights).max() <= limit


@pytest.mark.parametrize("kind", GATED)
def test_uniform_draws_everything_from_one_over_root_h(kind: str) -> None:
    cell = drawn(kind, InitializerName.UNIFORM)

    for name in ("input_weights", "recurrent_weights", "output_weights", "output_bias"):
        size = np.abs(getattr(cell, name)).max()
        assert 0.2 / 8.0 < size <= 1.0 / 8.0
    # Two biases add where nothing stands between them.
    assert 0.18 < np.abs(cell.hidden_bias[:64]).max() <= 0.25
    np.testing.assert_allclose(cell.recurrent_weights.std(), 1.0 / np.sqrt(3.0) / 8.0, rtol=0.02)


def test_under_uniform_each_bias_of_the_gru_candidate_is_one_draw() -> None:
    cell = drawn("gru", InitializerName.UNIFORM)
    assert isinstance(cell, GruParameters)
    assert cell.candidate_bias is not None

    assert np.abs(cell.hidden_bias[128:]).max() <= 0.125
    assert 0.1 < np.abs(cell.candidate_bias).max() <= 0.125


@pytest.mark.parametrize("scheme", [InitializerName.GAUSSIAN, InitializerName.GLOROT])
@pytest.mark.parametrize("kind", GATED)
def test_other_schemes_draw_every_block_by_itself(kind: str, scheme: InitializerName) -> None:
    blocks = drawn(kind, scheme).recurrent_weights.reshape(-1, 64, 64)

    np.testing.assert_allclose(blocks.std(axis=(1, 2)), 1.0 / 8.0, rtol=0.05)
    assert (
        np.abs(np.atleast_2d(np.corrcoef(blocks.reshape(blocks.shape[0], -1)))[0, 1:]).max() < 0.1
    )


def test_the_gain_multiplies_w_and_the_input_scale_u() -> None:
    one = drawn("lstm", InitializerName.GAUSSIAN)
    scaled = drawn("lstm", InitializerName.GAUSSIAN, gain=3.0, input_scale=0.5)

    np.testing.assert_array_equal(scaled.recurrent_weights, 3.0 * one.recurrent_weights)
    np.testing.assert_array_equal(scaled.input_weights, 0.5 * one.input_weights)


@pytest.mark.parametrize("scheme", [InitializerName.ORTHOGONAL, InitializerName.UNIFORM])
def test_a_forget_bias_that_is_given_is_set_and_no_other(scheme: InitializerName) -> None:
    rng = np.random.default_rng(0)
    cell = initialize_lstm(rng, SIZES, draw=Draw(scheme), forget_bias=3.0)
    default = drawn("lstm", scheme)

    np.testing.assert_array_equal(cell.hidden_bias[64:128], 3.0)
    np.testing.assert_array_equal(cell.hidden_bias[128:], default.hidden_bias[128:])


def test_a_gru_with_the_reset_before_has_no_second_bias() -> None:
    cell = initialize_gru(np.random.default_rng(0), SIZES, reset_after=False)

    assert cell.candidate_bias is None
    assert not cell.reset_after


@pytest.mark.parametrize("kind", GATED)
def test_the_same_seed_draws_the_same_cell(kind: str) -> None:
    for scheme in set(InitializerName) - {InitializerName.IDENTITY}:
        one, other = drawn(kind, scheme), drawn(kind, scheme)
        for (_, left), (_, right) in zip(one.weights(), other.weights(), strict=True):
            np.testing.assert_array_equal(left, right)


def test_the_identity_is_refused_for_gates() -> None:
    with pytest.raises(SettingError, match="--init identity is for the vanilla RNN"):
        initialize_lstm(np.random.default_rng(0), SIZES, draw=Draw(InitializerName.IDENTITY))


@pytest.mark.torch
@pytest.mark.parametrize("kind", GATED)
def test_uniform_is_the_distribution_of_torch(kind: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle here")
    torch.manual_seed(0)
    layer = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[kind](3, 64)
    cell = drawn(kind, InitializerName.UNIFORM)

    for name, theirs in (
        ("input_weights", layer.weight_ih_l0),
        ("recurrent_weights", layer.weight_hh_l0),
    ):
        ours, other = getattr(cell, name), theirs.detach().numpy()
        assert ours.shape == other.shape
        levels = np.linspace(0.05, 0.95, 10)
        np.testing.assert_allclose(np.quantile(ours, levels), np.quantile(other, levels), atol=0.02)


@pytest.mark.parametrize(("kind", "scheme"), [(k, s) for k in GATED for s in ("uniform", "glorot")])
def test_chrono_biases_are_logarithms_of_times_up_to_the_lag(kind: str, scheme: str) -> None:
    scheme = InitializerName(scheme)
    plain, cell = drawn(kind, scheme), drawn(kind, scheme, chrono=101)

    kept = cell.hidden_bias[64:128]
    times = np.exp(kept)
    assert times.min() >= 1.0
    assert times.max() <= 100.0
    # Of U(1, 100): mean 50.5, standard deviation 28.6, over √64.
    assert times.mean() == pytest.approx(50.5, abs=4 * 28.6 / 8)
    if kind == "lstm":
        np.testing.assert_array_equal(cell.hidden_bias[:64], -kept)
        np.testing.assert_array_equal(cell.hidden_bias[128:], plain.hidden_bias[128:])
    else:
        # z = 1 keeps the old state; r and n are as without it.
        np.testing.assert_array_equal(cell.hidden_bias[:64], plain.hidden_bias[:64])
    for name in ("recurrent_weights", "input_weights", "output_weights"):
        np.testing.assert_array_equal(getattr(cell, name), getattr(plain, name))


@pytest.mark.parametrize("kind", GATED)
def test_a_chrono_cell_keeps_its_state_for_the_times_that_were_drawn(kind: str) -> None:
    # Without inputs and with h_0 = 0 the gates are σ(b): a unit's factor a step is τ/(τ + 1).
    cell = GATED[kind](np.random.default_rng(0), (1, 8, 1), draw=Draw(gain=0.0, chrono=50))
    trajectory = unroll(cell, np.zeros((3, 1, 1)))

    openings = cell.linearize(trajectory.cell_trajectory).openings[0, 0]

    times = np.exp(cell.hidden_bias[8:16])
    np.testing.assert_allclose(openings, times / (times + 1.0), rtol=1e-12)
