"""Exponents against closed forms, known maps and the determinant."""

import numpy as np
import pytest

from gradscope.arrays import FloatArray
from gradscope.errors import SettingError
from gradscope.jacobians import lyapunov
from gradscope.jacobians.chain import DenseChain, ElmanChain, elman_chain
from gradscope.jacobians.kernels.qr_frame import Frame
from gradscope.jacobians.lyapunov import LyapunovSpectrum, lyapunov_exponents
from gradscope.model.activations import RELU
from gradscope.model.elman import ElmanParameters
from gradscope.model.initializers import initialize
from gradscope.model.trajectory import unroll
from gradscope.names import ActivationName, InitializerName

EULER_GAMMA = 0.5772156649015329


def _polygamma_at_halves(order: int, twice: int) -> float:
    """ψ(twice/2) for order 0 and ψ′(twice/2) for order 1, by recurrence from ½ or 1."""
    if twice > 2:
        below = _polygamma_at_halves(order, twice - 2)
        x = twice / 2.0 - 1.0
        return below + 1.0 / x if order == 0 else below - 1.0 / x**2
    if order == 0:
        return -EULER_GAMMA - (2.0 * np.log(2.0) if twice == 1 else 0.0)
    return float(np.pi**2 / (2.0 if twice == 1 else 6.0))


def _rectifier_map(
    weights: FloatArray, bias: FloatArray, start: FloatArray, n_steps: int, discarded: int
) -> ElmanChain:
    """The chain of an autonomous ReLU network after a transient."""
    size = bias.size
    params = ElmanParameters(
        np.zeros((size, 1)), weights, bias, np.zeros((1, size)), np.zeros(1), RELU
    )
    trajectory = unroll(params, np.zeros((n_steps + discarded, 1, 1)), start[None])
    return ElmanChain(trajectory.slopes[discarded:], weights)


def _autonomous_tanh(seed: int, size: int, gain: float, n_steps: int) -> ElmanChain:
    """The chain of an autonomous Gaussian tanh network, 500 steps of transient left out."""
    rng = np.random.default_rng(seed)
    params = initialize(
        rng,
        (1, size, 1),
        activation=ActivationName.TANH,
        scheme=InitializerName.GAUSSIAN,
        gain=gain,
    )
    start = rng.standard_normal((1, size))
    trajectory = unroll(params, np.zeros((500 + n_steps, 1, 1)), start)
    whole = elman_chain(params, trajectory)
    return ElmanChain(whole.slopes[500:], whole.recurrent_weights)


@pytest.mark.parametrize(("size", "scale"), [(2, 1.0), (10, 10**-0.5)])
def test_fresh_gaussian_factors_have_newmans_exponents(size: int, scale: float) -> None:
    rng = np.random.default_rng(1)
    n_steps = 20_000 // size
    chain = DenseChain(scale * rng.standard_normal((n_steps, 1, size, size)))

    found = lyapunov_exponents(chain, warm_up=100)

    rows = [size - i for i in range(size)]
    expected = np.array([0.5 * (np.log(2.0 * scale**2) + _polygamma_at_halves(0, n)) for n in rows])
    spread = np.sqrt([_polygamma_at_halves(1, n) / (4.0 * found.n_steps) for n in rows])
    published = {2: (0.05796576, -0.63518142), 10: (-0.05166012, -1.78647397)}
    np.testing.assert_allclose(expected[[0, -1]], published[size], rtol=0.0, atol=1e-8)
    assert (np.abs(found.exponents[0] - expected) < 4.0 * spread).all()
    # Twenty batches know their spread to about 16 %.
    assert (np.abs(np.log(found.standard_errors[0] / spread)) < 0.8).all()
    assert found.trusted.all()


def test_the_tent_map_as_a_rectifier_net_stretches_by_the_logarithm_of_its_slope() -> None:
    mu = 1.9
    weights = np.array([[mu, -2.0 * mu], [mu, -2.0 * mu]])
    chain = _rectifier_map(weights, np.array([0.0, -0.5]), np.array([0.3, 0.0]), 20_000, 0)

    found = lyapunov_exponents(chain)

    assert found.exponents[0, 0] == pytest.approx(np.log(mu), abs=1e-3)
    assert np.isneginf(found.exponents[0, 1])
    assert found.trusted.all()
    assert found.entropy_rate[0] == pytest.approx(np.log(mu), abs=1e-3)


def test_the_lozi_map_as_a_rectifier_net_has_its_two_exponents_and_two_dead_directions() -> None:
    a, b = 1.7, 0.5
    x_row = np.array([-a, -a, 1.0, -1.0])
    y_row = np.array([b, -b, 0.0, 0.0])
    weights = np.stack([x_row, -x_row, y_row, -y_row])
    chain = _rectifier_map(weights, np.array([1.0, -1.0, 0.0, 0.0]), np.zeros(4), 30_000, 200)

    found = lyapunov_exponents(chain)

    first, second = found.exponents[0, :2]
    assert first + second == pytest.approx(-np.log(2.0), abs=1e-4)
    assert first == pytest.approx(0.4702, abs=1e-3)
    assert np.isneginf(found.exponents[0, 2:]).all()
    assert found.trusted.all()
    assert found.kaplan_yorke_dimension[0] == pytest.approx(1.0 + first / -second)
    assert found.sum_rule_residual is not None
    assert np.isnan(found.sum_rule_residual[0])


@pytest.mark.parametrize("gain", [0.5, 1.0, 3.0])
def test_the_exponents_add_up_to_the_mean_logarithm_of_the_determinant(gain: float) -> None:
    chain = _autonomous_tanh(2, 60, gain, 400)

    found = lyapunov_exponents(chain)

    assert found.sum_rule_residual is not None
    assert found.sum_rule_residual[0] <= 1e-6
    slopes = np.log(chain.slopes[chain.n_steps - found.n_steps :, 0]).sum(axis=1).mean()
    expected = np.linalg.slogdet(chain.recurrent_weights)[1] + slopes
    assert found.exponents[0].sum() == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
def test_a_chaotic_tanh_net_of_gain_three_has_its_published_exponent() -> None:
    found = [
        lyapunov_exponents(_autonomous_tanh(seed, 400, 3.0, 1000), count=1).exponents[0, 0]
        for seed in range(8)
    ]

    assert np.mean(found) == pytest.approx(0.3034, abs=0.006)


def test_a_diagonal_chain_has_its_logarithms_in_descending_order() -> None:
    rates = np.array([-1.0, 0.3, -5.0])
    chain = ElmanChain(np.tile(np.exp(rates), (4000, 2, 1)), np.eye(3))

    found = lyapunov_exponents(chain, warm_up=200)

    np.testing.assert_allclose(found.exponents, [[0.3, -1.0, -5.0]] * 2, rtol=0.0, atol=1e-12)
    np.testing.assert_allclose(found.standard_errors, 0.0, rtol=0.0, atol=1e-12)
    # 0.3 of the volume stands against a rate of −1.
    np.testing.assert_allclose(found.kaplan_yorke_dimension, 1.3, rtol=0.0, atol=1e-11)
    np.testing.assert_allclose(found.entropy_rate, 0.3, rtol=0.0, atol=1e-12)


def test_the_warm_up_does_not_count() -> None:
    slopes = np.full((100, 1, 1), np.exp(-0.5))
    slopes[:10] = np.exp(2.0)
    chain = ElmanChain(slopes, np.eye(1))

    given, by_default = lyapunov_exponents(chain, warm_up=10), lyapunov_exponents(chain)

    for found in (given, by_default):
        np.testing.assert_allclose(found.exponents, -0.5, rtol=1e-12)
        assert found.n_steps == 90
    everything = lyapunov_exponents(chain, warm_up=0)
    np.testing.assert_allclose(everything.exponents, (10 * 2.0 - 90 * 0.5) / 100, rtol=1e-12)


def test_the_first_few_exponents_are_those_of_the_whole_spectrum() -> None:
    chain = _autonomous_tanh(3, 40, 1.5, 3000)

    few = lyapunov_exponents(chain, count=3, warm_up=1500)
    whole = lyapunov_exponents(chain, warm_up=1500)

    np.testing.assert_allclose(few.exponents, whole.exponents[:, :3], rtol=0.0, atol=2e-3)
    assert few.sum_rule_residual is None


def test_a_leaky_net_obeys_the_sum_rule_with_its_own_determinants() -> None:
    rng = np.random.default_rng(4)
    slopes = rng.uniform(0.2, 1.0, (300, 2, 5))
    chain = ElmanChain(slopes, rng.standard_normal((5, 5)), leak=0.3)

    found = lyapunov_exponents(chain, warm_up=0)

    expected = np.mean([np.linalg.slogdet(chain.jacobian(t))[1] for t in range(1, 301)], axis=0)
    np.testing.assert_allclose(found.exponents.sum(axis=1), expected, rtol=0.0, atol=1e-9)
    assert found.sum_rule_residual is not None
    np.testing.assert_allclose(found.sum_rule_residual, 0.0, rtol=0.0, atol=1e-9)


def test_the_adaptive_interval_gives_what_a_factorization_at_every_step_gives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chain = _autonomous_tanh(5, 50, 1.5, 600)
    counted: list[int] = []
    whole = np.linalg.qr

    def counting(matrix: FloatArray) -> tuple[FloatArray, FloatArray]:
        counted.append(1)
        q, r = whole(matrix)
        return q, r

    monkeypatch.setattr(np.linalg, "qr", counting)
    adaptive = lyapunov_exponents(chain)
    n_adaptive = len(counted)
    counted.clear()
    monkeypatch.setattr(lyapunov, "MAX_STEPS", 1)
    every_step = lyapunov_exponents(chain)

    np.testing.assert_allclose(adaptive.exponents, every_step.exponents, rtol=0.0, atol=2e-11)
    assert n_adaptive < 0.7 * len(counted)


def test_sequences_that_explode_and_die_side_by_side_keep_their_own_exponents() -> None:
    # Long enough for intervals over which 1e9 a step overflows and 1e-9 underflows.
    slopes = np.ones((3000, 3, 4))
    slopes[:, 0] = 1e9
    slopes[:, 1] = 1e-9
    slopes[:, 2, 1] = 0.0
    rotation = np.linalg.qr(np.random.default_rng(6).standard_normal((4, 4)))[0]

    found = lyapunov_exponents(ElmanChain(slopes, rotation))

    np.testing.assert_allclose(found.exponents[0], 9 * np.log(10.0), rtol=1e-12)
    np.testing.assert_allclose(found.exponents[1], -9 * np.log(10.0), rtol=1e-12)
    np.testing.assert_array_equal(np.isneginf(found.exponents[2]), [False, False, False, True])
    assert found.trusted.all()


def test_a_chain_whose_blocks_would_overflow_takes_shorter_ones() -> None:
    rotation = np.linalg.qr(np.random.default_rng(6).standard_normal((4, 4)))[0]

    found = lyapunov_exponents(ElmanChain(np.full((3000, 1, 4), 1e9), rotation))

    np.testing.assert_allclose(found.exponents, 9 * np.log(10.0), rtol=1e-12)


def test_a_burst_that_overflows_a_long_block_is_taken_in_shorter_ones() -> None:
    slopes = np.ones((3000, 1, 4))
    slopes[1500:1520] = 1e40
    rotation = np.linalg.qr(np.random.default_rng(6).standard_normal((4, 4)))[0]

    found = lyapunov_exponents(ElmanChain(slopes, rotation), warm_up=0)

    np.testing.assert_allclose(found.exponents, 20 * 40 * np.log(10.0) / 3000, rtol=1e-12)


def test_an_exponent_below_the_floor_of_double_precision_is_not_trusted() -> None:
    rng = np.random.default_rng(7)
    frames = np.linalg.qr(rng.standard_normal((300, 2, 4, 4)))[0]
    for smallest, resolved in ((1e-14, True), (1e-18, False)):
        sizes = np.array([1.0, 1e-3, 1e-6, smallest])
        chain = DenseChain((frames[:, :1] * sizes) @ frames[:, 1:])

        found = lyapunov_exponents(chain)

        np.testing.assert_array_equal(found.trusted[0], [True, True, True, False])
        assert np.isfinite(found.exponents[0, 3]) == resolved


def test_a_direction_that_dies_in_the_middle_keeps_its_slot() -> None:
    chain = ElmanChain(np.ones((10, 1, 3)), np.diag([2.0, 0.0, 3.0]))
    frame = Frame(chain, 3, np.random.default_rng(0))
    frame.vectors = np.eye(3)[None].copy()

    blocks = [logs for _, logs in frame.travel(0, 10, 1)]

    np.testing.assert_array_equal(frame.dead(), [[False, True, False]])
    assert len(blocks) == 10
    for logs in blocks:
        np.testing.assert_allclose(logs[0], [np.log(2.0), -np.inf, np.log(3.0)])


def test_a_unit_that_is_almost_shut_keeps_its_exponent_to_full_accuracy() -> None:
    rng = np.random.default_rng(8)
    slopes = rng.uniform(0.5, 1.0, (200, 1, 4))
    slopes[:, 0, 2] *= 1e-30
    chain = ElmanChain(slopes, rng.standard_normal((4, 4)))

    found = lyapunov_exponents(chain)

    assert found.trusted.all()
    assert found.sum_rule_residual is not None
    assert found.sum_rule_residual[0] < 1e-11


@pytest.mark.parametrize("step", [1, 7])
def test_a_unit_whose_column_is_almost_shut_keeps_its_exponent_too(step: int) -> None:
    # J = W diag(φ′), as where the state is the pre-activation; every ``step`` steps one unit shuts.
    rng = np.random.default_rng(8)
    slopes = rng.uniform(0.5, 1.0, (210, 1, 1, 4))
    slopes[::step, 0, 0, 1] *= 1e-30
    weights = rng.standard_normal((4, 4))

    found = lyapunov_exponents(DenseChain(weights * slopes), warm_up=0)

    expected = np.log(slopes).sum() / 210.0 + np.linalg.slogdet(weights)[1]
    assert found.trusted.all()
    np.testing.assert_allclose(found.exponents.sum(), expected, rtol=0.0, atol=1e-10)


def test_a_chain_that_dies_altogether_has_no_finite_exponent() -> None:
    found = lyapunov_exponents(ElmanChain(np.ones((20, 1, 4)), np.eye(4, k=-1)))

    assert np.isneginf(found.exponents).all()
    assert (found.standard_errors == 0.0).all()
    assert (found.kaplan_yorke_dimension == 0.0).all()


def test_a_net_of_one_unit_over_one_step_has_an_exponent_and_no_error_bar() -> None:
    found = lyapunov_exponents(ElmanChain(np.full((1, 1, 1), 0.5), np.array([[3.0]])))

    np.testing.assert_allclose(found.exponents, np.log(1.5))
    np.testing.assert_array_equal(found.standard_errors, np.inf)


def test_dimension_and_entropy_are_not_claimed_from_too_few_exponents() -> None:
    def with_count(values: list[float]) -> LyapunovSpectrum:
        exponents = np.array([values])
        ones = np.ones(exponents.shape, dtype=np.bool_)
        return LyapunovSpectrum(exponents, 0.0 * exponents, None, ones, 3, 1)

    assert np.isnan(with_count([0.5, 0.1]).kaplan_yorke_dimension[0])
    assert np.isnan(with_count([0.5, 0.1]).entropy_rate[0])
    assert with_count([0.5, 0.1, 0.1]).kaplan_yorke_dimension[0] == 3.0
    assert with_count([0.5, 0.1, 0.1]).entropy_rate[0] == pytest.approx(0.7)
    assert with_count([0.5, -0.1]).entropy_rate[0] == 0.5
    assert np.isnan(with_count([0.5, -0.1]).kaplan_yorke_dimension[0])


@pytest.mark.parametrize("count", [0, 4])
def test_a_count_beyond_the_state_size_is_refused(count: int) -> None:
    with pytest.raises(SettingError, match="choose 1 to 3"):
        lyapunov_exponents(ElmanChain(np.ones((5, 1, 3)), np.eye(3)), count=count)


@pytest.mark.parametrize("warm_up", [-1, 5])
def test_a_warm_up_that_leaves_no_step_is_refused(warm_up: int) -> None:
    with pytest.raises(SettingError, match="choose 0 to 4"):
        lyapunov_exponents(ElmanChain(np.ones((5, 1, 3)), np.eye(3)), warm_up=warm_up)


@pytest.mark.parametrize("n_steps", [50, 300, 1000])
def test_the_exponents_of_a_constant_jacobian_are_right_within_their_errors(n_steps: int) -> None:
    # The frame turns on and on where eigenvalues are close to one another.
    off = []
    for seed in range(12):
        weights = np.random.default_rng(seed).standard_normal((12, 12)) / np.sqrt(12.0)
        found = lyapunov_exponents(ElmanChain(np.ones((n_steps, 1, 12)), weights))
        expected = np.sort(np.log(np.abs(np.linalg.eigvals(weights))))[::-1]
        errors = np.maximum(found.standard_errors[0], 1e-9)
        off.append(np.abs(found.exponents[0] - expected) / errors)

    assert np.mean(np.concatenate(off) <= 2.0) >= 0.95
    assert np.quantile(off, 0.98) < 3.0


def test_standard_errors_cover_the_exponents_of_a_driven_net() -> None:
    rng = np.random.default_rng(9)
    weights = 1.2 * rng.standard_normal((16, 16)) / 4.0
    slopes, state = np.empty((1600, 40, 16)), np.zeros((40, 16))
    for step in range(1600):
        drive = state @ weights.T + 0.5 * rng.standard_normal((40, 16))
        state, slopes[step] = np.tanh(drive), 1.0 / np.cosh(drive) ** 2

    # 100 steps of every sequence against 1500 of all 40.
    found = lyapunov_exponents(ElmanChain(slopes[100:200], weights))
    truth = lyapunov_exponents(ElmanChain(slopes, weights), warm_up=100).exponents.mean(axis=0)

    held = np.abs(found.exponents - truth) <= 1.96 * found.standard_errors
    assert 0.9 <= held.mean() <= 0.99
