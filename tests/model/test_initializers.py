"""Every scheme draws from the distribution that it names, and the same seed the same weights."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from gradscope.arrays import FloatArray
from gradscope.errors import SettingError
from gradscope.model.cells import WEIGHT_NAMES
from gradscope.model.initializers import gaussian, glorot_uniform, initialize, orthogonal
from gradscope.model.trajectory import unroll
from gradscope.names import ActivationName, InitializerName

SIZES = (30, 120, 20)

DISTANCE_AT_ONE_IN_A_THOUSAND = 1.95
"""Kolmogorov's distribution: √n times the distance passes this once in a thousand draws."""


def kolmogorov(sample: FloatArray, cdf: Callable[[float], float]) -> float:
    """Return √n times the largest distance between a sample's distribution and ``cdf``."""
    ordered = np.sort(sample, axis=None)
    expected = np.array([cdf(value) for value in ordered])
    ranks = np.arange(ordered.size + 1) / ordered.size
    gap = max(np.max(ranks[1:] - expected), np.max(expected - ranks[:-1]))
    return float(gap * np.sqrt(ordered.size))


def two_sample_kolmogorov(one: FloatArray, other: FloatArray) -> float:
    """Return the same for two samples, scaled by √(nm/(n+m))."""
    places = np.concatenate([one.ravel(), other.ravel()])
    ranks = [
        np.searchsorted(np.sort(each, axis=None), places, side="right") / each.size
        for each in (one, other)
    ]
    scale = np.sqrt(one.size * other.size / (one.size + other.size))
    return float(np.max(np.abs(ranks[0] - ranks[1])) * scale)


def uniform_cdf(limit: float) -> Callable[[float], float]:
    return lambda value: min(max(0.5 + 0.5 * value / limit, 0.0), 1.0)


def triangular_cdf(limit: float) -> Callable[[float], float]:
    """The sum of two draws from U(±limit)."""

    def cdf(value: float) -> float:
        z = value / (2.0 * limit)
        return 0.5 * (1.0 + z) ** 2 if z < 0 else 1.0 - 0.5 * (1.0 - z) ** 2

    return cdf


@pytest.mark.parametrize("size", [1, 2, 17, 64])
def test_orthogonal_matrices_are_orthogonal(size: int) -> None:
    w = orthogonal(np.random.default_rng(size), size)

    np.testing.assert_allclose(w @ w.T, np.eye(size), atol=1e-13)


def test_orthogonal_matrices_are_haar_distributed() -> None:
    # The trace of a Haar-distributed orthogonal matrix has mean 0 and variance 1 (Diaconis &
    # Shahshahani 1994); the Q of a QR with its signs left as they fall has mean trace far below 0.
    rng = np.random.default_rng(2)
    traces = np.array([np.trace(orthogonal(rng, 4)) for _ in range(4000)])

    assert abs(traces.mean()) < 4.0 / np.sqrt(4000)
    assert traces.var() == pytest.approx(1.0, abs=0.1)


def test_gaussian_entries_are_normal_with_variance_one_over_h() -> None:
    w = gaussian(np.random.default_rng(3), 120)

    distance = kolmogorov(w, lambda x: 0.5 * (1.0 + math.erf(x * math.sqrt(120.0 / 2.0))))

    assert distance < DISTANCE_AT_ONE_IN_A_THOUSAND


@pytest.mark.parametrize("shape", [(120, 30), (20, 120), (80, 80)])
def test_glorot_entries_are_uniform_up_to_the_root_of_six_over_rows_plus_columns(
    shape: tuple[int, int],
) -> None:
    w = glorot_uniform(np.random.default_rng(4), *shape)

    assert w.shape == shape
    limit = math.sqrt(6.0 / sum(shape))
    assert kolmogorov(w, uniform_cdf(limit)) < DISTANCE_AT_ONE_IN_A_THOUSAND


def test_uniform_weights_lie_within_one_over_root_h_and_the_bias_is_the_sum_of_two() -> None:
    rng = np.random.default_rng(5)
    drawn = [initialize(rng, SIZES, scheme=InitializerName.UNIFORM) for _ in range(20)]

    limit = 1.0 / math.sqrt(SIZES[1])
    for name in WEIGHT_NAMES:
        sample = np.array([getattr(params, name) for params in drawn])
        cdf = triangular_cdf(limit) if name == "hidden_bias" else uniform_cdf(limit)
        assert kolmogorov(sample, cdf) < DISTANCE_AT_ONE_IN_A_THOUSAND, name


def test_the_default_is_what_keras_draws() -> None:
    # Keras 3, SimpleRNN: kernel "glorot_uniform", recurrent kernel "orthogonal", bias zeros; Dense:
    # kernel "glorot_uniform", bias zeros.
    params = initialize(np.random.default_rng(6), SIZES)

    n_inputs, n_hidden, n_outputs = SIZES
    w = params.recurrent_weights
    np.testing.assert_allclose(w @ w.T, np.eye(n_hidden), atol=1e-13)
    for array, fans in (
        (params.input_weights, n_inputs + n_hidden),
        (params.output_weights, n_hidden + n_outputs),
    ):
        cdf = uniform_cdf(math.sqrt(6.0 / fans))
        assert kolmogorov(array, cdf) < DISTANCE_AT_ONE_IN_A_THOUSAND
    np.testing.assert_array_equal(params.hidden_bias, np.zeros(n_hidden))
    np.testing.assert_array_equal(params.output_bias, np.zeros(n_outputs))


@pytest.mark.torch
def test_uniform_is_what_pytorch_draws() -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
    torch.manual_seed(7)
    n_inputs, n_hidden, n_outputs = SIZES
    rng = np.random.default_rng(7)

    drawn: dict[str, list[FloatArray]] = {}
    theirs: dict[str, list[FloatArray]] = {}
    for _ in range(10):
        params = initialize(rng, SIZES, scheme=InitializerName.UNIFORM)
        for name, array in params.weights():
            drawn.setdefault(name, []).append(array)
        cell, head = torch.nn.RNN(n_inputs, n_hidden), torch.nn.Linear(n_hidden, n_outputs)
        for name, tensor in (
            ("input_weights", cell.weight_ih_l0),
            ("recurrent_weights", cell.weight_hh_l0),
            ("hidden_bias", cell.bias_ih_l0 + cell.bias_hh_l0),
            ("output_weights", head.weight),
            ("output_bias", head.bias),
        ):
            theirs.setdefault(name, []).append(tensor.detach().numpy().astype(np.float64))

    for name, arrays in drawn.items():
        distance = two_sample_kolmogorov(np.array(arrays), np.array(theirs[name]))
        assert distance < DISTANCE_AT_ONE_IN_A_THOUSAND, name


def test_identity_starts_as_the_identity() -> None:
    params = initialize(np.random.default_rng(8), (1, 5, 1), scheme=InitializerName.IDENTITY)

    np.testing.assert_array_equal(params.recurrent_weights, np.eye(5))


@pytest.mark.parametrize("scheme", InitializerName)
def test_gain_multiplies_w_and_input_scale_multiplies_u_and_nothing_else(
    scheme: InitializerName,
) -> None:
    plain, scaled = (
        initialize(np.random.default_rng(9), (3, 6, 2), scheme=scheme, gain=g, input_scale=s)
        for g, s in ((1.0, 1.0), (1.5, 4.0))
    )

    factors = {"recurrent_weights": 1.5, "input_weights": 4.0}
    for (name, before), (_, after) in zip(plain.weights(), scaled.weights(), strict=True):
        np.testing.assert_array_equal(after, factors.get(name, 1.0) * before)


@pytest.mark.parametrize("scheme", InitializerName)
def test_a_centred_sigmoid_net_rests_at_one_half(scheme: InitializerName) -> None:
    params = initialize(
        np.random.default_rng(10),
        (1, 6, 1),
        activation=ActivationName.SIGMOID,
        scheme=scheme,
        gain=1.7,
        center_bias=True,
    )

    hidden = unroll(params, np.zeros((5, 1, 1)), np.full((1, 6), 0.5)).hidden

    np.testing.assert_allclose(hidden, 0.5, rtol=1e-14)


@pytest.mark.parametrize("name", [each for each in ActivationName if each != "sigmoid"])
def test_only_a_sigmoid_net_can_be_centred(name: ActivationName) -> None:
    with pytest.raises(SettingError, match=f"--center-bias.*{name}.*--activation sigmoid"):
        initialize(np.random.default_rng(11), (1, 2, 1), activation=name, center_bias=True)


@pytest.mark.parametrize("scheme", InitializerName)
def test_the_same_seed_draws_the_same_bytes_and_another_one_does_not(
    scheme: InitializerName,
) -> None:
    first, again, other = (
        initialize(np.random.default_rng(seed), (2, 6, 3), scheme=scheme) for seed in (12, 12, 13)
    )

    for (_, one), (_, same) in zip(first.weights(), again.weights(), strict=True):
        assert one.tobytes() == same.tobytes()
    assert first.input_weights.tobytes() != other.input_weights.tobytes()


@pytest.mark.parametrize("name", ActivationName)
def test_the_network_carries_its_activation(name: ActivationName) -> None:
    params = initialize(np.random.default_rng(14), (1, 2, 1), activation=name)

    assert params.activation.name is name
    assert params.sizes == (1, 2, 1)
