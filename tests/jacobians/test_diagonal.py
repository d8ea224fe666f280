"""Diagonal chains against dense ones, cumulative logarithms, mpmath and closed forms."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mpmath  # type: ignore[import-untyped]
import numpy as np
import pytest

from gradscope.arrays import FloatArray, IntArray
from gradscope.errors import SettingError, ShapeError
from gradscope.jacobians.chain import DenseChain, ElmanChain
from gradscope.jacobians.diagonal import DiagonalChain, as_diagonal, channel_norms
from gradscope.jacobians.lag_map import lag_map
from gradscope.jacobians.lag_norms import lag_norms
from gradscope.jacobians.lyapunov import lyapunov_exponents
from gradscope.jacobians.singular_values import singular_values

RNG = np.random.default_rng(7)


def gates(kind: str, shape: tuple[int, int, int] = (150, 3, 8)) -> FloatArray:
    """Factors of several kinds: mild ones, and those that ask for every branch."""
    rng = np.random.default_rng(3)
    normal = rng.standard_normal(shape)
    made = {
        "gates": 1.0 / (1.0 + np.exp(-4.0 - normal)),
        "signed": normal,
        "zeros": np.where(rng.random(shape) < 0.02, 0.0, normal),
        "all die": np.where(np.arange(shape[0])[:, None, None] == 40, 0.0, normal),
        "wide": np.exp(30.0 * normal),
        "wider": np.exp((200.0 * normal - 40.0).clip(-690.0, 690.0)),
        "subnormal": np.full(shape, 1e-310),
        "takes over": np.where(np.arange(shape[2]) < 4, np.where(normal > 2, 0.0, 1.0), 1e-30),
        "complex": normal + 1j * rng.standard_normal(shape),
    }
    found: FloatArray = made[kind]
    return found


KINDS = (
    "gates",
    "signed",
    "zeros",
    "all die",
    "wide",
    "wider",
    "subnormal",
    "takes over",
    "complex",
)


def summed(factors: FloatArray) -> FloatArray:
    """Return log|∏ a| by lag (T,B,S), by cumulative logarithms."""
    with np.errstate(divide="ignore"):
        logs: FloatArray = np.cumsum(np.log(np.abs(factors[::-1])), axis=0)
    return logs


@pytest.mark.parametrize("kind", KINDS)
def test_norms_are_the_largest_of_the_products_of_the_channels(kind: str) -> None:
    factors = gates(kind)
    wanted = summed(factors).max(axis=-1)

    found = lag_norms(DiagonalChain(factors))

    np.testing.assert_array_equal(np.isfinite(found.log_norms), np.isfinite(wanted))
    np.testing.assert_allclose(found.log_norms, wanted, rtol=1e-13, atol=1e-13)
    assert found.certificate.max() < 1e-10


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 7, 149, 150])
def test_blocks_of_any_size_give_the_same_and_are_read_once(kind: str, size: int) -> None:
    factors = gates(kind)

    def blocks() -> Iterator[FloatArray]:
        backwards = factors[::-1]
        for start in range(0, len(factors), size):
            yield backwards[start : start + size]

    chain, whole = DiagonalChain(blocks()), lag_norms(DiagonalChain(factors))

    np.testing.assert_allclose(lag_norms(chain).log_norms, whole.log_norms, rtol=1e-13, atol=1e-13)
    with pytest.raises(SettingError, match="was read"):
        lag_norms(chain)
    first = lag_norms(DiagonalChain(blocks()), 9).log_norms
    np.testing.assert_allclose(first, whole.log_norms[:9], rtol=1e-13, atol=1e-13)
    lags = [1, 2, 30, 149]
    some = channel_norms(DiagonalChain(blocks()), lags)
    np.testing.assert_allclose(
        some.log_values, summed(factors)[np.array(lags) - 1], rtol=1e-13, atol=1e-13
    )


@pytest.mark.parametrize("kind", ["gates", "zeros", "takes over"])
def test_map_values_and_exponents_are_those_of_the_dense_chain(kind: str) -> None:
    factors = gates(kind, (40, 2, 5))
    thin, dense = DiagonalChain(factors), DenseChain(factors[..., None] * np.eye(5))

    maps = [lag_map(each, tolerance=1e-13).log_norms for each in (thin, dense)]
    values = [singular_values(each, [1, 9, 40]).log_values for each in (thin, dense)]

    np.testing.assert_allclose(maps[0], maps[1], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(values[0], values[1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("warm_up", [0, 13])
def test_exponents_are_the_means_of_the_logarithms_of_the_channels(kind: str, warm_up: int) -> None:
    factors = gates(kind)
    with np.errstate(divide="ignore"):
        wanted = -np.sort(-np.log(np.abs(factors[warm_up:])).mean(axis=0), axis=1)

    found = lyapunov_exponents(DiagonalChain(factors), warm_up=warm_up)
    some = lyapunov_exponents(DiagonalChain(factors), warm_up=warm_up, count=3)

    np.testing.assert_allclose(found.exponents, wanted, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(some.exponents, found.exponents[:, :3])
    assert found.trusted.all()
    assert (found.warm_up, found.n_steps) == (warm_up, 150 - warm_up)
    assert some.sum_rule_residual is None
    dead = np.isneginf(wanted).any(axis=1)
    np.testing.assert_array_equal(found.sum_rule_residual, np.where(dead, np.nan, 0.0))


def test_exponents_and_their_errors_are_those_of_the_dense_chain() -> None:
    # In channels far enough apart the dense frame has turned into them after the warm-up.
    factors = gates("gates", (400, 2, 4)) * 0.5 ** np.arange(4)
    thin, dense = (
        lyapunov_exponents(each, warm_up=100)
        for each in (DiagonalChain(factors), DenseChain(factors[..., None] * np.eye(4)))
    )

    np.testing.assert_allclose(thin.exponents, dense.exponents, atol=1e-12)
    # Batches that are cut at other steps estimate the error a little differently.
    np.testing.assert_allclose(thin.standard_errors, dense.standard_errors, rtol=0.6)


def test_the_leading_direction_is_the_channel_that_holds_most() -> None:
    factors, lags = gates("signed", (40, 2, 5)), np.array([1, 7, 40])
    dense = DenseChain(factors[..., None] * np.eye(5))

    found = lag_norms(DiagonalChain(factors), directions_at=lags).directions
    wanted = lag_norms(dense, directions_at=lags).directions

    assert list(found) == list(wanted) == lags.tolist()
    for lag in lags.tolist():
        np.testing.assert_allclose(found[lag], np.abs(wanted[lag]), atol=1e-7)


@pytest.mark.parametrize("leak", [1.0, 0.3, [0.2, 0.5, 0.9, 1.0]])
def test_a_vanilla_rnn_whose_w_is_diagonal_is_measured_channel_by_channel(
    leak: float | list[float],
) -> None:
    weights = np.array([0.9, -1.0, 0.0, 0.5])
    slopes = np.random.default_rng(7).uniform(0.0, 1.0, (90, 2, 4))
    decays = leak if isinstance(leak, float) else np.array(leak)
    chain = ElmanChain(slopes, np.diag(weights), leak=decays)
    dense = DenseChain(np.stack([chain.jacobian(t) for t in range(1, 91)]))

    for measure in (lag_norms, lag_map):
        found, wanted = (measure(each, tolerance=1e-13).log_norms for each in (chain, dense))
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)
    assert isinstance(as_diagonal(chain), DiagonalChain)


@pytest.mark.parametrize("shifts", [None, np.zeros((3, 1), dtype=np.int64)])
def test_only_a_diagonal_w_is_taken_as_diagonal(shifts: IntArray | None) -> None:
    weights = np.eye(3)
    if shifts is None:
        weights[0, 2] = 1e-300

    chain = ElmanChain(np.ones((3, 1, 3)), weights, shifts=shifts)

    assert as_diagonal(chain) is chain


def test_a_decay_for_a_whole_matrix_is_given_once() -> None:
    heads = gates("gates", (60, 2, 3))
    once, repeated = (DiagonalChain(each) for each in (heads, heads.repeat(16, axis=2)))

    for measure in (lag_norms, lag_map):
        found, wanted = measure(once).log_norms, measure(repeated).log_norms
        np.testing.assert_allclose(found, wanted, rtol=1e-14)
    of_heads, of_all = (channel_norms(each, [9, 60]).share_above(0.5) for each in (once, repeated))
    np.testing.assert_allclose(of_heads, of_all)


def test_singular_values_come_in_the_order_of_the_lags() -> None:
    factors, lags = gates("zeros", (50, 2, 5)), [30, 2, 30]
    wanted = -np.sort(-summed(factors)[np.array(lags) - 1], axis=-1)

    found = singular_values(DiagonalChain(factors), lags)

    np.testing.assert_allclose(found.log_values, wanted, rtol=1e-13, atol=1e-13)


def test_ten_thousand_lags_agree_with_fifty_digits() -> None:
    factors = gates("gates", (10_000, 1, 3))
    with mpmath.workdps(50):
        products = [mpmath.fprod(map(mpmath.mpf, factors[:, 0, at].tolist())) for at in range(3)]
        wanted = float(max(mpmath.log(each) for each in products))

    assert lag_norms(DiagonalChain(factors)).log_norms[-1, 0] == pytest.approx(wanted, rel=1e-13)


def test_rotation_blocks_of_a_linear_recurrent_unit_shrink_as_their_modulus() -> None:
    modulus, angle = np.array([0.5, 0.9, 0.999]), np.array([0.3, 2.0, 1.0])
    steps = np.broadcast_to(modulus * np.exp(1j * angle), (200, 1, 3))
    turns = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    blocks = np.zeros((6, 6))
    for at in range(3):
        blocks[2 * at : 2 * at + 2, 2 * at : 2 * at + 2] = modulus[at] * turns[:, :, at]

    found = lag_norms(DiagonalChain(steps))
    real = lag_norms(DenseChain(np.broadcast_to(blocks, (200, 1, 6, 6))))

    np.testing.assert_allclose(found.log_norms[:, 0], np.arange(1, 201) * np.log(0.999), rtol=1e-12)
    np.testing.assert_allclose(found.log_norms, real.log_norms, rtol=1e-9)


def test_half_lives_and_the_share_that_holds() -> None:
    rates = np.array([0.5, 2.0**-0.1, 1.0, 1.2, 0.0])
    found = channel_norms(DiagonalChain(np.broadcast_to(rates, (50, 1, 5))), [5, 50])

    np.testing.assert_allclose(found.half_lives[0], [1.0, 10.0, np.inf, np.inf, 0.0])
    np.testing.assert_allclose(found.share_above(1 / 1000)[:, 0], [4 / 5, 3 / 5])


@pytest.mark.parametrize(
    "factors",
    [np.ones((3, 2)), np.ones((3, 0, 2)), np.float64(1.0), iter([]), [1.0], iter([np.ones(3)])],
)
def test_factors_of_another_shape_are_refused(factors: object) -> None:
    with pytest.raises(ShapeError):
        DiagonalChain(factors)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_factors_that_are_not_finite_and_blocks_that_do_not_fit_are_refused(bad: float) -> None:
    factors = gates("gates")
    factors[70, 1, 2] = bad
    with pytest.raises(ShapeError, match="not finite"):
        lag_norms(DiagonalChain(factors))
    with pytest.raises(ShapeError, match="block"):
        lag_norms(DiagonalChain(iter([np.ones((2, 1, 3)), np.ones((2, 1, 4))])))
    with pytest.raises(SettingError, match="end after 4 steps"):
        channel_norms(DiagonalChain(iter([np.ones((4, 1, 3))])), [5])
    with pytest.raises(SettingError, match="iterator"):
        DiagonalChain(iter([np.ones((4, 1, 3))])).jacobian(1)
    with pytest.raises(SettingError, match="iterator"):
        lyapunov_exponents(DiagonalChain(iter([np.ones((4, 1, 3))])))


LONG = """
import numpy as np
from gradscope.jacobians.diagonal import DiagonalChain, channel_norms

rates = np.geomspace(0.5, 0.999999, 24_576)
block = np.broadcast_to(rates, (50, 1, rates.size)).copy()
found = channel_norms(DiagonalChain(block for _ in range(2000)), [1000, 100_000])
wanted = found.lags[:, None, None] * np.log(rates)
print(np.abs(found.log_values / wanted - 1.0).max())
print(np.abs(found.half_lives * np.log(1.0 / rates) / np.log(2.0) - 1.0).max())
lines = open("/proc/self/status").read().split("\\n")
print(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells the peak memory")
def test_a_hundred_thousand_steps_of_mamba_s_channels_fit_into_300_mb() -> None:
    done = subprocess.run([sys.executable, "-c", LONG], capture_output=True, text=True, check=True)
    of_logs, of_half_lives, peak = map(float, done.stdout.split())

    assert of_logs < 1e-10
    assert of_half_lives < 1e-10
    assert peak * 1024 < 300e6
