"""R² of a linear readout against least squares written out, and against what theory knows of it."""

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradscope.analysis.analyze import analyze
from gradscope.analysis.settings import Settings
from gradscope.arrays import FloatArray
from gradscope.data.batch import Targets
from gradscope.errors import ShapeError
from gradscope.learning.readout import (
    Readout,
    Source,
    measure_readout,
    memory_function,
    readout_score,
)
from gradscope.model.initializers import initialize
from gradscope.names import ActivationName, InitializerName


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def scored(**changes: Any) -> Readout:
    found = analyze(Settings(updates=0).with_changes(changes)).readout
    assert found is not None
    return found


def repeated(drawn: Callable[[int], tuple[FloatArray, Targets]]) -> tuple[Source, Source]:
    """Both halves, a hundred sequences at a time."""
    every = (drawn(100) for _ in count())
    return every, every


def test_it_is_least_squares_on_one_half_measured_on_the_other() -> None:
    draw = rng()
    states = draw.standard_normal((400, 5)) + 3.0
    targets = states @ draw.standard_normal((5, 2)) + draw.standard_normal((400, 2)) - 7.0
    design = np.hstack([np.ones((400, 1)), states])
    weights = np.linalg.lstsq(design[:200], targets[:200])[0]
    left = targets[200:] - design[200:] @ weights
    wanted = 1.0 - np.mean(left**2, axis=0) / np.var(targets[200:], axis=0)
    np.testing.assert_allclose(readout_score(states, targets), wanted, rtol=1e-7)


def test_random_targets_are_not_explained() -> None:
    draw = rng()
    score = readout_score(draw.standard_normal((40_000, 16)), draw.standard_normal((40_000, 4)))
    assert np.abs(score).max() <= 0.01


@pytest.mark.parametrize(
    ("states", "targets"), [((4, 2), (5, 1)), ((4,), (4, 1)), ((1, 2), (1, 1))]
)
def test_rows_must_agree(states: tuple[int, ...], targets: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError):
        readout_score(np.zeros(states), np.zeros(targets))


def test_the_memory_capacity_of_a_linear_network_is_its_size() -> None:
    linear = initialize(rng(), (1, 16, 1), activation=ActivationName.IDENTITY, gain=0.9)
    by_delay = memory_function(linear, 80, rng(), np.zeros(1), np.ones(1))
    assert by_delay.shape == (80, 1)
    assert by_delay.sum() == pytest.approx(16.0, abs=0.3)


def test_two_inputs_share_the_capacity() -> None:
    linear = initialize(rng(), (2, 16, 1), activation=ActivationName.IDENTITY, gain=0.9)
    by_delay = memory_function(linear, 80, rng(), np.array([1.0, -2.0]), np.array([0.1, 3.0]))
    assert by_delay.sum() == pytest.approx(16.0, abs=0.3)


def test_what_it_says_of_networks_that_were_trained() -> None:
    """ADVICE: 0.00 for the default network, 0.31 with small inputs; identity W at most .06."""
    assert scored().score == pytest.approx(0.0, abs=0.03)
    assert scored(input_scale=0.1).score == pytest.approx(0.31, abs=0.05)
    identity = scored(init=InitializerName.IDENTITY, activation=ActivationName.IDENTITY)
    assert identity.score is not None
    assert identity.score <= 0.06


def test_without_a_delay_the_target_is_read_at_once() -> None:
    near_linear = scored(delay=0, input_scale=0.01, gain=0.01)
    assert near_linear.score == pytest.approx(1.0, abs=0.01)


def test_few_rows_give_no_number_but_the_reason() -> None:
    short = scored(data="sample_runs/data/sunspots.csv", column=("SUNACTIVITY",), steps=50)
    assert short.score is None
    assert short.why_null is not None
    assert "3,300" in short.why_null


def test_a_state_that_overflows_gives_the_reason() -> None:
    def drawn(many: int) -> tuple[FloatArray, Targets]:
        return np.full((3, many, 2), np.inf), Targets(np.zeros((3, many, 1)), np.ones(3, bool))

    assert measure_readout(2, repeated(drawn)).why_null == "the state overflows"


@pytest.mark.parametrize("size", [1e200, 1e300])
def test_products_that_overflow_give_the_reason_and_no_warning(size: float) -> None:
    def drawn(many: int) -> tuple[FloatArray, Targets]:
        values = np.ones((3, many, 1))
        return size * rng().standard_normal((3, many, 2)), Targets(values, np.ones(3, bool))

    assert measure_readout(2, repeated(drawn)).why_null == "the state overflows"
    assert np.isnan(readout_score(np.full((9, 2), size), np.ones((9, 3)))).all()
    doubling = initialize(rng(), (1, 4, 1), activation=ActivationName.IDENTITY, gain=1e3)
    assert np.isnan(memory_function(doubling, 8, rng(), np.zeros(1), np.ones(1))).all()


def test_constant_targets_give_the_reason() -> None:
    draw = rng()

    def drawn(many: int) -> tuple[FloatArray, Targets]:
        values = np.ones((9, many, 1))
        return draw.standard_normal((9, many, 2)), Targets(values, np.ones(9, bool))

    assert measure_readout(2, repeated(drawn)).why_null == "the targets do not vary"


def test_steps_without_a_target_do_not_count() -> None:
    """A wrong value where nothing is wanted must not matter, in any sequence."""
    draw = rng()

    def drawn(many: int) -> tuple[FloatArray, Targets]:
        states = draw.standard_normal((6, many, 2))
        held = draw.random((6, many)) < 0.5
        values = np.where(held[..., np.newaxis], states.sum(axis=2, keepdims=True), 1e6)
        return states, Targets(values, held)

    found = measure_readout(2, repeated(drawn))
    assert found.score == pytest.approx(1.0, abs=1e-6)


def test_the_network_itself_is_not_changed_by_it() -> None:
    with_it = analyze(Settings(updates=3, steps=20))
    without = analyze(Settings(updates=3, steps=20), readout=False)
    assert without.readout is None
    for first, second in zip(with_it.params.weights(), without.params.weights(), strict=True):
        np.testing.assert_array_equal(first[1], second[1])
    assert with_it.stages[1].verdict.rate == without.stages[1].verdict.rate


def test_a_long_series_is_scored_on_its_held_out_windows(tmp_path: Path) -> None:
    noise = rng().standard_normal(8000)
    values = np.zeros(8000)
    for row in range(1, 8000):
        values[row] = 0.9 * values[row - 1] + noise[row]
    file = tmp_path / "series.csv"
    file.write_text("\n".join(["value", *map(str, values.tolist())]), encoding="utf-8")

    found = scored(data=str(file), steps=20, hidden=12)

    # The last input alone explains 0.81 of the variance.
    assert found.score == pytest.approx(0.81, abs=0.05)


def test_r_squared_does_not_depend_on_where_targets_and_states_lie() -> None:
    states = rng().standard_normal((4000, 3))
    targets = states @ np.array([[1.0], [2.0], [-1.0]])

    for shifted in ((states, targets + 1e9), (states + 1e8, targets)):
        assert readout_score(*shifted)[0] == pytest.approx(1.0, abs=1e-6)
        steps = [np.array_split(each, 2) for each in shifted]
        sources = [
            iter([(h[:, np.newaxis], Targets(a[:, np.newaxis], np.ones(2000, dtype=np.bool_)))])
            for h, a in zip(*steps, strict=True)
        ]
        assert measure_readout(3, sources).score == pytest.approx(1.0, abs=1e-6)
