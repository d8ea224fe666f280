"""The growth rate past the transient, and its causes, against closed forms and matrix products."""

from dataclasses import replace

import numpy as np
import pytest

import gradscope
from gradscope.analysis.prepare import prepare
from gradscope.arrays import FloatArray
from gradscope.diagnosis.growth import terms_of
from gradscope.diagnosis.long_run import LongRun, burn_in_steps, long_run
from gradscope.jacobians.cell_chain import cell_chain
from gradscope.model.activations import IDENTITY, RELU
from gradscope.model.cells import Cell
from gradscope.model.elman import ElmanParameters
from gradscope.model.initializers import initialize_gru, initialize_lstm, orthogonal
from gradscope.model.trajectory import unroll
from tests.benchmarks.coverage import estimate, true_rates


def elman(weights: FloatArray, **kind: object) -> ElmanParameters:
    size = len(weights)
    zeros = (np.ones((size, 1)), weights, np.zeros(size), np.zeros((1, size)), np.zeros(1))
    return replace(ElmanParameters(*zeros), **kind)  # type: ignore[arg-type]


def measured(params: Cell, n_steps: int, burn_in: int, n_sequences: int = 16) -> LongRun:
    inputs = np.random.default_rng(3).standard_normal((n_steps, n_sequences, 1))
    found = long_run(params, inputs, np.zeros((n_sequences, params.state_size)), burn_in)
    assert found is not None
    return found


def test_a_linear_net_has_the_rate_of_its_spectral_radius_without_scatter() -> None:
    # λ_1 = log ρ(W) = log 0.9, though σ_max(W) is far above 1 and the profile grows at first.
    weights = np.array([[0.9, 5.0], [0.0, 0.2]])

    growth = measured(elman(weights, activation=IDENTITY), 200, 100).growth

    assert growth.rate == pytest.approx(np.log(0.9), rel=1e-12)
    assert growth.low == pytest.approx(growth.high, abs=1e-12)
    assert (growth.burn_in, growth.steps, growth.sequences, growth.of) == (100, 100, 16, 16)


def test_an_orthogonal_net_without_saturation_has_only_its_gain_for_a_cause() -> None:
    weights = 0.9 * orthogonal(np.random.default_rng(2), 6)

    causes = terms_of(measured(elman(weights, activation=IDENTITY), 60, 20).causes)

    expected = {"weights": np.log(0.9), "slope_ceiling": 0, "misalignment": 0, "saturation": 0}
    assert causes == pytest.approx(expected, abs=1e-12)


def cells() -> dict[str, Cell]:
    rng = np.random.default_rng(4)
    weights = rng.standard_normal((8, 8)) / np.sqrt(8.0)
    return {
        "elman": elman(1.3 * weights),
        "leaky": elman(1.3 * weights, leak=0.3),
        "pre": elman(1.3 * weights, state="pre"),
        "gru": initialize_gru(rng, (1, 8, 1)),
        "lstm": initialize_lstm(rng, (1, 8, 1)),
    }


@pytest.mark.parametrize("name", cells())
def test_rate_and_causes_are_those_of_one_vector_multiplied_by_the_jacobians(name: str) -> None:
    params, n_steps, burn_in = cells()[name], 170, 90
    inputs = np.random.default_rng(3).standard_normal((n_steps, 2, 1))
    chain = cell_chain(params, unroll(params, inputs))
    vectors = np.random.default_rng(0).standard_normal((2, params.state_size))
    logs = np.empty((n_steps, 2))
    for step in range(n_steps):
        moved = np.einsum("bij,bj->bi", chain.jacobian(step + 1), vectors)
        logs[step] = np.log(np.linalg.norm(moved, axis=1) / np.linalg.norm(vectors, axis=1))
        vectors = moved / np.linalg.norm(moved, axis=1, keepdims=True)

    found = measured(params, n_steps, burn_in, 2)

    assert found.growth.rate == pytest.approx(logs[burn_in:].mean(), abs=1e-12)
    assert found.causes.total == pytest.approx(found.growth.rate, abs=1e-12)
    terms = [each or 0.0 for each in terms_of(found.causes).values()]
    assert sum(terms) == pytest.approx(found.growth.rate, abs=1e-12)


def test_units_that_die_before_anything_is_counted_leave_no_rate() -> None:
    dead = elman(-np.eye(3), activation=RELU, hidden_bias=np.full(3, -50.0))

    found = measured(dead, 40, 20)

    assert (found.growth.rate, found.growth.low, found.causes.total) == (None, None, None)
    assert (found.growth.sequences, found.growth.of) == (0, 16)


def test_a_state_that_leaves_its_range_has_no_long_run() -> None:
    grows = elman(2.0 * np.eye(2), activation=RELU)
    inputs, first = np.ones((100, 3, 1)), np.zeros((3, 2))

    assert long_run(grows, inputs, first, 50, max_state=1e9) is None
    assert long_run(grows, inputs, first, 50) is not None
    assert long_run(grows, inputs, first, 0) is None


@pytest.mark.parametrize(
    ("asked", "leak", "steps"),
    [(None, 1.0, 300), (None, 0.01, 1000), (None, 1e-6, 3000), (7, 0.01, 7), (0, 1.0, 0)],
)
def test_the_burn_in_suits_the_leak_unless_it_is_given(
    asked: int | None, leak: float, steps: int
) -> None:
    assert burn_in_steps(asked, leak) == steps


def test_a_net_that_shrinks_in_the_long_run_is_not_said_to_grow() -> None:
    # Over 100 steps from h_0 = 0 the profile doubles every 66 steps; λ_1 is −0.015 ± 0.003.
    asked = gradscope.Settings(
        init="gaussian",
        gain=1.2,
        hidden=64,
        updates=0,
        seed=2,
    )

    growth = estimate(asked)

    assert growth.rate is not None
    assert growth.low is not None
    assert growth.high is not None
    assert growth.low <= -0.015 <= growth.high < 0.0


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
def test_the_truth_of_the_benchmark_is_that_of_the_package(cell: str) -> None:
    asked = gradscope.Settings(cell=cell, hidden=8, updates=0, steps=1000)
    network = prepare(asked).network

    (truth,) = true_rates([network], np.random.default_rng(1), steps=400, burn_in=200)

    assert truth == pytest.approx(estimate(asked).rate, abs=0.01)


def test_a_net_whose_steps_are_below_the_normal_numbers_still_has_its_rate() -> None:
    # λ_1 = log w; below the normal numbers w v has three digits or so.
    weight = 1e-320

    growth = measured(elman(np.eye(2) * weight, activation=IDENTITY), 120, 100).growth

    assert growth.rate == pytest.approx(np.log(weight), abs=1e-3)
