"""Networks in continuous time: α from dt and τ, recurrent noise, rates by other units of time."""

import math
from io import BytesIO
from pathlib import Path
from typing import Any

import autograd.numpy as anp  # type: ignore[import-untyped]
import numpy as np
import pytest
from autograd import grad

import gradscope
from gradscope.analysis.archive import archive_bytes, load_run
from gradscope.analysis.network import Streams, draw_noise, with_noise
from gradscope.analysis.prepare import prepare
from gradscope.analysis.settings import Settings
from gradscope.arrays import FloatArray
from gradscope.data.batch import Batch, Targets
from gradscope.errors import GradscopeError, SettingError, ShapeError
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.jacobians.chain import DenseChain, ElmanChain
from gradscope.jacobians.lag_norms import lag_norms
from gradscope.jacobians.lyapunov import lyapunov_exponents
from gradscope.jacobians.reference import central_differences
from gradscope.learning.bptt import backpropagate
from gradscope.model.activations import IDENTITY
from gradscope.model.elman import ElmanParameters
from gradscope.model.trajectory import unroll
from gradscope.names import ActivationName, StateName
from tests.drawn_cells import HIDDEN, INPUTS, OUTPUTS, UNEQUAL_LEAKS, elman

DT, TWO_TAUS = 0.01, (0.05, 0.4)
SMALL: dict[str, Any] = {"hidden": 4, "steps": 12, "updates": 2, "sequences": 3, "batch": 2}


def linear(weights: FloatArray, leak: Any, state: StateName = StateName.PRE) -> ElmanParameters:
    """Return a linear network without inputs of its own that shows its state."""
    size = len(weights)
    nothing = np.zeros((size, 1)), weights, np.zeros(size), np.eye(size), np.zeros(size)
    return ElmanParameters(*nothing, IDENTITY, leak=np.array(leak), state=state)


@pytest.mark.parametrize("state", list(StateName))
@pytest.mark.parametrize("leak", [0.1, 0.5, 1.0])
def test_a_leaky_unit_alone_with_noise_has_its_stationary_variance(
    leak: float, state: StateName
) -> None:
    # v ← (1−α) v + σ√(2α) ξ has variance 2α σ²/(1 − (1−α)²) = 2σ²/(2−α).
    sigma, net = 0.7, linear(np.zeros((1, 1)), leak, state)
    noise = draw_noise(sigma, np.random.default_rng(3), net, (150, 4000))

    states = unroll(net, np.zeros((150, 4000, 1)), noise=noise).states[-1, :, 0]

    # The variance of 4000 Gaussian numbers is within five standard errors, √(2/4000) each.
    assert np.mean(states**2) == pytest.approx(2.0 * sigma**2 / (2.0 - leak), rel=0.112)


def test_noise_moves_a_linear_unit_and_leaves_its_exponent() -> None:
    net = linear(np.array([[0.4]]), 0.25)
    noise = draw_noise(0.5, np.random.default_rng(0), net, (40, 2))

    noisy = unroll(net, np.zeros((40, 2, 1)), noise=noise)

    rates = lag_norms(cell_chain(net, noisy)).log_norms[-1] / 40
    np.testing.assert_allclose(rates, math.log(1.0 - 0.25 + 0.25 * 0.4), rtol=1e-12)
    assert np.abs(noisy.states[1:]).min() > 0.0


@pytest.mark.parametrize("state", list(StateName))
def test_two_units_of_two_time_constants_have_the_eigenvalues_of_their_matrix(
    state: StateName,
) -> None:
    # J = I − A + A W for both conventions; its eigenvalues from trace and determinant.
    settings = Settings(hidden=2, dt=DT, tau=TWO_TAUS)
    first, second = np.array(settings.leak)
    weights = np.array([[0.5, 0.8], [0.3, 0.2]])
    net = linear(weights, settings.leak, state)
    trace = 2.0 - first * 0.5 - second * 0.8
    off = first * second * 0.8 * 0.3
    determinant = (1.0 - first * 0.5) * (1.0 - second * 0.8) - off
    root = math.sqrt(trace**2 / 4.0 - determinant)
    expected = np.log([trace / 2.0 + root, trace / 2.0 - root])

    found = lyapunov_exponents(cell_chain(net, unroll(net, np.zeros((3000, 1, 1)))))

    np.testing.assert_allclose(found.exponents[0], expected, rtol=2e-3)


def test_two_uncoupled_units_decay_at_their_own_rates_and_the_slow_one_wins() -> None:
    settings = Settings(hidden=2, dt=DT, tau=TWO_TAUS)
    net = linear(np.zeros((2, 2)), settings.leak, StateName.POST)
    chain = cell_chain(net, unroll(net, np.zeros((2000, 1, 1))))

    rates = lyapunov_exponents(chain).exponents[0]

    decays = np.log1p(-DT / np.array(TWO_TAUS))
    np.testing.assert_allclose(rates, np.sort(decays)[::-1], rtol=1e-3)
    np.testing.assert_allclose(lag_norms(chain).log_norms[-1, 0] / 2000, decays[1], rtol=1e-12)
    # Per longest τ the slow unit decays at −1, as dt → 0.
    assert decays[1] * settings.steps_per["time_constant"] == pytest.approx(-1.0, rel=0.02)


def test_the_exponential_discretization_is_exact_for_a_linear_decay() -> None:
    times = np.arange(31)[:, None] * DT
    exact = np.exp(-times / np.array(TWO_TAUS))
    states = {}
    for name in ("euler", "exponential"):
        settings = Settings(hidden=2, dt=DT, tau=TWO_TAUS, discretization=name)  # type: ignore[arg-type]
        net = linear(np.zeros((2, 2)), settings.leak)
        states[name] = unroll(net, np.zeros((30, 1, 1)), np.ones((1, 2))).states[:, 0]

    np.testing.assert_allclose(states["exponential"], exact, rtol=1e-12)
    assert np.abs(states["euler"] - exact).max() > 0.01


def test_rates_per_second_and_per_tau_do_not_depend_on_the_step_as_it_goes_to_zero() -> None:
    # W is orthogonal times ½, so J is normal: the rate is max |1 − α + α μ|, per second
    # (max Re μ − 1)/τ in the limit.
    tau, found = 0.1, []
    for refinement in (1, 10, 100):
        settings = Settings(
            activation=ActivationName.IDENTITY, hidden=4, gain=0.5, state=StateName.PRE, updates=0,
            sequences=1, dt=tau / (10 * refinement), tau=tau, steps=20 * refinement, burn_in=0,
        )  # fmt: skip
        analysis = gradscope.analyze(settings)
        eigenvalues = np.linalg.eigvals(analysis.params.recurrent_weights)
        limit = (eigenvalues.real.max() - 1.0) / tau
        last = analysis.last
        assert last.rate_per["second"] * tau == pytest.approx(last.rate_per["time_constant"])
        found.append(abs(last.rate_per["second"] / limit - 1.0))

    assert found[0] < 0.2
    assert found[2] < found[1] < found[0]
    assert found[2] < 2e-3


@pytest.mark.parametrize("state", list(StateName))
def test_gradients_of_unequal_leaks_with_noise_agree_with_autograd(state: StateName) -> None:
    rng = np.random.default_rng(1)
    net = elman(rng, UNEQUAL_LEAKS, state)
    inputs = rng.normal(size=(6, 2, INPUTS))
    batch = Batch(inputs, Targets(rng.normal(size=(6, 2, OUTPUTS)), np.ones(6, dtype=np.bool_)))
    batch = with_noise(0.3, rng, net, batch)
    assert batch.noise is not None
    noise, first = batch.noise, rng.normal(size=(2, HIDDEN))

    def loss(weights: dict[str, Any]) -> Any:
        carried, total = first, 0.0
        for x, xi, wanted in zip(inputs, noise, batch.targets.values, strict=True):
            entering = anp.dot(x, weights["input_weights"].T) + weights["hidden_bias"] + xi
            seen = anp.tanh(carried) if state is StateName.PRE else carried
            a = entering + anp.dot(seen, weights["recurrent_weights"].T)
            new = a if state is StateName.PRE else anp.tanh(a)
            carried = (1.0 - UNEQUAL_LEAKS) * carried + UNEQUAL_LEAKS * new
            hidden = anp.tanh(carried) if state is StateName.PRE else carried
            output = anp.dot(hidden, weights["output_weights"].T) + weights["output_bias"]
            total = total + anp.mean((wanted - output) ** 2)
        return total

    expected = grad(loss)(dict(net.weights()))
    trajectory = unroll(net, inputs, first, noise)
    found = backpropagate(net, trajectory, batch.targets).weights

    for name, slope in expected.items():
        np.testing.assert_allclose(found[name], slope, rtol=1e-9, atol=1e-12)
    # The differences that `check` takes see the same noise.
    found = backpropagate(net, unroll(net, inputs, noise=noise), batch.targets).weights
    moved = central_differences(net, batch, "recurrent_weights", np.arange(5))
    np.testing.assert_allclose(found["recurrent_weights"].flat[:5], moved, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("leak", [1.0, 0.3, UNEQUAL_LEAKS])
def test_an_elman_chain_of_unequal_leaks_is_its_dense_twin(leak: Any) -> None:
    rng = np.random.default_rng(2)
    slopes, weights = rng.uniform(0.0, 1.0, (30, 3, HIDDEN)), rng.normal(size=(HIDDEN, HIDDEN))
    chain = ElmanChain(slopes, weights, leak)
    dense = np.broadcast_to(leak, HIDDEN)[:, None] * slopes[..., None] * weights
    dense += np.diag(1.0 - np.broadcast_to(leak, HIDDEN))
    twin, rows = DenseChain(dense), rng.normal(size=(3, 2, HIDDEN))

    for step in (1, 30):
        np.testing.assert_allclose(chain.jacobian(step), twin.jacobian(step), atol=1e-14)
        np.testing.assert_allclose(chain.vjp(rows, step), twin.vjp(rows, step), atol=1e-13)
        np.testing.assert_allclose(chain.jvp(rows, step), twin.jvp(rows, step), atol=1e-13)
    np.testing.assert_allclose(lag_norms(chain).log_norms, lag_norms(twin).log_norms, atol=1e-6)
    found = gradscope.causes(chain)
    terms = found.weights + found.slope_ceiling + found.misalignment + found.saturation
    np.testing.assert_allclose(terms, found.total, atol=1e-9)
    assert (found.total <= found.weights + found.slope_ceiling + 1e-9).all()


def test_noise_has_a_random_stream_of_its_own() -> None:
    quiet = gradscope.analyze(Settings(**SMALL))
    noisy = [gradscope.analyze(Settings(**SMALL, noise=0.2, seed=seed)) for seed in (0, 0, 1)]
    noises: list[Any] = [each.trajectory.noise for each in noisy]

    assert quiet.trajectory.noise is None
    np.testing.assert_array_equal(quiet.examined.inputs, noisy[0].examined.inputs)
    np.testing.assert_array_equal(noises[0], noises[1])
    assert not np.array_equal(noises[0], noises[2])
    assert noisy[0].last.error != quiet.last.error
    # Every update has noise of its own, and none of it is that of the examined sequences.
    rng, net = Streams.from_seed(0).training_noise, noisy[0].params
    one, other = (np.array(draw_noise(0.2, rng, net, (12, 3))) for _ in range(2))
    assert not np.array_equal(one, other)
    assert not np.array_equal(one, noises[0])


def test_more_noise_saturates_more() -> None:
    found: list[Any] = [
        gradscope.analyze(Settings(hidden=16, steps=60, updates=0, leak=0.2, noise=noise))
        for noise in (0.0, 2.0)
    ]
    quiet, noisy = (each.last.causes.saturation for each in found)

    assert noisy < quiet


@pytest.mark.parametrize("tau", [0.2, (0.05, 0.1, 0.2, 0.4)])
def test_a_saved_run_keeps_time_constants_and_noise(tau: Any, tmp_path: Path) -> None:
    made = gradscope.analyze(Settings(**SMALL, dt=0.02, tau=tau, noise=0.3))
    path = tmp_path / "run.npz"
    path.write_bytes(archive_bytes(made))

    run, again = load_run(path), gradscope.analyze(prepare({"load": str(path)}))

    assert run.settings.tau == tau
    assert run.settings.leak == made.settings.leak
    np.testing.assert_array_equal(run.params.leak, made.params.leak)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(again.trajectory.states, made.trajectory.states)
    assert again.last.rate_per == made.last.rate_per
    # As a file of weights it has the same α.
    imported = gradscope.analyze(prepare({"weights": str(path)}))
    assert imported.settings.leak == made.settings.leak


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"tau": 0.1}, "give --dt"),
        ({"dt": 0.2, "tau": 0.1}, "--discretization exponential"),
        ({"dt": 0.01, "tau": 0.1, "leak": 0.2}, "the leak is 0.2, but dt and τ make α = 0.1"),
        ({"dt": 0.01, "tau": 0.1, "leak": 1.0}, "the leak is 1, but dt and τ make α = 0.1"),
        ({"dt": 0.01, "tau": "0.1,x"}, "--tau is '0.1,x'; give one number"),
        ({"dt": 0.01, "tau": []}, "give one number"),
        ({"dt": 0.01, "tau": [0.1, 0.0]}, "--tau is 0.0; choose a number above 0"),
        ({"dt": 0.0}, "--dt is 0.0"),
        ({"noise": -1.0}, "--noise is -1.0"),
        ({"cell": "gru", "noise": 0.1}, "--noise is for the vanilla RNN"),
        ({"cell": "lstm", "dt": 0.1, "tau": 0.2}, "is for the vanilla RNN"),
    ],
)  # fmt: skip
def test_settings_of_time_that_contradict_one_another_are_refused(
    wrong: dict[str, Any], says: str
) -> None:
    with pytest.raises(SettingError, match=says):
        Settings.from_dict(wrong)


def test_settings_of_time_that_agree_are_taken() -> None:
    agreeing = Settings.from_dict({"dt": 0.01, "tau": 0.1, "leak": 0.1})
    again = Settings.from_dict(agreeing.as_dict())
    moved = agreeing.with_changes({"dt": 0.02})
    listed = Settings(hidden=2, dt=0.01, tau="0.1, 0.2")  # type: ignore[arg-type]

    assert (agreeing.leak, again.leak) == (0.1, 0.1)
    assert moved.leak == pytest.approx(0.2)
    assert listed.tau == (0.1, 0.2)
    assert Settings(dt=0.01, tau=[0.1, 0.1]).tau == 0.1  # type: ignore[arg-type]
    # Any cell may have a step in seconds; nothing else is known of its time.
    assert Settings(cell="lstm", dt=0.5).steps_per == {"second": 2.0}  # type: ignore[arg-type]
    assert Settings().steps_per == {}


def test_a_number_of_time_constants_that_is_not_that_of_the_units_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"the leak has shape \(3,\); .* each of the 4 hidden"):
        prepare({**SMALL, "dt": 0.01, "tau": (0.1, 0.2, 0.3)})


@pytest.mark.parametrize("ending", ["npy", "txt"])
def test_time_constants_are_read_from_a_file(ending: str, tmp_path: Path) -> None:
    taus, path = np.array([0.1, 0.2, 0.3, 0.4]), tmp_path / f"taus.{ending}"
    np.save(path, taus) if ending == "npy" else np.savetxt(path, taus)

    prepared = prepare({**SMALL, "dt": 0.01, "tau": str(path)})

    network: Any = prepared.network
    np.testing.assert_allclose(network.leak, 0.01 / taus)
    assert prepared.resolved.tau == pytest.approx(tuple(taus))


def saved(tmp_path: Path, **arrays: Any) -> dict[str, Any]:
    """Write a rate network with these arrays beside W and U; return the settings that study it."""
    rng, path, buffer = np.random.default_rng(0), tmp_path / "net.npz", BytesIO()
    weights: dict[str, Any] = {
        "cell.W": rng.normal(size=(3, 3)) / 2.0,
        "cell.U": rng.normal(size=(3, 2)),
    }
    weights |= arrays
    np.savez(buffer, **weights)
    path.write_bytes(buffer.getvalue())
    named = ("W=cell.W", "U=cell.U")
    return {"weights": str(path), "weight_map": named, "activation": "tanh", "steps": 10}


TAUS = np.array([0.1, 0.2, 0.4])


@pytest.mark.parametrize(
    ("arrays", "asked", "leak", "units"),
    [
        ({"alpha": np.float32(0.2)}, {}, 0.2, {"time_constant": 5.0}),
        ({"cell.alpha": TAUS}, {"dt": 0.5}, TAUS, {"second": 2.0, "time_constant": 10.0}),
        ({"cell.tau": TAUS, "dt": 0.1}, {}, 0.1 / TAUS, {"second": 10.0, "time_constant": 4.0}),
        ({"taus": TAUS}, {"dt": 0.1}, 0.1 / TAUS, {"second": 10.0, "time_constant": 4.0}),
        ({"tau": TAUS, "alpha": 0.1 / TAUS, "dt": 0.1}, {}, 0.1 / TAUS,
         {"second": 10.0, "time_constant": 4.0}),
        ({}, {"dt": 0.1, "tau": 0.4}, 0.25, {"second": 10.0, "time_constant": 4.0}),
        ({"cell.alpha": 0.2, "loss.alpha": 0.9}, {"leak": 0.2}, 0.2, {"time_constant": 5.0}),
        ({"cell.alpha": 0.2, "old.alpha": 0.2}, {}, 0.2, {"time_constant": 5.0}),
        ({"alpha": np.ones(7)}, {"leak": 0.5}, 0.5, {"time_constant": 2.0}),
    ],
)  # fmt: skip
def test_time_scales_are_taken_from_the_file_of_a_network(
    arrays: dict[str, Any], asked: dict[str, Any], leak: Any, units: dict[str, float],
    tmp_path: Path,
) -> None:  # fmt: skip
    values = {**saved(tmp_path, **arrays), **asked, "state": "post"}
    prepared = prepare({**values, "noise": 0.1})

    np.testing.assert_allclose(prepared.network.leak, leak, rtol=1e-6)  # type: ignore[attr-defined]
    assert prepared.resolved.steps_per == pytest.approx(units)
    assert prepared.batch.batch.noise is not None
    # The trajectory that is examined is the one that the stack was run on.
    assert gradscope.analyze(prepared).trajectory.noise is prepared.batch.batch.noise


@pytest.mark.parametrize(
    ("arrays", "asked", "says"),
    [
        ({}, {}, "--dt and --tau"),
        ({"tau": TAUS}, {}, "--dt and --tau"),
        ({"alpha": 0.2}, {"leak": 0.3}, "it says 'leak = 0.2'"),
        ({"alpha": 0.2}, {"dt": 0.1, "tau": 0.1}, "the leak is 0.2, but dt and τ make α = 1"),
        ({"tau": TAUS, "dt": 0.1}, {"leak": 0.1}, "the leak is 0.1, but dt and τ"),
        ({"cell.alpha": 0.2, "loss.alpha": 0.9}, {}, "the leak α"),
        ({"cell.alpha": TAUS, "loss.leak": 0.9, "dt": 0.1, "cell.tau": 0.4, "tau": 1.0}, {}, "α"),
    ],
)
def test_time_scales_that_contradict_the_file_are_refused(
    arrays: dict[str, Any], asked: dict[str, Any], says: str, tmp_path: Path
) -> None:
    with pytest.raises(GradscopeError, match=says):
        prepare({**saved(tmp_path, **arrays), **asked})


def test_noise_of_another_shape_and_noise_for_gates_are_refused() -> None:
    net = linear(np.zeros((2, 2)), 1.0)
    lstm = gradscope.initialize_lstm(np.random.default_rng(0), (1, 2, 1))

    for cell in (net, lstm):
        shape = (3, 1, 3) if cell is net else (3, 1, 2)
        with pytest.raises(ShapeError, match=r"the noise has shape .*vanilla RNN"):
            unroll(cell, np.zeros((3, 1, 1)), noise=np.zeros(shape))
    assert draw_noise(0.5, np.random.default_rng(0), lstm, (3, 1)) is None
